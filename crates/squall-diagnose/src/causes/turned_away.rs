//! Requests that were answered with 429: what was let through meanwhile, and whether a rate or a number at a time decides.

mod models;

use std::ops::Range;

use models::{Stretch, number_over_bucket};

use crate::observed::Class;
use crate::stats::bootstrap::interval;
use crate::stats::robust::{deviation, mean, median, noise, quantile, ramp, ratio};
use crate::view::View;

/// What is known of requests that were turned away.
pub(crate) struct TurnedAway {
    /// The endpoints whose requests are.
    pub endpoints: Vec<usize>,
    /// Their share in these endpoints' requests.
    pub share: f64,
    /// Requests that were let through in a second, by tick.
    pub admitted: Vec<f64>,
    /// Ticks throughout which some were turned away.
    pub full: Vec<usize>,
    /// The first and the last tick with one.
    pub first: usize,
    pub last: usize,
    /// What is let through in a second while more is asked for.
    pub level: f64,
    pub level_interval: (f64, f64),
    /// What was let through beyond that before the first were turned away.
    pub burst: f64,
    /// What of that was seen when the first were turned away.
    pub overshoot: f64,
    pub burst_interval: (f64, f64),
    /// How many of those that are let through are under way at a time, and the highest number seen.
    pub together: f64,
    pub together_interval: (f64, f64),
    /// By how much a number at a time explains better than a bucket how many were turned away when, as the logarithm of
    /// likelihoods.
    pub likelier: f64,
    /// How sure it is that a rate decides, and that a number at a time does: together at most 1.
    pub by_rate: f64,
    pub by_number: f64,
}

pub(crate) fn turned_away(view: &View<'_>) -> Option<TurnedAway> {
    let limited = view.total(Class::Limited);
    if limited < 10.0 || ratio(limited, view.requests()) < 0.001 {
        return None;
    }
    let endpoints = affected(view);
    let count = |tick: usize, class: Option<Class>| -> f64 {
        let calls = endpoints.iter().filter_map(|index| view.observed.ticks[tick].calls.get(*index));
        calls.map(|calls| class.map_or_else(|| calls.requests(), |class| calls.by[class as usize])).sum()
    };
    let ticks = 0..view.len();
    let away: Vec<f64> = ticks.clone().map(|tick| count(tick, Some(Class::Limited))).collect();
    let admitted: Vec<f64> = ticks
        .clone()
        .map(|tick| (count(tick, None) - count(tick, Some(Class::Unfinished)) - away[tick]) / view.step_s)
        .collect();
    let (first, last) = (away.iter().position(|n| *n > 0.0)?, away.iter().rposition(|n| *n > 0.0)?);
    let is_full = |tick: &usize| {
        let near = tick.saturating_sub(1)..(tick + 2).min(away.len());
        *tick > 0 && tick + 1 < away.len() && away[near].iter().all(|n| *n >= 1.0)
    };
    let mut full: Vec<usize> = ticks.filter(is_full).collect();
    if full.len() < 5 {
        full = (first..=last).filter(|tick| away[*tick] > 0.0).collect();
    }
    // Where few are turned away, it may be by chance that so many came at once.
    let shares: Vec<f64> =
        full.iter().map(|tick| ratio(away[*tick], away[*tick] + admitted[*tick] * view.step_s)).collect();
    let least = median(&shares) / 2.0;
    full = full.into_iter().zip(shares).filter(|(_, share)| *share >= least).map(|(tick, _)| tick).collect();
    let levels: Vec<f64> = full.iter().map(|tick| admitted[*tick]).collect();
    let level = mean(&levels);
    let level_interval = interval(&levels, 5, |levels| Some(mean(levels))).unwrap_or((0.0, level * 2.0));
    // Once it is empty the sum stays where it is; a little longer, and chance has less of a say.
    let until = full.first().map_or(0, |first| first + 15).min(admitted.len());
    let soon = (until.max(13) - 13).min(admitted.len());
    let (overshoot, _) = burst(view, &admitted[..soon], level, &endpoints);
    let (burst, over) = burst(view, &admitted[..until], level, &endpoints);
    let margin = (level_interval.1 - level_interval.0) / 2.0 * over.len() as f64 * view.step_s
        + level * later_s(view, over, &endpoints)
        + 1.645 * deviation(&levels) * view.step_s * std::f64::consts::SQRT_2
        + 0.01 * burst;
    let at_a_time: Vec<f64> = full.iter().map(|tick| view.in_flight[*tick]).collect();
    let highest = |numbers: &[f64]| quantile(numbers, 0.9);
    let together = highest(&at_a_time).unwrap_or(0.0);
    let fewest = mean(&full.iter().map(|tick| under_way(view, *tick, &endpoints)).collect::<Vec<_>>());
    let requests: f64 = (0..view.len()).map(|tick| count(tick, None)).sum();
    let mut found = TurnedAway {
        share: ratio(away.iter().sum(), requests),
        endpoints,
        admitted,
        full,
        first,
        last,
        level,
        level_interval,
        overshoot,
        burst,
        burst_interval: ((burst - margin).max(0.0), burst + margin),
        together,
        together_interval: interval(&at_a_time, 5, highest)
            .map_or((0.0, together * 2.0), |(low, high)| (low.min(fewest), high.max(together + 1.0))),
        likelier: 0.0,
        by_rate: 0.0,
        by_number: 0.0,
    };
    found.likelier = likelier(view, &found, &away);
    (found.by_rate, found.by_number) = decide(view, &found, &away);
    Some(found)
}

