//! The buckets that durations are told apart by: those of HdrHistogram.

/// Longer durations are recorded as this: an hour.
pub const HIGHEST_US: u64 = 3_600_000_000;

/// How finely durations are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// To three significant digits: for whole runs.
    Fine,
    /// To two significant digits: for single seconds and for what is looked at, not judged.
    #[default]
    Coarse,
}

impl Scale {
    /// Significant digits.
    #[must_use]
    pub const fn digits(self) -> u8 {
        match self {
            Self::Fine => 3,
            Self::Coarse => 2,
        }
    }

    /// So many buckets, as a power of two, share each doubling of durations; durations below twice as many have a bucket
    /// each.
    const fn bits(self) -> u32 {
        match self {
            Self::Fine => 10,
            Self::Coarse => 7,
        }
    }

    /// The bucket of a duration.
    pub(crate) fn bucket(self, us: u64) -> u16 {
        let us = us.min(HIGHEST_US);
        let shift = (u64::BITS - us.leading_zeros()).saturating_sub(self.bits() + 1);
        u16::try_from((u64::from(shift) << self.bits()) + (us >> shift)).unwrap_or(u16::MAX)
    }

    /// The last bucket, which the longest duration is in.
    pub(crate) fn last(self) -> u16 {
        self.bucket(HIGHEST_US)
    }

    /// The longest duration in a bucket, which stands for all of them.
    pub(crate) fn highest_us(self, bucket: u16) -> u64 {
        let shift = (bucket >> self.bits()).saturating_sub(1);
        let within = u64::from(bucket) - (u64::from(shift) << self.bits());
        ((within + 1) << shift) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_hdr_histogram() {
        for scale in [Scale::Fine, Scale::Coarse] {
            let histogram = hdrhistogram::Histogram::<u64>::new_with_max(HIGHEST_US, scale.digits()).unwrap();
            let durations =
                (0..32).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit, 999 << bit]);
            for us in durations.chain([HIGHEST_US - 1, HIGHEST_US]).filter(|us| *us <= HIGHEST_US) {
                assert_eq!(scale.highest_us(scale.bucket(us)), histogram.highest_equivalent(us), "{us}");
            }
            for bucket in 0..scale.last() {
                assert_eq!(scale.bucket(scale.highest_us(bucket)), bucket);
                assert_eq!(scale.bucket(scale.highest_us(bucket) + 1), bucket + 1);
            }
            assert_eq!(scale.bucket(u64::MAX), scale.last());
        }
    }
}
