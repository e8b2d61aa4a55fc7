use proptest::prelude::*;

use super::*;
use crate::model::{RateStage, UserStage, Users, WhenFull};
use crate::units::Rate;

fn open(start: &str, stages: &[(u64, &str)]) -> OpenLoad {
    let stage = |&(ms, rate): &(u64, &str)| RateStage {
        duration: Duration::from_millis(ms),
        rate: Rate::parse(rate).unwrap(),
    };
    OpenLoad {
        start_rate: Rate::parse(start).unwrap(),
        stages: stages.iter().map(stage).collect(),
        arrivals: Arrivals::Even,
        max_users: 1,
        when_full: WhenFull::Drop,
        users: Users::Reuse,
        graceful_stop: Duration::ZERO,
    }
}

fn poisson(start: &str, stages: &[(u64, &str)]) -> ArrivalSchedule {
    ArrivalSchedule::new(&OpenLoad { arrivals: Arrivals::Poisson, ..open(start, stages) })
}

fn closed(start_users: u32, stages: &[(u64, u32)]) -> ClosedLoad {
    let stage = |&(ms, users): &(u64, u32)| UserStage { duration: Duration::from_millis(ms), users };
    let stages = stages.iter().map(stage).collect();
    ClosedLoad { start_users, stages, iterations: None, graceful_stop: Duration::ZERO }
}

#[test]
fn the_area_under_the_rate_is_the_number_of_arrivals() {
    let check = |start: &str, stages: &[(u64, &str)], expected: u64| {
        assert_eq!(ArrivalSchedule::new(&open(start, stages)).total(), expected, "{start} {stages:?}");
    };
    check("0/s", &[(4_000, "150/s"), (4_000, "150/s")], 900);
    check("150/s", &[(4_000, "0/s")], 300);
    check("100/s", &[(60_000, "100/s")], 6_000);
    check("100/m", &[(60_000, "100/m")], 100);
    check("100/m", &[(90_000, "100/m")], 150);
    check("1/h", &[(1_000, "1/h")], 1);
    check("0/s", &[(1_000, "0/s")], 0);
    check("0/s", &[(0, "50/s"), (1_000, "50/s"), (0, "10/s"), (1_000, "10/s")], 60);
    check("10000000/s", &[(604_800_000, "10000000/s")], 6_048_000_000_000);
}

#[test]
fn a_constant_rate_is_evenly_spaced_from_the_epoch() {
    let schedule = ArrivalSchedule::new(&open("200/s", &[(3_000, "200/s")]));
    let instants: Vec<u64> = (0..600).map(|ordinal| schedule.at_us(ordinal).unwrap()).collect();
    assert_eq!(instants, (0..600).map(|ordinal| ordinal * 5_000).collect::<Vec<_>>());
    assert_eq!(schedule.at_us(600), None);
}

#[test]
fn a_day_of_arrivals_does_not_drift() {
    let schedule = ArrivalSchedule::new(&open("333/s", &[(86_400_000, "333/s")]));
    assert_eq!(schedule.total(), 333 * 86_400);
    for second in [1, 3_600, 86_399] {
        assert_eq!(schedule.at_us(second * 333), Some(second * 1_000_000));
    }
}

#[test]
fn a_ramp_follows_the_square_root() {
    let schedule = ArrivalSchedule::new(&open("0/s", &[(4_000, "150/s")]));
    for ordinal in [1_u64, 10, 299] {
        let exact = (2.0 * 4.0 * ordinal as f64 / 150.0).sqrt() * 1e6;
        assert!((schedule.at_us(ordinal).unwrap() as f64 - exact).abs() <= 1.0, "{ordinal}");
    }
}

#[test]
fn users_start_at_once_and_the_youngest_ends_first() {
    let schedule = UserSchedule::new(&closed(0, &[(10_000, 10), (5_000, 10), (10_000, 0)]));
    let span = |ordinal| schedule.spans(ordinal);
    assert_eq!(schedule.users(), 10);
    assert_eq!(span(0), [Span { from_us: 0, until_us: 25_000_000 }]);
    assert_eq!(span(9), [Span { from_us: 9_000_000, until_us: 16_000_000 }]);
    assert_eq!(span(10), []);
}

