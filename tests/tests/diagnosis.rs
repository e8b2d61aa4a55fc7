//! Causes are named rightly: the fast part of what `examples/diagnosis.rs` prints.

use squall_tests::diagnosis::{Judged, Set, TELEMETRY, case};

/// One seed of a few profiles, of those that thresholds were chosen by: the others are drawn anew for each report.
#[test]
fn what_is_wrong_with_a_service_is_named_first() {
    let expected = [
        ("cache", "warm_up"),
        ("connection-limit", "connection_limit"),
        ("deployment", "restart_or_deployment"),
        ("gateway", "rate_limited"),
        ("lambda", "cold_starts"),
        ("leak", "steady_degradation"),
        ("pods", "autoscaling_lag"),
        ("slow-dependency", "slow_dependency"),
    ];
    for (name, kind) in expected {
        let judged = case(name, 0, Set::Development).expect("a case").judge();
        assert_eq!(judged.first(), kind, "{name}: {:#?}", judged.found);
    }
}

#[test]
fn a_service_that_is_well_is_called_nothing_else() {
    for seed in 0..2 {
        let judged = case("healthy", seed, Set::Development).expect("a case").judge();
        assert!(["healthy", "nothing"].contains(&judged.first()), "{seed}: {:#?}", judged.found);
    }
}

#[test]
fn both_causes_of_a_pair_are_named() {
    for name in ["network before fixed", "deployment before leak", "gateway before pods"] {
        let judged = case(name, 0, Set::Development).expect("a case").judge();
        let right = judged.right();
        assert_eq!(right.len(), 2, "{name}");
        for kind in right {
            assert!(
                judged.named().any(|named| named == kind),
                "{name}: {kind} is missing: {:#?}",
                judged.found
            );
        }
    }
}

#[test]
fn the_first_scale_event_is_timed_within_a_second() {
    let judged = case("pods", 1, Set::Development).expect("a case").judge();
    let estimate = judged.estimate("autoscaling_lag", "first_scale_event_at_s", "first_scale_event_s");
    let estimate = estimate.expect("an estimate");
    assert!((estimate.value - estimate.truth).abs() <= 1.0, "{estimate:?}");
}

/// How sure a cause is, if it was found.
fn share(judged: &Judged, kind: &str) -> f64 {
    let found = judged.found.iter().find(|found| found.kind.name() == kind);
    found.map_or(0.0, |found| found.confidence.share())
}

#[test]
fn what_instruments_say_makes_causes_surer_and_the_less_they_say_the_less_so() {
    let causes = [
        ("pods", "autoscaling_lag"),
        ("fixed", "hard_capacity_limit"),
        ("lambda, few at a time", "concurrency_throttled"),
        ("slow-dependency", "slow_dependency"),
        ("deployment", "restart_or_deployment"),
    ];
    for (name, kind) in causes {
        let mut sums = [0.0; 3];
        for seed in 0..3 {
            let judged = case(name, seed, Set::Development).expect("a case").judge_with(TELEMETRY);
            for (sum, judged) in sums.iter_mut().zip(&judged) {
                let is_right = judged.right().iter().any(|right| right == judged.first());
                assert!(is_right, "{name} {seed}: {:#?}", judged.found);
                *sum += share(judged, kind);
            }
        }
        let [none, partial, whole] = sums;
        // What is left out may be what was doubtful, so a little is allowed for.
        assert!(none <= partial && partial < whole + 0.02 && none < whole, "{name}: {sums:?}");
    }
}

#[test]
fn a_service_that_is_well_is_so_whatever_its_instruments_say() {
    for name in ["healthy", "healthy, few connections"] {
        for judged in case(name, 3, Set::Development).expect("a case").judge_with(TELEMETRY) {
            assert!(["healthy", "nothing"].contains(&judged.first()), "{name}: {:#?}", judged.found);
        }
    }
}

#[test]
fn cold_starts_are_named_where_requests_share_connections() {
    let first =
        |seed| case("lambda, few connections", seed, Set::Development).expect("a case").judge().first();
    let right = (0..4).filter(|seed| first(*seed) == "cold_starts");
    assert!(right.count() >= 3);
}
