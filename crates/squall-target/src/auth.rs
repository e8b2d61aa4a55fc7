//! Who is who: logging in, tokens, keys.
//!
//! A token carries its user and its end, signed with the service's seed, so none is kept.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::input::{Outcome, Refusal, header, text};
use crate::route::Guard;
use crate::state::State;

/// The password of every user.
pub(crate) const PASSWORD: &str = "Str0ngP@ssw0rd!";
/// The key for jobs.
pub(crate) const API_KEY: &str = "lf_demo_cloudnative_api_key";
/// The key for uploads.
pub(crate) const UPLOAD_KEY: &str = "demo-serverless-key-123456";

/// How long a refresh token is good for.
const REFRESH_LIFETIME: Duration = Duration::from_hours(24);

/// `POST /auth/login`
pub(crate) fn login(body: &Value, state: &mut State, now: Duration) -> Outcome {
    let (email, password) = (text(body, "/email")?, text(body, "/password")?);
    text(body, "/client_id")?;
    if !email.contains('@') {
        return Err(Refusal::bad("`email` has no @"));
    }
    if password != PASSWORD {
        return Err(Refusal::new(401, "password is wrong"));
    }
    let refresh_token = token("refresh", email, now + REFRESH_LIFETIME, state);
    let mut answer = access(email, state, now);
    answer["refresh_token"] = json!(refresh_token);
    Ok((200, answer))
}

/// `POST /auth/refresh`
pub(crate) fn refresh(body: &Value, state: &mut State, now: Duration) -> Outcome {
    let user = user_of(text(body, "/refresh_token")?, "refresh", state, now)?;
    Ok((200, access(&user, state, now)))
}

/// Lets a request pass, or does not. Returns the user, who is an empty text where none is asked for.
pub(crate) fn admit(
    guard: Guard,
    headers: &HeaderMap,
    state: &State,
    now: Duration,
) -> Result<String, Refusal> {
    let nobody = Ok(String::new());
    match guard {
        Guard::Open => nobody,
        Guard::Shop => match credentials(headers)? {
            Credentials::Missing | Credentials::ApiKey(API_KEY) => nobody,
            Credentials::Bearer(token) => user_of(token, "access", state, now),
            _ => Err(Refusal::new(401, "`authorization` is neither a Bearer token nor the Api-Key")),
        },
        Guard::User => match credentials(headers)? {
            Credentials::Bearer(token) => user_of(token, "access", state, now),
            _ => Err(Refusal::new(401, "`authorization` has no Bearer token")),
        },
        Guard::ApiKey => match credentials(headers)? {
            Credentials::ApiKey(API_KEY) => nobody,
            _ => Err(Refusal::new(401, "`authorization` is not the Api-Key")),
        },
        Guard::UploadKey => match header(headers, &HeaderName::from_static("x-api-key"))? {
            Some(UPLOAD_KEY) => nobody,
            _ => Err(Refusal::new(401, "`x-api-key` is not the key")),
        },
    }
}

/// A keyed hash of a text: the proof that it came from here.
pub(crate) fn signature(seed: u64, text: &str) -> String {
    let hash = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(text).finalize();
    hex::encode(&hash[..16])
}

/// What an `Authorization` header shows.
enum Credentials<'a> {
    Missing,
    Bearer(&'a str),
    ApiKey(&'a str),
    Other,
}

fn credentials(headers: &HeaderMap) -> Result<Credentials<'_>, Refusal> {
    let Some(value) = header(headers, &AUTHORIZATION)? else { return Ok(Credentials::Missing) };
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Credentials::Bearer(rest),
        "api-key" => Credentials::ApiKey(rest),
        _ => Credentials::Other,
    })
}

fn access(user: &str, state: &mut State, now: Duration) -> Value {
    let lifetime = state.token_lifetime;
    json!({
        "access_token": token("access", user, now.saturating_add(lifetime), state),
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
    })
}

/// `kind.user.end.number.signature`, all of it fit for a header.
fn token(kind: &str, user: &str, end: Duration, state: &mut State) -> String {
    state.tokens += 1;
    let claims = format!("{kind}.{}.{}.{}", hex::encode(user), end.as_millis(), state.tokens);
    let signature = signature(state.seed, &claims);
    format!("{claims}.{signature}")
}