/// The endpoints whose requests are turned away: all that were, unless they were so by the way.
fn affected(view: &View<'_>) -> Vec<usize> {
    let sums = |index: usize| {
        let calls = view.observed.ticks.iter().filter_map(|tick| tick.calls.get(index));
        calls.fold((0.0, 0.0), |(away, all), calls| {
            (away + calls.by[Class::Limited as usize], all + calls.requests())
        })
    };
    view.counted()
        .filter(|index| {
            let (away, all) = sums(*index);
            away > 0.0 && ratio(away, all) > 0.0005
        })
        .collect()
}

/// What was let through beyond the level: the largest sum of what is above it over any stretch, by Kadane's way; and that
/// stretch.
fn burst(view: &View<'_>, admitted: &[f64], level: f64, endpoints: &[usize]) -> (f64, Range<usize>) {
    let (mut sum, mut since, mut best) = (0.0, 0, (0.0, 0, 0));
    for (tick, admitted) in admitted.iter().enumerate() {
        if sum <= 0.0 {
            (sum, since) = (0.0, tick);
        }
        sum += (admitted - level) * view.step_s;
        if sum > best.0 {
            best = (sum, since, tick + 1);
        }
    }
    let (mut burst, since, until) = best;
    // Requests count when they end. Where load began with the burst, it lasted longer by the time that one request takes.
    let idle = since == 0 || admitted[since - 1] < level * 0.02;
    if idle && burst > 0.0 {
        let response = view.response(since..until, |index| endpoints.contains(&index));
        burst += level * response.mean_us().unwrap_or(0.0) / 1e6;
    }
    if burst > 0.0 && !idle {
        let within = |tick: usize| above(admitted, level, tick) - (admitted[tick] - level).max(0.0);
        let chance = chance_in_arrivals(view);
        let inside = within(since - 1) + within(since);
        burst += (unseen(admitted, level, since) + inside.max(inside * (1.0 - chance))) * view.step_s;
    }
    (burst, since..until)
}

/// By how much later requests end at one time than at another: they count when they end.
fn later_s(view: &View<'_>, ticks: Range<usize>, endpoints: &[usize]) -> f64 {
    let takes = |tick: usize| {
        let response = view.response(tick..(tick + 3).min(view.len()), |index| endpoints.contains(&index));
        response.mean_us().filter(|_| response.count() >= 20)
    };
    let (low, high) = ticks
        .filter_map(takes)
        .fold((f64::INFINITY, 0.0), |(low, high), us| (f64::min(low, us), f64::max(high, us)));
    (high - low).max(0.0) / 1e6
}

