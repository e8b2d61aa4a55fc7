//! Intervals of counts.

use statrs::distribution::{ContinuousCDF, Gamma};

/// The interval that holds the mean of a Poisson distribution of which so many were seen, with 90 %.
pub(crate) fn count_interval(count: f64) -> (f64, f64) {
    let bound =
        |shape: f64, quantile: f64| Gamma::new(shape, 1.0).map_or(count, |gamma| gamma.inverse_cdf(quantile));
    if count > 1e4 {
        return (count - 1.645 * count.sqrt(), count + 1.645 * count.sqrt());
    }
    let low = if count <= 0.0 { 0.0 } else { bound(count, 0.05) };
    (low, bound(count.max(0.0) + 1.0, 0.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        let (low, high) = count_interval(10.0);
        assert!((low - 5.43).abs() < 0.05 && (high - 16.96).abs() < 0.05, "{low} {high}");
        assert!(count_interval(0.0).0.abs() < 1e-9);
    }
}
