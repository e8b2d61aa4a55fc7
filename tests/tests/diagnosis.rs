//! Causes are named rightly: the fast part of what `examples/diagnosis.rs` prints.

use squall_tests::diagnosis::{Set, case};

/// Few seeds of a few profiles, in the part of the ranges that nobody tuned anything to.
#[test]
fn what_is_wrong_with_a_service_is_named_first() {
    let expected = [
        ("cache", "warm_up"),
        ("connection-limit", "connection_limit"),
        ("gateway", "rate_limited"),
        ("lambda", "cold_starts"),
        ("leak", "steady_degradation"),
        ("slow-dependency", "slow_dependency"),
    ];
    for (name, kind) in expected {
        for seed in 0..1 {
            let judged = case(name, seed, Set::HeldOut).expect("a case").judge();
            assert_eq!(judged.first(), kind, "{name} {seed}: {:#?}", judged.found);
        }
    }
}

#[test]
fn a_service_that_is_well_is_called_nothing_else() {
    for seed in 0..2 {
        let judged = case("healthy", seed, Set::HeldOut).expect("a case").judge();
        assert!(["healthy", "nothing"].contains(&judged.first()), "{seed}: {:#?}", judged.found);
    }
}
