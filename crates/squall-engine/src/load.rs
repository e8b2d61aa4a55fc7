//! A slice's part of one of the plan's loads.

use std::cell::RefCell;

use squall_metrics::LoadId;
use squall_plan::expression::Turn;
use squall_plan::random::Deck;
use squall_plan::schedule::UserSchedule;
use squall_plan::{Load, PlacedLoad, Plan};

use crate::clock::in_micros;

/// Users and arrivals of different loads must be different people: their numbers differ from this bit on.
const ORDINAL_BITS: u32 = 40;

/// A load, and who does what in it.
#[derive(Debug)]
pub(crate) struct LoadRun {
    pub(crate) id: LoadId,
    deck: RefCell<Deck>,
    scenarios: Vec<usize>,
    /// How many loads there are, and how many users this one has.
    loads: u64,
    users: u64,
}

impl LoadRun {
    pub(crate) fn new(plan: &Plan, index: usize, seed: u64) -> Self {
        let scenarios = plan.loads[index].scenarios.clone();
        let weights: Vec<u32> = scenarios.iter().map(|&scenario| plan.scenarios[scenario].weight).collect();
        let users = match &plan.loads[index].load {
            Load::Closed(load) => u64::from(UserSchedule::new(load).users()),
            Load::Open(load) => u64::from(load.max_users),
        };
        let id = LoadId(u16::try_from(index).unwrap_or(u16::MAX));
        Self {
            id,
            deck: RefCell::new(Deck::new(&weights, seed)),
            scenarios,
            loads: plan.loads.len() as u64,
            users,
        }
    }

    /// The scenario of user or arrival number `ordinal`.
    pub(crate) fn scenario(&self, ordinal: u64) -> usize {
        self.scenarios[self.deck.borrow_mut().deal(ordinal)]
    }

    /// Which rows of data belong to a user in an iteration: of the closed model the user's own, else that of an
    /// arrival. Loads that go on side by side take rows by turns.
    pub(crate) fn turn(&self, user: u64, iteration: u64, arrival: Option<u64>) -> Turn {
        let among_all = |number: u64| number.saturating_mul(self.loads).saturating_add(u64::from(self.id.0));
        let iterations_before = iteration.saturating_sub(1).saturating_mul(self.users);
        Turn {
            user: among_all(user),
            users: self.users.saturating_mul(self.loads),
            iteration: among_all(arrival.unwrap_or(iterations_before.saturating_add(user))),
        }
    }

    /// The number of a user or arrival among those of all loads.
    pub(crate) fn ordinal(&self, ordinal: u64) -> u64 {
        ordinal | u64::from(self.id.0) << ORDINAL_BITS
    }
}

/// From the epoch to an instant of a load, in microseconds.
pub(crate) fn offset_us(placed: &PlacedLoad, at_us: u64) -> u64 {
    at_us.saturating_add(in_micros(placed.start))
}
