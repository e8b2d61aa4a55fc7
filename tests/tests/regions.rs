//! One load that is made in several regions of AWS.

#![expect(clippy::disallowed_methods, reason = "a real process is waited for by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use serde_json::Value;
use squall_target::Server;
use squall_tests::aws::{Aws, number};
use squall_tests::proxy::Deed;
use squall_tests::{Ran, target};

const REGIONS: [&str; 4] = ["--region", "eu-west-1=2", "--region", "us-east-1"];
const RUN: [&str; 8] = ["run", "plan.yaml", "--backend", "aws", "--generators", "3", "--progress", "lines"];

/// Sixty arrivals a second for so long.
fn plan(aws: &Aws, server: &Server, seconds: u32) {
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nload: {{ rate: 60/s, duration: {seconds}s, max_users: 30 }}\n\
             scenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n\
             thresholds: [ 'p95{{region=us-east-1}} < 5s', 'errors{{region=eu-west-1}} < 1%', errors < 1% ]\n",
            server.address()
        ),
    );
}

fn run(aws: &Aws, more: &[&str]) -> Ran {
    Ran::from(aws.spawn(&[&RUN[..], &REGIONS, &["--out", "out"], more].concat()).wait_with_output().unwrap())
}

/// What each region has told: its name, its requests, and what it was to make.
fn told(result: &Value) -> Vec<(String, u64, f64)> {
    let of = |region: &Value| {
        let name = region["region"].as_str().unwrap().to_owned();
        let planned = region["coverage"]["load"]["planned"].as_f64().unwrap();
        (name, number(region, "/totals/requests"), planned)
    };
    result["regions"].as_array().unwrap().iter().map(of).collect()
}

