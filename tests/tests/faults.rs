//! Bad input and faults: each ends with a message and an exit code, and nothing is lost in silence.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use squall_tests::{Place, Ran, target};

fn plan(target: &str, load: &str, steps: &str) -> String {
    format!(
        "target: {target}\nhttp: {{ timeout: 1s }}\nload: {load}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}\n"
    )
}

/// Runs two users for a second against a path that misbehaves.
fn against(path: &str) -> (Ran, Value, u64) {
    let (place, server) = (Place::new(), target(false));
    let steps = format!("{{ get: {path} }}, {{ think: 100ms }}");
    let load = "{ users: 2, duration: 1s, graceful_stop: 3s }";
    place.write("plan.yaml", &plan(&format!("http://{}", server.address()), load, &steps));
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    let result = place.result("out");
    (ran, result, server.counts().total)
}

#[test]
fn every_fault_of_the_target_is_an_outcome() {
    let check = |path: &str, outcome: &str, code: i32| {
        let (ran, result, received) = against(path);
        let requests = result["totals"]["requests"].as_u64().unwrap();
        assert_eq!(result["outcomes"][outcome].as_u64(), Some(requests), "{path}: {}", result["outcomes"]);
        assert!(requests > 0 && received == requests, "{path}: {received} received, {requests} reported");
        assert_eq!(ran.code, code, "{path}: {}", ran.stdout);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    };
    check("/_fault/status/503", "503", 99);
    check("/_fault/status/429", "429", 99);
    check("/_fault/status/302", "302", 0);
    check("/_fault/reset", "reset", 99);
    check("/_fault/reset-mid-body", "reset", 99);
    check("/_fault/hang", "timeout", 99);
    check("/_fault/delay/20", "200", 0);
    check("/nowhere", "404", 99);
}

#[test]
fn timeouts_count_at_their_elapsed_time() {
    let (_, result, _) = against("/_fault/hang");
    let p50 = result["endpoints"][0]["response_time_ms"]["p50"].as_f64().unwrap();
    assert!((999.0..1_200.0).contains(&p50), "{p50}");
}

#[test]
fn a_target_that_refuses_is_an_outcome_and_every_request_failing_is_no_pass() {
    let place = Place::new();
    // Port 1 is closed on any machine that runs tests.
    place.write("plan.yaml", &plan("http://127.0.0.1:1", "{ rate: 20/s, duration: 1s }", "{ get: / }"));
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    assert_eq!(ran.code, 99, "{}", ran.stdout);
    assert_eq!(place.result("out")["outcomes"], serde_json::json!({ "refused": 20 }));
    assert!(ran.stdout.contains("every request failed"), "{}", ran.stdout);
}

