//! More load came than there was capacity for, and capacity followed later.

use super::episodes::{Episode, episodes, is_bad};
use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::signals::{Role, became_more, in_role, weigh};
use crate::stats::changes::stretches_beyond;
use crate::stats::robust::{deviation, mean, median, ramp, ratio};
use crate::view::View;

/// What was found of one such stretch.
struct Lag {
    episode: Episode,
    /// When capacity first grew, after load had exceeded it.
    first_event_s: Option<f64>,
    /// Between the ticks on either side of which it did.
    between: (f64, f64),
    /// What was served in a second while there was too little, before and after it grew.
    levels: (f64, f64),
    recovered: bool,
    ready: Vec<Ready>,
    score: f64,
}

/// Whether the number of instances grew is looked at from so long before there was too little until so long after that.
const BEFORE_S: f64 = 15.0;
const AFTER_S: f64 = 30.0;

/// Who asks more often than the instruments look gets the same value again: usually they look every so often.
const LOOKS_S: f64 = 15.0;
const OFTEN_S: f64 = 3.0;

/// Values that are further apart do not say when.
const FAR_S: f64 = 20.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let episodes = episodes(view, |bin| is_bad(view, bin));
    let lags = episodes.into_iter().filter_map(|episode| lag(view, episode));
    let lag = lags.max_by(|one, other| one.score.total_cmp(&other.score))?;
    let Episode { from_s, until_s, slowest, unserved, .. } = lag.episode;
    let signals = &view.observed.signals;
    let says = became_more(signals, from_s - BEFORE_S, until_s + AFTER_S);
    let score = weigh(lag.score, says, 0.5, 0.4);
    if score < 0.15 {
        return None;
    }
    let told_s = in_role(signals, Role::Replicas)
        .iter()
        .filter_map(|series| Some(series.growths(from_s - BEFORE_S, until_s + AFTER_S).first()?.1))
        .reduce(f64::min);
    let first = lag.first_event_s.map(|at| at - from_s);
    let mut evidence = Evidence::default()
        .with("slowest_over_calm", slowest)
        .with("unserved_share", unserved)
        .with("demand_before_per_s", lag.episode.demand_before.unwrap_or(0.0))
        .with("demand_per_s", lag.episode.demand)
        .with("served_before_per_s", lag.levels.0)
        .with("served_after_per_s", lag.levels.1);
    if let Some(first) = first {
        let interval = (lag.between.0 - from_s, lag.between.1 - from_s);
        evidence = evidence.with_interval("time_to_first_scale_event_s", first, interval);
        evidence = evidence.with_interval("first_scale_event_at_s", from_s + first, lag.between);
    }
    if lag.recovered {
        let width = view.bins.first().map_or(1.0, |bin| bin.until_s - bin.from_s);
        evidence = evidence.with_interval(
            "time_to_recover_s",
            until_s - from_s,
            (until_s - from_s - width, until_s - from_s + width),
        );
    }
    if let Some(told_s) = told_s {
        evidence = evidence.with("replicas_grew_at_s", told_s);
    }
    if let Some(ready) = lag.ready.first().filter(|ready| ready.is_exact) {
        evidence = evidence.with("more_were_ready_at_s", ready.by_s);
    }
    if says.abs() > 0.01 {
        evidence = evidence.with("instruments_say", says);
    }
    let after = match (first, lag.recovered) {
        (Some(first), true) => format!(
            "capacity first grew after {first:.0} s, and it had recovered after {:.0} s",
            until_s - from_s
        ),
        (Some(first), false) => {
            format!("capacity first grew after {first:.0} s, and was not enough by the end")
        }
        (None, _) => format!("it had recovered after {:.0} s", until_s - from_s),
    };
    let turned_away =
        if unserved < 0.0005 { String::new() } else { format!(" and {} unserved", super::percent(unserved)) };
    Some(Finding {
        kind: Kind::AutoscalingLag,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s,
        until_s,
        summary: format!(
            "From {from_s:.0} s on more was asked for than could be served, up to {slowest:.1} times the calm response time{turned_away}; under the same load {after}."
        ),
        evidence: evidence.refuted_by("a number of instances that did not change, or the same stretch in a second run at the same load"),
        advice: "Scale earlier: a lower target, more instances to begin with, or on a schedule; and make instances ready faster.".to_owned(),
    })
}

