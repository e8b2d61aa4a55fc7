//! Chance, one draw after the other, from a seed.

use crate::chance::mix;
use crate::service::micros;

/// The 99th percentile of the normal distribution.
const Z99: f64 = 2.326_347_874;

/// A sequence of draws.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: mix(0x5e2_1ce5, seed), drawn: 0 }
    }

    /// A number in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.drawn += 1;
        (mix(self.seed, self.drawn) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn is(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// A number around 0 with variance 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Microseconds around a median, log-normal; `noise` is the standard deviation of the logarithm, and so nearly
    /// the standard deviation over the mean.
    pub(crate) fn around(&mut self, median_ms: f64, noise: f64) -> u64 {
        micros(median_ms / 1_000.0 * (noise * self.normal()).exp())
    }

    /// Microseconds, log-normal with this median and this 99th percentile.
    pub(crate) fn between(&mut self, median_ms: f64, p99_ms: f64) -> u64 {
        let noise = if median_ms > 0.0 && p99_ms > median_ms { (p99_ms / median_ms).ln() / Z99 } else { 0.0 };
        self.around(median_ms, noise)
    }

    /// A position below a length.
    pub(crate) fn below(&mut self, length: usize) -> usize {
        let length = length.max(1) as u64;
        self.drawn += 1;
        usize::try_from(mix(self.seed, self.drawn) % length).unwrap_or_default()
    }

    /// Microseconds until what happens after so many seconds on average.
    pub(crate) fn waiting(&mut self, mean_s: f64) -> u64 {
        micros(-mean_s * (1.0 - self.uniform()).ln())
    }
}
