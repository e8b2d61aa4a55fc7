//! The fence: nothing is begun behind it, also where the whole process stood still and all its timers are due at once.

use tokio::time::{advance, sleep_until};

use super::handover::{ALL, Part, Ran, SECOND, run_alone, run_part, user_us};
use super::*;

/// Runs a plan whose process stands still from one instant to another, with a fence between them.
fn run_stopped(plan: &Arc<Plan>, part: Part, stops: Duration, fence: Duration, goes_on: Duration) -> Ran {
    run_part(plan, part, move |stopper, epoch| async move {
        stopper.allow_until(epoch + fence);
        sleep_until(epoch + stops).await;
        // Whatever is being written arrives.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        advance(goes_on.saturating_sub(stops)).await;
    })
}

fn after(ran: &Ran, instant: Duration) -> usize {
    ran.log.iter().filter(|(at, _)| *at >= i64::try_from(instant.as_millis()).unwrap()).count()
}

#[test]
fn a_process_that_stood_still_begins_nothing_behind_the_fence() {
    let steps = "[ { get: /a }, { think: 30ms }, { get: /b } ]";
    let scenarios = format!(
        "{{ a: {{ think: 70ms, steps: {steps} }}, b: {{ before: [ {{ post: /in }} ], think: 1s, steps: {steps} }} }}"
    );
    let fence = 5 * SECOND;
    for load in [
        "{ users: 60, duration: 1m }",
        "{ rate: 200/s, duration: 1m, max_users: 400 }",
        "{ rate: 200/s, duration: 1m, max_users: 10, when_full: queue }",
        "{ rate: 200/s, duration: 1m, users: fresh, max_users: 400 }",
        "{ stages: [ { duration: 4900ms, users: 1 }, { duration: 1s, users: 400 } ] }",
    ] {
        for http in ["{}", "{ connections: shared }"] {
            let plan = plan_with(http, load, &scenarios);
            for stops_ms in [4_000, 4_957, 4_999] {
                let stops = Duration::from_millis(stops_ms);
                let ran = run_stopped(&plan, ALL, stops, fence, 30 * SECOND);
                let what = format!("{load} {http} {stops:?}");
                assert!(
                    !ran.log.is_empty() && after(&ran, stops + SECOND / 500) == 0,
                    "{what}: {:?}",
                    ran.log.last()
                );
                // It is over at once, and what was known before is all that is counted.
                assert!(ran.ended >= 30 * SECOND && ran.ended < 31 * SECOND, "{what}: {:?}", ran.ended);
                let (scheduled, started, dropped) = arrivals(&ran.merged);
                assert!(scheduled <= stops_ms / 5 + 2 && started + dropped <= scheduled, "{what}");
                let late =
                    |(_, second): (&i32, &Second)| second.iterations.started + second.arrivals.scheduled;
                assert_eq!(ran.merged.seconds().range(5..).map(late).sum::<u64>(), 0, "{what}");
                if load.contains("users: 60") {
                    assert_eq!(user_us(&ran), 60 * 5_000_000, "{what}");
                }
                let seen = ran.merged.seconds().range(5..).any(|(_, second)| second.health.slice_seconds > 0);
                assert!(!seen, "{what}: behind the fence the seconds are somebody else's");
            }
        }
    }
}

#[test]
fn a_slice_in_which_nothing_begins_finds_the_fence_passed_all_the_same() {
    let plan = plan("{ rate: 6/h, duration: 10h }", "{ a: { steps: [ { get: / } ] } }");
    let ran = run_part(&plan, ALL, |stopper, epoch| async move {
        stopper.allow_until(epoch + 60 * SECOND);
        sleep_until(epoch + 600 * SECOND).await;
        // Too late.
        stopper.allow_until(epoch + 36_000 * SECOND);
    });
    assert!(ran.ended >= 60 * SECOND && ran.ended <= 61 * SECOND, "{:?}", ran.ended);
    assert_eq!(ran.log.len(), 1);
}

#[test]
fn a_fence_that_moves_on_in_time_changes_nothing() {
    let scenarios = "{ a: { before: [ { post: /in } ], think: 100ms, steps: [ { get: '/{{ vu.id }}/{{ iteration }}' } ] } }";
    for load in ["{ users: 20, duration: 20s }", "{ rate: 50/s, duration: 20s }"] {
        let plan = plan(load, scenarios);
        let fenced = run_part(&plan, ALL, |stopper, _| async move {
            loop {
                stopper.allow_until(Instant::now() + SECOND);
                tokio::time::sleep(SECOND / 2).await;
            }
        });
        let free = run_alone(&plan, ALL);
        assert_eq!(fenced.log, free.log);
        assert_eq!(fenced.merged.outcomes(), free.merged.outcomes());
        assert_eq!(user_us(&fenced), user_us(&free));
    }
}

#[test]
fn neither_another_try_nor_another_place_is_behind_the_fence() {
    // Between two seconds: on a second the slice would find it passed anyway.
    const FENCE: Duration = Duration::from_millis(1_500);
    let check = |steps: &str, part: Part, expected: &[&str]| {
        let plan = plan("{ users: 1, duration: 1m }", &format!("{{ a: {{ steps: {steps} }} }}"));
        let ran = run_part(&plan, part, |stopper, epoch| async move { stopper.allow_until(epoch + FENCE) });
        let paths: Vec<&str> = ran.log.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(paths, expected);
        assert_eq!(ran.merged.outcomes().into_iter().collect::<Vec<_>>(), [(Outcome::Unfinished, 1)]);
    };
    check("[ { get: /busy, retry: { times: 1, on: [503], wait: 1490ms } } ]", ALL, &["/busy"]);
    let slow = Part { takes: FENCE, ..ALL };
    check("[ { get: /old, follow_redirects: 5 } ]", slow, &["/old"]);
}

#[test]
fn what_users_have_left_stays_behind_the_fence() {
    let step = "{ post: /carts, capture: { id: $.id }, cleanup: { delete: '/carts/{{ id }}' } }";
    let plan = plan("{ users: 3, duration: 1m }", &format!("{{ a: {{ think: 1h, steps: [ {step} ] }} }}"));
    let ran = run_stopped(&plan, ALL, 2 * SECOND, 3 * SECOND, 10 * SECOND);
    let cleanup = ran.merged.cleanup();
    assert_eq!((cleanup.created, cleanup.undone, cleanup.left.values().sum::<u64>()), (3, 0, 3));
    assert!(ran.ended < 11 * SECOND && ran.log.len() == 3, "{:?} {:?}", ran.ended, ran.log);
    // A slice that is only handed over undoes what it has made.
    let ran = run_part(&plan, ALL, |stopper, epoch| async move { stopper.end_at(epoch + 2 * SECOND) });
    assert_eq!((ran.merged.cleanup().created, ran.merged.cleanup().undone), (3, 3));
}