fn lag(view: &View<'_>, episode: Episode) -> Option<Lag> {
    if episode.length_s() < 4.0 {
        return None;
    }
    let at_begin = episode.bins.start <= 1;
    let grew = episode.demand_before.map_or(f64::INFINITY, |before| ratio(episode.demand, before));
    let rise = if at_begin { 0.7 } else { ramp(grew, 1.02, 1.12) };
    let stays = ratio(episode.demand_after, episode.demand);
    let recovered = episode.calm_after >= 2 && stays > 0.75;
    let ticks = episode.ticks(view);
    let ready = ready(view, &episode);
    let event = agreed(growths_of_capacity(view, &ticks), &ready);
    if !recovered && event.is_none() {
        return None;
    }
    // Whatever merely has to warm up serves all that comes, and is slowest at once; a queue grows for a while.
    let later =
        ramp(episode.slowest_at, 0.2, 0.4).max(ramp(episode.slowest_at * episode.length_s(), 4.0, 8.0));
    let queue = ramp(episode.slowest, 4.0, 8.0) * later;
    let backlog = short_of(view, &ticks).max(queue);
    let shape = ramp(episode.slowest_at, 0.02, 0.12).max(ramp(episode.unserved, 0.02, 0.06));
    let growth = event.as_ref().map_or(0.0, |event| {
        // From nothing at all is as much as can be.
        let (before, after) = event.levels;
        ramp(ratio(after, before.max(0.01 * after)), 1.03, 1.15)
    });
    let recovery = if recovered { 1.0 } else { 0.55 * growth };
    // Had capacity grown, it would not end at the same limit later.
    let level = event.as_ref().map_or(episode.demand, |event| event.levels.1);
    let later: Vec<&Bin> = view.bins[episode.bins.end..].iter().filter(|bin| is_bad(view, bin)).collect();
    let of = |value: fn(&Bin) -> f64| mean(&later.iter().map(|bin| value(bin)).collect::<Vec<_>>());
    let (asked, served) = (of(|bin| bin.demand), of(|bin| bin.good));
    let same_limit = later.len() >= 5 && served < 1.1 * level && asked > 1.1 * served;
    let score = if same_limit { 0.3 } else { 0.97 }
        * rise
        * recovery
        * shape
        * (0.35 + 0.65 * backlog)
        * (0.45 + 0.55 * growth)
        * ramp(episode.length_s(), 3.0, 8.0);
    let levels = event.as_ref().map_or((0.0, 0.0), |event| event.levels);
    let (first_event_s, between) = match (event, exact(&ready)) {
        (Some(event), None) => (Some(event.at_s), event.between),
        (Some(event), _) if fits(&event, said(&ready)) => (Some(event.at_s), event.between),
        (_, Some(Ready { after_s, by_s, .. })) => (Some(f64::midpoint(*after_s, *by_s)), (*after_s, *by_s)),
        (None, None) => (None, (0.0, 0.0)),
    };
    Some(Lag { episode, first_event_s, between, levels, recovered, ready, score })
}

struct Event {
    at_s: f64,
    between: (f64, f64),
    levels: (f64, f64),
    /// Whether what is served says by itself that capacity grew.
    is_clear: bool,
}

/// When instruments say that more served.
#[derive(Debug, Clone, Copy)]
struct Ready {
    /// After that,
    after_s: f64,
    /// and by then.
    by_s: f64,
    /// Whether that says when it was, and not only that it may have been.
    is_exact: bool,
}

/// When instruments say that more served, from when on there was too little.
fn ready(view: &View<'_>, episode: &Episode) -> Vec<Ready> {
    let (from_s, until_s) = (episode.from_s, episode.until_s + AFTER_S);
    let all = in_role(&view.observed.signals, Role::Ready);
    let growths = all.iter().flat_map(|series| {
        // Whoever looked later does not know whether there were more already.
        let first_s = series.points().first().map_or(from_s, |point| point.0);
        let unseen = (first_s > from_s).then_some((f64::NEG_INFINITY, first_s));
        let apart_s = series.apart_s();
        let early_s = if apart_s < OFTEN_S { LOOKS_S - apart_s } else { 0.0 };
        let growths = series.growths(from_s, until_s).into_iter();
        unseen.into_iter().chain(growths.map(move |(after_s, by_s)| (after_s - early_s, by_s)))
    });
    let mut ready: Vec<Ready> = growths
        .map(|(after_s, by_s)| Ready {
            after_s: after_s.max(from_s),
            by_s,
            is_exact: by_s - after_s <= FAR_S,
        })
        .collect();
    ready.sort_by(|one, other| one.by_s.total_cmp(&other.by_s));
    ready
}

/// The first of these, if it says when that was.
fn exact(ready: &[Ready]) -> Option<&Ready> {
    ready.first().filter(|ready| ready.is_exact)
}

/// Whether instruments say that more served from then on; a second is within the error.
fn fits(event: &Event, ready: &[Ready]) -> bool {
    ready.iter().any(|ready| (ready.after_s - 1.0..=ready.by_s + 1.0).contains(&event.at_s))
}

/// The first event that instruments agree to, a clear one rather than another; if there is none, the first that is clear.
fn agreed(mut events: Vec<Event>, ready: &[Ready]) -> Option<Event> {
    let first = said(ready);
    let clear = |event: &Event| event.is_clear;
    let place = events
        .iter()
        .position(|event| clear(event) && fits(event, first))
        .or_else(|| events.iter().position(|event| exact(ready).is_some() && fits(event, first)))
        .or_else(|| events.iter().position(clear))?;
    Some(events.swap_remove(place))
}

