//! Single requests: the ids that they carry, and those that are kept whole.

use std::collections::{BTreeMap, BTreeSet};

use squall_metrics::Exemplar;

use super::flow::{Scripted, ok};
use super::*;

/// What a user asks in a few iterations, each with its `traceparent`, and what was measured.
fn walk(
    steps: &str,
    events: &str,
    answer: fn(&str, usize) -> (u16, String),
) -> (Vec<(String, Option<String>)>, Merged) {
    let scenarios = format!("{{ a: {{ steps: {steps} }} }}\n{events}");
    let plan = plan("{ users: 1, duration: 60s, iterations_per_user: 20 }", &scenarios);
    let log = Rc::<RefCell<Vec<String>>>::default();
    let scripted = Scripted { log: Rc::clone(&log), answer };
    let merged = run_with(&plan, Share::WHOLE, |_| scripted);
    let split = |line: &String| match line.split_once(" traceparent ") {
        Some((line, traceparent)) => (line.to_owned(), Some(traceparent.to_owned())),
        None => (line.clone(), None),
    };
    let lines = log.borrow().iter().map(split).collect();
    (lines, merged)
}

/// The ids of those that are kept, as they are written.
fn kept(merged: &Merged) -> BTreeSet<String> {
    merged.events().iter().filter_map(|event| event.facts.trace).map(|id| id.to_string()).collect()
}

#[test]
fn each_request_carries_an_id_of_its_own_that_says_whether_it_is_kept() {
    let (lines, merged) = walk("[ { get: /a } ]", "events: { one_in: 2, traceparent: true }", ok);
    let mut ids = BTreeMap::new();
    for (_, traceparent) in &lines {
        let traceparent = traceparent.as_ref().unwrap();
        let parts: Vec<&str> = traceparent.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len(), parts.len()), ("00", 32, 16, 4));
        ids.insert(parts[1].to_owned(), parts[3].to_owned());
    }
    assert_eq!((lines.len(), ids.len()), (20, 20));
    let marked: BTreeSet<String> =
        ids.iter().filter(|(_, flags)| *flags == "01").map(|(id, _)| id.clone()).collect();
    assert!(ids.values().all(|flags| ["00", "01"].contains(&flags.as_str())));
    assert!((3..=17).contains(&marked.len()), "{} of 20", marked.len());
    assert_eq!(kept(&merged), marked);
    let slowest: Vec<&Exemplar> = merged.slowest().values().flatten().collect();
    assert_eq!(slowest.len(), 3);
    assert!(slowest.iter().all(|slow| slow.trace_sent && ids.contains_key(&slow.trace.unwrap().to_string())));
}

#[test]
fn what_is_sent_again_carries_the_same_id() {
    let steps = "[ { get: /a, retry: { times: 1, on: [503], wait: 1ms } } ]";
    let answer = |_: &str, before: usize| (if before.is_multiple_of(2) { 503 } else { 200 }, String::new());
    let (lines, merged) = walk(steps, "events: { one_in: 1, traceparent: true }", answer);
    assert_eq!((lines.len(), merged.requests(), merged.events().len()), (40, 20, 20));
    let ids: BTreeSet<&Option<String>> = lines.iter().map(|(_, traceparent)| traceparent).collect();
    assert_eq!(ids.len(), 20);
    assert!(lines.chunks(2).all(|both| both[0].1.is_some() && both[0].1 == both[1].1));
}

#[test]
fn what_is_redirected_carries_the_same_id() {
    let answer = |path: &str, _: usize| (if path == "/a" { 302 } else { 200 }, String::new());
    let steps = "[ { get: /a, follow_redirects: 3 } ]";
    let (lines, merged) = walk(steps, "events: { one_in: 1, traceparent: true }", answer);
    assert_eq!((lines.len(), merged.requests(), merged.events().len()), (40, 20, 20));
    let ids: BTreeSet<&Option<String>> = lines.iter().map(|(_, traceparent)| traceparent).collect();
    assert_eq!(ids.len(), 20);
    for both in lines.chunks(2) {
        assert_eq!((both[0].0.as_str(), both[1].0.as_str()), ("GET /a", "GET /there"));
        assert!(both[0].1.is_some() && both[0].1 == both[1].1);
    }
}

#[test]
fn a_traceparent_of_the_plan_counts_and_no_id_is_told_that_was_not_sent() {
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let steps = format!("[ {{ get: /a, headers: {{ traceparent: {own} }} }}, {{ get: /b }} ]");
    let (lines, merged) = walk(&steps, "events: { one_in: 1, traceparent: true }", ok);
    let own = Some(own.to_owned());
    assert!(lines.iter().all(|(line, traceparent)| (*traceparent == own) == (line == "GET /a")));
    let told = merged.events().iter().filter(|event| event.facts.trace_sent).count();
    assert_eq!((merged.events().len(), told), (40, 20));
}

#[test]
fn nothing_is_kept_or_said_that_the_plan_does_not_ask_for() {
    let check = |events: &str, kept: usize, says: bool| {
        let (lines, merged) = walk("[ { get: /a } ]", events, ok);
        assert_eq!(merged.events().len(), kept, "{events}");
        assert!(lines.iter().all(|(_, traceparent)| traceparent.is_some() == says), "{events}");
        assert!(lines.iter().flat_map(|(_, traceparent)| traceparent).all(|said| said.ends_with("-00")));
        let with_id = merged.slowest().values().flatten().filter(|slow| slow.trace_sent).count();
        assert_eq!(with_id, if says { 3 } else { 0 }, "{events}");
    };
    check("", 0, false);
    check("events: { one_in: 1 }", 20, false);
    check("events: { traceparent: true }", 0, true);
}

#[test]
fn a_seed_gives_the_same_journeys_with_ids_and_without() {
    let steps = "[ { get: '/{{ random_int(1, 1000000) }}' }, { think: 1ms..2ms }, { get: '/{{ uuid() }}' } ]";
    let paths = |events| -> Vec<String> {
        let (lines, _) = walk(steps, events, ok);
        lines.into_iter().map(|(line, _)| line).collect()
    };
    let without = paths("");
    assert_eq!(without.iter().collect::<BTreeSet<_>>().len(), 40);
    assert_eq!(paths("events: { one_in: 1, traceparent: true }"), without);
}
