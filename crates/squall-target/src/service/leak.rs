//! A service that leaks: each request makes all later ones a little slower.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    #[serde(flatten)]
    times: Times,
    /// By which share of that a thousand requests make the next one longer.
    growth: f64,
    /// How much memory a request leaves behind.
    leak_kb: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { times: Times::new(25.0, 0.12), growth: 0.03, leak_kb: 20.0 }
    }
}

#[derive(Debug)]
pub(crate) struct Leak {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    served: u64,
    first_us: Option<u64>,
    hurt: Option<Span>,
}

impl Model for Leak {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let (dice, tally, work) = (Dice::new(seed), Tally::default(), Work::default());
        Self { parameters, dice, tally, work, served: 0, first_us: None, hurt: None }
    }
}

impl Leak {
    /// How many times as long as at first an answer takes.
    fn factor(&self) -> f64 {
        1.0 + self.parameters.growth.max(0.0) * self.served as f64 / 1_000.0
    }
}

impl Service for Leak {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let first_us = *self.first_us.get_or_insert(at_us);
        let factor = self.factor();
        let done_at_us = at_us + self.parameters.times.longer(factor, &mut self.dice);
        self.served += 1;
        self.work.note(at_us, done_at_us);
        // Less is nothing that anybody could see.
        if factor > 1.15 {
            Span::note(&mut self.hurt, first_us, at_us);
        }
        self.tally.note(at_us, ask, Answer::ok(done_at_us))
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::SteadyDegradation, self.hurt)
            .number("factor", self.factor())
            .number("growth_per_1000", self.parameters.growth)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let leaked = self.parameters.leak_kb * 1_024.0 * self.served as f64;
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter(
                "process_cpu_seconds_total",
                "Time on processors.",
                self.work.total_s(at_us) * 0.3,
            ),
            Metric::gauge("process_resident_memory_bytes", "Memory.", 200.0 * 1_048_576.0 + leaked),
        ]);
        metrics
    }
}
