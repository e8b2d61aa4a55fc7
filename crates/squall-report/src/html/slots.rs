//! The timeline in fewer steps, of equal length and without gaps.

use crate::numbers;
use crate::timeline::{Point, Timeline};

/// The classes of outcomes, in the order in which they are stacked.
pub(super) const CLASSES: [(&str, &str); 7] = [
    ("2xx", "c2xx"),
    ("3xx", "c3xx"),
    ("4xx", "c4xx"),
    ("429", "c429"),
    ("5xx", "c5xx"),
    ("timeouts", "ctimeout"),
    ("others", "cother"),
];

/// Several steps of the timeline put together.
#[derive(Default)]
pub(super) struct Slot {
    /// Seconds it holds.
    pub(super) seconds: f64,
    /// The most users.
    pub(super) users: u64,
    /// The most requests under way.
    pub(super) in_flight: u64,
    /// Arrivals dropped.
    pub(super) dropped: u64,
    /// Connections made.
    pub(super) new_connections: u64,
    /// Slices for which the generator was the bottleneck.
    pub(super) tainted: u64,
    /// Requests that ended.
    pub(super) requests: u64,
    /// How long the phases of a request took on average.
    pub(super) phases_ms: [f64; 6],
    /// Requests by [`CLASSES`].
    pub(super) outcomes: [u64; 7],
    /// The highest p50, p95 and p99 of its steps: distributions cannot be put together from them.
    pub(super) percentiles_ms: [Option<f64>; 3],
}

/// The timeline in slots.
pub(super) struct Slots {
    /// When the first begins.
    pub(super) begin_s: i64,
    /// How long each is.
    pub(super) width_s: i64,
    /// How long all are together.
    pub(super) length_s: i64,
    /// Their content.
    pub(super) all: Vec<Slot>,
}

impl Slots {
    /// At most so many slots. Without points there are none.
    pub(super) fn new(timeline: &Timeline, most: usize) -> Self {
        let step_s = i64::from(timeline.step_s.max(1));
        let times = || timeline.points.iter().map(|point| point.t_s);
        let (Some(begin_s), Some(last_s)) = (times().min(), times().max()) else {
            return Self { begin_s: 0, width_s: step_s, length_s: 0, all: Vec::new() };
        };
        let steps = (last_s.saturating_sub(begin_s) / step_s).saturating_add(1);
        let together = (steps - 1) / i64::try_from(most.max(1)).unwrap_or(i64::MAX) + 1;
        let width_s = together.saturating_mul(step_s);
        let length_s = steps.saturating_mul(step_s);
        let count = (steps - 1) / together + 1;
        let slot = |index: i64| Slot {
            seconds: width_s.min(length_s.saturating_sub(index.saturating_mul(width_s))) as f64,
            ..Slot::default()
        };
        let mut slots = Self { begin_s, width_s, length_s, all: (0..count).map(slot).collect() };
        for point in &timeline.points {
            let index = slots.index(point.t_s);
            if let Some(slot) = slots.all.get_mut(index) {
                slot.add(point);
            }
        }
        slots
    }

    /// The slot that holds a second.
    pub(super) fn index(&self, t_s: i64) -> usize {
        usize::try_from(t_s.saturating_sub(self.begin_s) / self.width_s.max(1)).unwrap_or(0)
    }

    /// When a slot begins.
    pub(super) fn begin_of_s(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.begin_s.saturating_add(index.saturating_mul(self.width_s))
    }
}

impl Slot {
    fn add(&mut self, point: &Point) {
        self.users = self.users.max(point.users);
        self.in_flight = self.in_flight.max(point.in_flight);
        self.dropped += point.dropped;
        self.new_connections += point.new_connections;
        self.tainted += point.tainted;
        self.add_phases(point);
        for (outcome, number) in &point.outcomes {
            self.outcomes[class(outcome)] += number;
        }
        let percentiles = [point.p50_ms, point.p95_ms, point.p99_ms];
        for (highest, ms) in self.percentiles_ms.iter_mut().zip(percentiles) {
            *highest = higher(*highest, ms);
        }
    }
}

impl Slot {
    /// Means by what they are means of.
    fn add_phases(&mut self, point: &Point) {
        let (before, more) = (self.requests as f64, point.requests as f64);
        self.requests += point.requests;
        for (mean, of_point) in self.phases_ms.iter_mut().zip(point.phases_ms.all()) {
            *mean = (*mean * before + of_point * more) / (before + more).max(1.0);
        }
    }
}

/// The higher of two values, if there is any.
pub(super) fn higher(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// Which of [`CLASSES`] an outcome is of.
pub(super) fn class(outcome: &str) -> usize {
    let class = numbers::class(outcome);
    CLASSES.iter().position(|(name, _)| *name == class).unwrap_or(CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_counts_and_fill_gaps() {
        let point = |t_s, dropped| Point { t_s, dropped, ..Point::default() };
        let timeline = Timeline { step_s: 1, points: vec![point(-2, 1), point(0, 2), point(6, 4)] };
        let slots = Slots::new(&timeline, 5);
        assert_eq!((slots.begin_s, slots.width_s, slots.length_s), (-2, 2, 9));
        let dropped: Vec<u64> = slots.all.iter().map(|slot| slot.dropped).collect();
        assert_eq!(dropped, [1, 2, 0, 0, 4]);
        assert!((slots.all[4].seconds - 1.0).abs() < f64::EPSILON, "the last is cut");
    }
}
