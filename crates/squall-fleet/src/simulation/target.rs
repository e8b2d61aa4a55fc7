//! The pretended target: it knows which arrivals there are, and counts what comes.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use squall_plan::schedule::ArrivalSchedule;
use squall_plan::{Bundle, Load, compile};

/// What the target counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Requests.
    pub total: u64,
    /// Requests that had come before.
    pub twice: u64,
    /// Requests that the plan does not have.
    pub foreign: u64,
    /// Requests of those whose clock is wrong by more than 3.2 s.
    pub mistimed: u64,
}

/// A clock that is wrong by 2 s gets no slice: that is told by the store's, in whole seconds, and a word is on its way.
const MISTIMED: Duration = Duration::from_millis(3_200);

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Target {
    seen: RefCell<Vec<u64>>,
    received: Cell<Received>,
    planned: u64,
    senders: Cell<usize>,
}

impl Target {
    pub(super) fn new(planned: u64) -> Self {
        let words = usize::try_from(planned.div_ceil(64)).unwrap_or(0);
        Self { seen: RefCell::new(vec![0; words]), planned, ..Self::default() }
    }

    /// Takes the request of an arrival, of somebody whose clock is wrong by so much.
    pub(super) fn receive(&self, ordinal: u64, wrong_by: Duration) {
        let mut received = self.received.get();
        received.total += 1;
        received.mistimed += u64::from(wrong_by > MISTIMED);
        if ordinal >= self.planned {
            received.foreign += 1;
        } else if let Some(word) = usize::try_from(ordinal / 64).ok().and_then(|at| self.word(at)) {
            let bit = 1 << (ordinal % 64);
            received.twice += u64::from(word & bit != 0);
            if let Some(place) = self.seen.borrow_mut().get_mut(usize::try_from(ordinal / 64).unwrap_or(0)) {
                *place |= bit;
            }
        }
        self.received.set(received);
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.seen.borrow().get(at).copied()
    }

    /// Somebody begins, or ends, to make load.
    pub(super) fn sender(&self, begins: bool) {
        let senders = self.senders.get();
        self.senders.set(if begins { senders + 1 } else { senders.saturating_sub(1) });
    }

    pub(super) fn senders(&self) -> usize {
        self.senders.get()
    }

    pub(super) fn received(&self) -> Received {
        self.received.get()
    }
}

/// How many arrivals a plan has.
pub(super) fn planned(bundle: &Bundle) -> u64 {
    let Ok(compiled) = compile(bundle) else { return 0 };
    let loads = compiled.plan.loads.iter().map(|placed| match &placed.load {
        Load::Open(load) => ArrivalSchedule::new(load).total(),
        Load::Closed(_) => 0,
    });
    loads.sum()
}
