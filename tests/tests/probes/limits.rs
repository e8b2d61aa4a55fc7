//! Limits of other kinds than a bucket, and refusals by other names.

use serde_json::{Value, json};
use squall_tests::Place;
use squall_tests::script::{Act, Script, Server};

use super::{check_near, host, number, probe, url};

/// Probes that are short.
const QUICK: [&str; 6] = ["--max-rate", "100", "--set", "longest_idle_s=20", "--set", "longest_round_s=20"];

#[test]
fn a_window_and_what_it_lets_through_are_found() {
    let gateway = host("gateway", 1, &json!({ "burst": 25, "window_s": 8, "work_ms": 5, "per": "key" }));
    let keys = ["--key", "a", "--key", "b"];
    let (ran, result) = probe(&Place::new(), &[&["throttle", &url(&gateway)], &QUICK[..], &keys].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(result["answer"]["kind"], "window", "{result:#}");
    assert_eq!(number(&result, "/sent/requests"), gateway.counts().total);
    check_near(&result, "in_window", 25.0, 0.03);
    check_near(&result, "window_s", 8.0, 0.1);
    assert!(ran.stdout.contains("It lets 25.0 requests through in a window of 8"), "{}", ran.stdout);
    assert_eq!(result["answer"]["scope"], "key", "{result:#}");
    let held = &result["answer"]["retry_after"];
    assert_eq!((&held["is_named"], &held["is_honest"]), (&json!(true), &json!(true)), "{result:#}");
}

#[test]
fn who_refuses_by_another_name_is_told_how_to_name_it() {
    let crowded = host("fixed", 1, &json!({ "workers": 1, "queue": 0, "work_ms": 200 }));
    let (ran, result) = probe(&Place::new(), &[&["throttle", &url(&crowded)], &QUICK[..]].concat());
    let told = result["ending"]["reason"].to_string();
    assert!(ran.code == 98 && told.contains("503") && told.contains("--limited-status"), "{told}");
    let named = ["--limited-status", "503"];
    let (ran, result) = probe(&Place::new(), &[&["throttle", &url(&crowded)], &QUICK[..], &named].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(!result["answer"]["kind"].is_null(), "{result:#}");
}

#[test]
fn a_date_to_come_back_at_is_told_from_none() {
    let date = "Retry-After: Fri, 27 Nov 2026 08:00:00 GMT\r\n";
    for (header, told, is_date) in [(date, "is named as a date", true), ("", "is not named", false)] {
        let answer = format!("HTTP/1.1 429 Too Many Requests\r\n{header}Content-Length: 0\r\n\r\n");
        let closed = Server::start(Script::new([Act::Head, Act::text(&answer)]), Vec::new());
        let of = format!("http://{}/", closed.address());
        let few = ["throttle", &of, "--set", "longest_idle_s=2"];
        let (ran, result) = probe(&Place::new(), &few);
        assert_eq!(result["answer"]["retry_after"]["is_date"], is_date, "{result:#}");
        let held = result["findings"].as_array().map_or(&[][..], Vec::as_slice);
        let found = held.iter().find(|finding| finding["name"] == "Retry-After").map(Value::to_string);
        assert!(found.is_some_and(|found| found.contains(told)), "{}\n{result:#}", ran.stdout);
    }
}
