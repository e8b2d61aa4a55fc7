//! What stands in the result of a run beside its numbers, with the real command: thresholds, annotations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the target fails by the wall's clock")]

use std::time::{Duration, SystemTime};

use serde_json::Value;
use squall_tests::{Place, target};

/// From so long after now on the target fails.
const GOOD_FOR: Duration = Duration::from_secs(21);

/// Runs a load against a target that starts to fail; the exit code, the result, and when it failed, in seconds since the epoch.
fn run(rate: u32, thresholds: &str) -> (i32, Value, f64) {
    let (place, server) = (Place::new(), target(false));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let fails_from = now + GOOD_FOR;
    let plan = format!(
        "target: http://{}\nload: {{ rate: {rate}/s, duration: 40s }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: /_fault/status/503/from/{}, name: a }} ] }} }}\n\
         thresholds: [ {thresholds} ]\n",
        server.address(),
        fails_from.as_millis()
    );
    place.write("plan.yaml", &plan);
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    let result = place.result("out");
    let points = result["timeline"]["points"].as_array().unwrap();
    let failed = points.iter().find(|point| point["outcomes"].get("503").is_some()).unwrap();
    let failed_at_s = failed["t_s"].as_f64().unwrap();
    println!("{}", ran.stdout);
    (ran.code, result, failed_at_s)
}

#[test]
fn a_target_that_starts_to_fail_ends_the_run_and_without_enough_data_it_does_not() {
    let abort = "{ check: \"status(5xx) < 5%\", over: 10s, abort: true }";
    std::thread::scope(|scope| {
        let enough = scope.spawn(|| run(50, abort));
        // 50 requests in 10 s, and 100 are needed to say anything of 5 %.
        let few = scope.spawn(|| run(5, abort));
        let (code, result, failed_at_s) = enough.join().unwrap();
        assert_eq!(code, 106, "{}", result["verdict"]);
        let threshold = &result["thresholds"][0];
        assert_eq!(threshold["passed"], false);
        let first_s = threshold["first_failed_at_s"].as_f64().unwrap();
        let last_s =
            result["timeline"]["points"].as_array().unwrap().last().unwrap()["t_s"].as_f64().unwrap();
        println!("failed at {failed_at_s:.1} s, seen at {first_s} s, load until {last_s} s");
        assert!((failed_at_s..=failed_at_s + 12.0).contains(&first_s) && last_s <= failed_at_s + 12.0);
        let (code, result, _) = few.join().unwrap();
        assert_eq!(code, 99, "{}", result["verdict"]);
        assert_eq!(result["thresholds"][0]["value"], Value::Null);
        assert_eq!(result["verdict"]["reasons"][0], "1 of 1 threshold failed");
    });
}

#[test]
fn what_happens_beside_a_test_stands_on_its_time_axis() {
    let (place, server) = (Place::new(), target(false));
    let plan = format!(
        "target: http://{}\nload: {{ rate: 10/s, duration: 4s }}\nscenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let mut running = place.start(&["run", "plan.yaml", "--out", "out"]);
    while server.counts().total < 10 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(place.run(&["annotate", "out", "deployed", "v2"]).code, 0);
    assert!(running.wait().unwrap().success());
    assert_eq!(place.run(&["annotate", "out", "and later"]).code, 0);
    assert_eq!(place.run(&["annotate", "nowhere", "x"]).code, 104);
    let annotations = place.result("out")["annotations"].clone();
    assert_eq!(
        (&annotations[0]["text"], &annotations[1]["text"]),
        (&"deployed v2".into(), &"and later".into())
    );
    let at_s = annotations[0]["t_s"].as_f64().unwrap();
    assert!((0.5..4.0).contains(&at_s) && annotations[1]["t_s"].as_f64() > Some(3.9), "{annotations}");
    assert!(place.run(&["report", "out"]).stdout.contains(": deployed v2"));
}

#[test]
fn a_threshold_that_fails_fails_the_run_and_one_that_holds_does_not() {
    let (place, server) = (Place::new(), target(false));
    let plan = format!(
        "target: http://{}\nload: {{ rate: 100/s, duration: 3s }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: /_fault/delay/50, name: slow }}, {{ get: /healthz }} ] }} }}\n\
         thresholds:\n  - 'p95{{name=slow}} < 1s'\n  - 'p50{{name=slow}} < LIMIT'\n  - errors == 0\n  - rps > 100\n",
        server.address()
    );
    for (limit, code) in [("800ms", 0), ("20ms", 99)] {
        place.write("plan.yaml", &plan.replace("LIMIT", limit));
        let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
        assert_eq!(ran.code, code, "{}", ran.stdout);
        let result = place.result("out");
        let passed: Vec<_> =
            result["thresholds"].as_array().unwrap().iter().map(|one| one["passed"] == true).collect();
        assert_eq!(passed, [true, code == 0, true, true], "{}", ran.stdout);
        let value = result["thresholds"][1]["value"].as_f64().unwrap();
        assert!((50.0..400.0).contains(&value), "{value}");
    }
}
