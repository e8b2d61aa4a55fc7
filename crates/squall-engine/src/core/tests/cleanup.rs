//! What is made is undone: at the end of the user, or of the slice; what cannot be is told.

use std::collections::BTreeMap;

use super::flow::{Scripted, ok};
use super::*;

const STEPS: &str = "{ post: /carts, capture: { id: $.id }, cleanup: { delete: '/carts/{{ id }}?force=1' } }";

/// What was asked, in order, and what was measured.
fn walk(load: &str, steps: &str, answer: fn(&str, usize) -> (u16, String)) -> (Vec<String>, Merged) {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let scripted = Scripted { log: Rc::clone(&log), answer };
    let merged = run_with(&plan(load, &format!("{{ a: {{ {steps} }} }}")), Share::WHOLE, |_| scripted);
    let lines = log.borrow().clone();
    (lines, merged)
}

/// Gives what is made numbers.
fn numbered(path: &str, before: usize) -> (u16, String) {
    if path == "/carts" { (200, format!("{{\"id\":\"c{before}\"}}")) } else { ok(path, before) }
}

fn counts(merged: &Merged) -> (u64, u64, BTreeMap<String, u64>) {
    let cleanup = merged.cleanup();
    (cleanup.created, cleanup.undone, cleanup.left.clone())
}

#[test]
fn what_a_user_made_is_undone_when_it_ends_the_latest_first() {
    let load = "{ users: 1, duration: 60s, iterations_per_user: 2 }";
    let steps = format!("steps: [ {STEPS} ], after: [ {{ post: /logout }} ]");
    let (lines, merged) = walk(load, &steps, numbered);
    let undone = ["DELETE /carts/c1?force=1", "DELETE /carts/c0?force=1"];
    assert_eq!(lines, ["POST /carts", "POST /carts", "POST /logout", undone[0], undone[1]]);
    assert_eq!(counts(&merged), (2, 2, BTreeMap::new()));
}

#[test]
fn what_was_not_made_is_not_undone() {
    let load = "{ users: 1, duration: 60s, iterations_per_user: 1 }";
    let (lines, merged) = walk(load, &format!("steps: [ {STEPS} ]"), |_, _| (500, String::new()));
    assert_eq!((lines.len(), counts(&merged)), (1, (0, 0, BTreeMap::new())));
}

#[test]
fn what_is_gone_already_counts_as_undone() {
    let load = "{ users: 1, duration: 60s, iterations_per_user: 1 }";
    let answer =
        |path: &str, before| if path == "/carts" { numbered(path, before) } else { (410, String::new()) };
    let (_, merged) = walk(load, &format!("steps: [ {STEPS} ]"), answer);
    assert_eq!(counts(&merged), (1, 1, BTreeMap::new()));
    let series: Vec<u64> = merged.series().values().map(|series| series.counts.errors).collect();
    assert_eq!(series, [0, 0]);
}

#[test]
fn what_failed_is_tried_again_at_the_end_and_then_told() {
    let load = "{ users: 1, duration: 60s, iterations_per_user: 1 }";
    let once = |path: &str, before: usize| match before {
        0 => numbered(path, before),
        1 => (503, String::new()),
        _ => ok(path, before),
    };
    let (lines, merged) = walk(load, &format!("steps: [ {STEPS} ]"), once);
    assert_eq!((lines.len(), counts(&merged)), (3, (1, 1, BTreeMap::new())));
    let never =
        |path: &str, before: usize| if before == 0 { numbered(path, before) } else { (503, String::new()) };
    let (lines, merged) = walk(load, &format!("steps: [ {STEPS} ]"), never);
    let left = BTreeMap::from([("DELETE /carts/c0".to_owned(), 1)]);
    assert_eq!((lines.len(), counts(&merged)), (3, (1, 0, left)));
}

#[test]
fn users_that_are_cut_off_leave_it_to_the_end_of_the_slice() {
    let load = "{ users: 20, duration: 1s, graceful_stop: 0s }";
    let steps = format!("steps: [ {{ parallel: [ [ {STEPS} ], [ {STEPS} ] ] }}, {{ think: 60s }} ]");
    let (lines, merged) = walk(load, &steps, numbered);
    assert_eq!((lines.len(), counts(&merged)), (80, (40, 40, BTreeMap::new())));
    let requests: u64 = merged.series().values().map(|series| series.counts.requests).sum();
    assert_eq!(requests, 80);
}

#[test]
fn a_target_that_hangs_does_not_hold_up_the_end() {
    let load = "{ users: 50, duration: 1s, graceful_stop: 0s }";
    let log = Rc::<RefCell<Vec<String>>>::default();
    let scripted = Scripted { log: Rc::clone(&log), answer: numbered };
    let text = format!(
        "target: http://127.0.0.1:1\nhttp: {{ timeout: 60s }}\nload: {load}\nscenarios: {{ a: {{ steps: [ {STEPS}, {{ think: 60s }} ] }} }}"
    );
    let plan = Arc::new(compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan);
    assert_eq!(plan.latest_request(), Duration::from_secs(11));
    let merged = run_with(&plan, Share::WHOLE, |_| Hanging(scripted));
    let (created, undone, left) = counts(&merged);
    assert_eq!((created, undone), (50, 0));
    assert_eq!(left.values().sum::<u64>(), 50);
    let last = merged.seconds().last_key_value().map(|(second, _)| *second);
    assert!(last.is_some_and(|second| (10..=11).contains(&second)), "{last:?}");
}

/// Answers what makes something, and nothing else.
struct Hanging(Scripted);

impl Connect for Hanging {
    fn connect(
        &self,
        origin: &Origin,
        phases: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        if self.0.log.borrow().len() < 50 {
            return self.0.connect(origin, phases);
        }
        Box::pin(std::future::pending())
    }
}
