//! SQS as a queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
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
