//! Instances were replaced or restarted: short gaps at a load that did not grow.

use super::episodes::{Episode, episodes};
use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::signals::{Role, first_growth, points};
use crate::stats::robust::{median, quantile, ramp, ratio};
use crate::view::View;

/// Outcomes that a process that goes away leaves.
const LEFT: [Class; 3] = [Class::Reset, Class::Refused, Class::Unavailable];

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let usual_new = median(&view.bins.iter().map(|bin| bin.new_connections).collect::<Vec<_>>());
    let is_gap = |bin: &Bin| {
        let left: f64 = LEFT.iter().map(|class| bin.by[*class as usize]).sum();
        left >= 3.0 && bin.share(&LEFT) > 0.01
    };
    let gaps = episodes(view, is_gap);
    if gaps.is_empty() {
        return None;
    }
    let (from_s, until_s) = view.span();
    let bad_s: f64 = gaps.iter().map(Episode::length_s).sum();
    let longest = gaps.iter().map(Episode::length_s).fold(0.0, f64::max);
    // Not where most is asked for: gaps come when they come.
    let demands: Vec<f64> = view.bins.iter().map(|bin| bin.demand).collect();
    let grew = |gap: &&Episode| gap.demand_before.is_some_and(|before| gap.demand > before * 1.08);
    let by_load = gaps.iter().filter(grew).count() as f64 / gaps.len() as f64;
    let highest = quantile(&demands, 0.95).unwrap_or(0.0);
    let free_at_most = view.bins.iter().filter(|bin| !is_gap(bin) && bin.demand > highest * 0.9).count();
    let at_most = view.bins.iter().filter(|bin| bin.demand > highest * 0.9).count();
    let untied = ratio(free_at_most as f64, at_most as f64);
    let recovered =
        gaps.iter().filter(|gap| gap.calm_after >= 2 && gap.demand_after > gap.demand * 0.8).count() as f64
            / gaps.len() as f64;
    let broken = view.total(Class::Reset) + view.total(Class::Refused);
    let left: f64 = LEFT.iter().map(|class| view.total(*class)).sum();
    let anew = gaps
        .iter()
        .flat_map(|gap| &view.bins[gap.bins.clone()])
        .filter(|bin| bin.new_connections > 3.0 * usual_new + 5.0);
    let anew = (anew.count() as f64 / gaps.len() as f64).min(1.0);
    let signs = (0.65 + 0.35 * ramp(ratio(broken, left), 0.02, 0.2) + 0.25 * anew).min(1.0);
    let share = ratio(bad_s, until_s - from_s);
    let mut score = 0.95
        * signs
        * ramp(by_load, 0.8, 0.3)
        * ramp(untied, 0.3, 0.6)
        * (0.3 + 0.7 * recovered)
        * ramp(share, 0.6, 0.35)
        * ramp(left, 3.0, 10.0);
    let restarts = points(&view.observed.signals, Role::Restarts);
    if let Some(points) = restarts {
        let grown = first_growth(&points, from_s).is_some();
        score = if grown { score + (1.0 - score) * 0.5 } else { score * 0.6 };
    }
    if score < 0.1 {
        return None;
    }
    let lengths: Vec<f64> = gaps.iter().map(Episode::length_s).collect();
    Some(Finding {
        kind: Kind::RestartOrDeployment,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: gaps.first()?.from_s,
        until_s: gaps.last()?.until_s,
        summary: format!(
            "{} {} at a load that did not grow: connections broke or nobody answered for {:.0} s or less, and then it was as before. That is how instances look that are replaced or restarted.",
            gaps.len(),
            if gaps.len() == 1 { "gap" } else { "gaps" },
            longest
        ),
        evidence: Evidence::default()
            .with("gaps", gaps.len() as f64)
            .with("usual_gap_s", median(&lengths))
            .with("resets_and_refusals", broken)
            .with("failed_in_gaps", left)
            .refuted_by("no deployment, restart or lost instance in the target's own log at these instants"),
        advice: "Drain before stopping: readiness off first, a pause, then the end; and replace one instance at a time with enough others left.".to_owned(),
    })
}
