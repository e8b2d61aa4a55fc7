//! Goose's part in the benchmark: `goose-users plain|journey URL USERS SECONDS` runs the scenario and prints
//! `{"requests": …, "failures": …}`.

use std::error::Error;

use goose::config::GooseConfiguration;
use goose::goose::{GooseMethod, GooseRequest, GooseResponse};
use goose::metrics::GooseRequestMetricAggregate;
use goose::prelude::*;
use serde_json::{Value, json};

/// What a user has learned on its way.
#[derive(Clone)]
struct Session {
    token: String,
    /// What its next random number is made of.
    state: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, url, users, seconds] = arguments.as_slice() else {
        return Err("usage: goose-users plain|journey URL USERS SECONDS".into());
    };
    let scenario = match kind.as_str() {
        "plain" => scenario!("plain").register_transaction(transaction!(root)),
        "journey" => scenario!("journey")
            .register_transaction(transaction!(login).set_on_start())
            .register_transaction(transaction!(buy)),
        _ => return Err(format!("no such scenario: {kind}").into()),
    };
    // All users from the start, and counts that begin with the first of them.
    let settings = ["--host", url, "--users", users, "--run-time", seconds, "--increase-rate", "1000"];
    let switches =
        ["--no-reset-metrics", "--no-telnet", "--no-print-metrics", "--accept-invalid-certs", "--quiet"];
    let configuration = GooseConfiguration::parse_args_default(&[&settings[..], &switches].concat())?;
    let attack = GooseAttack::initialize_with_config(configuration)?.register_scenario(scenario);
    let metrics = attack.execute().await?;
    let count =
        |of: fn(&GooseRequestMetricAggregate) -> usize| metrics.requests.values().map(of).sum::<usize>();
    println!(
        "{}",
        json!({
            "requests": count(|request| request.success_count),
            "failures": count(|request| request.fail_count) + metrics.errors.len(),
        })
    );
    Ok(())
}

async fn root(user: &mut GooseUser) -> TransactionResult {
    user.get("/").await?;
    Ok(())
}

async fn login(user: &mut GooseUser) -> TransactionResult {
    let credentials = json!({ "user": format!("load-{}", user.weighted_users_index) });
    let answer = body(user.post_json("/login", &credentials).await?).await?;
    let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
    // Not 0, from which no dice would follow.
    let state = u64::try_from(user.weighted_users_index).unwrap_or_default() + 1;
    user.set_session_data(Session { token, state });
    Ok(())
}

async fn buy(user: &mut GooseUser) -> TransactionResult {
    let item = 1 + random(user) % 1000;
    let answer =
        body(send(user, GooseMethod::Get, &format!("/items/{item}"), "item", None, 200).await?).await?;
    let id = answer["id"].as_str().unwrap_or_default();
    send(user, GooseMethod::Get, &format!("/items/{id}/detail"), "detail", None, 200).await?;
    let order = json!({ "id": id, "quantity": 2 });
    send(user, GooseMethod::Post, "/cart", "cart", Some(&order), 201).await?;
    Ok(())
}

/// Sends a request with the user's token; another status than the expected one is a failure.
async fn send(
    user: &mut GooseUser,
    method: GooseMethod,
    path: &str,
    name: &str,
    json: Option<&Value>,
    status: u16,
) -> Result<GooseResponse, Box<TransactionError>> {
    let builder = user.get_request_builder(&method, path)?;
    let builder = builder.bearer_auth(&user.get_session_data_unchecked::<Session>().token);
    let builder = match json {
        Some(json) => builder.json(json),
        None => builder,
    };
    let request = GooseRequest::builder()
        .method(method)
        .path(path)
        .name(name)
        .set_request_builder(builder)
        .expect_status_code(status)
        .build();
    user.request(request).await
}

async fn body(response: GooseResponse) -> Result<Value, Box<TransactionError>> {
    let response = response.response.map_err(|error| Box::new(error.into()))?;
    response.json().await.map_err(|error| Box::new(error.into()))
}

/// The next number of a xorshift generator: dice are not what is measured here.
fn random(user: &mut GooseUser) -> u64 {
    let state = &mut user.get_session_data_unchecked_mut::<Session>().state;
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
