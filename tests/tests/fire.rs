//! Generators that are lost, stand still or come late, and messages that are no seats or are delivered twice: nothing is
//! counted twice, and what is missing has a bound.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use squall_fleet::VERSION;
use squall_tests::aws::number;
use squall_tests::fire::{Fire, Outcome, Seated, now_us, signal};
use squall_tests::proxy::{Deed, Seen};

/// One of those who have a slice.
fn anybody(fire: &Fire, generators: usize) -> Seated {
    let seated = fire.seated();
    assert_eq!(seated.len(), generators, "{seated:?}");
    let one = seated[usize::try_from(now_us()).unwrap() % generators];
    println!("slice {} of {generators}", one.slice);
    one
}

fn seats(outcome: &Outcome, which: &str) -> u64 {
    number(&outcome.result, &format!("/coverage/seats/{which}"))
}

#[test]
fn a_tenth_of_the_generators_killed_is_replaced_and_what_is_unknown_has_a_bound() {
    let fire = Fire::start();
    let running = fire.run(50, 65, 10, &[]);
    fire.wait_for_load(Duration::from_secs(5));
    signal(anybody(&fire, 10).pid, "-KILL");
    let outcome = fire.end("one of ten generators killed", running);
    outcome.check_told(98, "requests are unknown");
    assert_eq!(
        (seats(&outcome, "replaced"), seats(&outcome, "lost")),
        (1, 1),
        "{}",
        outcome.result["coverage"]
    );
    // A tenth was missing until the fence had passed, and no longer: the rest of 65 s was made.
    assert!(outcome.reported > 50 * 65 * 93 / 100, "{}", outcome.reported);
    // Thirty seconds of a tenth: a bound that says something.
    assert!((1..=200).contains(&outcome.bound), "{}", outcome.bound);
}

#[test]
fn a_generator_that_stood_still_makes_no_load_beside_its_replacement() {
    let fire = Fire::start();
    let running = fire.run(50, 60, 5, &[]);
    fire.wait_for_load(Duration::from_secs(5));
    let one = anybody(&fire, 5);
    signal(one.pid, "-STOP");
    fire.wait_for_load(Duration::from_secs(35));
    signal(one.pid, "-CONT");
    let outcome = fire.end("a generator stands still for 30 s", running);
    outcome.check_told(98, "% of the planned load was delivered");
    assert_eq!(
        (seats(&outcome, "replaced"), seats(&outcome, "lost")),
        (1, 0),
        "{}",
        outcome.result["coverage"]
    );
    // It has told what it had measured before, so nothing is unknown.
    assert_eq!(outcome.bound, 0);
    // A fence of 15 s of its fifth is missing at least; had it gone on, 25 s would have been made twice.
    assert!(outcome.received <= 50 * 60 - 10 * 15, "{}", outcome.received);
}

#[test]
fn messages_that_are_all_delivered_twice_make_each_arrival_once() {
    let fire = Fire::behind_a_proxy();
    fire.aws.proxy().set(|seen| if invites(seen) { Deed::PassTwice } else { Deed::Pass });
    let outcome = fire.end("every message delivered twice", fire.run(50, 20, 5, &[]));
    outcome.check_whole(1_000, 0);
    let came = outcome.result["generators"].as_array().unwrap().len();
    assert!(came > 6, "{came} generators came to six invitations");
}

fn invites(seen: &Seen) -> bool {
    seen.operation == "SendMessageBatch"
}

/// The same invitations, each later than the one after it, and the first a minute late.
fn delayed(body: &str) -> String {
    let mut batch: Value = serde_json::from_str(body).unwrap();
    let entries = batch["Entries"].as_array_mut().unwrap();
    let count = entries.len();
    for (index, entry) in entries.iter_mut().enumerate() {
        entry["DelaySeconds"] = json!(if index == 0 { 60 } else { count - index });
    }
    batch.to_string()
}

