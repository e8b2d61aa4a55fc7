//! What the protocol needs of the outside.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use squall_plan::SecretSource;
use thiserror::Error;

use crate::Time;

/// Where invitations go. Delivers each at least once, in any order.
pub trait Queue: Send + Sync {
    /// Sends all of these, however many.
    fn send(&self, messages: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Where everything else is. What was written is read at once by everybody.
pub trait Store: Send + Sync {
    /// Writes a value, if the condition holds.
    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        put: Put,
    ) -> impl Future<Output = Result<ETag, StoreError>> + Send;

    /// Reads a value, unless it still is the one with that tag.
    fn get(
        &self,
        key: &str,
        unless: Option<&ETag>,
    ) -> impl Future<Output = Result<Fetched, StoreError>> + Send;

    /// What is under the keys that begin with `prefix` and come after `after`, in ascending order.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;
}

/// A key under which there is something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// When it was written, by the store's clock and to the second, if the store says so.
    pub written_at: Option<Time>,
}

impl Listed {
    /// A key of a store that does not say when it was written.
    #[must_use]
    pub fn of(key: String) -> Self {
        Self { key, written_at: None }
    }
}

/// Time.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Time;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// What is kept there, or why it cannot be had.
    fn secret(&self, source: &SecretSource) -> impl Future<Output = Result<String, String>> + Send;
}

/// Identifies what was written under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// On which condition a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// None.
    Always,
    /// There is none under its key.
    IfAbsent,
    /// The one under its key has this tag.
    IfMatch(ETag),
}

/// What is under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// This.
    Found {
        /// The value.
        value: Vec<u8>,
        /// Its tag.
        tag: ETag,
    },
    /// What the asker has.
    NotModified,
    /// Nothing.
    Missing,
}

/// What to make of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The condition of a write does not hold.
    ConditionFailed,
    /// It may work the next time.
    Unavailable,
    /// It is not allowed.
    Denied,
    /// There are no credentials, or none that are valid.
    Unauthenticated,
    /// The queue or store itself is not there any more.
    Gone,
    /// There is no room.
    Full,
    /// None of these.
    Other,
}

/// Why queue or store did not do what they were asked.
#[derive(Debug, Error)]
#[error("cannot {action}")]
pub struct StoreError {
    /// What to make of it.
    pub kind: StoreErrorKind,
    /// What was to be done, and to what: "write `runs/…`".
    pub action: String,
    /// Why.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure without a deeper cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind, action: impl Into<String>) -> Self {
        Self { kind, action: action.into(), source: None }
    }

    /// The failure with all its causes, in one line.
    #[must_use]
    pub fn explain(&self) -> String {
        let causes = std::iter::successors(self.source(), |error| (*error).source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// Writes a value that nobody else writes. Found there already, it is written: an answer may have been lost
/// on its way.
pub(crate) async fn write_once(store: &impl Store, key: &str, value: &[u8]) -> Result<(), StoreError> {
    match store.put(key, value.to_vec(), Put::IfAbsent).await {
        Err(error) if error.kind == StoreErrorKind::ConditionFailed => match store.get(key, None).await? {
            Fetched::Found { value: there, .. } if there == value => Ok(()),
            _ => Err(error),
        },
        result => result.map(drop),
    }
}
