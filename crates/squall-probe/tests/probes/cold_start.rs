//! Functions with the three policies, and services that have no cold starts or hide them.

use serde_json::json;
use squall_probe::{ColdStart, ColdStartAnswer, Done, Probe, Queueing, Step, When};

use crate::cases;
use crate::odd::Odd;
use crate::simulated::Lab;
use crate::stellar;

/// Instances that the simulated function with the queue of Azure starts at once.
const AT_ONCE: f64 = 3.0;

fn ask(lab: &mut Lab, probe: &ColdStart) -> (Vec<Done>, Step, ColdStartAnswer) {
    let (history, step) = lab.run(probe);
    let answer = probe.answer(&history);
    (history, step, answer)
}

fn claims_nothing(answer: &ColdStartAnswer) -> bool {
    answer.keep_alive_s.is_none()
        && answer.cold_ms.is_none()
        && answer.added_ms.is_none()
        && answer.cold.is_none()
        && answer.queueing.is_none()
        && answer.started_at_once.is_none()
}

#[test]
fn starts_of_many_lengths_are_not_taken_for_waiting() {
    for seed in 0..12 {
        let settings =
            json!({ "work_ms": 40.0, "cold_ms": 1_500.0, "cold_p99_ms": 4_000.0, "keep_alive_s": 60.0 });
        let answer = ask(&mut Lab::of("google-function", seed, &settings), &ColdStart::default()).2;
        assert_ne!(answer.queueing, Some(Queueing::Unlimited), "{seed}: {answer:?}");
    }
}

#[test]
fn a_server_that_starts_no_instances_has_no_policy_of_doing_so() {
    // Two at a time, each for 60 ms, and all others wait.
    let mut busy_until_us = 0;
    let mut lab = Lab::new(Odd::service(1, move |at_us, _, _| {
        busy_until_us = at_us.max(busy_until_us) + 30_000;
        ((busy_until_us - at_us).max(60_000), 200)
    }));
    let probe = ColdStart { longest_gap_s: 40.0, ..ColdStart::default() };
    let answer = ask(&mut lab, &probe).2;
    assert!(answer.cold.is_none() && answer.queueing.is_none(), "{answer:?}");
}

#[test]
fn bursts_that_were_not_sent_at_once_say_nothing() {
    let mut lab = Lab::of("lambda", 1, &json!({ "keep_alive_s": 30.0, "work_ms": 500.0 }));
    lab.burst_s = 3.0;
    let probe = ColdStart { sizes: vec![1, 50], longest_gap_s: 120.0, ..ColdStart::default() };
    let (history, step) = lab.run(&probe);
    let answer = probe.answer(&history);
    // Late ones find the instances that earlier ones have left.
    assert!(
        step == Step::Enough && answer.queueing.is_none() && answer.started_at_once.is_none(),
        "{answer:?}"
    );
    assert!(answer.bursts.iter().all(|point| point.size == 1), "{:?}", answer.bursts);
    assert!(answer.untold.iter().any(|untold| untold.contains("did not send them at once")), "{answer:?}");
    let kept = answer.keep_alive_s.unwrap();
    assert!((kept.value / 30.0 - 1.0).abs() < 0.1, "single ones are as they were: {kept:?}");
}

#[test]
fn no_more_is_sent_than_may_be_and_warm_answers_are_bounded() {
    let sent = |most_per_s: Option<f64>| {
        let mut lab = Lab::of("lambda", 1, &json!({ "warm_ms": 1.0, "warm_p99_ms": 2.0, "work_ms": 1.0 }));
        let probe = ColdStart { sizes: vec![1, 20], longest_gap_s: 20.0, most_per_s, ..ColdStart::default() };
        let (history, _) = lab.run(&probe);
        let counts = |done: &Done| done.observed.good_us.iter().map(|pair| pair.1).sum::<u64>();
        let seconds = history.iter().flat_map(|done| &done.observed.seconds);
        (history.iter().map(counts).max().unwrap(), seconds.map(|second| second.scheduled).max().unwrap())
    };
    assert_eq!(sent(None).0, 200);
    let (most, in_a_second) = sent(Some(4.0));
    assert!((30..=60).contains(&most) && in_a_second == 4, "{most} {in_a_second}");
}

