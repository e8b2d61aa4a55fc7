//! The causes that are looked for, one file each, and what their files have in common.

mod autoscaling_lag;
mod cold_starts;
mod concurrency_throttled;
mod connection_limit;
mod episodes;
mod generator_saturated;
mod hard_capacity_limit;
pub(crate) mod healthy;
mod network;
pub(crate) mod not_enough_data;
mod rate_limited;
mod restart_or_deployment;
mod retry_storm;
mod slow_dependency;
mod steady_degradation;
mod turned_away;
pub(crate) mod unexplained_failures;
mod warm_up;
mod write_contention;

use crate::finding::Finding;
use crate::view::View;

/// Looks for one cause.
pub(crate) type Find = fn(&View<'_>) -> Option<Finding>;

/// All that are looked for on their own.
pub(crate) const ALL: [Find; 14] = [
    generator_saturated::find,
    rate_limited::find,
    concurrency_throttled::find,
    connection_limit::find,
    network::find,
    retry_storm::find,
    autoscaling_lag::find,
    hard_capacity_limit::find,
    restart_or_deployment::find,
    write_contention::find,
    cold_starts::find,
    slow_dependency::find,
    warm_up::find,
    steady_degradation::find,
];

/// Microseconds for people.
fn time(us: f64) -> String {
    if us >= 1e6 {
        format!("{:.1} s", us / 1e6)
    } else if us >= 1e4 {
        format!("{:.0} ms", us / 1e3)
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

/// A share for people.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The longest stretch in which values stay within 15 % of their middle and the noise, by trying the middle of each.
fn steady(values: &[f64]) -> std::ops::Range<usize> {
    let smooth = crate::stats::robust::smooth(values, 2);
    let noise = crate::stats::robust::noise(values);
    let mut best = 0..0;
    for (at, level) in smooth.iter().enumerate().step_by((values.len() / 200).max(1)) {
        let is_near = |value: &f64| (value - level).abs() <= 0.15 * level.abs() + noise + 1e-9;
        let from = smooth[..at].iter().rposition(|value| !is_near(value)).map_or(0, |far| far + 1);
        let until =
            smooth[at..].iter().position(|value| !is_near(value)).map_or(values.len(), |far| at + far);
        if until - from > best.len() {
            best = from..until;
        }
    }
    best
}
