//! What the generators themselves can do, and by how much they err: rounds of growing rate to a target nearby of which it
//! is known how long it takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::estimate::{Estimate, bounded, digits, quantile};
use crate::probe::{Done, Outlook, Probe, Step};
use crate::round::Round;
use crate::search::{Known, Search, kept};
use crate::walk::{Spent, Walk};

/// So many rounds at most to close in.
const CLOSING: u32 = 16;

/// By which factor the rate grows until it is too much.
const GROWTH: f64 = 2.0;

/// Nobody gets more answers a second, one after the other.
const ALONE_PER_S: f64 = 20_000.0;

/// No more than this share may be dropped.
const DROPPED: f64 = 0.01;

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// How long the target takes, in microseconds, as a median; `None` if that is not known.
    pub truth_us: Option<f64>,
    /// How many processors the generators have.
    pub cores: u32,
    /// The first rate, in requests a second.
    pub start_per_s: f64,
    /// No rate is higher.
    pub most_per_s: f64,
    /// How long a step takes.
    pub step_s: f64,
    /// 99 of 100 requests may begin so many microseconds late.
    pub most_lag_us: f64,
    /// Half the width of the interval that is wanted, as a share of the rate.
    pub precision: f64,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            truth_us: None,
            cores: 1,
            start_per_s: 500.0,
            most_per_s: 200_000.0,
            step_s: 4.0,
            most_lag_us: 10_000.0,
            precision: 0.05,
        }
    }
}

/// What the generators can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnAnswer {
    /// How many microseconds an answer is measured longer than it takes, without load, as a median.
    pub error_us: Option<Estimate>,
    /// The highest rate that they can make.
    pub capacity_per_s: Option<Estimate>,
    /// Where it is not known: so much at least.
    pub at_least_per_s: Option<f64>,
    /// The same of one processor.
    pub per_core_per_s: Option<Estimate>,
    /// How many microseconds of a processor a request takes.
    pub cpu_us: Option<Estimate>,
    /// What became of each rate, ascending.
    pub curve: Vec<OwnPoint>,
    /// What was sent.
    pub spent: Spent,
    /// What could not be told, and why.
    pub untold: Vec<String>,
    /// What to do about it.
    pub advice: String,
}

/// A rate, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnPoint {
    /// Requests a second that were asked for.
    pub rate_per_s: f64,
    /// Those that were answered.
    pub good_per_s: f64,
    /// By how many microseconds answers are measured longer than they take, as a median.
    pub p50_error_us: Option<f64>,
    /// The same of 99 of 100.
    pub p99_error_us: Option<f64>,
    /// By how many microseconds requests began late, as a median.
    pub p50_lag_us: Option<f64>,
    /// The same of 99 of 100.
    pub p99_lag_us: Option<f64>,
    /// How many microseconds of a processor a request took.
    pub cpu_us: Option<f64>,
    /// Whether it was too much.
    pub is_too_much: bool,
}

/// What is known on the way.
#[derive(Debug, Default)]
struct Found<'a> {
    /// One request after the other.
    alone: Option<&'a Done>,
    steps: Vec<&'a Done>,
}

impl Found<'_> {
    fn kept(&self, settings: &Own) -> Option<f64> {
        kept(self.steps.iter().map(|done| (done.rate(), settings.is_too_much(done))))
    }

    fn known(&self, settings: &Own) -> Option<Known> {
        let mut search = Search::default();
        for done in &self.steps {
            search.note(done.rate(), f64::from(u8::from(settings.is_too_much(done))));
        }
        search.known()
    }
}

impl Probe for Own {
    type Answer = OwnAnswer;

    fn outlook(&self) -> Outlook {
        let settings = self.bounded();
        let rounds = settings.rounds();
        // Rates that double are twice the last one.
        let rates = settings.most_per_s * settings.step_s * (2.0 + f64::from(CLOSING));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let requests = (ALONE_PER_S * settings.step_s + rates).min(1e18) as u64;
        let takes_s = f64::from(rounds) * (settings.step_s + 1.0);
        Outlook { rounds, requests, peak_per_s: settings.most_per_s, takes_s }
    }

    fn next(&self, history: &[Done]) -> Step {
        self.bounded().went(history).1
    }

    fn answer(&self, history: &[Done]) -> OwnAnswer {
        let settings = self.bounded();
        let (found, step, spent) = settings.went(history);
        settings.told(&found, &step, spent)
    }
}

impl Own {
    /// Within what makes sense.
    fn bounded(&self) -> Self {
        let start_per_s = bounded(self.start_per_s, 1.0, 1e6, 500.0);
        Self {
            truth_us: self.truth_us.filter(|us| us.is_finite() && *us >= 0.0),
            cores: self.cores.clamp(1, 100_000),
            start_per_s,
            most_per_s: bounded(self.most_per_s, start_per_s, 1e8, 200_000.0),
            step_s: bounded(self.step_s, 2.0, 120.0, 4.0).ceil(),
            most_lag_us: bounded(self.most_lag_us, 1.0, 1e7, 10_000.0),
            precision: bounded(self.precision, 0.01, 0.3, 0.05),
        }
    }

    fn rounds(&self) -> u32 {
        let growth = (self.most_per_s / self.start_per_s).log2().max(0.0).ceil();
        crate::estimate::whole(growth) + 2 + CLOSING
    }

