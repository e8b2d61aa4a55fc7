//! A front that gives up early and asks again, before a backend that goes on with what was given up: after a blip the
//! repeated work keeps the backend busy, and the storm lasts (Bronson and others, "Metastable Failures in Distributed
//! Systems", `HotOS` 2021).

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::pool::Pool;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service, micros, seconds};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Requests that the backend serves at the same time.
    workers: u32,
    #[serde(flatten)]
    times: Times,
    /// How many may wait for the backend.
    queue: u32,
    /// After how long the front gives up.
    timeout_ms: f64,
    /// How often it asks again.
    retries: u32,
    /// When the backend stands still.
    blip_s: f64,
    /// For how long.
    blip_for_s: f64,
    /// When the front no longer asks again; 0 for never.
    until_s: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            workers: 16,
            times: Times::new(40.0, 0.1),
            queue: 200,
            timeout_ms: 250.0,
            retries: 3,
            blip_s: 60.0,
            blip_for_s: 3.0,
            until_s: 0.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Retries {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    pool: Pool,
    has_blipped: bool,
    asked: u64,
    attempts: u64,
    asked_in_storm: u64,
    attempts_in_storm: u64,
    storm: Option<Span>,
}

impl Model for Retries {
    type Parameters = Parameters;

    fn new(seed: u64, mut parameters: Parameters) -> Self {
        parameters.retries = parameters.retries.min(20);
        Self {
            dice: Dice::new(seed),
            tally: Tally::default(),
            work: Work::default(),
            pool: Pool::new(parameters.workers),
            has_blipped: false,
            asked: 0,
            attempts: 0,
            asked_in_storm: 0,
            attempts_in_storm: 0,
            storm: None,
            parameters,
        }
    }
}

impl Retries {
    /// One attempt: when it ends, if the backend took it.
    fn attempt(&mut self, at_us: u64) -> Option<u64> {
        self.attempts += 1;
        if self.pool.waiting(at_us) >= self.parameters.queue as usize {
            return None;
        }
        let takes_us = self.parameters.times.draw(&mut self.dice);
        let start_us = self.pool.serve(at_us, takes_us);
        self.work.note(start_us, start_us + takes_us);
        Some(start_us + takes_us)
    }

    /// The backend's places are given when a request comes, those of its later attempts too: these are ahead of what
    /// comes in the meantime, but as much work.
    fn ask_again_and_again(&mut self, at_us: u64) -> Answer {
        let is_over = self.parameters.until_s > 0.0 && seconds(at_us) >= self.parameters.until_s;
        let retries = if is_over { 0 } else { self.parameters.retries };
        let timeout_us = micros(self.parameters.timeout_ms / 1_000.0);
        let mut now_us = at_us;
        for _ in 0..=retries {
            now_us = match self.attempt(now_us) {
                Some(done_us) if done_us <= now_us + timeout_us => return Answer::ok(done_us),
                Some(_) => now_us + timeout_us,
                None => now_us + self.dice.around(20.0, 0.2),
            };
        }
        Answer::refusal(now_us, 504, "backend timed out")
    }
}

impl Service for Retries {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let parameters = &self.parameters;
        if !self.has_blipped && parameters.blip_for_s > 0.0 && seconds(at_us) >= parameters.blip_s {
            self.has_blipped = true;
            self.pool.stall(micros(parameters.blip_s + parameters.blip_for_s));
        }
        self.asked += 1;
        let before = self.attempts;
        let answer = self.ask_again_and_again(at_us);
        if self.attempts - before > 1 {
            Span::note(&mut self.storm, at_us, at_us);
        }
        if self.storm.is_some() {
            self.asked_in_storm += 1;
            self.attempts_in_storm += self.attempts - before;
        }
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        // A request that is repeated now and then is no storm.
        let storm = self.storm.filter(|storm| storm.times >= 20);
        let amplification = self.attempts_in_storm as f64 / self.asked_in_storm.max(1) as f64;
        Truth::healthy()
            .with(Kind::RetryStorm, storm)
            .also(&[Kind::HardCapacityLimit])
            .number("blip_s", self.parameters.blip_s)
            .number("blip_for_s", self.parameters.blip_for_s)
            .number("amplification", amplification)
            .number("repeated", Span::times(self.storm))
            .number("capacity_rps", self.pool.len() as f64 * self.parameters.times.rate_per_s())
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter("backend_requests_total", "What the backend was asked.", self.attempts as f64),
            Metric::counter(
                "backend_retries_total",
                "What the backend was asked again.",
                (self.attempts - self.asked) as f64,
            ),
            Metric::counter("process_cpu_seconds_total", "Time on processors.", self.work.total_s(at_us)),
        ]);
        metrics
    }
}
