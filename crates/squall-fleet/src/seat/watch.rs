//! What a generator knows of the orchestrator's word.

use std::time::Duration;

use super::{FENCE, FLUSH, Identity};
use crate::message::{Control, Ended, Manifest, Message, Post, Relief, State, Time};
use crate::orchestrator::LEASE;
use crate::ports::{Clock, ETag, Fetched, Store, StoreError, StoreErrorKind};
use crate::{assignments, keys};

/// The orchestrator's newest word, and what it means for this generator.
pub(super) struct Watch<'a> {
    identity: &'a Identity,
    manifest: &'a Manifest,
    pub(super) control: Option<Control>,
    tag: Option<ETag>,
    /// When it was last read, new or not.
    seen_at: Time,
    /// When it was last read for the first time.
    changed_at: Time,
    /// Up to which generation assignments were read.
    generation: u32,
    /// What this generator is to run, and when that was read.
    pub(super) post: Option<(Post, Time)>,
    /// How it is to end.
    pub(super) relief: Option<Relief>,
}

impl<'a> Watch<'a> {
    /// Before anything was read.
    pub(super) fn new(identity: &'a Identity, manifest: &'a Manifest, now: Time) -> Self {
        Self {
            identity,
            manifest,
            control: None,
            tag: None,
            seen_at: now,
            changed_at: now,
            generation: 0,
            post: None,
            relief: None,
        }
    }

    /// Reads control. What was assigned before this generator says that it is ready is not for it.
    pub(super) async fn first_look(
        &mut self,
        store: &impl Store,
        clock: &impl Clock,
    ) -> Result<(), StoreError> {
        self.read_control(store, clock).await?;
        self.generation = self.control.as_ref().map_or(0, |control| control.generation);
        Ok(())
    }

    /// Reads control and what it refers to. Only a look that told everything counts for the fence.
    pub(super) async fn look(&mut self, store: &impl Store, clock: &impl Clock) -> Result<(), StoreError> {
        let began = clock.now();
        match self.read(store, clock).await {
            Ok(true) => self.seen_at = began,
            Ok(false) => {}
            Err(error) if error.kind == StoreErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn read(&mut self, store: &impl Store, clock: &impl Clock) -> Result<bool, StoreError> {
        if !self.read_control(store, clock).await? {
            return Ok(false);
        }
        let last = self.control.as_ref().map_or(0, |control| control.generation);
        while self.generation < last {
            let own = (&*self.identity.nonce, self.manifest.shards);
            let (post, relief) =
                assignments::read(store, &self.manifest.run, self.generation + 1, own).await?;
            if let Some(post) = post.filter(|_| self.post.is_none()) {
                self.post = Some((post, clock.now()));
            }
            self.relief = relief.or(self.relief);
            self.generation += 1;
        }
        Ok(true)
    }

    /// Whether there was a valid word.
    async fn read_control(&mut self, store: &impl Store, clock: &impl Clock) -> Result<bool, StoreError> {
        match store.get(&keys::control(&self.manifest.run), self.tag.as_ref()).await? {
            Fetched::Found { value, tag } => {
                let Ok(control) = Control::from_bytes(&value) else { return Ok(false) };
                self.changed_at = clock.now();
                self.tag = Some(tag);
                self.control = Some(control);
                Ok(true)
            }
            Fetched::NotModified => Ok(true),
            Fetched::Missing => Ok(false),
        }
    }

    /// Whether load is not to begin, or to end at once.
    pub(super) fn is_over(&self) -> bool {
        self.relief == Some(Relief::Leave)
            || self.control.as_ref().is_some_and(|control| control.state >= State::Aborting)
    }

    /// When load has to end unless a newer word is read: at the end of the lease, behind the fence, or before
    /// the environment ends. Before there is load, clocks have not been compared yet, so a lease is as long as
    /// it is, from when it was read.
    pub(super) fn ends_at(&self) -> Time {
        let fence = self.seen_at.plus(FENCE);
        let lease = match &self.control {
            None => fence,
            Some(control) if control.state == State::Waiting => fence.min(self.changed_at.plus(LEASE)),
            Some(control) => fence.min(control.lease_until),
        };
        self.identity.deadline.map_or(lease, |deadline| deadline.minus(FLUSH).min(lease))
    }

    /// Why load has to end now, if it has to.
    pub(super) fn end(&self, now: Time) -> Option<Ended> {
        let is_last = self.identity.deadline.is_some_and(|deadline| now >= deadline.minus(FLUSH));
        match now >= self.ends_at() {
            true if is_last => Some(Ended::OutOfTime),
            true => Some(Ended::LeaseExpired),
            false => None,
        }
    }

    /// How often to look.
    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.manifest.poll_ms.max(1))
    }
}
