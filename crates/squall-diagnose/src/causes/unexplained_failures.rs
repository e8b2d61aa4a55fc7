//! Requests that fail whatever the load and whenever they come: none of the causes is seen by that, and all of them would
//! take it for a symptom. So it is said, and left out before they are looked for.

use super::percent;
use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::{Calls, Class};
use crate::stats::robust::{ramp, ratio};
use crate::view::View;

/// From this share on all fail, if it is nowhere less than the other.
const ALL: f64 = 0.98;
const ANYWHERE: f64 = 0.8;

/// Fewer requests, or for a shorter time, are an accident.
const LEAST: f64 = 10.0;
const LEAST_S: f64 = 15.0;

/// A share that is smaller, or of fewer failures, is looked at by nobody.
const SOME: f64 = 0.02;
const SOME_FAILED: f64 = 20.0;

/// How much of the requests is compared with the rest, how many of them must be expected to fail, and which part of that at
/// least does.
const PART: f64 = 0.12;
const LEAST_EXPECTED: f64 = 5.0;
const EVEN: f64 = 0.5;

/// More endpoints are not named in a sentence.
const MOST_NAMED: usize = 5;

/// Fewer stretches do not show that the share is the same in all of them.
const LEAST_BINS: usize = 8;

/// Ways to fail that say nothing of load as long as they stay the same.
const WAYS: [Class; 6] =
    [Class::Limited, Class::Client, Class::Unavailable, Class::Server, Class::Timeout, Class::Other];

/// Of these a part may fail at any load; being turned away or kept waiting is a question of load.
const OF_SOME: [Class; 4] = [Class::Client, Class::Unavailable, Class::Server, Class::Other];

/// An endpoint that fails at any load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Failing {
    /// Which.
    pub endpoint: usize,
    /// How most of them fail.
    pub class: Class,
    /// How many do, and of how many.
    pub failed: f64,
    pub requests: f64,
    /// How many times as much the number of failures varies as by chance.
    dispersion: f64,
}

impl Failing {
    fn share(&self) -> f64 {
        ratio(self.failed, self.requests)
    }

    /// Whether all of its requests fail.
    pub(crate) fn is_always(&self) -> bool {
        self.share() >= ALL
    }

    /// The ways in which it fails.
    pub(crate) fn ways(&self) -> &'static [Class] {
        if self.is_always() { &WAYS } else { &OF_SOME }
    }
}

/// The endpoints that fail at any load, and what there is to say of them.
pub(crate) fn find(view: &View<'_>) -> Option<(Finding, Vec<Failing>)> {
    let failing = failing(view);
    let worst = *failing.iter().max_by(|one, other| one.failed.total_cmp(&other.failed))?;
    let (from_s, until_s) = view.span();
    let sum = |value: fn(&Failing) -> f64| failing.iter().map(value).sum::<f64>();
    let (failed, requests) = (sum(|failing| failing.failed), sum(|failing| failing.requests));
    let endpoints: Vec<usize> = failing.iter().map(|failing| failing.endpoint).collect();
    let names = view.names(&endpoints);
    let who = who(&names);
    let how = how(worst.class);
    let is_always = failing.iter().all(Failing::is_always);
    let summary = if is_always {
        let some = if failed < requests { "more than a few" } else { "any" };
        format!(
            "Requests to {who} failed from the first second to the last, {failed:.0} of {requests:.0}, {how}. At no load and at no time did {some} succeed: none of the causes that are known here explains it."
        )
    } else {
        format!(
            "{} of the requests to {who} failed, {how}, as many at any time and at any load: none of the causes that are known here explains it.",
            percent(ratio(failed, requests))
        )
    };
    let sure = if is_always { 0.95 } else { 0.9 * (0.6 + 0.4 * ramp(worst.dispersion, 2.0, 1.3)) };
    let advice = if worst.class == Class::Limited {
        "Ask whether a quota was used up before the run, and whether whoever asks may ask at all; then run again."
    } else {
        "Send one of these requests by hand and look into the target's log: it is the request, the route or what it calls, and not the load. What else was found was found without them."
    };
    let finding = Finding {
        kind: Kind::UnexplainedFailures,
        confidence: Confidence::new(sure),
        endpoints: names,
        from_s,
        until_s,
        summary,
        evidence: Evidence::default()
            .with("failed", failed)
            .with("requests", requests)
            .with("failed_share", ratio(failed, requests))
            .with("dispersion", worst.dispersion)
            .refuted_by("a load or a time at which the same requests succeed"),
        advice: advice.to_owned(),
    };
    Some((finding, failing))
}

/// The first few of them.
fn who(names: &[String]) -> String {
    let named = names.get(..MOST_NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 if named.is_empty() => "all endpoints".to_owned(),
        0 => named,
        more => format!("{named} and {more} others"),
    }
}

fn how(class: Class) -> &'static str {
    match class {
        Class::Limited => "turned away with 429",
        Class::Client => "with a status of 4xx",
        Class::Unavailable => "with 502, 503 or 504",
        Class::Server => "with a status of 5xx",
        Class::Timeout => "for there was no answer in time",
        _ => "with an answer that was not expected",
    }
}

