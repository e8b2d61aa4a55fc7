//! Chance that follows from a seed.

use std::cell::Cell;
use std::time::Duration;

/// A sequence of draws: `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub struct Dice {
    state: Cell<u64>,
}

impl Dice {
    /// With this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    /// Any number.
    pub fn roll(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Other dice, whose draws do not depend on how often these are rolled from now on.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::new(self.roll())
    }

    /// Whether something happens that happens so many times of a thousand.
    pub fn happens(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.roll() % 1_000 < u64::from(per_mille)
    }

    /// A duration between two others.
    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        let us = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.roll() % us.max(1))
    }
}
