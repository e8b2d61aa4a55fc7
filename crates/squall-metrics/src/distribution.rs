//! Distributions of durations: dense while they are recorded and merged, sparse while they travel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

/// Longer durations are recorded as this: an hour.
pub const HIGHEST_US: u64 = 3_600_000_000;

/// A distribution of durations in microseconds: an HdrHistogram that costs nothing while it is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    histogram: Option<Box<Histogram<u64>>>,
    digits: u8,
}

impl Distribution {
    /// To three significant digits: for whole runs.
    #[must_use]
    pub const fn fine() -> Self {
        Self { histogram: None, digits: 3 }
    }

    /// To two significant digits: for single seconds and for what is looked at, not judged.
    #[must_use]
    pub const fn coarse() -> Self {
        Self { histogram: None, digits: 2 }
    }

    /// Takes in one duration.
    pub fn record(&mut self, us: u64) {
        self.record_n(us, 1);
    }

    /// Takes in one duration `count` times.
    pub fn record_n(&mut self, us: u64, count: u64) {
        if self.histogram.is_none() {
            self.histogram = new_histogram(self.digits).map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            // A histogram that grows takes every duration up to an hour.
            let recorded = histogram.record_n(us.min(HIGHEST_US), count);
            debug_assert!(recorded.is_ok());
        }
    }

    /// Takes in all of another one.
    pub fn merge(&mut self, other: &Sparse) {
        for &(us, count) in &other.buckets {
            self.record_n(us, count);
        }
    }

    /// Forgets all durations, but keeps the room they took.
    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.histogram {
            histogram.reset();
        }
    }

    /// How many durations were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The duration that a share `quantile` (0 to 1) of all does not exceed, by nearest rank;
    /// `None` if there are none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        // The smallest quantile is that of the first rank; zero would be the lower end of its bucket.
        self.non_empty().map(|histogram| histogram.value_at_quantile(quantile.max(f64::MIN_POSITIVE)))
    }

    /// The shortest.
    #[must_use]
    pub fn min_us(&self) -> Option<u64> {
        self.non_empty().map(Histogram::min)
    }

    /// The longest, to the digits of the distribution.
    #[must_use]
    pub fn max_us(&self) -> Option<u64> {
        self.non_empty().map(Histogram::max)
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        self.non_empty().map(Histogram::mean)
    }

    /// The standard deviation.
    #[must_use]
    pub fn stddev_us(&self) -> Option<f64> {
        self.non_empty().map(Histogram::stdev)
    }

    /// What travels.
    #[must_use]
    pub fn to_sparse(&self) -> Sparse {
        let buckets = self.non_empty().map(|histogram| {
            histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
        });
        Sparse { buckets: buckets.unwrap_or_default() }
    }

    /// The HdrHistogram V2 deflate encoding in base64, which HdrHistogram reads in any language.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let empty = new_histogram(self.digits);
        let Some(histogram) = self.histogram.as_deref().or(empty.as_ref()) else { return String::new() };
        let mut bytes = Vec::new();
        // Writing to memory cannot fail, and the counts of a histogram always fit its own encoding.
        match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
            Ok(_) => STANDARD.encode(bytes),
            Err(_) => String::new(),
        }
    }

    fn non_empty(&self) -> Option<&Histogram<u64>> {
        self.histogram.as_deref().filter(|histogram| !histogram.is_empty())
    }
}

/// Grows as longer durations come, so that a fast endpoint costs a fraction of a slow one.
fn new_histogram(digits: u8) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new(digits).ok()?;
    histogram.auto(true);
    Some(histogram)
}

/// A distribution as pairs of duration and count, in ascending order of duration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse {
    buckets: Vec<(u64, u64)>,
}

impl Sparse {
    /// `None` unless the durations ascend, none is above [`HIGHEST_US`]'s own bucket, no count is zero and
    /// the counts together are at most 2⁶³: whatever then follows cannot overflow.
    #[must_use]
    pub fn try_new(buckets: Vec<(u64, u64)>) -> Option<Self> {
        let ascending = buckets.is_sorted_by(|a, b| a.0 < b.0);
        let in_range = buckets.last().is_none_or(|&(us, _)| us <= HIGHEST_US + HIGHEST_US / 64);
        let counted = buckets.iter().all(|&(_, count)| count > 0);
        let total = buckets.iter().try_fold(0_u64, |sum, &(_, count)| sum.checked_add(count));
        (ascending && in_range && counted && total.is_some_and(|total| total <= 1 << 63))
            .then_some(Self { buckets })
    }