#[test]
fn a_name_that_nobody_has_is_an_outcome() {
    let place = Place::new();
    place.write("plan.yaml", &plan("http://nobody.invalid", "{ rate: 5/s, duration: 1s }", "{ get: / }"));
    let ran = place.run(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    assert_eq!((ran.code, &place.result("out")["outcomes"]), (99, &serde_json::json!({ "dns": 5 })));
}

#[test]
fn speaking_tls_to_one_who_does_not_is_an_outcome() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("https://{}", server.address());
    place.write("plan.yaml", &plan(&address, "{ rate: 5/s, duration: 1s }", "{ get: / }"));
    let ran = place.run(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    assert_eq!((ran.code, &place.result("out")["outcomes"]), (99, &serde_json::json!({ "tls": 5 })));
}

#[test]
fn failures_follow_the_plan() {
    let (place, server) = (Place::new(), target(false));
    let steps = "{ get: /_fault/status/500, on_failure: continue }, { get: /healthz, expect: { status: 201 } }, { get: /never }";
    let address = format!("http://{}", server.address());
    place.write("plan.yaml", &plan(&address, "{ rate: 10/s, duration: 1s }", steps));
    let ran = place.run(&["run", "plan.yaml", "--out", "out"]);
    let result = place.result("out");
    assert_eq!(result["outcomes"], serde_json::json!({ "500": 10, "expectation": 10 }), "{}", ran.stdout);
    assert_eq!(result["totals"]["checks"], serde_json::json!({ "passed": 0, "failed": 10 }));
    assert_eq!(result["totals"]["iterations_ended"]["failed"], 10);
}

#[test]
fn an_expression_without_a_value_is_an_outcome_with_its_name() {
    let (place, server) = (Place::new(), target(false));
    let steps = "{ get: /healthz, capture: { a: $.status, b: $.missing } }, { get: '/{{ b }}' }";
    let next = "{ get: '/{{ [1] | first | attr(2) }}' }";
    let address = format!("http://{}", server.address());
    place.write("plan.yaml", &plan(&address, "{ rate: 5/s, duration: 1s }", steps));
    place.write("next.yaml", &plan(&address, "{ rate: 5/s, duration: 1s }", next));
    assert_eq!(place.run(&["run", "plan.yaml", "--out", "out"]).code, 99);
    assert_eq!(place.result("out")["outcomes"], serde_json::json!({ "expectation": 5 }));
    let ran = place.run(&["run", "next.yaml", "--out", "next"]);
    assert_eq!(place.result("next")["outcomes"], serde_json::json!({ "expression": 5 }), "{}", ran.stdout);
    assert!(ran.stdout.contains("Problems"), "{}", ran.stdout);
    assert_eq!(server.counts().total, 5, "what cannot be built is not sent");
}

#[test]
fn cookies_come_back_and_belong_to_one_user() {
    let (place, server) = (Place::new(), target(false));
    let steps = "{ get: /_fault/cookie }, { get: /_fault/cookie/check }";
    let address = format!("http://{}", server.address());
    place.write(
        "plan.yaml",
        &plan(&address, "{ users: 3, duration: 1s }", &format!("{steps}, {{ think: 50ms }}")),
    );
    assert_eq!(place.run(&["run", "plan.yaml", "--out", "out"]).code, 0);
    assert!(place.result("out")["outcomes"]["400"].is_null());
}

#[test]
fn too_few_users_drop_arrivals_and_the_run_is_not_valid() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    let load = "{ rate: 50/s, duration: 2s, max_users: 2 }";
    place.write("plan.yaml", &plan(&address, load, "{ get: /_fault/delay/400 }"));
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    let result = place.result("out");
    let load = &result["coverage"]["load"];
    assert_eq!(ran.code, 98, "{}", ran.stdout);
    let sum = load["started"].as_f64().unwrap() + load["dropped"].as_f64().unwrap();
    assert!((sum - 100.0).abs() < 0.5, "{load}");
    assert_eq!(result["totals"]["iterations"].as_f64(), load["started"].as_f64());
    assert!(ran.stdout.contains("dropped"), "{}", ran.stdout);
}

#[test]
fn more_than_a_generator_can_do_is_no_measurement() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    let load = "{ rate: 400000/s, duration: 3s, max_users: 400, graceful_stop: 2s }";
    place.write("plan.yaml", &plan(&address, load, "{ get: /healthz }"));
    let ran = place.run(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    let result = place.result("out");
    let (load, totals) = (&result["coverage"]["load"], &result["totals"]);
    assert_eq!(ran.code, 98, "{}", ran.stdout);
    let [planned, started, dropped, unknown] =
        ["planned", "started", "dropped", "unknown"].map(|key| load[key].as_f64().unwrap());
    assert!(
        (planned - 1_200_000.0).abs() < 0.5 && (started + dropped + unknown - planned).abs() < 0.5,
        "{load}"
    );
    assert!(dropped + unknown > 100_000.0, "{load}");
    assert!(totals["tainted_ratio"].as_f64().unwrap() > 0.05, "{totals}");
    assert!(
        result["generators"][0]["tainted_by"]["send_lag"].as_u64().unwrap() > 0,
        "{}",
        result["generators"]
    );
    assert!(ran.stdout.contains("generators were the bottleneck"), "{}", ran.stdout);
}

#[test]
fn more_users_than_open_files_are_refused_before_any_load() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    place.write("plan.yaml", &plan(&address, "{ users: 300, duration: 1s }", "{ get: /healthz }"));
    let script = "ulimit -n 256; exec \"$0\" run plan.yaml --generators 1 --out out";
    let squall = place.command(&[]).get_program().to_owned();
    let output =
        Command::new("bash").args(["-c", script]).arg(squall).current_dir(place.path()).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!((ran.code, server.counts().total), (104, 0), "{}", ran.stderr);
    assert!(ran.stderr.contains("300 connections") && ran.stderr.contains("ulimit -n"), "{}", ran.stderr);
}

