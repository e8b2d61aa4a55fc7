//! What the run came to, and what was asked for.

use super::markup::Html;
use super::tables::list;
use crate::numbers::{at_least_ms, count, count_of, duration_ms, duration_s, percent, significant};
use crate::result::{RunResult, Threshold};
use crate::thresholds;
use crate::verdict::Outcome;

/// The verdict in a word.
pub(super) fn word(result: &RunResult) -> &'static str {
    match result.verdict.outcome {
        Outcome::Passed => "Passed",
        Outcome::Failed => "Failed",
        Outcome::Invalid => "Invalid",
        Outcome::Aborted => "Aborted",
        Outcome::Interrupted => "Interrupted",
    }
}

/// The head of the page.
pub(super) fn verdict(html: &mut Html, result: &RunResult) {
    let class = match result.verdict.outcome {
        Outcome::Passed => "verdict good",
        Outcome::Failed | Outcome::Aborted => "verdict bad",
        Outcome::Invalid | Outcome::Interrupted => "verdict doubtful",
    };
    html.element("h1", &[], |html| {
        html.leaf("span", &[("class", class)], word(result));
        html.text(" ");
        html.leaf("span", &[("class", "name")], &result.run.name);
    });
    html.leaf("p", &[("class", "muted")], &circumstances(result));
    list(html, &result.verdict.reasons);
    if result.verdict.reasons.is_empty() {
        let totals = &result.totals;
        let failed = if totals.errors == 0 { "none".to_owned() } else { percent(totals.error_rate) };
        let requests = count(totals.requests);
        html.leaf("p", &[], &format!("{requests} requests, {}/s; {failed} failed.", significant(totals.rps)));
    }
}

fn circumstances(result: &RunResult) -> String {
    let run = &result.run;
    let number = result.coverage.seats.assigned;
    let place = match &*run.backend {
        "local" => "on this machine".to_owned(),
        _ => format!("in {}", run.regions.join(", ")),
    };
    format!(
        "{} · {number} generator{} {place} · seed {} · started {}",
        duration_s(run.duration_s),
        if number == 1 { "" } else { "s" },
        run.seed,
        run.started_at
    )
}

/// What was asked for, and whether it held.
pub(super) fn thresholds(html: &mut Html, result: &RunResult) {
    if result.thresholds.is_empty() {
        html.leaf("p", &[("class", "muted")], "The plan sets no thresholds.");
        return;
    }
    html.element("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
        html.element("table", &[], |html| {
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    ["Threshold", "", "Value", "Limit", "First failed at", "Stretches failed"]
                        .iter()
                        .for_each(|cell| html.leaf("th", &[("scope", "col")], cell));
                });
            });
            html.element("tbody", &[], |html| {
                result.thresholds.iter().for_each(|threshold| threshold_row(html, threshold));
            });
        });
    });
}

fn threshold_row(html: &mut Html, threshold: &Threshold) {
    let (class, mark) = if threshold.passed { ("good", "✓ held") } else { ("bad", "✗ failed") };
    let limit = Threshold { value: Some(threshold.limit), at_least: false, ..threshold.clone() };
    let value = match threshold.value {
        None => "no data".to_owned(),
        Some(_) => thresholds::value(threshold),
    };
    let since = threshold.first_failed_at_s.map_or("–".to_owned(), duration_s);
    let stretches = match threshold.over_s {
        None => "–".to_owned(),
        Some(_) => format!("{} of {}", threshold.failed_stretches, threshold.stretches),
    };
    html.element("tr", &[], |html| {
        html.element("th", &[("scope", "row")], |html| {
            html.leaf("code", &[], &thresholds::text(threshold));
            if threshold.hangs_on_tainted {
                html.leaf("div", &[("class", "muted")], "Would be another without tainted seconds.");
            }
        });
        html.leaf("td", &[("class", class)], mark);
        [value, thresholds::value(&limit), since, stretches]
            .iter()
            .for_each(|cell| html.leaf("td", &[], cell));
    });
}

/// A time, or a dash.
pub(super) fn time(ms: Option<f64>) -> String {
    ms.map_or("–".to_owned(), duration_ms)
}

/// A count that may be a fraction, or a dash.
pub(super) fn some_count(number: f64) -> String {
    if number < 0.5 { "–".to_owned() } else { count_of(number) }
}

/// A quantile of response times. A dropped arrival would have been as slow as any: a quantile that these have
/// reached is at least what was measured.
pub(super) fn response_time(result: &RunResult, quantile: f64, ms: Option<f64>) -> String {
    let load = &result.coverage.load;
    let reached = load.dropped > 0.0 && load.dropped / load.planned.max(1.0) > 1.0 - quantile;
    ms.map_or("–".to_owned(), if reached { at_least_ms } else { duration_ms })
}
