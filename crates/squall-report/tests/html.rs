//! The report as a page.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use squall_metrics::Merged;
use squall_plan::{Bundle, Inputs, compile};
use squall_report::{
    Ending, Endpoint, EndpointPoint, Facts, Generator, LoadCoverage, Metric, Outcome, Percentiles, Point,
    Region, Run, RunResult, SeatCoverage, Span, Threshold, Times, build, html,
};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// A run in which nothing was measured.
fn empty() -> RunResult {
    let text = "name: shop\ntarget: http://127.0.0.1:1\nload: { rate: 60/s, duration: 10s }\n\
                scenarios: { buyer: { steps: [ { get: /x } ] } }";
    let plan = compile(&Bundle::new("p.yaml", text.to_owned(), Inputs::default())).unwrap().plan;
    let facts = Facts {
        run: Run {
            id: "20260101-120000-8f31c2".to_owned(),
            name: "shop".to_owned(),
            seed: "8f31c2".to_owned(),
            started_at: "2026-01-01T12:00:00Z".to_owned(),
            epoch: String::new(),
            duration_s: 0.0,
            backend: "local".to_owned(),
            regions: vec!["local".to_owned()],
            plan_sha256: "ab".repeat(32),
        },
        ending: Ending::Finished,
        seats: SeatCoverage { invited: 2, ready: 2, assigned: 2, ..SeatCoverage::default() },
        missing: Vec::new(),
        generators: Vec::new(),
        annotations: Vec::new(),
        thresholds: Vec::new(),
        problems: Vec::new(),
    };
    let mut result = build(&plan, &Merged::default(), facts);
    result.endpoints.clear();
    result
}

fn times(scale: f64) -> Times {
    Times {
        count: 12_345,
        min: Some(scale),
        mean: Some(2.4 * scale),
        stddev: Some(scale),
        p50: Some(2.0 * scale),
        p75: Some(3.0 * scale),
        p90: Some(5.0 * scale),
        p95: Some(8.0 * scale),
        p99: Some(21.0 * scale),
        p999: Some(55.0 * scale),
        max: Some(144.0 * scale),
    }
}

/// A number that looks like chance and is the same in each run of the tests.
fn noise(seed: usize) -> u64 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % 1_000
}

fn names(number: usize) -> Vec<String> {
    (0..number).map(|at| format!("GET /catalog/products/{at}")).collect()
}

fn endpoint(name: &str, at: usize) -> Endpoint {
    let outcomes = [("200".to_owned(), 12_000), ("429".to_owned(), 300), ("timeout".to_owned(), 45)];
    let phase = |scale: f64| Percentiles { p50: Some(scale), p95: Some(2.0 * scale), p99: Some(3.0 * scale) };
    Endpoint {
        name: name.to_owned(),
        scenario: "buyer".to_owned(),
        tags: BTreeMap::from([("page".to_owned(), at.to_string())]),
        purpose: "journey".to_owned(),
        requests: 12_345 + at as u64,
        errors: if at.is_multiple_of(3) { 345 } else { 0 },
        error_rate: 0.028,
        rps: 13.7,
        outcomes: outcomes.into(),
        response_time_ms: times(7.0 + at as f64),
        service_time_ms: times(6.0 + at as f64),
        failed_time_ms: Times::default(),
        phases_ms: squall_report::PhaseTimes {
            first_byte: phase(5.0),
            body: phase(1.0),
            ..Default::default()
        },
        stale_retries: 1,
        redirects: 0,
        slowest: Vec::new(),
        connections: squall_report::Connections { new: 20, reused: 12_325, http2: 0 },
        histogram: String::new(),
    }
}

