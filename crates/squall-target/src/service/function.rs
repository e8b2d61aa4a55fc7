//! A serverless function: an instance serves one request at a time, and what waits is up to the policy.
//!
//! The three policies are those that Ustiugov, Amariucai and Grot tell apart in "Analyzing Tail Latency in Serverless
//! Clouds with `STeLLAR`" (IISWC 2021) by bursts of 100 to a function of one second: none waits (AWS), few wait at an
//! instance (Google), many wait while instances are added slowly (Azure). The medians and 99th percentiles that they
//! publish of that test, and of a single cold start on AWS (448 ms, half as long again), are what the profiles are made
//! to give. The times of other single starts and of running instances are of the same order; they could not be compared
//! with the paper's text.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service, micros, seconds};

/// Cold starts whose instants are kept.
const KEPT: usize = 10_000;

/// So many starts within [`CROWD_US`] are in each other's way.
const CROWD: usize = 10;
const CROWD_US: u64 = 1_000_000;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    policy: Policy,
    /// Half of the answers of a running instance take longer, beside the function's own work.
    warm_ms: f64,
    /// One in a hundred takes longer than this.
    warm_p99_ms: f64,
    /// The same of an instance that has to be started first, in all.
    cold_ms: f64,
    cold_p99_ms: f64,
    /// What the function itself takes.
    work_ms: f64,
    /// The standard deviation of that over its mean.
    noise: f64,
    /// An instance that idles so long is gone.
    keep_alive_s: f64,
    /// More instances are not started.
    concurrency: u32,
    /// How much longer a start takes when [`CROWD`] others were begun within a second.
    crowd_ms: f64,
    /// `bounded`: how many requests an instance takes, the one it works on included.
    per_instance: u32,
    /// `unlimited`: how many instances are started at once where there are none.
    at_once: u32,
    /// `unlimited`: how long after one instance the next is started at the earliest, if requests come and wait.
    start_every_s: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            policy: Policy::None,
            warm_ms: 18.0,
            warm_p99_ms: 74.0,
            cold_ms: 448.0,
            cold_p99_ms: 676.0,
            work_ms: 0.0,
            noise: 0.05,
            keep_alive_s: 600.0,
            concurrency: 1_000,
            crowd_ms: 0.0,
            per_instance: 3,
            at_once: 3,
            start_every_s: 5.0,
        }
    }
}

/// What becomes of a request that finds all instances at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    /// It gets an instance of its own.
    None,
    /// It waits at an instance if few do.
    Bounded,
    /// It waits for whichever instance is free first.
    Unlimited,
}

#[derive(Debug)]
pub(crate) struct Function {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    /// By when it is free, and by number.
    instances: BTreeMap<(u64, u64), Instance>,
    /// How many were started, in all.
    started: u64,
    /// The latest starts, of which there are [`CROWD`] at most.
    starts_us: VecDeque<u64>,
    most: usize,
    invocations: u64,
    cold: Option<Span>,
    cold_at_s: Vec<f64>,
    /// When requests were answered for which one was started.
    cold_until_s: Vec<f64>,
    cold_added_us: u64,
    warm: Spread,
    throttled: Option<Span>,
    waited: Option<Span>,
}

/// How much values differ, as they come (Welford).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn take(&mut self, value: f64) {
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }
}

/// An instance: when the requests end that it has taken, in order.
#[derive(Debug, Default)]
struct Instance {
    ends: VecDeque<u64>,
}

impl Model for Function {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        Self {
            parameters,
            dice: Dice::new(seed),
            tally: Tally::default(),
            instances: BTreeMap::new(),
            started: 0,
            starts_us: VecDeque::new(),
            most: 0,
            invocations: 0,
            cold: None,
            cold_at_s: Vec::new(),
            cold_until_s: Vec::new(),
            cold_added_us: 0,
            warm: Spread::default(),
            throttled: None,
            waited: None,
        }
    }
}

/// Where a request goes.
enum Place {
    /// To an instance that runs, or will have ended what it has.
    Instance((u64, u64)),
    /// To one that is started for it.
    New,
}

