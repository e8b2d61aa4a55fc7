//! Requests beyond a number at the same time are turned away.

use super::turned_away::turned_away;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::signals::{Role, counted, in_role, weigh};
use crate::stats::robust::{ramp, ratio};
use crate::view::View;

/// Over so long platforms add up what they turned away.
const ADDED_UP_S: f64 = 60.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let found = turned_away(view)?;
    if found.by_number < 0.2 {
        return None;
    }
    let (from_s, until_s) = (view.at(found.first), view.at(found.last + 1));
    let seen = ramp(found.full.len() as f64, 2.0, 8.0);
    let score = found.by_number * (0.5 + 0.5 * seen);
    let signals = &view.observed.signals;
    // What is added up by the minute stands at its begin.
    let says = counted(signals, Role::Throttles, from_s - ADDED_UP_S, until_s);
    let score = weigh(score, says, 0.4, 0.7);
    let score = weigh(score, at_once(view, found.together, from_s, until_s), 0.3, 1.0);
    Some(Finding {
        kind: Kind::ConcurrencyThrottled,
        confidence: Confidence::new(score),
        endpoints: view.names(&found.endpoints),
        from_s,
        until_s,
        summary: format!(
            "{} of the requests were turned away with 429 while about {:.0} others were under way; there was no burst that was let through first.",
            super::percent(found.share),
            found.together
        ),
        evidence: Evidence::default()
            .with_interval("concurrency", found.together, found.together_interval)
            .with_interval("throughput_per_s", found.level, found.level_interval)
            .with("turned_away_share", found.share)
            .with("log_likelihood_over_a_bucket", found.likelier)
            .refuted_by("the same throughput when responses take half as long: then it is a rate that is limited"),
        advice: "Raise the concurrency limit (reserved or account-wide), or make each request shorter: throughput is concurrency over duration.".to_owned(),
    })
}

/// From 0 to 1, how much the platform's own number of requests at a time was at most what is seen from here, while
/// requests were turned away.
fn at_once(view: &View<'_>, together: f64, from_s: f64, until_s: f64) -> f64 {
    let all = in_role(&view.observed.signals, Role::Concurrency);
    let near = all.iter().filter_map(|series| {
        let (_, most) = series.range(from_s - ADDED_UP_S, until_s)?;
        let apart = ratio((most - together).abs() - 1.0, together);
        Some(series.covers(from_s, until_s) * ramp(apart, 0.25, 0.1))
    });
    near.fold(0.0, f64::max)
}
