//! Single requests of a run, with the real command: what is kept of them, and what the target was told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use squall_target::{Server, ServerOptions};
use squall_tests::Place;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs three seconds of load on two generators, against a target that keeps what it is told.
fn run(place: &Place, rate: u32, events: &str) -> (Vec<Value>, Value) {
    let options =
        ServerOptions { delays: false, record: Some(place.path().join("told")), ..ServerOptions::default() };
    let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap();
    let plan = format!(
        "target: http://{}\nload: {{ rate: {rate}/s, duration: 3s }}\n\
         scenarios: {{ visitor: {{ steps: [ {{ get: '/healthz?secret=xyzzy', name: health }} ] }} }}\nevents: {events}\n",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert_eq!(server.counts().unrecorded, 0);
    (lines(&place.path().join("told")), place.result("out"))
}

/// The ids of a header `traceparent`, if it ends with this.
fn id<'a>(told: &'a Value, flags: &str) -> Option<&'a str> {
    let traceparent = told["headers"]["traceparent"].as_str().unwrap();
    let parts: Vec<&str> = traceparent.split('-').collect();
    assert_eq!(parts.len(), 4, "{traceparent}");
    (parts[3] == flags).then_some(parts[1])
}

#[test]
fn the_requests_that_are_kept_are_those_that_the_target_was_told_are() {
    let place = Place::new();
    let (told, result) = run(&place, 500, "{ one_in: 10, traceparent: true }");
    let events = lines(&place.path().join("out/events.jsonl"));
    let kept: BTreeSet<&str> = events.iter().map(|event| event["trace_id"].as_str().unwrap()).collect();
    let marked: BTreeSet<&str> = told.iter().filter_map(|told| id(told, "01")).collect();
    let others: BTreeSet<&str> = told.iter().filter_map(|told| id(told, "00")).collect();
    println!("{} requests, {} marked, {} kept", told.len(), marked.len(), kept.len());
    assert_eq!(kept, marked);
    assert_eq!((events.len(), told.len()), (kept.len(), marked.len() + others.len()));
    assert_eq!(result["totals"]["requests"], told.len());
    // One in ten, give or take four standard deviations.
    let deviation = (told.len() as f64 * 0.1 * 0.9).sqrt();
    assert!((kept.len() as f64 - told.len() as f64 / 10.0).abs() < 4.0 * deviation, "{}", kept.len());
    let expected = serde_json::json!({ "one_in": 10, "kept": kept.len(), "sampled": 0.1 });
    assert_eq!(result["events"], expected);
    assert!(events.is_sorted_by(|a, b| a["t_s"].as_f64() <= b["t_s"].as_f64()));
    for event in &events {
        assert_eq!((&event["name"], &event["scenario"]), (&"health".into(), &"visitor".into()));
        let s = |name: &str| event[name].as_f64().unwrap();
        assert!(s("scheduled_s") <= s("started_s") && s("started_s") <= s("t_s"), "{event}");
        assert!((s("response_time_ms") - (s("t_s") - s("scheduled_s")) * 1_000.0).abs() < 0.001, "{event}");
        assert_eq!((&event["outcome"], &event["remote"]), (&"200".into(), &"127.0.0.1".into()));
    }
    // Of what was sent names are told, and nothing else; the plan stands in the result as it was written.
    let mut told_of = result.clone();
    assert!(told_of["plan"].take()["text"].as_str().unwrap().contains("xyzzy"));
    assert!(!told_of.to_string().contains("xyzzy"));
    assert!(!fs::read_to_string(place.path().join("out/events.jsonl")).unwrap().contains("xyzzy"));
    // The slowest carry ids, too, kept or not.
    let slowest = result["endpoints"][0]["slowest"].as_array().unwrap();
    assert_eq!(slowest.len(), 10);
    let times: Vec<f64> = slowest.iter().map(|slow| slow["response_time_ms"].as_f64().unwrap()).collect();
    let longest_ms = result["endpoints"][0]["response_time_ms"]["max"].as_f64().unwrap();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    // That of the histogram is exact to three digits.
    assert!((times[0] / longest_ms - 1.0).abs() < 0.002, "{} {longest_ms}", times[0]);
    assert!(slowest.iter().all(|slow| {
        let id = slow["trace_id"].as_str().unwrap();
        kept.contains(id) || others.contains(id)
    }));
}

#[test]
fn every_request_can_be_kept() {
    let place = Place::new();
    let (told, result) = run(&place, 100, "{ one_in: 1 }");
    let events = lines(&place.path().join("out/events.jsonl"));
    assert_eq!((events.len(), result["totals"]["requests"].as_u64()), (told.len(), Some(told.len() as u64)));
    assert!(told.iter().all(|told| told["headers"].get("traceparent").is_none()));
    assert!(events.iter().all(|event| event["trace_id"].is_null()));
    assert_eq!(result["events"]["sampled"], 1.0);
}
