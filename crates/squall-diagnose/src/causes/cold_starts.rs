//! Some requests waited for an instance to start.

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Calls;
use crate::signals::{Role, points};
use crate::stats::bootstrap::Chance;
use crate::stats::counts::count_interval;
use crate::stats::mixture::{Mixture, mixtures};
use crate::stats::robust::{mean, quantile, ramp, ratio};
use crate::view::View;

/// Endpoints that are looked at; more are too few requests each.
const MOST_ENDPOINTS: usize = 20;

/// How the count of slow ones is drawn again.
const DRAWS: usize = 40;

/// So long after demand has grown instances are started, as chance has more requests meet.
const LATER_TICKS: usize = 20;

/// Slow requests of one endpoint.
struct Slow {
    endpoint: usize,
    mixture: Mixture,
    count: f64,
    interval: (f64, f64),
    requests: f64,
    /// How many each tick has.
    by_tick: Vec<f64>,
}

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let mut busiest: Vec<(usize, f64)> = view
        .counted()
        .map(|index| (index, view.response(0..view.len(), |other| other == index).count() as f64))
        .collect();
    busiest.sort_by(|one, other| other.1.total_cmp(&one.1));
    let after = demand_grew(view);
    let growing: Vec<bool> = growing(view).iter().zip(&after).map(|(more, after)| *more && *after).collect();
    let slow: Vec<Slow> = busiest
        .iter()
        .take(MOST_ENDPOINTS)
        .filter_map(|(endpoint, _)| slow(view, *endpoint, &growing))
        .collect();
    let count: f64 = slow.iter().map(|slow| slow.count).sum();
    let requests: f64 = slow.iter().map(|slow| slow.requests).sum();
    if count < 3.0 {
        return None;
    }
    let chances: Vec<f64> =
        (0..view.len()).map(|tick| slow.iter().map(|slow| slow.by_tick[tick]).sum()).collect();
    let Clusters { at_growth, expected, crowded } = clusters(view, &chances, &growing);
    // Each instance starts once, so there are about as many starts as were ever under way together. Where many more are slow
    // and nearly all at the same time, they wait for each other and not for an instance to start.
    let together = view.in_flight.iter().copied().fold(1.0, f64::max);
    let plausible = ramp(count / together, 4.0, 2.0);
    let possible = ramp(count / together, 12.0, 5.0);
    let beside: f64 =
        chances.iter().zip(&view.done).map(|(slow, done)| slow * ratio(*slow, done * view.step_s)).sum();
    let beside = ramp(ratio(beside, count), 0.7, 0.35).max(plausible);
    let share = ratio(count, requests);
    let (quick, cold) = levels(&slow);
    let times = ratio(cold, quick);
    let separation = slow.iter().map(|slow| slow.mixture.separation() * slow.count).sum::<f64>() / count;
    let two = ramp(separation, 1.6, 2.6) * ramp(times, 1.2, 1.5);
    let rare = ramp(share, 0.3, 0.12);
    // Instances start when more is under way than ever before, and after pauses; a slow dependency knows nothing of that.
    let tied = ramp(at_growth - expected, 0.15, 0.35)
        .max(ramp(ratio(at_growth, expected), 3.0, 10.0) * ramp(at_growth, 0.15, 0.3))
        .max(0.35 * plausible * ramp(separation, 4.0, 6.0))
        .max(after_growth(view, &chances, &after, plausible));
    let mut score = 0.96
        * two
        * rare
        * possible
        * beside
        * (0.2 + 0.8 * tied)
        * (0.55 + 0.45 * crowded)
        * ramp(count, 3.0, 8.0);
    if let Some(inits) = points(&view.observed.signals, Role::Inits) {
        let any = inits.iter().any(|(_, value)| *value > 0.0);
        score = if any { score + (1.0 - score) * 0.5 } else { score * 0.4 };
    }
    if score < 0.1 {
        return None;
    }
    let interval =
        slow.iter().fold((0.0, 0.0), |(low, high), slow| (low + slow.interval.0, high + slow.interval.1));
    let marked = |chance: &f64| *chance >= 0.5;
    let (first, last) = (chances.iter().position(marked)?, chances.iter().rposition(marked)?);
    let which: Vec<usize> = slow.iter().map(|slow| slow.endpoint).collect();
    Some(Finding {
        kind: Kind::ColdStarts,
        confidence: Confidence::new(score),
        endpoints: view.names(&which),
        from_s: view.at(first),
        until_s: view.at(last + 1),
        summary: format!(
            "{count:.0} of {requests:.0} requests ({}) waited for an instance to start and took about {} longer; {:.0} % of them came while more was under way than before.",
            super::percent(share),
            super::time(cold - quick),
            at_growth * 100.0
        ),
        evidence: Evidence::default()
            .with_interval("count", count, interval)
            .with_interval("share", share, (ratio(interval.0, requests), ratio(interval.1, requests)))
            .with("added_latency_ms", (cold - quick) / 1e3)
            .with("warm_ms", quick / 1e3)
            .with("separation", separation)
            .with("share_while_concurrency_grew", at_growth)
            .with("share_expected_by_chance", expected)
            .refuted_by("as many slow requests at a load that has been the same for minutes, or no start of an instance in the platform's log"),
        advice: "Keep instances warm (provisioned concurrency, a minimum of instances) for the load that must be fast, and make starting shorter: a smaller package, less done at start.".to_owned(),
    })
}

