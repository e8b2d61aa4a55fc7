//! Results and how they look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use squall_metrics::{
    ConnectionUse, LoadId, Merged, Observation, Outcome, Phase, Phases, Recorder, Sample, SeriesId, Snapshot,
};
use squall_plan::{Bundle, Inputs, Plan, compile};
use squall_report::{
    Cost, CostItem, Ending, EndpointPoint, Facts, GeneratorFacts, Point, Run, RunResult, SeatCoverage, Style,
    Threshold, build, csv, from_json, html, junit, markdown, terminal, to_json,
};

fn plan(load: &str, names: &[&str]) -> Plan {
    let steps: Vec<String> = names.iter().map(|name| format!("{{ get: /x, name: '{name}' }}")).collect();
    let text = format!(
        "name: shop\ntarget: http://127.0.0.1:1\nload: {load}\nscenarios: {{ buyer: {{ steps: [ {} ] }} }}",
        steps.join(", "),
    );
    compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan
}

fn sample(series: u16, second: i64, us: i64, outcome: Outcome, failed: bool) -> Sample {
    let at = second * 1_000_000;
    let mut phases = Phases::default();
    phases.add(Phase::Send, 30);
    phases.add(Phase::FirstByte, u64::try_from(us).unwrap().saturating_sub(80));
    Sample {
        phases,
        ended_us: at + us,
        outcome,
        failed,
        bytes_sent: 100,
        bytes_received: 1_000,
        connection: ConnectionUse::Reused,
        checks_passed: u32::from(!failed),
        checks_failed: u32::from(failed),
        ..Sample::begun(SeriesId(series), at, at + 40)
    }
}

/// A recorder that has seen so many good requests of a series a second, for ten seconds.
fn recorder(series: u16, each_second: i64) -> Recorder {
    let mut recorder = Recorder::new(1);
    for second in 0..10 {
        for n in 0..each_second {
            recorder.arrival_scheduled(LoadId(0), second * 1_000_000);
            recorder.arrival_started(LoadId(0), second * 1_000_000);
            recorder.begun(40);
            recorder.record(&sample(series, second, 2_000 + n * 137, Outcome::Status(200), false));
        }
        recorder.gauge(second * 1_000_000, 5, 2);
        recorder.loop_delay(70);
        let second = i32::try_from(second).unwrap();
        let used =
            Observation { cpu_us: 250_000, observed_us: 1_000_000, connections: 5, ..Observation::default() };
        recorder.observe(second..second + 1, used);
    }
    recorder
}

fn merged(recorders: impl IntoIterator<Item = Recorder>) -> Merged {
    let mut merged = Merged::default();
    for (n, mut recorder) in (0_u32..).zip(recorders) {
        let interval = recorder.take().into_interval();
        merged.merge(Snapshot { run: "r".to_owned(), nonce: format!("n{n}"), sequence: 0, interval });
    }
    merged
}

fn facts(ending: Ending, missing: &[&str]) -> Facts {
    let generator = |slice: u32| GeneratorFacts {
        window: 0,
        slice: Some(slice),
        nonce: format!("n{slice}"),
        region: "local".to_owned(),
        environment: "process 1".to_owned(),
        source_ip: None,
        queued_ms: None,
        deliveries: None,
        init_ms: 0.1,
        ready_ms: 101.5,
        start_skew_ms: Some(0.0),
        snapshots: Some(1),
    };
    Facts {
        run: Run {
            id: "20260101-120000-8f31c2".to_owned(),
            name: String::new(),
            seed: "8f31c2".to_owned(),
            started_at: "2026-01-01T12:00:00Z".to_owned(),
            epoch: "2026-01-01T12:00:01Z".to_owned(),
            duration_s: 0.0,
            backend: "local".to_owned(),
            regions: vec!["local".to_owned()],
            plan_sha256: "ab".repeat(32),
        },
        plan_text: String::new(),
        ending,
        seats: SeatCoverage { invited: 2, ready: 2, assigned: 2, ..SeatCoverage::default() },
        missing: missing.iter().map(|&missing| missing.to_owned()).collect(),
        absent: Vec::new(),
        throttled: Vec::new(),
        unknown_requests: Some(0),
        generators: vec![generator(0), generator(1)],
        thresholds: Vec::new(),
        telemetry: Vec::new(),
        annotations: Vec::new(),
        problems: Vec::new(),
        regions: Vec::new(),
        cost: squall_report::Cost::free(),
    }
}

