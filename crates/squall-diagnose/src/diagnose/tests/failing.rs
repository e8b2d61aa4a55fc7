//! Requests that fail at any load, and other runs of which little can be said.

use super::*;
use crate::testing::{EXPECTED, run_on};

/// What is surer than low.
fn sure(observed: &Observed) -> Vec<Kind> {
    let found = named(observed).into_iter().filter(|(_, share)| *share >= Confidence::MEDIUM);
    found.map(|(kind, _)| kind).collect()
}

#[test]
fn an_endpoint_that_always_fails_is_said_to_and_nothing_else_is() {
    for (seed, status) in [(0, 503), (1, 503), (2, 500), (3, 404), (4, 429)] {
        for (load, length_s) in [(level as fn(f64) -> f64, 150.0), (rises, 180.0)] {
            let observed = run(seed, length_s, load, |_, endpoint, chance| {
                if endpoint == 1 { failed(status, 0.004) } else { ok(around(0.03, 0.15, chance)) }
            });
            let found = check(&observed, Kind::UnexplainedFailures);
            assert_eq!(found.endpoints, ["GET /items/:id"]);
            assert!(found.summary.contains("none of the causes"), "{}", found.summary);
            assert_eq!(sure(&observed), [Kind::UnexplainedFailures], "{status}: {:?}", named(&observed));
            assert!(named(&observed).iter().all(|(kind, _)| *kind != Kind::Healthy));
        }
    }
}

fn level(_: f64) -> f64 {
    60.0
}

fn rises(at_s: f64) -> f64 {
    10.0 + at_s / 2.0
}

#[test]
fn where_all_fail_from_the_first_second_no_cause_is_named() {
    for (seed, status) in [(0, 503), (1, 500), (2, 429), (3, 401)] {
        let observed = run(seed, 120.0, rises, |_, _, _| failed(status, 0.004));
        assert_eq!(
            named(&observed).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(),
            [Kind::UnexplainedFailures],
            "{status}"
        );
        assert_eq!(diagnose(&observed)[0].endpoints, Vec::<String>::new());
    }
}

#[test]
fn where_all_time_out_from_the_first_second_no_cause_is_named() {
    let gone = || Answer { outcome: Outcome::Timeout, takes_s: 5.0, connecting_s: None };
    let observed = run(0, 120.0, level, |_, _, _| gone());
    assert_eq!(sure(&observed), [Kind::UnexplainedFailures], "{:?}", named(&observed));
}

#[test]
fn a_part_that_fails_at_any_load_is_no_question_of_load() {
    for seed in 0..4 {
        let observed = run(seed, 180.0, rises, |_, endpoint, chance| {
            let fails = endpoint == 2 && chance.uniform() < 0.15;
            if fails { failed(500, 0.02) } else { ok(around(0.03, 0.15, chance)) }
        });
        let found = check(&observed, Kind::UnexplainedFailures);
        assert_eq!(found.endpoints, ["POST /orders"]);
        assert_eq!(sure(&observed), [Kind::UnexplainedFailures], "{:?}", named(&observed));
    }
}

#[test]
fn an_endpoint_that_always_fails_hides_no_other_cause() {
    for seed in 0..3 {
        let mut servers = Servers::new(8);
        let observed = run(
            seed,
            200.0,
            |at_s| 20.0 + 1.5 * at_s,
            |at_s, endpoint, chance| {
                if endpoint == 0 {
                    return failed(503, 0.004);
                }
                servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok)
            },
        );
        both(&observed, [Kind::UnexplainedFailures, Kind::HardCapacityLimit]);
        assert!(!sure(&observed).contains(&Kind::AutoscalingLag), "{:?}", named(&observed));
    }
}

#[test]
fn what_fails_more_at_more_load_is_not_left_unexplained() {
    for seed in 0..3 {
        let mut servers = Servers::new(8);
        let observed = run(
            seed,
            200.0,
            |at_s| 20.0 + at_s,
            |at_s, _, chance| {
                servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok)
            },
        );
        assert!(!sure(&observed).contains(&Kind::UnexplainedFailures), "{:?}", named(&observed));
    }
}

