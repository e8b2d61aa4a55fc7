//! The tail grows while the usual request stays as it was: something that is only sometimes called is slow.

use std::ops::Range;

use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::signals::{Role, Series, in_role, weigh};
use crate::stats::changes::stretches;
use crate::stats::robust::{mean, median, quantile, ramp, ratio};
use crate::stats::trend::trend;
use crate::view::View;

/// So many requests say where one in a hundred is; of fewer than the least it is chance, and one in twenty is looked at.
const ENOUGH: f64 = 500.0;
const LEAST: f64 = 60.0;

/// So many stretches show a course.
const LEAST_WINDOWS: f64 = 24.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let windows = windows(view);
    if windows.len() < 8 {
        return None;
    }
    let tail: Vec<f64> = windows.iter().map(|window| window.tail.max(1.0).ln()).collect();
    let usual: Vec<f64> = windows.iter().map(|window| window.usual.max(1.0).ln()).collect();
    // Where the tail is at its highest and at its lowest level for a while.
    let parts: Vec<Range<usize>> = stretches(&tail, 3);
    let level = |range: &Range<usize>, values: &[f64]| median(&values[range.clone()]);
    let by_level =
        |one: &&Range<usize>, other: &&Range<usize>| level(one, &tail).total_cmp(&level(other, &tail));
    let (highest, lowest) = (parts.iter().max_by(by_level)?, parts.iter().min_by(by_level)?);
    let (base, usual_base) = (level(lowest, &tail), level(lowest, &usual));
    let tail_growth = (level(highest, &tail) - base).exp();
    let usual_growth = (level(highest, &usual) - usual_base).exp();
    let points_of = |values: &[f64]| -> Vec<(f64, f64)> {
        windows.iter().zip(values).map(|(window, value)| (window.from_s, *value)).collect()
    };
    let tau = trend(&points_of(&tail))?.tau;
    let served = mean(&view.bins.iter().map(Bin::unserved).collect::<Vec<_>>());
    let lasting = highest.len() as f64 / windows.len() as f64;
    let apart = ratio(tail_growth.ln(), usual_growth.max(1.001).ln());
    let grows = ramp(tau, 0.15, 0.45).max(ramp(lasting, 0.1, 0.3) * 0.85);
    // What was slow from the beginning and becomes faster has to warm up.
    let warms = if highest.start == 0 && tau < 0.0 { 0.5 } else { 1.0 };
    let mut score =
        warms * 0.95 * ramp(tail_growth, 1.5, 2.5) * ramp(apart, 1.6, 3.0) * grows * ramp(served, 0.2, 0.05);
    let (from_s, until_s) = (windows[highest.start].from_s, windows[highest.end - 1].until_s);
    let told = told(view, from_s, until_s);
    score = weigh(weigh(score, told.processors, 0.4, 0.5), told.called, 0.5, 0.6);
    if score < 0.1 {
        return None;
    }
    let which = endpoints(view, from_s, until_s);
    let rare = slowest(view.bins.iter().map(|bin| bin.answered).sum()) > 0.98;
    Some(Finding {
        kind: Kind::SlowDependency,
        confidence: Confidence::new(score),
        endpoints: view.names(&which),
        from_s,
        until_s,
        summary: format!(
            "One request in {} became {:.1} times slower ({} to {}) while the usual one became {:.1} times slower: what only some of them call is slow.",
            if rare { "a hundred" } else { "twenty" },
            tail_growth,
            super::time(base.exp()),
            super::time(level(highest, &tail).exp()),
            usual_growth
        ),
        evidence: Evidence::default()
            .with("tail_growth", tail_growth)
            .with("usual_growth", usual_growth)
            .with("tail_over_time_tau", tau)
            .with("unserved_share", served)
            .refuted_by("processors that are busy at the same time, or a dependency whose own times did not change"),
        advice: "Trace the slowest requests into what they call, and give that call a time-out and a fallback; the report lists the slowest requests with their times.".to_owned(),
    })
}

/// What instruments say of a stretch in which the tail is slow, from -1, which is against a dependency, to 1.
struct Told {
    /// Processors that do no more for each request than at other times, and that nobody else took.
    processors: f64,
    /// What is called takes longer than at other times, or as long as ever.
    called: f64,
}