fn check(name: &str, result: &RunResult) {
    let text = terminal(result, Style::default());
    assert!(text.lines().all(|line| line == line.trim_end()), "no line has spaces at its end");
    assert!(text.lines().skip(1).all(|line| line.chars().count() <= 80 || line.starts_with(" ●")), "{text}");
    insta::assert_snapshot!(name, text);
    assert_eq!(from_json(&to_json(result)).unwrap(), *result);
}

const OPEN: &str = "{ rate: 60/s, duration: 10s }";

#[test]
fn a_run_that_went_well_says_so_first() {
    let plan = plan(OPEN, &["GET /catalog/products", "POST /orders"]);
    let result = build(&plan, &merged([recorder(0, 40), recorder(1, 20)]), facts(Ending::Finished, &[]));
    assert_eq!(result.verdict.exit_code, 0);
    check("passed", &result);
    let styled = terminal(&result, Style { colour: true, ascii: false });
    assert!(styled.starts_with(" \u{1b}[1;32mPASSED\u{1b}[0m"));
    assert!(terminal(&result, Style { colour: false, ascii: true }).is_ascii());
}

#[test]
fn failures_come_first_and_are_told_apart() {
    let mut slow = recorder(0, 20);
    for second in 0..10 {
        slow.record(&sample(1, second, 900, Outcome::Status(429), true));
        slow.record(&sample(1, second, 1_500, Outcome::Status(503), true));
        slow.record(&sample(1, second, 10_000_000, Outcome::Timeout, true));
        slow.record(&sample(1, second, 300, Outcome::Reset, true));
    }
    slow.note("`POST /orders`: variable `cart` is undefined".to_owned());
    let names = ["GET /a/name/that/is/longer/than/the/table/has/room/for", "POST /orders"];
    let result =
        build(&plan("{ rate: 20/s, duration: 10s }", &names), &merged([slow]), facts(Ending::Finished, &[]));
    let orders = &result.endpoints[1];
    assert_eq!((orders.response_time_ms.count, orders.failed_time_ms.count, orders.requests), (10, 30, 40));
    check("failures", &result);
}

#[test]
fn what_is_missing_is_said() {
    let mut dropping = recorder(0, 20);
    (0..10).for_each(|second| {
        (0..30).for_each(|_| {
            dropping.arrival_scheduled(LoadId(0), second * 1_000_000);
            dropping.arrival_dropped(LoadId(0), second * 1_000_000);
        });
    });
    let missing = ["slice 3: not heard of after snapshot 7"];
    let result =
        build(&plan(OPEN, &["GET /a", "GET /b"]), &merged([dropping]), facts(Ending::Finished, &missing));
    assert_eq!(result.verdict.exit_code, 98);
    let load = &result.coverage.load;
    assert_eq!(
        [load.planned, load.started, load.dropped, load.unknown].map(|n| n.to_string()),
        ["600", "200", "300", "100"]
    );
    check("missing", &result);
}

#[test]
fn seats_that_nobody_took_are_named_and_no_verdict_hangs_on_them() {
    let absent = vec!["3 seats: throttled (Reason): try again later".to_owned()];
    let facts = Facts { absent: absent.clone(), ..facts(Ending::Finished, &[]) };
    let result = build(&plan(OPEN, &["GET /a"]), &merged([recorder(0, 40), recorder(1, 20)]), facts);
    assert_eq!((result.verdict.exit_code, &result.coverage.missing), (0, &absent));
    let text = terminal(&result, Style::default());
    assert!(text.contains(" missing: 3 seats: throttled (Reason)"), "{text}");
}

