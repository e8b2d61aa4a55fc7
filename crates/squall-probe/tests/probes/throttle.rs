//! Limits of all kinds, and services that have none or that cannot be asked.

use serde_json::json;
use squall_probe::{Done, Estimate, LimitKind, Probe, Scope, Step, Throttle, ThrottleAnswer};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::Lab;

fn ask(lab: &mut Lab, probe: &Throttle) -> (Vec<Done>, Step, ThrottleAnswer) {
    let (history, step) = lab.run(probe);
    let answer = probe.answer(&history);
    (history, step, answer)
}

fn claims_nothing(answer: &ThrottleAnswer) -> bool {
    answer.kind.is_none()
        && answer.refill_per_s.is_none()
        && answer.burst.is_none()
        && answer.concurrency.is_none()
        && answer.scope.is_none()
        && answer.recovery_s.is_none()
}

#[test]
fn the_limit_its_numbers_and_who_shares_it_are_found() {
    let off = |found: Option<Estimate>, truth: f64| (found.unwrap().value / truth - 1.0).abs();
    let mut held = 0;
    for seed in 0..30 {
        let case = cases::throttle(seed);
        let answer = &case.answer;
        let about = || format!("seed {seed}: {} {answer:?}", case.settings);
        assert_eq!((answer.kind, answer.scope), (Some(case.kind), Some(case.scope)), "{}", about());
        match case.kind {
            LimitKind::Rate => {
                assert!(off(answer.refill_per_s, case.refill_per_s) <= 0.05, "{}", about());
                let burst = answer.burst.unwrap();
                assert!((burst.low..=burst.high).contains(&case.burst), "{}", about());
                assert!((burst.value - case.burst).abs() <= 0.1 * case.burst, "{}", about());
                let refill = answer.refill_per_s.unwrap();
                held += usize::from((refill.low..=refill.high).contains(&case.refill_per_s));
            }
            LimitKind::Concurrency => {
                assert!(off(answer.concurrency, case.concurrency) <= 0.05, "{}", about());
            }
        }
        if answer.retry_after.is_named == Some(true) {
            assert_eq!(answer.retry_after.is_honest, Some(true), "{}", about());
        }
        assert!(answer.untold.is_empty(), "{}", about());
    }
    assert!(held >= 18, "{held} of 20");
}

#[test]
fn no_rate_is_kept_above_the_limit_for_longer_than_a_number_needs() {
    for seed in 0..10 {
        let case = cases::throttle(seed);
        let limited: u64 = case.answer.curve.iter().map(|point| point.limited).sum();
        // Thousands of refusals would be an attack.
        assert!(limited < 12_000, "seed {seed}: {limited}");
        let peak = case.history.iter().map(|done| match done.round.load {
            squall_probe::Load::Rate { per_s, .. } => per_s,
            _ => 0.0,
        });
        assert!(peak.fold(0.0, f64::max) <= case.probe.most_per_s);
    }
}

#[test]
fn a_retry_after_that_is_too_short_is_called_dishonest() {
    for seed in 0..6 {
        let settings = json!({ "burst": 10, "refill_per_s": 0.25, "retry_after_factor": 0.3 });
        let mut lab = Lab::of("gateway", seed, &settings);
        let answer = ask(&mut lab, &Throttle::default()).2;
        assert_eq!(answer.retry_after.is_honest, Some(false), "{answer:?}");
        let recovery = answer.recovery_s.unwrap();
        assert!(recovery.low < 4.0 && recovery.high >= 2.0, "{answer:?}");
        assert!(answer.advice.contains("Do not trust"), "{}", answer.advice);
    }
}

#[test]
fn a_limit_of_a_function_is_one_of_how_many_at_a_time() {
    for (seed, concurrency) in [(1, 10), (2, 40), (3, 120)] {
        let settings = json!({ "concurrency": concurrency, "work_ms": 200.0 });
        let mut lab = Lab::of("lambda", seed, &settings);
        let probe = Throttle { most_per_s: 4_000.0, ..Throttle::default() };
        let answer = ask(&mut lab, &probe).2;
        let found = answer.concurrency.unwrap();
        assert!((found.value / f64::from(concurrency) - 1.0).abs() <= 0.05, "{answer:?}");
        // Nobody else was there to share it.
        assert_eq!((answer.kind, answer.scope), (Some(LimitKind::Concurrency), None));
    }
}

/// Four generators that come from so few addresses, or do not know from which.
fn from_addresses(addresses: u32, settings: &serde_json::Value) -> ThrottleAnswer {
    let mut lab = Lab::of("gateway", 1, settings);
    // Whoever does not know its address has one all the same.
    (lab.addresses, lab.knows_addresses) = (addresses.max(1), addresses > 0);
    ask(&mut lab, &Throttle { senders: 4, keys: 3, ..Throttle::default() }).2
}

#[test]
fn one_address_for_all_generators_does_not_tell_who_shares_a_limit() {
    for limit in [json!({ "burst": 50, "refill_per_s": 20.0 }), json!({ "concurrency": 20, "work_ms": 200 })]
    {
        let mut settings = limit;
        settings["per"] = json!("address");
        for (addresses, doubt) in
            [(0, "it is not known from where requests come"), (1, "all generators have the same")]
        {
            let answer = from_addresses(addresses, &settings);
            assert_eq!(answer.scope, Some(Scope::GlobalOrAddress), "{answer:?}");
            assert_eq!(answer.addresses, (addresses > 0).then_some(addresses));
            assert!(answer.untold.iter().any(|untold| untold.contains(doubt)), "{:?}", answer.untold);
        }
    }
}

