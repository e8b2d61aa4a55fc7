//! Distributions of durations while they are recorded, and of whole runs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::scale::{HIGHEST_US, Scale};
use crate::sparse::Sparse;

/// A distribution of durations in microseconds: an HdrHistogram that costs nothing while it is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    histogram: Option<Box<Histogram<u64>>>,
    scale: Scale,
}

/// The same, to the same digits.
impl From<&Sparse> for Distribution {
    fn from(sparse: &Sparse) -> Self {
        let mut distribution = Self { histogram: None, scale: sparse.scale() };
        distribution.merge(sparse);
        distribution
    }
}

impl Distribution {
    /// To three significant digits: for whole runs.
    #[must_use]
    pub const fn fine() -> Self {
        Self { histogram: None, scale: Scale::Fine }
    }

    /// To two significant digits: for single seconds and for what is looked at, not judged.
    #[must_use]
    pub const fn coarse() -> Self {
        Self { histogram: None, scale: Scale::Coarse }
    }

    /// Takes in one duration.
    pub fn record(&mut self, us: u64) {
        self.record_n(us, 1);
    }

    /// Takes in one duration `count` times.
    pub fn record_n(&mut self, us: u64, count: u64) {
        if self.histogram.is_none() {
            self.histogram = new_histogram(self.scale).map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            // A histogram that grows takes every duration up to an hour.
            let recorded = histogram.record_n(us.min(HIGHEST_US), count);
            debug_assert!(recorded.is_ok());
        }
    }

    /// Takes in all of another one.
    pub fn merge(&mut self, other: &Sparse) {
        other.buckets().for_each(|(us, count)| self.record_n(us, count));
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
        let recorded = self.non_empty().into_iter().flat_map(Histogram::iter_recorded);
        Sparse::of_ascending(
            self.scale,
            recorded.map(|step| (step.value_iterated_to(), step.count_at_value())),
        )
    }

    /// The HdrHistogram V2 deflate encoding in base64, which HdrHistogram reads in any language.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let empty = new_histogram(self.scale);
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
fn new_histogram(scale: Scale) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new(scale.digits()).ok()?;
    histogram.auto(true);
    Some(histogram)
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
}
