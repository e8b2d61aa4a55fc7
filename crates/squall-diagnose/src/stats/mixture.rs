//! Kinds of requests in one distribution: a mixture of normal distributions of the logarithm, by expectation and
//! maximisation, cut into quick ones and slow ones.

/// Quick ones and slow ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mixture {
    /// Ascending by their means.
    parts: Vec<Part>,
    /// So many of them are quick.
    quick: usize,
    /// How much better it is than one kind, by the Bayesian information criterion; positive if it is.
    pub gain: f64,
}

/// One normal distribution of natural logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// Its share in all.
    pub share: f64,
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

/// The spread of the narrowest bucket of two digits.
const LEAST_DEVIATION: f64 = 0.008;

/// Rounds until it is as good as it becomes, and from where another one ended.
const ROUNDS: usize = 150;
const AGAIN: usize = 30;

/// Where the parts begin, as shares of all.
const BEGINS: [&[f64]; 8] =
    [&[0.5], &[0.9], &[0.97], &[0.99], &[0.998], &[0.9, 0.99], &[0.97, 0.995], &[0.99, 0.999]];

/// Every way in which `(value, count)` pairs may be cut into quick and slow ones; values are positive. None where there are
/// fewer than ten, or all are alike.
pub(crate) fn mixtures(pairs: &[(f64, f64)]) -> Vec<Mixture> {
    let pairs = logarithms(pairs);
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    if pairs.len() < 3 || total < 10.0 {
        return Vec::new();
    }
    let Some(one) = Part::of(&pairs, |_| 1.0) else { return Vec::new() };
    let alone = likelihood(&pairs, &[one]);
    let best = |count: usize| {
        let begins = BEGINS.iter().filter(|cuts| cuts.len() + 1 == count);
        let begins = begins.filter_map(|cuts| {
            cuts.iter().map(|share| at_share(&pairs, total, *share)).collect::<Option<Vec<f64>>>()
        });
        let fits = begins.chain(at_gap(&pairs, total, count)).filter_map(|cuts| maximise_from(&pairs, &cuts));
        let (parts, found) = fits.max_by(|one, other| one.1.total_cmp(&other.1))?;
        let gain = 2.0 * (found - alone) - 3.0 * (count - 1) as f64 * total.ln();
        Some((parts, gain))
    };
    let mut found = Vec::new();
    let two = best(2);
    let gain_of_two = two.as_ref().map_or(0.0, |(_, gain)| *gain);
    found.extend(two.map(|(parts, gain)| Mixture { parts, quick: 1, gain }));
    if let Some((parts, gain)) = best(3).filter(|(_, gain)| *gain > gain_of_two) {
        found.push(Mixture { parts: parts.clone(), quick: 1, gain });
        found.push(Mixture { parts, quick: 2, gain });
    }
    found
}

fn logarithms(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let positive = pairs.iter().filter(|(value, count)| *value > 0.0 && *count > 0.0);
    positive.map(|(value, count)| (value.ln(), *count)).collect()
}

impl Mixture {
    /// How likely one of this value is a slow one.
    pub(crate) fn slow_chance(&self, value: f64) -> f64 {
        let x = value.max(f64::MIN_POSITIVE).ln();
        if x <= self.quick().mean {
            return 0.0;
        }
        let (quick, slow) = self.parts.split_at(self.quick);
        let density = |parts: &[Part]| parts.iter().map(|part| part.density(x)).sum::<f64>();
        let (quick, slow) = (density(quick), density(slow));
        if quick + slow > 0.0 { slow / (quick + slow) } else { f64::from(x > self.slow().mean) }
    }

    /// How many slow ones there are in pairs that resemble those it was made of.
    pub(crate) fn slow_among(&self, pairs: &[(f64, f64)]) -> Option<f64> {
        let pairs = logarithms(pairs);
        let (parts, _) = maximise(&pairs, self.parts.clone(), AGAIN)?;
        let again = Self { parts, ..self.clone() };
        Some(pairs.iter().map(|(x, count)| count * again.slow_chance(x.exp())).sum())
    }

    /// The quick ones as one.
    pub(crate) fn quick(&self) -> Part {
        pooled(&self.parts[..self.quick])
    }

    /// The slow ones as one.
    pub(crate) fn slow(&self) -> Part {
        pooled(&self.parts[self.quick..])
    }

    /// How far apart the two are, in Ashman's measure: beyond 2 they are two.
    pub(crate) fn separation(&self) -> f64 {
        let (quick, slow) = (self.quick(), self.slow());
        let spread = (quick.deviation.powi(2) + slow.deviation.powi(2)).sqrt();
        std::f64::consts::SQRT_2 * (slow.mean - quick.mean) / spread
    }
}

