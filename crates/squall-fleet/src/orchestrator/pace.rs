//! How busy a generator has been, and how busy one may have been of which nothing was heard.

use std::collections::BTreeMap;

use squall_plan::schedule::{ArrivalSchedule, UserSchedule};
use squall_plan::{Load, Plan};

use super::posts::micros;

/// How much load a plan makes when: of each of its loads arrivals a second, or users, from an instant on, with straight
/// lines between.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Levels(Vec<Vec<(u64, f64)>>);

impl Levels {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let of_load = |load: &Load| match load {
            Load::Open(load) => ArrivalSchedule::new(load).levels(),
            Load::Closed(load) => UserSchedule::new(load).levels(),
        };
        let placed = plan.loads.iter().map(|placed| {
            let start_us = micros(placed.start);
            of_load(&placed.load).into_iter().map(|(at_us, level)| (start_us + at_us, level)).collect()
        });
        Self(placed.collect())
    }
}

/// The most requests that a generator has told of a second, for each interval in which it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pace(BTreeMap<u32, u64>);

impl Pace {
    /// A generator had so many in a second, which it told in an interval.
    pub(super) fn tell(&mut self, interval: u32, rps: u64) {
        let most = self.0.entry(interval).or_default();
        *most = rps.max(*most);
    }

    /// Somebody has told so elsewhere.
    pub(crate) fn learn(&mut self, other: &Self) {
        other.0.iter().for_each(|(interval, rps)| self.tell(*interval, *rps));
    }

    /// The most requests that any generator may have had in a second until an instant: as many as any that was heard of had
    /// when the plan wanted as much. `None` where nothing was told of a load by then.
    pub(super) fn most_rps(&self, levels: &Levels, interval_us: u64, until_us: u64) -> Option<u64> {
        let told = || self.0.iter().filter(|(_, rps)| **rps > 0);
        let level_then = |load: &[(u64, f64)], interval: u32| {
            // What is told in an interval was done in the one before.
            level(load, (u64::from(interval.max(1)) * interval_us).saturating_sub(interval_us / 2))
        };
        let mut most = told().map(|(_, rps)| *rps).max().unwrap_or(0);
        for load in &levels.0 {
            let highest = highest(load, until_us);
            if highest <= 0.0 {
                continue;
            }
            let levels = told().map(|(interval, rps)| (level_then(load, *interval), *rps));
            let grown = levels.filter(|(level, _)| *level > 0.0).map(|(level, rps)| {
                let growth = (highest / level).max(1.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a bound, rounded up"
                )]
                let rps = (rps as f64 * growth).ceil() as u64;
                rps
            });
            most = most.max(grown.max()?);
        }
        Some(most)
    }
}

/// The level at an instant; of two that meet there the earlier one.
fn level(load: &[(u64, f64)], at_us: u64) -> f64 {
    let after = load.partition_point(|(point_us, _)| *point_us < at_us);
    match (after.checked_sub(1).and_then(|before| load.get(before)), load.get(after)) {
        (Some((from_us, from)), Some((until_us, until))) => {
            #[expect(clippy::cast_precision_loss, reason = "a share of a stage")]
            let share = at_us.saturating_sub(*from_us) as f64 / until_us.saturating_sub(*from_us) as f64;
            from + (until - from) * share
        }
        _ => 0.0,
    }
}

/// The highest level before an instant.
fn highest(load: &[(u64, f64)], until_us: u64) -> f64 {
    let points = load.iter().filter(|(at_us, _)| *at_us < until_us).map(|(_, level)| *level);
    points.chain([level(load, until_us)]).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn told(paces: &[(u32, u64)]) -> Pace {
        let mut pace = Pace::default();
        paces.iter().for_each(|(interval, rps)| pace.tell(*interval, *rps));
        pace
    }

    fn most(pace: &Pace, loads: &[&[(u64, f64)]], until_s: u64) -> Option<u64> {
        let points =
            |load: &&[(u64, f64)]| load.iter().map(|(at_s, level)| (at_s * SECOND_US, *level)).collect();
        pace.most_rps(&Levels(loads.iter().map(points).collect()), SECOND_US, until_s * SECOND_US)
    }

    #[test]
    fn at_a_constant_load_it_is_the_busiest_second() {
        let flat: &[(u64, f64)] = &[(0, 50.0), (60, 50.0)];
        assert_eq!(most(&told(&[(3, 9), (4, 12), (5, 10)]), &[flat], 60), Some(12));
    }

    #[test]
    fn who_is_lost_in_a_ramp_may_have_gone_on_with_it() {
        let ramp: &[(u64, f64)] = &[(0, 0.0), (100, 100.0)];
        // In the second before 10 s the level was 9.5.
        assert_eq!(most(&told(&[(10, 19)]), &[ramp], 40), Some(80));
        assert_eq!(most(&told(&[(10, 19)]), &[ramp], 1_000), Some(200));
    }

    #[test]
    fn of_a_load_of_which_nothing_was_told_nothing_is_known() {
        let first: &[(u64, f64)] = &[(0, 50.0), (60, 50.0)];
        let second: &[(u64, f64)] = &[(60, 10.0), (120, 10.0)];
        assert_eq!(most(&Pace::default(), &[first], 60), None);
        assert_eq!(most(&told(&[(10, 5)]), &[first, second], 50), Some(5));
        assert_eq!(most(&told(&[(10, 5)]), &[first, second], 120), None);
        assert_eq!(most(&told(&[(10, 5), (70, 1)]), &[first, second], 120), Some(5));
    }

    #[test]
    fn before_any_load_nothing_is_sent() {
        assert_eq!(most(&Pace::default(), &[&[(60, 50.0), (120, 50.0)]], 60), Some(0));
        assert_eq!(most(&Pace::default(), &[], 60), Some(0));
    }
}
