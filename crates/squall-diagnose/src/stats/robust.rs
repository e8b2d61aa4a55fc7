//! Medians and what goes with them: a few wild values change nothing.

/// The value that a share `quantile` of all does not exceed, between neighbours in proportion; `None` of nothing.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = quantile.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - below as f64))
}

/// The middle one; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5).unwrap_or(0.0)
}

/// The standard deviation of a normal distribution with this median absolute deviation.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * median(&distances)
}

/// The standard deviation of what changes from one value to the next, which steps and trends hardly touch.
pub(crate) fn noise(values: &[f64]) -> f64 {
    let differences: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    1.4826 * median(&differences.iter().map(|difference| difference.abs()).collect::<Vec<_>>())
        / std::f64::consts::SQRT_2
}

/// The arithmetic mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The standard deviation; 0 of nothing.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let middle = mean(values);
    mean(&values.iter().map(|value| (value - middle).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// Pearson's correlation; 0 where one of them does not vary.
pub(crate) fn correlation(one: &[f64], other: &[f64]) -> f64 {
    let (m, n) = (mean(one), mean(other));
    let together: f64 = one.iter().zip(other).map(|(a, b)| (a - m) * (b - n)).sum();
    let scale = deviation(one) * deviation(other) * one.len().min(other.len()) as f64;
    if scale > 0.0 { together / scale } else { 0.0 }
}

/// From 0 at `low` to 1 at `high`, which may be the smaller one.
pub(crate) fn ramp(value: f64, low: f64, high: f64) -> f64 {
    let share = (value - low) / (high - low);
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// A ratio; 0 of nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A running median over so many values on each side.
pub(crate) fn smooth(values: &[f64], reach: usize) -> Vec<f64> {
    (0..values.len())
        .map(|at| median(&values[at.saturating_sub(reach)..(at + reach + 1).min(values.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_value_changes_little_and_nothing_is_zero() {
        let values = [1.0, 2.0, 3.0, 4.0, 1e9, f64::NAN];
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert!((spread(&values) - 1.4826).abs() < 1e-9);
        assert_eq!((median(&[]), spread(&[]), noise(&[1.0]), quantile(&[], 0.5)), (0.0, 0.0, 0.0, None));
        let near = |value: f64, truth: f64| assert!((value - truth).abs() < 1e-9, "{value} {truth}");
        near(ramp(5.0, 0.0, 10.0), 0.5);
        near(ramp(2.0, 4.0, 0.0), 0.5);
        near(ramp(f64::NAN, 0.0, 1.0), 0.0);
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-9);
    }
}