#[test]
fn messages_that_come_late_and_out_of_order_make_each_arrival_once() {
    let fire = Fire::behind_a_proxy();
    let mut is_first = true;
    fire.aws.proxy().set(move |seen| {
        let is_delayed = invites(seen) && std::mem::take(&mut is_first);
        if is_delayed { Deed::Rewrite(delayed(&seen.body)) } else { Deed::Pass }
    });
    let outcome = fire.end("messages out of order, one of them 60 s late", fire.run(50, 65, 5, &[]));
    outcome.check_whole(3_250, 0);
    let late = seats(&outcome, "late");
    assert!(late >= 1, "{}", outcome.result["coverage"]);
    // Whoever came first had a slice, whatever the seat.
    let generators = outcome.result["generators"].as_array().unwrap();
    let sliced = generators.iter().filter(|own| own["slice"].is_u64()).count();
    assert_eq!(sliced, 5);
}

#[test]
fn messages_that_are_no_seats_are_in_nobodys_way() {
    let fire = Fire::start();
    let (queue, dead) = (fire.aws.output("QueueUrl"), fire.aws.output("DeadLetterQueueUrl"));
    let far = now_us() + 3_600_000_000;
    let foreign = [
        "no json".to_owned(),
        r#"{"version":99,"run":"r","seat":0,"expires_at":1}"#.to_owned(),
        format!(r#"{{"version":{VERSION},"run":"nobody's","seat":0,"expires_at":{far}}}"#),
    ];
    let send = || foreign.iter().for_each(|message| fire.aws.send(&queue, message));
    send();
    let running = fire.run(50, 20, 5, &[]);
    fire.wait_for_load(Duration::from_secs(5));
    send();
    let outcome = fire.end("messages that are no seats, before and meanwhile", running);
    outcome.check_whole(1_000, 0);
    assert_eq!(fire.aws.backlog(&dead), 6, "all of them are where somebody can look at them");
}

#[test]
fn a_fleet_that_is_throttled_to_a_quarter_says_so_or_makes_the_whole_load() {
    let fire = Fire::start();
    let path = format!("/2017-10-31/functions/{}/concurrency", fire.aws.output("Function"));
    let (status, body) = fire.aws.http("lambda", "PUT", &path, &[], br#"{"ReservedConcurrentExecutions":2}"#);
    assert_eq!(status, 200, "{body}");
    let within = ["--ready-within", "15s"];
    let outcome = fire.end("throttled to a quarter", fire.run(40, 15, 8, &within));
    outcome.check_told(98, "only 2 of 8 generators were ready within 15 s");
    assert_eq!((outcome.received, outcome.bound), (0, 0));
    let few = [&within[..], &["--start-with", "25%"]].concat();
    let outcome = fire.end("throttled to a quarter, --start-with 25%", fire.run(40, 15, 8, &few));
    outcome.check_whole(600, 0);
    assert_eq!(seats(&outcome, "assigned"), 2);
}

#[test]
fn a_generator_whose_clock_is_3_s_behind_gets_no_slice() {
    let fire = Fire::behind_a_proxy();
    let wrong = Arc::new(OnceLock::new());
    let first = Arc::clone(&wrong);
    fire.aws.proxy().set(move |seen| {
        // Whoever says first that it is ready says another time, as often as it tries. How long that is on its way lets a
        // clock look the more behind.
        let is_off = seen.writes("/ready/") && *first.get_or_init(|| seen.path.clone()) == seen.path;
        if is_off { Deed::Rewrite(behind_by_3_s(&seen.body)) } else { Deed::Pass }
    });
    let outcome = fire.end("one clock 3 s behind", fire.run(50, 20, 5, &[]));
    outcome.check_whole(1_000, 0);
    let generators = outcome.result["generators"].as_array().unwrap();
    let is_wrong = |own: &&Value| wrong.get().unwrap().contains(own["nonce"].as_str().unwrap());
    let wrong = generators.iter().find(is_wrong).unwrap();
    assert!(wrong["slice"].is_null(), "{wrong}");
    let problems = outcome.result["problems"].to_string();
    assert!(problems.contains("generators are wrong by more than 2 s"), "{problems}");
}

fn behind_by_3_s(body: &str) -> String {
    let mut ready: Value = serde_json::from_str(body).unwrap();
    ready["clock"] = json!(ready["clock"].as_i64().unwrap() - 3_000_000);
    ready.to_string()
}
