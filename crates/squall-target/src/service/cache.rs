//! A service with a cache that is empty at first: reads are slow until it is full.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, ENDPOINTS, Metric, Service, seconds};

/// More things are not cached.
const ITEMS: u32 = 10_000_000;

/// How much of the hit ratio each read is.
const SHARE: f64 = 0.01;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many things are read, each as likely.
    items: u32,
    /// Half of the reads that find their thing take longer.
    hit_ms: f64,
    /// Of those that do not.
    miss_ms: f64,
    write_ms: f64,
    /// The standard deviation of times over their mean.
    noise: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { items: 4_000, hit_ms: 8.0, miss_ms: 120.0, write_ms: 30.0, noise: 0.12 }
    }
}

#[derive(Debug)]
pub(crate) struct Cache {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    cached: Vec<bool>,
    hits: u64,
    misses: Option<Span>,
    /// The hit ratio of late.
    ratio: f64,
    warm_us: Option<u64>,
}

impl Model for Cache {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let cached = vec![false; parameters.items.clamp(1, ITEMS) as usize];
        let (dice, tally) = (Dice::new(seed), Tally::default());
        Self { parameters, dice, tally, cached, hits: 0, misses: None, ratio: 0.0, warm_us: None }
    }
}

impl Cache {
    /// Whether a read finds its thing, which it does from now on.
    fn read(&mut self, at_us: u64) -> bool {
        let position = self.dice.below(self.cached.len());
        let is_hit = self.cached.get(position).copied().unwrap_or(true);
        if let Some(cached) = self.cached.get_mut(position) {
            *cached = true;
        }
        self.ratio += SHARE * (f64::from(u8::from(is_hit)) - self.ratio);
        if self.ratio >= 0.9 && self.warm_us.is_none() {
            self.warm_us = Some(at_us);
        }
        if is_hit {
            self.hits += 1;
        } else if self.warm_us.is_none() {
            Span::note(&mut self.misses, at_us, at_us);
        }
        is_hit
    }
}

impl Service for Cache {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let median_ms = if ask.is_write {
            self.parameters.write_ms
        } else if self.read(at_us) {
            self.parameters.hit_ms
        } else {
            self.parameters.miss_ms
        };
        let done_at_us = at_us + self.dice.around(median_ms, self.parameters.noise);
        self.tally.note(at_us, ask, Answer::ok(done_at_us))
    }

    fn truth(&self) -> Truth {
        let reads: Vec<&str> =
            ENDPOINTS.iter().filter(|endpoint| !endpoint.is_write).map(|endpoint| endpoint.name).collect();
        Truth::healthy()
            .with(Kind::WarmUp, self.misses)
            .only(&reads)
            .number("warm_s", self.warm_us.map(seconds))
            .number("hit_ratio", self.ratio)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter("cache_hits_total", "Reads that found their thing.", self.hits as f64),
            Metric::gauge("cache_hit_ratio", "Share of the last reads that found their thing.", self.ratio),
        ]);
        metrics
    }
}
