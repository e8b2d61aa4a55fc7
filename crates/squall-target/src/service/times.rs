//! How long a service's answers take.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::micros;

/// What can be set of that, as a part of a service's parameters.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Half of the answers take longer, when nothing is wrong.
    work_ms: f64,
    /// The standard deviation of times over their mean.
    noise: f64,
}

impl Times {
    pub(crate) fn new(work_ms: f64, noise: f64) -> Self {
        Self { work_ms, noise }
    }

    /// What an answer takes, in microseconds.
    pub(crate) fn draw(self, dice: &mut Dice) -> u64 {
        self.longer(1.0, dice)
    }

    /// What it takes where it takes so many times as long.
    pub(crate) fn longer(self, factor: f64, dice: &mut Dice) -> u64 {
        self.of(self.work_ms * factor, dice)
    }

    /// What something else takes, with the same noise.
    pub(crate) fn of(self, median_ms: f64, dice: &mut Dice) -> u64 {
        dice.around(median_ms, self.noise)
    }

    /// Half of the answers take longer, in microseconds.
    pub(crate) fn median_us(self) -> u64 {
        micros(self.work_ms / 1_000.0)
    }

    /// How many answers a worker gives in a second, by the median.
    pub(crate) fn rate_per_s(self) -> f64 {
        1_000.0 / self.work_ms.max(0.001)
    }

    /// The mean of a log-normal distribution with this median, in seconds.
    pub(crate) fn mean_s(self) -> f64 {
        self.work_ms / 1_000.0 * (self.noise.powi(2) / 2.0).exp()
    }
}