impl Function {
    fn place(&mut self, at_us: u64) -> Option<Place> {
        let parameters = &self.parameters;
        let keep_alive_us = micros(parameters.keep_alive_s);
        while let Some(oldest) = self.instances.first_entry() {
            if oldest.key().0.saturating_add(keep_alive_us) > at_us {
                break;
            }
            oldest.remove();
        }
        // Of those that idle, the one that idles shortest.
        if let Some((key, _)) = self.instances.range(..=(at_us, u64::MAX)).next_back() {
            return Some(Place::Instance(*key));
        }
        let fewer_than = |number: u32| self.instances.len() < usize::try_from(number).unwrap_or(usize::MAX);
        let (may_start, is_few) = (fewer_than(parameters.concurrency), fewer_than(parameters.at_once));
        let soonest = self.instances.first_key_value().map(|(key, _)| *key);
        match parameters.policy {
            Policy::None => may_start.then_some(Place::New),
            Policy::Bounded => {
                // Of those that have room, the one that is free first.
                let most = usize::try_from(parameters.per_instance).unwrap_or(usize::MAX);
                let has_room = self.instances.iter().find(|(_, instance)| {
                    instance.ends.iter().filter(|end_us| **end_us > at_us).count() < most
                });
                has_room.map(|(key, _)| Place::Instance(*key)).or_else(|| may_start.then_some(Place::New))
            }
            Policy::Unlimited => {
                let every_us = micros(parameters.start_every_s);
                let is_time = self.starts_us.back().is_none_or(|us| us.saturating_add(every_us) <= at_us);
                let ready_us = at_us.saturating_add(micros(parameters.cold_ms / 1_000.0));
                match soonest {
                    Some(key) if !may_start || !is_few && (!is_time || key.0 <= ready_us) => {
                        Some(Place::Instance(key))
                    }
                    _ => may_start.then_some(Place::New),
                }
            }
        }
    }

    /// How much longer a start takes because of others; it is one of them for those that come after it.
    fn crowd_us(&mut self, at_us: u64) -> u64 {
        let is_crowd = self.starts_us.len() == CROWD
            && self.starts_us.front().is_some_and(|first_us| at_us - first_us <= CROWD_US);
        if self.starts_us.len() == CROWD {
            self.starts_us.pop_front();
        }
        self.starts_us.push_back(at_us);
        if is_crowd { micros(self.parameters.crowd_ms / 1_000.0) } else { 0 }
    }

    /// Serves a request at its place; says when it ends.
    fn serve(&mut self, at_us: u64, place: &Place) -> u64 {
        let parameters = &self.parameters;
        let work_us = self.dice.around(parameters.work_ms, parameters.noise);
        let warm_us = self.dice.between(parameters.warm_ms, parameters.warm_p99_ms);
        let (number, mut instance, start_us, takes_us) = match *place {
            Place::Instance(key) => {
                self.warm.take((warm_us + work_us) as f64 / 1_000.0);
                let instance = self.instances.remove(&key).unwrap_or_default();
                (key.1, instance, key.0.max(at_us), warm_us)
            }
            Place::New => {
                let alone_us = self.dice.between(parameters.cold_ms, parameters.cold_p99_ms).max(warm_us);
                let cold_us = alone_us + self.crowd_us(at_us);
                self.started += 1;
                self.cold_added_us += cold_us - warm_us;
                if self.cold_at_s.len() < KEPT {
                    self.cold_at_s.push(seconds(at_us));
                    self.cold_until_s.push(seconds(at_us + cold_us + work_us));
                }
                Span::note(&mut self.cold, at_us, at_us + cold_us + work_us);
                (self.started, Instance::default(), at_us, cold_us)
            }
        };
        let done_at_us = start_us + takes_us + work_us;
        if start_us > at_us {
            Span::note(&mut self.waited, at_us, done_at_us);
        }
        instance.ends.retain(|end_us| *end_us > at_us);
        instance.ends.push_back(done_at_us);
        self.instances.insert((done_at_us, number), instance);
        self.most = self.most.max(self.instances.len());
        done_at_us
    }
}

impl Service for Function {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let answer = match self.place(at_us) {
            Some(place) => {
                self.invocations += 1;
                Answer::ok(self.serve(at_us, &place))
            }
            None => {
                Span::note(&mut self.throttled, at_us, at_us);
                Answer::refusal(at_us + self.dice.around(4.0, 0.1), 429, "TooManyRequestsException")
            }
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        let cold = self.started as f64;
        Truth::healthy()
            .with(Kind::ConcurrencyThrottled, self.throttled)
            .with(Kind::ColdStarts, self.cold)
            .also(if self.waited.is_some() { &[Kind::AutoscalingLag] } else { &[] })
            .number("cold_starts", self.started)
            .number("cold_share", cold / (self.invocations.max(1) as f64))
            .number("cold_start_s", self.cold_at_s.clone())
            .number("cold_until_s", self.cold_until_s.clone())
            .number("warm_deviation_ms", self.warm.deviation())
            .number("cold_added_ms", self.cold_added_us as f64 / 1_000.0 / cold.max(1.0))
            .number("concurrency", self.parameters.concurrency)
            .number("throttled", Span::times(self.throttled))
            .number("queued", Span::times(self.waited))
            .number("most_instances", self.most)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let running = self.instances.range((at_us, u64::MAX)..).count() as f64;
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter("function_invocations_total", "Invocations.", self.invocations as f64),
            Metric::counter(
                "function_cold_starts_total",
                "Instances that were started.",
                self.started as f64,
            ),
            Metric::counter(
                "function_throttles_total",
                "Requests that found no instance.",
                Span::times(self.throttled) as f64,
            ),
            Metric::gauge("function_concurrent_executions", "Instances at work.", running),
            Metric::gauge("function_instances", "Instances.", self.instances.len() as f64),
        ]);
        metrics
    }
}
