//! The report at the end of a run, for 80 columns.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fleet;
use crate::numbers::{at_least_ms, count, count_of, duration_ms, duration_s, percent, significant, to_ascii};
use crate::result::{Endpoint, RunResult, Times};
use crate::thresholds::{since, text, value};
use crate::verdict::Outcome;

/// Columns of the endpoint table's first column.
const NAME_WIDTH: usize = 28;

/// Columns of a threshold at most, unless it is longer.
const THRESHOLD_WIDTH: usize = 42;

/// How the report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Without characters beyond ASCII.
    pub ascii: bool,
}

/// Columns of a line of words.
const WIDTH: usize = 80;

/// More findings are in `result.json`.
const MAX_FINDINGS_SHOWN: usize = 4;

/// More things that are left over are not shown.
const MAX_LEFT_SHOWN: usize = 10;

/// The report as text. Read in the order of its parts: the verdict and why, totals, endpoints.
#[must_use]
pub fn terminal(result: &RunResult, style: Style) -> String {
    let mut lines = vec![headline(result, style)];
    let mark = if style.ascii { "-" } else { "●" };
    lines.extend(result.verdict.reasons.iter().map(|reason| format!(" {mark} {reason}")));
    lines.extend(thresholds(result, style));
    lines.push(String::new());
    lines.push(format!(" {}", totals(result)));
    lines.extend(shortfall(result));
    lines.extend(fleet::line(result));
    lines.push(String::new());
    lines.extend(table(result));
    lines.push(String::new());
    lines.push(format!(" {}", classes(&result.outcomes)));
    lines.extend(findings(result, style));
    lines.extend(annotations(result));
    lines.extend(cleanup(result));
    lines.extend(cost(result));
    lines.extend(problems(result));
    let text = lines.join("\n");
    if style.ascii { to_ascii(&text) } else { text }
}

fn headline(result: &RunResult, style: Style) -> String {
    let (word, colour) = match result.verdict.outcome {
        Outcome::Passed => ("PASSED", "32"),
        Outcome::Failed => ("FAILED", "31"),
        Outcome::Invalid => ("INVALID", "33"),
        Outcome::Aborted => ("ABORTED", "31"),
        Outcome::Interrupted => ("INTERRUPTED", "33"),
    };
    let word = if style.colour { format!("\u{1b}[1;{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
    let run = &result.run;
    let generators = result.coverage.seats.assigned;
    let generators = format!("{generators} generator{}", if generators == 1 { "" } else { "s" });
    let place =
        if run.backend == "local" { String::new() } else { format!(" in {}", run.regions.join(", ")) };
    let addresses = match result.source_addresses().len() {
        0 => String::new(),
        1 => ", one address".to_owned(),
        number => format!(", {number} addresses"),
    };
    format!(
        " {word}  {} · {} · {generators}{place}{addresses} · seed {}",
        run.name,
        duration_s(run.duration_s),
        run.seed
    )
}

/// What was asked for, what it came to, and since when it did not hold.
fn thresholds(result: &RunResult, style: Style) -> Vec<String> {
    if result.thresholds.is_empty() {
        return Vec::new();
    }
    let widest = result.thresholds.iter().map(|threshold| text(threshold).chars().count()).max();
    let width = widest.unwrap_or(0).clamp(20, THRESHOLD_WIDTH);
    let lines = result.thresholds.iter().map(|threshold| {
        let (mark, colour) = if threshold.passed { ("✓", "32") } else { ("✗", "31") };
        let mark = if style.colour { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.to_owned() };
        let asked = text(threshold);
        let since = since(threshold).map_or(String::new(), |since| format!("   {since}"));
        format!(" {mark} {asked:<width$} {:>10}{since}", value(threshold)).trim_end().to_owned()
    });
    std::iter::once(String::new()).chain(lines).collect()
}

/// Causes that are no longer doubtful, each with what to do about it; at most a few. That a run was too short to find any
/// is no news to who made it short.
fn findings(result: &RunResult, style: Style) -> Vec<String> {
    let text = |finding: &Value, key: &str| -> String {
        let text = finding.get(key).and_then(Value::as_str).unwrap_or_default();
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
    };
    let said =
        |finding: &&Value| text(finding, "kind") != "not_enough_data" && text(finding, "confidence") != "low";
    let sure = result.findings.iter().filter(said);
    let mut lines = Vec::new();
    for finding in sure.take(MAX_FINDINGS_SHOWN) {
        let kind = text(finding, "kind").replace('_', " ");
        let kind = if style.colour { format!("\u{1b}[1m{kind}\u{1b}[0m") } else { kind };
        lines.push(String::new());
        lines.push(format!(" {kind} ({} confidence)", text(finding, "confidence")));
        lines.extend(wrapped(&text(finding, "summary"), "   "));
        lines.extend(wrapped(&text(finding, "advice"), if style.ascii { "   > " } else { "   → " }));
    }
    lines
}

/// A text in lines of 80 columns, the first of which begins with a mark.
pub(crate) fn wrapped(text: &str, mark: &str) -> Vec<String> {
    let indent = " ".repeat(mark.chars().count());
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &&mut String| line.chars().count() + 1 + word.chars().count() <= WIDTH;
        match lines.last_mut().filter(fits) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("{}{word}", if lines.is_empty() { mark } else { &indent })),
        }
    }
    lines
}

