//! Takes a run over from an orchestrator that is gone, or is to go: everything it knew is in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_plan::Bundle;
use thiserror::Error;

use crate::message::{Assignment, Control, Manifest, Message, MessageError, State, Time};
use crate::orchestrator::{Lasts, Settings};
use crate::ports::{Clock, ETag, Fetched, Put, Store, StoreError, StoreErrorKind};
use crate::{assignments, keys};

/// How often it is tried to have the last word.
const ATTEMPTS: u32 = 10;

/// What another orchestrator has left.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// What was written to take over.
    pub(crate) control: Control,
    pub(crate) tag: ETag,
    pub(crate) assignments: BTreeMap<u32, Assignment>,
    pub(crate) began_at: Time,
    /// How far the store's clock is ahead of ours, in microseconds.
    pub(crate) ahead_us: i64,
}

/// A run that was taken over.
#[derive(Debug, Clone)]
pub struct Attached {
    /// What it is.
    pub manifest: Manifest,
    /// Its plan.
    pub bundle: Bundle,
    /// The rest.
    pub resumed: Resumed,
}

/// Why a run could not be taken over.
#[derive(Debug, Error)]
pub enum AttachError {
    /// There is nothing of it, or it had not begun.
    #[error("there is no run `{0}`")]
    Unknown(String),
    /// What is there cannot be read.
    #[error("what is kept of run `{run}` cannot be read")]
    Unreadable {
        /// Which.
        run: String,
        /// Why.
        #[source]
        source: Option<MessageError>,
    },
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Manifest {
    /// How many generators are wanted, in all regions.
    #[must_use]
    pub fn all_seats(&self) -> u32 {
        let others: u32 = self.regions.iter().map(|region| region.seats).sum();
        self.seats.max(others)
    }

    /// What a run is, with what only its plan says.
    #[must_use]
    pub fn settings(&self, lasts: Lasts) -> Settings {
        Settings {
            run: self.run.clone(),
            name: self.name.clone(),
            bundle: self.bundle.clone(),
            seed: self.seed,
            seats: self.seats,
            least: self.least,
            spares: self.spares,
            interval_s: self.interval_s,
            poll: Duration::from_millis(self.poll_ms),
            gather: Duration::from_millis(self.gather_ms),
            window: Duration::from_millis(self.window_ms),
            lasts,
            detached: false,
            regions: self.regions.clone(),
            all_regions: self.all_regions,
        }
    }
}

/// Becomes the orchestrator of a run, under a higher term. A lease that has run out is final: the load has ended by
/// itself, and what is there is only to be added up.
pub async fn attach(store: &impl Store, clock: &impl Clock, run: &str) -> Result<Attached, AttachError> {
    let unreadable = |source| AttachError::Unreadable { run: run.to_owned(), source };
    let Fetched::Found { value, .. } = store.get(&keys::manifest(run), None).await? else {
        return Err(AttachError::Unknown(run.to_owned()));
    };
    let manifest = Manifest::from_bytes(&value).map_err(|error| unreadable(Some(error)))?;
    let Fetched::Found { value, .. } = store.get(&keys::plan(&manifest.bundle), None).await? else {
        return Err(unreadable(None));
    };
    let bundle = Bundle::from_bytes(&value).map_err(|_| unreadable(None))?;
    for _ in 0..ATTEMPTS {
        let Fetched::Found { value, tag } = store.get(&keys::control(run), None).await? else {
            return Err(AttachError::Unknown(run.to_owned()));
        };
        let control = Control::from_bytes(&value).map_err(|error| unreadable(Some(error)))?;
        let said_at = stored_at(store, run).await?;
        let own = Control { term: control.term + 1, ..control };
        let wrote_at = clock.now();
        let tag = match store.put(&keys::control(run), own.to_bytes(), Put::IfMatch(tag)).await {
            Ok(tag) => tag,
            // The run has said something new meanwhile, or this very write was answered twice.
            Err(error) if error.kind == StoreErrorKind::ConditionFailed => continue,
            Err(error) => return Err(error.into()),
        };
        let stored_at = stored_at(store, run).await?;
        let expired = match said_at.zip(stored_at) {
            Some((before, after)) => after.since(before) >= own.lease_until.since(own.said_at),
            None => wrote_at >= own.lease_until,
        };
        let (control, tag) = if expired && own.state < State::Aborting {
            let aborting = Control { state: State::Aborting, cut_short: true, ..own };
            let tag = store.put(&keys::control(run), aborting.to_bytes(), Put::IfMatch(tag)).await?;
            (aborting, tag)
        } else {
            (own, tag)
        };
        let assignments = assignments::read_all(store, run, control.generation).await?;
        let (began_at, ahead_us) = (manifest.began_at, ahead_us(stored_at, wrote_at));
        return Ok(Attached {
            manifest,
            bundle,
            resumed: Resumed { control, tag, assignments, began_at, ahead_us },
        });
    }
    Err(StoreError::new(StoreErrorKind::Unavailable, format!("write `{}`", keys::control(run))).into())
}

/// When control was written last, by the store's clock, if it says so.
async fn stored_at(store: &impl Store, run: &str) -> Result<Option<Time>, StoreError> {
    let control = keys::control(run);
    let listed = store.list(&control, None).await?;
    Ok(listed.into_iter().find(|listed| listed.key == control).and_then(|listed| listed.written_at))
}

/// How far the store's clock is ahead of ours. It tells seconds: half of one is the best guess, and less is no
/// difference.
fn ahead_us(stored_at: Option<Time>, wrote_at: Time) -> i64 {
    const HALF_US: i64 = 500_000;
    let ahead_us = stored_at.map_or(0, |at| at.0.saturating_add(HALF_US).saturating_sub(wrote_at.0));
    if ahead_us.abs() <= 2 * HALF_US { 0 } else { ahead_us }
}
