//! Too little was measured to find anything.

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::view::View;

/// A shorter run shows no course of things.
const LEAST_S: f64 = 20.0;

/// Fewer requests have no percentiles.
const LEAST_REQUESTS: f64 = 100.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let (from_s, until_s) = view.span();
    let requests = view.requests();
    let seen_s = view.done.iter().filter(|done| **done > 0.0).count() as f64 * view.step_s;
    if seen_s >= LEAST_S && requests >= LEAST_REQUESTS {
        return None;
    }
    Some(Finding {
        kind: Kind::NotEnoughData,
        confidence: Confidence::new(1.0),
        endpoints: Vec::new(),
        from_s,
        until_s,
        summary: format!(
            "{requests:.0} requests ended, in {seen_s:.0} s: too few, or too short, to say why anything is as it is."
        ),
        evidence: Evidence::default().with("requests", requests).with("seconds_with_requests", seen_s),
        advice: format!(
            "Run for at least {LEAST_S:.0} s with at least {LEAST_REQUESTS:.0} requests; two minutes with a ramp show most causes."
        ),
    })
}
