//! SQS as a queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use squall_fleet::{Queue, StoreError, StoreErrorKind};

use crate::Connection;
use crate::failure::failure;

/// SQS takes so many messages at once.
const BATCH: usize = 10;

/// Batches that are on their way at the same time.
const CONCURRENT_BATCHES: usize = 32;

/// How often messages are sent that the queue did not take, and how long the first pause is.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A queue of SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue with that URL.
    #[must_use]
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self { client: Client::new(&connection.config), url: url.into() }
    }

    /// Makes a message that was received visible again at once, so that it is soon tried anew or goes to
    /// where failed messages are kept.
    pub async fn give_back(&self, receipt: &str) -> Result<(), StoreError> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        match request.visibility_timeout(0).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(
                format!("give back a message of `{}` (sqs:ChangeMessageVisibility)", self.url),
                &error,
            )),
        }
    }

    async fn send_batch(&self, messages: &[String]) -> Result<(), StoreError> {
        let mut open: Vec<usize> = (0..messages.len()).collect();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            open = self.try_send(messages, &open).await?;
            if open.is_empty() {
                return Ok(());
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        let action =
            format!("{}: {} of {} messages were not taken", self.action(), open.len(), messages.len());
        Err(StoreError::new(StoreErrorKind::Unavailable, action))
    }

    /// Sends those messages; returns which the queue did not take.
    async fn try_send(&self, messages: &[String], open: &[usize]) -> Result<Vec<usize>, StoreError> {
        let entry = |index: &usize| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            entry.message_body(&messages[*index]).build()
        };
        let entries = open.iter().map(entry).collect::<Result<Vec<_>, _>>().map_err(|error| StoreError {
            kind: StoreErrorKind::Other,
            action: self.action(),
            source: Some(Box::new(error)),
        })?;
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let sent = request.send().await.map_err(|error| failure(self.action(), &error))?;
        Ok(sent.failed().iter().filter_map(|failed| failed.id().parse().ok()).collect())
    }

    fn action(&self) -> String {
        format!("send to `{}` (sqs:SendMessage)", self.url)
    }
}

/// The queues of a fleet with several lanes: messages are dealt to them in turn.
#[derive(Debug)]
pub struct SqsLanes {
    queues: Vec<SqsQueue>,
    /// Whose turn it is.
    next: AtomicUsize,
}

impl SqsLanes {
    /// The queues with those URLs.
    #[must_use]
    pub fn new(connection: &Connection, urls: impl IntoIterator<Item = String>) -> Self {
        let queues = urls.into_iter().map(|url| SqsQueue::new(connection, url)).collect();
        Self { queues, next: AtomicUsize::new(0) }
    }

    /// Which messages each queue gets, whoever has the first turn.
    fn deal(&self, messages: Vec<String>) -> Vec<(&SqsQueue, Vec<String>)> {
        let first = self.next.fetch_add(messages.len(), Ordering::Relaxed);
        let mut dealt: Vec<(&SqsQueue, Vec<String>)> =
            self.queues.iter().map(|queue| (queue, Vec::new())).collect();
        for (turn, message) in messages.into_iter().enumerate() {
            let lane = first.wrapping_add(turn) % self.queues.len().max(1);
            if let Some((_, own)) = dealt.get_mut(lane) {
                own.push(message);
            }
        }
        dealt
    }
}

impl Queue for SqsLanes {
    async fn send(&self, messages: Vec<String>) -> Result<(), StoreError> {
        let dealt = self.deal(messages).into_iter().filter(|(_, messages)| !messages.is_empty());
        try_join_all(dealt.map(|(queue, messages)| queue.send(messages))).await.map(drop)
    }
}

impl Queue for SqsQueue {
    async fn send(&self, messages: Vec<String>) -> Result<(), StoreError> {
        let messages = messages.as_slice();
        let batches = stream::iter((0..messages.len()).step_by(BATCH))
            .map(|first| self.send_batch(&messages[first..messages.len().min(first + BATCH)]));
        batches.buffer_unordered(CONCURRENT_BATCHES).try_collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::Scripted;

    #[tokio::test]
    async fn only_what_the_queue_did_not_take_is_sent_again() {
        let some = r#"{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"x"}],
                       "Failed":[{"Id":"1","SenderFault":false,"Code":"InternalError"}]}"#;
        let service = Scripted::start(vec![(200, some), (200, r#"{"Successful":[],"Failed":[]}"#)]);
        let queue = SqsQueue::new(&service.connection, "http://queue");
        queue.send(vec!["first".to_owned(), "second".to_owned()]).await.unwrap();
        let asked = service.asked();
        assert!(asked[0].contains("first") && asked[0].contains("second"), "{}", asked[0]);
        assert!(!asked[1].contains("first") && asked[1].contains("second"), "{}", asked[1]);
    }

    #[test]
    fn lanes_are_dealt_to_in_turn_over_all_that_is_ever_sent() {
        let credentials =
            crate::Credentials { access_key: String::new(), secret_key: String::new(), session_token: None };
        let connection = Connection::new("eu-west-1".to_owned(), credentials, None);
        let lanes = SqsLanes::new(&connection, ["q1", "q2", "q3"].map(str::to_owned));
        let deal = |messages: std::ops::Range<u32>| -> Vec<Vec<String>> {
            let dealt = lanes.deal(messages.map(|message| message.to_string()).collect());
            assert!(dealt.iter().map(|(queue, _)| queue.url.as_str()).eq(["q1", "q2", "q3"]));
            dealt.into_iter().map(|(_, own)| own).collect()
        };
        assert_eq!(deal(0..5), [vec!["0", "3"], vec!["1", "4"], vec!["2"]]);
        assert_eq!(deal(5..6), [vec![], vec![], vec!["5"]]);
        assert_eq!(deal(6..7), [vec!["6"], vec![], vec![]]);
        assert_eq!(deal(7..7).concat(), Vec::<String>::new());
        // Nobody has two more than another.
        let many = deal(7..10_000);
        assert!(many.iter().all(|own| (3_331..=3_332).contains(&own.len())), "{:?}", many.len());
    }

    #[tokio::test]
    async fn each_lane_is_sent_its_own() {
        let one = r#"{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"x"}],"Failed":[]}"#;
        let service = Scripted::start(vec![(200, one), (200, one)]);
        let lanes = SqsLanes::new(&service.connection, ["http://q1", "http://q2"].map(str::to_owned));
        lanes.send(vec!["first".to_owned(), "second".to_owned()]).await.unwrap();
        let mut asked = service.asked();
        asked.sort_by_key(|asked| asked.contains("http://q2"));
        assert!(asked[0].contains("http://q1") && asked[0].contains("first"), "{}", asked[0]);
        assert!(asked[1].contains("http://q2") && asked[1].contains("second"), "{}", asked[1]);
        assert!(!asked[0].contains("second") && !asked[1].contains("first"));
    }

    #[tokio::test]
    async fn a_message_is_given_back_for_all_to_see_at_once() {
        let service = Scripted::start(vec![(200, "{}")]);
        SqsQueue::new(&service.connection, "http://queue").give_back("receipt").await.unwrap();
        let asked = service.asked();
        assert!(
            asked[0].contains(r#""VisibilityTimeout":0"#) && asked[0].contains("receipt"),
            "{}",
            asked[0]
        );
    }
}
