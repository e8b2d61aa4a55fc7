//! A store that fails, a network that is cut, a command that sleeps, a stack that is gone, a disk that is full: what was
//! measured is kept as far as it can be, and the exit code says what happened.

#![expect(clippy::disallowed_methods, reason = "faults are timed by a real clock")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squall_tests::aws::number;
use squall_tests::fire::{Fire, Running, now_us};
use squall_tests::proxy::{Deed, Seen};

/// What is written: by whom is in the name, and how often at least.
const WRITES: [(&str, u32); 10] = [
    ("SendMessageBatch", 1),
    ("event-source-mappings", 2),
    ("/current", 1),
    ("/plans/", 1),
    ("/manifest", 1),
    ("/assign/", 1),
    ("/control", 6),
    // Five generators with a slice and one without; a snapshot every 2 s.
    ("/ready/", 6),
    ("/snapshots/", 50),
    ("/final/", 5),
];

#[test]
fn answers_that_are_lost_after_something_was_written_cost_nothing() {
    let fire = Fire::behind_a_proxy();
    let lost = Arc::new(Mutex::new(BTreeMap::<&str, u32>::new()));
    let (count, mut written) = (Arc::clone(&lost), HashSet::new());
    fire.aws.proxy().set(move |seen| {
        let is_of = |kind: &str| seen.operation == kind || seen.method == "PUT" && seen.path.contains(kind);
        let kind = WRITES.into_iter().map(|(kind, _)| kind).find(|kind| is_of(kind));
        // Each write once; a renewal of control is another write to the same key.
        let is_lost = kind.is_some() && written.insert((seen.path.clone(), seen.body.clone()));
        let Some(kind) = kind.filter(|_| is_lost) else { return Deed::Pass };
        let mut count = count.lock().unwrap();
        let count = count.entry(kind).or_default();
        *count += 1;
        if count.is_multiple_of(2) { Deed::PassAndAnswer(503) } else { Deed::LoseTheAnswer }
    });
    let outcome = fire.end("every answer to a write lost once", fire.run(50, 20, 5, &[]));
    outcome.check_whole(1_000, 0);
    assert_eq!(outcome.result["problems"], serde_json::json!({}));
    let lost = lost.lock().unwrap();
    println!("answers lost: {lost:?}");
    assert!(WRITES.iter().all(|(kind, least)| lost.get(kind) >= Some(least)), "{lost:?}");
}

/// Does something to all requests to the store, or to all there are, from 5 s after the first assignment on, for so long.
fn for_a_while(
    lasts: Duration,
    mut deed: impl FnMut(&Seen) -> Deed + Send,
) -> impl FnMut(&Seen) -> Deed + Send {
    let mut assigned = None;
    move |seen| {
        if assigned.is_none() && seen.writes("/assign/") {
            assigned = Some(Instant::now());
        }
        let begin = Duration::from_secs(5);
        let is_now = assigned.is_some_and(|at| (begin..begin + lasts).contains(&at.elapsed()));
        if is_now { deed(seen) } else { Deed::Pass }
    }
}

#[test]
fn a_store_that_is_slow_and_refuses_a_third_for_20_s_costs_nothing() {
    let fire = Fire::behind_a_proxy();
    let (counted, mut count) = (Arc::new(Mutex::new((0, 0))), 0_u32);
    let counts = Arc::clone(&counted);
    fire.aws.proxy().set(for_a_while(Duration::from_secs(20), move |seen| {
        if seen.service != "s3" {
            return Deed::Pass;
        }
        count += 1;
        let mut counts = counts.lock().unwrap();
        if count.is_multiple_of(3) {
            counts.0 += 1;
            return Deed::Answer(503);
        }
        counts.1 += 1;
        Deed::Delay(Duration::from_secs(2))
    }));
    let outcome =
        fire.end("a third of requests to S3 refused, the rest 2 s late, for 20 s", fire.run(50, 40, 5, &[]));
    outcome.check_whole(2_000, 0);
    let (refused, late) = *counted.lock().unwrap();
    println!("{refused} refused, {late} late");
    assert!(refused >= 20 && late >= 40, "{refused} refused, {late} late");
}

#[test]
fn a_network_that_is_cut_for_10_s_costs_nothing() {
    let fire = Fire::behind_a_proxy();
    let counted = Arc::new(Mutex::new(0));
    let count = Arc::clone(&counted);
    fire.aws.proxy().set(for_a_while(Duration::from_secs(10), move |_| {
        *count.lock().unwrap() += 1;
        Deed::Cut
    }));
    let outcome = fire.end("network cut for 10 s", fire.run(50, 30, 5, &[]));
    outcome.check_whole(1_500, 0);
    let cut = *counted.lock().unwrap();
    println!("{cut} requests were cut off");
    assert!(cut >= 20, "{cut}");
}