/// What instruments say of the first event: the first growth alone if that was seen, and else any.
fn said(ready: &[Ready]) -> &[Ready] {
    exact(ready).map_or(ready, std::slice::from_ref)
}

/// Whenever what is served grew to a new level, while there was too little.
fn growths_of_capacity(view: &View<'_>, ticks: &std::ops::Range<usize>) -> Vec<Event> {
    let until = (ticks.end + 5).min(view.len());
    let served = &view.good[ticks.start..until];
    // What waits until it is given up leaves nothing served for long: counts vary all the same when there are any.
    let usual = median(&served.iter().copied().filter(|served| *served > 0.0).collect::<Vec<_>>());
    let noise = crate::stats::robust::noise(served).max(0.35 * (usual / view.step_s).sqrt());
    let parts = stretches_beyond(served, 3, noise);
    let level = |range: &std::ops::Range<usize>| median(&served[range.clone()]);
    // Only where there was too little before can there be more of it after.
    let is_short = |range: &std::ops::Range<usize>| {
        let asked = mean(&view.demand[ticks.start + range.start..ticks.start + range.end]);
        asked > 1.02 * mean(&served[range.clone()])
            || is_waiting(view, ticks.start + range.start..ticks.start + range.end)
    };
    // More is served, too, where more is asked for: at least half of it must have been asked for before.
    let was_wanted = |before: &std::ops::Range<usize>, after: &std::ops::Range<usize>| {
        let asked = |range: &std::ops::Range<usize>| {
            mean(&view.demand[ticks.start + range.start..ticks.start + range.end])
        };
        let (least, wanted) = (level(before), level(after).min(asked(after)));
        wanted <= least || asked(before) >= f64::midpoint(least, wanted)
    };
    // A step is a good part of all that came to be served, or of what was; less is noise of the service itself. Where next to nothing
    // was served, anything is.
    let levels: Vec<f64> = parts.iter().map(&level).collect();
    let least = levels.iter().copied().fold(f64::INFINITY, f64::min);
    let most = levels.iter().copied().fold(0.0, f64::max);
    // Small ones count where less waits afterwards.
    let fewer_wait = |range: &std::ops::Range<usize>| {
        let from = ticks.start + range.start;
        let later = (from + 8).min(view.len() - 1);
        view.in_flight[later] < 0.9 * view.in_flight[from.saturating_sub(1)]
    };
    let is_clear = |pair: &[std::ops::Range<usize>]| {
        let (before, after) = (level(&pair[0]), level(&pair[1]));
        let error = noise / (pair[0].len().min(pair[1].len()) as f64).sqrt();
        let step = if before < 0.05 * most { 0.05 * most } else { (0.15 * (most - least)).min(0.2 * before) };
        after > before * 1.05
            && after - before > (2.5 * error).max(step)
            && pair[0].end >= 4
            && is_short(&pair[0])
            && was_wanted(&pair[0], &pair[1])
            && (after > before * 1.15 || fewer_wait(&pair[1]))
    };
    let pairs = parts.windows(2).filter(|pair| level(&pair[1]) > level(&pair[0]));
    pairs
        .map(|pair| {
            let levels = (level(&pair[0]), level(&pair[1]));
            let at_s = since(view, served, pair[1].start, levels) + view.at(ticks.start);
            let between = (at_s - view.step_s, at_s + view.step_s);
            Event { at_s, between, levels, is_clear: is_clear(pair) }
        })
        .collect()
}

/// When what is served went from one level to another, in seconds from the first of the ticks: within the ticks around
/// the change, by how much of it each of them has; and an answer comes a while after it was begun.
fn since(view: &View<'_>, served: &[f64], change: usize, (before, after): (f64, f64)) -> f64 {
    let around = change.saturating_sub(1)..(change + 1).min(served.len());
    let after_it =
        served[around.clone()].iter().map(|served| ((served - before) / (after - before)).clamp(0.0, 1.0));
    around.end as f64 * view.step_s - after_it.sum::<f64>() * view.step_s - view.calm.p50 / 1e6
}

/// Whether requests wait there: they take longer than when it is calm.
fn is_waiting(view: &View<'_>, ticks: std::ops::Range<usize>) -> bool {
    let response = view.response(ticks, |_| true);
    response.quantile_us(0.5).is_some_and(|us| us as f64 > 1.5 * view.calm.p50)
}

/// From 0 to 1, how much less was served than asked for.
fn short_of(view: &View<'_>, ticks: &std::ops::Range<usize>) -> f64 {
    let begin = &view.demand[ticks.clone()];
    let half = ticks.start..ticks.start + ticks.len().div_ceil(2);
    let missing = mean(&view.demand[half.clone()]) - mean(&view.good[half.clone()]);
    let error = deviation(begin) / (half.len().max(1) as f64).sqrt();
    let share = ratio(missing, mean(&view.demand[half]));
    ramp(share, 0.01, 0.06) * ramp(ratio(missing, error.max(1e-9)), 0.5, 2.0)
}
