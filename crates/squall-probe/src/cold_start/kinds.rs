//! Which answers are warm and which are cold.

use crate::estimate::{count, quantile, together};

/// Cold ones are at least so much slower, as a logarithm, and so many standard deviations of the warm ones: what is
/// nearer is chance.
const LEAST: (f64, f64) = (0.05, 2.0);

/// And so many microseconds: a pause makes anything a little slower, for caches and connections cool down, too.
const LEAST_US: f64 = 5_000.0;

/// By so much likelier answers must be with two kinds than with one, as a logarithm.
const LEAST_GAIN: f64 = 6.0;

/// What is nearer to the warm ones may be one of them, in their standard deviations.
const FAR: f64 = 2.5;

/// Rounds of expectation and maximisation.
const ROUNDS: usize = 40;

/// The two kinds, as normal distributions of the logarithm: the warm one is known from answers of which each followed
/// another one, the cold one is what explains the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kinds {
    warm: Kind,
    /// Those that are slower, if there are any.
    cold: Option<Kind>,
    /// What takes longer is cold.
    pub cut_us: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    middle: f64,
    deviation: f64,
}

impl Kind {
    /// By median and quantiles, which a few of the other kind do not change; `None` of fewer than five.
    fn of(pairs: &[(u64, u64)]) -> Option<Self> {
        if count(pairs) < 5 {
            return None;
        }
        let at = |share| quantile(pairs, share).map(|us| us.max(1.0).ln());
        let (low, middle, high) = (at(0.1)?, at(0.5)?, at(0.9)?);
        let deviation = (high - middle).max(middle - low) / 1.2816;
        Some(Self { middle, deviation: deviation.max(0.01) })
    }

    /// So many microseconds after its middle.
    fn later(&self, us: f64) -> f64 {
        (self.middle.exp() + us).ln()
    }

    /// As a logarithm, but for a constant.
    fn density(&self, x: f64) -> f64 {
        -((x - self.middle) / self.deviation).powi(2) / 2.0 - self.deviation.ln()
    }
}

impl Kinds {
    /// From answers that are warm, and others that are of either kind; `None` where too few are known to be warm.
    pub(super) fn of<'a>(
        warm: &[(u64, u64)],
        others: impl Iterator<Item = &'a [(u64, u64)]>,
    ) -> Option<Self> {
        let warm = Kind::of(warm)?;
        let others: Vec<(f64, f64)> =
            together(others).iter().map(|(us, count)| ((*us as f64).max(1.0).ln(), *count as f64)).collect();
        let cold = slower(&warm, &others);
        let cut = cold.map_or(warm.middle + 4.0 * warm.deviation, |cold| {
            // As far from the one as from the other, each in its own deviations.
            let (of_warm, of_cold) = (1.0 / warm.deviation, 1.0 / cold.deviation);
            (warm.middle * of_warm + cold.middle * of_cold) / (of_warm + of_cold)
        });
        let cut = cut.max(warm_far(&warm)).max(warm.later(LEAST_US));
        Some(Self { warm, cold, cut_us: cut.exp() })
    }

    /// Which share of answers is cold; `None` of none.
    pub(super) fn cold_share(&self, pairs: &[(u64, u64)]) -> Option<f64> {
        let all = count(pairs) as f64;
        let slow = |us: u64| us as f64 > self.cut_us;
        let cut = pairs.iter().filter(|pair| slow(pair.0)).fold(0.0, |sum, pair| sum + pair.1 as f64) / all;
        match self.cold {
            _ if all <= 0.0 => None,
            // Where the two overlap, as many are on the wrong side of the cut as the shapes say.
            Some(cold) if all >= 5.0 => {
                let logs = pairs.iter().map(|(us, count)| ((*us as f64).max(1.0).ln(), *count as f64));
                let logs: Vec<(f64, f64)> = logs.collect();
                let mut share = cut.clamp(0.001, 0.999);
                for _ in 0..ROUNDS {
                    let before = share;
                    let cold_ones =
                        logs.iter().map(|(x, count)| count * chance(&self.warm, &cold, share, *x));
                    share = cold_ones.sum::<f64>() / all;
                    if (share - before).abs() < 1e-5 {
                        break;
                    }
                }
                Some(if (share - cut).abs() < 1e-3 { cut } else { share })
            }
            Some(_) => Some(
                pairs
                    .iter()
                    .filter(|pair| self.chance(pair.0) > 0.5)
                    .fold(0.0, |sum, pair| sum + pair.1 as f64)
                    / all,
            ),
            None => Some(cut),
        }
    }

    /// How likely an answer is cold that may as well be warm.
    pub(super) fn chance(&self, us: u64) -> f64 {
        let x = (us as f64).max(1.0).ln();
        self.cold
            .map_or(f64::from(u8::from(us as f64 > self.cut_us)), |cold| chance(&self.warm, &cold, 0.5, x))
    }

    /// Whether many answers may be of either kind.
    pub(super) fn overlap(&self) -> bool {
        self.cold.is_some_and(|cold| cold.middle - warm_far(&self.warm) < cold.deviation)
    }

    /// Whether warm answers differ little enough for whole multiples of them to be told apart.
    pub(super) fn is_even(&self) -> bool {
        self.warm.deviation < 0.2
    }
}