fn point(second: usize, length: usize, names: &[String]) -> Point {
    let share = second as f64 / length as f64;
    let slow = if share > 0.55 && share < 0.7 { 9 } else { 1 };
    let ms = |scale: f64, seed: usize| Some(scale * slow as f64 * (1.0 + noise(seed) as f64 / 2_500.0));
    let part = |(at, name): (usize, &String)| {
        let seed = second * 31 + at;
        let part = EndpointPoint {
            requests: 10,
            errors: 0,
            p50_ms: ms(14.0, seed),
            p95_ms: ms(56.0, seed + 1),
            p99_ms: ms(147.0, seed + 2),
        };
        (name.clone(), part)
    };
    let users = (second as u64 * 300 / length as u64).min(100);
    let good = 2 * users + noise(second) / 33;
    let bad = |from: f64, to: f64, number: u64| if (from..to).contains(&share) { number } else { 0 };
    let outcomes = [
        ("200", good),
        ("301", 12),
        ("404", 6),
        ("429", bad(0.55, 0.8, 55)),
        ("503", bad(0.6, 0.66, 40)),
        ("timeout", bad(0.62, 0.7, 18)),
        ("reset", bad(0.62, 0.63, 9)),
    ];
    let outcomes: BTreeMap<String, u64> =
        outcomes.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    Point {
        t_s: i64::try_from(second).unwrap() - 5,
        users,
        in_flight: slow * (20 + noise(second) / 50),
        arrivals: 200,
        dropped: bad(0.62, 0.68, 14),
        requests: outcomes.values().sum(),
        errors: outcomes
            .iter()
            .filter(|(name, _)| !name.starts_with(['2', '3']))
            .map(|(_, number)| number)
            .sum(),
        outcomes,
        p50_ms: ms(14.0, second),
        p95_ms: ms(56.0, second + 1),
        p99_ms: ms(147.0, second + 2),
        new_connections: if second.is_multiple_of(30) { 12 } else { 0 },
        connections: 80,
        tainted: bad(0.3, 0.35, 1),
        endpoints: names.iter().enumerate().map(part).collect(),
    }
}

/// A run with all there can be: so many endpoints, and so many seconds.
fn full(endpoints: usize, seconds: usize) -> RunResult {
    let names = names(endpoints);
    let mut result = empty();
    result.verdict.outcome = Outcome::Failed;
    result.verdict.reasons =
        vec!["p99{name=\"POST /orders\"} < 1500ms is 2,310 ms, first broken at 3m12s".to_owned()];
    result.run.duration_s = seconds as f64;
    "aws".clone_into(&mut result.run.backend);
    result.run.regions = vec!["eu-west-1".to_owned(), "us-east-1".to_owned()];
    result.endpoints = names.iter().enumerate().map(|(at, name)| endpoint(name, at)).collect();
    result.timeline.step_s = 1;
    result.timeline.points = (0..seconds).map(|second| point(second, seconds, &names)).collect();
    result.thresholds = vec![
        Threshold {
            expression: "p99{name=\"POST /orders\"} < 1500ms".to_owned(),
            unit: "ms".to_owned(),
            limit: 1_500.0,
            value: Some(2_310.0),
            first_failed_at_s: Some(0.57 * seconds as f64),
            ..Threshold::default()
        },
        Threshold {
            expression: "errors < 1%".to_owned(),
            unit: "ratio".to_owned(),
            limit: 0.01,
            value: Some(0.004_2),
            passed: true,
            over_s: Some(60),
            stretches: 15,
            ..Threshold::default()
        },
    ];
    let load = LoadCoverage {
        unit: "arrivals".to_owned(),
        planned: 62_400.0,
        started: 62_114.0,
        dropped: 286.0,
        unknown: 0.0,
        ratio: 0.995,
    };
    result.coverage.load = load.clone();
    result.coverage.loads = vec![load];
    result.coverage.missing = vec!["slice 3: not heard of after snapshot 7".to_owned()];
    result.totals.requests = 62_114;
    result.totals.errors = 262;
    result.totals.error_rate = 0.004_2;
    result.totals.rps = 188.2;
    result.totals.bytes_received = 123_456_789;
    result.totals.response_time_ms = times(7.0);
    result.outcomes = BTreeMap::from([("200".to_owned(), 61_852), ("429".to_owned(), 262)]);
    beside(&mut result);
    result
}