    /// The pairs.
    #[must_use]
    pub fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }

    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| count).fold(0, u64::saturating_add)
    }

    /// The duration that a share `quantile` (0 to 1) of all does not exceed, by nearest rank;
    /// `None` if there are none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        self.buckets
            .iter()
            .find(|&&(_, count)| {
                seen = seen.saturating_add(count);
                seen as f64 >= rank
            })
            .or(self.buckets.last())
            .map(|&(us, _)| us)
    }

    /// What is left without a part of it.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let of_part =
            |us| part.buckets.binary_search_by_key(&us, |(us, _)| *us).map_or(0, |at| part.buckets[at].1);
        let left = self.buckets.iter().map(|&(us, count)| (us, count.saturating_sub(of_part(us))));
        Self { buckets: left.filter(|(_, count)| *count > 0).collect() }
    }

    /// The longest.
    #[must_use]
    pub fn max_us(&self) -> Option<u64> {
        self.buckets.last().map(|&(us, _)| us)
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        let sum: f64 = self.buckets.iter().map(|&(us, count)| us as f64 * count as f64).sum();
        (!self.buckets.is_empty()).then(|| sum / self.count() as f64)
    }

    /// Takes in all of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        let mut merged = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut own, mut theirs) =
            (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        while let (Some(&(a, own_count)), Some(&(b, their_count))) = (own.peek(), theirs.peek()) {
            merged.push(match a.cmp(&b) {
                std::cmp::Ordering::Less => (a, own_count),
                std::cmp::Ordering::Greater => (b, their_count),
                std::cmp::Ordering::Equal => (a, own_count.saturating_add(their_count)),
            });
            if a <= b {
                own.next();
            }
            if b <= a {
                theirs.next();
            }
        }
        merged.extend(own.chain(theirs));
        self.buckets = merged;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(digits: u8, values: &[u64]) -> Distribution {
        let mut distribution = if digits == 3 { Distribution::fine() } else { Distribution::coarse() };
        values.iter().for_each(|&us| distribution.record(us));
        distribution
    }

    proptest! {
        #[test]
        fn merging_parts_equals_recording_all(
            values in proptest::collection::vec(0_u64..4_000_000_000, 1..60), at in 0_usize..60, digits in 2_u8..4,
        ) {
            let at = at.min(values.len());
            let (first, second) = values.split_at(at);
            let mut merged = of(digits, first).to_sparse();
            merged.merge(&of(digits, second).to_sparse());
            let whole = of(digits, &values);
            prop_assert_eq!(&merged, &whole.to_sparse());
            let mut dense = of(digits, first);
            dense.merge(&of(digits, second).to_sparse());
            for quantile in [0.0, 0.5, 0.95, 0.99, 0.999, 1.0] {
                prop_assert_eq!(dense.quantile_us(quantile), whole.quantile_us(quantile));
                prop_assert_eq!(merged.quantile_us(quantile), whole.quantile_us(quantile));
            }
            prop_assert_eq!((dense.max_us(), dense.count()), (whole.max_us(), whole.count()));
        }

        #[test]
        fn a_percentile_is_within_the_digits_of_the_nearest_rank(
            mut values in proptest::collection::vec(1_u64..3_000_000_000, 1..300), quantile in 0.0_f64..=1.0,
        ) {
            let found = of(3, &values).quantile_us(quantile).unwrap() as f64;
            values.sort_unstable();
            let rank = (quantile * values.len() as f64).ceil();
            let exact = values[(1..values.len()).find(|&rank_up| rank_up as f64 >= rank).unwrap_or(values.len()) - 1];
            let exact = exact as f64;
            prop_assert!((found - exact).abs() <= exact * 0.001 + 1.0, "{found} for {exact}");
        }
    }

    #[test]
    fn an_empty_distribution_has_no_numbers() {
        let empty = Distribution::fine();
        assert_eq!(
            (empty.count(), empty.quantile_us(0.5), empty.max_us(), empty.mean_us()),
            (0, None, None, None)
        );
        assert_eq!(Sparse::default().quantile_us(0.5), None);
    }

    #[test]
    fn more_than_an_hour_counts_as_an_hour() {
        let max = of(3, &[u64::MAX]).max_us().unwrap();
        assert!((HIGHEST_US..HIGHEST_US + HIGHEST_US / 1_000).contains(&max));
    }

    #[test]
    fn malformed_pairs_are_refused() {
        let check = |buckets: &[(u64, u64)], good: bool| {
            assert_eq!(Sparse::try_new(buckets.to_vec()).is_some(), good, "{buckets:?}");
        };
        check(&[], true);
        check(&[(1, 1), (2, 3)], true);
        check(&[(2, 1), (1, 1)], false);
        check(&[(1, 1), (1, 1)], false);
        check(&[(1, 0)], false);
        check(&[(u64::MAX, 1)], false);
        check(&[(1, u64::MAX), (2, 1)], false);
    }
}