#[test]
fn how_long_instances_are_kept_the_share_of_cold_ones_and_the_policy_are_found() {
    let mut held = 0;
    for seed in 0..24 {
        let case = cases::cold_start(seed);
        let answer = &case.answer;
        let about = || format!("seed {seed}: {} {answer:?}", case.settings);
        let kept = answer.keep_alive_s.unwrap_or_else(|| panic!("{}", about()));
        assert!((kept.value / case.keep_alive_s - 1.0).abs() <= 0.1, "{}", about());
        held += usize::from((kept.low..=kept.high).contains(&case.keep_alive_s));
        assert_eq!(answer.queueing, Some(case.queueing), "{}", about());
        for (size, when) in [(1, When::Long), (100, When::Long), (100, When::Short)] {
            let point = answer.bursts.iter().rfind(|point| point.size == size && point.when == when);
            let found = point.and_then(|point| point.cold_share).unwrap_or_else(|| panic!("{}", about()));
            let truth = case.cold_share(size, when);
            assert!((found.value - truth).abs() <= 0.03, "{size} {when:?} true {truth} {}", about());
        }
        if case.queueing == Queueing::Bounded {
            let found = answer.per_instance.unwrap();
            assert!((found.value - case.per_instance).abs() < 0.5, "{}", about());
        }
        if case.queueing == Queueing::Unlimited {
            let (first, more) = (answer.started_at_once.unwrap(), answer.started_per_s.unwrap());
            assert!((first.low..=first.high).contains(&AT_ONCE), "{}", about());
            // More are started for who comes later, and a burst comes at once.
            assert!(more.value < 0.1, "{}", about());
        }
        let is_said = |untold: &String| untold.contains("hardly longer");
        assert!(answer.untold.iter().all(is_said), "{}", about());
    }
    assert!(held >= 20, "{held} of 24");
}

/// Medians within 5 %, 99th percentiles and tails within 10 %, and the policy, wherever they were published.
#[test]
fn the_profiles_are_measured_as_stellar_measured_them() {
    let rows = stellar::rows();
    let mut compared = 0;
    for (row, measured) in rows.iter().zip(stellar::measure(&rows, 4)) {
        let (published, took) = (&row.published, measured.took);
        for (published, found, share) in [
            (published.p50_ms, took.p50_ms, 0.05),
            (published.p99_ms, took.p99_ms, 0.1),
            (published.tail_to_median, took.tail_to_median, 0.1),
        ] {
            let Some(published) = published else { continue };
            assert!(
                (found / published - 1.0).abs() <= share,
                "{}, {}: {published} {took:?}",
                row.cloud,
                row.what
            );
            compared += 1;
        }
        if row.queueing.is_some() {
            assert_eq!(measured.queueing, row.queueing, "{}, {}", row.cloud, row.what);
        }
    }
    assert_eq!(compared, 14);
}

/// Where a function takes no time, nobody sees who waits for whom: what is said of pauses is right all the same.
#[test]
fn a_function_that_takes_no_time_is_not_misjudged_by_its_queue() {
    for seed in 0..9 {
        let profile = ["lambda", "google-function", "azure-function"][usize::try_from(seed % 3).unwrap_or(0)];
        let keep_alive_s = 40.0 + 70.0 * seed as f64;
        let mut lab = Lab::of(profile, seed, &json!({ "keep_alive_s": keep_alive_s }));
        let answer = ask(&mut lab, &ColdStart::default()).2;
        let kept = answer.keep_alive_s.unwrap();
        assert!((kept.value / keep_alive_s - 1.0).abs() <= 0.1, "{profile}, seed {seed}: {answer:?}");
        assert!(answer.queueing.is_none() && answer.untold.iter().any(|untold| untold.contains("policy")));
    }
}

/// Of twenty that wait for three or four instances, nobody knows whether more would have been started for more.
#[test]
fn a_burst_that_is_too_small_for_the_policy_claims_none() {
    for seed in 0..6 {
        let settings = json!({ "work_ms": 400.0, "keep_alive_s": 30.0, "start_every_s": 1.0 + seed as f64 });
        let mut lab = Lab::of("azure-function", seed, &settings);
        let probe = ColdStart { sizes: vec![20], longest_gap_s: 80.0, ..ColdStart::default() };
        let answer = ask(&mut lab, &probe).2;
        assert!((answer.keep_alive_s.unwrap().value / 30.0 - 1.0).abs() <= 0.1, "seed {seed}: {answer:?}");
        let may_be = [None, Some(Queueing::Unlimited)].contains(&answer.queueing);
        assert!(may_be, "seed {seed}: {:?}", answer.queueing);
        let is_said = answer.untold.iter().any(|untold| untold.contains("larger ones tell more"));
        assert!(is_said || answer.queueing.is_some(), "seed {seed}: {:?}", answer.untold);
    }
}

