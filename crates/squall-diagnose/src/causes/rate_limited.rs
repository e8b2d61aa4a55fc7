//! Requests beyond a rate are turned away: a token bucket.

use super::turned_away::{TurnedAway, turned_away};
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{correlation, mean, ramp, ratio};
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let found = turned_away(view)?;
    if found.by_rate < 0.2 {
        return None;
    }
    let seen = ramp(found.full.len() as f64, 2.0, 8.0);
    let who = who(view, &found);
    let evidence = Evidence::default()
        .with_interval("refill_per_s", found.level, found.level_interval)
        .with_interval("burst", found.burst, found.burst_interval)
        .with("turned_away_share", found.share)
        .with("seconds_at_the_limit", found.full.len() as f64 * view.step_s)
        .with("log_likelihood_over_a_number", -found.likelier)
        .with_text("limited", who.clone())
        .refuted_by("throughput that grows while 429s are given, or that falls when responses take longer: then a number at a time is what is limited");
    Some(Finding {
        kind: Kind::RateLimited,
        confidence: Confidence::new(found.by_rate * (0.5 + 0.5 * seen)),
        endpoints: view.names(&found.endpoints),
        from_s: view.at(found.first),
        until_s: view.at(found.last + 1),
        summary: format!(
            "{} of the requests to {who} were turned away with 429. While they were, {:.1} a second were let through; before, a burst of about {:.0} was.",
            super::percent(found.share),
            found.level,
            found.burst
        ),
        evidence,
        advice: "Raise the limit if it should carry this load; otherwise let clients wait as long as `Retry-After` says, and spread their bursts.".to_owned(),
    })
}

/// Who is limited, as far as it shows.
fn who(view: &View<'_>, found: &TurnedAway) -> String {
    let users: Vec<f64> = found.full.iter().map(|tick| view.observed.ticks[*tick].users).collect();
    let rates: Vec<f64> = found.full.iter().map(|tick| found.admitted[*tick]).collect();
    let (few, many) =
        users.iter().fold((f64::INFINITY, 0.0), |(low, high), n| (f64::min(low, *n), f64::max(high, *n)));
    if few > 0.0 && many > 1.5 * few && !view.is_open() {
        let each: Vec<f64> = users.iter().zip(&rates).map(|(users, rate)| ratio(*rate, *users)).collect();
        if correlation(&users, &rates) > 0.9 {
            return format!("each user ({:.2} a second each)", mean(&each));
        }
    }
    let names = view.names(&found.endpoints);
    if names.is_empty() { "all endpoints together".to_owned() } else { names.join(", ") }
}
