//! The capacity of services that have one, and what is said of those that have none.

use serde_json::json;
use squall_probe::{
    Capacity, CapacityAnswer, Done, LatencyLimit, Load, Observed, Probe, Second, Step, Threshold,
};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::Lab;

fn within(within_ms: f64) -> Threshold {
    Threshold { latency: Some(LatencyLimit { share: 0.99, within_ms }), ..Threshold::default() }
}

fn ask(lab: &mut Lab, probe: &Capacity) -> (Vec<Done>, Step, CapacityAnswer) {
    let (history, step) = lab.run(probe);
    let answer = probe.answer(&history);
    (history, step, answer)
}

fn claims_nothing(answer: &CapacityAnswer) -> bool {
    answer.capacity_per_s.is_none() && answer.at_least_per_s.is_none() && answer.knee.is_none()
}

#[test]
fn a_rate_that_may_not_be_higher_than_the_first_one_is_asked_for_all_the_same() {
    let mut lab = Lab::of("fixed", 1, &json!({ "workers": 4, "work_ms": 20.0 }));
    let probe = Capacity { most_per_s: 3.0, ..Capacity::default() };
    let (history, _) = lab.run(&probe);
    assert_eq!(probe.answer(&history).at_least_per_s, Some(3.0));
}

#[test]
fn capacity_is_found_within_a_twentieth_for_a_quarter_of_a_sweeps_requests() {
    let (mut spent, mut sweep, mut held) = (0.0, 0.0, 0);
    for seed in 0..12 {
        let case = cases::capacity(seed);
        let found = case.answer.capacity_per_s.unwrap();
        let off = found.value / case.truth_per_s - 1.0;
        assert!(
            off.abs() <= 0.05,
            "seed {seed}: {found:?}, true {}, {}: {:?}",
            case.truth_per_s,
            case.settings,
            case.answer
        );
        held += usize::from((found.low..=found.high).contains(&case.truth_per_s));
        // In units of the capacity, so that each counts alike.
        spent += case.answer.spent.requests as f64 / found.value;
        sweep += case.answer.sweep_requests.unwrap() as f64 / found.value;
    }
    assert!(held >= 10, "{held}");
    assert!(spent * 4.0 <= sweep, "{spent} of {sweep}");
}

#[test]
fn capacity_of_a_service_whose_answers_take_seconds_is_found_with_steps_that_are_long_enough() {
    for (work_ms, step_s) in [(1_200.0, 10.0), (2_500.0, 10.0), (6_000.0, 20.0), (12_000.0, 40.0)] {
        let settings = json!({ "workers": 240, "work_ms": work_ms, "noise": 0.05, "queue": 10_000 });
        let of = |step_s: f64| {
            let mut lab = Lab::of("fixed", 1, &settings);
            let probe = Capacity { threshold: within(2.0 * work_ms), step_s, ..Capacity::default() };
            let (_, step, answer) = ask(&mut lab, &probe);
            (step, answer, lab.number("capacity_rps"))
        };
        let (step, answer, truth_per_s) = of(step_s);
        let found = answer.capacity_per_s;
        assert!(
            found.is_some_and(|found| (found.value / truth_per_s - 1.0).abs() < 0.1),
            "{work_ms}: {found:?} instead of {truth_per_s}: {step:?} {answer:?}"
        );
        let (step, answer, _) = of(work_ms / 1_000.0 * 2.0);
        assert!(claims_nothing(&answer), "{answer:?}");
        assert!(matches!(&step, Step::Stop(why) if why.contains("`--set step_s=")), "{step:?}");
    }
}

#[test]
fn who_breaks_down_in_part_under_more_and_stays_so_is_left_alone() {
    let (mut second, mut came, mut passed, mut most) = (0, 0, 0, 100);
    let mut lab = Lab::new(Odd::service(1, move |at_us, _, _| {
        if at_us / 1_000_000 != second {
            (second, came, passed) = (at_us / 1_000_000, 0, 0);
        }
        came += 1;
        most = if came > 120 { 30 } else { most };
        passed += 1;
        (20_000, if passed > most { 503 } else { 200 })
    }));
    let (history, step, answer) = ask(&mut lab, &Capacity::default());
    assert!(matches!(&step, Step::Stop(why) if why.contains("has not recovered")), "{step:?} {answer:?}");
    assert!(answer.capacity_per_s.is_none(), "{answer:?}");
    let last = &history[history.len() - 1];
    assert!(matches!(last.round.load, Load::Rate { per_s: 80.0, .. }), "what was kept is asked once more");
}