fn told(view: &View<'_>, from_s: f64, until_s: f64) -> Told {
    let signals = &view.observed.signals;
    let per_request = |series: &Series| -> Vec<(f64, f64)> {
        let points = series.points().iter().filter_map(|(t, busy)| {
            let served = served(view, t - AVERAGED_S, *t);
            (served > 0.0).then(|| (*t, busy / served))
        });
        points.collect()
    };
    // Where others take the processors, it is not what is called.
    let stolen = in_role(signals, Role::Stolen).into_iter().filter_map(|series| {
        let (_, most) = series.range(from_s, until_s)?;
        Some(series.covers(from_s, until_s) * ramp(most, 0.05, 0.2))
    });
    let stolen = stolen.fold(0.0, f64::max);
    // A stretch that covers the whole run can be compared with nothing.
    let growth = |points: &[(f64, f64)]| {
        let of = |there: bool| -> Vec<f64> {
            let fits = |t: f64| (from_s..=until_s).contains(&t) == there;
            points.iter().filter(|(t, _)| fits(*t)).map(|(_, value)| *value).collect()
        };
        let (there, elsewhere) = (of(true), of(false));
        (there.len() >= 2 && elsewhere.len() >= 2).then(|| ratio(median(&there), median(&elsewhere)))
    };
    let strongest = |says: f64, other: f64| if other.abs() > f64::abs(says) { other } else { says };
    let processors = in_role(signals, Role::Cpu).into_iter().filter_map(|series| {
        let growth = growth(&per_request(&series))?;
        Some(series.covers(from_s, until_s) * (1.0 - 2.0 * ramp(growth, 1.25, 1.8)))
    });
    let called = in_role(signals, Role::Dependency).into_iter().filter_map(|series| {
        let growth = growth(series.points())?;
        Some(series.covers(from_s, until_s) * (ramp(growth, 1.1, 1.5) - ramp(growth, 1.1, 1.0)))
    });
    let processors = if stolen > 0.0 { -stolen } else { processors.fold(0.0, strongest) };
    Told { processors, called: called.fold(0.0, strongest) }
}

/// Over so long processors are usually averaged.
const AVERAGED_S: f64 = 60.0;

/// What was served in a second, on average from one instant to another.
fn served(view: &View<'_>, from_s: f64, until_s: f64) -> f64 {
    let ticks = view.observed.ticks.iter().zip(&view.good);
    let within = ticks.filter(|(tick, _)| tick.t_s >= from_s && tick.t_s < until_s);
    mean(&within.map(|(_, good)| *good).collect::<Vec<_>>())
}

/// A stretch with enough requests to say where one in a hundred is.
struct Window {
    from_s: f64,
    until_s: f64,
    usual: f64,
    tail: f64,
}

/// Which of the slowest requests can be told.
fn slowest(answered: f64) -> f64 {
    if answered / LEAST_WINDOWS < LEAST { 0.95 } else { 0.99 }
}

fn windows(view: &View<'_>) -> Vec<Window> {
    let all: f64 = view.bins.iter().map(|bin| bin.answered).sum();
    let enough = (all / LEAST_WINDOWS).clamp(LEAST, ENOUGH);
    let (mut found, mut begin, mut answered) = (Vec::new(), 0, 0.0);
    for (at, bin) in view.bins.iter().enumerate() {
        answered += bin.answered;
        if answered >= enough {
            let response = view.slow_or_given_up(view.bins[begin].ticks.start..bin.ticks.end);
            let time = |quantile| response.quantile_us(quantile).unwrap_or(0) as f64;
            let (from_s, until_s) = (view.bins[begin].from_s, bin.until_s);
            found.push(Window { from_s, until_s, usual: time(0.5), tail: time(slowest(all)) });
            (begin, answered) = (at + 1, 0.0);
        }
    }
    found
}

/// The endpoints whose tail is much higher there than it was.
fn endpoints(view: &View<'_>, from_s: f64, until_s: f64) -> Vec<usize> {
    let growth = |index: usize| {
        let p95 = |bin: &Bin| bin.endpoints.get(index).map(|part| part.p95).filter(|p95| *p95 > 0.0);
        let there = |bin: &&Bin| bin.from_s >= from_s && bin.until_s <= until_s;
        let all: Vec<f64> = view.bins.iter().filter_map(p95).collect();
        let own: Vec<f64> = view.bins.iter().filter(there).filter_map(p95).collect();
        ratio(median(&own), quantile(&all, 0.15).unwrap_or(0.0))
    };
    let growths: Vec<(usize, f64)> = view.counted().map(|index| (index, growth(index))).collect();
    let most = growths.iter().map(|(_, growth)| *growth).fold(0.0, f64::max);
    let which = growths.iter().filter(|(_, growth)| *growth > 1.3 && growth.ln() > 0.4 * most.ln());
    which.map(|(index, _)| *index).collect()
}