fn failing(view: &View<'_>) -> Vec<Failing> {
    let all: Vec<Failing> = view.counted().filter_map(|index| of_endpoint(view, index)).collect();
    let is_steady = |one: &&Failing| {
        let others = all.iter().filter(|other| other.endpoint != one.endpoint && other.requests > 0.0);
        let others = others.map(Failing::share).fold(0.0, f64::max);
        let alone = all.len() > 1 && others < 0.2 * one.share();
        // What is turned away where too much is asked for grows with that.
        let anywhere = alone || varies(view);
        one.share() >= SOME
            && one.failed >= SOME_FAILED
            && OF_SOME.contains(&one.class)
            && one.dispersion <= 2.0
            && anywhere
            && is_even(view, one)
    };
    all.iter().filter(|one| one.is_always() && lasts(view, one) || is_steady(one)).copied().collect()
}

/// How many of an endpoint's requests fail; `None` if there are too few to say.
fn of_endpoint(view: &View<'_>, endpoint: usize) -> Option<Failing> {
    let calls = || view.observed.ticks.iter().filter_map(move |tick| tick.calls.get(endpoint));
    let count = |class: Class| calls().map(|calls| calls.by[class as usize]).sum::<f64>();
    let requests = calls().map(Calls::requests).sum::<f64>() - count(Class::Unfinished);
    let class = WAYS.into_iter().max_by(|one, other| count(*one).total_cmp(&count(*other)))?;
    let some: f64 = OF_SOME.into_iter().map(count).sum();
    let every: f64 = WAYS.into_iter().map(count).sum();
    // A status that the plan expects is no failure.
    let errors: f64 = calls().map(|calls| calls.errors).sum();
    let failed = if every >= ALL * requests { every } else { some }.min(errors);
    let mut found = Failing { endpoint, class, failed, requests, dispersion: f64::INFINITY };
    found.dispersion = dispersion(view, &found);
    (requests >= LEAST).then_some(found)
}

/// How many times as much the number of failures in a stretch varies as by chance, where each request fails as likely as any
/// other (Pearson's chi-squared over its degrees of freedom).
fn dispersion(view: &View<'_>, failing: &Failing) -> f64 {
    let share = failing.share();
    let parts = view.bins.iter().filter_map(|bin| bin.endpoints.get(failing.endpoint));
    let scores = parts.filter_map(|part| {
        let requests = part.by.iter().sum::<f64>() - part.by[Class::Unfinished as usize];
        let failed: f64 = failing.ways().iter().map(|class| part.by[*class as usize]).sum();
        let variance = requests * share * (1.0 - share);
        (variance > 0.0).then(|| (failed - requests * share).powi(2) / variance)
    });
    let scores: Vec<f64> = scores.collect();
    if failing.is_always() {
        return 0.0;
    }
    if scores.len() < LEAST_BINS {
        return f64::INFINITY;
    }
    scores.iter().sum::<f64>() / (scores.len() - 1) as f64
}

/// Whether about as large a share fails where little is asked for as elsewhere, and about as large a share early as later: of
/// the requests that came at the least load, and of those that came first. They must be so many that some should fail.
fn is_even(view: &View<'_>, failing: &Failing) -> bool {
    let of = |bin: &Bin| {
        let part = bin.endpoints.get(failing.endpoint).copied().unwrap_or_default();
        let all = part.by.iter().sum::<f64>() - part.by[Class::Unfinished as usize];
        (failing.ways().iter().map(|class| part.by[*class as usize]).sum::<f64>(), all)
    };
    let first: Vec<&Bin> = view.bins.iter().collect();
    let mut least = first.clone();
    least.sort_by(|one, other| one.demand.total_cmp(&other.demand));
    [first, least].into_iter().all(|bins| {
        let (mut failed, mut all) = (0.0, 0.0);
        for (more_failed, more) in bins.into_iter().map(of) {
            if all >= PART * failing.requests {
                break;
            }
            (failed, all) = (failed + more_failed, all + more);
        }
        let expected = failing.share() * all;
        expected >= LEAST_EXPECTED && failed > EVEN * expected
    })
}

/// Whether an endpoint was asked for a while, and at no time in which it was asked several times did many succeed.
fn lasts(view: &View<'_>, failing: &Failing) -> bool {
    let endpoint = failing.endpoint;
    let parts = view.bins.iter().filter_map(|bin| bin.endpoints.get(endpoint));
    let succeeds = |by: &[f64; Class::COUNT]| {
        let all = by.iter().sum::<f64>() - by[Class::Unfinished as usize];
        all >= 5.0 && by[Class::Success as usize] > (1.0 - ANYWHERE) * all
    };
    if parts.into_iter().any(|part| succeeds(&part.by)) {
        return false;
    }
    let is_asked = |tick: &usize| {
        let calls = view.observed.ticks.get(*tick).and_then(|tick| tick.calls.get(endpoint));
        calls.is_some_and(|calls| calls.requests() > 0.0)
    };
    let (first, last) = ((0..view.len()).find(is_asked), (0..view.len()).rev().find(is_asked));
    matches!((first, last), (Some(first), Some(last)) if (last - first) as f64 * view.step_s >= LEAST_S)
}

/// Whether much more was asked for at one time than at another.
fn varies(view: &View<'_>) -> bool {
    let demand: Vec<f64> = view.bins.iter().map(|bin| bin.demand).collect();
    let of = |share| crate::stats::robust::quantile(&demand, share).unwrap_or(0.0);
    of(0.9) > 1.8 * of(0.15) && of(0.15) > 0.0
}
