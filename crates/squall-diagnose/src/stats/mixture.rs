//! Two kinds of requests in one distribution: a mixture of two normal distributions of the logarithm, by expectation and
//! maximisation, against one alone.

/// Two kinds: quick ones and slow ones. Means and deviations are of natural logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mixture {
    /// The share of slow ones.
    pub slow: f64,
    /// Where the quick ones are.
    pub quick_mean: f64,
    /// How far they spread.
    pub quick_deviation: f64,
    /// Where the slow ones are.
    pub slow_mean: f64,
    /// How far they spread.
    pub slow_deviation: f64,
    /// How far apart the two are, in Ashman's measure: beyond 2 they are two.
    pub separation: f64,
    /// How much better two are than one, by the Bayesian information criterion; positive if they are.
    pub gain: f64,
    /// Where one that is longer is more likely slow, as a logarithm.
    pub boundary: f64,
}

/// The spread of the narrowest bucket of two digits.
const LEAST_DEVIATION: f64 = 0.008;
const ROUNDS: usize = 200;

/// From where another one ended, fewer are enough.
const AGAIN: usize = 30;

/// Splits `(value, count)` pairs, of which the values are positive; `None` where there are fewer than ten or all are alike.
pub(crate) fn mixture(pairs: &[(f64, f64)]) -> Option<Mixture> {
    let pairs: Vec<(f64, f64)> = pairs
        .iter()
        .filter(|(value, count)| *value > 0.0 && *count > 0.0)
        .map(|(v, c)| (v.ln(), *c))
        .collect();
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    if pairs.len() < 3 || total < 10.0 {
        return None;
    }
    let one = Part::of(&pairs, |_| 1.0)?;
    let likelihood_one = total_likelihood(&pairs, |x| one.density(x));
    // From several beginnings: the widest gap in the upper part, and fixed shares.
    let begins = [0.5, 0.8, 0.9, 0.97, 0.99].into_iter().filter_map(|share| at_share(&pairs, total, share));
    let begins = begins.chain(widest_gap(&pairs, total));
    let fitted = begins.filter_map(|cut| maximise_from(&pairs, cut));
    let (quick, slow, likelihood) = fitted.max_by(|one, other| one.2.total_cmp(&other.2))?;
    let (quick, slow) = if quick.mean <= slow.mean { (quick, slow) } else { (slow, quick) };
    let gain = 2.0 * (likelihood - likelihood_one) - 3.0 * total.ln();
    let spread = (quick.deviation.powi(2) + slow.deviation.powi(2)).sqrt();
    Some(Mixture {
        slow: slow.share,
        quick_mean: quick.mean,
        quick_deviation: quick.deviation,
        slow_mean: slow.mean,
        slow_deviation: slow.deviation,
        separation: std::f64::consts::SQRT_2 * (slow.mean - quick.mean) / spread,
        gain,
        boundary: boundary(&quick, &slow),
    })
}

fn logarithms(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let positive = pairs.iter().filter(|(value, count)| *value > 0.0 && *count > 0.0);
    positive.map(|(value, count)| (value.ln(), *count)).collect()
}

impl Mixture {
    /// How many slow ones there are in pairs that resemble those it was made of.
    pub(crate) fn slow_among(&self, pairs: &[(f64, f64)]) -> Option<f64> {
        let pairs = logarithms(pairs);
        let total: f64 = pairs.iter().map(|pair| pair.1).sum();
        let (.., slow, _) = {
            let [quick, slow] = self.parts();
            maximise(&pairs, quick, slow, AGAIN)?
        };
        Some(slow.share * total)
    }

    fn parts(&self) -> [Part; 2] {
        [
            Part { share: 1.0 - self.slow, mean: self.quick_mean, deviation: self.quick_deviation },
            Part { share: self.slow, mean: self.slow_mean, deviation: self.slow_deviation },
        ]
    }

