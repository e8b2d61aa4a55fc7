//! Whatever looks random here: derived from a seed, so that runs repeat.

use std::time::Duration;

/// How long the `n`-th answer takes: log-normal around its median, with a long tail as services have.
pub(crate) fn delay(median: Duration, seed: u64, n: u64) -> Duration {
    // The sum of twelve uniform numbers is nearly normal, with variance 1 around 6.
    let sum: f64 = (0..12).map(|draw| uniform(seed, n.wrapping_mul(12).wrapping_add(draw))).sum();
    median.mul_f64((0.35 * (sum - 6.0)).exp())
}

/// How far work in the background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Queued,
    Running,
    Completed,
    Failed,
}

/// How far the `n`-th piece of work is at an age. It is done after 1 to 6 s; one in ten fails.
pub(crate) fn progress(seed: u64, n: u64, age: Duration) -> Progress {
    let taking = Duration::from_secs(1) + Duration::from_secs(5).mul_f64(uniform(seed, n.wrapping_mul(2)));
    if age < taking / 5 {
        Progress::Queued
    } else if age < taking {
        Progress::Running
    } else if uniform(seed, n.wrapping_mul(2).wrapping_add(1)) < 0.1 {
        Progress::Failed
    } else {
        Progress::Completed
    }
}

/// The seed of one kind of things, unlike that of other kinds.
pub(crate) fn seed_of(seed: u64, kind: &str) -> u64 {
    kind.bytes().fold(seed, |seed, byte| mix(seed, byte.into()))
}

/// Another number for every position, by the finaliser of `SplitMix64`.
pub(crate) fn mix(seed: u64, position: u64) -> u64 {
    let mut z = seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in 0..1 from a position.
fn uniform(seed: u64, position: u64) -> f64 {
    (mix(seed, position) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_repeat_by_seed_and_spread_around_their_median() {
        let median = Duration::from_millis(10);
        let mut delays: Vec<Duration> = (0..2_001).map(|n| delay(median, 7, n)).collect();
        assert_eq!(delays[5], delay(median, 7, 5));
        assert_ne!(delays[5], delay(median, 8, 5));
        delays.sort();
        assert!((9.0..11.0).contains(&(delays[1_000].as_secs_f64() * 1_000.0)), "{:?}", delays[1_000]);
    }

    #[test]
    fn work_takes_one_to_six_seconds_and_one_in_ten_fails() {
        let at = |ms, n| progress(3, n, Duration::from_millis(ms));
        let failed = (0..2_000).filter(|n| at(6_000, *n) == Progress::Failed).count();
        assert!((150..250).contains(&failed), "{failed}");
        for n in 0..2_000 {
            assert_eq!(at(0, n), Progress::Queued);
            assert!([Progress::Queued, Progress::Running].contains(&at(999, n)));
            assert!([Progress::Completed, Progress::Failed].contains(&at(6_000, n)));
        }
    }
}
