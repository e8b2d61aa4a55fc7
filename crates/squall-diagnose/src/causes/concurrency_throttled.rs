//! Requests beyond a number at the same time are turned away.

use super::turned_away::turned_away;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::signals::{Role, points, range};
use crate::stats::robust::ramp;
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let found = turned_away(view)?;
    if found.by_number < 0.2 {
        return None;
    }
    let (from_s, until_s) = (view.at(found.first), view.at(found.last + 1));
    let throttles = points(&view.observed.signals, Role::Throttles);
    let told = throttles.and_then(|points| range(&points, from_s, until_s)).map(|(_, high)| high > 0.0);
    let seen = ramp(found.full.len() as f64, 2.0, 8.0);
    let score = found.by_number * (0.5 + 0.5 * seen);
    let score = match told {
        Some(true) => score + (1.0 - score) * 0.4,
        Some(false) => score * 0.7,
        None => score,
    };
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
