//! One invocation: a message, a seat, a slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use lambda_runtime::{Context, LambdaEvent};
use serde::{Deserialize, Serialize};
use squall_aws::{AwsSecrets, S3Store, SqsQueue};
use squall_fleet::ceilings::generators_of;
use squall_fleet::{Clock, Ended, Identity, Load, Order, Prepared, SeatOutcome, Time, sit};
use squall_seat::{Machine, Plan, SystemClock, machine_of_memory};

use crate::environment::Environment;

/// What SQS hands over: with a batch size of 1, one message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Batch {
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    /// When it was sent, in milliseconds since 1970.
    sent_timestamp: Option<String>,
    /// How often it was handed out, this time included.
    approximate_receive_count: Option<String>,
}

impl Record {
    /// How long it has been in the queue.
    fn queued_ms(&self, now: Time) -> Option<f64> {
        let sent_ms: i64 = self.attributes.sent_timestamp.as_ref()?.parse().ok()?;
        Some(now.since(Time(sent_ms.checked_mul(1_000)?)).as_secs_f64() * 1_000.0)
    }

    /// How often it was handed out.
    fn deliveries(&self) -> Option<u32> {
        self.attributes.approximate_receive_count.as_ref()?.parse().ok()
    }
}

/// Which messages of a batch were not dealt with. Those stay in the queue.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    batch_item_failures: Vec<Failed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    item_identifier: String,
}

/// What all invocations of an execution environment share.
pub(crate) struct Handler {
    environment: Environment,
    store: S3Store,
    queue: SqsQueue,
    secrets: AwsSecrets,
    init: Duration,
    is_warm: AtomicBool,
}

impl Handler {
    /// `init` is how long the environment took to start.
    pub(crate) fn new(environment: Environment, init: Duration) -> Self {
        let connection = environment.connection();
        let store = S3Store::new(&connection, environment.bucket.clone());
        let queue = SqsQueue::new(&connection, environment.queue_url.clone());
        let secrets = AwsSecrets::new(&connection);
        Self { environment, store, queue, secrets, init, is_warm: AtomicBool::new(false) }
    }

    /// Takes a seat for each message. Whatever could not be dealt with is tried again at once, and after a
    /// few times kept where it can be looked at; it never waits in the way of others.
    pub(crate) async fn handle(&self, event: LambdaEvent<Batch>) -> Answer {
        let mut answer = Answer::default();
        for record in event.payload.records {
            let problem = match self.sit(&record, &event.context).await {
                Ok(SeatOutcome::Foreign(reason)) => reason,
                Ok(outcome) => {
                    log(&format!("message {}: {}", record.message_id, in_a_word(&outcome)));
                    continue;
                }
                Err(error) => error.explain(),
            };
            log(&format!("message {} goes back: {problem}", record.message_id));
            if let Err(error) = self.queue.give_back(&record.receipt_handle).await {
                // It comes back by itself, only later.
                log(&error.explain());
            }
            answer.batch_item_failures.push(Failed { item_identifier: record.message_id });
        }
        answer
    }

    async fn sit(&self, record: &Record, context: &Context) -> Result<SeatOutcome, squall_fleet::StoreError> {
        let is_warm = self.is_warm.swap(true, Ordering::Relaxed);
        let identity = Identity {
            nonce: nonce(&context.request_id),
            region: self.environment.region.clone(),
            environment: self.environment.log_stream.clone(),
            queued_ms: record.queued_ms(SystemClock.now()),
            deliveries: record.deliveries(),
            init_ms: if is_warm { 0.0 } else { self.init.as_secs_f64() * 1_000.0 },
            deadline: deadline(context),
        };
        let machine = machine_of_memory(self.environment.memory_mb);
        let sitting = sit(&self.store, &SystemClock, &record.body, &identity, |plan| {
            self.prepare(plan, machine, &record.body)
        });
        Box::pin(sitting).await
    }

    /// Makes the engine ready for a plan, if this generator may run it: it believes what it was deployed with, and nobody
    /// who writes a manifest, an invitation or an assignment.
    async fn prepare(
        &self,
        plan: Arc<Plan>,
        machine: Machine,
        invitation: &str,
    ) -> Result<Prepared<impl FnOnce(Order) -> Result<Load, String> + use<>>, String> {
        let ceilings = self.environment.ceilings.clone();
        // Only where it matters, for it is one more read.
        let generators = match ceilings.generators {
            None => 0,
            Some(_) => match generators_of(&self.store, invitation).await {
                Ok(generators) => generators.ok_or("manifest does not say how many generators there are")?,
                Err(error) => return Err(error.explain()),
            },
        };
        ceilings.check(&plan, generators).map_err(|beyond| beyond.to_string())?;
        let guard = self.environment.guard();
        let Prepared { start, source } = squall_seat::prepare(plan, machine, guard, &self.secrets).await?;
        let start = move |order: Order| {
            ceilings.check_share(order.share).map_err(|beyond| beyond.to_string())?;
            start(order)
        };
        Ok(Prepared { start, source })
    }
}

/// Every delivery is a request of its own, so its id is unlike any other's. Only what a key may hold is kept.
fn nonce(request_id: &str) -> String {
    request_id.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn deadline(context: &Context) -> Option<Time> {
    let since_1970 = context.deadline().duration_since(UNIX_EPOCH).ok()?;
    Some(Time(i64::try_from(since_1970.as_micros()).ok()?))
}

/// What became of a seat, without anything that a plan may have said.
fn in_a_word(outcome: &SeatOutcome) -> &'static str {
    match outcome {
        SeatOutcome::Foreign(_) => "is no seat",
        SeatOutcome::NotNeeded => "was not needed",
        SeatOutcome::Unable(_) => "could not run the plan",
        SeatOutcome::Ran(Ended::Finished) => "ran its slice",
        SeatOutcome::Ran(Ended::Stopped) => "was told to stop",
        SeatOutcome::Ran(Ended::LeaseExpired) => "lost sight of the orchestrator",
        SeatOutcome::Ran(Ended::OutOfTime) => "was out of time",
        SeatOutcome::Ran(Ended::AbortRequested(_)) => "asked for the end of the run",
        SeatOutcome::Ran(Ended::Failed(_)) => "broke down",
    }
}

/// Lambda keeps what a function writes.
#[expect(clippy::print_stderr, reason = "this is where a function's log goes")]
fn log(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever looks why seats are not taken asks like this.
    #[test]
    fn a_batch_without_messages_is_nothing_to_do() {
        let batch: Batch = serde_json::from_str(r#"{"Records":[]}"#).unwrap();
        assert!(batch.records.is_empty());
        assert_eq!(serde_json::to_string(&Answer::default()).unwrap(), r#"{"batchItemFailures":[]}"#);
    }

    #[test]
    fn a_message_says_how_long_it_waited_and_how_often_it_was_handed_out() {
        let record = |attributes: &str| -> Record {
            let text =
                format!(r#"{{"messageId":"m","receiptHandle":"r","body":"","attributes":{attributes}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let told = record(r#"{"SentTimestamp":"1700000000000","ApproximateReceiveCount":"3"}"#);
        assert_eq!(told.queued_ms(Time(1_700_000_000_250_000)), Some(250.0));
        assert_eq!(told.deliveries(), Some(3));
        let silent = record(r#"{"ApproximateReceiveCount":"many"}"#);
        assert_eq!((silent.queued_ms(Time(0)), silent.deliveries()), (None, None));
    }
}
