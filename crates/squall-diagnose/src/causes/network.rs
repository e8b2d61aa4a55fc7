//! Name, connection or TLS take the time, or fail.

use super::restart_or_deployment::gaps;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::stats::robust::{quantile, ramp, ratio};
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let (names, tls) = (view.total(Class::Dns), view.total(Class::Tls));
    let failed = ratio(names + tls, view.requests());
    let with: Vec<&crate::bins::Bin> = view.bins.iter().filter(|bin| bin.new_connections >= 3.0).collect();
    let times: Vec<f64> = with.iter().map(|bin| bin.connecting).collect();
    let usual = quantile(&times, 0.25).unwrap_or(0.0);
    let slow = |bin: &&&crate::bins::Bin| {
        bin.connecting > 2.5 * usual.max(500.0) && bin.connecting > 0.25 * view.calm.p50
    };
    let slow: Vec<&&crate::bins::Bin> = with.iter().filter(slow).collect();
    let worst = slow.iter().map(|bin| bin.connecting).fold(0.0, f64::max);
    let slow_share = ratio(slow.len() as f64, with.len() as f64);
    let anew: f64 = view.bins.iter().map(|bin| bin.new_connections).sum();
    let by_failure = ramp(ratio(names + tls, anew), 0.004, 0.015) * ramp(names + tls, 1.0, 5.0);
    let by_time = ramp(ratio(worst, usual.max(500.0)), 2.5, 6.0) * ramp(slow.len() as f64, 1.0, 4.0);
    // Connections that break all the time, and not in gaps, are nobody's restart.
    let gaps = gaps(view);
    let broken: Vec<f64> = (0..view.len())
        .map(|tick| {
            let is_gap = gaps.iter().any(|gap| gap.contains(&tick));
            let classes = [Class::Reset, Class::Dns, Class::Tls];
            if is_gap { 0.0 } else { classes.map(|class| view.count(tick, class)).iter().sum() }
        })
        .collect();
    let first_broken = broken.iter().position(|count| *count > 0.0).unwrap_or(broken.len());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ticks")]
    let wide = (5.0 / view.step_s).ceil().max(1.0) as usize;
    let later: Vec<f64> = broken[first_broken..].chunks(wide).map(|chunk| chunk.iter().sum()).collect();
    let halves = [&later[..later.len() / 2], &later[later.len() / 2..]];
    let spread =
        halves.map(|half| ratio(half.iter().filter(|count| **count > 0.0).count() as f64, half.len() as f64));
    let resets = view.total(Class::Reset);
    let events: f64 = later.iter().sum();
    let by_breaking = ramp(spread[0].min(spread[1]), 0.1, 0.3)
        * ramp(events, 5.0, 10.0)
        * ramp(later.len() as f64, 3.0, 7.0)
        * ramp(ratio(resets + names + tls, view.requests()), 0.0015, 0.004);
    let by_failure = by_failure.max(by_breaking * if names + tls > 0.0 { 1.0 } else { 0.7 });
    let score = 0.95 * by_failure.max(0.85 * by_time);
    if score < 0.1 {
        return None;
    }
    let marked: Vec<(f64, f64)> = view
        .bins
        .iter()
        .filter(|bin| {
            bin.share(&[Class::Dns, Class::Tls, Class::Reset]) > 0.0
                || slow.iter().any(|slow| slow.ticks == bin.ticks)
        })
        .map(|bin| (bin.from_s, bin.until_s))
        .collect();
    let what = match (names > 0.0, tls > 0.0) {
        (true, true) => "names and TLS handshakes",
        (true, false) => "names",
        (false, true) => "TLS handshakes",
        (false, false) => "connections",
    };
    Some(Finding {
        kind: Kind::Network,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: marked.first()?.0,
        until_s: marked.last()?.1,
        summary: format!(
            "Before any request is sent there is trouble with {what}: {names:.0} requests found no address and {tls:.0} failed at TLS; at worst a connection took {} to make, usually {}.",
            super::time(worst.max(usual)),
            super::time(usual)
        ),
        evidence: Evidence::default()
            .with("dns_failures", names)
            .with("tls_failures", tls)
            .with("resets", resets)
            .with("failed_share", failed)
            .with("usual_connecting_ms", usual / 1e3)
            .with("worst_connecting_ms", worst / 1e3)
            .with("slow_share_of_time", slow_share)
            .refuted_by("connections that are made as fast from another network, or failures that stay when addresses are fixed"),
        advice: "Look at resolvers, certificates and TLS termination; reuse connections, so that fewer are made.".to_owned(),
    })
}