#[test]
fn what_fails_for_most_of_a_run_at_too_much_load_is_not_left_unexplained() {
    for seed in 0..3 {
        let mut servers = Servers::new(4);
        let observed = run(
            seed,
            240.0,
            |at_s| if at_s < 70.0 { 11.0 } else { 50.0 },
            |at_s, _, chance| {
                servers.serve(at_s, around(0.1, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok)
            },
        );
        assert!(!sure(&observed).contains(&Kind::UnexplainedFailures), "{:?}", named(&observed));
    }
}

#[test]
fn what_succeeded_for_some_seconds_and_never_again_is_not_left_unexplained() {
    let observed =
        run(
            1,
            240.0,
            level,
            |at_s, _, chance| if at_s < 4.0 { ok(around(0.03, 0.15, chance)) } else { failed(503, 0.2) },
        );
    assert!(!sure(&observed).contains(&Kind::UnexplainedFailures), "{:?}", named(&observed));
}

#[test]
fn a_limit_that_turns_away_from_the_first_request_on_is_a_rate() {
    for seed in 0..4 {
        let (mut tokens, mut last): (f64, f64) = (0.0, 0.0);
        let observed = run(
            seed,
            150.0,
            |_| 60.0,
            |at_s, _, chance| {
                tokens = f64::min(5.0, tokens + (at_s - last) * 30.0);
                last = at_s;
                if tokens < 1.0 {
                    return failed(429, 0.002);
                }
                tokens -= 1.0;
                ok(around(0.03, 0.2, chance))
            },
        );
        let found = check(&observed, Kind::RateLimited);
        let refill = found.evidence.number("refill_per_s").unwrap();
        assert!((refill / 30.0 - 1.0).abs() < 0.05, "{refill}");
        assert_eq!(sure(&observed), [Kind::RateLimited], "{:?}", named(&observed));
    }
}

#[test]
fn a_status_that_is_expected_is_no_failure() {
    let observed = run(2, 150.0, rises, |_, endpoint, chance| {
        let takes_s = around(0.03, 0.15, chance);
        if endpoint == 1 { failed(EXPECTED, takes_s) } else { ok(takes_s) }
    });
    check(&observed, Kind::Healthy);
    assert_eq!(sure(&observed), [Kind::Healthy], "{:?}", named(&observed));
}

#[test]
fn one_endpoint_is_enough() {
    for seed in 0..3 {
        let calm = run_on(1, seed, 150.0, rises, |_, _, chance| ok(around(0.03, 0.15, chance)));
        check(&calm, Kind::Healthy);
        assert_eq!(sure(&calm), [Kind::Healthy]);
        let mut servers = Servers::new(8);
        let short = run_on(
            1,
            seed,
            200.0,
            |at_s| 20.0 + at_s,
            |at_s, _, chance| {
                servers.serve(at_s, around(0.08, 0.1, chance), 1.0).map_or(failed(503, 0.005), ok)
            },
        );
        check(&short, Kind::HardCapacityLimit);
        let broken = run_on(1, seed, 120.0, level, |_, _, _| failed(503, 0.004));
        assert_eq!(sure(&broken), [Kind::UnexplainedFailures], "{:?}", named(&broken));
    }
}

#[test]
fn of_one_request_a_second_over_three_minutes_nothing_is_made_up() {
    for seed in 0..20 {
        let observed = run(seed, 180.0, |_| 1.0, |_, _, chance| ok(around(0.03, 0.15, chance)));
        assert!(sure(&observed).iter().all(|kind| *kind == Kind::Healthy), "{:?}", named(&observed));
        let some = run(
            seed,
            180.0,
            |_| 1.0,
            |_, _, chance| {
                if chance.uniform() < 0.03 { failed(500, 0.03) } else { ok(around(0.03, 0.15, chance)) }
            },
        );
        let known = [Kind::Healthy, Kind::UnexplainedFailures];
        assert!(sure(&some).iter().all(|kind| known.contains(kind)), "{:?}", named(&some));
    }
}
