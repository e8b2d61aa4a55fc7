//! Limits of all kinds, and services that have none or that cannot be asked.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;
use squall_probe::{Done, Estimate, LimitKind, Probe, Scope, Step, Throttle, ThrottleAnswer};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::{Chance, Lab, micros, whole};

fn ask(lab: &mut Lab, probe: &Throttle) -> (Vec<Done>, Step, ThrottleAnswer) {
    let (history, step) = lab.run(probe);
    let answer = probe.answer(&history);
    (history, step, answer)
}

/// So many requests in each window, which begins when it does by the clock, or goes back so far from each request.
fn windows(many: u32, window_s: f64, (slides, per_key): (bool, bool)) -> Lab {
    let window_us = micros(window_s);
    let mut passed: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
    Lab::new(Odd::service(1, move |at_us, ask, _| {
        let begin_us =
            if slides { (at_us + 1).saturating_sub(window_us) } else { at_us / window_us * window_us };
        let passed = passed.entry(if per_key { ask.key } else { 0 }).or_default();
        while passed.front().is_some_and(|passed_us| *passed_us < begin_us) {
            passed.pop_front();
        }
        if passed.len() >= many as usize {
            return (1_000, 429);
        }
        passed.push_back(at_us);
        (3_000, 200)
    }))
}

#[test]
fn how_many_a_window_lets_through_and_how_long_it_is_are_found() {
    let mut untold = 0;
    for seed in 0..200 {
        let mut chance = Chance::new(seed);
        let (many, window_s) = (whole(chance.scaled(3.0, 400.0)), chance.scaled(4.0, 60.0));
        let mut lab = windows(many, window_s, (seed % 2 == 0, false));
        lab.least_idle_s = chance.one_of(&[0.0, 0.5, 4.0]);
        (lab.burst_s, lab.adds_us) = chance.one_of(&[(0.0, 0), (0.01, 300), (0.03, 2_000)]);
        let answer = ask(&mut lab, &Throttle { most_per_s: 4_000.0, ..Throttle::default() }).2;
        let about = || format!("seed {seed}: {many} in {window_s} s {answer:?}");
        match answer.kind {
            Some(LimitKind::Window) => {
                let (found, found_s) = (answer.in_window.unwrap(), answer.window_s.unwrap());
                assert!((found.low..=found.high).contains(&f64::from(many)), "{}", about());
                assert!((found_s.low..=found_s.high).contains(&window_s), "{}", about());
                assert!((found_s.value / window_s - 1.0).abs() < 0.15, "{}", about());
                let is_scope = |untold: &String| untold.starts_with("whether several");
                assert!(answer.untold.iter().all(is_scope), "{}", about());
            }
            // One that lets a few through, or is over in seconds, may be told as a rate: as many a second, and a burst.
            Some(LimitKind::Rate) => {
                let (refill, burst) = (answer.refill_per_s.unwrap(), answer.burst.unwrap());
                assert!((refill.value * window_s / f64::from(many) - 1.0).abs() < 0.15, "{}", about());
                assert!(burst.low <= f64::from(many) && window_s < 16.0, "{}", about());
            }
            other => {
                assert_eq!(other, None, "{}", about());
                untold += 1;
            }
        }
    }
    assert!(untold <= 2, "{untold}");
}

#[test]
fn who_shares_a_window_is_found() {
    for (per_key, scope) in [(true, Scope::Key), (false, Scope::Global)] {
        for slides in [true, false] {
            let mut lab = windows(50, 12.0, (slides, per_key));
            let answer = ask(&mut lab, &Throttle { keys: 3, senders: 2, ..Throttle::default() }).2;
            assert_eq!((answer.kind, answer.scope), (Some(LimitKind::Window), Some(scope)), "{answer:?}");
        }
    }
}

#[test]
fn who_lets_one_through_at_a_time_is_asked_often_enough() {
    for per_s in [0.7, 3.0, 10.0, 15.0, 30.0] {
        let settings = json!({ "burst": 1, "refill_per_s": per_s, "work_ms": 3.0, "per": "key" });
        let answer =
            ask(&mut Lab::of("gateway", 1, &settings), &Throttle { keys: 2, ..Throttle::default() }).2;
        let refill = answer.refill_per_s.unwrap();
        assert!((refill.low..=refill.high).contains(&per_s), "{per_s}: {answer:?}");
        assert!((refill.value / per_s - 1.0).abs() < 0.06, "{per_s}: {answer:?}");
    }
}

#[test]
fn a_refusal_by_another_name_is_no_answer() {
    // Of a second no more than so many are let through; the others get a status that nobody has named.
    for (status, most) in [(403, 10), (403, 600), (503, 1)] {
        let (mut second, mut passed) = (0, 0);
        let mut lab = Lab::new(Odd::service(1, move |at_us, _, _| {
            if at_us / 1_000_000 != second {
                (second, passed) = (at_us / 1_000_000, 0);
            }
            passed += 1;
            (2_000, if passed > most { status } else { 200 })
        }));
        let (_, step, answer) = ask(&mut lab, &Throttle::default());
        assert!(claims_nothing(&answer), "{answer:?}");
        assert!(answer.kept_burst.is_none_or(|kept| kept <= most), "{answer:?}");
        assert!(answer.untold[0].contains("--limited-status"), "{step:?} {answer:?}");
    }
}

fn claims_nothing(answer: &ThrottleAnswer) -> bool {
    answer.kind.is_none()
        && answer.refill_per_s.is_none()
        && answer.burst.is_none()
        && answer.in_window.is_none()
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
            LimitKind::Concurrency | LimitKind::Window => {
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
