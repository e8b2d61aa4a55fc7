//! A service without trouble: noise, and nothing else.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::truth::Truth;
use crate::service::{Answer, Ask, Metric, Service};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Half of the reads take longer.
    read_ms: f64,
    /// Half of the writes take longer.
    write_ms: f64,
    /// The standard deviation of times over their mean.
    noise: f64,
    /// Which share of requests takes three times as long, as everywhere.
    slow_share: f64,
    /// Which share of requests fails, as everywhere.
    error_share: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { read_ms: 20.0, write_ms: 45.0, noise: 0.15, slow_share: 0.005, error_share: 0.0005 }
    }
}

#[derive(Debug)]
pub(crate) struct Healthy {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
}

impl Model for Healthy {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        Self { parameters, dice: Dice::new(seed), tally: Tally::default(), work: Work::default() }
    }
}

impl Service for Healthy {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let parameters = &self.parameters;
        let median_ms = if ask.is_write { parameters.write_ms } else { parameters.read_ms };
        let slow = if self.dice.is(parameters.slow_share) { 3.0 } else { 1.0 };
        let done_at_us = at_us + self.dice.around(median_ms * slow, parameters.noise);
        self.work.note(at_us, done_at_us);
        let answer = if self.dice.is(parameters.error_share) {
            Answer::refusal(done_at_us, 500, "internal error")
        } else {
            Answer::ok(done_at_us)
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        let cpu_s = self.work.total_s(at_us) * 0.2;
        metrics.push(Metric::counter("process_cpu_seconds_total", "Time on processors.", cpu_s));
        metrics
    }
}