/// Of every way to tell slow requests of an endpoint from quick ones, the one by which most of them came when instances
/// start.
fn slow(view: &View<'_>, endpoint: usize, growing: &[bool]) -> Option<Slow> {
    let response = view.response(0..view.len(), |index| index == endpoint);
    let pairs: Vec<(f64, f64)> = response.buckets().map(|(us, count)| (us as f64, count as f64)).collect();
    let likely = mixtures(&pairs)
        .into_iter()
        .filter(|found| found.gain > 10.0 && found.slow().share < 0.5 && found.separation() > 1.2);
    let (mixture, by_tick, _) = likely
        .map(|found| {
            let by_tick = by_tick(view, endpoint, &found);
            let Clusters { at_growth, expected, .. } = clusters(view, &by_tick, growing);
            let count: f64 = by_tick.iter().sum();
            (found, by_tick, (at_growth - expected) * (count / expected.max(1e-3)).sqrt())
        })
        .max_by(|one, other| one.2.total_cmp(&other.2))?;
    let count = by_tick.iter().sum();
    let interval = drawn_again(&pairs, count, &mixture);
    Some(Slow { endpoint, mixture, count, interval, requests: response.count() as f64, by_tick })
}

/// The interval that holds the number of slow ones with 90 %: where the two kinds overlap, requests are drawn again.
fn drawn_again(pairs: &[(f64, f64)], count: f64, found: &Mixture) -> (f64, f64) {
    // Apart from each other they are simply counted.
    if found.separation() > 7.0 {
        return ((count - 1.0).max(0.0).min(count * 0.985), (count + 1.0).max(count * 1.015));
    }
    let mut chance = Chance::new(0x0c01_d000);
    let drawn = (0..DRAWS).filter_map(|_| {
        let again: Vec<(f64, f64)> = pairs
            .iter()
            .map(|(value, count)| {
                // Poisson's, nearly: normal where there are many.
                let normal = (0..12).map(|_| chance.uniform()).sum::<f64>() - 6.0;
                (*value, (count + normal * count.sqrt()).max(0.0))
            })
            .collect();
        found.slow_among(&again)
    });
    let drawn: Vec<f64> = drawn.collect();
    let spread = (quantile(&drawn, 0.05).unwrap_or(0.0), quantile(&drawn, 0.95).unwrap_or(count * 2.0));
    let by_chance = count_interval(count);
    // Neither of the two kinds is quite normal: some room for that.
    let room = 0.25 * (by_chance.1 - by_chance.0);
    ((spread.0 - room).max(0.0), spread.1 + room)
}

