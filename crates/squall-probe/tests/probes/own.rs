//! Generators of known capacity and error.

use squall_probe::{Own, Probe, Step};

use crate::odd::Odd;
use crate::simulated::{Chance, Lab};

#[test]
fn what_generators_can_do_and_by_how_much_they_err_is_found() {
    for seed in 0..12 {
        let mut chance = Chance::new(seed);
        let (most, cpu_us) = (chance.scaled(2_000.0, 60_000.0), chance.between(20.0, 60.0));
        let mut lab = Lab::new(Odd::service(seed, |_, _, chance| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds")]
            let takes_us = chance.between(950.0, 1_050.0) as u64;
            (takes_us, 200)
        }));
        (lab.most_per_s, lab.adds_us, lab.cpu_us) = (most, 37, cpu_us);
        let probe = Own { truth_us: Some(1_000.0), cores: 4, step_s: 2.0, ..Own::default() };
        let (history, step) = lab.run(&probe);
        let answer = probe.answer(&history);
        assert_eq!(step, Step::Enough);
        let found = answer.capacity_per_s.unwrap();
        assert!((found.value / most - 1.0).abs() <= 0.05, "seed {seed}: {found:?} {most}");
        assert!((answer.per_core_per_s.unwrap().value * 4.0 - found.value).abs() < 1e-6);
        assert!((answer.error_us.unwrap().value - 37.0).abs() <= 10.0, "{:?}", answer.error_us);
        assert!((answer.cpu_us.unwrap().value / cpu_us - 1.0).abs() < 0.02, "{:?}", answer.cpu_us);
        for length in 0..=history.len() {
            let answer = probe.answer(&history[..length]);
            let holds =
                answer.capacity_per_s.is_none_or(|found| found.low * 0.95 < most && most < found.high * 1.05);
            assert!(holds && answer.at_least_per_s.is_none_or(|kept| kept <= most), "{length}: {answer:?}");
        }
    }
}

#[test]
fn a_target_that_fails_tells_nothing_of_the_generators() {
    let mut lab = Lab::new(Odd::service(1, |_, _, _| (1_000, 500)));
    let probe = Own::default();
    let (history, step) = lab.run(&probe);
    assert!(matches!(step, Step::Stop(_)) && history.len() == 1);
    let answer = probe.answer(&history);
    assert!(answer.capacity_per_s.is_none() && answer.error_us.is_none() && !answer.untold.is_empty());
}

#[test]
fn generators_that_never_tire_are_said_to_make_what_was_tried() {
    let mut lab = Lab::new(Odd::service(1, |_, _, _| (1_000, 200)));
    let probe = Own { most_per_s: 4_000.0, ..Own::default() };
    let answer = probe.answer(&lab.run(&probe).0);
    assert_eq!((answer.capacity_per_s, answer.at_least_per_s), (None, Some(4_000.0)));
}