#[test]
fn an_abort_of_the_plan_ends_the_run() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    let load = "{ users: 4, duration: 1m }";
    place.write("plan.yaml", &plan(&address, load, "{ get: /_fault/status/500, on_failure: abort }"));
    let begin = Instant::now();
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    assert_eq!(ran.code, 106, "{}", ran.stdout);
    assert!(ran.stdout.contains("`GET /_fault/status/500` failed with 500"), "{}", ran.stdout);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// Sends a signal to a process by its id.
fn signal(child: &std::process::Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Starts a long run of slow requests, and waits until the target has seen some.
fn long_run(place: &Place, server: &squall_target::Server) -> std::process::Child {
    let address = format!("http://{}", server.address());
    place.write("plan.yaml", &plan(&address, "{ users: 6, duration: 5m }", "{ get: /_fault/delay/300 }"));
    let child = place.start(&["run", "plan.yaml", "--generators", "3", "--out", "out"]);
    let begin = Instant::now();
    while server.counts().total < 30 {
        assert!(begin.elapsed() < Duration::from_mins(1), "the load never began");
        std::thread::yield_now();
    }
    child
}

#[test]
fn an_interruption_keeps_what_was_measured() {
    for name in ["-INT", "-TERM"] {
        let (place, server) = (Place::new(), target(false));
        let mut child = long_run(&place, &server);
        signal(&child, name);
        let begin = Instant::now();
        let code = child.wait().unwrap().code();
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(code, Some(105));
        let result = place.result("out");
        assert_eq!(result["verdict"]["outcome"], "interrupted");
        let reported = result["totals"]["requests"].as_u64().unwrap();
        assert_eq!(reported, server.counts().total, "unfinished requests are reported, too");
        assert!(result["outcomes"]["unfinished"].as_u64().unwrap() > 0, "{}", result["outcomes"]);
    }
}

#[test]
fn a_second_interruption_leaves_at_once() {
    let (place, server) = (Place::new(), target(false));
    let mut child = long_run(&place, &server);
    signal(&child, "-INT");
    let mut seen = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut buffer = [0; 256];
    while !seen.contains("once more") {
        let length = stderr.read(&mut buffer).unwrap();
        assert!(length > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(105));
}

#[test]
fn a_place_that_cannot_be_written_to_is_named_before_any_load() {
    let (place, server) = (Place::new(), target(false));
    place.write(
        "plan.yaml",
        &plan(&format!("http://{}", server.address()), "{ users: 1, duration: 1s }", "{ get: / }"),
    );
    place.write("file", "no folder");
    let ran = place.run(&["run", "plan.yaml", "--out", "file/out"]);
    assert_eq!((ran.code, server.counts().total), (1, 0));
    assert!(ran.stderr.contains("file/out") && ran.stderr.contains("--out"), "{}", ran.stderr);
}

#[test]
fn a_full_disk_ends_the_run_with_a_message() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    let steps = "{ get: '/_fault/delay/{{ random_int(1, 900) }}', name: GET /delay }";
    place.write("plan.yaml", &plan(&address, "{ users: 300, duration: 1m }", steps));
    // A limit on the size of files stands in for a full disk: snapshots that grow beyond it fail as they would.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" run plan.yaml --generators 1 --out out";
    let squall = place.command(&[]).get_program().to_owned();
    let begin = Instant::now();
    let output =
        Command::new("bash").args(["-c", script]).arg(squall).current_dir(place.path()).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, 1, "{}\n{}", ran.stdout, ran.stderr);
    assert!(begin.elapsed() < Duration::from_secs(30), "it ends at once, not with the load: {}", ran.stderr);
    assert!(ran.stderr.contains("cannot write") && ran.stderr.contains("snapshots"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn what_is_no_plan_is_refused_before_anything_is_sent() {
    let place = Place::new();
    let check = |arguments: &[&str], expected: &str| {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 104, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    };
    fs::write(place.path().join("latin1.yaml"), b"name: caf\xe9\n").unwrap();
    place.write("broken.yaml", "target: x\nlod: 1\n");
    check(&["run", "missing.yaml"], "cannot read plan `missing.yaml`");
    check(&["run", "latin1.yaml"], "not UTF-8");
    check(&["run", "broken.yaml"], "did you mean `load`?");
    check(&["validate", "broken.yaml"], "plan has 4 problems");
    check(&["run", "broken.yaml", "--duration", "5s"], "add --users N or --rate R");
    check(&["run"], "Usage");
    check(&["report"], "squall demo");
    check(&["report", "nothing"], "cannot read result");
}
