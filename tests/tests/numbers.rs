//! The numbers: what the target counted is what the report says, on any number of slices.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;
use squall_target::Server;
use squall_tests::python::python;
use squall_tests::{Place, target};

const SCENARIOS: &str = "
scenarios:
  shopper:
    weight: 3
    before: [ { get: /healthz } ]
    tasks:
      - weight: 3
        steps:
          - get: \"/api/v1/catalog/products?category={{ random_choice(['electronics', 'gaming']) }}&limit=5\"
            capture: { sku: '$.items[0].sku' }
          - get: '/api/v1/catalog/products/{{ sku }}'
      - steps: [ { get: '/api/v1/search?q={{ random_int(10, 99) }}', name: GET /search } ]
  prober:
    steps: [ { get: /healthz }, { think: 1ms..5ms } ]
";

fn run(load: &str, generators: u32, seed: &str) -> (Server, Value) {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &format!("target: http://{}\nload: {load}\n{SCENARIOS}", server.address()));
    let generators = generators.to_string();
    let ran = place.run(&["run", "plan.yaml", "--generators", &generators, "--seed", seed, "--out", "out"]);
    // A machine that is busy may not get all of the load out; that it says so is enough for what is checked here.
    assert!([0, 98].contains(&ran.code), "{}\n{}", ran.stdout, ran.stderr);
    (server, place.result("out"))
}

fn number(result: &Value, pointer: &str) -> u64 {
    result
        .pointer(pointer)
        .and_then(Value::as_f64)
        .map(|number| number.round().to_string())
        .unwrap()
        .parse()
        .unwrap()
}

