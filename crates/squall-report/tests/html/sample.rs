//! Results for pages: a run without anything, and runs with all there can be.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_metrics::{Distribution, Merged};
use squall_plan::{Bundle, Inputs, compile};
use squall_report::{
    Cost, CostItem, Ending, Endpoint, EndpointPoint, Facts, Generator, LoadCoverage, MeanPhases, Metric,
    Outcome, Percentiles, PlanFacts, PlannedStage, Point, Region, Run, RunResult, SeatCoverage, SlowPhases,
    SlowRequest, Span, TelemetrySeries, Threshold, Times, build,
};

/// A run in which nothing was measured.
pub(crate) fn empty() -> RunResult {
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
        plan_text: String::new(),
        ending: Ending::Finished,
        seats: SeatCoverage { invited: 2, ready: 2, assigned: 2, ..SeatCoverage::default() },
        missing: Vec::new(),
        absent: Vec::new(),
        throttled: Vec::new(),
        unknown_requests: Some(0),
        generators: Vec::new(),
        telemetry: Vec::new(),
        annotations: Vec::new(),
        thresholds: Vec::new(),
        problems: Vec::new(),
        regions: Vec::new(),
        cost: squall_report::Cost::free(),
    };
    let mut result = build(&plan, &Merged::default(), facts);
    result.endpoints.clear();
    result
}

pub(crate) fn times(scale: f64) -> Times {
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
pub(crate) fn noise(seed: usize) -> u64 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % 1_000
}

pub(crate) fn names(number: usize) -> Vec<String> {
    (0..number).map(|at| format!("GET /catalog/products/{at}")).collect()
}

pub(crate) fn endpoint(name: &str, at: usize) -> Endpoint {
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
        slowest: slowest(at),
        connections: squall_report::Connections { new: 20, reused: 12_325, http2: 0 },
        // Beyond these, nothing is drawn of it.
        histogram: if at < 60 { histogram(at) } else { String::new() },
    }
}

fn histogram(at: usize) -> String {
    let mut times = Distribution::fine();
    for rank in 0..12_345_u32 {
        let slower = 1.0 - (f64::from(rank) + 0.5) / 12_345.0;
        let factor = 2_f64.powf(0.7 - 1.9 * slower.log10());
        let time = Duration::from_secs_f64((7.0 + at as f64) / 1_000.0 * factor);
        times.record(time.as_micros().try_into().unwrap());
    }
    times.to_base64()
}

fn slowest(at: usize) -> Vec<SlowRequest> {
    let slow = |rank: usize| {
        let first_byte = 1_900.0 - 100.0 * rank as f64 + noise(at + rank) as f64 / 20.0;
        SlowRequest {
            t_s: 311.0 + rank as f64 * 1.7,
            response_time_ms: first_byte + 260.0,
            service_time_ms: first_byte + 160.0,
            outcome: if rank == 1 { "timeout".to_owned() } else { "200".to_owned() },
            failed: rank == 1,
            phases_ms: SlowPhases {
                connect: (rank == 0).then_some(40.0),
                tls: (rank == 0).then_some(80.0),
                send: Some(1.0),
                first_byte: Some(first_byte),
                body: Some(39.0),
                ..SlowPhases::default()
            },
            connection: if rank == 0 { "new" } else { "reused" }.to_owned(),
            protocol: "http/1.1".to_owned(),
            remote: Some("192.0.2.7:443".to_owned()),
            bytes_received: 48_213,
            trace_id: Some(format!("{:032x}", noise(rank) + 7)),
        }
    };
    (0..5).map(slow).collect()
}

pub(crate) fn point(second: usize, length: usize, names: &[String]) -> Point {
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
        heat: heat(second, slow, good),
        phases_ms: MeanPhases {
            dns: 0.1,
            connect: 0.4,
            tls: 1.1,
            send: 0.2,
            first_byte: 20.0 * slow as f64,
            body: 3.0,
        },
        new_connections: if second.is_multiple_of(30) { 12 } else { 0 },
        connections: 80,
        tainted: bad(0.3, 0.35, 1),
        untold: 0,
        endpoints: names.iter().enumerate().map(part).collect(),
    }
}

/// Two groups of response times, the second of those that found nothing in a cache.
pub(crate) fn heat(second: usize, slow: u64, requests: u64) -> BTreeMap<u32, u64> {
    let shift = if slow > 1 { 5 } else { 0 };
    let shape = [1, 4, 12, 30, 44, 26, 9, 3, 1, 0, 2, 11, 15, 6, 1];
    let buckets = (8..).zip(shape).map(|(bucket, share): (u32, u64)| {
        let count = share * requests / 165 + noise(second * 16 + bucket as usize) / 900;
        (bucket + shift, count)
    });
    buckets.filter(|(_, count)| *count > 0).collect()
}