/// What there is besides requests.
fn beside(result: &mut RunResult) {
    result.generators = vec![generator("n0"), generator("n1")];
    result.problems = BTreeMap::from([("`POST /orders`: variable `cart` is undefined".to_owned(), 3)]);
    let region = |name: &str| Region {
        region: name.to_owned(),
        totals: result.totals.clone(),
        coverage: result.coverage.clone(),
    };
    result.regions = vec![region("eu-west-1"), region("us-east-1")];
    let span = |name: Option<&str>| Span {
        scenario: "buyer".to_owned(),
        name: name.map(str::to_owned),
        time_ms: times(900.0),
        active_time_ms: times(60.0),
    };
    result.measures.iterations = vec![span(None)];
    result.measures.groups = vec![span(Some("checkout"))];
    result.measures.metrics = vec![Metric { name: "basket".to_owned(), values: times(3.0) }];
}

fn generator(nonce: &str) -> Generator {
    Generator {
        slice: Some(0),
        window: 0,
        nonce: nonce.to_owned(),
        region: "eu-west-1".to_owned(),
        environment: "process 1".to_owned(),
        source_ip: Some("192.0.2.7".to_owned()),
        init_ms: 0.1,
        ready_ms: 101.5,
        start_skew_ms: Some(0.4),
        send_lag_ms: squall_report::Quantiles { p50: Some(0.1), p99: Some(2.1), max: Some(9.0) },
        loop_delay_ms: squall_report::Quantiles::default(),
        cpu_ratio: Some(0.31),
        stolen_ratio: Some(0.0),
        connections: 80,
        memory_mb: 61.0,
        tainted_s: 45,
        tainted_by: squall_report::TaintedBy { send_lag: 45, loop_delay: 3, stolen: 0 },
    }
}

/// A page whose elements are all closed in the right order; the text between tags is left aside.
fn check(page: &str) {
    let raw = ["style", "script"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").unwrap();
    while let Some(at) = rest.find('<') {
        if let Some(element) = open.last().filter(|element| raw.contains(&element.as_str())) {
            rest = &rest[rest.find(&format!("</{element}")).unwrap()..];
        } else {
            rest = &rest[at..];
        }
        let end = rest.find('>').unwrap();
        let tag = &rest[1..end];
        let name: String =
            tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop().unwrap(), name);
        } else if !["meta", "input"].contains(&name.as_str()) {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} are open");
    assert!(!page.contains("NaN") && !page.contains("inf "), "numbers are numbers");
    let scripts = page.matches("<script").count();
    assert_eq!((scripts, page.matches("</script").count()), (2, 2), "there is no script but our own");
}

