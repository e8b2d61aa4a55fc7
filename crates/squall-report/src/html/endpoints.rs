//! The table of endpoints.

use std::collections::BTreeSet;

use super::markup::Html;
use super::plot::line;
use super::slots::{Slots, higher};
use super::slow;
use super::spectrum;
use super::tables::table;
use super::verdict::{response_time, time};
use crate::numbers::{count, duration_ms, percent, significant};
use crate::result::{Endpoint, Percentiles, RunResult, Times};
use crate::timeline::Timeline;

/// Points of a line in the table at most.
const SPARK_SLOTS: usize = 60;

/// Rows at most; those beyond are in `result.json`.
const MAX_ROWS: usize = 1_000;

/// With more rows than these the table scrolls within itself.
const FEW_ROWS: usize = 20;

/// Rows that open, and have a line over time, at most.
const MAX_DETAILED: usize = 200;

/// Rows with a percentile spectrum at most: those with the most requests.
const MAX_SPECTRA: usize = 50;

/// The columns, and whether they hold numbers.
const COLUMNS: [(&str, &str); 9] = [
    ("Endpoint", "text"),
    ("p95 over time", "number"),
    ("Requests", "number"),
    ("Per second", "number"),
    ("p50", "number"),
    ("p95", "number"),
    ("p99", "number"),
    ("Longest", "number"),
    ("Errors", "number"),
];

/// How much is shown of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Its row.
    None,
    /// A row that opens.
    Short,
    /// With its percentile spectrum in it.
    Full,
}

/// What all rows share.
struct Context<'a> {
    result: &'a RunResult,
    slots: Slots,
    several_scenarios: bool,
}

/// All endpoints, those that need attention first.
pub(super) fn endpoints(html: &mut Html, result: &RunResult) {
    if result.endpoints.is_empty() {
        html.leaf("p", &[("class", "muted")], "There are no endpoints.");
        return;
    }
    let mut scenarios =
        result.endpoints.iter().map(|endpoint| &endpoint.scenario).filter(|name| !name.is_empty());
    let first = scenarios.next();
    let context = Context {
        result,
        slots: Slots::new(&result.timeline, SPARK_SLOTS),
        several_scenarios: scenarios.any(|name| Some(name) != first),
    };
    let mut endpoints: Vec<&Endpoint> = result.endpoints.iter().collect();
    endpoints
        .sort_by_key(|endpoint| (std::cmp::Reverse(endpoint.errors), std::cmp::Reverse(endpoint.requests)));
    let busiest = busiest(&endpoints);
    let class = if endpoints.len() > FEW_ROWS { "scroll tall" } else { "scroll tall few" };
    html.element("div", &[("class", class), ("tabindex", "0")], |html| {
        html.element("table", &[("class", "sortable")], |html| {
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    for (name, kind) in COLUMNS {
                        html.leaf("th", &[("scope", "col"), ("data-sort", kind)], name);
                    }
                });
            });
            for (index, endpoint) in endpoints.iter().take(MAX_ROWS).enumerate() {
                let detail = match index {
                    index if busiest.contains(&index) => Detail::Full,
                    index if index < MAX_DETAILED => Detail::Short,
                    _ => Detail::None,
                };
                body(html, &context, endpoint, detail);
            }
        });
    });
    left_out(html, endpoints.len());
    if context.several_scenarios {
        html.leaf("p", &[("class", "muted")], "Names that several scenarios share have one line over time.");
    }
    if result.coverage.load.dropped > 0.0 {
        let note = "“≥”: a dropped arrival would have been as slow as any, so it is at least that.";
        html.leaf("p", &[("class", "muted")], note);
    }
}

/// The rows with the most requests, of those that open.
fn busiest(endpoints: &[&Endpoint]) -> BTreeSet<usize> {
    let mut rows: Vec<usize> = (0..endpoints.len().min(MAX_DETAILED)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(endpoints[*row].requests));
    rows.into_iter().take(MAX_SPECTRA).collect()
}

fn left_out(html: &mut Html, number: usize) {
    let mut left_out = Vec::new();
    if number > MAX_SPECTRA {
        left_out.push(format!(
            "Of those that open, the {MAX_SPECTRA} with the most requests have a percentile spectrum."
        ));
    }
    if number > MAX_DETAILED {
        left_out.push(format!("The first {MAX_DETAILED} have a line over time, and open."));
    }
    if number > MAX_ROWS {
        let rest = count((number - MAX_ROWS) as u64);
        left_out.push(format!("{rest} more, with fewer errors or requests, are in result.json."));
    }
    if !left_out.is_empty() {
        html.leaf("p", &[("class", "muted")], &left_out.join(" "));
    }
}

fn body(html: &mut Html, context: &Context<'_>, endpoint: &Endpoint, detail: Detail) {
    let times = &endpoint.response_time_ms;
    let reached = |quantile, ms| response_time(context.result, quantile, ms);
    let errors = match endpoint.errors {
        0 => "–".to_owned(),
        errors => format!("{} ({})", count(errors), percent(endpoint.error_rate)),
    };
    let milliseconds = |ms: Option<f64>| ms.unwrap_or(-1.0);
    let cells = [
        (endpoint.requests as f64, count(endpoint.requests)),
        (endpoint.rps, significant(endpoint.rps)),
        (milliseconds(times.p50), reached(0.5, times.p50)),
        (milliseconds(times.p95), reached(0.95, times.p95)),
        (milliseconds(times.p99), reached(0.99, times.p99)),
        (milliseconds(times.max), reached(1.0, times.max)),
    ];
    let name = name(context, endpoint);
    html.element("tbody", &[], |html| {
        html.element("tr", &[], |html| {
            html.leaf("th", &[("scope", "row"), ("data-value", &name)], &name);
            match detail {
                Detail::None => html.leaf("td", &[("data-value", "-1")], "–"),
                Detail::Short | Detail::Full => sparkline(html, context, &endpoint.name),
            }
            for (value, text) in &cells {
                html.leaf("td", &[("data-value", &value.to_string())], text);
            }
            let class = if endpoint.errors > 0 { "bad" } else { "" };
            html.leaf("td", &[("data-value", &endpoint.errors.to_string()), ("class", class)], &errors);
        });
        if detail != Detail::None {
            more(html, endpoint, detail);
        }
    });
}