/// The user of a token that is from here and not over.
fn user_of(token: &str, kind: &str, state: &State, now: Duration) -> Result<String, Refusal> {
    let unknown = || Refusal::new(401, "token is unknown");
    let (claims, signed) = token.rsplit_once('.').ok_or_else(unknown)?;
    if signed != signature(state.seed, claims) {
        return Err(unknown());
    }
    let parts: Vec<&str> = claims.split('.').collect();
    let [of_kind, user, end, _] = parts[..] else { return Err(unknown()) };
    if of_kind != kind {
        return Err(Refusal::new(401, format!("token is for {of_kind}, not for {kind}")));
    }
    if end.parse::<u128>().map_err(|_| unknown())? <= now.as_millis() {
        return Err(Refusal::new(401, "token has expired"));
    }
    let user = hex::decode(user).ok().and_then(|user| String::from_utf8(user).ok());
    user.ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Client, LIFETIME, with};

    fn good() -> Value {
        json!({ "email": "load@example.com", "password": PASSWORD, "client_id": "web-frontend" })
    }

    #[test]
    fn only_a_complete_login_with_the_right_password_is_answered_with_tokens() {
        let mut client = Client::default();
        let mut check = |pointer: &str, value: Value, status: u16| {
            let answer = client.post("/api/v1/auth/login", &with(&good(), pointer, value.clone()));
            assert_eq!(answer.status, status, "{pointer}: {value}");
        };
        check("/client_id", json!("mobile"), 200);
        check("/password", json!("wrong"), 401);
        for at in ["/email", "/password", "/client_id"] {
            for value in [Value::Null, json!(""), json!(1), json!(["x"])] {
                check(at, value, 400);
            }
        }
        check("/email", json!("{{ email }}"), 400);

        let answer = client.post("/api/v1/auth/login", &good());
        assert_eq!((answer.route, answer.status), ("POST /auth/login", 200));
        assert_eq!(answer.body["token_type"], "Bearer");
        assert_eq!(answer.body["expires_in"], LIFETIME.as_secs());
    }

    #[test]
    fn a_token_is_good_for_its_lifetime_and_for_its_purpose() {
        let mut client = Client::default();
        let answer = client.post("/api/v1/auth/login", &good());
        let of = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        let (access, refresh) = (of("access_token"), of("refresh_token"));
        let check = |client: &mut Client, token: &str, status: u16| {
            client.authorization = Some(format!("Bearer {token}"));
            assert_eq!(client.post("/api/v1/cart", &json!({ "currency": "USD" })).status, status, "{token}");
        };
        check(&mut client, &access, 201);
        check(&mut client, &refresh, 401);
        check(&mut client, &access.replace("access", "refresh"), 401);
        check(&mut client, &format!("{access}0"), 401);
        check(&mut client, "", 401);
        let begin = client.now;
        client.now = begin + LIFETIME.mul_f64(0.999);
        check(&mut client, &access, 201);
        client.now = begin + LIFETIME;
        check(&mut client, &access, 401);

        client.authorization = None;
        let refreshed = client.post("/api/v1/auth/refresh", &json!({ "refresh_token": refresh }));
        assert_eq!((refreshed.route, refreshed.status), ("POST /auth/refresh", 200));
        check(&mut client, refreshed.body["access_token"].as_str().unwrap(), 201);

        client.authorization = None;
        let mut check = |token: Value, status: u16| {
            let answer = client.post("/api/v1/auth/refresh", &json!({ "refresh_token": token }));
            assert_eq!(answer.status, status, "{token}");
        };
        check(json!(access), 401);
        check(json!("nonsense"), 401);
        check(json!(""), 400);
        check(Value::Null, 400);
        client.now += REFRESH_LIFETIME;
        assert_eq!(client.post("/api/v1/auth/refresh", &json!({ "refresh_token": refresh })).status, 401);
    }

    #[test]
    fn tokens_repeat_by_seed_and_are_good_nowhere_else() {
        let token = Client::default().login();
        assert_eq!(Client::default().login(), token);
        let mut other = Client::new(2);
        other.authorization = Some(format!("Bearer {token}"));
        assert_eq!(other.post("/api/v1/cart", &json!({ "currency": "USD" })).status, 401);
    }

    #[test]
    fn every_route_lets_in_only_whom_it_should() {
        let token = Client::default().login();
        let bearer = ("authorization", format!("Bearer {token}"));
        let api_key = ("authorization", format!("api-key {API_KEY}"));
        let upload_key = ("x-api-key", UPLOAD_KEY.to_owned());
        for row in &crate::route::ROUTES {
            let check = |header: Option<&(&str, String)>, is_let_in: bool| {
                let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = Client::default().send(row.method, row.path, &headers, "");
                assert_eq!(answer.status != 401, is_let_in, "{} with {header:?}: {answer:?}", row.name);
            };
            check(None, [Guard::Open, Guard::Shop].contains(&row.guard));
            check(Some(&bearer), [Guard::Open, Guard::Shop, Guard::User].contains(&row.guard));
            check(Some(&api_key), [Guard::Open, Guard::Shop, Guard::ApiKey].contains(&row.guard));
            check(Some(&upload_key), [Guard::Open, Guard::Shop, Guard::UploadKey].contains(&row.guard));
        }
    }

    #[test]
    fn a_header_that_comes_twice_is_refused() {
        let mut client = Client::default();
        let token = format!("Bearer {}", client.login());
        let twice = [("authorization", token.as_str()), ("authorization", token.as_str())];
        assert_eq!(client.send("GET", "/api/v1/search?q=x", &twice, "").status, 400);
    }
}
