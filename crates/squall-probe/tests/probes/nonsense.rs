//! Whatever is observed, no probe panics or goes on for ever, and no number is one that is none.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use squall_probe::{
    Capacity, ColdStart, Connections, Done, Load, Observed, Own, Probe, Round, Second, Step, Throttle,
};

/// More rounds than any probe sends.
const ROUNDS: usize = 200;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1e4_f64,
        1 => -10.0..0.0_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(1e300),
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..2_000_u64, 2 => Just(0), 1 => Just(u64::MAX)]
}

fn second() -> impl Strategy<Value = Second> {
    (count(), count(), count(), count(), 0..3_u64, 0..3_u64).prop_map(
        |(scheduled, dropped, good, limited, unavailable, failed)| Second {
            scheduled,
            dropped: dropped / 100,
            good,
            limited,
            unavailable,
            failed,
        },
    )
}

fn pairs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec((prop_oneof![5 => 0..5_000_000_u64, 1 => Just(u64::MAX)], count()), 0..12)
}

fn observed() -> impl Strategy<Value = Observed> {
    (
        number(),
        vec(second(), 0..12),
        pairs(),
        pairs(),
        vec((number(), count()), 0..3),
        any::<bool>(),
        number(),
    )
        .prop_map(|(idle_s, seconds, good_us, limited_us, retry_after_s, tainted, cpu_s)| Observed {
            idle_s,
            seconds,
            lag_us: limited_us.clone(),
            good_us,
            limited_us,
            retry_after_s,
            retry_after_dates: 0,
            failures: vec![("503".to_owned(), u64::MAX)],
            addresses: 1,
            cpu_s,
            tainted,
        })
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        any::<u32>().prop_map(|requests| Load::Burst { requests }),
        (number(), number()).prop_map(|(per_s, seconds)| Load::Rate { per_s, seconds }),
        (any::<u32>(), number(), any::<Option<u32>>(), number())
            .prop_map(|(users, seconds, each, every_s)| Load::Users { users, seconds, each, every_s }),
    ]
}

fn done() -> impl Strategy<Value = Done> {
    (load(), number(), number(), observed()).prop_map(|(load, idle_s, warm_s, observed)| Done {
        round: Round {
            purpose: String::new(),
            idle_s,
            warm_s,
            load,
            connections: Connections::Kept,
            senders: 0,
            keys: 0,
        },
        observed,
    })
}

/// Answers a probe's rounds with whatever comes next.
fn answered<P: Probe>(probe: &P, with: &[Observed]) -> Vec<Done> {
    let mut history = Vec::new();
    while let Step::Send(round) = probe.next(&history) {
        assert!(history.len() < ROUNDS, "no end");
        check_round(&round);
        let observed = with[history.len() % with.len()].clone();
        history.push(Done { round, observed });
    }
    history
}

/// What may be sent.
fn check_round(round: &Round) {
    let is_sane = |value: f64| value.is_finite() && value >= 0.0;
    assert!(
        is_sane(round.idle_s) && is_sane(round.warm_s) && round.senders >= 1 && round.keys >= 1,
        "{round:?}"
    );
    match round.load {
        Load::Burst { requests } => assert!(requests >= 1, "{round:?}"),
        Load::Rate { per_s, seconds } => {
            assert!(is_sane(per_s) && per_s > 0.0 && is_sane(seconds) && seconds > 0.0, "{round:?}");
        }
        Load::Users { users, seconds, each, every_s } => {
            assert!(users >= 1 && is_sane(seconds) && seconds > 0.0, "{round:?}");
            assert!(each != Some(0) && is_sane(every_s), "{round:?}");
        }
    }
}

/// Intervals hold their values, and what is no number is not said to be one: JSON has none, and would say `null`.
fn check_answer(answer: &Value) {
    match answer {
        Value::Object(fields) => {
            if let (Some(low), Some(value), Some(high)) =
                (fields.get("low"), fields.get("value"), fields.get("high"))
            {
                let [low, value, high] = [low, value, high].map(Value::as_f64);
                assert!(low.is_some() && low <= value && value <= high, "{answer}");
            }
            fields.values().for_each(check_answer);
        }
        Value::Array(items) => items.iter().for_each(check_answer),
        _ => {}
    }
}

#[expect(clippy::unwrap_used, reason = "an answer that is no JSON is a mistake")]
fn check<P: Probe>(probe: &P, with: &[Observed], history: &[Done]) {
    for history in [&answered(probe, with)[..], history] {
        for length in 0..=history.len() {
            let answer = serde_json::to_value(probe.answer(&history[..length])).unwrap();
            check_answer(&answer);
            let untold = answer["untold"].as_array().map_or(0, Vec::len);
            assert!(
                untold < 20 && answer["advice"].as_str().is_some_and(|advice| !advice.is_empty()),
                "{answer}"
            );
            probe.next(&history[..length]);
        }
    }
    let outlook = probe.outlook();
    assert!(outlook.takes_s.is_finite() && outlook.peak_per_s > 0.0 && outlook.rounds > 0, "{outlook:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn capacity_bears_nonsense(with in vec(observed(), 1..6), history in vec(done(), 0..6), start in number(), most in number()) {
        check(&Capacity { start_per_s: start, most_per_s: most, ..Capacity::default() }, &with, &history);
    }

    #[test]
    fn throttle_bears_nonsense(with in vec(observed(), 1..6), history in vec(done(), 0..6), most in number(), idle in number()) {
        let probe = Throttle { most_per_s: most, longest_idle_s: idle, senders: 4, keys: 2, ..Throttle::default() };
        check(&probe, &with, &history);
    }

    #[test]
    fn cold_start_bears_nonsense(with in vec(observed(), 1..6), history in vec(done(), 0..6), gap in number(), size in any::<u32>()) {
        let probe = ColdStart { longest_gap_s: gap, sizes: vec![size, 0, 30], ..ColdStart::default() };
        check(&probe, &with, &history);
    }

    #[test]
    fn own_bears_nonsense(with in vec(observed(), 1..6), history in vec(done(), 0..6), start in number(), truth in number()) {
        check(&Own { start_per_s: start, truth_us: Some(truth), ..Own::default() }, &with, &history);
    }
}
