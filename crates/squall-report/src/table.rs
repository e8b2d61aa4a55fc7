//! The timeline as CSV, for spreadsheets: a row for each step, and one for each endpoint in it.

use std::collections::BTreeMap;

use csv::{Terminator, WriterBuilder};

use crate::numbers::class;
use crate::result::RunResult;
use crate::timeline::{EndpointPoint, Point};

const HEAD: [&str; 21] = [
    "t_s",
    "endpoint",
    "requests",
    "errors",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "users",
    "in_flight",
    "arrivals",
    "dropped",
    "new_connections",
    "connections",
    "tainted",
    "2xx",
    "3xx",
    "4xx",
    "429",
    "5xx",
    "timeouts",
    "others",
];

/// The timeline as CSV.
#[must_use]
pub fn csv(result: &RunResult) -> String {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).flexible(true).from_writer(Vec::new());
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for point in &result.timeline.points {
        rows.push(whole(point));
        rows.extend(point.endpoints.iter().map(|(name, endpoint)| of_endpoint(point.t_s, name, endpoint)));
    }
    for row in rows {
        // Writing to memory cannot fail.
        let written = writer.write_record(row);
        debug_assert!(written.is_ok());
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn whole(point: &Point) -> Vec<String> {
    let counts = [
        point.users,
        point.in_flight,
        point.arrivals,
        point.dropped,
        point.new_connections,
        point.connections,
        point.tainted,
    ];
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for (outcome, number) in &point.outcomes {
        *classes.entry(class(outcome)).or_default() += number;
    }
    let of_class = |name: &str| classes.get(name).copied().unwrap_or(0).to_string();
    let mut row =
        measured(point.t_s, "", (point.requests, point.errors), [point.p50_ms, point.p95_ms, point.p99_ms]);
    row.extend(counts.map(|number| number.to_string()));
    row.extend(HEAD[14..].iter().map(|name| of_class(name)));
    row
}

fn of_endpoint(t_s: i64, name: &str, point: &EndpointPoint) -> Vec<String> {
    let mut row =
        measured(t_s, name, (point.requests, point.errors), [point.p50_ms, point.p95_ms, point.p99_ms]);
    row.resize(HEAD.len(), String::new());
    row
}

fn measured(t_s: i64, name: &str, (requests, errors): (u64, u64), times: [Option<f64>; 3]) -> Vec<String> {
    let time = |ms: Option<f64>| ms.map_or(String::new(), |ms| ms.to_string());
    let mut row = vec![t_s.to_string(), text(name), requests.to_string(), errors.to_string()];
    row.extend(times.map(time));
    row
}

/// A text that no spreadsheet takes for a formula.
fn text(name: &str) -> String {
    let is_formula =
        name.trim_start().starts_with(['=', '+', '-', '@']) || name.starts_with(['\t', '\r', '\n']);
    if is_formula { format!("'{name}") } else { name.to_owned() }
}
