//! Instances were replaced or restarted: short gaps at a load that did not grow.

use std::ops::Range;

use super::episodes::slow_from;
use super::steady_degradation::longer_by;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::signals::{Role, counted, weigh};
use crate::stats::robust::{deviation, mean, median, quantile, ramp, ratio};
use crate::view::View;

/// Outcomes that a process that goes away leaves.
const LEFT: [Class; 3] = [Class::Reset, Class::Refused, Class::Unavailable];

/// Failures that are closer together belong to the same gap.
const APART_S: f64 = 2.5;

/// Whatever lasts longer is no restart of one instance.
const SHORT_S: f64 = 20.0;

/// For so long after a gap it is looked at whether what comes back is slow.
const AFTER_S: f64 = 8.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let left = left(view);
    let gaps = gaps_of(view, &left);
    if gaps.is_empty() {
        return None;
    }
    let (from_s, until_s) = view.span();
    let count = gaps.len() as f64;
    let share_of =
        |fits: &dyn Fn(&Range<usize>) -> bool| gaps.iter().filter(|gap| fits(gap)).count() as f64 / count;
    let lengths: Vec<f64> = gaps.iter().map(|gap| gap.len() as f64 * view.step_s).collect();
    let longest = lengths.iter().copied().fold(0.0, f64::max);
    let share = ratio(lengths.iter().sum(), until_s - from_s);
    // Where requests queue before the first of them fail, there are too many of them.
    let longer_by = longer_by(view);
    let queued = share_of(&|gap| {
        let usual = view.calm.p50 * longer_by(view.at(gap.start));
        is_slow(view, gap.start.saturating_sub(2)..gap.start + 1, usual)
    });
    // Not where most is asked for: gaps come when they come.
    let grew = share_of(&|gap| {
        let before = &view.demand[gap.start.saturating_sub(10)..gap.start];
        !before.is_empty() && mean(&view.demand[gap.clone()]) > 1.25 * mean(before)
    });
    let in_gap = |tick: usize| gaps.iter().any(|gap| gap.contains(&tick));
    let highest = quantile(&view.demand, 0.95).unwrap_or(0.0);
    let at_most: Vec<usize> = (0..view.len()).filter(|tick| view.demand[*tick] > highest * 0.8).collect();
    let untied = ratio(at_most.iter().filter(|tick| !in_gap(**tick)).count() as f64, at_most.len() as f64);
    let over = share_of(&|gap| gap.end + 3 <= view.len());
    // What is left by the way all the time is somebody else's doing.
    let failed: f64 = gaps.iter().flat_map(|gap| &left[gap.clone()]).sum();
    let together = ratio(failed, left.iter().sum());
    // What comes back is slow at first, connections are broken and made anew, and the next one follows.
    let slow_after = share_of(&|gap| is_slow_after(view, gap.end));
    let broken = view.total(Class::Reset) + view.total(Class::Refused);
    let anew = share_of(&|gap| has_new_connections(view, gap));
    let signs = 1.0
        - 0.3
            * (1.0 - 0.6 * ramp(broken, 0.0, 2.0))
            * (1.0 - 0.5 * ramp(count, 1.0, 3.0))
            * (1.0 - 0.6 * ramp(slow_after, 0.0, 0.5))
            * (1.0 - 0.3 * anew);
    let mut score = 0.96
        * signs
        * ramp(burstiness(view, &left), 2.0, 4.0)
        * ramp(together, 0.4, 0.8)
        * ramp(queued, 0.7, 0.3)
        * ramp(grew, 0.8, 0.4)
        * ramp(untied, 0.3, 0.6)
        * (0.3 + 0.7 * over)
        * ramp(share, 0.6, 0.35)
        * ramp(failed, 2.0, 8.0);
    // Pods that are replaced are new ones, and no restarts of the old.
    let says = counted(&view.observed.signals, Role::Restarts, from_s, until_s);
    score = weigh(score, says, 0.5, 0.8);
    if score < 0.1 {
        return None;
    }
    Some(Finding {
        kind: Kind::RestartOrDeployment,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: view.at(gaps.first()?.start),
        until_s: view.at(gaps.last()?.end),
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
            .with("failed_in_gaps", failed)
            .with("slow_after_share", slow_after)
            .refuted_by("no deployment, restart or lost instance in the target's own log at these instants"),
        advice: "Drain before stopping: readiness off first, a pause, then the end; and replace one instance at a time with enough others left.".to_owned(),
    })
}

/// How many requests were left, by tick.
fn left(view: &View<'_>) -> Vec<f64> {
    (0..view.len()).map(|tick| LEFT.iter().map(|class| view.count(tick, *class)).sum()).collect()
}

/// Short stretches in which several requests were left and somebody said that nobody was there, as ticks.
pub(crate) fn gaps(view: &View<'_>) -> Vec<Range<usize>> {
    let mut found = gaps_of(view, &left(view));
    found.retain(|gap| {
        let is_short = gap.len() as f64 * view.step_s < SHORT_S;
        is_short && gap.clone().any(|tick| view.count(tick, Class::Unavailable) > 0.0)
    });
    found
}

/// Stretches in which several requests were left, as ticks.
fn gaps_of(view: &View<'_>, left: &[f64]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for tick in (0..left.len()).filter(|tick| left[*tick] > 0.0) {
        match found.last_mut() {
            Some(gap) if (tick - gap.end) as f64 * view.step_s < APART_S => gap.end = tick + 1,
            _ => found.push(tick..tick + 1),
        }
    }
    let is_gap = |gap: &Range<usize>| {
        let failed: f64 = left[gap.clone()].iter().sum();
        let done: f64 = view.done[gap.clone()].iter().sum();
        failed >= 3.0 && failed > 0.015 * done * view.step_s
    };
    found.retain(is_gap);
    found
}

/// How many times as much the number of those left varies as it would by chance alone (its index of dispersion), over five
/// seconds at a time.
fn burstiness(view: &View<'_>, left: &[f64]) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ticks")]
    let wide = (5.0 / view.step_s).ceil().max(1.0) as usize;
    let sums: Vec<f64> = left.chunks(wide).map(|chunk| chunk.iter().sum()).collect();
    ratio(deviation(&sums).powi(2), mean(&sums))
}

/// Whether the usual request took much longer there than it usually does, if there was one.
fn is_slow(view: &View<'_>, ticks: Range<usize>, usual: f64) -> bool {
    let response = view.response(ticks, |_| true);
    response.count() >= 5 && response.quantile_us(0.5).is_some_and(|us| us as f64 > slow_from(view) * usual)
}

/// Whether the slowest take longer right after a gap than they usually do.
fn is_slow_after(view: &View<'_>, end: usize) -> bool {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ticks")]
    let wide = (AFTER_S / view.step_s).ceil().max(1.0) as usize;
    let response = view.response(end..(end + wide).min(view.len()), |_| true);
    response.count() >= 40 && response.quantile_us(0.95).is_some_and(|us| us as f64 > 1.35 * view.calm.p95)
}

/// Whether more connections than usual were made around a gap.
fn has_new_connections(view: &View<'_>, gap: &Range<usize>) -> bool {
    let made =
        |tick: &crate::observed::Tick| tick.calls.iter().map(|calls| calls.new_connections).sum::<f64>();
    let ticks = &view.observed.ticks;
    let usual = median(&ticks.iter().map(made).collect::<Vec<_>>());
    let around = &ticks[gap.start..(gap.end + 1).min(ticks.len())];
    around.iter().map(made).sum::<f64>() > (3.0 * usual + 1.0) * around.len() as f64 + 2.0
}