/// Few warm ones are farther.
fn warm_far(warm: &Kind) -> f64 {
    warm.middle + FAR * warm.deviation
}

/// How likely one is cold.
fn chance(warm: &Kind, cold: &Kind, share: f64, x: f64) -> f64 {
    if x >= cold.middle {
        return 1.0;
    }
    if x <= warm.middle {
        return 0.0;
    }
    let odds = (share / (1.0 - share).max(1e-12)).max(1e-12).ln() + cold.density(x) - warm.density(x);
    1.0 / (1.0 + (-odds).clamp(-40.0, 40.0).exp())
}

/// The kind that explains what is slower than the warm ones; `None` if chance does as well.
fn slower(warm: &Kind, others: &[(f64, f64)]) -> Option<Kind> {
    let far = warm_far(warm).max(warm.middle + LEAST.0);
    let mut weights: Vec<f64> = others.iter().map(|(x, count)| if *x > far { *count } else { 0.0 }).collect();
    let all: f64 = others.iter().map(|other| other.1).sum();
    let mut found = None;
    for _ in 0..ROUNDS {
        let sum: f64 = weights.iter().sum();
        if sum < 0.5 {
            return None;
        }
        let weighted = |of: &dyn Fn(f64) -> f64| {
            others.iter().zip(&weights).map(|((x, _), weight)| weight * of(*x)).sum::<f64>() / sum
        };
        let middle = weighted(&|x| x);
        // Of few little is known of how far they spread.
        let variance = (weighted(&|x| (x - middle).powi(2)) * sum + 3.0 * 0.1_f64.powi(2)) / (sum + 3.0);
        let cold = Kind { middle, deviation: variance.sqrt().max(0.02) };
        let share = (sum / all.max(1.0)).clamp(1e-6, 1.0 - 1e-6);
        for ((x, count), weight) in others.iter().zip(&mut weights) {
            *weight = count * chance(warm, &cold, share, *x);
        }
        let is_same =
            found.is_some_and(|(before, _): (Kind, f64)| (before.middle - cold.middle).abs() < 1e-6);
        found = Some((cold, share));
        if is_same {
            break;
        }
    }
    let (cold, share) = found?;
    let gain: f64 = others
        .iter()
        .map(|(x, count)| {
            let (one, other) = (warm.density(*x).max(-60.0), cold.density(*x).max(-60.0));
            let both = (1.0 - share) * one.exp() + share * other.exp();
            count * (both.max(1e-300).ln() - one)
        })
        .sum();
    let is_apart = cold.middle - warm.middle > (LEAST.1 * warm.deviation).max(LEAST.0)
        && cold.middle > warm.later(LEAST_US);
    (gain > LEAST_GAIN && is_apart).then_some(cold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(us: u64, count: u64) -> Vec<(u64, u64)> {
        (0..count).map(|at| (us + us * at / count / 10, 1)).collect()
    }

    #[test]
    fn cold_ones_are_told_from_warm_ones_where_they_are_apart() {
        let (warm, cold) = (around(1_000_000, 30), around(1_450_000, 40));
        let kinds = Kinds::of(&warm, [&warm[..], &cold[..]].into_iter()).unwrap();
        assert!(kinds.cold.is_some() && kinds.is_even(), "{kinds:?}");
        assert_eq!((kinds.cold_share(&warm), kinds.cold_share(&cold)), (Some(0.0), Some(1.0)));
        let alone = Kinds::of(&warm, [&warm[..]].into_iter()).unwrap();
        assert!(alone.cold.is_none() && alone.cold_share(&[]).is_none());
        assert!(Kinds::of(&warm[..3], [&cold[..]].into_iter()).is_none());
    }

    #[test]
    fn what_a_pause_does_to_anything_is_no_cold_start() {
        let (warm, after) = (around(20_000, 40), around(22_000, 20));
        let kinds = Kinds::of(&warm, [&warm[..], &after[..]].into_iter()).unwrap();
        assert_eq!((kinds.cold, kinds.cold_share(&after)), (None, Some(0.0)));
    }

    #[test]
    fn what_is_as_noisy_as_that_has_no_kinds() {
        let noisy: Vec<(u64, u64)> = (1..60_u64).map(|at| (at * at * at * 1_000, 1)).collect();
        let kinds = Kinds::of(&noisy, [&noisy[..]].into_iter()).unwrap();
        assert!(kinds.cold.is_none(), "{kinds:?}");
    }
}
