//! What bounds a slice besides its plan, told by other threads while it runs: the *end*, an instant at which it is handed
//! over to another generator, and the *fence*, an instant after which nothing may be begun.
//!
//! An end is heard, and each of whom it concerns is called when its time has come (see `ending`). A fence is not heard: it
//! is a number that is looked at with the clock in the hand wherever something begins. So it also holds in a process
//! that was stopped and goes on when it has long passed, with all its timers due at once.

use std::future::Pending;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::offset_us;
use crate::worker::Worker;

/// An offset that no run reaches, either way, in microseconds: 36,000 years.
const FAR: i64 = 1 << 60;

/// A fence that was found passed is kept so far below all others: whatever the time is, it has passed.
const FOUND: i64 = 1 << 62;

/// What other threads may tell a slice. Instants are microseconds since the epoch.
#[derive(Debug)]
pub(crate) struct Bounds {
    epoch: Instant,
    end_us: AtomicI64,
    fence_us: AtomicI64,
    threads: Box<[Bells]>,
}

/// How one thread of a slice is told.
#[derive(Debug, Default)]
struct Bells {
    stop: Notify,
    end: Notify,
}

impl Bounds {
    pub(crate) fn new(epoch: Instant, threads: usize) -> Self {
        Self {
            epoch,
            end_us: AtomicI64::new(i64::MAX),
            fence_us: AtomicI64::new(FAR),
            threads: std::iter::repeat_with(Bells::default).take(threads).collect(),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    pub(crate) fn stop(&self) {
        self.threads.iter().for_each(|bells| bells.stop.notify_one());
    }

    pub(crate) fn end_at(&self, at: Instant) {
        self.end_us.fetch_min(offset_us(self.epoch, at), Ordering::Relaxed);
        self.threads.iter().for_each(|bells| bells.end.notify_one());
    }

    pub(crate) fn allow_until(&self, until: Instant) {
        let until_us = offset_us(self.epoch, until).clamp(-FAR, FAR);
        self.change_fence(|_| until_us);
    }

    /// Waits until the slice is to stop.
    pub(crate) async fn stopped(&self, thread: usize) {
        match self.threads.get(thread) {
            Some(bells) => bells.stop.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until there is an end, or an earlier one.
    pub(crate) async fn end_told(&self, thread: usize) {
        match self.threads.get(thread) {
            Some(bells) => bells.end.notified().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn end_us(&self) -> i64 {
        self.end_us.load(Ordering::Relaxed)
    }

    /// Whether nothing may be begun at this time: the one question that is asked on the way of every request.
    pub(crate) fn is_fenced(&self, now_us: i64) -> bool {
        now_us >= self.fence_us.load(Ordering::Relaxed)
    }

    /// Whether the fence was found passed; nothing moves it any more.
    pub(crate) fn is_shut(&self) -> bool {
        is_found(self.fence_us.load(Ordering::Relaxed))
    }

    /// Where the fence is.
    pub(crate) fn fence_us(&self) -> i64 {
        let fence_us = self.fence_us.load(Ordering::Relaxed);
        if is_found(fence_us) { fence_us + FOUND } else { fence_us }
    }

    /// The fence was found passed: what has been found stays, also if the fence has just been moved.
    fn shut(&self, now_us: i64) {
        self.change_fence(|fence_us| fence_us.min(now_us).max(-FAR) - FOUND);
        self.stop();
    }

    fn change_fence(&self, change: impl Fn(i64) -> i64) {
        let changed = |fence_us| (!is_found(fence_us)).then(|| change(fence_us));
        // Refused only where it was found passed.
        let _ = self.fence_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

fn is_found(fence_us: i64) -> bool {
    fence_us < -FAR
}

impl Worker {
    /// Whether nothing may be begun at this time.
    pub(crate) fn is_fenced(&self, now: Instant) -> bool {
        self.bounds.is_fenced(self.offset_us(now))
    }

    /// Stops the slice, on all its threads, for the fence was found passed.
    pub(crate) fn shut(&self) {
        self.bounds.shut(self.now_us());
        self.fenced.notify_one();
    }

    /// The same for somebody who was about to begin something: nothing follows, for it ends with the slice.
    pub(crate) fn halt<T>(&self) -> Pending<T> {
        self.shut();
        std::future::pending()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_end_counts_and_the_latest_fence() {
        let epoch = Instant::now();
        let at = |s| epoch + Duration::from_secs(s);
        let bounds = Bounds::new(epoch, 1);
        assert!(!bounds.is_fenced(i64::MAX >> 4) && bounds.end_us() == i64::MAX);
        for s in [9, 5, 7] {
            bounds.end_at(at(s));
            bounds.allow_until(at(s));
        }
        assert_eq!((bounds.end_us(), bounds.fence_us()), (5_000_000, 7_000_000));
        assert!(bounds.is_fenced(7_000_000) && !bounds.is_fenced(6_999_999) && !bounds.is_shut());
    }

    #[test]
    fn a_fence_that_was_found_passed_cannot_be_moved() {
        let epoch = Instant::now() + Duration::from_secs(100);
        let bounds = Bounds::new(epoch, 1);
        bounds.allow_until(epoch - Duration::from_secs(50));
        assert!(bounds.is_fenced(-50_000_000) && !bounds.is_fenced(-50_000_001));
        // Moved by somebody else between the look and what follows from it.
        bounds.allow_until(epoch + Duration::from_secs(50));
        bounds.shut(-40_000_000);
        bounds.allow_until(epoch + Duration::from_mins(1));
        assert!(bounds.is_shut() && bounds.is_fenced(-FAR));
        assert_eq!(bounds.fence_us(), -40_000_000);
    }
}
