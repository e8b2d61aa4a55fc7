//! A gateway in front of a quick service: a token bucket for all, for each key or for each address.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service, seconds};

/// Buckets that are kept; whoever comes later shares one.
const BUCKETS: usize = 100_000;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many requests a bucket lets through at once when it is full.
    burst: u32,
    /// How many tokens flow into it in a second.
    refill_per_s: f64,
    /// Who shares a bucket.
    per: Per,
    /// Whether a refusal says when to come back.
    retry_after: bool,
    #[serde(flatten)]
    times: Times,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            burst: 200,
            refill_per_s: 100.0,
            per: Per::All,
            retry_after: true,
            times: Times::new(20.0, 0.1),
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    All,
    Key,
    Address,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    buckets: HashMap<u32, Bucket>,
    limited: Option<Span>,
    /// How many buckets refused anything.
    empty: u64,
    passed: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_us: u64,
    has_refused: bool,
}

impl Model for Gateway {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let (dice, tally, buckets) = (Dice::new(seed), Tally::default(), HashMap::new());
        Self { parameters, dice, tally, buckets, limited: None, empty: 0, passed: 0 }
    }
}

impl Gateway {
    /// Takes a token, or says after how many seconds there will be one.
    fn take(&mut self, at_us: u64, ask: &Ask) -> Result<(), f64> {
        let owner = match self.parameters.per {
            Per::All => 0,
            Per::Key => ask.key,
            Per::Address => ask.address,
        };
        let is_known = self.buckets.len() < BUCKETS || self.buckets.contains_key(&owner);
        let (burst, refill) = (f64::from(self.parameters.burst), self.parameters.refill_per_s.max(0.0));
        let full = Bucket { tokens: burst, at_us, has_refused: false };
        let bucket = self.buckets.entry(if is_known { owner } else { u32::MAX }).or_insert(full);
        bucket.tokens = burst.min(bucket.tokens + seconds(at_us - bucket.at_us) * refill);
        bucket.at_us = at_us;
        // A token that is whole but for rounding is whole.
        if bucket.tokens >= 1.0 - 1e-9 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait_s = if refill > 0.0 { (1.0 - bucket.tokens) / refill } else { f64::from(u32::MAX) };
        self.empty += u64::from(!bucket.has_refused);
        bucket.has_refused = true;
        Err(wait_s)
    }
}

impl Service for Gateway {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let answer = match self.take(at_us, ask) {
            Ok(()) => {
                self.passed += 1;
                Answer::ok(at_us + self.parameters.times.draw(&mut self.dice))
            }
            Err(wait_s) => {
                Span::note(&mut self.limited, at_us, at_us);
                let refused = Answer::refusal(at_us + self.dice.around(2.0, 0.1), 429, "LimitExceeded");
                Answer { retry_after_s: self.parameters.retry_after.then_some(wait_s), ..refused }
            }
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::RateLimited, self.limited)
            .number("burst", self.parameters.burst)
            .number("refill_per_s", self.parameters.refill_per_s)
            .number("per", serde_json::to_value(self.parameters.per).unwrap_or_default())
            .number("passed", self.passed)
            .number("limited", Span::times(self.limited))
            .number("buckets", self.buckets.len())
            .number("buckets_limited", self.empty)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        let limited = Span::times(self.limited) as f64;
        metrics.push(Metric::counter("gateway_limited_total", "Requests that found no token.", limited));
        metrics
    }
}