fn totals(result: &RunResult) -> String {
    let totals = &result.totals;
    let errors = match totals.errors {
        0 => "no errors".to_owned(),
        errors => format!("{} errors ({})", count(errors), percent(totals.error_rate)),
    };
    let load = &result.coverage.load;
    let dropped = match &*load.unit {
        "arrivals" => format!(" · {} dropped", count_of(load.dropped)),
        _ => String::new(),
    };
    format!(
        "{} requests · {}/s · {errors} · {} of planned load{dropped}",
        count(totals.requests),
        significant(totals.rps),
        percent(load.ratio),
    )
}

/// What was not done as planned.
fn shortfall(result: &RunResult) -> Vec<String> {
    let (load, totals) = (&result.coverage.load, &result.totals);
    let mut lines = Vec::new();
    if load.dropped > 0.0 || load.unknown >= 0.5 {
        let unit = load.unit.replace('_', "-");
        lines.push(format!(
            " {unit}: {} planned, {} started, {} dropped, {} unknown",
            count_of(load.planned),
            count_of(load.started),
            count_of(load.dropped),
            count_of(load.unknown),
        ));
    }
    lines.extend(result.coverage.missing.iter().map(|missing| format!(" missing: {missing}")));
    lines.extend(result.coverage.throttled.iter().map(|line| format!(" offered in vain: {line}")));
    if totals.tainted_ratio > 0.0 {
        lines.push(format!(
            " generators were the bottleneck in {} of their time, which all numbers hold",
            percent(totals.tainted_ratio)
        ));
    }
    // Below a millisecond nobody needs to know; above, the response times hold it.
    if let Some(lag) = totals.send_lag_ms.p99.filter(|lag| *lag >= 1.0) {
        lines.push(format!(
            " requests were begun up to {} late (p99), which response times hold",
            duration_ms(lag)
        ));
    }
    lines
}

fn table(result: &RunResult) -> Vec<String> {
    // What belongs to none is told apart by its name.
    let mut scenarios =
        result.endpoints.iter().map(|endpoint| &endpoint.scenario).filter(|name| !name.is_empty());
    let first = scenarios.next();
    let several = scenarios.any(|name| Some(name) != first);
    let mut endpoints: Vec<&Endpoint> = result.endpoints.iter().collect();
    // What needs attention comes first.
    endpoints
        .sort_by_key(|endpoint| (std::cmp::Reverse(endpoint.errors), std::cmp::Reverse(endpoint.requests)));
    // A dropped arrival would have been as slow as any, at each endpoint.
    let load = &result.coverage.load;
    let dropped = (load.dropped > 0.0).then(|| load.dropped / load.planned.max(1.0));
    let mut lines = vec![row(["endpoint", "requests", "rps", "p50", "p95", "p99", "max", "errors"], "")];
    for endpoint in endpoints {
        let scenario = Some(&endpoint.scenario).filter(|scenario| several && !scenario.is_empty());
        let mut name =
            scenario.map_or(endpoint.name.clone(), |scenario| format!("{scenario} {}", endpoint.name));
        // What all have in common tells nothing apart.
        let differs = |(tag, value): &(&String, &String)| {
            result.endpoints.iter().any(|other| other.tags.get(*tag) != Some(*value))
        };
        let tags = endpoint.tags.iter().filter(differs).map(|(tag, value)| format!("{tag}={value}"));
        let tags = tags.collect::<Vec<_>>().join(", ");
        if !tags.is_empty() {
            name = format!("{name} {{{tags}}}");
        }
        lines.push(values(
            &name,
            endpoint.requests,
            endpoint.rps,
            &endpoint.response_time_ms,
            endpoint.errors,
            dropped,
        ));
        lines.extend(failures(endpoint));
    }
    if result.endpoints.len() > 1 {
        let totals = &result.totals;
        lines.push(values(
            "all",
            totals.requests,
            totals.rps,
            &totals.response_time_ms,
            totals.errors,
            dropped,
        ));
    }
    lines
}