#[test]
fn a_report_of_a_fleet_says_how_it_came_to_be_and_what_was_in_its_way() {
    let throttled = vec!["1 seat: not taken, and not needed: throttled (Reason): raise it".to_owned()];
    let mut facts = Facts { throttled, ..facts(Ending::Finished, &[]) };
    let merged = merged([recorder(0, 40), recorder(1, 20)]);
    let text = |facts: &Facts| {
        let result = build(&plan(OPEN, &["GET /a"]), &merged, facts.clone());
        assert!(html(&result).contains("Offered in vain: 1 seat: not taken"));
        (terminal(&result, Style::default()), html(&result))
    };
    assert!(!text(&facts).0.contains(" fleet:"), "threads are there at once");
    facts.run.backend = "aws".to_owned();
    (facts.generators[0].init_ms, facts.generators[0].queued_ms) = (0.0, Some(40.0));
    (facts.generators[1].init_ms, facts.generators[1].queued_ms) = (310.0, Some(95.0));
    (facts.generators[1].start_skew_ms, facts.generators[1].deliveries) = (Some(-3.5), Some(3));
    let (text, page) = text(&facts);
    let line = " fleet: 1 started in 310ms to 310ms, 1 reused · queued 95.0ms · all ready 102ms · start skew 3.50ms\n";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains(" offered in vain: 1 seat: not taken, and not needed: throttled (Reason): raise it")
    );
    assert!(page.contains("Environments: 1 started in 310ms to 310ms, 1 reused."));
    assert!(page.contains("was there") && page.contains("95.0ms (3 times)"), "in the generators' table");
}

#[test]
fn seconds_of_which_not_all_is_known_are_marked() {
    let mut lost = Recorder::new(1);
    lost.observe(0..4, Observation { observed_us: 1_000_000, ..Observation::default() });
    let merged = merged([recorder(0, 60), lost]);
    let mut facts = facts(Ending::Finished, &["slice 1: not heard of after snapshot 1"]);
    let untold = |facts: &Facts| {
        let result = build(&plan(OPEN, &["GET /a"]), &merged, facts.clone());
        let points: Vec<u64> = result.timeline.points.iter().map(|point| point.untold).collect();
        (points, html(&result).contains("For 6s in all, what some generators measured never came"))
    };
    assert_eq!(untold(&facts), (vec![0; 10], false));
    facts.generators[1].snapshots = None;
    assert_eq!(untold(&facts), (vec![0, 0, 0, 0, 1, 1, 1, 1, 1, 1], true));
}

#[test]
fn generators_that_were_the_bottleneck_make_no_verdict() {
    let mut late = recorder(0, 60);
    // Two slices of ten seconds, and one of those once more, in which it was late.
    (0..20).for_each(|_| late.begun(25_000));
    late.observe(9..10, Observation { observed_us: 1_000_000, ..Observation::default() });
    let plan = plan(OPEN, &["GET /a"]);
    let few = build(&plan, &merged([late, recorder(0, 0)]), facts(Ending::Finished, &[]));
    assert_eq!((few.verdict.exit_code, few.generators[0].tainted_s), (0, 1));
    assert_eq!(few.generators[0].tainted_by.send_lag, 1);
    assert_eq!(few.timeline.points[9].tainted, 1);
    let mut stolen = recorder(0, 60);
    stolen
        .observe(0..9, Observation { stolen_us: 200_000, observed_us: 1_000_000, ..Observation::default() });
    let most = build(&plan, &merged([stolen]), facts(Ending::Finished, &[]));
    assert_eq!(most.verdict.exit_code, 98);
    check("tainted", &most);
}

#[test]
fn loads_side_by_side_are_covered_one_by_one_and_together() {
    let plan = plan("[ { rate: 60/s, duration: 10s }, { users: 2, duration: 10s } ]", &["GET /a"]);
    let mut both = recorder(0, 60);
    both.user_time(LoadId(1), 0, 10_000_000);
    let result = build(&plan, &merged([both]), facts(Ending::Finished, &[]));
    let parts =
        |load: &squall_report::LoadCoverage| (load.unit.clone(), load.planned, load.started, load.ratio);
    let loads: Vec<_> = result.coverage.loads.iter().map(parts).collect();
    assert_eq!(
        loads,
        [("arrivals".to_owned(), 600.0, 600.0, 1.0), ("user_seconds".to_owned(), 20.0, 10.0, 0.5)]
    );
    assert_eq!(parts(&result.coverage.load), ("loads".to_owned(), 2.0, 1.5, 0.75));
}

#[test]
fn a_run_that_was_ended_says_by_whom() {
    let plan = plan("{ users: 5, duration: 1m }", &["GET /a"]);
    check("interrupted", &build(&plan, &merged([recorder(0, 3)]), facts(Ending::Interrupted, &[])));
    let aborted = Ending::Aborted("`GET /a` failed with 500".to_owned());
    check("aborted", &build(&plan, &merged([recorder(0, 1)]), facts(aborted, &[])));
}

