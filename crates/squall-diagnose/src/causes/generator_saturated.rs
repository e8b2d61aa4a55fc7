//! The generators were the bottleneck.

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{mean, ramp};
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let tainted: Vec<f64> = view.observed.ticks.iter().map(|tick| tick.tainted).collect();
    let share = mean(&tainted);
    let marked = |share: &f64| *share > 0.0;
    let (first, last) = (tainted.iter().position(marked)?, tainted.iter().rposition(marked)?);
    if share < 0.01 {
        return None;
    }
    Some(Finding {
        kind: Kind::GeneratorSaturated,
        confidence: Confidence::new(0.3 + 0.65 * ramp(share, 0.01, 0.08)),
        endpoints: Vec::new(),
        from_s: view.at(first),
        until_s: view.at(last + 1),
        summary: format!(
            "In {:.1} % of their time the generators were late, or had to wait for a processor: what was measured then says more of them than of the target.",
            share * 100.0
        ),
        evidence: Evidence::default()
            .with("tainted_share", share)
            .refuted_by("the same numbers from twice as many generators, none of which is a bottleneck"),
        advice: "Divide the load over more generators, or give each more processors, and run again before anything else is believed.".to_owned(),
    })
}