#[test]
fn instances_that_are_gone_at_once_are_found_by_shorter_pauses() {
    for seed in 0..3 {
        let mut lab = Lab::of("lambda", seed, &json!({ "work_ms": 300.0, "keep_alive_s": 6.0 }));
        let answer = ask(&mut lab, &ColdStart::default()).2;
        assert!((answer.keep_alive_s.unwrap().value / 6.0 - 1.0).abs() <= 0.1, "{answer:?}");
    }
}

#[test]
fn instances_that_outlive_every_pause_are_said_to() {
    for profile in ["lambda", "google-function"] {
        let mut lab = Lab::of(profile, 2, &json!({ "work_ms": 800.0, "keep_alive_s": 4_000.0 }));
        let answer = ask(&mut lab, &ColdStart { longest_gap_s: 300.0, ..ColdStart::default() }).2;
        assert_eq!((answer.keep_alive_s, answer.cold_after_s), (None, None), "{answer:?}");
        assert_eq!(answer.warm_after_s, Some(300.0));
        assert!(
            answer.untold.iter().any(|untold| untold.contains("longer than 300 s")),
            "{:?}",
            answer.untold
        );
    }
}

#[test]
fn a_service_without_instances_to_start_has_no_cold_starts() {
    for seed in 0..5 {
        let mut lab = Lab::of("healthy", seed, &json!({}));
        let (_, step, answer) = ask(&mut lab, &ColdStart { longest_gap_s: 100.0, ..ColdStart::default() });
        assert!(step == Step::Enough && claims_nothing(&answer), "seed {seed}: {answer:?}");
        assert!(answer.untold[0].contains("as quick as ever"), "{:?}", answer.untold);
    }
}

#[test]
fn answers_from_a_cache_are_recognised_by_their_haste() {
    let mut lab = Lab::new(Odd::service(1, |_, _, _| (2_000, 200)));
    let probe = ColdStart { expected_ms: Some(1_000.0), ..ColdStart::default() };
    let (history, step, answer) = ask(&mut lab, &probe);
    assert!(matches!(&step, Step::Stop(why) if why.contains("cache")), "{step:?}");
    assert!(history.len() == 2 && claims_nothing(&answer));
}

#[test]
fn noise_that_is_longer_than_a_cold_start_hides_it() {
    for seed in 0..5 {
        let settings = json!({ "work_ms": 300.0, "noise": 1.0, "cold_ms": 250.0, "cold_p99_ms": 300.0, "keep_alive_s": 60.0 });
        let mut lab = Lab::of("lambda", seed, &settings);
        let answer = ask(&mut lab, &ColdStart { longest_gap_s: 200.0, ..ColdStart::default() }).2;
        assert!(answer.keep_alive_s.is_none() && answer.queueing.is_none(), "seed {seed}: {answer:?}");
        assert!(!answer.untold.is_empty());
    }
}

#[test]
fn who_is_down_broken_or_closed_to_all_is_left_alone() {
    for (status, word) in [(500, "all requests fail"), (0, "all requests fail"), (429, "turned away")] {
        let mut lab = Lab::new(Odd::service(1, move |_, _, _| (2_000, status)));
        let (history, step, answer) = ask(&mut lab, &ColdStart::default());
        assert!(matches!(&step, Step::Stop(why) if why.contains(word)), "{step:?}");
        assert!(history.len() == 1 && claims_nothing(&answer), "{answer:?}");
    }
}

#[test]
fn an_interrupted_probe_claims_only_what_it_saw() {
    for seed in 0..6 {
        let case = cases::cold_start(seed);
        for length in 0..=case.history.len() {
            let answer = case.probe.answer(&case.history[..length]);
            let about = || format!("seed {seed}, {length} rounds: {} {answer:?}", case.settings);
            let kept = answer.keep_alive_s;
            assert!(
                kept.is_none_or(
                    |kept| kept.low * 0.9 <= case.keep_alive_s && case.keep_alive_s <= kept.high * 1.1
                ),
                "{}",
                about()
            );
            assert!(answer.warm_after_s.is_none_or(|warm_s| warm_s <= case.keep_alive_s), "{}", about());
            assert!(answer.queueing.is_none_or(|queueing| queueing == case.queueing), "{}", about());
            let next = case.probe.next(&case.history[..length]);
            let then = case.history.get(length).map(|done| Step::Send(done.round.clone()));
            assert!(then.is_none_or(|then| then == next), "{}", about());
        }
    }
}
