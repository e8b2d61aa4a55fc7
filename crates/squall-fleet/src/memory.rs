//! Queue and store in memory, for tests and simulation.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, ready};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ports::{ETag, Fetched, Listed, Put, Queue, Store, StoreError, StoreErrorKind};

/// A queue in memory.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    messages: Mutex<VecDeque<String>>,
}

impl MemoryQueue {
    /// The next message, which is then gone.
    pub fn receive(&self) -> Option<String> {
        lock(&self.messages).pop_front()
    }
}

impl Queue for MemoryQueue {
    fn send(&self, messages: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send {
        lock(&self.messages).extend(messages);
        ready(Ok(()))
    }
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
}

impl MemoryStore {
    fn write(&self, key: &str, value: Vec<u8>, put: &Put) -> Result<ETag, StoreError> {
        let mut values = lock(&self.values);
        let version = values.get(key).map(|(_, version)| *version);
        let holds = match put {
            Put::Always => true,
            Put::IfAbsent => version.is_none(),
            Put::IfMatch(tag) => version.is_some_and(|version| version.to_string() == tag.0),
        };
        if !holds {
            return Err(StoreError::new(StoreErrorKind::ConditionFailed, format!("write `{key}`")));
        }
        let version = version.unwrap_or(0) + 1;
        values.insert(key.to_owned(), (value, version));
        Ok(ETag(version.to_string()))
    }
}

impl Store for MemoryStore {
    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        put: Put,
    ) -> impl Future<Output = Result<ETag, StoreError>> + Send {
        ready(self.write(key, value, &put))
    }

    fn get(
        &self,
        key: &str,
        unless: Option<&ETag>,
    ) -> impl Future<Output = Result<Fetched, StoreError>> + Send {
        let fetched = match lock(&self.values).get(key) {
            None => Fetched::Missing,
            Some((_, version)) if unless.is_some_and(|tag| tag.0 == version.to_string()) => {
                Fetched::NotModified
            }
            Some((value, version)) => Fetched::Found { value: value.clone(), tag: ETag(version.to_string()) },
        };
        ready(Ok(fetched))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send {
        let values = lock(&self.values);
        let from = match after.filter(|after| *after > prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let keys = values.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        ready(Ok(keys.take_while(|key| key.starts_with(prefix)).cloned().map(Listed::of).collect()))
    }
}

/// A panic while the lock was held leaves nothing half-written, so poison is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