/// Two workers with exponential times: answers become slow long before the limit. What the threshold allows is found
/// by asking the same service for long.
#[test]
fn a_limit_of_latency_alone_is_found_where_latency_grows_little_by_little() {
    let settings = json!({ "workers": 4, "work_ms": 10.0, "noise": 0.6, "queue": 100_000 });
    let threshold = within(60.0);
    let keeps = |rate: f64| {
        let mut lab = Lab::of("fixed", 99, &settings);
        let round = squall_probe::Round {
            purpose: String::new(),
            idle_s: 0.0,
            warm_s: 0.0,
            load: squall_probe::Load::Rate { per_s: rate, seconds: 200.0 },
            connections: squall_probe::Connections::Kept,
            senders: 1,
            keys: 1,
        };
        let pairs = lab.send(&round).good_us;
        let all: u64 = pairs.iter().map(|pair| pair.1).sum();
        let slow: u64 = pairs.iter().filter(|pair| pair.0 > 60_000).map(|pair| pair.1).sum();
        (slow as f64) < 0.01 * all as f64
    };
    let (mut low, mut high) = (50.0, 500.0);
    while high / low > 1.005 {
        let middle = f64::sqrt(low * high);
        if keeps(middle) { low = middle } else { high = middle }
    }
    for seed in 0..4 {
        let mut lab = Lab::of("fixed", seed, &settings);
        let probe = Capacity { threshold, ..Capacity::default() };
        let answer = ask(&mut lab, &probe).2;
        let Some(found) = answer.capacity_per_s else { panic!("seed {seed}: {answer:?}") };
        assert!((found.value / low - 1.0).abs() < 0.07, "seed {seed}: {found:?}, true {low}");
    }
}

#[test]
fn what_is_slow_only_until_it_is_warm_is_no_limit() {
    let settings = json!({ "items": 150, "hit_ms": 8.0, "miss_ms": 120.0, "noise": 0.1 });
    let mut lab = Lab::of("cache", 3, &settings);
    let probe =
        Capacity { threshold: within(40.0), start_per_s: 100.0, most_per_s: 3_000.0, ..Capacity::default() };
    let answer = ask(&mut lab, &probe).2;
    assert_eq!(answer.capacity_per_s, None, "{answer:?}");
    assert_eq!(answer.at_least_per_s, Some(3_000.0), "{answer:?}");
    assert!(answer.untold[0].contains("most that may be sent"), "{:?}", answer.untold);
}

#[test]
fn a_limit_above_what_generators_can_make_is_said_to_be_there() {
    let mut lab = Lab::of("fixed", 1, &json!({ "workers": 200, "work_ms": 20.0 }));
    lab.most_per_s = 900.0;
    let (_, step, answer) = ask(&mut lab, &Capacity::default());
    assert_eq!((step, answer.capacity_per_s), (Step::Enough, None));
    let kept = answer.at_least_per_s.unwrap();
    assert!((450.0..=910.0).contains(&kept), "{kept}");
    assert!(answer.untold[0].contains("the generators cannot make"), "{:?}", answer.untold);
}

