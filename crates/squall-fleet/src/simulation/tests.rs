//! The promises hold in all weathers.

use super::*;

fn check(scenery: &Scenery) -> Outcome {
    let outcome = simulate(scenery);
    let broken = outcome.broken_promises();
    assert!(
        broken.is_empty(),
        "seed {}: {broken:?}\n{:?}",
        scenery.seed,
        outcome.record.map(|record| (record.end, record.seats, record.missing, record.problems))
    );
    outcome
}

fn calm(seed: u64) -> Scenery {
    Scenery {
        seed,
        slices: 20,
        regions: 1,
        rate: 200,
        start_rate: 200,
        load: Duration::from_mins(2),
        window: Duration::from_hours(1),
        weather: Weather::default(),
    }
}

#[test]
fn in_good_weather_every_arrival_is_sent_once_and_reported() {
    for seed in 0..5 {
        let outcome = check(&calm(seed));
        let record = outcome.record.unwrap();
        assert_eq!((record.end, record.merged.requests()), (End::Finished, 24_000), "{:?}", record.seats);
        assert_eq!((record.missing, record.problems), (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_slice_that_is_handed_over_again_and_again_loses_nothing() {
    for seed in 0..5 {
        let outcome = check(&Scenery { window: Duration::from_secs(40), ..calm(seed) });
        let record = outcome.record.unwrap();
        assert_eq!((record.end, record.merged.requests()), (End::Finished, 24_000), "{:?}", record.seats);
        assert!(record.seats.handed_over >= 40, "{:?}", record.seats);
        assert_eq!((record.missing, record.problems), (Vec::new(), Vec::new()));
    }
}

#[test]
fn who_is_lost_is_replaced() {
    let mut replaced = 0;
    for seed in 0..10 {
        let weather = Weather { dying: 150, ..Weather::default() };
        let outcome = check(&Scenery { weather, ..calm(seed) });
        replaced += outcome.record.unwrap().seats.replaced;
    }
    assert!(replaced > 5, "{replaced}");
}

#[test]
fn whose_clock_is_wrong_makes_no_load_also_in_place_of_others() {
    let mut unused = 0;
    for seed in 0..10 {
        let weather = Weather { dying: 150, wrong_clocks: 200, ..Weather::default() };
        let outcome = check(&Scenery { weather, window: Duration::from_secs(40), ..calm(seed) });
        assert_eq!(outcome.received.mistimed, 0, "seed {seed}");
        unused += outcome.record.unwrap().problems.iter().filter(|one| one.contains("clocks of")).count();
    }
    assert_eq!(unused, 10);
}

#[test]
fn who_stood_still_does_not_go_on_beside_its_successor() {
    for seed in 0..10 {
        let weather = Weather { freezing: 150, ..Weather::default() };
        check(&Scenery { weather, ..calm(seed) });
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let weather =
        Weather { dying: 100, freezing: 50, refused: 20, unanswered: 20, doubled: 100, ..Weather::default() };
    let scenery = Scenery { weather, ..calm(3) };
    let tell = |outcome: &Outcome| {
        (outcome.received, outcome.took, outcome.record.as_ref().map(|record| record.seats).ok())
    };
    assert_eq!(tell(&simulate(&scenery)), tell(&simulate(&scenery)));
}

/// As many generators as a large fleet has, so that whatever grows with the square of them is seen.
#[test]
fn a_large_fleet_loses_nothing_in_good_weather() {
    let scenery = Scenery::any(1, 2_500, 1);
    let outcome = check(&Scenery { weather: Weather::default(), ..scenery });
    let record = outcome.record.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 240_000), "{:?}", record.seats);
    assert_eq!((record.missing, record.problems), (Vec::new(), Vec::new()));
}

#[test]
fn a_large_fleet_goes_on_in_bad_weather() {
    let outcome = check(&Scenery::any(5, 3_000, 1));
    let (record, planned) = (outcome.record.unwrap(), outcome.planned);
    assert_eq!(record.end, End::Finished, "{:?}", record.seats);
    let reported = record.merged.requests();
    assert!(
        record.seats.replaced > 0 && reported > planned * 4 / 5,
        "{reported} of {planned}, {:?}",
        record.seats
    );
}

#[test]
fn in_any_weather_nothing_is_counted_twice_and_what_is_unknown_is_bounded() {
    for seed in 0..60 {
        check(&Scenery::any(seed, 20, 1));
    }
}

/// A region may be gone, before, in or after the orchestrator's death.
#[test]
fn in_any_weather_several_regions_keep_the_promises_together() {
    for seed in 0..40 {
        check(&Scenery::any(seed, 20, 5));
    }
}
