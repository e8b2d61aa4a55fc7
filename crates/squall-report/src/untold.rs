//! Seconds of which not everything is known, for what somebody measured in them never came.

use std::collections::BTreeMap;
use std::ops::Range;

use squall_metrics::{GeneratorTotals, Merged};

use crate::build::GeneratorFacts;

/// In each second from the epoch on, so many slices of which nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Untold(Vec<u64>);

impl Untold {
    /// Of a load that lasts so long; behind the last second that anybody has told of there is none.
    pub(crate) fn of(merged: &Merged, generators: &[GeneratorFacts], planned_s: f64) -> Self {
        let last = merged.seconds().last_key_value().map_or(0, |(second, _)| second.saturating_add(1));
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is cut")]
        let end = last.min(planned_s.ceil() as i32).max(0);
        let mut slices: BTreeMap<u32, Vec<&GeneratorFacts>> = BTreeMap::new();
        for generator in generators {
            generator.slice.into_iter().for_each(|slice| slices.entry(slice).or_default().push(generator));
        }
        let mut untold = Self(vec![0; usize::try_from(end).unwrap_or(0)]);
        for (_, generators) in slices {
            gaps(merged, &generators, end).into_iter().for_each(|gap| untold.add(&gap));
        }
        untold
    }

    fn add(&mut self, seconds: &Range<i32>) {
        self.slots_mut(seconds).iter_mut().for_each(|slices| *slices += 1);
    }

    /// All of a stretch added up.
    pub(crate) fn sum(&self, seconds: &Range<i32>) -> u64 {
        self.0.get(place(seconds, self.0.len())).map_or(0, |slots| slots.iter().sum())
    }

    fn slots_mut(&mut self, seconds: &Range<i32>) -> &mut [u64] {
        let length = self.0.len();
        self.0.get_mut(place(seconds, length)).unwrap_or_default()
    }
}

/// Where seconds are in a list of those from the epoch on.
fn place(seconds: &Range<i32>, length: usize) -> Range<usize> {
    let at = |second: i32| usize::try_from(second).unwrap_or(0).min(length);
    at(seconds.start)..at(seconds.end)
}

/// The seconds before an end that nobody has told of who had the same slice, if anybody has not told everything.
fn gaps(merged: &Merged, generators: &[&GeneratorFacts], end: i32) -> Vec<Range<i32>> {
    let totals = |generator: &GeneratorFacts| merged.generators().get(&generator.nonce);
    let is_in = |generator: &GeneratorFacts| {
        let came = totals(generator).map_or(0, GeneratorTotals::snapshots);
        generator.snapshots.is_some_and(|wrote| came >= u64::from(wrote))
    };
    let until = |generator: &GeneratorFacts| totals(generator).map_or(i32::MIN, |totals| totals.told_until);
    // Who has told everything and was the last has ended by itself.
    let last = generators.iter().max_by_key(|generator| (until(generator), is_in(generator)));
    let end = last.filter(|last| is_in(last)).map_or(end, |last| until(last).min(end));
    if generators.iter().all(|generator| is_in(generator)) {
        return Vec::new();
    }
    let mut told: Vec<_> =
        generators.iter().filter_map(|generator| totals(generator)).flat_map(GeneratorTotals::told).collect();
    told.sort_by_key(|stretch| *stretch.start());
    let (mut gaps, mut from) = (Vec::new(), 0);
    for stretch in told {
        gaps.push(from..*stretch.start());
        from = from.max(stretch.end().saturating_add(1));
    }
    gaps.push(from..end);
    gaps.retain_mut(|gap| {
        gap.end = gap.end.min(end);
        gap.start < gap.end
    });
    gaps
}

#[cfg(test)]
mod tests {
    use squall_metrics::{Observation, Recorder, Snapshot};

    use super::*;

    /// Snapshots of this generator that tell of these seconds.
    fn tell(merged: &mut Merged, nonce: &str, snapshots: &[(u32, Range<i32>)]) {
        for (sequence, seconds) in snapshots.iter().cloned() {
            let mut recorder = Recorder::new(0);
            recorder.observe(seconds, Observation { observed_us: 1_000_000, ..Observation::default() });
            let (run, nonce) = ("r".to_owned(), nonce.to_owned());
            merged.merge(Snapshot { run, nonce, sequence, interval: recorder.take().into_interval() });
        }
    }

    fn generator(slice: u32, nonce: &str, snapshots: Option<u32>) -> GeneratorFacts {
        GeneratorFacts {
            slice: Some(slice),
            window: 0,
            nonce: nonce.to_owned(),
            region: String::new(),
            environment: String::new(),
            source_ip: None,
            queued_ms: None,
            deliveries: None,
            init_ms: 0.0,
            ready_ms: 0.0,
            start_skew_ms: None,
            snapshots,
        }
    }

    #[test]
    fn seconds_that_a_slice_has_not_told_of_are_known() {
        let mut merged = Merged::default();
        tell(&mut merged, "all", &[(0, -2..5), (1, 5..10)]);
        tell(&mut merged, "ended early", &[(0, 0..6)]);
        let check = |merged: &Merged, more: &[GeneratorFacts], expected: &[u64]| {
            let mut generators = vec![generator(0, "all", Some(2)), generator(1, "ended early", Some(1))];
            generators.extend_from_slice(more);
            assert_eq!(Untold::of(merged, &generators, 9.5).0, expected, "{more:?}");
        };
        check(&merged, &[], &[0; 10]);
        // Never heard of.
        check(&merged, &[generator(2, "nobody", None)], &[1; 10]);
        // A snapshot in the middle has not come, then the rest.
        tell(&mut merged, "lost", &[(0, 0..2), (2, 4..6)]);
        check(&merged, &[generator(2, "lost", None)], &[0, 0, 1, 1, 0, 0, 1, 1, 1, 1]);
        check(&merged, &[generator(2, "lost", Some(3))], &[0, 0, 1, 1, 0, 0, 1, 1, 1, 1]);
        // Somebody else has taken its place, and has told everything.
        tell(&mut merged, "replacement", &[(0, 8..9)]);
        let both = [generator(2, "lost", None), generator(2, "replacement", Some(1))];
        check(&merged, &both, &[0, 0, 1, 1, 0, 0, 1, 1, 0, 0]);
        tell(&mut merged, "lost", &[(1, 2..4)]);
        check(&merged, &both, &[0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
        check(&merged, &[generator(2, "lost", Some(3))], &[0; 10]);
    }

    #[test]
    fn a_stretch_is_added_up_as_far_as_it_is_known() {
        let untold = Untold(vec![0, 1, 2, 3]);
        let check = |seconds: Range<i32>, sum| assert_eq!(untold.sum(&seconds), sum, "{seconds:?}");
        check(-5..0, 0);
        check(-5..2, 1);
        check(2..4, 5);
        check(3..9, 3);
        check(9..12, 0);
    }
}