#[test]
fn a_run_without_requests_is_no_success() {
    let broken = Ending::Broken("seats not ready in time: 0, 1".to_owned());
    check("nothing", &build(&plan(OPEN, &["GET /a"]), &Merged::default(), facts(broken, &[])));
}

#[test]
fn a_cause_that_was_found_is_named_with_what_can_be_done() {
    let mut recorder = Recorder::new(1);
    for second in 0..90 {
        for n in 0..10 {
            recorder.arrival_scheduled(LoadId(0), second * 1_000_000);
            recorder.arrival_started(LoadId(0), second * 1_000_000);
            let limited = second >= 20 && n % 2 == 0;
            let outcome = Outcome::Status(if limited { 429 } else { 200 });
            recorder.record(&sample(0, second, 2_000 + n * 137, outcome, limited));
        }
        recorder.gauge(second * 1_000_000, 5, 2);
    }
    let plan = plan("{ rate: 10/s, duration: 90s }", &["GET /a"]);
    let result = build(&plan, &merged([recorder]), facts(Ending::Finished, &[]));
    assert_eq!(result.findings[0]["kind"], "rate_limited");
    check("finding", &result);
    let page = html(&result);
    assert!(
        page.contains("<h3>rate limited (high)</h3>")
            && page.contains("<th scope=\"row\">Refill</th><td>5.00/s</td>"),
        "{page}"
    );
}

#[test]
fn names_of_several_scenarios_are_told_apart() {
    let text = "name: two\ntarget: http://127.0.0.1:1\nload: { rate: 4/s, duration: 10s }\nscenarios:\n  \
                reader: { steps: [ { get: /a } ] }\n  writer: { steps: [ { get: /a } ] }";
    let plan = compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan;
    check(
        "scenarios",
        &build(&plan, &merged([recorder(0, 2), recorder(1, 2)]), facts(Ending::Finished, &[])),
    );
}

#[test]
fn requests_that_differ_in_a_tag_are_told_apart() {
    let text = "name: tags\ntarget: http://127.0.0.1:1\ntags: { release: v2 }\nload: { rate: 4/s, duration: 10s }\n\
                scenarios: { a: { steps: [ { get: /a, tags: { page: first } }, { get: /a, tags: { page: last } } ] } }";
    let plan = compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan;
    let result = build(&plan, &merged([recorder(0, 2), recorder(1, 2)]), facts(Ending::Finished, &[]));
    let pages: Vec<&str> = result.endpoints.iter().map(|endpoint| endpoint.tags["page"].as_str()).collect();
    assert_eq!(pages, ["first", "last"]);
    check("tags", &result);
}

#[test]
fn a_long_run_keeps_its_counts_in_fewer_points() {
    let mut recorder = Recorder::new(1);
    (0..10_000).for_each(|second| recorder.record(&sample(0, second, 1_000, Outcome::Status(200), false)));
    let plan = plan("{ rate: 1/s, duration: 10000s }", &["GET /a"]);
    let timeline = build(&plan, &merged([recorder]), facts(Ending::Finished, &[])).timeline;
    assert_eq!((timeline.step_s, timeline.points.len()), (4, 2_500));
    assert!(timeline.points.iter().all(|point| point.requests == 4 && point.t_s % 4 == 0));
}

proptest! {
    #[test]
    fn percentiles_never_fall_and_outcomes_add_up(times in proptest::collection::vec((0_u16..2, 1_i64..9_000_000, 0_u8..5), 1..200)) {
        let mut recorder = Recorder::new(2);
        for (series, us, kind) in times {
            let (outcome, failed) = match kind {
                0 => (Outcome::Status(500), true),
                1 => (Outcome::Timeout, true),
                _ => (Outcome::Status(200), false),
            };
            recorder.record(&sample(series, 0, us, outcome, failed));
        }
        let result = build(&plan(OPEN, &["GET /a", "GET /b"]), &merged([recorder]), facts(Ending::Finished, &[]));
        prop_assert_eq!(result.outcomes.values().sum::<u64>(), result.totals.requests);
        for endpoint in &result.endpoints {
            prop_assert_eq!(endpoint.outcomes.values().sum::<u64>(), endpoint.requests);
            let t = &endpoint.response_time_ms;
            let ascending: Vec<f64> =
                [t.min, t.p50, t.p75, t.p90, t.p95, t.p99, t.p999, t.max].into_iter().flatten().collect();
            prop_assert!(ascending.is_sorted() && (ascending.is_empty() == (t.count == 0)));
        }
        prop_assert!(!terminal(&result, Style::default()).is_empty());
    }
}