/// How many slow ones each tick has.
fn by_tick(view: &View<'_>, endpoint: usize, mixture: &Mixture) -> Vec<f64> {
    let of = |calls: &Calls| -> f64 {
        calls.response.buckets().map(|(us, count)| count as f64 * mixture.slow_chance(us as f64)).sum()
    };
    view.observed.ticks.iter().map(|tick| tick.calls.get(endpoint).map_or(0.0, of)).collect()
}

struct Clusters {
    /// The share of slow ones that came while more was under way than before.
    at_growth: f64,
    /// The share of all requests that did.
    expected: f64,
    /// From 0 to 1, how close together they came.
    crowded: f64,
}

/// The ticks in which more was under way than ever before, or anything after a pause, and those around them.
fn growing(view: &View<'_>) -> Vec<bool> {
    let mut highest = 0.0_f64;
    let mut growing = vec![false; view.len()];
    let quiet: Vec<bool> = view.done.iter().map(|done| *done <= 0.0).collect();
    for tick in 0..view.len() {
        let now = view.in_flight[tick];
        let fresh = now > highest * 1.03 + 0.5 && tick > 0 || view.done[tick] > 0.0 && highest <= 0.0;
        highest = highest.max(now);
        let after_pause = tick >= 5 && quiet[tick - 5..tick].iter().all(|quiet| *quiet) && !quiet[tick];
        if fresh || after_pause {
            growing[tick.saturating_sub(1)..(tick + 3).min(view.len())].fill(true);
        }
    }
    growing
}

/// The ticks in the seconds after demand had grown: where only more is under way, slow requests may be why.
fn demand_grew(view: &View<'_>) -> Vec<bool> {
    let mut highest = 0.0_f64;
    let mut marked = vec![false; view.len()];
    for tick in 0..view.len() {
        let demand = mean(&view.demand[tick.saturating_sub(2)..=tick]);
        if demand > 1.08 * highest {
            highest = demand;
            let until = (tick + 1 + LATER_TICKS).min(view.len());
            marked[tick.saturating_sub(2)..until].fill(true);
        }
    }
    marked
}

/// From 0 to 1, how much more of the slow ones came within some seconds after demand had grown than of all.
fn after_growth(view: &View<'_>, chances: &[f64], after: &[bool], plausible: f64) -> f64 {
    let Clusters { at_growth, expected, .. } = clusters(view, chances, after);
    let count: f64 = chances.iter().sum();
    let score = (at_growth - expected) * (count / (expected * (1.0 - expected)).max(0.01)).sqrt();
    ramp(score, 3.0, 6.0) * ramp(ratio(at_growth, expected), 1.5, 3.0).max(plausible)
}

fn clusters(view: &View<'_>, chances: &[f64], growing: &[bool]) -> Clusters {
    let share = |weights: &[f64]| -> f64 {
        let marked = weights.iter().zip(growing).filter(|(_, growing)| **growing).map(|(weight, _)| *weight);
        ratio(marked.sum(), weights.iter().sum())
    };
    let total: f64 = chances.iter().sum();
    let mut sorted = chances.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    let fifth = sorted.len().div_ceil(5);
    let crowded = ratio(sorted[..fifth].iter().sum(), total);
    Clusters { at_growth: share(chances), expected: share(&view.done), crowded: ramp(crowded, 0.4, 0.8) }
}

/// The usual time of quick ones and of slow ones, over all endpoints.
fn levels(slow: &[Slow]) -> (f64, f64) {
    let weigh = |value: fn(&Mixture) -> f64| {
        let sum: f64 = slow.iter().map(|slow| value(&slow.mixture) * slow.count).sum();
        sum / slow.iter().map(|slow| slow.count).sum::<f64>()
    };
    let quick = weigh(|mixture| mixture.quick().mean.exp());
    let cold = weigh(|mixture| (mixture.slow().mean + mixture.slow().deviation.powi(2) / 2.0).exp());
    (mean(&[quick]), cold)
}