#[test]
fn a_few_addresses_for_many_generators_tell_who_shares_a_limit() {
    for (addresses, per, scope) in [
        (2, "address", Scope::Address),
        (2, "all", Scope::Global),
        (3, "address", Scope::Address),
        (3, "all", Scope::Global),
    ] {
        // So small that full ones of others make no difference.
        let settings = json!({ "burst": 5, "refill_per_s": 20.0, "per": per });
        let answer = from_addresses(addresses, &settings);
        assert_eq!((answer.scope, answer.addresses), (Some(scope), Some(addresses)), "{answer:?}");
    }
}

#[test]
fn a_limit_below_one_a_second_is_asked_for_no_more_than_allowed() {
    let mut lab = Lab::of("gateway", 1, &json!({ "burst": 2, "refill_per_s": 0.2 }));
    let probe = Throttle { most_per_s: 0.8, most_burst: 3, ..Throttle::default() };
    let (history, _, answer) = ask(&mut lab, &probe);
    assert_eq!(answer.kind, Some(LimitKind::Rate), "{answer:?}");
    assert!(history.iter().all(|done| match done.round.load {
        squall_probe::Load::Rate { per_s, .. } => per_s <= 0.8,
        squall_probe::Load::Burst { requests } => requests <= 3,
        squall_probe::Load::Users { .. } => false,
    }));
}

#[test]
fn a_limit_that_lets_nearly_nothing_through_is_not_called_none() {
    let mut lab = Lab::of("gateway", 1, &json!({ "burst": 1, "refill_per_s": 0.02 }));
    let answer = ask(&mut lab, &Throttle::default()).2;
    assert!(answer.untold.iter().any(|untold| untold.contains("all are turned away")), "{:?}", answer.untold);
}

#[test]
fn a_burst_that_was_sent_late_is_known_less_closely() {
    let mut lab = Lab::of("gateway", 1, &json!({ "burst": 100, "refill_per_s": 40.0 }));
    lab.burst_s = 1.5;
    let answer = ask(&mut lab, &Throttle::default()).2;
    let burst = answer.burst.unwrap();
    assert!((burst.low..=burst.high).contains(&100.0) && burst.high - burst.low > 20.0, "{burst:?}");
    // What flowed in meanwhile is not in it.
    assert!((burst.value / 100.0 - 1.0).abs() <= 0.1, "{burst:?}");
}

#[test]
fn what_is_never_turned_away_has_no_limit_that_was_found() {
    let mut lab = Lab::new(Odd::service(1, |_, _, _| (3_000, 200)));
    let probe = Throttle::default();
    let (_, step, answer) = ask(&mut lab, &probe);
    assert!(step == Step::Enough && claims_nothing(&answer), "{answer:?}");
    assert_eq!((answer.kept_per_s, answer.kept_burst), (Some(1_000.0), Some(1_000)));
    assert!(answer.untold[0].contains("cache"), "{:?}", answer.untold);
}

#[test]
fn a_limit_above_what_generators_can_make_is_not_guessed() {
    let mut lab = Lab::of("gateway", 1, &json!({ "burst": 5_000, "refill_per_s": 800.0 }));
    lab.most_per_s = 500.0;
    let answer = ask(&mut lab, &Throttle::default()).2;
    assert!(claims_nothing(&answer), "{answer:?}");
    assert!(answer.untold[0].contains("cannot make"), "{:?}", answer.untold);
}

#[test]
fn who_is_down_broken_or_closed_to_all_is_left_alone() {
    for (status, word, rounds) in
        [(500, "all requests fail", 1), (0, "all requests fail", 1), (429, "turned away", 4)]
    {
        let mut lab = Lab::new(Odd::service(1, move |_, _, _| (2_000, status)));
        let (history, step, answer) = ask(&mut lab, &Throttle::default());
        assert!(matches!(&step, Step::Stop(why) if why.contains(word)), "{step:?}");
        assert!(history.len() == rounds && claims_nothing(&answer), "{answer:?}");
        assert!(answer.untold[0].contains(word), "{:?}", answer.untold);
    }
}

#[test]
fn an_interrupted_probe_claims_only_what_it_saw() {
    for seed in 0..9 {
        let case = cases::throttle(seed);
        for length in 0..=case.history.len() {
            let answer = case.probe.answer(&case.history[..length]);
            let about = || format!("seed {seed}, {length} rounds: {} {answer:?}", case.settings);
            assert!(answer.kind.is_none_or(|kind| kind == case.kind), "{}", about());
            let holds = |found: Option<Estimate>, truth: f64| {
                found.is_none_or(|found| found.low * 0.9 <= truth && truth <= found.high * 1.1)
            };
            assert!(holds(answer.refill_per_s, case.refill_per_s), "{}", about());
            assert!(holds(answer.burst, case.burst), "{}", about());
            assert!(holds(answer.concurrency, case.concurrency), "{}", about());
            let next = case.probe.next(&case.history[..length]);
            let then = case.history.get(length).map(|done| Step::Send(done.round.clone()));
            assert!(then.is_none_or(|then| then == next), "{}", about());
        }
    }
}
