use proptest::prelude::*;

use super::*;
use crate::model::{RateStage, UserStage};
use crate::units::Rate;

fn open(start: &str, stages: &[(u64, &str)]) -> OpenLoad {
    let stage = |&(ms, rate): &(u64, &str)| RateStage {
        duration: Duration::from_millis(ms),
        rate: Rate::parse(rate).unwrap(),
    };
    OpenLoad {
        start_rate: Rate::parse(start).unwrap(),
        stages: stages.iter().map(stage).collect(),
        max_users: 1,
        graceful_stop: Duration::ZERO,
    }
}

fn closed(start_users: u32, stages: &[(u64, u32)]) -> ClosedLoad {
    let stage = |&(ms, users): &(u64, u32)| UserStage { duration: Duration::from_millis(ms), users };
    ClosedLoad { start_users, stages: stages.iter().map(stage).collect(), graceful_stop: Duration::ZERO }
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

fn any_open() -> impl Strategy<Value = OpenLoad> {
    let stage = (0_u64..20_000, 0_u64..400).prop_map(|(ms, rate)| RateStage {
        duration: Duration::from_millis(ms),
        rate: Rate::parse(&format!("{rate}/s")).unwrap(),
    });
    (0_u64..400, proptest::collection::vec(stage, 1..6)).prop_map(|(start, stages)| OpenLoad {
        start_rate: Rate::per_second_exact(start),
        stages,
        max_users: 1,
        graceful_stop: Duration::ZERO,
    })
}

proptest! {
    #[test]
    fn arrivals_are_in_order_and_within_the_load(load in any_open()) {
        let schedule = ArrivalSchedule::new(&load);
        let end_us = micros(Load::Open(load).duration());
        let instants: Vec<u64> = (0..schedule.total()).map(|ordinal| schedule.at_us(ordinal).unwrap()).collect();
        prop_assert!(instants.is_sorted());
        prop_assert!(instants.last().is_none_or(|&last| last <= end_us));
        prop_assert_eq!(schedule.at_us(schedule.total()), None);
    }

    #[test]
    fn the_union_of_slices_is_exactly_the_plan(load in any_open(), count in 1_u32..40) {
        let schedule = ArrivalSchedule::new(&load);
        let own = |index| Share::try_new(index, count).unwrap().ordinals(schedule.total());
        let mut union: Vec<u64> = (0..count).flat_map(own).filter_map(|ordinal| schedule.at_us(ordinal)).collect();
        union.sort_unstable();
        let whole: Vec<u64> = Share::WHOLE.ordinals(schedule.total()).filter_map(|o| schedule.at_us(o)).collect();
        prop_assert_eq!(union, whole);
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
        let micros = |share| match load.planned(share) { Planned::UserMicros(us) => us, Planned::Arrivals(_) => 0 };
        let sum: u64 = (0..count).map(|index| micros(Share::try_new(index, count).unwrap())).sum();
        prop_assert_eq!(sum, micros(Share::WHOLE));
    }
}
