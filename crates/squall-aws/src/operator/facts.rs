//! What is true of an account and a fleet right now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use squall_fleet::{Clock, StoreError, Time};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::Connection;
use crate::failure::failure;

/// Who asks, and what time AWS thinks it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The user or role.
    pub arn: String,
    /// This machine's clock minus AWS's, in seconds, to the second. `None` if AWS did not say.
    pub clock_offset_s: Option<f64>,
}

/// What an account may do in its region.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Invocations at the same time, all functions together.
    pub concurrency: u32,
    /// What of them is not reserved for certain functions.
    pub unreserved: u32,
}

/// What is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that are being worked on.
    pub in_flight: u64,
}

/// Asks AWS who asks.
pub async fn identity(connection: &Connection, clock: &impl Clock) -> Result<Identity, StoreError> {
    let date = Date::default();
    let client = aws_sdk_sts::Client::new(&connection.config);
    let begin = clock.now();
    let request = client.get_caller_identity().customize().interceptor(date.clone());
    let caller =
        request.send().await.map_err(|error| failure("ask who this is (sts:GetCallerIdentity)", &error))?;
    let took = clock.now().since(begin);
    Ok(Identity {
        account: caller.account.unwrap_or_default(),
        arn: caller.arn.unwrap_or_default(),
        clock_offset_s: date.seen().map(|then| offset_s(begin.plus(took / 2), then)),
    })
}

/// A date without fractions is half a second later on average than it says.
fn offset_s(here: Time, there: Time) -> f64 {
    let there = there.plus(Duration::from_millis(500));
    (here.0 - there.0) as f64 / 1e6
}

/// Asks for the account's limits.
pub async fn account(connection: &Connection) -> Result<Account, StoreError> {
    let client = aws_sdk_lambda::Client::new(&connection.config);
    let settings = client.get_account_settings().send().await;
    let settings = settings
        .map_err(|error| failure("ask for the account's limits (lambda:GetAccountSettings)", &error))?;
    let limit = settings.account_limit;
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    Ok(Account {
        concurrency: number(limit.as_ref().map(|limit| limit.concurrent_executions)),
        unreserved: number(limit.as_ref().and_then(|limit| limit.unreserved_concurrent_executions)),
    })
}

/// Asks how full a queue is.
pub async fn backlog(connection: &Connection, queue_url: &str) -> Result<Backlog, StoreError> {
    let client = aws_sdk_sqs::Client::new(&connection.config);
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let request =
        client.get_queue_attributes().queue_url(queue_url).set_attribute_names(Some(names.to_vec()));
    let found = request
        .send()
        .await
        .map_err(|error| failure(format!("look at queue `{queue_url}` (sqs:GetQueueAttributes)"), &error))?;
    let count = |name| {
        let text = found.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let [waiting, in_flight] = names;
    Ok(Backlog { waiting: count(waiting), in_flight: count(in_flight) })
}

/// Keeps the `Date` of an answer.
#[derive(Debug, Clone, Default)]
struct Date(Arc<Mutex<Option<Time>>>);

impl Date {
    fn seen(&self) -> Option<Time> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut aws_smithy_types::config_bag::ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let parsed = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
        let time = parsed.and_then(|date| date.unix_timestamp().checked_mul(1_000_000)).map(Time);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
        Ok(())
    }
}
