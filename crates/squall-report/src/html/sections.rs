//! The parts of the page that are facts and plain tables.

use super::markup::Html;
use super::slots::{CLASSES, class};
use super::tables::{facts, list, table};
use super::verdict::{response_time, some_count, time};
use crate::cost::dollars;
use crate::measures::Span;
use crate::numbers::{count, count_of, percent, significant};
use crate::result::{LoadCoverage, RunResult};

/// Words of the report, and what they mean.
const WORDS: [(&str, &str); 11] = [
    (
        "response time",
        "From the scheduled start of a request to the last byte of its response: what a user waits.",
    ),
    ("service time", "From the actual start to the last byte: what the target took."),
    ("send lag", "How much later than scheduled the generators began requests, where they are the cause."),
    ("loop delay", "How long a task of a generator that wanted to run had to wait."),
    ("start skew", "How much later than the common begin a generator began."),
    ("coverage", "Load delivered over load planned, and what is missing, named."),
    ("tainted", "Of a second of a generator: it was the bottleneck, not the target."),
    ("dropped", "Of an arrival: it was due, but no user was free."),
    ("p95", "95 % of the response times are at most this; p50, p99 and p99.9 likewise."),
    (
        "heat map",
        "Each column is a stretch of time, each row a range of response times; its legend says which colour is which share of the requests.",
    ),
    ("phase", "A part of the service time: DNS, connect, TLS, send, first byte, body."),
];

/// A count, or a dash.
pub(super) fn whole(number: u64) -> String {
    if number == 0 { "–".to_owned() } else { count(number) }
}

/// A share, or a dash.
pub(super) fn share(ratio: Option<f64>) -> String {
    ratio.filter(|ratio| *ratio > 0.0).map_or("–".to_owned(), percent)
}

fn bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{} {}", significant(value), units[unit]) }
}

/// All requests together.
pub(super) fn totals(html: &mut Html, result: &RunResult) {
    let totals = &result.totals;
    let errors = match totals.errors {
        0 => "none".to_owned(),
        errors => format!("{} ({})", count(errors), percent(totals.error_rate)),
    };
    let times = &totals.response_time_ms;
    let ended = &totals.iterations_ended;
    facts(
        html,
        &[
            ("Requests", count(totals.requests)),
            ("Per second", significant(totals.rps)),
            ("Errors", errors),
            ("p50", response_time(result, 0.5, times.p50)),
            ("p95", response_time(result, 0.95, times.p95)),
            ("p99", response_time(result, 0.99, times.p99)),
            ("p99.9", response_time(result, 0.999, times.p999)),
            ("Longest", response_time(result, 1.0, times.max)),
            ("Iterations", count(totals.iterations)),
            ("Iterations failed", whole(ended.failed)),
            ("Iterations cut off", whole(ended.interrupted)),
            ("Expectations held", whole(totals.checks.passed)),
            ("Expectations failed", whole(totals.checks.failed)),
            ("Sent", bytes(totals.bytes_sent)),
            ("Received", bytes(totals.bytes_received)),
            ("Redirects", whole(totals.redirects)),
            ("Stale retries", whole(totals.stale_retries)),
            ("Send lag p99", time(totals.send_lag_ms.p99)),
            ("Loop delay p99", time(totals.loop_delay_ms.p99)),
            ("Tainted", share(Some(totals.tainted_ratio))),
        ],
    );
    outcomes(html, result);
    measures(html, result);
    regions(html, result);
    cleanup(html, result);
}

fn outcomes(html: &mut Html, result: &RunResult) {
    if result.outcomes.is_empty() {
        return;
    }
    html.leaf("h3", &[], "Outcomes");
    let all = result.outcomes.values().sum::<u64>().max(1) as f64;
    let mut outcomes: Vec<_> = result.outcomes.iter().collect();
    outcomes.sort_by_key(|(outcome, _)| class(outcome));
    let rows = outcomes.into_iter().map(|(outcome, number)| {
        let name = outcome.replace('_', " ");
        vec![name, CLASSES[class(outcome)].0.to_owned(), count(*number), percent(*number as f64 / all)]
    });
    table(html, &["Outcome", "Class", "Requests", "Share"], rows);
}

fn measures(html: &mut Html, result: &RunResult) {
    let measures = &result.measures;
    if !measures.iterations.is_empty() || !measures.groups.is_empty() {
        html.leaf("h3", &[], "Iterations and groups");
        let row = |span: &Span| {
            let name = span
                .name
                .as_ref()
                .map_or(span.scenario.clone(), |name| format!("{} › {name}", span.scenario));
            let times = &span.time_ms;
            let active = time(span.active_time_ms.p95);
            vec![name, whole(times.count), time(times.p50), time(times.p95), time(times.p99), active]
        };
        let head = ["Scenario", "Completed", "p50", "p95", "p99", "p95 without pauses"];
        table(html, &head, measures.iterations.iter().chain(&measures.groups).map(row));
    }
    if !measures.metrics.is_empty() {
        html.leaf("h3", &[], "Metrics of the plan");
        let number = |value: Option<f64>| value.map_or("–".to_owned(), significant);
        let rows = measures.metrics.iter().map(|metric| {
            let values = &metric.values;
            let numbers = [values.p50, values.p95, values.p99, values.max].map(number);
            [metric.name.clone(), whole(values.count)].into_iter().chain(numbers).collect()
        });
        table(html, &["Metric", "Values", "p50", "p95", "p99", "Largest"], rows);
    }
}

