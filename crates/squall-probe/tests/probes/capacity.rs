//! The capacity of services that have one, and what is said of those that have none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde_json::json;
use squall_probe::{
    Capacity, CapacityAnswer, Done, LatencyLimit, Load, Observed, Probe, Second, Step, Threshold,
};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::{Chance, Lab};

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

/// So many workers, each with one request at a time, and a line before them that has no end.
fn pool(workers: usize, mut takes_us: impl FnMut(u64, &mut Chance) -> u64 + Send + 'static) -> Lab {
    let mut free_us: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
    Lab::new(Odd::service(1, move |at_us, _, chance| {
        let Reverse(begin_us) = free_us.pop().unwrap_or(Reverse(0));
        let begin_us = begin_us.max(at_us);
        let end_us = begin_us + takes_us(begin_us - at_us, chance);
        free_us.push(Reverse(end_us));
        (end_us - at_us, 200)
    }))
}

#[test]
fn a_service_that_is_slow_and_has_no_limit_keeps_whatever_may_be_sent() {
    // All answers take two seconds and a half.
    let constant = Odd::service(1, |_, _, _| (2_500_000, 200));
    // Some take three seconds, or few, and most take no time.
    let mixed = |share: f64| {
        Odd::service(1, move |_, _, chance| (if chance.uniform() < share { 3_000_000 } else { 20_000 }, 200))
    };
    // They take long from a rate on.
    let (mut second, mut came) = (0, 0);
    let later = Odd::service(1, move |at_us, _, _| {
        if at_us / 1_000_000 != second {
            (second, came) = (at_us / 1_000_000, 0);
        }
        came += 1;
        (if came > 30 { 2_500_000 } else { 20_000 }, 200)
    });
    let services = [("constant", constant), ("some", mixed(0.4)), ("few", mixed(0.05)), ("later", later)];
    for (name, service) in services {
        let probe = Capacity { threshold: within(5_000.0), most_per_s: 600.0, ..Capacity::default() };
        let (history, step, answer) = ask(&mut Lab::new(service), &probe);
        assert_eq!((step, answer.capacity_per_s), (Step::Enough, None), "{name}: {answer:?}");
        assert_eq!(answer.at_least_per_s, Some(600.0), "{name}: {answer:?}");
        assert!(history.len() < 14, "{name}: {}", history.len());
        assert!(answer.spent.seconds <= probe.outlook().takes_s, "{name}: {:?}", answer.spent);
    }
}

#[test]
fn a_limit_is_found_whatever_share_of_answers_takes_seconds() {
    // So many milliseconds of a share of answers, for so many workers, in steps of so many seconds.
    for (slow_ms, share, workers, step_s) in
        [(2_500, 1.0, 250, 10.0), (3_000, 0.4, 120, 20.0), (6_000, 1.0, 300, 20.0), (12_000, 1.0, 400, 40.0)]
    {
        let mut lab =
            pool(workers, move |_, chance| if chance.uniform() < share { slow_ms * 1_000 } else { 20_000 });
        let mean_s = (share * slow_ms as f64 + (1.0 - share) * 20.0) / 1_000.0;
        let truth_per_s = workers as f64 / mean_s;
        let threshold = within(slow_ms as f64 * 1.6);
        let probe = Capacity { threshold, step_s, ..Capacity::default() };
        let (_, step, answer) = ask(&mut lab, &probe);
        let found = answer.capacity_per_s;
        assert!(
            found.is_some_and(|found| (found.value / truth_per_s - 1.0).abs() < 0.1),
            "{slow_ms} {share}: {found:?} instead of {truth_per_s}: {step:?} {answer:?}"
        );
        let knee = answer.knee.map(|knee| knee.rate_per_s.value);
        assert!(
            knee.is_none_or(|knee| (knee / truth_per_s - 1.0).abs() < 0.1),
            "{slow_ms} {share}: {knee:?} instead of {truth_per_s}"
        );
        assert!(answer.spent.seconds <= probe.outlook().takes_s, "{slow_ms} {share}: {:?}", answer.spent);
    }
}

#[test]
fn a_rate_of_less_than_one_request_in_a_step_is_not_said_to_be_broken() {
    for start_per_s in [0.01, 0.04, 0.1] {
        let mut lab = Lab::new(Odd::service(1, |_, _, _| (1_500_000, 200)));
        let probe =
            Capacity { threshold: within(5_000.0), start_per_s, most_per_s: 0.8, ..Capacity::default() };
        let (_, step, answer) = ask(&mut lab, &probe);
        assert_eq!((step, answer.at_least_per_s), (Step::Enough, Some(0.8)), "{start_per_s}: {answer:?}");
    }
}

#[test]
fn what_fails_only_after_the_load_fails() {
    let mut asked = 0;
    let mut lab = Lab::new(Odd::service(1, move |_, _, _| {
        asked += 1;
        (if asked > 1 { 3_600_000_000 } else { 20_000 }, 200)
    }));
    let probe = Capacity { start_per_s: 0.2, most_per_s: 0.2, ..Capacity::default() };
    let answer = ask(&mut lab, &probe).2;
    assert!(claims_nothing(&answer) && answer.untold[0].contains("already"), "{answer:?}");
}

