//! What becomes of requests that find all instances at work: from bursts to a function that takes long.
//!
//! The burst that follows at once finds every instance there is, and each of them takes one request first: the share of
//! those that are answered in the time of one is the share of instances. What the burst before it did is told by how soon
//! so many were there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::Kinds;
use super::{CROWD, Found, Sent, When};
use crate::estimate::{Estimate, count, quantile, together};

/// Requests that take less are not told from those that waited for another one.
const SLOW_US: f64 = 50_000.0;

/// No instance has a queue that is bounded by so many.
const LONG_QUEUE: f64 = 16.0;

/// So few instances may be all that are started at once, however many requests wait.
const FEW: f64 = 7.5;

/// What becomes of a request that finds all instances at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Queueing {
    /// It gets an instance of its own (AWS).
    None,
    /// It waits at an instance if few do (Google).
    Bounded,
    /// It waits with all others for the next that is free, while instances are added slowly (Azure).
    Unlimited,
}

/// A burst that found too few instances, and the one that followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub cold: Sent<'a>,
    pub then: Sent<'a>,
}

/// What bursts say of queues.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Queues {
    pub policy: Queueing,
    /// How many requests an instance takes.
    pub per_instance: Option<Estimate>,
    /// How many instances were started at once.
    pub at_once: Option<Estimate>,
    /// How many were started a second after that.
    pub per_s: Option<Estimate>,
}

impl<'a> Found<'a> {
    /// Whether requests take long enough, and evenly enough, for waiting to be seen.
    pub(super) fn shows_queues(&self) -> bool {
        let warm = self.warm.and_then(|warm| Kinds::of(&warm.observed.good_us, std::iter::empty()));
        self.warm_us().is_some_and(|us| us >= SLOW_US) && warm.is_some_and(|kinds| kinds.is_even())
    }

    /// Which share of a burst was answered in the time of one request: as many as there were instances.
    pub(super) fn first_share(&self, sent: &Sent<'_>) -> Option<f64> {
        let (warm_us, pairs) = (self.warm_us()?, &sent.done.observed.good_us);
        let all = count(pairs);
        let first = pairs
            .iter()
            .filter(|pair| (pair.0 as f64) < 1.5 * warm_us)
            .map(|pair| pair.1 as f64)
            .sum::<f64>();
        (all > 0 && self.shows_queues()).then(|| first / all as f64)
    }

    /// Whether a burst's requests do not wait for each other: there is only one, or each is known to get an instance.
    pub(super) fn waits_for_none(&self, sent: &Sent<'_>) -> bool {
        sent.size == 1 || self.queues() == Some(false)
    }

    /// Whether requests wait for each other, by the last of bursts shortly after each other; `None` if it cannot be seen.
    pub(super) fn queues(&self) -> Option<bool> {
        let crowd = |sent: &&Sent<'_>| sent.size >= 2 && matches!(sent.when, When::Short | When::Count);
        let last = self.whole().filter(crowd).max_by_key(|sent| sent.size)?;
        let last = self.whole().filter(crowd).rfind(|sent| sent.size == last.size)?;
        self.first_share(last).map(|share| share < 0.9)
    }

