//! Intervals by drawing again from what was seen, and the seeded chance that takes.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::robust::quantile;

/// So many times is drawn.
const DRAWS: usize = 200;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// In 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With mean 0 and variance 1: twelve uniform numbers added up.
    #[cfg(test)]
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn below(&mut self, count: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = (self.uniform() * count as f64) as usize;
        place.min(count.saturating_sub(1))
    }
}

/// The interval that holds a statistic of a series with 90 %, by the moving-block bootstrap: blocks of neighbours stay
/// together, for neighbours resemble each other. `None` where the statistic has no value, or there is too little.
pub(crate) fn interval<T: Copy>(
    values: &[T],
    block: usize,
    statistic: impl Fn(&[T]) -> Option<f64>,
) -> Option<(f64, f64)> {
    let block = block.clamp(1, (values.len() / 3).max(1));
    if values.len() < 4 {
        return None;
    }
    let mut chance = Chance::new(0x0517_1a11);
    let mut found = Vec::with_capacity(DRAWS);
    let mut drawn = Vec::with_capacity(values.len() + block);
    for _ in 0..DRAWS {
        drawn.clear();
        while drawn.len() < values.len() {
            let begin = chance.below(values.len() - block + 1);
            drawn.extend_from_slice(&values[begin..begin + block]);
        }
        drawn.truncate(values.len());
        found.extend(statistic(&drawn));
    }
    if found.len() < DRAWS / 2 {
        return None;
    }
    Some((quantile(&found, 0.05)?, quantile(&found, 0.95)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::robust::mean;

    #[test]
    fn nine_of_ten_intervals_hold_the_mean() {
        let mut chance = Chance::new(3);
        let held = (0..200).filter(|_| {
            let values: Vec<f64> = (0..60).map(|_| 5.0 + chance.normal()).collect();
            let (low, high) = interval(&values, 1, |values| Some(mean(values))).unwrap();
            (low..=high).contains(&5.0)
        });
        let held = held.count();
        assert!((165..=195).contains(&held), "{held}");
    }

    #[test]
    fn too_little_has_no_interval() {
        assert_eq!(interval(&[1.0, 2.0], 5, |values| Some(mean(values))), None);
        assert_eq!(interval(&[1.0; 9], 5, |_| None), None);
    }
}