#[test]
fn a_user_may_live_twice() {
    let schedule = UserSchedule::new(&closed(2, &[(1_000, 2), (0, 1), (1_000, 1), (0, 2), (1_000, 2)]));
    let twice = [Span { from_us: 0, until_us: 1_000_000 }, Span { from_us: 2_000_000, until_us: 3_000_000 }];
    assert_eq!(schedule.spans(1), twice);
    assert_eq!(schedule.spans(0), [Span { from_us: 0, until_us: 3_000_000 }]);
    let load = Load::Closed(closed(2, &[(1_000, 2), (0, 1), (1_000, 1), (0, 2), (1_000, 2)]));
    assert_eq!(load.planned(Share::WHOLE), Planned::UserMicros(5_000_000));
}

/// The arrivals of all slices.
fn union(schedule: &ArrivalSchedule, count: u32, seed: u64) -> Vec<Arrival> {
    let own = |index| schedule.arrivals(Share::try_new(index, count).unwrap(), seed);
    let mut union: Vec<Arrival> = (0..count).flat_map(own).collect();
    union.sort_by_key(|arrival| arrival.ordinal);
    union
}

#[test]
fn any_number_of_slices_up_to_ten_thousand_is_the_plan() {
    let stages = [(20_000, "900/s"), (0, "100/s"), (300_000, "700/s"), (9_000, "0/s")];
    let schedules = [ArrivalSchedule::new(&open("0/s", &stages)), poisson("0/s", &stages)];
    for schedule in &schedules {
        assert!(schedule.total() > 2 * 65_536, "several blocks: {}", schedule.total());
        let whole = union(schedule, 1, 7);
        for count in [2, 3, 8, 64, 999, 10_000] {
            assert!(union(schedule, count, 7) == whole, "{count} slices");
        }
    }
}

