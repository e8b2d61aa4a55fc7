//! A run on AWS outlives the command that began it: looked at, taken over, left alone.

#![expect(clippy::disallowed_methods, reason = "a real process is waited for by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use squall_target::Server;
use squall_tests::aws::{Aws, number};
use squall_tests::{Ran, target};

const RUN: [&str; 8] = ["run", "plan.yaml", "--backend", "aws", "--generators", "3", "--progress", "lines"];

/// Forty arrivals a second for so long.
fn plan(aws: &Aws, server: &Server, seconds: u32) {
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nload: {{ rate: 40/s, duration: {seconds}s, max_users: 30 }}\n\
             scenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n",
            server.address()
        ),
    );
}

fn status(aws: &Aws) -> Value {
    let ran = aws.run(&["status", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Waits until the run that is under way is as it should be, and returns it.
fn wait_until(aws: &Aws, what: impl Fn(&Value) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let told = status(aws);
        if what(&told) {
            return told["run"].as_str().unwrap().to_owned();
        }
        assert!(begin.elapsed() < Duration::from_secs(90), "{told}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn attach(aws: &Aws, run: &str) -> (Ran, Value) {
    let _ = std::fs::remove_dir_all(aws.place.path().join("out"));
    let ran = aws.run(&["attach", run, "--stack", "squall", "--out", "out", "--progress", "lines"]);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let result = aws.place.result("out");
    (ran, result)
}

/// Whether load began more than so many seconds ago.
fn is_under_way(told: &Value, for_s: f64) -> bool {
    told["elapsed_s"].as_f64().is_some_and(|elapsed_s| elapsed_s > for_s)
}

/// A run whose orchestrator dies when the moment has come, and gets another one.
fn dies(moment: &str, has_come: impl Fn(&Value) -> bool) {
    dies_after(moment, |aws, _| wait_until(aws, has_come));
}

fn dies_after(moment: &str, wait: impl FnOnce(&Aws, &Child) -> String) {
    let aws = Aws::start();
    aws.deploy();
    let server = target(false);
    plan(&aws, &server, 12);
    let child = aws.spawn(&RUN);
    let run = wait(&aws, &child);
    kill(child);
    let (ran, result) = attach(&aws, &run);
    assert_eq!(ran.code_but_for_saturation(&result), 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(result["run"]["id"], run.as_str());
    let (received, reported) = (server.counts().total, number(&result, "/totals/requests"));
    println!("{moment}: received {received}, reported {reported}, exit code {}", ran.code);
    assert_eq!((received, reported), (480, 480), "{}", result["coverage"]);
    assert_eq!(number(&result, "/coverage/unknown_requests"), 0);
    assert_eq!(status(&aws), Value::Null, "nothing is under way");
}

#[test]
fn an_orchestrator_that_dies_while_it_invites_is_succeeded() {
    dies("invite", |told| told["state"] == "waiting");
}

#[test]
fn an_orchestrator_that_dies_before_the_epoch_is_succeeded() {
    dies("ramp", |told| told["state"] == "running");
}

#[test]
fn an_orchestrator_that_dies_while_load_is_made_is_succeeded() {
    dies("run", |told| is_under_way(told, 5.0));
}

#[test]
fn an_orchestrator_that_dies_while_it_merges_is_succeeded() {
    dies_after("merge", |aws, child| {
        wait_until(aws, |told| is_under_way(told, 10.0));
        // It stands still while the last snapshots come, and does not wake up again.
        let stopped = Command::new("kill").args(["-STOP", &child.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        wait_until(aws, |told| told["generators"]["ended"] == 3)
    });
}

#[test]
fn of_two_orchestrators_one_decides_and_both_report_the_same() {
    let aws = Aws::start();
    aws.deploy();
    let server = target(false);
    plan(&aws, &server, 12);
    let first = aws.spawn(&[&RUN[..], &["--out", "first"]].concat());
    let run = wait_until(&aws, |told| is_under_way(told, 3.0));
    let (second, result) = attach(&aws, &run);
    let first = Ran::from(first.wait_with_output().unwrap());
    let theirs = aws.place.result("first");
    let codes = (first.code_but_for_saturation(&theirs), second.code_but_for_saturation(&result));
    assert_eq!(codes, (0, 0), "{}\n{}", first.stderr, second.stderr);
    for result in [&result, &theirs] {
        assert_eq!((server.counts().total, number(result, "/totals/requests")), (480, 480), "{result}");
    }
    assert!(theirs["problems"].to_string().contains("another orchestrator has taken over"), "{theirs}");
}

#[test]
fn a_detached_run_is_added_up_by_whoever_attaches() {
    let aws = Aws::start();
    aws.deploy();
    let server = target(false);
    plan(&aws, &server, 12);
    let begin = Instant::now();
    let ran = aws.run(&[&RUN[..], &["--detach"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(begin.elapsed() < Duration::from_mins(1) && server.counts().total < 480, "{}", ran.stderr);
    let run = wait_until(&aws, |told| told["state"] == "running");
    assert!(ran.stderr.contains(&format!("squall attach {run}")), "{}", ran.stderr);
    // While it is under way nobody else gets the fleet.
    let other = aws.run(&RUN);
    assert_eq!(other.code, 104, "{}", other.stderr);
    wait_until(&aws, |told| is_under_way(told, 13.0));
    let (attached, result) = attach(&aws, &run);
    assert_eq!(attached.code_but_for_saturation(&result), 0, "{}\n{}", attached.stdout, attached.stderr);
    assert_eq!((server.counts().total, number(&result, "/totals/requests")), (480, 480));
}

#[test]
fn what_cannot_be_detached_or_taken_over_is_refused_with_why() {
    let aws = Aws::start();
    aws.deploy();
    let server = target(false);
    plan(&aws, &server, 12);
    let local = aws.run(&["run", "plan.yaml", "--detach"]);
    assert_eq!(local.code, 104, "{}", local.stderr);
    assert!(local.stderr.contains("threads of this command"), "{}", local.stderr);
    let short = aws.run(&[&RUN[..], &["--window", "10s"]].concat());
    assert_eq!(short.code, 104, "{}", short.stderr);
    assert!(short.stderr.contains("a window of 10 s"), "{}", short.stderr);
    plan(&aws, &server, 60);
    let long = aws.run(&[&RUN[..], &["--detach", "--window", "40s"]].concat());
    assert_eq!(long.code, 104, "{}", long.stderr);
    assert!(long.stderr.contains("nobody hands it over"), "{}", long.stderr);
    let unknown = aws.run(&["attach", "20000101-000000-000000"]);
    assert_eq!(unknown.code, 104, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("there is no run `20000101-000000-000000`"), "{}", unknown.stderr);
    assert_eq!(aws.run(&["status"]).stdout, "no run is under way\n");
    assert_eq!(aws.run(&["status", "20000101-000000-000000"]).code, 104);
    assert_eq!(server.counts().total, 0);
}
