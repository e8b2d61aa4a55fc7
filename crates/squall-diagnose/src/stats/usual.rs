//! The density of what is usual: smoothed where there is much of it, and beyond that a tail that falls as it began to.

use super::robust::spread;

/// Steps of natural logarithms in which it is kept.
const STEP: f64 = 0.01;

/// From this share on the tail is drawn on.
const TAIL_FROM: f64 = 0.97;

/// Half of the tail: whatever else may be in the far tail has no part in how it falls.
const TAIL_HALF: f64 = 0.985;

/// A tail falls by a factor of `e` within so much of the logarithm at least.
const LEAST_SCALE: f64 = 0.03;

/// What is usual, of natural logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usual {
    /// The middle one.
    pub median: f64,
    /// Its standard deviation, whatever the tail.
    pub deviation: f64,
    first: f64,
    densities: Vec<f64>,
    /// Where the tail begins, and how it falls.
    tail: f64,
    scale: f64,
}

impl Usual {
    /// Of `(value, count)` pairs, ascending by their positive values. `None` of fewer than twenty, or of what cannot be.
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let logs: Vec<(f64, f64)> = pairs
            .iter()
            .filter(|(value, count)| *value > 0.0 && value.is_finite() && *count > 0.0)
            .map(|(value, count)| (value.ln(), *count))
            .collect();
        let total: f64 = logs.iter().map(|pair| pair.1).sum();
        let at = |share: f64| place(&logs, share * total);
        let (median, tail) = (at(0.5)?, at(TAIL_FROM)?);
        if total < 20.0 {
            return None;
        }
        let distances: Vec<f64> = (1..20).filter_map(|part| at(f64::from(part) / 20.0)).collect();
        let deviation = spread(&distances).max(0.008);
        let width = (0.9 * deviation * total.powf(-0.2)).max(0.012);
        let first = logs.first()?.0 - 4.0 * width;
        let last = tail.max(median) + 4.0 * width;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a short list of places")]
        let places = ((last - first) / STEP).clamp(0.0, 5_000.0) as usize + 1;
        let mut densities = vec![0.0; places];
        for (place, density) in densities.iter_mut().enumerate() {
            let x = first + place as f64 * STEP;
            let near = logs.iter().filter(|(log, _)| (log - x).abs() < 4.0 * width);
            *density =
                near.map(|(log, count)| count * (-0.5 * ((log - x) / width).powi(2)).exp()).sum::<f64>()
                    / (total * width * (2.0 * std::f64::consts::PI).sqrt());
        }
        let scale = ((at(TAIL_HALF)? - tail) / std::f64::consts::LN_2).max(LEAST_SCALE);
        Some(Self { median, deviation, first, densities, tail, scale })
    }

    /// How dense it is at the logarithm of a value.
    pub(crate) fn density(&self, x: f64) -> f64 {
        if x > self.tail {
            return (1.0 - TAIL_FROM) / self.scale * (-(x - self.tail) / self.scale).exp();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((x - self.first) / STEP).max(0.0) as usize;
        self.densities.get(place).copied().unwrap_or(0.0).max(1e-12)
    }
}

/// The first value up to which so many are.
fn place(logs: &[(f64, f64)], many: f64) -> Option<f64> {
    let mut seen = 0.0;
    logs.iter().find_map(|(x, count)| {
        seen += count;
        (seen >= many).then_some(*x)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    fn drawn(count: usize, far: usize) -> Vec<(f64, f64)> {
        let mut chance = Chance::new(5);
        let mut values: Vec<(f64, f64)> =
            (0..count).map(|_| (20_000.0 * (0.15 * chance.normal()).exp(), 1.0)).collect();
        values.extend((0..far).map(|_| (400_000.0 * (0.2 * chance.normal()).exp(), 1.0)));
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        values
    }

    #[test]
    fn it_is_as_dense_as_what_was_drawn() {
        let usual = Usual::of(&drawn(6_000, 0)).unwrap();
        let normal = |score: f64| (-0.5 * score * score).exp() / (0.15 * (2.0 * std::f64::consts::PI).sqrt());
        for score in [-2.0, -1.0, 0.0, 1.0, 1.8, 2.2] {
            let (found, truth) = (usual.density(20_000_f64.ln() + 0.15 * score), normal(score));
            assert!((found / truth - 1.0).abs() < 0.25, "{score}: {found} instead of {truth}");
        }
        let sum: f64 = (0..4_000).map(|place| usual.density(8.0 + f64::from(place) * 0.001) * 0.001).sum();
        assert!((sum - 1.0).abs() < 0.02, "{sum}");
    }

    #[test]
    fn a_few_far_ones_are_no_part_of_what_is_usual() {
        let (without, with) = (Usual::of(&drawn(6_000, 0)).unwrap(), Usual::of(&drawn(6_000, 30)).unwrap());
        let far = 400_000_f64.ln();
        assert!(with.density(far) < 1e-6 && without.density(far) < 1e-6, "{}", with.density(far));
        assert!((with.deviation / without.deviation - 1.0).abs() < 0.05);
    }

    #[test]
    fn of_too_little_or_of_nothing_there_is_none() {
        assert_eq!(Usual::of(&[]), None);
        assert_eq!(Usual::of(&[(1.0, 19.0), (f64::NAN, 9.0), (0.0, 9.0), (f64::INFINITY, 9.0)]), None);
        let alike = Usual::of(&[(1_000.0, 50.0)]).unwrap();
        assert!(alike.density(1_000_f64.ln()) > 1.0 && alike.density(f64::NAN).is_finite());
    }
}