/// What must hold between the target's count and the report, whatever was run.
fn check_counts(server: &Server, result: &Value) {
    let requests = number(result, "/totals/requests");
    assert_eq!(server.counts().total, requests, "the target counted what the report says");
    let outcomes: u64 =
        result["outcomes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(outcomes, requests, "outcomes add up to requests");
    let endpoints = result["endpoints"].as_array().unwrap();
    assert_eq!(
        endpoints.iter().map(|endpoint| endpoint["requests"].as_u64().unwrap()).sum::<u64>(),
        requests
    );
    let points = result["timeline"]["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["requests"].as_u64().unwrap()).sum::<u64>(), requests);
    let iterations = number(result, "/totals/iterations");
    let ended = result["totals"]["iterations_ended"].as_object().unwrap();
    assert_eq!(ended.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), iterations);
    assert_eq!(result["coverage"]["missing"], serde_json::json!([]));
}

#[test]
fn a_closed_run_reports_what_the_target_counted_on_any_number_of_slices() {
    for generators in [1, 4, 16] {
        let (server, result) = run("{ users: 24, duration: 2s }", generators, "1");
        check_counts(&server, &result);
        assert!((47..=48).contains(&number(&result, "/coverage/load/started")), "{}", result["coverage"]);
    }
}

#[test]
fn an_open_run_reports_what_the_target_counted_on_any_number_of_slices() {
    for generators in [1, 4, 16] {
        let (server, result) = run("{ rate: 200/s, duration: 2s }", generators, "1");
        check_counts(&server, &result);
        assert_eq!(number(&result, "/coverage/load/planned"), 400);
        assert_eq!(
            number(&result, "/coverage/load/started") + number(&result, "/coverage/load/dropped"),
            400
        );
        assert_eq!(number(&result, "/coverage/load/unknown"), 0);
    }
}

#[test]
fn a_ramp_starts_as_many_arrivals_as_the_area_under_it() {
    for generators in [1, 4, 16] {
        let (place, server) = (Place::new(), target(false));
        let load = "{ stages: [ { duration: 4s, rate: 150/s }, { duration: 4s, rate: 150/s } ] }";
        let scenario = "scenarios: { get: { steps: [ { get: /healthz } ] } }";
        place.write("plan.yaml", &format!("target: http://{}\nload: {load}\n{scenario}", server.address()));
        let ran = place.run(&["run", "plan.yaml", "--generators", &generators.to_string(), "--out", "out"]);
        assert_eq!(ran.code, 0, "{}", ran.stdout);
        assert_eq!(server.counts().total, 900, "{generators} slices");
        let result = place.result("out");
        assert_eq!(number(&result, "/coverage/load/started"), 900);
        let points = result["timeline"]["points"].as_array().unwrap().iter();
        let held = points.filter(|point| (4..8).contains(&point["t_s"].as_i64().unwrap()));
        let seconds: Vec<u64> = held.map(|point| point["arrivals"].as_u64().unwrap()).collect();
        assert_eq!(seconds, [150; 4], "150 a second once the ramp is over");
    }
}

#[test]
fn the_same_seed_makes_the_same_requests_on_any_number_of_slices() {
    let journeys = |generators| {
        let (place, server) = (Place::new(), target(false));
        let steps = "{ get: '/api/v1/catalog/products/SKU-{{ random_int(100000, 100020) }}', name: GET /sku } , \
                     { get: '/api/v1/search?q=x', name: 'GET /search' }";
        let plan = format!(
            "target: http://{}\nload: {{ rate: 100/s, duration: 2s }}\nscenarios:\n  a: {{ weight: 2, tasks: [ {{ weight: 2, steps: [ {steps} ] }}, \
             {{ steps: [ {{ get: /healthz }} ] }} ] }}\n  b: {{ steps: [ {{ get: /b }} ] }}\n",
            server.address(),
        );
        place.write("plan.yaml", &plan);
        let ran =
            place.run(&["run", "plan.yaml", "--generators", generators, "--seed", "c0ffee", "--out", "out"]);
        assert_eq!(ran.code, 0, "{}", ran.stdout);
        server.counts().routes
    };
    let one = journeys("1");
    assert!(one.values().sum::<u64>() > 200, "{one:?}");
    assert_eq!(one, journeys("7"));
}

fn histograms(result: &Value) -> Vec<(String, Histogram<u64>)> {
    let endpoints = result["endpoints"].as_array().unwrap().iter();
    endpoints
        .map(|endpoint| {
            let text = endpoint["histogram"].as_str().unwrap();
            let bytes = STANDARD.decode(text).unwrap();
            let histogram = Deserializer::new().deserialize(&mut Cursor::new(bytes)).unwrap();
            (endpoint["name"].as_str().unwrap().to_owned(), histogram)
        })
        .collect()
}

#[test]
fn a_stored_histogram_gives_the_numbers_of_the_report() {
    let (_, result) = run("{ users: 8, duration: 2s }", 16, "2");
    for (endpoint, (name, histogram)) in
        result["endpoints"].as_array().unwrap().iter().zip(histograms(&result))
    {
        let times = &endpoint["response_time_ms"];
        assert_eq!(times["count"].as_u64(), Some(histogram.len()), "{name}");
        for (key, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)] {
            let reported = times[key].as_f64().unwrap() * 1_000.0;
            let decoded = histogram.value_at_quantile(quantile) as f64;
            assert!((reported - decoded).abs() < 0.5, "{name} {key}: {reported} and {decoded}");
        }
    }
}

/// In another language. Python's library takes the nearest rank by rounding, ours by rounding up, so a
/// percentile may be that of the sample before.
#[test]
fn a_stored_histogram_gives_the_numbers_of_the_report_in_python() {
    let (_, result) = run("{ users: 8, duration: 2s }", 4, "3");
    let script = r#"
import json, math
try:
    from hdrh.histogram import HdrHistogram
except ImportError:
    missing("Python's hdrhistogram")
for endpoint in json.load(sys.stdin)["endpoints"]:
    histogram, times = HdrHistogram.decode(endpoint["histogram"]), endpoint["response_time_ms"]
    assert histogram.total_count == times["count"], endpoint["name"]
    for key, percentile in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        # The percentile whose rounded rank is the one that is rounded up.
        rank = math.ceil(percentile / 100 * histogram.total_count - 1e-9)
        value = histogram.get_value_at_percentile(rank * 100 / histogram.total_count)
        assert abs(value / 1000 - times[key]) < 0.0005, (endpoint["name"], key, value, times[key])
"#;
    if let Some(checked) = python(script, &[], &result.to_string()) {
        assert_eq!(checked.code, 0, "{}", checked.stderr);
    }
}