fn pooled(parts: &[Part]) -> Part {
    let share: f64 = parts.iter().map(|part| part.share).sum();
    let weigh =
        |value: &dyn Fn(&Part) -> f64| parts.iter().map(|part| part.share * value(part)).sum::<f64>() / share;
    let mean = weigh(&|part| part.mean);
    let deviation = weigh(&|part| part.deviation.powi(2) + (part.mean - mean).powi(2)).sqrt();
    Part { share, mean, deviation }
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

/// From what lies between cuts, to the parts and their likelihood.
fn maximise_from(pairs: &[(f64, f64)], cuts: &[f64]) -> Option<(Vec<Part>, f64)> {
    let place = |x: f64| cuts.iter().filter(|cut| x > **cut).count();
    let parts = (0..=cuts.len()).map(|own| Part::of(pairs, |x| f64::from(place(x) == own)));
    maximise(pairs, parts.collect::<Option<_>>()?, ROUNDS)
}

fn maximise(pairs: &[(f64, f64)], mut parts: Vec<Part>, rounds: usize) -> Option<(Vec<Part>, f64)> {
    let mut last = f64::NEG_INFINITY;
    for _ in 0..rounds {
        let mut sums = vec![[0.0; 3]; parts.len()];
        let (mut total, mut found) = (0.0, 0.0);
        for (x, count) in pairs {
            let densities: Vec<f64> = parts.iter().map(|part| part.density(*x)).collect();
            let all: f64 = densities.iter().sum();
            total += count;
            found += count * all.max(1e-300).ln();
            // What no part reaches belongs to the nearest.
            let nearest = |place: usize| {
                let distance = |part: &Part| (x - part.mean).abs() / part.deviation;
                parts.iter().all(|other| distance(&parts[place]) <= distance(other))
            };
            for (place, sum) in sums.iter_mut().enumerate() {
                let own =
                    if all > 1e-300 { densities[place] / all } else { f64::from(nearest(place)) } * count;
                sum.iter_mut().zip([own, own * x, own * x * x]).for_each(|(sum, more)| *sum += more);
            }
        }
        if sums.iter().any(|sum| sum[0] < 0.5) {
            return None;
        }
        for (part, [sum, first, second]) in parts.iter_mut().zip(sums) {
            let mean = first / sum;
            let deviation = (second / sum - mean * mean).max(0.0).sqrt().max(LEAST_DEVIATION);
            *part = Part { share: sum / total, mean, deviation };
        }
        if found - last < 1e-3 {
            break;
        }
        last = found;
    }
    parts.sort_by(|one, other| one.mean.total_cmp(&other.mean));
    Some((parts, last))
}

fn likelihood(pairs: &[(f64, f64)], parts: &[Part]) -> f64 {
    let of = |x: f64| parts.iter().map(|part| part.density(x)).sum::<f64>();
    pairs.iter().map(|(x, count)| count * of(*x).max(1e-300).ln()).sum()
}

fn at_share(pairs: &[(f64, f64)], total: f64, share: f64) -> Option<f64> {
    let mut seen = 0.0;
    pairs.iter().find_map(|(x, count)| {
        seen += count;
        (seen >= share * total).then_some(*x)
    })
}

/// Cuts at the middle of the widest gap above the median, and below it for a third part.
fn at_gap(pairs: &[(f64, f64)], total: f64, count: usize) -> Option<Vec<f64>> {
    let median = at_share(pairs, total, 0.5)?;
    let gaps = pairs.windows(2).filter(|pair| pair[0].0 >= median);
    let widest = gaps.max_by(|one, other| (one[1].0 - one[0].0).total_cmp(&(other[1].0 - other[0].0)))?;
    let gap = f64::midpoint(widest[0].0, widest[1].0);
    if count == 2 {
        return Some(vec![gap]);
    }
    let below = at_share(pairs, total, 0.97)?;
    (below < gap).then(|| vec![below, gap])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    fn draw(chance: &mut Chance, count: usize, median: f64, deviation: f64) -> Vec<(f64, f64)> {
        (0..count).map(|_| (median * (deviation * chance.normal()).exp(), 1.0)).collect()
    }

    fn sorted(mut values: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        values
    }

    fn counted(mixture: &Mixture, values: &[(f64, f64)]) -> f64 {
        values.iter().map(|(value, count)| count * mixture.slow_chance(*value)).sum()
    }

    #[test]
    fn slow_ones_are_counted_where_there_are_two_kinds() {
        let mut chance = Chance::new(6);
        let quick = draw(&mut chance, 5_000, 20_000.0, 0.15);
        let values = sorted([quick, draw(&mut chance, 100, 400_000.0, 0.3)].concat());
        let found = &mixtures(&values)[0];
        assert!((counted(found, &values) - 100.0).abs() < 3.0 && found.separation() > 5.0, "{found:?}");
        assert!(found.gain > 100.0 && found.slow_chance(500_000.0) > 0.99, "{found:?}");
        assert!((found.slow_among(&values).unwrap() - 100.0).abs() < 3.0);
    }

    #[test]
    fn a_few_far_ones_are_told_from_a_long_tail() {
        let mut chance = Chance::new(8);
        let quick = draw(&mut chance, 8_000, 20_000.0, 0.1);
        let tail = draw(&mut chance, 150, 45_000.0, 0.25);
        let values = sorted([quick, tail, draw(&mut chance, 12, 500_000.0, 0.2)].concat());
        let found = mixtures(&values);
        assert!(found.iter().any(|found| (counted(found, &values) - 12.0).abs() < 0.5), "{found:?}");
    }

    #[test]
    fn one_kind_is_not_two() {
        let mut chance = Chance::new(7);
        let found = mixtures(&sorted(draw(&mut chance, 3_000, 20_000.0, 0.2)));
        assert!(found.iter().all(|found| found.gain < 20.0 || found.separation() < 2.0), "{found:?}");
        assert!(mixtures(&[(1.0, 100.0)]).is_empty());
        assert!(mixtures(&[]).is_empty());
    }
}