/// What was broken by more is slower from then on, whatever is asked for, and whether it turns away or makes wait.
#[test]
fn who_no_longer_keeps_what_was_kept_has_not_recovered() {
    for slower in [1.8, 3.0, 6.0] {
        // Sixteen workers of 100 ms take 160 a second.
        let mut by = 1.0;
        let mut lab = pool(16, move |waited_us, _| {
            by = if waited_us > 1_200_000 { slower } else { by };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an instant of a test"
            )]
            let takes_us = (100_000.0 * by) as u64;
            takes_us
        });
        let probe = Capacity { start_per_s: 15.0, ..Capacity::default() };
        let (history, step, answer) = ask(&mut lab, &probe);
        assert!(
            matches!(&step, Step::Stop(why) if why.contains("has not recovered")),
            "{slower}: {step:?} {answer:?}"
        );
        let (found, kept) = (answer.capacity_per_s, answer.at_least_per_s);
        let is_kept = found.map_or(kept == Some(120.0), |found| found.low < 160.0 && 160.0 < found.high);
        assert!(is_kept && answer.knee.is_none(), "{slower}: {answer:?}");
        assert!(history.len() < 10, "{slower}: {}", history.len());
    }
}

/// It is worse under more than it can take, and as before thereafter.
#[test]
fn who_recovers_is_asked_on() {
    let mut lab = pool(16, |waited_us, _| if waited_us > 600_000 { 300_000 } else { 100_000 });
    let answer = ask(&mut lab, &Capacity { start_per_s: 15.0, ..Capacity::default() }).2;
    let found = answer.capacity_per_s;
    assert!(found.is_some_and(|found| (found.value / 160.0 - 1.0).abs() < 0.06), "{answer:?}");
}

#[test]
fn a_step_that_was_too_short_for_its_answers_is_sent_again_and_longer() {
    let mut came = 0;
    let mut lab = Lab::new(Odd::service(1, move |_, _, _| {
        came += 1;
        (if came > 400 { 2_500_000 } else { 20_000 }, 200)
    }));
    let probe = Capacity { threshold: within(5_000.0), most_per_s: 600.0, ..Capacity::default() };
    let (history, _, answer) = ask(&mut lab, &probe);
    let longer = history[1..].windows(2).find_map(|pair| match (pair[0].round.load, pair[1].round.load) {
        (Load::Rate { per_s, seconds }, Load::Rate { per_s: again_per_s, seconds: again }) => {
            ((per_s - again_per_s).abs() < 1e-9 && again > seconds && seconds < 6.0).then_some((per_s, again))
        }
        _ => None,
    });
    let (rate_per_s, seconds) = longer.unwrap();
    assert!(seconds >= 9.0, "{seconds}");
    let broken = answer.curve.iter().filter(|point| (point.rate_per_s - rate_per_s).abs() < 1e-9);
    let broken: Vec<f64> = broken.map(|point| point.broken).collect();
    assert!(broken.len() == 2 && (broken[0] - 0.5).abs() < 1e-9 && broken[1] < 0.5, "{broken:?}");
    // From then on steps are long enough at once.
    let rest = history.iter().skip_while(|done| done.round.load != Load::Rate { per_s: rate_per_s, seconds });
    assert!(rest.skip(1).all(|done| done.round.lasts_s() >= 9.0), "{answer:?}");
    assert_eq!(answer.at_least_per_s, Some(600.0), "{answer:?}");
}

#[test]
fn answers_that_take_longer_than_any_step_are_not_said_to_break_a_threshold() {
    for (work_s, within_s) in [(6, 10.0), (12, 20.0)] {
        let mut lab = Lab::new(Odd::service(1, move |_, _, _| (work_s * 1_000_000, 200)));
        let probe = Capacity { threshold: within(within_s * 1_000.0), ..Capacity::default() };
        let (_, step, answer) = ask(&mut lab, &probe);
        let wanted = format!("`--set step_s={}`", 3 * work_s + 1);
        assert!(matches!(&step, Step::Stop(why) if why.contains(&wanted)), "{step:?}");
        assert!(claims_nothing(&answer) && !answer.untold.iter().any(|untold| untold.contains("broken")));
        // With steps that are as long as it says, it is judged.
        let step_s = 3.0 * work_s as f64 + 1.0;
        let mut lab = Lab::new(Odd::service(1, move |_, _, _| (work_s * 1_000_000, 200)));
        let answer = ask(&mut lab, &Capacity { step_s, most_per_s: 80.0, ..probe }).2;
        assert_eq!(answer.at_least_per_s, Some(80.0), "{answer:?}");
    }
}

/// A short step is kept at a rate of a tenth more than it can take, and what it gets through then is what it gets
/// through when it is asked for twice as much.
#[test]
fn who_was_never_better_has_not_broken_down() {
    let case = cases::capacity(1143);
    let found = case.answer.capacity_per_s;
    assert!(
        found.is_some_and(|found| (found.value / case.truth_per_s - 1.0).abs() < 0.05),
        "{found:?} instead of {}: {:?}",
        case.truth_per_s,
        case.answer.untold
    );
}