fn status(aws: &Aws) -> Value {
    let ran = aws.run(&["status", "--region", "us-east-1", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Waits until load has been made for so long, as seen from one of the regions, and returns the run.
fn wait_until_under_way(aws: &Aws, for_s: f64) -> String {
    let begin = Instant::now();
    loop {
        let told = status(aws);
        let all = told.as_array().cloned().unwrap_or_default();
        if all.len() == 2 && all.iter().all(|region| region["elapsed_s"].as_f64() > Some(for_s)) {
            return all[0]["run"].as_str().unwrap().to_owned();
        }
        assert!(begin.elapsed() < Duration::from_secs(90), "{told}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn load_is_made_in_each_region_by_its_weight_and_told_by_region_and_together() {
    let aws = Aws::start();
    aws.deploy_with(&REGIONS);
    let server = target(false);
    plan(&aws, &server, 10);
    let ran = run(&aws, &[]);
    let result = aws.place.result("out");
    assert_eq!(ran.code_but_for_saturation(&result), 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!((server.counts().total, number(&result, "/totals/requests")), (600, 600));
    assert_eq!(told(&result), [("eu-west-1".to_owned(), 400, 400.0), ("us-east-1".to_owned(), 200, 200.0)]);
    assert_eq!(result["run"]["regions"], serde_json::json!(["eu-west-1", "us-east-1"]));
    let thresholds = result["thresholds"].as_array().unwrap();
    assert!(thresholds.iter().all(|threshold| threshold["passed"] == true), "{}", result["thresholds"]);
    let made_in = |region: &str| {
        let all = result["generators"].as_array().unwrap().iter();
        all.filter(|generator| generator["region"] == region && !generator["slice"].is_null()).count()
    };
    assert_eq!((made_in("eu-west-1"), made_in("us-east-1")), (2, 1));
    let queued_ms = result["generators"].as_array().unwrap().iter().map(|own| own["queued_ms"].as_f64());
    assert!(queued_ms.into_iter().all(|ms| ms.is_some_and(|ms| ms < 60_000.0)), "{}", result["generators"]);
    // What is deployed in several regions is removed from them.
    let ran = aws.run(&["destroy", "--region", "eu-west-1", "--region", "us-east-1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().filter(|line| line.ends_with("is removed")).count(), 2, "{}", ran.stdout);
}

#[test]
fn a_region_that_is_gone_does_not_stop_the_others() {
    let aws = Aws::behind_a_proxy();
    aws.deploy_with(&REGIONS);
    let server = target(false);
    plan(&aws, &server, 30);
    let child = aws.spawn(&[&RUN[..], &REGIONS, &["--out", "out"]].concat());
    wait_until_under_way(&aws, 6.0);
    aws.proxy().set(|seen| if seen.region == "us-east-1" { Deed::Answer(503) } else { Deed::Pass });
    let ran = Ran::from(child.wait_with_output().unwrap());
    let result = aws.place.result("out");
    let (received, reported) = (server.counts().total, number(&result, "/totals/requests"));
    let bound = number(&result, "/coverage/unknown_requests");
    println!("one region gone: received {received}, reported {reported}, bound {bound}, exit {}", ran.code);
    assert_eq!(ran.code, 98, "{}\n{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let [(_, whole, planned), (_, part, _)] = &told(&result)[..] else { panic!("{}", result["regions"]) };
    assert_eq!((*whole, *planned), (1_200, 1_200.0), "{}", result["coverage"]);
    assert!((60..600).contains(part), "{part}");
    assert!(received >= reported && received - reported <= bound, "{received} {reported} {bound}");
    let missing = result["coverage"]["missing"].to_string();
    assert!(missing.contains("us-east-1: lost the fleet"), "{missing}");
}

#[test]
fn a_run_in_several_regions_is_taken_over_and_stopped_in_all_of_them() {
    let aws = Aws::start();
    aws.deploy_with(&REGIONS);
    let server = target(false);
    plan(&aws, &server, 40);
    let mut child = aws.spawn(&[&RUN[..], &REGIONS].concat());
    let run = wait_until_under_way(&aws, 3.0);
    child.kill().unwrap();
    child.wait().unwrap();
    let successor =
        aws.spawn(&["attach", &run, "--region", "us-east-1", "--out", "out", "--progress", "lines"]);
    wait_until_under_way(&aws, 12.0);
    let stop = aws.run(&["stop", &run, "--region", "us-east-1"]);
    assert_eq!(stop.code, 0, "{}", stop.stderr);
    assert!(stop.stdout.contains("3 of 3 generators"), "{}", stop.stdout);
    let received = server.counts().total;
    let ran = Ran::from(successor.wait_with_output().unwrap());
    assert_eq!(ran.code, 105, "{}\n{}", ran.stdout, ran.stderr);
    let result = aws.place.result("out");
    let reported = number(&result, "/totals/requests");
    println!("stopped in both: received {received}, reported {reported}, exit {}", ran.code);
    assert_eq!(server.counts().total, received, "load went on when it was stopped");
    // What a stop interrupts may have been on its way to the target.
    let unfinished = result["outcomes"]["unfinished"].as_u64().unwrap_or(0);
    assert!((received..=received + unfinished).contains(&reported), "{}", result["coverage"]);
    assert_eq!(told(&result).len(), 2);
    assert_eq!(aws.run(&["status", "--region", "eu-west-1"]).stdout, "no run is under way\n");
}

#[test]
fn regions_that_are_wrong_are_refused() {
    let aws = Aws::start();
    let server = target(false);
    plan(&aws, &server, 10);
    let refuse = |arguments: &[&str], words: &str| {
        let ran = aws.run(&[&RUN[..], arguments].concat());
        assert_eq!(ran.code, 104, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    };
    refuse(&["--region", "eu-west-1", "--region", "eu-west-1"], "region eu-west-1 is named twice");
    aws.deploy_with(&["--region", "eu-west-1"]);
    refuse(&REGIONS, "there is no stack `squall` in us-east-1");
    aws.deploy_with(&["--region", "us-east-1", "--memory", "512"]);
    refuse(&REGIONS, "generators in us-east-1 are not like those in eu-west-1");
}
