//! A queue in memory whose receivers wait.

use squall_fleet::{Queue, StoreError, StoreErrorKind};
use std::future::{Future, ready};
use tokio::sync::{Mutex, mpsc};

/// Invitations on their way to the generators of this process.
#[derive(Debug)]
pub struct LocalQueue {
    sender: mpsc::UnboundedSender<String>,
    receiver: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Default for LocalQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl LocalQueue {
    /// The next message, as soon as there is one.
    pub async fn receive(&self) -> Option<String> {
        self.receiver.lock().await.recv().await
    }
}

impl Queue for LocalQueue {
    fn send(&self, messages: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send {
        let sent = messages.into_iter().try_for_each(|message| self.sender.send(message));
        ready(sent.map_err(|_| StoreError::new(StoreErrorKind::Other, "send to a queue that is gone")))
    }
}