/// The row that opens.
fn more(html: &mut Html, endpoint: &Endpoint, detail: Detail) {
    let mut summary = "Outcomes, phases and times".to_owned();
    if !endpoint.slowest.is_empty() {
        summary.push_str(", the slowest requests");
    }
    html.element("tr", &[("class", "more")], |html| {
        html.element("td", &[("colspan", "9")], |html| {
            html.element("details", &[], |html| {
                html.leaf("summary", &[], &summary);
                html.element("div", &[("class", "inside")], |html| {
                    inside(html, endpoint);
                    if detail == Detail::Full {
                        spectrum::draw(html, endpoint);
                    }
                    slow::draw(html, &endpoint.slowest, if detail == Detail::Full { 10 } else { 3 });
                });
            });
        });
    });
}

/// The name, with what tells it apart from others.
fn name(context: &Context<'_>, endpoint: &Endpoint) -> String {
    let mut name = endpoint.name.clone();
    if context.several_scenarios && !endpoint.scenario.is_empty() {
        name = format!("{} {name}", endpoint.scenario);
    }
    let all = &context.result.endpoints;
    let differs =
        |(tag, value): &(&String, &String)| all.iter().any(|other| other.tags.get(*tag) != Some(*value));
    let tags = endpoint.tags.iter().filter(differs).map(|(tag, value)| format!("{tag}={value}"));
    let tags = tags.collect::<Vec<_>>().join(", ");
    if tags.is_empty() { name } else { format!("{name} {{{tags}}}") }
}

fn sparkline(html: &mut Html, context: &Context<'_>, name: &str) {
    let values = over_time(&context.result.timeline, &context.slots, name);
    let highest = values.iter().flatten().fold(0.0, |highest: f64, value| highest.max(*value));
    html.element("td", &[("data-value", &highest.to_string()), ("class", "spark")], |html| {
        if highest > 0.0 {
            let label = format!("up to {}", duration_ms(highest));
            let attributes = [
                ("viewBox", "0 -5 1000 110"),
                ("preserveAspectRatio", "none"),
                ("role", "img"),
                ("aria-label", &*label),
            ];
            html.element("svg", &attributes, |html| {
                let path = line(&values, &context.slots, |value| 100.0 * (1.0 - value / highest));
                html.leaf("path", &[("class", "line p95"), ("d", &path)], "");
            });
        }
    });
}

/// The highest p95 of each slot.
fn over_time(timeline: &Timeline, slots: &Slots, name: &str) -> Vec<Option<f64>> {
    let mut values = vec![None; slots.all.len()];
    for point in &timeline.points {
        let measured = point.endpoints.get(name).and_then(|endpoint| endpoint.p95_ms);
        if let Some(value) = values.get_mut(slots.index(point.t_s)) {
            *value = higher(*value, measured);
        }
    }
    values
}

fn inside(html: &mut Html, endpoint: &Endpoint) {
    let requests = endpoint.requests.max(1) as f64;
    let outcomes = endpoint.outcomes.iter().map(|(outcome, number)| {
        vec![outcome.replace('_', " "), count(*number), percent(*number as f64 / requests)]
    });
    table(html, &["Outcome", "Requests", "Share"], outcomes);
    let kinds = [
        ("response time", &endpoint.response_time_ms),
        ("service time", &endpoint.service_time_ms),
        ("failures", &endpoint.failed_time_ms),
    ];
    let head = ["Time", "Count", "Mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "Longest"];
    table(html, &head, kinds.map(|(name, times)| distribution(name, times)));
    let phases = &endpoint.phases_ms;
    let phases: [(&str, &Percentiles); 6] = [
        ("DNS", &phases.dns),
        ("connect", &phases.connect),
        ("TLS", &phases.tls),
        ("send", &phases.send),
        ("first byte", &phases.first_byte),
        ("body", &phases.body),
    ];
    let phases =
        phases.map(|(name, phase)| vec![name.to_owned(), time(phase.p50), time(phase.p95), time(phase.p99)]);
    table(html, &["Phase", "p50", "p95", "p99"], phases);
    let connections = &endpoint.connections;
    let facts = format!(
        "{} over new connections, {} over used ones, {} over HTTP/2 · {} stale retries · {} redirects",
        count(connections.new),
        count(connections.reused),
        count(connections.http2),
        count(endpoint.stale_retries),
        count(endpoint.redirects)
    );
    html.leaf("p", &[("class", "muted")], &facts);
}

fn distribution(name: &str, times: &Times) -> Vec<String> {
    let values = [times.mean, times.p50, times.p75, times.p90, times.p95, times.p99, times.p999, times.max];
    [name.to_owned(), count(times.count)].into_iter().chain(values.map(time)).collect()
}
