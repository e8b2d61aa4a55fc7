//! The report as Markdown, for pull requests and the summaries of pipelines.

use crate::numbers::{at_least_ms, count, duration_ms, duration_s, percent, significant};
use crate::result::{Endpoint, RunResult};
use crate::thresholds;
use crate::verdict::Outcome;

/// More endpoints are not shown: a comment has its limits.
const MOST_ENDPOINTS: usize = 50;

/// The report as Markdown.
#[must_use]
pub fn markdown(result: &RunResult) -> String {
    let (run, totals) = (&result.run, &result.totals);
    let word = match result.verdict.outcome {
        Outcome::Passed => "✓ PASSED",
        Outcome::Failed => "✗ FAILED",
        Outcome::Invalid => "✗ INVALID",
        Outcome::Aborted => "✗ ABORTED",
        Outcome::Interrupted => "✗ INTERRUPTED",
    };
    let mut lines =
        vec![format!("### {word}: {} · {}", escape(&run.name), duration_s(run.duration_s)), String::new()];
    lines.extend(result.verdict.reasons.iter().map(|reason| format!("- {}", escape(reason))));
    lines.push(String::new());
    lines.push(format!(
        "{} requests · {}/s · {} errors ({}) · {} of planned load · {} generators · seed `{}`",
        count(totals.requests),
        significant(totals.rps),
        count(totals.errors),
        percent(totals.error_rate),
        percent(result.coverage.load.ratio),
        result.coverage.seats.assigned,
        run.seed,
    ));
    if let Some([whole, computed]) = result.cost.in_words() {
        lines.extend([String::new(), format!("Cost: {} · {}", escape(&whole), escape(&computed))]);
    }
    lines.extend(threshold_table(result));
    lines.extend(endpoint_table(result));
    lines.push(String::new());
    lines.join("\n")
}

fn threshold_table(result: &RunResult) -> Vec<String> {
    if result.thresholds.is_empty() {
        return Vec::new();
    }
    let head = ["", "| | threshold | value | |", "| --- | --- | ---: | --- |"].map(str::to_owned);
    let rows = result.thresholds.iter().map(|threshold| {
        let mark = if threshold.passed { "✓" } else { "✗" };
        let since = thresholds::since(threshold).unwrap_or_default();
        format!(
            "| {mark} | {} | {} | {since} |",
            escape(&thresholds::text(threshold)),
            thresholds::value(threshold)
        )
    });
    head.into_iter().chain(rows).collect()
}

/// Those with errors first.
fn endpoint_table(result: &RunResult) -> Vec<String> {
    if result.endpoints.is_empty() {
        return Vec::new();
    }
    let head = [
        "",
        "| endpoint | requests | rps | p50 | p95 | p99 | max | errors |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    .map(str::to_owned);
    let mut endpoints: Vec<&Endpoint> = result.endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.errors));
    let load = &result.coverage.load;
    let dropped =
        if load.unit == "arrivals" && load.planned > 0.0 { load.dropped / load.planned } else { 0.0 };
    let rows = endpoints.iter().take(MOST_ENDPOINTS).map(|endpoint| row(endpoint, dropped));
    let more = endpoints.len().saturating_sub(MOST_ENDPOINTS);
    let rest = (more > 0).then(|| format!("\n{more} more endpoints are in the result."));
    head.into_iter().chain(rows).chain(rest).collect()
}

fn row(endpoint: &Endpoint, dropped: f64) -> String {
    let times = &endpoint.response_time_ms;
    let time = |quantile: f64, ms: Option<f64>| {
        ms.map_or("–".to_owned(), if dropped > 1.0 - quantile { at_least_ms } else { duration_ms })
    };
    let failed = endpoint.outcomes.iter().filter(|(outcome, _)| !outcome.starts_with(['1', '2', '3']));
    let kinds: Vec<String> =
        failed.map(|(outcome, number)| format!("{outcome}×{}", count(*number))).collect();
    let errors = match endpoint.errors {
        0 => "–".to_owned(),
        errors => format!("{} ({})", count(errors), kinds.join(", ")),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {errors} |",
        escape(&endpoint.name),
        count(endpoint.requests),
        significant(endpoint.rps),
        time(0.5, times.p50),
        time(0.95, times.p95),
        time(0.99, times.p99),
        time(1.0, times.max),
    )
}

/// A text in which nothing means anything to Markdown or HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // A name must call nobody, and link to nothing.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            ':' => escaped.push_str("&#58;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '!' | '~' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