    /// Bursts that found no instance, or else too few, each with the one that followed.
    pub(super) fn pairs(&self) -> Vec<Pair<'a>> {
        let of = |first: When, second: When| -> Vec<Pair<'a>> {
            let pairs = self.bursts.windows(2).filter_map(|pair| {
                let (cold, then) = (pair[0], pair[1]);
                let fits =
                    cold.when == first && then.when == second && cold.came_at_once() && then.came_at_once();
                (fits && cold.size == then.size && cold.size >= CROWD).then_some(Pair { cold, then })
            });
            pairs.collect()
        };
        let long = of(When::Long, When::Count);
        if long.is_empty() { of(When::First, When::Short) } else { long }
    }

    /// What two of three pairs say; `None` where so many do not agree, or say nothing.
    pub(super) fn queueing(&self) -> Option<Queues> {
        let pairs = self.pairs();
        let said: Vec<Queues> = pairs.iter().filter_map(|pair| self.queues_of(pair)).collect();
        let alike = |one: &Queues| said.iter().filter(|other| other.policy == one.policy).count();
        let most = *said.iter().max_by_key(|one| alike(one))?;
        let agree = || said.iter().filter(|one| one.policy == most.policy);
        (agree().count() * 3 >= pairs.len() * 2).then(|| Queues {
            per_instance: middle(agree().filter_map(|one| one.per_instance)),
            at_once: middle(agree().filter_map(|one| one.at_once)),
            per_s: middle(agree().filter_map(|one| one.per_s)),
            ..most
        })
    }

    /// How long a single request takes that finds no instance, as a median; `None` of fewer than three.
    fn cold_alone_us(&self, kinds: &Kinds) -> Option<f64> {
        let alone = self.whole().filter(|sent| sent.size == 1);
        let pairs = together(alone.map(|sent| &sent.done.observed.good_us[..]));
        let cold: Vec<(u64, u64)> = pairs.into_iter().filter(|pair| pair.0 as f64 > kinds.cut_us).collect();
        if count(&cold) < 3 { None } else { quantile(&cold, 0.5) }
    }

    fn queues_of(&self, pair: &Pair<'_>) -> Option<Queues> {
        let (warm_us, kinds) = (self.warm_us()?, self.kinds()?);
        let share = self.first_share(&pair.then)?;
        let pairs = &pair.cold.done.observed.good_us;
        let cold_share = kinds.cold_share(pairs)?;
        let many = count(pairs) as f64;
        if share >= 0.9 {
            // Had there been instances for all before, nothing would be known.
            let started = Estimate::between(many * cold_share, many * cold_share, many);
            let queues = Queues { policy: Queueing::None, per_instance: None, at_once: started, per_s: None };
            return (cold_share >= 0.5).then_some(queues);
        }
        let earliest = pairs.iter().find(|pair| pair.0 as f64 > kinds.cut_us).map(|pair| pair.0 as f64)?;
        // So long takes an instance that is started at once, and half of what it does first.
        let alone_us = self.cold_alone_us(&kinds);
        let is_after_long = pair.cold.when == When::Long;
        // Whoever had as many before has started none.
        if !is_after_long && (share - self.first_share(&pair.cold)?) * many < 1.5 {
            return None;
        }
        let is_long = if share > 0.0 {
            1.0 / share > LONG_QUEUE
        } else {
            // The next one found none free, for some requests were given up and are still worked on.
            let waited = (quantile(pairs, 0.99)? - alone_us.unwrap_or(earliest)) / warm_us;
            is_after_long && waited > LONG_QUEUE
        };
        // Where some instances were there before, how soon the others were is not seen.
        let is_clear = alone_us.is_some() && is_after_long && share > 0.0;
        if cold_share < 0.5 || !(is_clear || is_long) {
            return None;
        }
        let instances = share * many;
        let at_once_us = alone_us.unwrap_or(earliest) + 0.5 * warm_us;
        let soon = pairs.iter().filter(|pair| pair.0 as f64 > kinds.cut_us && (pair.0 as f64) < at_once_us);
        let soon = soon.map(|pair| pair.1 as f64).sum::<f64>();
        if is_long || soon < 0.45 * instances {
            let first = soon.max(1.0);
            let at_once = Estimate::between((first - 1.0).max(1.0), first, first + 1.0);
            let per_s = scale_out(pairs, first, (earliest - warm_us).max(0.0), warm_us);
            return Some(Queues { policy: Queueing::Unlimited, per_instance: None, at_once, per_s });
        }
        if instances < FEW {
            return None;
        }
        let deepest = quantile(&pair.then.done.observed.good_us, 0.995)? / warm_us;
        let per_instance = Estimate::between(deepest.round() - 0.5, deepest.round(), deepest.round() + 0.5);
        let at_once = Estimate::between(instances - 1.0, instances, instances + 1.0);
        Some(Queues { policy: Queueing::Bounded, per_instance, at_once, per_s: None })
    }
}

/// The middle one, from the lowest to the highest.
fn middle(estimates: impl Iterator<Item = Estimate>) -> Option<Estimate> {
    let mut all: Vec<Estimate> = estimates.collect();
    all.sort_by(|one, other| one.value.total_cmp(&other.value));
    let value = all.get(all.len() / 2)?.value;
    let low = all.iter().map(|one| one.low).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|one| one.high).fold(f64::NEG_INFINITY, f64::max);
    Estimate::between(low, value, high)
}

/// How many instances are added a second, if the first are there after `cold`, the `j`th after them `j / rate` later, and each
/// takes one request after the other: the rate at which as many would be done by the time as were.
fn scale_out(pairs: &[(u64, u64)], first: f64, cold_us: f64, warm_us: f64) -> Option<Estimate> {
    let all = count(pairs) as f64;
    let done = |every_us: f64, by_us: f64| -> f64 {
        let (mut sum, mut from_us) = (0.0, cold_us);
        for _ in 0..2_000 {
            if from_us + warm_us > by_us {
                break;
            }
            let own = if sum == 0.0 { first } else { 1.0 };
            sum += own * ((by_us - from_us) / warm_us).floor();
            from_us += every_us;
        }
        sum
    };
    let at = |share: f64| -> Option<f64> {
        let by_us = quantile(pairs, share)?;
        let (mut low, mut high) = (1e3_f64, 1e9_f64);
        if done(high, by_us * 1.01) >= share * all {
            return Some(0.0);
        }
        for _ in 0..60 {
            let every_us = (low * high).sqrt();
            if done(every_us, by_us * 1.01) >= share * all { low = every_us } else { high = every_us }
        }
        Some(1e6 / low)
    };
    let mut found: Vec<f64> = [0.6, 0.8, 0.9, 1.0].into_iter().filter_map(at).collect();
    found.sort_by(f64::total_cmp);
    let (low, high) = (*found.first()?, *found.last()?);
    Estimate::between(low * 0.9, f64::midpoint(low, high), high * 1.1)
}
