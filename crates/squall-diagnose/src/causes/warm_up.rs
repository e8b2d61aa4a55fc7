//! It was slow at first, and became faster by itself.

use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{mean as average, median, ramp, ratio};
use crate::view::View;

/// So many answers have a mean that says something.
const ENOUGH: f64 = 40.0;

/// A course of more parts says no more.
const MOST_PARTS: usize = 150;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let parts = parts(view);
    if parts.len() < 10 {
        return None;
    }
    let means: Vec<f64> = parts.iter().map(|part| part.mean).collect();
    // The later half says how it ends.
    let settled = median(&means[means.len() / 2..]);
    let spread = crate::stats::robust::spread(&means[means.len() / 2..]).max(settled * 0.02);
    let last = means.iter().position(|mean| *mean <= settled + 2.0 * spread)?;
    let first = median(&means[..means.len().min(3)]);
    let times = ratio(first, settled);
    // Falling all the way, and never back.
    let smooth = crate::stats::robust::smooth(&means, 1);
    let until = smooth.iter().position(|mean| *mean <= settled + 2.0 * spread).unwrap_or(last).max(2);
    let falls =
        smooth[..=until.min(smooth.len() - 1)].windows(2).filter(|pair| pair[1] <= pair[0] + spread).count()
            as f64
            / until.max(1) as f64;
    let later = smooth[until..].iter().filter(|mean| **mean > settled + 0.4 * (first - settled)).count()
        as f64
        / (smooth.len() - until).max(1) as f64;
    let lasting_s = parts[until.min(parts.len() - 1)].from_s - parts[0].from_s;
    let until_s = parts[0].from_s + lasting_s;
    let early = view.bins.iter().take_while(|bin| bin.from_s <= until_s);
    let unserved = early.map(Bin::unserved).fold(0.0, f64::max);
    // Not because less was asked for.
    let demand = |parts: &[Part]| median(&parts.iter().map(|part| part.demand).collect::<Vec<_>>());
    let (demand_first, demand_later) = (demand(&parts[..3]), demand(&parts[until.min(parts.len() - 2)..]));
    let not_less = ramp(ratio(demand_later, demand_first), 0.6, 0.9);
    let score = 0.95
        * ramp(times, 1.25, 1.7)
        * ramp(falls, 0.6, 0.85)
        * ramp(later, 0.1, 0.02)
        * ramp(lasting_s, 2.0, 8.0)
        * ramp(unserved, 0.1, 0.02)
        * not_less;
    if score < 0.1 {
        return None;
    }
    Some(Finding {
        kind: Kind::WarmUp,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: parts[0].from_s,
        until_s,
        summary: format!(
            "At first requests took {times:.1} times as long ({} instead of {}), and less and less for {lasting_s:.0} s: something was filled or compiled.",
            super::time(first),
            super::time(settled)
        ),
        evidence: Evidence::default()
            .with("first_over_settled", times)
            .with("settled_after_s", lasting_s)
            .with("settled_mean_ms", settled / 1e3)
            .refuted_by("a second run right after this one that is as slow at first"),
        advice: "Warm caches and code before traffic comes (readiness after warming), and leave the first part out when two runs are compared.".to_owned(),
    })
}

/// A stretch with enough answers for a mean.
struct Part {
    from_s: f64,
    mean: f64,
    demand: f64,
}

fn parts(view: &View<'_>) -> Vec<Part> {
    let (mut found, mut begin) = (Vec::new(), 0);
    // A long run has no more of them than a short one has seconds.
    let least = (view.len() / MOST_PARTS).max(1);
    for tick in 0..view.len() {
        let enough =
            tick + 1 - begin >= least && view.good[begin..=tick].iter().sum::<f64>() * view.step_s >= ENOUGH;
        if !enough {
            continue;
        }
        if let Some(mean) = view.response(begin..tick + 1, |_| true).mean_us().filter(|mean| *mean > 0.0) {
            found.push(Part { from_s: view.at(begin), mean, demand: average(&view.demand[begin..=tick]) });
        }
        begin = tick + 1;
    }
    found
}
