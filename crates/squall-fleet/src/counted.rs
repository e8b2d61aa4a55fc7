//! A store that counts what it is asked, as AWS does for its bill.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ports::{ETag, Fetched, Listed, Put, Store, StoreError};

/// Names in one answer to a listing.
pub(crate) const NAMES_IN_LISTING: usize = 1_000;

/// What a store was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUse {
    /// Values to be written, and listings; one for each thousand names.
    pub writes: u64,
    /// Values to be read.
    pub reads: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
}

impl Sum for StoreUse {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, more| Self {
            writes: sum.writes + more.writes,
            reads: sum.reads + more.reads,
            bytes_read: sum.bytes_read + more.bytes_read,
        })
    }
}

/// A store that counts what it is asked. Attempts that the store itself repeats are one.
#[derive(Debug)]
pub struct Counted<'a, S> {
    store: &'a S,
    writes: AtomicU64,
    reads: AtomicU64,
    bytes_read: AtomicU64,
}

impl<'a, S> Counted<'a, S> {
    /// Counts from now on.
    pub fn new(store: &'a S) -> Self {
        let [writes, reads, bytes_read] = Default::default();
        Self { store, writes, reads, bytes_read }
    }

    /// What it was asked until now.
    pub fn used(&self) -> StoreUse {
        let [writes, reads, bytes_read] =
            [&self.writes, &self.reads, &self.bytes_read].map(|count| count.load(Ordering::Relaxed));
        StoreUse { writes, reads, bytes_read }
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl<S: Store> Store for Counted<'_, S> {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        add(&self.writes, 1);
        self.store.put(key, value, put).await
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        add(&self.reads, 1);
        let fetched = self.store.get(key, unless).await;
        if let Ok(Fetched::Found { value, .. }) = &fetched {
            add(&self.bytes_read, value.len());
        }
        fetched
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let listed = self.store.list(prefix, after).await;
        let names = listed.as_ref().map_or(0, Vec::len);
        add(&self.writes, names.div_ceil(NAMES_IN_LISTING).max(1));
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, conformance};

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_is_counted_and_answered() {
        let store = MemoryStore::default();
        let counted = Counted::new(&store);
        for number in 0..2_001 {
            counted.put(&format!("a/{number}"), vec![0; 10], Put::IfAbsent).await.unwrap();
        }
        let before = counted.used();
        assert_eq!(before, StoreUse { writes: 2_001, ..StoreUse::default() });
        assert!(counted.put("a/0", Vec::new(), Put::IfAbsent).await.is_err());
        assert_eq!(counted.list("a/", None).await.unwrap().len(), 2_001);
        assert!(counted.list("b/", None).await.unwrap().is_empty());
        let Fetched::Found { tag, .. } = counted.get("a/1", None).await.unwrap() else { panic!("nothing") };
        assert_eq!(counted.get("a/1", Some(&tag)).await.unwrap(), Fetched::NotModified);
        // A refused write, a listing of three pages and one of nothing; two reads, one of them of something.
        assert_eq!(counted.used(), StoreUse { writes: 2_001 + 1 + 3 + 1, reads: 2, bytes_read: 10 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_counts_keeps_the_promises_of_all_stores() {
        conformance::store(&Counted::new(&MemoryStore::default()), "runs/counted").await.unwrap();
    }
}