fn regions(html: &mut Html, result: &RunResult) {
    if result.regions.len() < 2 {
        return;
    }
    html.leaf("h3", &[], "Regions");
    let rows = result.regions.iter().map(|region| {
        let times = &region.totals.response_time_ms;
        vec![
            region.region.clone(),
            count(region.totals.requests),
            significant(region.totals.rps),
            time(times.p50),
            time(times.p95),
            time(times.p99),
            whole(region.totals.errors),
            percent(region.coverage.load.ratio),
        ]
    });
    table(html, &["Region", "Requests", "Per second", "p50", "p95", "p99", "Errors", "Coverage"], rows);
}

fn cleanup(html: &mut Html, result: &RunResult) {
    let cleanup = &result.cleanup;
    if cleanup.created > 0 {
        html.leaf("h3", &[], "Cleanup");
        let stays = cleanup.created.saturating_sub(cleanup.undone);
        let (created, undone) = (count(cleanup.created), count(cleanup.undone));
        html.leaf("p", &[], &format!("{created} made, {undone} undone, {} left over.", count(stays)));
        list(html, &cleanup.left);
    }
}

/// How much of what was planned was done.
pub(super) fn coverage(html: &mut Html, result: &RunResult) {
    let coverage = &result.coverage;
    let row = |(name, load): (String, &LoadCoverage)| {
        vec![
            name,
            load.unit.replace('_', "-"),
            count_of(load.planned),
            count_of(load.started),
            some_count(load.dropped),
            some_count(load.unknown),
            percent(load.ratio),
        ]
    };
    let loads = (1..).zip(&coverage.loads).map(|(number, load): (u32, _)| (format!("load {number}"), load));
    let all = std::iter::once(("all".to_owned(), &coverage.load));
    let head = ["Load", "Unit", "Planned", "Started", "Dropped", "Unknown", "Coverage"];
    table(html, &head, loads.filter(|_| coverage.loads.len() > 1).chain(all).map(row));
    let seats = &coverage.seats;
    let parts = [
        (seats.assigned, "given a slice"),
        (seats.spare, "spare"),
        (seats.lost, "lost"),
        (seats.replaced, "replaced"),
        (seats.handed_over, "handed over"),
        (seats.late, "late"),
        (seats.duplicate, "taken again"),
    ];
    let parts =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}"));
    let parts: Vec<String> =
        std::iter::once(format!("{} seats offered", seats.invited)).chain(parts).collect();
    html.leaf("p", &[("class", "muted")], &parts.join(" · "));
    let missing = coverage.missing.iter().map(|missing| format!("Missing: {missing}"));
    let throttled = coverage.throttled.iter().map(|throttled| format!("Offered in vain: {throttled}"));
    list(html, &missing.chain(throttled).collect::<Vec<_>>());
}

/// What went wrong, in words.
pub(super) fn problems(html: &mut Html, result: &RunResult) {
    if result.problems.is_empty() {
        html.leaf("p", &[("class", "muted")], "None.");
        return;
    }
    let rows = result.problems.iter().map(|(problem, number)| vec![problem.clone(), count(*number)]);
    html.element("div", &[("class", "texts")], |html| table(html, &["Problem", "How often"], rows));
}

/// What it cost.
pub(super) fn cost(html: &mut Html, result: &RunResult) {
    let cost = &result.cost;
    let amount = |usd: Option<f64>| usd.map_or("not known".to_owned(), dollars);
    facts(
        html,
        &[
            ("Estimated", amount(cost.estimated_usd)),
            ("Actual", amount(cost.actual_usd)),
            ("Per million requests", amount(cost.per_million_requests_usd)),
        ],
    );
    if cost.items.is_empty() {
        return;
    }
    let rows = cost.items.iter().map(|item| {
        let known = if item.estimated { "computed" } else { "counted" };
        vec![item.what.clone(), item.arithmetic(), known.to_owned(), dollars(item.usd)]
    });
    table(html, &["Item", "Quantity × price", "Quantity is", "Cost"], rows);
    let note = format!(
        "List prices of {}; other regions have others. Free tiers, discounts and taxes are left out.",
        cost.prices
    );
    html.leaf("p", &[("class", "muted")], &note);
}

/// What the words of the report mean.
pub(super) fn words(html: &mut Html, _: &RunResult) {
    html.element("dl", &[("class", "words")], |html| {
        for (word, meaning) in WORDS {
            html.leaf("dt", &[], word);
            html.leaf("dd", &[], meaning);
        }
    });
}
