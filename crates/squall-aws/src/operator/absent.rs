//! What is to be found where seats were offered that nobody has taken.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use squall_fleet::absence::{Answer, Found, Lane, Mapping as State};
use squall_fleet::{Invitation, StoreError, StoreErrorKind};
use tokio::time::timeout;

use super::{Fleet, Lane as Deployed, Mapping, account, backlog};
use crate::Connection;
use crate::failure::failure;

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// A function that does nothing answers within a second, also where it has to start.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

/// Lanes that are looked at together: an account may ask Lambda for 15 things a second.
const TOGETHER: usize = 4;

/// So many dead letters are looked at, by ten.
const MOST_LETTERS: usize = 100;

/// While they are looked at nobody else sees them.
const HIDDEN_S: i32 = 10;

/// No message: who answers it does nothing.
const NOTHING: &str = r#"{"Records":[]}"#;

/// Looks why seats of a run are not taken, and says what could not be asked. Nothing is changed by it; each
/// function is invoked once, without anything to do.
pub async fn look_for_absent(connection: &Connection, fleet: &Fleet, run: &str) -> (Found, Vec<StoreError>) {
    let mut errors = Vec::new();
    let lanes = stream::iter(&fleet.lanes).map(|lane| look_at(connection, lane)).buffered(TOGETHER);
    let letters = dead_letters(connection, &fleet.dead_letter_queue_url, run);
    let (lanes, dead, account) = tokio::join!(
        lanes.collect::<Vec<(Lane, Vec<StoreError>)>>(),
        bounded("look at dead letters", letters),
        bounded("ask for the account's limits", account(connection)),
    );
    let lanes = lanes.into_iter().map(|(lane, of_lane)| {
        errors.extend(of_lane);
        lane
    });
    let lanes = lanes.collect();
    let dead = kept(&mut errors, dead).unwrap_or_default();
    let concurrency = kept(&mut errors, account).map(|account| account.concurrency);
    (Found { lanes, dead, concurrency }, errors)
}

/// Looks at the limits that may have been in the way of seats, and says what could not be asked. Nobody is invoked.
pub async fn look_at_limits(connection: &Connection, fleet: &Fleet) -> (Found, Vec<StoreError>) {
    let mut errors = Vec::new();
    let lanes = stream::iter(&fleet.lanes).map(|lane| async {
        let reserved = bounded("ask for a limit", reserved(connection, &lane.function)).await;
        (lane.function.clone(), reserved)
    });
    let lanes = lanes.buffered(TOGETHER).collect::<Vec<_>>();
    let (lanes, account) = tokio::join!(lanes, bounded("ask for the account's limits", account(connection)));
    let mut lane = |(function, reserved)| Lane {
        function,
        reserved: kept(&mut errors, reserved).flatten(),
        ..Lane::default()
    };
    let lanes = lanes.into_iter().map(&mut lane).collect();
    let concurrency = kept(&mut errors, account).map(|account| account.concurrency);
    (Found { lanes, concurrency, ..Found::default() }, errors)
}

async fn look_at(connection: &Connection, lane: &Deployed) -> (Lane, Vec<StoreError>) {
    let mapping = Mapping::new(connection, lane.mapping.clone());
    let (messages, mapping, reserved, answer) = tokio::join!(
        bounded("look at a queue", backlog(connection, &lane.queue_url)),
        bounded("look at a mapping", mapping.look()),
        bounded("ask for a limit", reserved(connection, &lane.function)),
        bounded("ask a function", ask(connection, &lane.function)),
    );
    let mut errors = Vec::new();
    let messages = kept(&mut errors, messages);
    let lane = Lane {
        function: lane.function.clone(),
        waiting: messages.map(|messages| messages.waiting),
        in_flight: messages.map(|messages| messages.in_flight),
        mapping: kept(&mut errors, mapping)
            .map(|look| State { state: look.state, last_result: look.last_result }),
        reserved: kept(&mut errors, reserved).flatten(),
        answer: kept(&mut errors, answer),
    };
    (lane, errors)
}

/// The answer to a question, if it comes soon.
async fn bounded<T>(
    action: &str,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(PATIENCE, question).await.unwrap_or_else(|_| {
        let action = format!("{action} within {} s", PATIENCE.as_secs());
        Err(StoreError::new(StoreErrorKind::Unavailable, action))
    })
}

