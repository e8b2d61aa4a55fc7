//! Coordinated omission, on real sockets: a server that is frozen for 1 s in every 10 s makes one request in ten wait,
//! evenly up to 1 s. Whoever comes on schedule sees it; whoever waits for an answer before asking again does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;

use serde_json::Value;
use squall_tests::{Place, Ran, target};

/// Two whole cycles.
const LASTS: &str = "20s";

/// What is expected of p95, p99 and p99.9, in milliseconds, beside what the answer itself takes.
const EXPECTED: [(&str, f64); 3] = [("p95", 500.0), ("p99", 900.0), ("p999", 990.0)];

/// Runs a load against the frozen server; its first endpoint, the result and what was printed.
fn run(load: &str, generators: u32) -> (Value, Value, Ran) {
    let (place, server) = (Place::new(), target(false));
    let plan = format!(
        "target: http://{}\nload: {{ {load}, duration: {LASTS} }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: /_fault/freeze/1000/10000 }} ] }} }}\n",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let ran = place.run(&["run", "plan.yaml", "--generators", &generators.to_string(), "--out", "out"]);
    let result = place.result("out");
    let received = server.counts().total;
    assert_eq!(result["totals"]["requests"].as_u64(), Some(received), "{load}: {}", ran.stdout);
    (result["endpoints"][0].clone(), result, ran)
}

fn times(endpoint: &Value, of: &str) -> [f64; 3] {
    EXPECTED.map(|(key, _)| endpoint[of][key].as_f64().unwrap())
}

/// What an answer may take by itself, in milliseconds, on a machine that has five such loads to make.
const ANSWER_MS: f64 = 6.0;

/// Whether percentiles are those of the freeze: within 2 %, and what more is allowed.
fn check(name: &str, found: [f64; 3], more_ms: f64) {
    println!("{name:<34} p95 {:.0} ms, p99 {:.0} ms, p99.9 {:.0} ms", found[0], found[1], found[2]);
    for (found, (key, expected)) in found.into_iter().zip(EXPECTED) {
        let range = expected * 0.98..=expected * 1.02 + more_ms;
        assert!(range.contains(&found), "{name}: {key} is {found} ms, not {expected} ms");
    }
}

#[test]
fn a_frozen_server_is_measured_as_its_users_see_it() {
    println!();
    // They wait most of the time, so they can do so at once.
    thread::scope(|scope| {
        let run = |load: &'static str, generators| scope.spawn(move || run(load, generators));
        let ample = [
            ("ample users, 1 slice", run("rate: 100/s, max_users: 2000", 1)),
            ("ample users, 8 slices", run("rate: 100/s, max_users: 2000", 8)),
        ];
        let queued = run("rate: 100/s, max_users: 10, when_full: queue", 1);
        let dropping = run("rate: 100/s, max_users: 10", 1);
        let closed = run("users: 10", 1);
        for (name, ample) in ample {
            let (endpoint, result, _) = ample.join().unwrap();
            assert_eq!(endpoint["requests"], 2_000, "{}", result["verdict"]);
            check(&format!("{name}: response"), times(&endpoint, "response_time_ms"), ANSWER_MS);
            check(&format!("{name}: service"), times(&endpoint, "service_time_ms"), ANSWER_MS);
        }
        let (endpoint, _, _) = queued.join().unwrap();
        assert_eq!(endpoint["requests"], 2_000);
        // Ten users need some time to work off what has queued.
        check("few users, queue: response", times(&endpoint, "response_time_ms"), 60.0);
        let [p95, p99, _] = times(&endpoint, "service_time_ms");
        println!("{:<34} p95 {p95:.1} ms, p99 {p99:.0} ms", "few users, queue: service");
        assert!(p95 < 50.0, "most of those that waited for a user were then answered at once: {p95}");
        let (endpoint, result, ran) = dropping.join().unwrap();
        let dropped = result["coverage"]["load"]["dropped"].as_f64().unwrap();
        let p99 = endpoint["response_time_ms"]["p99"].as_f64().unwrap();
        println!("{:<34} dropped {dropped}, p99 ≥ {p99:.0} ms, exit code {}", "few users, drop", ran.code);
        // Of the hundred arrivals of each freeze, ten find a user.
        assert!((150.0..=200.0).contains(&dropped), "{dropped}");
        assert!(ran.stdout.contains('≥') && ran.code == 98, "{}", ran.stdout);
        let (endpoint, _, _) = closed.join().unwrap();
        let [p95, p99, _] = times(&endpoint, "response_time_ms");
        println!("{:<34} p95 {p95:.1} ms, p99 {p99:.1} ms", "closed model, 10 users");
        assert!(p99 < 100.0, "the closed model does not see it: {p99}");
    });
}
