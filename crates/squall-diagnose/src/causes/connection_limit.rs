//! Connections beyond a number are not accepted.

use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::stats::robust::{median, quantile, ramp, ratio};
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let refused = view.total(Class::Refused);
    let share = ratio(refused, view.requests());
    if refused < 10.0 || share < 0.002 {
        return None;
    }
    let number = |bin: &Bin| bin.in_flight.max(if view.is_open() { 0.0 } else { bin.users });
    let is_hit = |bin: &&Bin| bin.by[Class::Refused as usize] >= 1.0;
    let (hit, free): (Vec<&Bin>, Vec<&Bin>) = view.bins.iter().partition(is_hit);
    // A limit is there for as long as the load is; a restart is short.
    let lasting = ramp(hit.len() as f64 / view.bins.len().max(1) as f64, 0.04, 0.15);
    // Refusals come where there is most load.
    let lowest = quantile(&hit.iter().map(|bin| bin.demand).collect::<Vec<_>>(), 0.25).unwrap_or(0.0);
    let order = if free.is_empty() {
        0.5
    } else {
        let above = free.iter().filter(|bin| bin.demand > lowest * 1.02).count() as f64 / free.len() as f64;
        ramp(above, 0.35, 0.1)
    };
    // Whoever has a connection is served as ever.
    let slow = median(
        &hit.iter().filter(|bin| bin.answered >= 5.0).map(|bin| bin.slowness(&view.calm)).collect::<Vec<_>>(),
    );
    let served = ramp(slow, 4.0, 1.6);
    let score = 0.95 * lasting * (0.25 + 0.75 * order) * (0.4 + 0.6 * served);
    let limit = median(&hit.iter().map(|bin| number(bin)).collect::<Vec<_>>());
    Some(Finding {
        kind: Kind::ConnectionLimit,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: hit.first()?.from_s,
        until_s: hit.last()?.until_s,
        summary: format!(
            "{} of all requests found no connection: it was refused, while about {limit:.0} requests were under way. Whoever had a connection was served as before.",
            super::percent(share)
        ),
        evidence: Evidence::default()
            .with("refused", refused)
            .with("refused_share", share)
            .with("under_way_then", limit)
            .with("slowness_then", slow)
            .refuted_by("refusals at low load, or only while instances restart"),
        advice: "Raise the limit of connections (of the listener's backlog, the proxy, open files), or let clients share connections.".to_owned(),
    })
}
