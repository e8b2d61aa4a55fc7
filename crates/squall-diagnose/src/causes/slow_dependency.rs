//! The tail grows while the usual request stays as it was: something that is only sometimes called is slow.

use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::signals::{Role, points, range};
use crate::stats::changes::stretches;
use crate::stats::robust::{median, quantile, ramp, ratio};
use crate::stats::trend::trend;
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let bins: Vec<&Bin> = view.bins.iter().filter(|bin| bin.answered >= 20.0).collect();
    if bins.len() < 8 {
        return None;
    }
    let tail: Vec<f64> = bins.iter().map(|bin| bin.p99.max(1.0).ln()).collect();
    let base = quantile(&tail, 0.15)?;
    let usual: Vec<f64> = bins.iter().map(|bin| bin.p50.max(1.0).ln()).collect();
    let usual_base = quantile(&usual, 0.15)?;
    // Where the tail is at its highest level for a while.
    let parts = stretches(&tail, 3);
    let level = |range: &std::ops::Range<usize>, values: &[f64]| median(&values[range.clone()]);
    let highest = parts
        .iter()
        .filter(|range| range.len() >= 3)
        .max_by(|one, other| level(one, &tail).total_cmp(&level(other, &tail)))?;
    let tail_growth = (level(highest, &tail) - base).exp();
    let usual_growth = (level(highest, &usual) - usual_base).exp();
    let points_of = |values: &[f64]| -> Vec<(f64, f64)> {
        bins.iter().zip(values).map(|(bin, value)| (bin.middle_s(), *value)).collect()
    };
    let tau = trend(&points_of(&tail))?.tau;
    let served: f64 = bins.iter().map(|bin| bin.unserved()).sum::<f64>() / bins.len() as f64;
    let lasting = highest.len() as f64 / bins.len() as f64;
    let apart = ratio(tail_growth.ln(), usual_growth.max(1.001).ln());
    let grows = ramp(tau, 0.15, 0.45).max(ramp(lasting, 0.1, 0.3) * 0.85);
    let mut score =
        0.95 * ramp(tail_growth, 1.5, 2.5) * ramp(apart, 1.6, 3.0) * grows * ramp(served, 0.2, 0.05);
    if let Some(cpu) = points(&view.observed.signals, Role::Cpu) {
        let (from_s, until_s) = view.span();
        let flat = range(&cpu, from_s, until_s).is_some_and(|(low, high)| high < 1.5 * low.max(high * 0.05));
        score = if flat { score + (1.0 - score) * 0.4 } else { score * 0.6 };
    }
    if score < 0.1 {
        return None;
    }
    let which = endpoints(view, &bins[highest.clone()]);
    Some(Finding {
        kind: Kind::SlowDependency,
        confidence: Confidence::new(score),
        endpoints: view.names(&which),
        from_s: bins[highest.start].from_s,
        until_s: bins[highest.end - 1].until_s,
        summary: format!(
            "One request in a hundred became {tail_growth:.1} times slower ({} to {}) while the usual one became {usual_growth:.1} times slower: what only some of them call is slow.",
            super::time(base.exp()),
            super::time(level(highest, &tail).exp())
        ),
        evidence: Evidence::default()
            .with("p99_growth", tail_growth)
            .with("p50_growth", usual_growth)
            .with("p99_over_time_tau", tau)
            .with("unserved_share", served)
            .refuted_by("processors that are busy at the same time, or a dependency whose own times did not change"),
        advice: "Trace the slowest requests into what they call, and give that call a time-out and a fallback; the report lists the slowest requests with their times.".to_owned(),
    })
}

/// The endpoints whose tail is much higher there than it was.
fn endpoints(view: &View<'_>, there: &[&Bin]) -> Vec<usize> {
    let growth = |index: usize| {
        let all: Vec<f64> = view
            .bins
            .iter()
            .filter_map(|bin| Some(bin.endpoints.get(index)?.p95))
            .filter(|p95| *p95 > 0.0)
            .collect();
        let own: Vec<f64> = there
            .iter()
            .filter_map(|bin| Some(bin.endpoints.get(index)?.p95))
            .filter(|p95| *p95 > 0.0)
            .collect();
        ratio(median(&own), quantile(&all, 0.15).unwrap_or(0.0))
    };
    let growths: Vec<(usize, f64)> = view.counted().map(|index| (index, growth(index))).collect();
    let most = growths.iter().map(|(_, growth)| *growth).fold(0.0, f64::max);
    let which = growths.iter().filter(|(_, growth)| *growth > 1.3 && growth.ln() > 0.4 * most.ln());
    which.map(|(index, _)| *index).collect()
}