/// How much of what was let through in a tick was above the level while it was above it, where load grows in it: halfway
/// between what a step in the tick and what a straight line through its neighbours would make of it.
fn above(admitted: &[f64], level: f64, tick: usize) -> f64 {
    let now = admitted[tick];
    let before = tick.checked_sub(1).map_or(now, |before| admitted[before]);
    let after = admitted.get(tick + 1).copied().unwrap_or(now);
    if before >= level || after <= level || now >= after {
        return (now - level).max(0.0);
    }
    let step = ratio(now - before, after - before).clamp(0.0, 1.0) * (after - level);
    let (begin, end) = (f64::midpoint(before, now) - level, f64::midpoint(now, after) - level);
    let line =
        if begin >= 0.0 || end <= 0.0 { (now - level).max(0.0) } else { end * end / (end - begin) / 2.0 };
    f64::midpoint(step, line)
}

/// How much lower the sum was within a tick than at its end, where it was lowest: of a walk at random that is looked at in
/// steps 0.5826 standard deviations of a step (Chernoff), less where it goes straight.
fn unseen(admitted: &[f64], level: f64, since: usize) -> f64 {
    let (before, after) =
        (&admitted[since.saturating_sub(10)..since], &admitted[since..(since + 10).min(admitted.len())]);
    let step = noise(before).max(noise(after));
    let straight = f64::midpoint((level - mean(before)).abs(), (mean(after) - level).abs());
    if step > 0.0 { 0.5826 * step / (1.0 + straight / step) } else { 0.0 }
}

/// How many of those that were let through were under way in a tick, by Little's law.
fn under_way(view: &View<'_>, tick: usize, endpoints: &[usize]) -> f64 {
    let response = view.response(tick..tick + 1, |index| endpoints.contains(&index));
    let sum: f64 = response.buckets().map(|(us, count)| us as f64 * count as f64).sum();
    sum / 1e6 / view.step_s
}

/// How many ticks are looked at together.
const STRETCH: usize = 5;

/// By how much a number at a time explains better than a bucket how many were turned away when. Users that wait for answers
/// do not come at random: of them nothing is said.
fn likelier(view: &View<'_>, found: &TurnedAway, away: &[f64]) -> f64 {
    if !view.is_open() {
        return 0.0;
    }
    let is_affected = |index: usize| found.endpoints.contains(&index);
    let usual_us = view.response(0..view.len(), is_affected).mean_us().unwrap_or(0.0);
    let from = (0..view.len()).step_by(STRETCH);
    let stretches = from.map(|from| {
        let ticks = from..(from + STRETCH).min(view.len());
        let response = view.response(ticks.clone(), is_affected);
        let takes_us = response.mean_us().filter(|_| response.count() >= 5).unwrap_or(usual_us);
        let turned_away: f64 = away[ticks.clone()].iter().sum();
        let admitted: f64 = found.admitted[ticks.clone()].iter().sum();
        Stretch {
            length_s: ticks.len() as f64 * view.step_s,
            requests: turned_away + admitted * view.step_s,
            turned_away,
            takes_s: takes_us / 1e6,
        }
    });
    number_over_bucket(&stretches.collect::<Vec<_>>(), found.level, chance_in_arrivals(view))
}

/// How much chance there is in when arrivals come: the variance of their changes from tick to tick over what it is when they
/// come at random, 1 at most.
fn chance_in_arrivals(view: &View<'_>) -> f64 {
    let scheduled: Vec<f64> = view.observed.ticks.iter().map(|tick| tick.scheduled).collect();
    let step = noise(&scheduled);
    ratio(step * step, mean(&scheduled)).min(1.0)
}