    /// How likely one of this value is a slow one.
    pub(crate) fn slow_chance(&self, value: f64) -> f64 {
        let x = value.max(f64::MIN_POSITIVE).ln();
        let [quick, slow] = self.parts();
        let (q, s) = (quick.density(x), slow.density(x));
        if x <= self.quick_mean {
            0.0
        } else if q + s > 0.0 {
            s / (q + s)
        } else {
            f64::from(x > self.boundary)
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Part {
    share: f64,
    mean: f64,
    deviation: f64,
}

impl Part {
    fn of(pairs: &[(f64, f64)], weight: impl Fn(f64) -> f64) -> Option<Self> {
        let (mut sum, mut first, mut second, mut total) = (0.0, 0.0, 0.0, 0.0);
        for (x, count) in pairs {
            let own = weight(*x) * count;
            total += count;
            sum += own;
            first += own * x;
            second += own * x * x;
        }
        let mean = first / sum;
        let deviation = (second / sum - mean * mean).max(0.0).sqrt().max(LEAST_DEVIATION);
        (sum > 0.5 && mean.is_finite()).then_some(Self { share: sum / total, mean, deviation })
    }

    fn density(&self, x: f64) -> f64 {
        let score = (x - self.mean) / self.deviation;
        self.share * (-0.5 * score * score).exp() / self.deviation
    }
}

fn maximise_from(pairs: &[(f64, f64)], cut: f64) -> Option<(Part, Part, f64)> {
    let quick = Part::of(pairs, |x| f64::from(x < cut))?;
    let slow = Part::of(pairs, |x| f64::from(x >= cut))?;
    maximise(pairs, quick, slow, ROUNDS)
}

fn maximise(
    pairs: &[(f64, f64)],
    mut quick: Part,
    mut slow: Part,
    rounds: usize,
) -> Option<(Part, Part, f64)> {
    let mut last = f64::NEG_INFINITY;
    for _ in 0..rounds {
        let of_slow = |x: f64| {
            let (q, s) = (quick.density(x), slow.density(x));
            if q + s > 0.0 { s / (q + s) } else { f64::from((x - slow.mean).abs() < (x - quick.mean).abs()) }
        };
        let (next_quick, next_slow) = (Part::of(pairs, |x| 1.0 - of_slow(x))?, Part::of(pairs, of_slow)?);
        (quick, slow) = (next_quick, next_slow);
        let likelihood = total_likelihood(pairs, |x| quick.density(x) + slow.density(x));
        if likelihood - last < 1e-4 {
            return Some((quick, slow, likelihood));
        }
        last = likelihood;
    }
    Some((quick, slow, last))
}

fn total_likelihood(pairs: &[(f64, f64)], density: impl Fn(f64) -> f64) -> f64 {
    pairs.iter().map(|(x, count)| count * density(*x).max(1e-300).ln()).sum()
}

fn at_share(pairs: &[(f64, f64)], total: f64, share: f64) -> Option<f64> {
    let mut seen = 0.0;
    pairs.iter().find_map(|(x, count)| {
        seen += count;
        (seen >= share * total).then_some(*x)
    })
}

/// The middle of the widest gap above the median.
fn widest_gap(pairs: &[(f64, f64)], total: f64) -> Option<f64> {
    let median = at_share(pairs, total, 0.5)?;
    let gaps = pairs.windows(2).filter(|pair| pair[0].0 >= median);
    let widest = gaps.max_by(|one, other| (one[1].0 - one[0].0).total_cmp(&(other[1].0 - other[0].0)))?;
    Some(f64::midpoint(widest[0].0, widest[1].0))
}

/// Where the two are as likely, between their means, by halving.
fn boundary(quick: &Part, slow: &Part) -> f64 {
    let (mut low, mut high) = (quick.mean, slow.mean);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if quick.density(middle) > slow.density(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    fn draw(chance: &mut Chance, count: usize, median: f64, deviation: f64) -> Vec<(f64, f64)> {
        let mut values: Vec<(f64, f64)> =
            (0..count).map(|_| (median * (deviation * chance.normal()).exp(), 1.0)).collect();
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        values
    }

    #[test]
    fn slow_ones_are_counted_where_there_are_two_kinds() {
        let mut chance = Chance::new(6);
        let mut values = draw(&mut chance, 5_000, 20_000.0, 0.15);
        values.extend(draw(&mut chance, 100, 400_000.0, 0.3));
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        let found = mixture(&values).unwrap();
        assert!((found.slow * 5_100.0 - 100.0).abs() < 3.0 && found.separation > 5.0, "{found:?}");
        assert!(found.gain > 100.0 && found.slow_chance(500_000.0) > 0.99, "{found:?}");
    }

    #[test]
    fn one_kind_is_not_two() {
        let mut chance = Chance::new(7);
        let found = mixture(&draw(&mut chance, 3_000, 20_000.0, 0.2));
        assert!(found.is_none_or(|found| found.gain < 20.0 || found.separation < 2.0), "{found:?}");
        assert_eq!(mixture(&[(1.0, 100.0)]), None);
        assert_eq!(mixture(&[]), None);
    }
}