/// The result of a run that failed, with hostile names.
fn hostile() -> RunResult {
    let plan = plan(OPEN, &["GET /ok"]);
    let mut result = build(&plan, &merged([recorder(0, 60)]), facts(Ending::Finished, &[]));
    let template = result.endpoints[0].clone();
    let names = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a|b\n`c` @all #1 http://x", "GET /ok"];
    result.endpoints = Vec::from(names.map(|name| {
        let mut endpoint = template.clone();
        name.clone_into(&mut endpoint.name);
        endpoint
    }));
    "shop <&>".clone_into(&mut result.run.name);
    result.thresholds = vec![
        Threshold {
            expression: "p95{name=\"<b>\"} < 500ms".to_owned(),
            unit: "ms".to_owned(),
            value: Some(2_310.0),
            at_least: true,
            first_failed_at_s: Some(192.0),
            ..Threshold::default()
        },
        Threshold {
            expression: "errors < 1%".to_owned(),
            unit: "ratio".to_owned(),
            value: Some(0.0042),
            passed: true,
            over_s: Some(10),
            ..Threshold::default()
        },
        Threshold { expression: "checks > 99%".to_owned(), unit: "ratio".to_owned(), ..Threshold::default() },
    ];
    let outcomes = [("200", 5), ("404", 1), ("429", 2), ("503", 3), ("timeout", 4), ("refused", 6)];
    let outcomes: BTreeMap<String, u64> =
        outcomes.into_iter().map(|(outcome, number)| (outcome.to_owned(), number)).collect();
    let endpoints =
        names.map(|name| (name.to_owned(), EndpointPoint { requests: 7, ..EndpointPoint::default() }));
    result.timeline.points = vec![Point {
        t_s: 3,
        requests: 21,
        outcomes,
        p95_ms: Some(1.5),
        endpoints: endpoints.into(),
        ..Point::default()
    }];
    result
}

#[test]
fn thresholds_stand_below_the_verdict() {
    let mut result = hostile();
    result.endpoints.truncate(0);
    insta::assert_snapshot!("thresholds", terminal(&result, Style::default()));
}

#[test]
fn what_a_run_on_aws_cost_is_said_with_what_of_it_was_computed() {
    let mut result = hostile();
    let item = |usd, estimated| CostItem { usd, estimated, ..CostItem::default() };
    let items = vec![item(0.086_37, false), item(0.036_9, true)];
    result.cost = Cost::new(Some(0.15), items, 1_000_000, "us-east-1, November 2026".to_owned());
    let text = terminal(&result, Style::default());
    let said = " cost: $0.12 ($0.15 estimated before) · $0.12 per million requests\n   \
                $0.037 of it computed, the rest counted · prices of us-east-1, November 2026";
    assert!(text.contains(said), "{text}");
    assert!(markdown(&result).contains("Cost: $0.12 ($0.15 estimated before)"), "{}", markdown(&result));
    assert!(!terminal(&hostile(), Style::default()).contains("cost"), "what cost nothing is not told");
}

#[test]
fn each_threshold_is_a_test_case() {
    insta::assert_snapshot!("junit", junit(&hostile()));
}

#[test]
fn a_run_without_thresholds_has_a_case_and_one_that_was_cut_short_an_error() {
    let mut result = hostile();
    result.thresholds.clear();
    assert!(junit(&result).contains("tests=\"1\""));
    result.verdict.outcome = squall_report::Outcome::Aborted;
    assert!(junit(&result).contains("errors=\"1\""));
}

#[test]
fn names_mean_nothing_to_markdown() {
    insta::assert_snapshot!("markdown", markdown(&hostile()));
}

#[test]
fn no_name_is_a_formula() {
    let text = csv(&hostile());
    insta::assert_snapshot!("csv", text);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
}