/// How sure it is that a rate decides, and that a number at a time does.
fn decide(view: &View<'_>, found: &TurnedAway, away: &[f64]) -> (f64, f64) {
    // A bucket that was full lets more through at first; instances that are all taken do not.
    let burst = ramp(ratio(found.overshoot, found.level), 0.25, 0.8) * ramp(found.overshoot, 3.0, 8.0);
    // Whoever saw the first being turned away would have seen a burst; and where chance decides whether all instances
    // are taken, some are turned away long before many are.
    let onset = ramp(found.first as f64, 3.0, 8.0);
    let no_burst = onset * ramp(ratio(found.overshoot, found.level), 0.3, 0.1);
    let full = found.full.first().copied().unwrap_or(found.first);
    let gradual = ramp(full.saturating_sub(found.first) as f64 * view.step_s, 8.0, 25.0);
    // Where response times vary, what is let through varies against them if a number at a time decides.
    let (varied, balance) = balance(view, found);
    let informed = ramp(varied, 0.012, 0.03);
    let against = informed * ramp(balance, 0.38, 0.55);
    let even = informed * ramp(balance, 0.45, 0.3);
    let number =
        0.55 * no_burst.max(gradual).max(0.9 * against) + 0.45 * against.max(ceiling(view, found, away));
    let by_number = number * (1.0 - burst) * (1.0 - 0.8 * even);
    let by_rate = burst.max(0.5 + 0.4 * even).min(1.0 - by_number);
    // How many were turned away when says most, but little where arrivals are even: then both models turn nearly the same
    // away, and neither is exact.
    let even_arrivals = 1.0 - chance_in_arrivals(view);
    let told = ramp(found.likelier.abs(), 15.0 + 45.0 * even_arrivals, 60.0 + 120.0 * even_arrivals);
    if found.likelier > 0.0 {
        let by_number = by_number.max(by_number + (0.9 - by_number) * told);
        (by_rate.min(1.0 - by_number), by_number)
    } else {
        (by_rate.max(by_rate + (0.9 - by_rate) * told), by_number * (1.0 - told))
    }
}

/// How much response times vary over time, and whether what is let through goes against them (towards 1) or is even
/// (towards 0).
fn balance(view: &View<'_>, found: &TurnedAway) -> (f64, f64) {
    let of = |chunk: &[usize]| {
        let admitted: Vec<f64> = chunk.iter().map(|tick| found.admitted[*tick]).collect();
        let together: Vec<f64> = chunk.iter().map(|tick| under_way(view, *tick, &found.endpoints)).collect();
        let (admitted, together) = (mean(&admitted), mean(&together));
        (admitted > 0.0 && together > 0.0).then(|| (admitted.ln(), together.ln()))
    };
    let (rates, together): (Vec<f64>, Vec<f64>) = found.full.chunks(5).filter_map(of).unzip();
    let times: Vec<f64> = rates.iter().zip(&together).map(|(rate, together)| together - rate).collect();
    let (rate_varies, number_varies) = (deviation(&rates), deviation(&together));
    (deviation(&times), ratio(rate_varies, rate_varies + number_varies))
}

/// How much the number under way looks like one that cannot be exceeded.
fn ceiling(view: &View<'_>, found: &TurnedAway, away: &[f64]) -> f64 {
    let gauges: Vec<f64> = found.full.iter().map(|tick| view.in_flight[*tick]).collect();
    let (Some(middle), Some(high)) = (quantile(&gauges, 0.5), quantile(&gauges, 0.98)) else { return 0.0 };
    let free = view.in_flight.iter().zip(away).filter(|(_, away)| **away == 0.0).map(|(number, _)| *number);
    let below = free.fold(0.0, f64::max) <= high * 1.02 + 1.0;
    if below { ramp(ratio(high - middle, high), 0.12, 0.03) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_level_within_a_second_is_between_a_step_and_a_line() {
        // Load grows from 10 to 50 within the second second, and the level is 30.
        let near = |admitted: &[f64], tick: usize, expected: f64| {
            let above = above(admitted, 30.0, tick);
            assert!((above - expected).abs() < 1e-9, "{above} instead of {expected}");
        };
        // A step in its middle makes 10, a line from 20 to 40 makes 2.5.
        near(&[10.0, 30.0, 50.0], 1, 6.25);
        // It is above throughout, or never.
        near(&[10.0, 50.0, 50.0], 1, 20.0);
        near(&[10.0, 10.0, 50.0], 1, 0.0);
        // What is let through falls at once when nothing is left of the burst.
        near(&[10.0, 50.0, 35.0], 1, 20.0);
        near(&[10.0, 20.0], 1, 0.0);
    }
}
