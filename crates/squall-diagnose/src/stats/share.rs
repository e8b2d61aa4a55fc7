//! Intervals of shares and of counts.

use statrs::distribution::{Beta, ContinuousCDF, Gamma};

/// The interval that holds a share with 90 %, by Jeffreys' prior.
pub(crate) fn share_interval(part: f64, whole: f64) -> (f64, f64) {
    let (yes, no) = (part.max(0.0) + 0.5, (whole - part).max(0.0) + 0.5);
    let Ok(beta) = Beta::new(yes, no) else { return (0.0, 1.0) };
    let low = if part <= 0.0 { 0.0 } else { beta.inverse_cdf(0.05) };
    let high = if part >= whole { 1.0 } else { beta.inverse_cdf(0.95) };
    (low, high)
}

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
        let (low, high) = share_interval(5.0, 10.0);
        assert!((low - 0.265).abs() < 0.02 && (high - 0.735).abs() < 0.02, "{low} {high}");
        let (low, high) = count_interval(10.0);
        assert!((low - 5.43).abs() < 0.05 && (high - 16.96).abs() < 0.05, "{low} {high}");
        assert_eq!(share_interval(0.0, 0.0), (0.0, 1.0));
        assert_eq!(count_interval(0.0).0, 0.0);
    }
}
