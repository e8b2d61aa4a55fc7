//! Probes on real sockets, against services whose truth is known to the test and not to them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStderr, Command};
use std::thread;

use serde_json::{Value, json};
use squall_target::Host;
use squall_target::service::Profile;
use squall_tests::aws::{Aws, number};
use squall_tests::probes::{Case, Question};
use squall_tests::{Place, Ran};

#[path = "probes/input.rs"]
mod input;
#[path = "probes/limits.rs"]
mod limits;
#[path = "probes/log.rs"]
mod log;

fn host(profile: &str, seed: u64, settings: &Value) -> Host {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Host::start(address, Profile::named(profile).unwrap(), seed, settings).unwrap()
}

fn url(host: &Host) -> String {
    format!("http://{}/", host.address())
}

/// The answer that was printed as JSON, in the form that its schema says.
fn answered(ran: &Ran) -> Value {
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let result = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", ran.stdout, ran.stderr));
    let wrong: Vec<String> = schema().iter_errors(&result).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}: {result:#}");
    result
}

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas/probe.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn probe(place: &Place, arguments: &[&str]) -> (Ran, Value) {
    let ran = place.run(&[&["probe"], arguments, &["--output", "json"]].concat());
    let result = answered(&ran);
    (ran, result)
}

/// The estimate of this name, which must be within a share of the truth.
fn check_near(result: &Value, name: &str, truth: f64, share: f64) {
    let value = &result["answer"][name]["value"];
    let found = value.as_f64().unwrap_or_else(|| panic!("{name}: {:#}", result["answer"]));
    println!("{name}: {found:.2}, truth {truth:.2}, {:+.1} %", (found / truth - 1.0) * 100.0);
    assert!(
        (found / truth - 1.0).abs() <= share,
        "{name}: {found} instead of {truth}: {:#}",
        result["answer"]
    );
}