#[test]
fn a_command_that_slept_for_60_s_finds_that_load_has_ended_and_says_so() {
    let fire = Fire::start();
    let running = fire.run(50, 300, 5, &[]);
    fire.wait_for_load(Duration::from_secs(8));
    running.signal("-STOP");
    let stopped_us = now_us();
    std::thread::sleep(Duration::from_mins(1));
    let last_us = fire.server.counts().last_request_us;
    running.signal("-CONT");
    let outcome = fire.end("the command sleeps for 60 s", running);
    outcome.check_told(98, "control was not renewed in time, so the load ended by itself");
    assert_eq!(outcome.bound, 0);
    assert_eq!(fire.server.counts().last_request_us, last_us, "load went on when the command woke up");
    let after_s = last_us.saturating_sub(stopped_us) as f64 / 1e6;
    println!("last request {after_s:.1} s after the command fell asleep");
    assert!((24.0..=31.0).contains(&after_s), "{after_s}");
    assert_eq!(fire.aws.run(&["doctor"]).code, 0, "the queue is closed again");
}

/// A run of five minutes that has made load for a while.
fn long_run(fire: &Fire) -> Running {
    let running = fire.run(50, 300, 5, &[]);
    fire.wait_for_load(Duration::from_secs(8));
    running
}

#[test]
fn a_stack_that_is_deleted_in_mid_run_ends_the_load_and_what_was_told_is_reported() {
    let fire = Fire::start();
    let running = long_run(&fire);
    // Whoever asks properly is refused while a run is under way.
    let refused = fire.aws.run(&["destroy"]);
    assert_eq!(refused.code, 104, "{}", refused.stderr);
    let deleted = fire.aws.ask("cloudformation", "Action=DeleteStack&Version=2010-05-15&StackName=squall");
    let deleted_us = now_us();
    assert!(deleted.contains("DeleteStackResponse"), "{deleted}");
    let outcome = fire.end_by_itself("stack deleted in mid-run", running);
    outcome.check_told(98, "lost the fleet, whose load ends by itself within 30 s");
    assert!(outcome.reported > 0);
    let after_s = fire.server.counts().last_request_us.saturating_sub(deleted_us) as f64 / 1e6;
    println!("last request {after_s:.1} s after the deletion");
    assert!(after_s < 16.0, "{after_s}");
    // Whatever has not been told was sent within the lease.
    assert!((1..=50 * 40).contains(&outcome.bound), "{}", outcome.bound);
    assert!(!outcome.ran.stderr.contains("queue stays open"), "{}", outcome.ran.stderr);
}

#[test]
fn a_function_that_is_deleted_in_mid_run_ends_the_run_although_nobody_can_say_why() {
    let fire = Fire::start();
    let running = long_run(&fire);
    let path = format!("/2015-03-31/functions/{}", fire.aws.output("Function"));
    let (status, body) = fire.aws.http("lambda", "DELETE", &path, &[], b"");
    assert_eq!(status, 204, "{body}");
    let begin = Instant::now();
    while !fire.aws.functions().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(5), "generators go with their function");
    }
    let outcome = fire.end("function deleted in mid-run", running);
    outcome.check_told(98, "nothing was heard of any generator for 60 s");
    assert!(outcome.reported > 0);
}

#[test]
fn a_run_that_is_destroyed_by_force_is_stopped_before_and_reported() {
    let fire = Fire::start();
    let running = long_run(&fire);
    let destroyed = fire.aws.run(&["destroy", "--force"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
    let outcome = fire.end("`destroy --force` in mid-run", running);
    outcome.check_told(105, "interrupted by the user");
    assert_eq!(outcome.bound, 0);
}

#[test]
fn a_disk_that_is_full_loses_nothing_of_what_was_measured() {
    let fire = Fire::start();
    let out = fire.aws.place.path().join("out");
    fs::create_dir(&out).unwrap();
    // Each file is written under another name before: on a device that is always full.
    let files = ["result.json", "report.html", "intervals.hlog"];
    for file in files {
        symlink("/dev/full", out.join(format!(".{file}.tmp"))).unwrap();
    }
    let running = fire.run(50, 12, 5, &[]);
    let ran = running.wait();
    println!("{}", ran.stderr);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked") && files.iter().all(|file| !out.join(file).exists()));
    assert!(ran.stderr.contains("cannot write `out/result.json`: No space left on device"), "{}", ran.stderr);
    let again = format!("squall attach {} --region eu-west-1 --out DIR", fire.id());
    assert!(ran.stderr.contains(&again), "{}", ran.stderr);
    // It is told, and what it is made of is still where generators have written it.
    assert!(ran.stdout.contains(" 600 "), "{}", ran.stdout);
    let attached = fire.aws.run(&["attach", &fire.id(), "--region", "eu-west-1", "--out", "again"]);
    let result = fire.aws.place.result("again");
    assert_eq!(attached.code_but_for_saturation(&result), 0, "{}\n{}", attached.stdout, attached.stderr);
    let (received, reported) = (fire.server.counts().total, number(&result, "/totals/requests"));
    let bound = number(&result, "/coverage/unknown_requests");
    println!("row: disk full: received {received}, reported {reported}, bound {bound}, exit {}", ran.code);
    assert_eq!((received, reported, bound), (600, 600, 0));
}
