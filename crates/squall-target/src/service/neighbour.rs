//! A service on hosts that it shares: now and then somebody else makes one of them slow for some seconds.
//!
//! None of the findings is its name, and nothing that the service's owner could mend causes it: its truth is `healthy`,
//! with the instants at which the tail was somebody else's. To call it a slow dependency is no mistake.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::times::Times;
use crate::service::truth::{Kind, Truth};
use crate::service::{Answer, Ask, Metric, Service, micros, seconds};

/// Visits whose instants are kept.
const KEPT: usize = 1_000;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    #[serde(flatten)]
    times: Times,
    /// How long the neighbour is quiet, on average.
    quiet_s: f64,
    /// How long it is noisy, on average.
    noisy_s: f64,
    /// Which share of requests its host serves.
    share: f64,
    /// How many times as long those take then.
    factor: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { times: Times::new(25.0, 0.12), quiet_s: 25.0, noisy_s: 3.0, share: 0.25, factor: 3.0 }
    }
}

#[derive(Debug)]
pub(crate) struct Neighbour {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    is_noisy: bool,
    next_us: u64,
    visits_s: Vec<[f64; 2]>,
    slowed: u64,
}

impl Model for Neighbour {
    type Parameters = Parameters;

    fn new(seed: u64, mut parameters: Parameters) -> Self {
        parameters.quiet_s = parameters.quiet_s.max(0.1);
        parameters.noisy_s = parameters.noisy_s.max(0.1);
        let mut dice = Dice::new(seed);
        let next_us = dice.waiting(parameters.quiet_s);
        let (tally, work) = (Tally::default(), Work::default());
        Self { parameters, dice, tally, work, is_noisy: false, next_us, visits_s: Vec::new(), slowed: 0 }
    }
}

impl Neighbour {
    fn advance(&mut self, at_us: u64) {
        while self.next_us <= at_us {
            self.is_noisy = !self.is_noisy;
            let mean_s = if self.is_noisy { self.parameters.noisy_s } else { self.parameters.quiet_s };
            let from_us = self.next_us;
            self.next_us += self.dice.waiting(mean_s).max(micros(0.01));
            if self.is_noisy && self.visits_s.len() < KEPT {
                self.visits_s.push([seconds(from_us), seconds(self.next_us)]);
            }
        }
    }
}

impl Service for Neighbour {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        self.advance(at_us);
        let is_slowed = self.dice.is(self.parameters.share) && self.is_noisy;
        self.slowed += u64::from(is_slowed);
        let factor = if is_slowed { self.parameters.factor } else { 1.0 };
        let done_at_us = at_us + self.parameters.times.longer(factor, &mut self.dice);
        self.work.note(at_us, done_at_us);
        self.tally.note(at_us, ask, Answer::ok(done_at_us))
    }

    fn truth(&self) -> Truth {
        let visits: Vec<serde_json::Value> =
            self.visits_s.iter().map(|visit| visit.as_slice().into()).collect();
        let truth = Truth::healthy().number("visits_s", visits).number("slowed", self.slowed);
        Truth { also: vec![Kind::SlowDependency], ..truth }
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        self.advance(at_us);
        let steal = if self.is_noisy { 1.0 - 1.0 / self.parameters.factor.max(1.0) } else { 0.0 };
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter(
                "process_cpu_seconds_total",
                "Time on processors.",
                self.work.total_s(at_us) * 0.3,
            ),
            Metric::gauge("node_cpu_steal_ratio", "Share of a host's processors that others took.", steal),
        ]);
        metrics
    }
}
