//! Drives the state machines over the ports: one for each region's fleet, all at the same time.

mod driver;
mod together;

use std::cell::RefCell;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::join_all;
use squall_metrics::Merged;
use squall_plan::Bundle;
use thiserror::Error;

use self::driver::Driver;
use self::together::Together;
pub use self::together::View;
use crate::attach::Resumed;
use crate::judge::{Judge, Judged};
use crate::message::Time;
use crate::orchestrator::{End, GeneratorRecord, Seats, Settings, Slices};
use crate::ports::{Clock, Queue, Store, StoreError};

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The plan and its inputs.
    pub bundle: Bundle,
    /// What must hold.
    pub judge: Judge,
    /// Whether the failure of one region ends the load in all of them.
    pub all_regions: bool,
    /// Regions of a run that was taken over in the others only, and why.
    pub lost: Vec<(String, Settings, String)>,
}

/// The fleet of a region, to be driven.
#[derive(Debug)]
pub struct Fleet<'a, Q, S> {
    /// The region's name.
    pub region: String,
    /// Where its invitations go.
    pub queue: &'a Q,
    /// Where its words are kept.
    pub store: &'a S,
    /// What the run is there.
    pub settings: Settings,
    /// What there is of the run, if another orchestrator has begun it.
    pub resumed: Option<Resumed>,
}

/// Is told how it goes, at every look.
pub trait Observer {
    /// Where it stands.
    fn look(&mut self, view: &View<'_>);
}

impl<O: Observer> Observer for &mut O {
    fn look(&mut self, view: &View<'_>) {
        (**self).look(view);
    }
}

/// All that is known of a run when it is over.
#[derive(Debug)]
pub struct RunRecord {
    /// When it began.
    pub started_at: Time,
    /// When the load began by the generators' clocks, if it did.
    pub epoch: Option<Time>,
    /// The same instant by the clock of whoever orchestrated.
    pub epoch_here: Option<Time>,
    /// How it ended.
    pub end: End,
    /// What was measured.
    pub merged: Merged,
    /// What became of the thresholds.
    pub judged: Vec<Judged>,
    /// What became of the seats.
    pub seats: Seats,
    /// Everybody who took one.
    pub generators: Vec<GeneratorRecord>,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// Seats that nobody took, in words, if somebody has looked why: their part of the load was others' to make.
    pub absent: Vec<String>,
    /// Seats that were offered in vain without anybody missing them, in words, if somebody has looked why.
    pub throttled: Vec<String>,
    /// How many requests may have been sent at most that nobody has reported.
    pub unknown_requests: Option<u64>,
    /// What lay in the store and could not be used, and why.
    pub problems: Vec<String>,
    /// The same by region, where there are several.
    pub regions: Vec<RegionRecord>,
}

/// What is known of a region of several when the run is over.
#[derive(Debug)]
pub struct RegionRecord {
    /// Its name.
    pub region: String,
    /// What was measured there.
    pub merged: Merged,
    /// What became of its seats.
    pub seats: Seats,
    /// Its slices.
    pub slices: Slices,
    /// What is missing of it, in words.
    pub missing: Vec<String>,
    /// How many requests may have been sent from there at most that nobody has reported.
    pub unknown_requests: Option<u64>,
}

/// Why a run could not be driven on.
#[derive(Debug, Error)]
pub enum OrchestrateError {
    /// Queue or store do not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs a plan on the fleets of one or more regions: from the invitation to the last merged snapshot. Ends the load
/// early when `stop` is ready. Once load has begun, a failure ends the run, but what was measured is kept; where load
/// is made in several regions, it ends the load in its own.
pub async fn orchestrate<Q: Queue, S: Store>(
    fleets: Vec<Fleet<'_, Q, S>>,
    clock: &impl Clock,
    order: RunOrder,
    observer: &mut impl Observer,
    stop: impl Future<Output = ()>,
) -> Result<RunRecord, OrchestrateError> {
    let started_at = clock.now();
    let bundle = order.bundle.clone();
    let together = RefCell::new(Together::new(&fleets, started_at, order, observer));
    let stop = stop.shared();
    let results = {
        let drivers = fleets.into_iter().enumerate().map(|(index, fleet)| {
            Driver::new(&together, index, fleet, bundle.clone()).drive(clock, stop.clone())
        });
        join_all(drivers).await
    };
    if results.iter().all(Result::is_err)
        && let Some(Err(error)) = results.into_iter().next()
    {
        return Err(error.into());
    }
    Ok(together.into_inner().into_record(started_at))
}

#[cfg(test)]
mod tests;