#[test]
fn latency_that_has_nothing_to_do_with_the_rate_has_no_limit() {
    for seed in 0..6 {
        // Every ten seconds or so it is slow for some, whatever is asked for.
        let odd = Odd::service(seed, |at_us, _, chance| {
            let is_bad = (at_us / 9_000_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1;
            (if is_bad && chance.uniform() < 0.2 { 900_000 } else { 20_000 }, 200)
        });
        let mut lab = Lab::new(odd);
        let probe = Capacity { most_per_s: 500.0, ..Capacity::default() };
        let answer = ask(&mut lab, &probe).2;
        assert!(answer.capacity_per_s.is_none(), "seed {seed}: {answer:?}");
        assert!(!answer.untold.is_empty(), "seed {seed}: {answer:?}");
    }
}

/// At each rate answers are slow at first and quick when it is asked again.
#[test]
fn what_breaks_and_then_keeps_at_many_rates_is_said_to_vary() {
    let probe = Capacity { most_per_s: 200.0, ..Capacity::default() };
    let mut history: Vec<Done> = Vec::new();
    while let Step::Send(round) = probe.next(&history) {
        let is_again = history.last().is_some_and(|last| last.round.load == round.load);
        let Load::Rate { per_s, seconds } = round.load else { break };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of a test")]
        let (each, seconds) = (per_s as u64, seconds as usize);
        let each = Second { scheduled: each, good: each, ..Second::default() };
        let seconds = vec![each; seconds];
        let good_us = vec![(if is_again { 20_000 } else { 900_000 }, each.good * seconds.len() as u64)];
        history.push(Done { round, observed: Observed { seconds, good_us, ..Observed::default() } });
    }
    let answer = probe.answer(&history);
    let is_said = |untold: &String| untold.contains("answers vary with time");
    assert!(answer.at_least_per_s == Some(200.0) && answer.untold.iter().any(is_said), "{answer:?}");
}

#[test]
fn a_service_that_fails_or_turns_all_away_is_left_alone() {
    for (status, word) in [(500, "all requests fail"), (0, "all requests fail"), (429, "turned away")] {
        let mut lab = Lab::new(Odd::service(1, move |_, _, _| (2_000, status)));
        let (history, step, answer) = ask(&mut lab, &Capacity::default());
        assert!(matches!(&step, Step::Stop(why) if why.contains(word)), "{step:?}");
        assert!(history.len() == 1 && claims_nothing(&answer), "{answer:?}");
        assert!(answer.untold[0].contains(word), "{:?}", answer.untold);
    }
}

/// As on a machine that others use: now and then the generators are late, which is no fault of the service.
#[test]
fn generators_that_are_late_now_and_then_do_not_keep_a_probe_from_its_end() {
    for often in [2, 3, 1] {
        let mut lab = Lab::of("fixed", 5, &json!({ "workers": 8, "work_ms": 40.0, "noise": 0.05 }));
        let probe = Capacity { threshold: within(200.0), ..Capacity::default() };
        let mut history = Vec::new();
        while let Step::Send(round) = probe.next(&history) {
            let mut observed = lab.send(&round);
            observed.tainted |= history.len() % often == 0;
            history.push(Done { round, observed });
        }
        let answer = probe.answer(&history);
        assert!(history.len() < 35, "{often}: {answer:?}");
        if let Some(found) = answer.capacity_per_s {
            assert!(found.low * 0.97 < 199.8 && 199.8 < found.high * 1.03, "{often}: {answer:?}");
        }
        // Where they are always late, no rate is known to be too high.
        assert!(often == 1 || answer.capacity_per_s.is_some(), "{often}: {answer:?}");
    }
}

#[test]
fn a_service_that_does_not_recover_is_left_alone() {
    let (mut second, mut asked, mut is_dead) = (0, 0, false);
    let mut lab = Lab::new(Odd::service(1, move |at_us, _, _| {
        if at_us / 1_000_000 != second {
            (second, asked) = (at_us / 1_000_000, 0);
        }
        asked += 1;
        is_dead |= asked > 120;
        (5_000, if is_dead { 503 } else { 200 })
    }));
    let (history, step, answer) = ask(&mut lab, &Capacity::default());
    assert!(matches!(&step, Step::Stop(why) if why.contains("not recovered")), "{step:?}");
    assert!(history.len() < 10);
    // It was alive at 80 a second, and dead after 160.
    assert!(answer.capacity_per_s.is_none_or(|found| found.low < 120.0 && found.high > 120.0), "{answer:?}");
    assert!(answer.untold.iter().any(|untold| untold.contains("not recovered")), "{answer:?}");
}

#[test]
fn a_threshold_that_is_broken_without_load_is_said_to_be() {
    let mut lab = Lab::of("healthy", 1, &json!({}));
    let probe = Capacity { threshold: within(5.0), ..Capacity::default() };
    let answer = ask(&mut lab, &probe).2;
    assert!(claims_nothing(&answer) && answer.untold[0].contains("already"), "{answer:?}");
}

#[test]
fn an_interrupted_probe_says_what_it_knows_and_goes_on_where_it_was() {
    for seed in 0..3 {
        let case = cases::capacity(seed);
        for length in 0..=case.history.len() {
            let answer = case.probe.answer(&case.history[..length]);
            let truth = case.truth_per_s;
            if let Some(found) = answer.capacity_per_s {
                assert!(found.low * 0.95 < truth && truth < found.high * 1.05, "{length}: {found:?} {truth}");
            }
            assert!(answer.at_least_per_s.is_none_or(|kept| kept < truth * 1.05), "{length}: {answer:?}");
            assert_eq!(answer.spent.rounds as usize, length);
            let next = case.probe.next(&case.history[..length]);
            let then = case.history.get(length).map(|done| Step::Send(done.round.clone()));
            assert!(then.is_none_or(|then| then == next), "{length}");
        }
    }
}
