//! The fleet on AWS: the same plan through SQS, Lambda and S3, with the real command, zip and template.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use squall_fleet::{VERSION, conformance};
use squall_target::Server;
use squall_tests::aws::{Aws, REGION, number, template};
use squall_tests::proxy::Deed;
use squall_tests::{Ran, check_cut_off, target};

const STEPS: &str = "{ get: '/api/v1/catalog/products?limit=3' }, { think: 50ms..150ms }, { get: /healthz }, { think: 100ms }";

/// Writes a plan for a target, and returns the arguments that run it.
fn plan(aws: &Aws, server: &Server, load: &str, steps: &str) {
    let target = server.address();
    aws.place.write(
        "plan.yaml",
        &format!("target: http://{target}\nload: {load}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}\n"),
    );
}

fn run(aws: &Aws, generators: &str, more: &[&str]) -> (Ran, Value) {
    let arguments = ["run", "plan.yaml", "--backend", "aws", "--generators", generators, "--out", "out"];
    let ran = aws.run(&[&arguments, more].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let result = aws.place.result("out");
    (ran, result)
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

#[test]
fn a_run_reports_what_the_target_counted_on_4_and_on_16_generators() {
    let aws = Aws::start();
    aws.deploy();
    for generators in ["4", "16"] {
        let server = target(false);
        plan(&aws, &server, "{ users: 32, duration: 4s }", STEPS);
        let (ran, result) = run(&aws, generators, &[]);
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        let counts = server.counts();
        assert_eq!(counts.total, number(&result, "/totals/requests"), "{generators} generators");
        assert_eq!(result["run"]["backend"], "aws");
        assert_eq!(result["run"]["regions"], serde_json::json!([REGION]));
        let seats = &result["coverage"]["seats"];
        assert_eq!(seats["assigned"].to_string(), generators);
        assert_eq!(seats["lost"], 0);
        let sliced = result["generators"].as_array().unwrap().iter().filter(|own| own["slice"].is_u64());
        let environments: BTreeSet<&str> =
            sliced.clone().map(|own| own["environment"].as_str().unwrap()).collect();
        assert_eq!(sliced.count(), environments.len(), "every slice has a process of its own");
        // All users begin at the epoch, each with a connection of its own, whichever process they live in.
        let mut first = counts.first_requests_us;
        first.sort_unstable();
        let skew_us = first[31] - first[0];
        println!("{generators} generators: {} requests, start skew {skew_us} us", counts.total);
        assert!(skew_us <= 250_000, "start skew as seen by the target: {skew_us} us");
        check_cost(&ran, &result, generators.parse().unwrap());
    }
    let doctor = aws.run(&["doctor", "--output", "json"]);
    assert_eq!(doctor.code, 0, "{}", doctor.stdout);
    assert_eq!(aws.backlog(&aws.output("QueueUrl")) + aws.backlog(&aws.output("DeadLetterQueueUrl")), 0);
    let destroyed = aws.run(&["destroy"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
    assert_eq!(aws.run(&["destroy"]).stdout, format!("there is no stack `squall` in {REGION}\n"));
    let buckets = aws.http("s3", "GET", "/", &[], b"").1;
    let queues = aws.ask("sqs", "Action=ListQueues&Version=2012-11-05");
    assert!(!buckets.contains("<Name>") && !queues.contains("<QueueUrl>"), "{buckets}\n{queues}");
}

/// What a run of 4 s on so many generators of 1,769 MB cost, before and after.
fn check_cost(ran: &Ran, result: &Value, generators: f64) {
    let cost = &result["cost"];
    let usd = |key: &str| cost[key].as_f64().unwrap();
    let items = cost["items"].as_array().unwrap();
    let sum: f64 = items.iter().map(|item| item["usd"].as_f64().unwrap()).sum();
    assert!((usd("actual_usd") - sum).abs() < 1e-12 && sum > 0.0, "{cost}");
    let requests = result["totals"]["requests"].as_f64().unwrap();
    assert!((usd("per_million_requests_usd") - sum * 1e6 / requests).abs() < 1e-9, "{cost}");
    assert_eq!(cost["prices"], "us-east-1, November 2026");
    // All who had a slice have told how long they were there: from before the epoch to the end of the load, and no longer than
    // from the first invitation to the report.
    let is_time = |item: &&Value| item["what"] == "generators" && item["estimated"] == false;
    let time: f64 = items.iter().filter(is_time).map(|item| item["quantity"].as_f64().unwrap()).sum();
    let each_s = time / generators / (1_769.0 / 1_024.0);
    let (estimated, actual) = (usd("estimated_usd"), usd("actual_usd"));
    println!("{generators} generators: {each_s:.2} s each; ${estimated:.6} estimated, ${actual:.6} actual");
    assert!((4.0..30.0).contains(&each_s), "{each_s} s: {cost}");
    assert!((0.2..5.0).contains(&(actual / estimated)), "{cost}");
    assert!(ran.stderr.contains("estimated cost: $") && ran.stderr.contains("MB over 4s"), "{}", ran.stderr);
    assert!(ran.stdout.contains(" cost: $"), "{}", ran.stdout);
}

#[test]
fn every_message_delivered_twice_runs_nothing_twice() {
    let aws = Aws::behind_a_proxy();
    aws.deploy();
    aws.proxy().set(|seen| if seen.operation == "SendMessageBatch" { Deed::PassTwice } else { Deed::Pass });
    let server = target(false);
    plan(&aws, &server, "{ users: 8, duration: 4s }", STEPS);
    let (ran, result) = run(&aws, "4", &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(server.counts().total, number(&result, "/totals/requests"));
    let seats = &result["coverage"]["seats"];
    println!("seats: {seats}");
    assert_eq!((number(seats, "/invited"), number(seats, "/assigned")), (5, 4));
    // Whoever came is paid for, needed or not.
    let items = result["cost"]["items"].as_array().unwrap();
    let starts = items.iter().find(|item| item["what"] == "invocations").unwrap();
    let came = result["generators"].as_array().unwrap().len();
    assert!(starts["quantity"].as_f64() == Some(came as f64) && came > 4, "{starts} of {came}");
    // Ten messages are in the queue, and five are worked on at a time; those that come while load is made are told.
    // One of them would be there without any doubling: the spare.
    assert!(number(seats, "/spare") + number(seats, "/duplicate") + number(seats, "/late") >= 2, "{seats}");
}

/// Starts a long run, and waits until the target has seen some of it.
fn long_run(aws: &Aws, server: &Server) -> Child {
    plan(aws, server, "{ users: 8, duration: 5m }", STEPS);
    let child = aws.spawn(&["run", "plan.yaml", "--backend", "aws", "--generators", "4", "--out", "out"]);
    let (begin, before) = (Instant::now(), server.counts().total);
    while server.counts().total < before + 50 {
        assert!(begin.elapsed() < Duration::from_mins(1), "the load never began");
        std::thread::yield_now();
    }
    child
}

/// Waits until the target has seen nothing new for longer than any pause of the load.
fn last_request_us(server: &Server) -> u64 {
    loop {
        let last = server.counts().last_request_us;
        if now_us().saturating_sub(last) > 2_000_000 {
            return last;
        }
        std::thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_stop_from_another_terminal_ends_the_load_within_3_s_and_the_report_is_made() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let child = long_run(&aws, &server);
    // Without the run's folder its id and its stack are enough.
    let made_on: Value =
        serde_json::from_str(&std::fs::read_to_string(aws.place.path().join("out/fleet.json")).unwrap())
            .unwrap();
    let id = made_on["run"].as_str().unwrap();
    let second = aws.run(&["run", "plan.yaml", "--backend", "aws"]);
    assert_eq!(second.code, 104, "{}", second.stderr);
    assert!(second.stderr.contains(&format!("run {id} is under way")), "{}", second.stderr);
    let refused = aws.run(&["destroy"]);
    assert_eq!(refused.code, 104, "{}", refused.stderr);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    let asked_us = now_us();
    let stopped = aws.run(&["stop", id]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert!(stopped.stdout.contains("4 of 4 generators"), "{}", stopped.stdout);
    let after_ms = last_request_us(&server).saturating_sub(asked_us) / 1_000;
    println!("stop: last request {after_ms} ms later");
    assert!(after_ms <= 3_000, "last request {after_ms} ms after the stop");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 105, "{}\n{}", ran.stdout, ran.stderr);
    let result = aws.place.result("out");
    check_cut_off(&server, &result);
    assert!(aws.run(&["stop", "out"]).stdout.contains("is over"));
    assert_eq!(aws.run(&["stop", "nobody"]).code, 104);
}

#[test]
fn an_interruption_ends_the_load_and_keeps_what_was_measured() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let child = long_run(&aws, &server);
    let asked_us = now_us();
    signal(&child, "-INT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 105, "{}\n{}", ran.stdout, ran.stderr);
    let after_ms = last_request_us(&server).saturating_sub(asked_us) / 1_000;
    println!("Ctrl-C: last request {after_ms} ms later");
    assert!(after_ms <= 3_000, "last request {after_ms} ms after the interruption");
    check_cut_off(&server, &aws.place.result("out"));
    assert_eq!(aws.run(&["doctor"]).code, 0, "the queue is closed again");
}

#[test]
fn without_an_orchestrator_load_ends_at_the_lease_and_a_force_removes_the_rest() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let mut child = long_run(&aws, &server);
    let killed_us = now_us();
    signal(&child, "-KILL");
    child.wait().unwrap();
    let after_s = last_request_us(&server).saturating_sub(killed_us) as f64 / 1e6;
    println!("kill -9: last request {after_s:.1} s later");
    assert!((24.0..=33.0).contains(&after_s), "last request {after_s} s after the orchestrator's end");
    let doctor = aws.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("although no run is under way"), "{}", doctor.stdout);
    // The fleet is free again, and the next run closes the queue.
    plan(&aws, &server, "{ users: 4, duration: 1s }", STEPS);
    assert_eq!(run(&aws, "2", &[]).0.code, 0);
    assert_eq!(aws.run(&["doctor"]).code, 0);
    let mut child = long_run(&aws, &server);
    signal(&child, "-KILL");
    child.wait().unwrap();
    let destroyed = aws.run(&["destroy", "--force"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
    assert!(destroyed.stderr.contains("stopping run"), "{}", destroyed.stderr);
}

#[test]
fn a_store_that_says_503_for_a_while_costs_nothing() {
    let (aws, server) = (Aws::behind_a_proxy(), target(false));
    aws.deploy();
    plan(&aws, &server, "{ users: 8, duration: 9s }", STEPS);
    // From the assignment on, every other second, for everybody.
    let (mut first, refused) = (None, Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&refused);
    aws.proxy().set(move |seen| {
        let first = match (first, seen.writes("/assign/")) {
            (None, true) => *first.insert(Instant::now()),
            (None, false) => return Deed::Pass,
            (Some(first), _) => first,
        };
        let at = first.elapsed();
        if seen.service == "s3" && at < Duration::from_secs(7) && at.as_secs() % 2 == 1 {
            let refused = counted.fetch_add(1, Ordering::SeqCst);
            return if refused.is_multiple_of(3) { Deed::LoseTheAnswer } else { Deed::Answer(503) };
        }
        Deed::Pass
    });
    let (ran, result) = run(&aws, "4", &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(server.counts().total, number(&result, "/totals/requests"));
    assert_eq!(result["problems"], serde_json::json!({}));
    let refused = refused.load(Ordering::SeqCst);
    println!("{refused} requests were refused, or their answers lost");
    assert!(refused > 20, "{refused}");
}

#[test]
fn what_is_no_seat_goes_to_the_dead_letters_and_blocks_nobody() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let (queue, dead) = (aws.output("QueueUrl"), aws.output("DeadLetterQueueUrl"));
    let far = now_us() + 3_600_000_000;
    let foreign = [
        "no json".to_owned(),
        r#"{"version":99,"run":"r","seat":0,"expires_at":1}"#.to_owned(),
        format!(r#"{{"version":{VERSION},"run":"nobody's","seat":0,"expires_at":{far}}}"#),
    ];
    foreign.iter().for_each(|message| aws.send(&queue, message));
    // Too late, whatever it is about: nobody needs it, and nobody needs to look at it.
    aws.send(&queue, &format!(r#"{{"version":{VERSION},"run":"r","seat":0,"expires_at":1}}"#));
    plan(&aws, &server, "{ users: 8, duration: 10s }", STEPS);
    let (ran, result) = run(&aws, "4", &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(server.counts().total, number(&result, "/totals/requests"));
    // A seat that is offered after the end is taken, and left at once.
    let run_id = result["run"]["id"].as_str().unwrap();
    let late = format!(r#"{{"version":{VERSION},"run":"{run_id}","seat":0,"expires_at":{far}}}"#);
    aws.send(&queue, &late);
    let (again, result) = run(&aws, "2", &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(number(&result, "/coverage/seats/assigned"), 2);
    let begin = Instant::now();
    while aws.backlog(&dead) < 3 {
        assert!(begin.elapsed() < Duration::from_secs(30), "{} dead letters", aws.backlog(&dead));
    }
    let kept: BTreeSet<String> = (0..3).flat_map(|_| aws.receive(&dead)).collect();
    assert_eq!(kept, foreign.into_iter().collect());
    assert_eq!(aws.backlog(&queue), 0, "expired and late seats are acknowledged");
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("3 messages were no seats"), "{}", doctor.stdout);
}

#[test]
fn queue_and_store_on_aws_keep_the_promises_of_all_backends() {
    let aws = Aws::start();
    aws.deploy();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials = squall_aws::Credentials {
        access_key: "test".to_owned(),
        secret_key: "test".to_owned(),
        session_token: None,
    };
    let connection = squall_aws::Connection::new(REGION.to_owned(), credentials, Some(aws.endpoint()));
    let store = squall_aws::S3Store::new(&connection, aws.output("Bucket"));
    runtime.block_on(conformance::store(&store, "runs/conformance")).unwrap();
    let url = aws.output("QueueUrl");
    let queue = squall_aws::SqsQueue::new(&connection, &url);
    let received = async || {
        std::iter::from_fn(|| Some(aws.receive(&url)).filter(|messages| !messages.is_empty()))
            .flatten()
            .collect()
    };
    runtime.block_on(conformance::queue(&queue, received)).unwrap();
}

#[test]
fn a_generator_that_cannot_start_ends_the_run_with_a_reason() {
    let (aws, server) = (Aws::start(), target(false));
    // Its settings are missing, so it says so and ends before it takes anything.
    aws.place.write("template.yaml", &template(&[("          SQUALL_BUCKET: !Ref Bucket\n", "")]));
    aws.deploy_with(&["--template", "template.yaml"]);
    plan(&aws, &server, "{ users: 2, duration: 2s }", STEPS);
    let (ran, _) = run(&aws, "2", &["--ready-within", "4s"]);
    assert_eq!((ran.code, server.counts().total), (98, 0), "{}", ran.stdout);
    assert!(ran.stdout.contains("only 0 of 2 generators were ready within 4 s"), "{}", ran.stdout);
    assert!(ran.stderr.contains("failed in init: function `squall-"), "{}", ran.stderr);
}

#[test]
fn a_store_that_is_removed_in_mid_run_ends_it_with_what_was_measured() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let bucket = aws.output("Bucket");
    let mut child = long_run(&aws, &server);
    // What is to be kept has to be merged before.
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let merged = progress.find(|line| {
        let line = line.as_ref().unwrap();
        line.contains(" requests · ") && !line.contains(" 0 requests · ")
    });
    assert!(merged.is_some(), "nothing was ever merged");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Objects come as long as there is a bucket; both are removed until neither is left.
            while aws.http("s3", "DELETE", &format!("/{bucket}"), &[], b"").0 == 409 {
                for key in aws.keys() {
                    let _ = aws.http("s3", "DELETE", &format!("/{bucket}/{key}"), &[], b"");
                }
            }
        });
    });
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 98, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("lost the fleet") && ran.stdout.contains(&bucket), "{}", ran.stdout);
    let begin = Instant::now();
    last_request_us(&server);
    assert!(begin.elapsed() < Duration::from_secs(20), "the load ended behind the fence");
    let reported = number(&aws.place.result("out"), "/totals/requests");
    assert!(0 < reported && reported <= server.counts().total, "{reported}");
}
