//! Change points of a level, by PELT: the cheapest way to cut a series into stretches of one level each.

use super::robust::noise;

/// Where the level changes: the index of each stretch's first value but the first's. `least` is the shortest stretch.
/// The cost of a stretch is the sum of squares around its mean in units of the noise; each cut costs `3 ln n`. The noise is
/// what is seen, or `least_noise` where for long all values are the same.
fn changes(values: &[f64], least: usize, least_noise: f64) -> Vec<usize> {
    let count = values.len();
    let least = least.max(2);
    if count < 2 * least || values.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut scale = noise(values).max(least_noise);
    if scale <= 0.0 {
        let level = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
        scale = (level * 1e-3).max(f64::MIN_POSITIVE);
    }
    let sums = Sums::new(values, scale);
    let penalty = 3.0 * (count as f64).ln();
    // best[t]: the least cost of the first t values, and where their last stretch begins.
    let mut best = vec![(f64::INFINITY, 0_usize); count + 1];
    best[0] = (-penalty, 0);
    let mut candidates = vec![0_usize];
    for end in least..=count {
        let options = candidates.iter().filter(|begin| end - **begin >= least);
        let cost = |begin: usize| best[begin].0 + sums.cost(begin, end);
        let found = options.map(|&begin| (cost(begin) + penalty, begin)).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some(found) = found else { continue };
        let kept = candidates.iter().copied();
        let kept = kept.filter(|&begin| end - begin < least || cost(begin) <= found.0).collect();
        best[end] = found;
        candidates = kept;
        candidates.push(end + 1 - least);
        candidates.retain(|begin| best[*begin].0.is_finite());
        candidates.dedup();
    }
    let mut cuts = Vec::new();
    let mut end = count;
    while end > 0 {
        end = best[end].1;
        if end > 0 {
            cuts.push(end);
        }
    }
    cuts.reverse();
    cuts
}

/// The stretches between change points, as ranges.
pub(crate) fn stretches(values: &[f64], least: usize) -> Vec<std::ops::Range<usize>> {
    stretches_beyond(values, least, 0.0)
}

/// The same of values that vary at least so much from one to the next.
pub(crate) fn stretches_beyond(
    values: &[f64],
    least: usize,
    least_noise: f64,
) -> Vec<std::ops::Range<usize>> {
    let mut edges = changes(values, least, least_noise);
    edges.insert(0, 0);
    edges.push(values.len());
    edges.windows(2).map(|pair| pair[0]..pair[1]).filter(|range| !range.is_empty()).collect()
}

struct Sums {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Sums {
    fn new(values: &[f64], scale: f64) -> Self {
        let middle = super::robust::median(values);
        let (mut first, mut second) = (vec![0.0], vec![0.0]);
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            // A spike of one value is no level.
            let score = (value - middle) / scale;
            sum += score;
            squares += score * score;
            first.push(sum);
            second.push(squares);
        }
        Self { first, second }
    }

    fn cost(&self, begin: usize, end: usize) -> f64 {
        let sum = self.first[end] - self.first[begin];
        self.second[end] - self.second[begin] - sum * sum / (end - begin) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    #[test]
    fn steps_are_found_where_they_are_and_noise_is_none() {
        let mut chance = Chance::new(1);
        let mut level =
            |level: f64, count: usize| -> Vec<f64> { (0..count).map(|_| level + chance.normal()).collect() };
        assert_eq!(changes(&level(10.0, 200), 3, 0.0), [0_usize; 0]);
        let steps = [level(10.0, 50), level(16.0, 40), level(8.0, 60)].concat();
        let found = changes(&steps, 3, 0.0);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].abs_diff(50) <= 1 && found[1].abs_diff(90) <= 1, "{found:?}");
    }

    #[test]
    fn counts_that_are_none_for_long_are_not_cut_into_pieces() {
        let counts = [vec![0.0; 40], [7.0, 5.0, 8.0, 6.0, 5.0, 7.0].repeat(3)].concat();
        assert_eq!(stretches_beyond(&counts, 3, 1.5), [0..40, 40..58]);
    }

    #[test]
    fn what_has_no_noise_or_is_short_is_cut_as_well_or_not_at_all() {
        let steps = [vec![1.0; 20], vec![2.0; 20]].concat();
        assert_eq!(changes(&steps, 2, 0.0), [20]);
        assert!(changes(&[1.0, 2.0], 2, 0.0).is_empty());
        assert!(changes(&[f64::NAN; 50], 2, 0.0).is_empty());
        assert!(changes(&[0.0; 50], 2, 0.0).is_empty());
    }
}