/// The answer, or nothing and why.
fn kept<T>(errors: &mut Vec<StoreError>, answer: Result<T, StoreError>) -> Option<T> {
    answer.map_err(|error| errors.push(error)).ok()
}

/// How many invocations of a function there may be at the same time, if that is set.
async fn reserved(connection: &Connection, function: &str) -> Result<Option<u32>, StoreError> {
    let client = aws_sdk_lambda::Client::new(&connection.config);
    let found = client.get_function_concurrency().function_name(function).send().await;
    let action = || format!("ask for the limit of `{function}` (lambda:GetFunctionConcurrency)");
    let found = found.map_err(|error| failure(action(), &error))?;
    Ok(found.reserved_concurrent_executions.and_then(|reserved| u32::try_from(reserved).ok()))
}

/// What a function says that is given nothing to do. Asked once: a limit is an answer.
async fn ask(connection: &Connection, function: &str) -> Result<Answer, StoreError> {
    let client = aws_sdk_lambda::Client::new(&connection.config);
    let request = client.invoke().function_name(function).payload(Blob::new(NOTHING)).customize();
    let once = aws_sdk_lambda::config::Builder::new().retry_config(RetryConfig::disabled());
    let silent = Answer::Silent(ANSWERED_WITHIN.as_secs());
    let sent = match timeout(ANSWERED_WITHIN, request.config_override(once).send()).await {
        Err(_) | Ok(Err(SdkError::TimeoutError(_))) => return Ok(silent),
        Ok(sent) => sent,
    };
    match sent {
        Ok(answer) if answer.function_error.is_none() => Ok(Answer::Fine),
        Ok(answer) => Ok(failed(answer.payload.as_ref().map_or(b"".as_slice(), AsRef::as_ref))),
        Err(error) => match error.as_service_error() {
            Some(InvokeError::TooManyRequestsException(limit)) => Ok(Answer::Throttled(
                limit.reason.as_ref().map_or("no reason", |reason| reason.as_str()).to_owned(),
            )),
            _ => Err(failure(format!("ask function `{function}` (lambda:InvokeFunction)"), &error)),
        },
    }
}

/// What Lambda writes when a function breaks.
fn failed(payload: &[u8]) -> Answer {
    let written: Option<Value> = serde_json::from_slice(payload).ok();
    let text =
        |name: &str| written.as_ref().and_then(|written| written.get(name)?.as_str().map(str::to_owned));
    let message = text("errorMessage").unwrap_or_else(|| String::from_utf8_lossy(payload).into_owned());
    Answer::Failed { kind: text("errorType").unwrap_or_else(|| "no type".to_owned()), message }
}

/// The seats of a run that lie among the dead letters, which stay there.
async fn dead_letters(connection: &Connection, url: &str, run: &str) -> Result<BTreeSet<u32>, StoreError> {
    let mut seats = BTreeSet::new();
    if backlog(connection, url).await?.waiting == 0 {
        return Ok(seats);
    }
    let client = aws_sdk_sqs::Client::new(&connection.config);
    let mut receipts = Vec::new();
    let looked = loop {
        let request =
            client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(HIDDEN_S);
        let found = match request.send().await {
            Ok(found) => found.messages.unwrap_or_default(),
            Err(error) => break Err(failure(format!("look into `{url}` (sqs:ReceiveMessage)"), &error)),
        };
        if found.is_empty() {
            break Ok(());
        }
        for letter in found {
            let invitation = letter.body.as_deref().and_then(|body| Invitation::from_text(body).ok());
            seats.extend(
                invitation.filter(|invitation| invitation.run == run).map(|invitation| invitation.seat),
            );
            receipts.extend(letter.receipt_handle);
        }
        if receipts.len() >= MOST_LETTERS {
            break Ok(());
        }
    };
    for receipt in receipts {
        // Whatever is not given back comes back by itself, only later.
        let request = client.change_message_visibility().queue_url(url).receipt_handle(receipt);
        let given = request.visibility_timeout(0).send().await;
        given.map_err(|error| {
            failure(format!("give back letters of `{url}` (sqs:ChangeMessageVisibility)"), &error)
        })?;
    }
    looked.map(|()| seats)
}

#[cfg(test)]
mod tests;