#[test]
fn sections_are_in_order() {
    let page = html(&full(3, 120));
    check(&page);
    let ids = [
        "verdict",
        "thresholds",
        "totals",
        "coverage",
        "charts",
        "chart-users",
        "chart-requests",
        "chart-percentiles",
        "chart-connections",
        "chart-dropped",
        "endpoints",
        "generators",
        "problems",
        "cost",
        "words",
    ];
    let place = |id: &&str| {
        let found = page.find(&format!("id=\"{id}\"")).or_else(|| page.find(&format!("data-chart=\"{id}\"")));
        found.unwrap_or_else(|| panic!("no {id}"))
    };
    assert!(ids.iter().map(place).is_sorted());
    for said in ["Failed", "✗ failed", "✓ held", "p99 is highest at 1m", "arrivals were dropped", "61,852"]
    {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn whatever_a_name_says_is_text() {
    let mut result = full(2, 30);
    let hostile = || HOSTILE.to_owned();
    result.run.name = hostile();
    result.run.id = hostile();
    result.run.seed = hostile();
    result.run.started_at = hostile();
    result.run.regions = vec![hostile()];
    result.run.plan_sha256 = hostile();
    result.squall_version = hostile();
    result.verdict.reasons = vec![hostile()];
    result.thresholds[0].expression = hostile();
    result.thresholds[0].unit = hostile();
    result.coverage.load.unit = hostile();
    result.coverage.missing = vec![hostile()];
    result.cleanup.created = 2;
    result.cleanup.left = vec![hostile()];
    result.outcomes = BTreeMap::from([(hostile(), 1)]);
    result.problems = BTreeMap::from([(hostile(), 1)]);
    result.endpoints[0].name = hostile();
    result.endpoints[0].scenario = hostile();
    result.endpoints[0].tags = BTreeMap::from([(hostile(), hostile())]);
    result.endpoints[0].outcomes = BTreeMap::from([(hostile(), 1)]);
    result.regions.iter_mut().for_each(|region| region.region = hostile());
    result.measures.iterations[0].scenario = hostile();
    result.measures.groups[0].name = Some(hostile());
    result.measures.metrics[0].name = hostile();
    let generator = &mut result.generators[0];
    (generator.nonce, generator.region, generator.source_ip) = (hostile(), hostile(), Some(hostile()));
    for point in &mut result.timeline.points {
        point.outcomes.insert(hostile(), 1);
        point.endpoints.insert(hostile(), EndpointPoint { p95_ms: Some(1.0), ..EndpointPoint::default() });
    }
    let page = html(&result);
    check(&page);
    assert!(!page.contains("<script>alert"));
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;").count() > 20);
}

#[test]
fn nothing_is_loaded() {
    let page = html(&full(3, 30));
    for outside in ["http://", "https://", "src=", "url(", "@import", "<link", "<iframe", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.split("href=\"").skip(1).all(|after| after.starts_with('#')));
    assert!(page.contains("default-src &#39;none&#39;"));
}

#[test]
fn a_long_run_makes_no_large_page() {
    let page = html(&full(20, 900));
    check(&page);
    assert!(page.len() < 1_500_000, "{}", page.len());
    let page = html(&full(200, 3_600));
    check(&page);
    assert!(page.len() < 3_000_000, "{}", page.len());
}

#[test]
fn a_run_without_anything_has_a_page() {
    let page = html(&empty());
    check(&page);
    for said in ["Nothing was measured.", "There are no endpoints.", "The plan sets no thresholds."] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn one_sample_has_a_page() {
    let page = html(&full(1, 1));
    check(&page);
    assert!(page.contains("H1000\""), "the sample is as wide as its second");
}

#[test]
fn a_run_of_errors_only_has_a_page() {
    let mut result = full(2, 20);
    for point in &mut result.timeline.points {
        (point.p50_ms, point.p95_ms, point.p99_ms) = (None, None, None);
        point.outcomes = BTreeMap::from([("refused".to_owned(), 5)]);
        point.endpoints.clear();
    }
    result.endpoints.iter_mut().for_each(|endpoint| endpoint.response_time_ms = Times::default());
    let page = html(&result);
    check(&page);
    assert!(page.contains("No response times"));
}

#[test]
fn times_far_apart_make_no_endless_page() {
    let mut result = full(1, 2);
    result.timeline.points[0].t_s = i64::MIN;
    result.timeline.points[1].t_s = i64::MAX;
    check(&html(&result));
}

#[test]
fn what_happened_beside_the_test_is_marked_in_every_chart() {
    let mut result = full(2, 30);
    let before = html(&result).matches("class=\"note\" d=\"M").count();
    result.annotations = vec![squall_report::Annotation { t_s: 12.0, text: "<b>deployed</b> v2".to_owned() }];
    let page = html(&result);
    check(&page);
    assert!(page.contains("&lt;b&gt;deployed&lt;/b&gt; v2"));
    assert!(before == 0 && page.matches("class=\"note\" d=\"M").count() >= 3);
}
