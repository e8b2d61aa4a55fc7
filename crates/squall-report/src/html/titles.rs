//! Titles of charts that are sentences, where there is something to say.

use super::charts::{PHASES, seconds};
use super::slots::Slots;
use crate::numbers::{duration_ms, percent};
use crate::timeline::{Point, Timeline};

/// Slots before a rise at least, and after it: fewer may be chance.
const BEFORE: usize = 8;
const AFTER: usize = 5;

/// Where something rose most, from which level to which.
#[derive(Debug, PartialEq)]
struct Rise {
    index: usize,
    from: f64,
    to: f64,
}

/// Percentiles over time.
pub(super) fn percentiles(slots: &Slots, timeline: &Timeline) -> String {
    let measured = timeline.points.iter().filter_map(|point| point.p99_ms.map(|ms| (point, ms)));
    let highest = measured.fold(None, |highest: Option<(&Point, f64)>, (point, ms)| match highest {
        Some((_, before)) if before >= ms => highest,
        _ => Some((point, ms)),
    });
    let Some((point, ms)) = highest else { return "No response times".to_owned() };
    let highest = format!("p99 is highest at {}: {}", seconds(point.t_s), duration_ms(ms));
    let p99: Vec<Option<f64>> = slots.all.iter().map(|slot| slot.percentiles_ms[2]).collect();
    match rise(&p99) {
        None => format!("Response time: {highest}"),
        Some(Rise { index, from, to }) => {
            let at = seconds(slots.begin_of_s(index));
            let (from, to, rose) = (duration_ms(from), duration_ms(to), times(to / from));
            format!("Response time: p99 {rose} at {at}, from {from} to {to}; {highest}")
        }
    }
}

fn times(factor: f64) -> String {
    match factor {
        factor if factor < 2.6 => "doubled".to_owned(),
        factor if factor < 3.6 => "tripled".to_owned(),
        factor => format!("rose {factor:.0}-fold"),
    }
}

/// The largest rise from a steady level to one at least twice as high that stayed for a while.
fn rise(values: &[Option<f64>]) -> Option<Rise> {
    let known: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(index, value)| value.map(|value| (index, value))).collect();
    let mut best: Option<Rise> = None;
    for at in BEFORE..(known.len() + 1).saturating_sub(AFTER) {
        let from = median(known[at.saturating_sub(4 * BEFORE)..at].iter().map(|(_, value)| *value));
        let to = median(known[at..at + AFTER].iter().map(|(_, value)| *value));
        let (index, first) = known[at];
        // Its own value is high, too: else the rise is still to come.
        let rises = from > 0.0 && to >= 2.0 * from && first >= 1.5 * from;
        if rises && best.as_ref().is_none_or(|best| to / from > 1.05 * best.to / best.from) {
            best = Some(Rise { index, from, to });
        }
    }
    best
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// What requests' time is made of.
pub(super) fn phases(slots: &Slots) -> String {
    let mut sums = [0.0; PHASES.len()];
    for slot in &slots.all {
        for (sum, mean) in sums.iter_mut().zip(slot.phases_ms) {
            *sum += mean * slot.requests as f64;
        }
    }
    let all: f64 = sums.iter().sum();
    let requests: u64 = slots.all.iter().map(|slot| slot.requests).sum();
    let largest = PHASES.iter().zip(sums).max_by(|(_, one), (_, other)| one.total_cmp(other));
    match largest.filter(|_| all > 0.0) {
        None => "What a request's time is made of".to_owned(),
        Some(((name, _), sum)) => format!(
            "{} of a request's time is {name}; a request takes {} on average",
            percent(sum / all),
            duration_ms(all / requests.max(1) as f64)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: Option<(usize, &str)>) {
        let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let found = rise(&values).map(|rise| (rise.index, times(rise.to / rise.from)));
        assert_eq!(found, expected.map(|(index, what)| (index, what.to_owned())));
    }

    #[test]
    fn a_rise_is_one_that_stays() {
        let level = |value: f64, number: usize| vec![value; number];
        check(&[level(10.0, 20), level(31.0, 20)].concat(), Some((20, "tripled")));
        check(&[level(10.0, 20), level(21.0, 6), level(10.0, 9)].concat(), Some((20, "doubled")));
        check(&[level(10.0, 20), level(90.0, 20)].concat(), Some((20, "rose 9-fold")));
        // A single slow second, a slow begin, a small rise, and nothing.
        check(&[level(10.0, 20), level(99.0, 2), level(10.0, 20)].concat(), None);
        check(&[level(99.0, 3), level(10.0, 20)].concat(), None);
        check(&[level(10.0, 20), level(15.0, 20)].concat(), None);
        check(&[], None);
    }
}
