//! A gateway in front of a quick service: a token bucket for all, for each key or for each address, or so many requests in
//! each window of time, and perhaps a limit of how many are under way at a time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service, micros, seconds};

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
    /// Every so many seconds a bucket is filled up at once, and nothing flows in; 0 for never.
    window_s: f64,
    /// How many requests may be under way at a time; 0 for any number.
    concurrency: u32,
    /// Who shares a bucket.
    per: Per,
    /// Whether a refusal says when to come back.
    retry_after: bool,
    /// By which factor that is true.
    retry_after_factor: f64,
    #[serde(flatten)]
    times: Times,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            burst: 200,
            refill_per_s: 100.0,
            window_s: 0.0,
            concurrency: 0,
            per: Per::All,
            retry_after: true,
            retry_after_factor: 1.0,
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
    crowded: Option<Span>,
    /// How many buckets refused anything.
    empty: u64,
    passed: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at_us: u64,
    has_refused: bool,
    /// When those end that are under way, if that is limited.
    ends_us: BinaryHeap<Reverse<u64>>,
}

/// Why a request is turned away, and after how many seconds it need not be.
enum Refusal {
    NoToken(f64),
    TooMany(f64),
}

impl Model for Gateway {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let (dice, tally, buckets) = (Dice::new(seed), Tally::default(), HashMap::new());
        Self { parameters, dice, tally, buckets, limited: None, crowded: None, empty: 0, passed: 0 }
    }
}

impl Gateway {
    /// Takes a token and sees that there is a place, or says why not. Says whose.
    fn take(&mut self, at_us: u64, ask: &Ask) -> Result<u32, Refusal> {
        let owner = match self.parameters.per {
            Per::All => 0,
            Per::Key => ask.key,
            Per::Address => ask.address,
        };
        let is_known = self.buckets.len() < BUCKETS || self.buckets.contains_key(&owner);
        let owner = if is_known { owner } else { u32::MAX };
        let burst = f64::from(self.parameters.burst);
        let window_us = micros(self.parameters.window_s);
        let refill = if window_us > 0 { 0.0 } else { self.parameters.refill_per_s.max(0.0) };
        let full = || Bucket { tokens: burst, at_us, has_refused: false, ends_us: BinaryHeap::new() };
        let bucket = self.buckets.entry(owner).or_insert_with(full);
        bucket.tokens = burst.min(bucket.tokens + seconds(at_us - bucket.at_us) * refill);
        if window_us > 0 && at_us / window_us > bucket.at_us / window_us {
            bucket.tokens = burst;
        }
        bucket.at_us = at_us;
        while bucket.ends_us.peek().is_some_and(|Reverse(end_us)| *end_us <= at_us) {
            bucket.ends_us.pop();
        }
        let places = self.parameters.concurrency as usize;
        let refusal = if places > 0 && bucket.ends_us.len() >= places {
            let end_us = bucket.ends_us.peek().map_or(at_us, |Reverse(end_us)| *end_us);
            Refusal::TooMany(seconds(end_us - at_us))
        } else if bucket.tokens >= 1.0 - 1e-9 {
            // A token that is whole but for rounding is whole.
            bucket.tokens -= 1.0;
            return Ok(owner);
        } else {
            let missing = 1.0 - bucket.tokens;
            Refusal::NoToken(match at_us.checked_rem(window_us) {
                Some(since_us) => seconds(window_us - since_us),
                None if refill > 0.0 => missing / refill,
                None => f64::from(u32::MAX),
            })
        };
        self.empty += u64::from(!bucket.has_refused);
        bucket.has_refused = true;
        Err(refusal)
    }
}

impl Service for Gateway {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let answer = match self.take(at_us, ask) {
            Ok(owner) => {
                let end_us = at_us + self.parameters.times.draw(&mut self.dice);
                if let Some(bucket) = self.buckets.get_mut(&owner).filter(|_| self.parameters.concurrency > 0)
                {
                    bucket.ends_us.push(Reverse(end_us));
                }
                self.passed += 1;
                Answer::ok(end_us)
            }
            Err(refusal) => {
                let (wait_s, span) = match refusal {
                    Refusal::NoToken(wait_s) => (wait_s, &mut self.limited),
                    Refusal::TooMany(wait_s) => (wait_s, &mut self.crowded),
                };
                Span::note(span, at_us, at_us);
                let refused = Answer::refusal(at_us + self.dice.around(2.0, 0.1), 429, "LimitExceeded");
                let named_s = wait_s * self.parameters.retry_after_factor.max(0.0);
                Answer { retry_after_s: self.parameters.retry_after.then_some(named_s), ..refused }
            }
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::RateLimited, self.limited)
            .with(Kind::ConcurrencyThrottled, self.crowded)
            .number("burst", self.parameters.burst)
            .number("refill_per_s", self.parameters.refill_per_s)
            .number("window_s", self.parameters.window_s)
            .number("concurrency", self.parameters.concurrency)
            .number("per", serde_json::to_value(self.parameters.per).unwrap_or_default())
            .number("passed", self.passed)
            .number("limited", Span::times(self.limited) + Span::times(self.crowded))
            .number("buckets", self.buckets.len())
            .number("buckets_limited", self.empty)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        let limited = (Span::times(self.limited) + Span::times(self.crowded)) as f64;
        metrics.push(Metric::counter("gateway_limited_total", "Requests that found no token.", limited));
        metrics
    }
}
