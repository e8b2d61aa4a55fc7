//! A service of fixed capacity: so many workers, a queue, and 503 when that is full.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::pool::Pool;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Requests that are served at the same time.
    workers: u32,
    #[serde(flatten)]
    times: Times,
    /// How many may wait.
    queue: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { workers: 16, times: Times::new(40.0, 0.1), queue: 64 }
    }
}

#[derive(Debug)]
pub(crate) struct Fixed {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    pool: Pool,
    refused: u64,
    hurt: Option<Span>,
}

impl Model for Fixed {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let pool = Pool::new(parameters.workers);
        let (dice, tally, work) = (Dice::new(seed), Tally::default(), Work::default());
        Self { parameters, dice, tally, work, pool, refused: 0, hurt: None }
    }
}

impl Service for Fixed {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let parameters = &self.parameters;
        let is_full = self.pool.waiting(at_us) >= parameters.queue as usize;
        let answer = if is_full && self.pool.start_us(at_us) > at_us {
            self.refused += 1;
            Span::note(&mut self.hurt, at_us, at_us);
            Answer::refusal(at_us + parameters.times.of(2.0, &mut self.dice), 503, "queue is full")
        } else {
            let takes_us = parameters.times.draw(&mut self.dice);
            let start_us = self.pool.serve(at_us, takes_us);
            self.work.note(start_us, start_us + takes_us);
            if start_us - at_us > parameters.times.median_us() {
                Span::note(&mut self.hurt, at_us, at_us);
            }
            Answer::ok(start_us + takes_us)
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        let capacity_rps = self.pool.len() as f64 / self.parameters.times.mean_s().max(1e-6);
        Truth::healthy()
            .with(Kind::HardCapacityLimit, self.hurt)
            .number("capacity_rps", capacity_rps)
            .number("knee_users", self.pool.len())
            .number("refused", self.refused)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        let busy = self.work.busy(at_us.saturating_sub(5_000_000), at_us) / self.pool.len() as f64;
        metrics.extend([
            Metric::counter("process_cpu_seconds_total", "Time on processors.", self.work.total_s(at_us)),
            Metric::gauge("workers_busy_ratio", "Share of workers at work.", busy),
            Metric::gauge("queue_length", "Requests that wait.", self.pool.waiting(at_us) as f64),
        ]);
        metrics
    }
}