/// How probable it is that values that are uniform over 0 to 1 stray as far as these do: the limit of
/// Kolmogorov (1933).
fn kolmogorov_smirnov(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let gap = |(rank, value): (usize, &f64)| (value - rank as f64 / n).max((rank as f64 + 1.0) / n - value);
    let distance = values.iter().enumerate().map(gap).fold(0.0, f64::max);
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    let term =
        |k: i32| (if k % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (1..100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[test]
fn poisson_arrivals_of_eight_slices_pass_kolmogorov_and_smirnov() {
    for seed in 1..=5 {
        // Gaps between arrivals at a constant rate are exponential.
        let constant = poisson("500/s", &[(60_000, "500/s")]);
        let mut instants: Vec<u64> = union(&constant, 8, seed).iter().map(|arrival| arrival.at_us).collect();
        instants.sort_unstable();
        let gap = |pair: &[u64]| 1.0 - (-((pair[1] - pair[0]) as f64) * 500.0 / 1e6).exp();
        let gaps = kolmogorov_smirnov(instants.windows(2).map(gap).collect());
        // The instants of a ramp, by the area before them, are uniform; those of one slice, too.
        let ramp = poisson("0/s", &[(60_000, "1000/s")]);
        let area = |arrival: &Arrival| (arrival.at_us as f64 / 60e6).powi(2);
        let whole = kolmogorov_smirnov(union(&ramp, 8, seed).iter().map(area).collect());
        let slice = Share::try_new(3, 8).unwrap();
        let own = kolmogorov_smirnov(ramp.arrivals(slice, seed).map(|arrival| area(&arrival)).collect());
        println!("seed {seed}: p of gaps {gaps:.3}, of a ramp {whole:.3}, of one slice of it {own:.3}");
        assert!([gaps, whole, own].iter().all(|p| *p > 0.001), "seed {seed}: {gaps} {whole} {own}");
    }
    let even = (0..1_000).map(|n| f64::from(n % 10) / 10.0).collect();
    assert!(kolmogorov_smirnov(even) < 1e-6, "the test can fail");
}

#[test]
fn a_slice_holds_little_of_a_long_schedule() {
    let week = poisson("10000000/s", &[(604_800_000, "10000000/s")]);
    let own = Share::try_new(9_999, 10_000).unwrap();
    let first: Vec<Arrival> = week.arrivals(own, 1).take(20).collect();
    assert!(first.is_sorted_by_key(|arrival| arrival.at_us) && first[19].at_us < 1_000_000, "{first:?}");
}

/// Gone through one by one, what comes before would take days.
#[test]
fn the_middle_of_a_long_schedule_is_found_and_not_walked_to() {
    let stages = [(302_400_000, "10000000/s"), (302_400_000, "10000000/s")];
    let share = Share::try_new(3, 4).unwrap();
    for schedule in [ArrivalSchedule::new(&open("10000000/s", &stages)), poisson("10000000/s", &stages)] {
        for from_s in [100, 302_400, 500_000] {
            let from_us = from_s * 1_000_000;
            let first: Vec<Arrival> = schedule.arrivals_from(share, 1, from_us).take(20).collect();
            let near = |arrival: &Arrival| (from_us..from_us + 1_000).contains(&arrival.at_us);
            assert!(first.iter().all(near) && first.is_sorted_by_key(|arrival| arrival.at_us), "{first:?}");
            let before = schedule.arrivals_before(share, 1, from_us);
            assert!(before.abs_diff(from_s * 2_500_000) < 1_000, "{before}");
        }
    }
}

#[test]
fn several_blocks_of_poisson_arrivals_are_cut_anywhere() {
    let schedule = poisson("0/s", &[(20_000, "9000/s"), (0, "100/s"), (300_000, "700/s"), (9_000, "0/s")]);
    let share = Share::try_new(1, 3).unwrap();
    let all: Vec<Arrival> = schedule.arrivals(share, 7).collect();
    for cut_us in (0..33).map(|s| s * 10_000_003) {
        let before = all.partition_point(|arrival| arrival.at_us < cut_us);
        assert_eq!(schedule.arrivals_before(share, 7, cut_us), before as u64);
        assert!(schedule.arrivals_from(share, 7, cut_us).eq(all[before..].iter().copied()), "{cut_us}");
    }
}

#[test]
fn a_number_of_iterations_is_the_measure_where_it_is_given() {
    let load = |iterations| Load::Closed(ClosedLoad { iterations, ..closed(5, &[(1_000, 5)]) });
    let share = Share::try_new(1, 3).unwrap();
    let check = |iterations, expected| assert_eq!(load(iterations).planned(share), expected);
    check(None, Planned::UserMicros(2_000_000));
    check(Some(Iterations::Shared(100)), Planned::Iterations(33));
    check(Some(Iterations::PerUser(7)), Planned::Iterations(14));
}

fn any_open() -> impl Strategy<Value = OpenLoad> {
    let stage = (0_u64..20_000, 0_u64..400).prop_map(|(ms, rate)| RateStage {
        duration: Duration::from_millis(ms),
        rate: Rate::parse(&format!("{rate}/s")).unwrap(),
    });
    (0_u64..400, proptest::collection::vec(stage, 1..6), any::<bool>()).prop_map(|(start, stages, even)| {
        OpenLoad {
            start_rate: Rate::per_second_exact(start),
            stages,
            arrivals: if even { Arrivals::Even } else { Arrivals::Poisson },
            ..open("0/s", &[])
        }
    })
}

proptest! {
    #[test]
    fn arrivals_are_in_order_and_within_the_load(load in any_open(), seed: u64) {
        let schedule = ArrivalSchedule::new(&load);
        let end_us = micros(Load::Open(load).duration());
        let arrivals: Vec<Arrival> = schedule.arrivals(Share::WHOLE, seed).collect();
        prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.at_us));
        prop_assert!(arrivals.last().is_none_or(|last| last.at_us <= end_us));
        prop_assert_eq!(arrivals.len() as u64, schedule.total());
        prop_assert_eq!(schedule.at_us(schedule.total()), None);
    }

    #[test]
    fn the_union_of_slices_is_exactly_the_plan(load in any_open(), count in 1_u32..40, seed: u64) {
        let schedule = ArrivalSchedule::new(&load);
        prop_assert_eq!(union(&schedule, count, seed), union(&schedule, 1, seed));
    }

    #[test]
    fn what_comes_before_an_instant_and_what_comes_from_it_on_is_everything(
        load in any_open(), index in 0_u32..9, count in 1_u32..9, seed: u64, part in 0_u64..=1_100,
    ) {
        let (schedule, share) = (ArrivalSchedule::new(&load), Share::try_new(index % count, count).unwrap());
        let all: Vec<Arrival> = schedule.arrivals(share, seed).collect();
        let duration_us = micros(Load::Open(load).duration());
        // Also right at an arrival and beside it.
        let picked = all.get(usize::try_from(part).unwrap() % all.len().max(1)).map_or(0, |arrival| arrival.at_us);
        for cut_us in [duration_us * part / 1_000, picked, picked + 1, picked.saturating_sub(1)] {
            let before: Vec<Arrival> = all.iter().copied().take_while(|arrival| arrival.at_us < cut_us).collect();
            let from: Vec<Arrival> = schedule.arrivals_from(share, seed, cut_us).collect();
            prop_assert!(from.iter().all(|arrival| arrival.at_us >= cut_us));
            prop_assert_eq!(schedule.arrivals_before(share, seed, cut_us), before.len() as u64);
            prop_assert_eq!([before, from].concat(), all.clone());
        }
    }

    #[test]
    fn each_stage_has_as_many_poisson_arrivals_as_even_ones(load in any_open(), seed: u64) {
        let even = ArrivalSchedule::new(&OpenLoad { arrivals: Arrivals::Even, ..load.clone() });
        let poisson = ArrivalSchedule::new(&OpenLoad { arrivals: Arrivals::Poisson, ..load });
        // An arrival at the very end of a stage may be rounded up into the next.
        let until = |schedule: &ArrivalSchedule, us: u64| {
            schedule.arrivals(Share::WHOLE, seed).filter(|arrival| arrival.at_us <= us).count() as u64
        };
        for stage in &even.stages {
            let end_us = stage.start_us + stage.duration_us;
            prop_assert!(until(&even, end_us).abs_diff(until(&poisson, end_us)) <= 1);
        }
    }

    #[test]
    fn at_every_instant_as_many_users_are_active_as_the_profile_says(
        start in 0_u32..30, stages in proptest::collection::vec((1_u64..9_000, 0_u32..30), 1..6), at in 0_u64..1_000,
    ) {
        let load = closed(start, &stages);
        let schedule = UserSchedule::new(&load);
        let total_us = micros(Load::Closed(load).duration());
        let at_us = total_us / 1_000 * at;
        let active = (0..schedule.users())
            .filter(|&ordinal| schedule.spans(ordinal).iter().any(|s| s.from_us <= at_us && at_us < s.until_us))
            .count() as f64;
        let stage = schedule.stages.iter().rfind(|stage| stage.start_us <= at_us).unwrap();
        let part = (at_us - stage.start_us) as f64 / stage.duration_us as f64;
        let level = f64::from(stage.start_users) + (f64::from(stage.end_users) - f64::from(stage.start_users)) * part;
        prop_assert!(active >= level - 1e-6 && active <= level + 1.0, "{active} active at level {level}");
    }

    #[test]
    fn planned_user_time_of_the_slices_is_that_of_the_whole(
        start in 0_u32..30, stages in proptest::collection::vec((1_u64..9_000, 0_u32..30), 1..6), count in 1_u32..20,
    ) {
        let load = Load::Closed(closed(start, &stages));
        let micros = |share| match load.planned(share) { Planned::UserMicros(us) => us, other => panic!("{other:?}") };
        let sum: u64 = (0..count).map(|index| micros(Share::try_new(index, count).unwrap())).sum();
        prop_assert_eq!(sum, micros(Share::WHOLE));
    }
}
