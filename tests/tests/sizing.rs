//! How large a fleet has to be and what it costs, as the command says it; and what a plan's requests take, as it measures it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::thread;

use serde_json::Value;
use squall_tests::{Place, Ran, target};

const PLAN: &str = "name: shop\ntarget: http://127.0.0.1:1\nload: { rate: 100/s, duration: 1m, max_users: 500 }\n\
                    scenarios: { a: { steps: [ { get: /healthz }, { get: '/api/v1/catalog/products?limit=3' } ] } }\n";

fn check_wrong(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 104, "{}\n{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` in {}", ran.stderr);
    }
}

/// Calibrates a plan. What else runs on this machine may be in the way of one attempt, and is not in the way of all.
fn calibrate(place: &Place, url: &str) -> (Value, u64) {
    let mut attempt = 1;
    loop {
        let ran = place.run(&["doctor", "--calibrate", "plan.yaml", "--target", url, "--output", "json"]);
        if ran.code == 0 {
            return (serde_json::from_str(&ran.stdout).unwrap(), attempt);
        }
        check_wrong(&ran, &["is no calibration", "bottleneck"]);
        assert!(attempt < 5, "{}", ran.stderr);
        attempt += 1;
    }
}

#[test]
fn a_plan_that_was_calibrated_is_sized_by_what_was_measured() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", PLAN);
    // What is calibrated is known by the plan's name, whatever its load is.
    place.write("large.yaml", &PLAN.replace("rate: 100/s", "rate: 40000/s"));
    let before = place.run(&["plan", "large.yaml", "--backend", "aws"]).stdout;
    assert!(before.contains("27: 80,000 requests/s at 3,000 each"), "{before}");
    let url = format!("http://{}", server.address());
    let (found, attempts) = calibrate(&place, &url);
    let number = |key: &str| found[key].as_f64().unwrap();
    // 100 arrivals a second for 10 s, of two requests each.
    assert_eq!((number("requests"), number("requests_per_iteration")), (2_000.0, 2.0), "{found}");
    assert_eq!(server.counts().total, 2_000 * attempts);
    let cpu_us = number("cpu_us_per_request");
    println!("{cpu_us} us of a processor a request, attempt {attempts}");
    assert!((1.0..5_000.0).contains(&cpu_us), "{found}");
    assert!(
        number("bytes_sent_per_request") > 50.0 && number("bytes_received_per_request") > 50.0,
        "{found}"
    );
    assert!(number("response_ms") > 0.0 && found["memory_mb"].is_null(), "{found}");

    let after = place.run(&["plan", "large.yaml", "--output", "json"]);
    let after: Value = serde_json::from_str(&after.stdout).unwrap();
    let needed = &after["generators_needed"];
    assert_eq!(needed["calibration"], found);
    // 60 % of a processor of Lambda, which is taken to be half as fast as this one.
    let expected = (80_000.0 / (0.6 * 1e6 / (2.0 * cpu_us))).ceil();
    assert_eq!(needed["number"].as_f64(), Some(expected), "{needed}");
    let page = place.run(&["plan", "plan.yaml"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("calibrated on this machine on 20"), "{page}");
    let ran = place.run(&["run", "plan.yaml", "--target", &url, "--users", "1", "--duration", "1s"]);
    assert!(ran.stderr.contains("calibrated on this machine on 20"), "{}", ran.stderr);
}

#[test]
fn a_run_that_says_nothing_of_a_plan_is_no_calibration() {
    let (slow, nobody, server) = (Place::new(), Place::new(), target(false));
    slow.write("plan.yaml", &PLAN.replace("rate: 100/s", "rate: 2/s"));
    nobody.write("plan.yaml", PLAN);
    let url = format!("http://{}", server.address());
    thread::scope(|scope| {
        scope.spawn(|| {
            let ran = slow.run(&["doctor", "--calibrate", "plan.yaml", "--target", &url]);
            check_wrong(&ran, &["it made 40 requests, and 100 are needed", "hint: "]);
        });
        scope.spawn(|| {
            let ran = nobody.run(&["doctor", "--calibrate", "plan.yaml"]);
            check_wrong(&ran, &["100 % of its requests failed"]);
        });
    });
    for place in [&slow, &nobody] {
        assert!(!place.path().join(".squall/calibration.json").exists());
    }
}

#[test]
fn a_damaged_calibration_is_told_and_not_passed_over() {
    let place = Place::new();
    place.write("plan.yaml", PLAN);
    fs::create_dir(place.path().join(".squall")).unwrap();
    for text in ["", "{\"version\":1,\"plans\":{\"shop\":", "{\"version\":7}", "\u{0}\u{1}"] {
        place.write(".squall/calibration.json", text);
        for arguments in [
            &["plan", "plan.yaml"][..],
            &["run", "plan.yaml", "--out", "out"],
            &["doctor", "--calibrate", "plan.yaml"],
        ] {
            check_wrong(&place.run(arguments), &["cannot read `.squall/calibration.json`", "remove it"]);
        }
    }
    assert!(!place.path().join("out").exists(), "nothing was begun");
}

#[test]
fn what_is_for_a_fleet_on_aws_is_refused_without_one() {
    let place = Place::new();
    place.write("plan.yaml", PLAN);
    check_wrong(
        &place.run(&["run", "plan.yaml", "--max-cost", "1"]),
        &["--max-cost is for a fleet on AWS: a local run costs nothing", "add --backend aws"],
    );
    check_wrong(&place.run(&["plan", "plan.yaml", "--stack", "load"]), &["add --backend aws"]);
    check_wrong(
        &place.run(&["doctor", "--calibrate", "plan.yaml", "--region", "eu-west-1"]),
        &["add --backend aws"],
    );
}
