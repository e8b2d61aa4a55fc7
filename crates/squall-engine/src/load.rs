//! A slice's part of one of the plan's loads.

use std::cell::RefCell;

use squall_metrics::LoadId;
use squall_plan::random::Deck;
use squall_plan::{PlacedLoad, Plan};

use crate::clock::in_micros;

/// Users and arrivals of different loads must be different people: their numbers differ from this bit on.
const ORDINAL_BITS: u32 = 40;

/// A load, and who does what in it.
#[derive(Debug)]
pub(crate) struct LoadRun {
    pub(crate) id: LoadId,
    deck: RefCell<Deck>,
    scenarios: Vec<usize>,
}

impl LoadRun {
    pub(crate) fn new(plan: &Plan, index: usize, seed: u64) -> Self {
        let scenarios = plan.loads[index].scenarios.clone();
        let weights: Vec<u32> = scenarios.iter().map(|&scenario| plan.scenarios[scenario].weight).collect();
        let id = LoadId(u16::try_from(index).unwrap_or(u16::MAX));
        Self { id, deck: RefCell::new(Deck::new(&weights, seed)), scenarios }
    }

    /// The scenario of user or arrival number `ordinal`.
    pub(crate) fn scenario(&self, ordinal: u64) -> usize {
        self.scenarios[self.deck.borrow_mut().deal(ordinal)]
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
