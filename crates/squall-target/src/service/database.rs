//! A database whose writes wait for each other's locks while reads do not.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::pool::Pool;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, ENDPOINTS, Metric, Service, micros};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Half of the reads take longer.
    read_ms: f64,
    /// Half of the writes hold their lock longer, when none waits.
    write_ms: f64,
    /// The standard deviation of times over their mean.
    noise: f64,
    /// How many writes go on at the same time.
    locks: u32,
    /// By which share each write that waits makes a lock be held longer, up to twice as long.
    contention: f64,
    /// Who would wait longer for a lock gets 500.
    lock_timeout_ms: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            read_ms: 12.0,
            write_ms: 40.0,
            noise: 0.12,
            locks: 2,
            contention: 0.01,
            lock_timeout_ms: 3_000.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Database {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    locks: Pool,
    hurt: Option<Span>,
    timeouts: u64,
}

impl Model for Database {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let locks = Pool::new(parameters.locks);
        let (dice, tally) = (Dice::new(seed), Tally::default());
        Self { parameters, dice, tally, locks, hurt: None, timeouts: 0 }
    }
}

impl Database {
    fn write(&mut self, at_us: u64) -> Answer {
        let parameters = &self.parameters;
        let wait_us = self.locks.start_us(at_us) - at_us;
        if wait_us > micros(parameters.write_ms / 1_000.0) {
            Span::note(&mut self.hurt, at_us, at_us);
        }
        let timeout_us = micros(parameters.lock_timeout_ms / 1_000.0);
        if wait_us > timeout_us {
            self.timeouts += 1;
            return Answer::refusal(at_us + timeout_us, 500, "lock wait timeout exceeded");
        }
        let longer = (1.0 + parameters.contention.max(0.0) * self.locks.waiting(at_us) as f64).min(2.0);
        let holds_us = self.dice.around(parameters.write_ms * longer, parameters.noise);
        Answer::ok(self.locks.serve(at_us, holds_us) + holds_us)
    }
}

impl Service for Database {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let answer = if ask.is_write {
            self.write(at_us)
        } else {
            Answer::ok(at_us + self.dice.around(self.parameters.read_ms, self.parameters.noise))
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        let writes: Vec<&str> =
            ENDPOINTS.iter().filter(|endpoint| endpoint.is_write).map(|endpoint| endpoint.name).collect();
        let write_capacity_rps = self.locks.len() as f64 * 1_000.0 / self.parameters.write_ms.max(0.001);
        Truth::healthy()
            .with(Kind::WriteContention, self.hurt)
            .only(&writes)
            .number("write_capacity_rps", write_capacity_rps)
            .number("lock_timeouts", self.timeouts)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let waiting = self.locks.waiting(at_us) as f64;
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::gauge("database_lock_waiters", "Writes that wait for a lock.", waiting),
            Metric::counter(
                "database_lock_timeouts_total",
                "Writes that waited too long.",
                self.timeouts as f64,
            ),
        ]);
        metrics
    }
}