/// A line of the table. Percentiles that dropped arrivals have reached are at least what they say.
fn values(name: &str, requests: u64, rps: f64, times: &Times, errors: u64, dropped: Option<f64>) -> String {
    let time = |quantile: f64, ms: Option<f64>| {
        let reached = dropped.is_some_and(|dropped| dropped > 1.0 - quantile);
        ms.map_or("–".to_owned(), if reached { at_least_ms } else { duration_ms })
    };
    let errors = if errors == 0 { "–".to_owned() } else { count(errors) };
    let cells = [
        shorten(name),
        count(requests),
        significant(rps),
        time(0.5, times.p50),
        time(0.95, times.p95),
        time(0.99, times.p99),
        time(1.0, times.max),
        errors,
    ];
    row(cells.each_ref().map(String::as_str), "")
}

fn row(cells: [&str; 8], tail: &str) -> String {
    let [name, requests, rps, p50, p95, p99, max, errors] = cells;
    let line = format!(
        " {name:<NAME_WIDTH$} {requests:>8} {rps:>6} {p50:>6} {p95:>6} {p99:>6} {max:>6} {errors:>6}"
    );
    format!("{line}{tail}").trim_end().to_owned()
}

/// How an endpoint's requests failed.
fn failures(endpoint: &Endpoint) -> Option<String> {
    if endpoint.errors == 0 {
        return None;
    }
    let kinds: Vec<String> = endpoint
        .outcomes
        .iter()
        .filter(|(outcome, _)| !outcome.starts_with(['1', '2', '3']))
        .map(|(outcome, number)| format!("{outcome}×{}", count(*number)))
        .collect();
    let times = &endpoint.failed_time_ms;
    let slow = times.p95.map_or(String::new(), |p95| format!(" · failures p95 {}", duration_ms(p95)));
    Some(format!("   {}{slow}", kinds.join("  ")))
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= NAME_WIDTH {
        return name.to_owned();
    }
    name.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

/// Outcomes by class, 4xx and 5xx apart.
fn classes(outcomes: &BTreeMap<String, u64>) -> String {
    let class = |first: char| -> u64 {
        outcomes.iter().filter(|(outcome, _)| outcome.starts_with(first)).map(|(_, number)| number).sum()
    };
    let throttled = match outcomes.get("429") {
        Some(number) => format!(" (429 {})", count(*number)),
        None => String::new(),
    };
    let mut parts = vec![
        format!("2xx {}", count(class('2'))),
        format!("3xx {}", count(class('3'))),
        format!("4xx {}{throttled}", count(class('4'))),
        format!("5xx {}", count(class('5'))),
        format!("timeouts {}", count(outcomes.get("timeout").copied().unwrap_or(0))),
    ];
    let others = outcomes
        .iter()
        .filter(|(outcome, _)| *outcome != "timeout" && !outcome.starts_with(|c: char| c.is_ascii_digit()));
    parts.extend(others.map(|(outcome, number)| format!("{} {}", outcome.replace('_', " "), count(*number))));
    parts.join(" · ")
}

/// What happened beside the test.
fn annotations(result: &RunResult) -> Vec<String> {
    let lines = result.annotations.iter().map(|annotation| {
        let before = if annotation.t_s < 0.0 { "-" } else { "" };
        format!(" at {before}{}: {}", duration_s(annotation.t_s.abs().round()), annotation.text)
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { lines } else { std::iter::once(String::new()).chain(lines).collect() }
}

/// What was made and is not undone.
fn cleanup(result: &RunResult) -> Vec<String> {
    let cleanup = &result.cleanup;
    if cleanup.created == 0 {
        return Vec::new();
    }
    let stays = cleanup.created.saturating_sub(cleanup.undone);
    let mut lines = vec![
        String::new(),
        format!(
            " cleanup: {} made, {} undone, {} left over",
            count(cleanup.created),
            count(cleanup.undone),
            count(stays)
        ),
    ];
    let shown = cleanup.left.iter().take(MAX_LEFT_SHOWN);
    lines.extend(shown.map(|left| format!("   {left}")));
    let more = cleanup.left.len().saturating_sub(MAX_LEFT_SHOWN);
    if more > 0 {
        lines.push(format!("   and {more} more in result.json"));
    }
    lines
}

/// What a run on AWS cost.
fn cost(result: &RunResult) -> Vec<String> {
    let Some([whole, computed]) = result.cost.in_words() else { return Vec::new() };
    vec![String::new(), format!(" cost: {whole}"), format!("   {computed}")]
}

fn problems(result: &RunResult) -> Vec<String> {
    if result.problems.is_empty() {
        return Vec::new();
    }
    let problems = result.problems.iter().map(|(problem, number)| format!(" {}× {problem}", count(*number)));
    [String::new(), " Problems".to_owned()].into_iter().chain(problems).collect()
}