    fn went<'a>(&self, history: &'a [Done]) -> (Found<'a>, Step, Spent) {
        Walk::along(history, self.outlook(), |walk, found| self.walk(walk, found))
    }

    /// The way: one at a time, rates that grow until one is too much, and closing in.
    fn walk<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let mut round = Round::users(1, self.step_s);
        round.warm_s = 1.0;
        let alone = walk.send(round)?;
        if let Some(why) = alone.observed.trouble() {
            return Err(Step::Stop(why));
        }
        found.alone = Some(alone);
        let mut rate = self.start_per_s;
        while !self.step(walk, found, rate)? {
            if rate >= self.most_per_s {
                return Ok(());
            }
            rate = (rate * GROWTH).min(self.most_per_s);
        }
        while found.kept(self).is_none() && rate > 1.0 {
            rate = (rate / GROWTH).max(1.0);
            self.step(walk, found, rate)?;
        }
        while let Some(known) = found.known(self) {
            if known.estimate().is_some_and(|estimate| estimate.width() <= 2.0 * self.precision) {
                return Ok(());
            }
            self.step(walk, found, known.quantile(0.5))?;
        }
        Ok(())
    }

    /// One step at a rate; whether it was too much.
    fn step<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>, rate: f64) -> Result<bool, Step> {
        let mut round = Round::rate(rate, self.step_s).after(1.0);
        round.warm_s = 1.0;
        let done = walk.send(round)?;
        let observed = &done.observed;
        if observed.failed().saturating_add(observed.unavailable()) > observed.good() {
            return Err(Step::Stop(observed.trouble().unwrap_or_else(|| {
                "most requests fail: it is no longer the generators that are measured".to_owned()
            })));
        }
        found.steps.push(done);
        Ok(self.is_too_much(done))
    }

    fn is_too_much(&self, done: &Done) -> bool {
        let observed = &done.observed;
        let due = observed.scheduled() as f64;
        observed.tainted
            || observed.dropped() as f64 > DROPPED * due
            || due < 0.9 * done.rate() * done.round.lasts_s() - 2.0
            || quantile(&observed.lag_us, 0.99).is_some_and(|lag_us| lag_us > self.most_lag_us)
    }

    fn told(&self, found: &Found<'_>, step: &Step, spent: Spent) -> OwnAnswer {
        let known = found.known(self).filter(|known| known.gain > -0.5);
        let capacity_per_s = known
            .and_then(|known| known.estimate())
            .filter(|estimate| found.kept(self).is_some() && estimate.width() < 1.2);
        let at_least_per_s = if capacity_per_s.is_none() { found.kept(self) } else { None };
        let mut curve: Vec<OwnPoint> = found.steps.iter().map(|done| self.point(done)).collect();
        curve.sort_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
        let error_us = self.truth_us.zip(found.alone).and_then(|(truth_us, alone)| {
            let median = Estimate::median(&alone.observed.good_us, 1.0)?;
            Estimate::between(median.low - truth_us, median.value - truth_us, median.high - truth_us)
        });
        let mut untold = Vec::new();
        if let Step::Stop(why) = step {
            untold.push(why.clone());
        }
        match (found.alone, self.truth_us) {
            (None, _) => untold.push("anything: no round has ended yet".to_owned()),
            (Some(_), None) => untold.push("the error: how long the target takes is not known".to_owned()),
            (Some(_), Some(_)) if error_us.is_none() => untold.push("the error: too few answers".to_owned()),
            _ => {}
        }
        if let Some(kept) = at_least_per_s {
            untold.push(format!(
                "the capacity: {} a second are not too much, and more was not tried",
                digits(kept)
            ));
        }
        OwnAnswer {
            error_us,
            capacity_per_s,
            at_least_per_s,
            per_core_per_s: capacity_per_s.map(|capacity| capacity.scaled(1.0 / f64::from(self.cores))),
            cpu_us: cpu_us(&curve),
            advice: advice(capacity_per_s.as_ref(), at_least_per_s, step),
            curve,
            spent,
            untold,
        }
    }

    fn point(&self, done: &Done) -> OwnPoint {
        let (observed, steady) = (&done.observed, done.steady());
        let good: f64 = steady.iter().map(|second| second.good as f64).sum();
        let error = |share| Some(quantile(&observed.good_us, share)? - self.truth_us?);
        let answered = observed.answered();
        OwnPoint {
            rate_per_s: done.rate(),
            good_per_s: good / steady.len().max(1) as f64,
            p50_error_us: error(0.5),
            p99_error_us: error(0.99),
            p50_lag_us: quantile(&observed.lag_us, 0.5),
            p99_lag_us: quantile(&observed.lag_us, 0.99),
            cpu_us: (observed.cpu_s > 0.0 && answered > 0).then(|| observed.cpu_s * 1e6 / answered as f64),
            is_too_much: self.is_too_much(done),
        }
    }
}

/// At the highest rates that were not too much, where what is spent on nothing counts least.
fn cpu_us(curve: &[OwnPoint]) -> Option<Estimate> {
    let mut last: Vec<f64> = curve
        .iter()
        .rev()
        .filter(|point| !point.is_too_much)
        .filter_map(|point| point.cpu_us)
        .take(3)
        .collect();
    last.sort_by(f64::total_cmp);
    let value = *last.get(last.len() / 2)?;
    Estimate::between(*last.first()?, value, *last.last()?)
}

fn advice(capacity: Option<&Estimate>, at_least: Option<f64>, step: &Step) -> String {
    match (capacity, at_least) {
        _ if matches!(step, Step::Stop(_)) => "See to it that the target answers, and try again.".to_owned(),
        (Some(capacity), _) => format!(
            "Ask these generators for no more than {} a second: beyond, what they measure is their own.",
            digits(0.8 * capacity.low)
        ),
        (None, Some(kept)) => format!("These generators make {} a second without effort.", digits(kept)),
        (None, None) => "Go on: nothing is known yet.".to_owned(),
    }
}