/// The one probe that was kept in a place.
fn folder(place: &Place) -> std::path::PathBuf {
    let mut probes = fs::read_dir(place.path().join(".squall/probes")).unwrap();
    let folder = probes.next().unwrap().unwrap().path();
    assert!(probes.next().is_none(), "one probe");
    folder
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Settings with which a probe of capacity is short. In a few seconds beyond capacity answers become little slower.
const SHORT: [&str; 8] =
    ["--max-rate", "400", "--set", "step_s=6", "--set", "start_per_s=40", "--until", "p90 < 100ms"];

/// The same of cold starts and of limits.
const COLD: [&str; 6] = ["--set", "sizes=[1,20]", "--set", "shortest_gap_s=3", "--set", "longest_gap_s=12"];
const LIMIT: [&str; 6] = ["--max-rate", "100", "--set", "most_burst=100", "--set", "longest_round_s=15"];

#[test]
fn capacity_is_found_and_told_in_every_form() {
    let place = Place::new();
    let service = host("fixed", 3, &json!({ "workers": 3, "work_ms": 30, "noise": 0.05, "queue": 500 }));
    let url = url(&service);
    let (ran, result) = probe(&place, &[&["capacity", &url], &SHORT[..]].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("rounds, up to 400 a second"), "{}", ran.stderr);
    check_near(&result, "capacity_per_s", 100.0, 0.08);
    assert_eq!(number(&result, "/sent/requests"), service.counts().total, "each request is counted once");
    let folder = folder(&place);
    let kept: Value = serde_json::from_str(&fs::read_to_string(folder.join("probe.json")).unwrap()).unwrap();
    assert_eq!(kept, result);
    let page = fs::read_to_string(folder.join("probe.html")).unwrap();
    assert!(page.contains("ANSWERED") && page.contains("<svg") && !page.contains("<script"));
    let rounds = number(&result, "/sent/rounds");
    let history = fs::read_to_string(folder.join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count() as u64, 2 * rounds, "each has begun and ended");
    // The answer of another kind of probe has another form.
    let mut other = result.clone();
    other["probe"]["kind"] = json!("throttle");
    assert!(schema().is_valid(&result) && !schema().is_valid(&other));
    let names = fs::read_dir(&folder).unwrap().count();
    assert_eq!(names, 4, "order, history, answer and page, and nothing of the rounds");
}

#[test]
fn capacity_of_a_plan_is_that_of_its_iterations() {
    let place = Place::new();
    let service = host("fixed", 4, &json!({ "workers": 4, "work_ms": 20, "noise": 0.05, "queue": 500 }));
    let target = format!("http://{}", service.address());
    place.write(
        "plan.yaml",
        "target: http://127.0.0.1:1\nload: { rate: 1/s, duration: 1s }\nthresholds: [ p99 < 1ms ]\n\
         scenarios: { a: { steps: [ { get: /a }, { get: /b } ] } }\n",
    );
    let arguments = [&["capacity", "plan.yaml", "--target", &target], &SHORT[..]].concat();
    let (ran, result) = probe(&place, &arguments);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    // 200 requests a second, two of each iteration.
    check_near(&result, "capacity_per_s", 100.0, 0.1);
}

/// Asks three services whose parameters are drawn from seeds.
fn ask_three(question: Question) {
    let asked = [0, 1, 2].map(|seed| thread::spawn(move || Case::of(question, seed).ask()));
    let rows = asked.map(|row| row.join().unwrap());
    rows.iter().for_each(|row| println!("{row}"));
    let wrong: Vec<String> =
        rows.iter().filter(|row| !row.is_right()).map(|row| format!("{row}\n{}", row.told())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_capacity_of_three_services_is_found() {
    ask_three(Question::Capacity);
}

#[test]
fn the_limits_of_three_gateways_are_found_with_who_shares_them() {
    ask_three(Question::Throttle);
}

#[test]
fn cold_starts_of_functions_with_three_policies_are_found() {
    ask_three(Question::ColdStart);
}

#[test]
fn this_machine_tells_what_it_can_do_itself() {
    let place = Place::new();
    let (ran, result) = probe(&place, &["self", "--set", "step_s=2", "--set", "precision=0.3"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    // However many it is asked for, the files of this process are enough for both ends.
    let outcomes = result["sent"]["outcomes"].as_object().unwrap();
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{outcomes:?}");
    let error_us = result["answer"]["error_us"]["value"].as_f64().unwrap();
    println!("{:#}", result["findings"]);
    assert!((0.0..20_000.0).contains(&error_us), "{error_us}");
    let kept = fs::read_to_string(place.path().join(".squall/calibration.json")).unwrap();
    assert!(kept.contains("\"self\""), "{kept}");
}

#[test]
fn a_probe_that_was_interrupted_goes_on_with_what_it_knows() {
    let place = Place::new();
    let service = host("fixed", 3, &json!({ "workers": 3, "work_ms": 30, "noise": 0.05, "queue": 500 }));
    let url = url(&service);
    let child = place.start(&[&["probe", "capacity", &url, "--output", "json"], &SHORT[..]].concat());
    let ran = end_in_round(child, 3, "-INT");
    assert_eq!(ran.code, 105, "{}", ran.stderr);
    let result = answered(&ran);
    assert_eq!(result["ending"]["outcome"], "interrupted");
    assert_eq!(number(&result, "/sent/rounds"), 2, "the round that was cut off is not counted");
    let id = result["probe"]["id"].as_str().unwrap().to_owned();
    assert!(ran.stderr.contains(&format!("squall probe resume {id}")), "{}", ran.stderr);
    let history = folder(&place).join("history.jsonl");
    let before = fs::read_to_string(&history).unwrap();
    // Killed where nothing can be tidied up, and cut off in the middle of a line.
    let ran = end_in_round(place.start(&["probe", "resume", &id]), 4, "-KILL");
    assert_eq!(ran.code, -1, "{}", ran.stderr);
    let after = fs::read_to_string(&history).unwrap();
    let ended = |text: &str| text.lines().filter(|line| line.starts_with("{\"ended\"")).count();
    assert!(after.starts_with(&before) && ended(&after) == 3, "{after}");
    fs::write(&history, format!("{after}{{\"ended\":")).unwrap();
    let ran = place.run(&["probe", "resume", &id]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("3 of these rounds were sent before"), "{}", ran.stderr);
    let result: Value =
        serde_json::from_str(&fs::read_to_string(folder(&place).join("probe.json")).unwrap()).unwrap();
    check_near(&result, "capacity_per_s", 100.0, 0.1);
    assert!(fs::read_to_string(&history).unwrap().starts_with(&after));
}

/// Sends a signal once a round has begun, and waits for the end.
fn end_in_round(mut child: Child, round: usize, name: &str) -> Ran {
    let told = until_round(&mut child, round);
    signal(&child, name);
    ended(child, told)
}

/// What is told until a round has begun, and whoever tells the rest.
fn until_round(child: &mut Child, round: usize) -> (String, BufReader<ChildStderr>) {
    until_told(child, &format!("round {round}:"))
}

/// The same of whatever is told.
fn until_told(child: &mut Child, what: &str) -> (String, BufReader<ChildStderr>) {
    until_told_more((String::new(), BufReader::new(child.stderr.take().unwrap())), what)
}

/// The same of what is told after that.
fn until_told_more(
    (mut told, mut stderr): (String, BufReader<ChildStderr>),
    what: &str,
) -> (String, BufReader<ChildStderr>) {
    while !told.contains(what) {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
    }
    (told, stderr)
}

fn ended(child: Child, (told, stderr): (String, BufReader<ChildStderr>)) -> Ran {
    let rest = stderr.lines().map(|line| line.unwrap() + "\n").collect::<String>();
    let mut ran = Ran::from(child.wait_with_output().unwrap());
    ran.stderr = told + &rest;
    ran
}

#[test]
fn nothing_more_is_sent_to_what_does_not_work() {
    let down = {
        let service = host("healthy", 1, &Value::Null);
        url(&service)
    };
    let failing = host("healthy", 1, &json!({ "error_share": 1.0 }));
    let limiting = host("gateway", 1, &json!({ "burst": 0, "refill_per_s": 0 }));
    let cases = [(down, "refused"), (url(&failing), "500"), (url(&limiting), "turned away")];
    for (url, word) in cases {
        for kind in ["capacity", "throttle", "cold-start"] {
            let place = Place::new();
            let (ran, result) = probe(&place, &[kind, &url]);
            let reason = result["ending"]["reason"].to_string();
            let all = format!("{kind} {word}: {reason}\n{}", ran.stderr);
            println!("{kind}, {word}: {reason}");
            if kind == "throttle" && word == "turned away" {
                // It is what it came for.
                continue;
            }
            assert_eq!(ran.code, 98, "{all}");
            assert_eq!(result["ending"]["outcome"], "stopped", "{all}");
            assert!(reason.contains(word), "{all}");
            assert!(number(&result, "/sent/rounds") <= 2, "{all}");
        }
    }
}

#[test]
fn no_more_is_sent_than_allowed() {
    let place = Place::new();
    let service = host("healthy", 1, &json!({ "error_share": 0.0 }));
    let (ran, result) = probe(&place, &["capacity", &url(&service), "--max-requests", "300"]);
    assert_eq!(ran.code, 98, "{}", ran.stderr);
    assert!(result["ending"]["reason"].as_str().unwrap().contains("--max-requests"), "{result:#}");
    assert!(number(&result, "/sent/requests") <= 300, "{result:#}");
}

#[test]
fn wrong_settings_are_told_before_anything_is_sent() {
    let place = Place::new();
    let service = host("healthy", 1, &Value::Null);
    let url = &url(&service);
    let check = |arguments: &[&str], word: &str| {
        let ran = place.run(&[&["probe"], arguments].concat());
        assert_eq!(ran.code, 104, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
    };
    check(&["capacity", "127.0.0.1:1"], "127.0.0.1:1");
    check(&["capacity", url, "--until", "mean < 5ms"], "p99 < 500ms");
    check(&["capacity", url, "--set", "steps=4"], "step_s");
    check(&["throttle", "plan.yaml"], "is no URL");
    check(&["throttle", url, "--max-cost", "1"], "--backend aws");
    check(&["resume", "nothing"], ".squall/probes");
    check(&["capacity", "http://169.254.169.254/"], "169.254.169.254");
    check(&["throttle", url, "--local-ips", "127.0.0.300"], "10.0.0.0/28");
    check(
        &["throttle", url, "--local-ips", "127.0.0.2,192.0.2.1"],
        "`192.0.2.1` is no address of this machine",
    );
    check(&["throttle", url, "--local-ips", "127.0.0.2", "--backend", "aws"], "leave out --local-ips");
    check(&["throttle", "http://[::1]:1/", "--local-ips", "127.0.0.2"], "give --local-ips of IPv6");
    assert_eq!(service.counts().total, 0);
    assert!(
        !place.path().join(".squall/probes").exists()
            || fs::read_dir(place.path().join(".squall/probes")).unwrap().count() <= 2
    );
}

#[test]
fn ceilings_hold_whatever_is_asked() {
    let service = host("healthy", 1, &json!({ "error_share": 0.0 }));
    let url = url(&service);
    let check = |arguments: &[&str], most_per_s: u64| {
        let before = service.counts();
        let (ran, result) = probe(&Place::new(), arguments);
        assert!([0, 98].contains(&ran.code), "{arguments:?}: {}", ran.stderr);
        let after = service.counts();
        println!("{arguments:?}: {} requests", after.total - before.total);
        assert!(after.total > before.total, "{arguments:?}: nothing was sent: {result:#}");
        assert_eq!(number(&result, "/sent/requests"), after.total - before.total);
        let busiest = after.seconds.iter().filter(|(second, _)| !before.seconds.contains_key(*second));
        let busiest = busiest.map(|(_, count)| *count).max().unwrap_or(0);
        // Even ones may be due just at a second's beginning and just before its end.
        assert!(busiest <= most_per_s + 1, "{arguments:?}: {busiest} in a second");
    };
    // Lower than where each would begin, and lower than its bursts.
    check(&["capacity", &url, "--max-rate", "3", "--set", "step_s=4"], 3);
    check(&["throttle", &url, "--max-rate", "3", "--set", "longest_round_s=5"], 3);
    let gaps = ["--set", "sizes=[1,100]", "--set", "shortest_gap_s=3", "--set", "longest_gap_s=3"];
    check(&[&["cold-start", &url, "--max-rate", "5"], &gaps[..]].concat(), 5);
}

/// Asks with four generators of a fleet.
fn ask_a_fleet(arguments: &[&str]) -> Value {
    let aws = Aws::start();
    aws.deploy();
    let fleet = ["--backend", "aws", "--generators", "4", "--output", "json"];
    let ran = aws.run(&[&["probe"], arguments, &fleet].concat());
    let result = answered(&ran);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("estimated cost: $"), "{}", ran.stderr);
    assert_eq!(result["probe"]["backend"], "aws");
    assert_eq!(number(&result, "/probe/generators"), 4);
    result
}

#[test]
fn a_fleet_finds_the_capacity() {
    let fixed = host("fixed", 3, &json!({ "workers": 3, "work_ms": 30, "noise": 0.05, "queue": 500 }));
    let result = ask_a_fleet(&[&["capacity", &url(&fixed)], &SHORT[..]].concat());
    check_near(&result, "capacity_per_s", 100.0, 0.1);
    assert_eq!(number(&result, "/sent/requests"), fixed.counts().total);
}

#[test]
fn a_fleet_finds_the_limit() {
    let gateway = host("gateway", 5, &json!({ "burst": 20, "refill_per_s": 15, "work_ms": 5 }));
    let result = ask_a_fleet(&[&["throttle", &url(&gateway)], &LIMIT[..]].concat());
    check_near(&result, "refill_per_s", 15.0, 0.1);
}

#[test]
fn a_fleet_finds_how_long_instances_are_kept() {
    let function = host("lambda", 7, &json!({ "keep_alive_s": 12, "work_ms": 100, "concurrency": 100 }));
    let gaps = ["--set", "sizes=[1,20]", "--set", "shortest_gap_s=8", "--set", "longest_gap_s=20"];
    let result = ask_a_fleet(&[&["cold-start", &url(&function)], &gaps[..]].concat());
    check_near(&result, "keep_alive_s", 12.0, 0.1);
}
