//! Response times of a step in buckets that are the same everywhere, for the heat map.

use std::collections::BTreeMap;

use squall_metrics::Sparse;

/// Buckets that a decade of durations is cut into.
pub(crate) const PER_DECADE: u32 = 6;

/// All that is faster is in bucket 0, and the next begins here.
const LEAST_US: f64 = 100.0;

/// No bucket is above this: an hour, which no duration exceeds, is in it.
pub(crate) const LAST: u32 = 46;

/// The buckets of a distribution, without empty ones.
pub(crate) fn of(times: &Sparse) -> BTreeMap<u32, u64> {
    let mut buckets: BTreeMap<u32, u64> = BTreeMap::new();
    for (us, count) in times.buckets() {
        let sum = buckets.entry(bucket(us)).or_default();
        *sum = sum.saturating_add(count);
    }
    buckets
}

fn bucket(us: u64) -> u32 {
    let decades = (us as f64 / LEAST_US).log10();
    if decades < 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and small")]
    let above = (decades * f64::from(PER_DECADE)) as u32;
    (above + 1).min(LAST)
}

/// Where a bucket begins, in milliseconds.
pub(crate) fn begin_ms(bucket: u32) -> f64 {
    match bucket {
        0 => 0.0,
        bucket => LEAST_US / 1_000.0 * 10_f64.powf(f64::from(bucket - 1) / f64::from(PER_DECADE)),
    }
}

#[cfg(test)]
mod tests {
    use squall_metrics::Scale;

    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_that_begins_at_or_before_it() {
        let check = |us: u64, expected: u32| assert_eq!(bucket(us), expected, "{us}");
        check(0, 0);
        check(99, 0);
        check(100, 1);
        check(146, 1);
        check(147, 2);
        check(1_000, 7);
        check(10_000, 13);
        check(3_600_000_000, LAST);
        check(u64::MAX, LAST);
        for us in (100..2_000_000_u64).step_by(997) {
            let bucket = bucket(us);
            let ms = us as f64 / 1_000.0;
            assert!(begin_ms(bucket) <= ms * 1.000_001 && ms < begin_ms(bucket + 1) * 1.000_001, "{us}");
        }
    }

    #[test]
    fn buckets_count_everything_once() {
        let times = Sparse::new(Scale::Fine, [(5, 1), (50, 2), (101, 3), (120, 4), (9_999, 5)]);
        assert_eq!(of(&times), BTreeMap::from([(0, 3), (1, 7), (12, 5)]));
    }
}
