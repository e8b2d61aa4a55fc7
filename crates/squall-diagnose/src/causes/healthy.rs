//! Nothing was found.

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{quantile, ramp, ratio};
use crate::view::View;

pub(crate) fn find(view: &View<'_>, found: &[Finding]) -> Option<Finding> {
    let surest = found.iter().map(|finding| finding.confidence.share()).fold(0.0, f64::max);
    if surest >= Confidence::MEDIUM {
        return None;
    }
    let failed: f64 = view.done.iter().zip(&view.good).map(|(done, good)| done - good).sum();
    let failed = ratio(failed, view.done.iter().sum());
    let slowness: Vec<f64> = view.bins.iter().map(|bin| bin.slowness(&view.calm)).collect();
    let worst = quantile(&slowness, 0.95).unwrap_or(0.0);
    let calm = ramp(failed, 0.03, 0.005) * ramp(worst, 2.0, 1.4);
    let confidence = Confidence::new(calm * (1.0 - surest));
    if confidence.share() < 0.05 {
        return None;
    }
    let (from_s, until_s) = view.span();
    Some(Finding {
        kind: Kind::Healthy,
        confidence,
        endpoints: Vec::new(),
        from_s,
        until_s,
        summary: format!(
            "Nothing was found: {} of all requests did not succeed, and the usual response time stayed within {worst:.1} times that of the calmest part, {}.",
            super::percent(failed),
            super::time(view.calm.p50)
        ),
        evidence: Evidence::default()
            .with("unsuccessful_share", failed)
            .with("slowest_over_calm", worst)
            .with("calm_p50_ms", view.calm.p50 / 1e3)
            .with("calm_p99_ms", view.calm.p99 / 1e3)
            .refuted_by("more load, a longer run, or traffic that is more like that of real users"),
        advice: "Nothing has to be done at this load. To know how far it is to the next limit, raise the load step by step until something gives.".to_owned(),
    })
}
