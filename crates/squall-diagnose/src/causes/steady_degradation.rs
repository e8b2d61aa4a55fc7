//! It becomes slower and slower under the same load.

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{mean, median, ramp, ratio};
use crate::stats::trend::{Trend, trend};
use crate::view::View;

/// A course that rises and rises at the same load.
struct Course {
    trend: Trend,
    /// From when until when load was the same.
    from_s: f64,
    until_s: f64,
    /// The usual response time in the first and in the last third, as logarithms.
    levels: (f64, f64),
    /// How sure that is, from 0 to 1.
    score: f64,
}

/// From so many times as long on it may be a queue that grows, and from so many on it is one.
const MAY_QUEUE: f64 = 5.0;
const QUEUES: f64 = 10.0;

fn course(view: &View<'_>) -> Option<Course> {
    // Only where load is as it mostly is: what follows load is no degradation.
    let demand: Vec<f64> = view.bins.iter().map(|bin| bin.demand).collect();
    let held = super::steady(&demand);
    let bins: Vec<&crate::bins::Bin> =
        view.bins[held].iter().filter(|bin| bin.answered >= 5.0 && bin.p50 > 0.0).collect();
    let points: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.middle_s(), bin.p50.ln())).collect();
    let (first, last) = (points.first()?, points.last()?);
    let length_s = last.0 - first.0;
    let trend = trend(&points)?;
    let growth = trend.slope * length_s;
    // A step is no trend: each third must be above the one before.
    let third = points.len() / 3;
    let level = |range: std::ops::Range<usize>| {
        median(&points[range].iter().map(|point| point.1).collect::<Vec<_>>())
    };
    if third < 2 {
        return None;
    }
    let levels = [level(0..third), level(third..2 * third), level(2 * third..points.len())];
    let rises = [levels[1] - levels[0], levels[2] - levels[1]];
    let even = ramp(rises[0].min(rises[1]) / (levels[2] - levels[0]).max(1e-9), 0.02, 0.2);
    // Where arrivals vary much, load that grew looks the same at first sight.
    let asked =
        |range: std::ops::Range<usize>| mean(&bins[range].iter().map(|bin| bin.demand).collect::<Vec<_>>());
    let more = ratio(asked(2 * third..bins.len()), asked(0..third));
    let same = ramp(more, 1.2, 1.08);
    // What takes many times as long as when all is calm waits in a queue, of which too much is asked.
    let no_queue = ramp(levels[2] - view.calm.p50.max(1.0).ln(), QUEUES.ln(), MAY_QUEUE.ln());
    let score = same
        * no_queue
        * ramp(growth, 0.12, 0.35)
        * ramp(trend.tau, 0.25, 0.5)
        * even
        * ramp(length_s, 20.0, 60.0);
    Some(Course { trend, from_s: first.0, until_s: last.0, levels: (levels[0], levels[2]), score })
}

/// How many times as long as at first requests take at an instant for no other reason than that they take longer and longer.
pub(crate) fn longer_by(view: &View<'_>) -> impl Fn(f64) -> f64 {
    let found = course(view).filter(|course| course.score >= 0.5);
    move |at_s| {
        found.as_ref().map_or(1.0, |course| (course.trend.slope * (at_s - course.from_s)).exp().max(1.0))
    }
}

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let Course { trend: found, from_s, until_s, levels, score } = course(view)?;
    if score < 0.1 {
        return None;
    }
    let per_minute = |slope: f64| (slope * 60.0).exp_m1();
    Some(Finding {
        kind: Kind::SteadyDegradation,
        confidence: Confidence::new(0.95 * score),
        endpoints: Vec::new(),
        from_s,
        until_s,
        summary: format!(
            "Under the same load the usual response time grew by {} a minute, from {} to {}, without an end.",
            super::percent(per_minute(found.slope)),
            super::time(levels.0.exp()),
            super::time(levels.1.exp())
        ),
        evidence: Evidence::default()
            .with_interval(
                "growth_per_minute",
                per_minute(found.slope),
                (per_minute(found.interval.0), per_minute(found.interval.1)),
            )
            .with("tau", found.tau)
            .with("chance_without_a_trend", found.chance())
            .with("held_for_s", until_s - from_s)
            .refuted_by("a longer run in which it levels off, or load that grew unseen"),
        advice: "Look for what is never given back: memory, connections, rows, files. Watch them over a longer run; a restart that makes it fast again says the same.".to_owned(),
    })
}