/// A run with all there can be: so many endpoints, and so many seconds.
pub(crate) fn full(endpoints: usize, seconds: usize) -> RunResult {
    let names = names(endpoints);
    let mut result = empty();
    result.verdict.outcome = Outcome::Failed;
    result.verdict.reasons =
        vec!["p99{name=\"POST /orders\"} < 1500ms is 2,310 ms, first broken at 3m12s".to_owned()];
    result.run.duration_s = seconds as f64;
    "aws".clone_into(&mut result.run.backend);
    result.cost = cost();
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

/// What two instruments of the target say: one that scales in steps, and one that is read seldom.
pub(crate) fn telemetry(seconds: u32) -> Vec<TelemetrySeries> {
    let series = |source: &str, name: &str, unit: &str, points| TelemetrySeries {
        source: source.to_owned(),
        name: name.to_owned(),
        unit: unit.to_owned(),
        points,
    };
    let replicas = (0..seconds).map(|t_s| (f64::from(t_s), f64::from(1 + t_s / 10 * 2)));
    let durations = (0..seconds).step_by(10).map(|t_s| (f64::from(t_s), 0.05 + 0.01 * f64::from(t_s)));
    vec![
        series("prometheus", "<i>replicas</i>", "", replicas.collect()),
        series("cloudwatch", "Duration", "s", durations.collect()),
    ]
}

/// What there is besides requests.
pub(crate) fn beside(result: &mut RunResult) {
    let stage = |name: &str, from: f64, until: f64| PlannedStage {
        name: name.to_owned(),
        from_s: from * result.run.duration_s,
        until_s: until * result.run.duration_s,
    };
    result.plan = PlanFacts {
        text: "name: shop\nload: { rate: 200/s, duration: 15m } # <as much as on a Friday>\n".to_owned(),
        stages: vec![stage("stage 1 (0 to 200/s)", 0.0, 0.33), stage("stage 2 (200/s)", 0.33, 1.0)],
    };
    result.findings = vec![serde_json::json!({
        "kind": "rate_limited",
        "confidence": "high",
        "endpoints": ["POST /orders"],
        "from_s": 0.55 * result.run.duration_s,
        "until_s": 0.8 * result.run.duration_s,
        "summary": "429s begin at 410 req/s; a bucket of about 500 refilled at 400/s explains 97 % of them.",
        "evidence": [{ "rate": 410, "share": 0.97 }],
        "advice": "Ask for a higher limit, or queue orders behind it.",
    })];
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

pub(crate) fn generator(nonce: &str) -> Generator {
    Generator {
        slice: Some(0),
        window: 0,
        nonce: nonce.to_owned(),
        region: "eu-west-1".to_owned(),
        environment: "process 1".to_owned(),
        source_ip: Some("192.0.2.7".to_owned()),
        queued_ms: Some(41.0),
        deliveries: Some(1),
        init_ms: 0.1,
        ready_ms: 101.5,
        start_skew_ms: Some(0.4),
        send_lag_ms: squall_report::Quantiles { p50: Some(0.1), p99: Some(2.1), max: Some(9.0) },
        loop_delay_ms: squall_report::Quantiles::default(),
        cpu_ratio: Some(0.31),
        cpu_s: 37.2,
        stolen_ratio: Some(0.0),
        connections: 80,
        memory_mb: 61.0,
        tainted_s: 45,
        tainted_by: squall_report::TaintedBy { send_lag: 45, loop_delay: 3, stolen: 0 },
    }
}

/// What a run on AWS cost.
fn cost() -> Cost {
    let item = |what: &str, quantity: f64, unit: &str, price_usd: f64, per: u32, estimated: bool| CostItem {
        what: what.to_owned(),
        quantity,
        unit: unit.to_owned(),
        price_usd,
        per,
        usd: quantity * price_usd / f64::from(per),
        estimated,
    };
    let items = vec![
        item("generators", 5_182.4, "GB-s", 0.000_016_666_7, 1, false),
        item("request data", 0.41, "GB", 0.09, 1, true),
        item("bucket writes", 5_210.0, "requests", 0.005, 1_000, false),
    ];
    Cost::new(Some(0.15), items, 1_000_000, "us-east-1, November 2026".to_owned())
}

/// A run in which nothing succeeded.
pub(crate) fn only_errors() -> RunResult {
    let mut result = full(2, 20);
    for point in &mut result.timeline.points {
        (point.p50_ms, point.p95_ms, point.p99_ms) = (None, None, None);
        point.heat.clear();
        point.outcomes = BTreeMap::from([("refused".to_owned(), 5)]);
        point.endpoints.clear();
    }
    result.endpoints.iter_mut().for_each(|endpoint| endpoint.response_time_ms = Times::default());
    result
}

/// A run of a day, of which a point is 32 seconds.
pub(crate) fn day() -> RunResult {
    let mut result = full(5, 2_700);
    result.timeline.step_s = 32;
    result.run.duration_s *= 32.0;
    for stage in &mut result.plan.stages {
        (stage.from_s, stage.until_s) = (32.0 * stage.from_s, 32.0 * stage.until_s);
    }
    result.findings.clear();
    result.timeline.points.iter_mut().for_each(|point| point.t_s *= 32);
    result
}

/// A run by so many generators, some of which were late.
pub(crate) fn many_generators(number: usize) -> RunResult {
    let mut result = full(3, 120);
    result.generators = (0..number)
        .map(|at| {
            let mut generator = generator(&format!("n{at}"));
            let scale = 0.2 + noise(at) as f64 / 500.0 + if at % 97 == 5 { 90.0 } else { 0.0 };
            let lag = &mut generator.send_lag_ms;
            (lag.p50, lag.p99, lag.max) = (Some(0.1 * scale), Some(2.0 * scale), Some(9.0 * scale));
            generator.start_skew_ms = Some(noise(at + 1) as f64 / 100.0);
            generator.init_ms = 200.0 + noise(at + 2) as f64;
            if at % 2 == 1 {
                "us-east-1".clone_into(&mut generator.region);
            }
            generator
        })
        .collect();
    result
}
