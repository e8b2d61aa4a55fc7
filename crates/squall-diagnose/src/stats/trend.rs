//! A slope that a few wild values do not change, after Theil and Sen, and whether it is one, after Mann and Kendall.

use statrs::distribution::{ContinuousCDF, Normal};

use super::robust::quantile;

/// More points are thinned out: the work grows with their square.
const MOST: usize = 300;

/// A trend over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// How much the value grows in one unit of time.
    pub slope: f64,
    /// The interval that holds the slope with 90 %.
    pub interval: (f64, f64),
    /// How many standard deviations it is from none.
    pub score: f64,
    /// Of all pairs the share that grows minus the share that falls.
    pub tau: f64,
}

impl Trend {
    /// How likely as much of a trend is where there is none.
    pub(crate) fn chance(&self) -> f64 {
        Normal::standard().sf(self.score.abs()) * 2.0
    }
}

/// The trend of values over times; `None` of fewer than five.
pub(crate) fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let step = points.len().div_ceil(MOST).max(1);
    let points: Vec<(f64, f64)> = points
        .iter()
        .step_by(step)
        .copied()
        .filter(|(t, value)| t.is_finite() && value.is_finite())
        .collect();
    let count = points.len() as f64;
    if points.len() < 5 {
        return None;
    }
    let (mut slopes, mut growing) = (Vec::new(), 0.0);
    for (place, (t, value)) in points.iter().enumerate() {
        for (later, next) in points.iter().skip(place + 1) {
            if later > t {
                slopes.push((next - value) / (later - t));
                growing += if next > value {
                    1.0
                } else if next < value {
                    -1.0
                } else {
                    0.0
                };
            }
        }
    }
    let deviation = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
    let reach = 1.645 * deviation / slopes.len().max(1) as f64 / 2.0;
    Some(Trend {
        slope: quantile(&slopes, 0.5)?,
        interval: (quantile(&slopes, 0.5 - reach)?, quantile(&slopes, 0.5 + reach)?),
        score: growing / deviation,
        tau: growing / slopes.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    #[test]
    fn a_slope_is_found_through_wild_values_and_none_in_noise() {
        let mut chance = Chance::new(9);
        let line = |slope: f64, chance: &mut Chance| -> Vec<(f64, f64)> {
            let wild = |at: usize| if at % 17 == 3 { 500.0 } else { 0.0 };
            (0..100).map(|at| (at as f64, slope * at as f64 + chance.normal() + wild(at))).collect()
        };
        let rising = trend(&line(0.5, &mut chance)).unwrap();
        assert!(
            (rising.slope - 0.5).abs() < 0.03 && rising.score > 8.0 && rising.chance() < 1e-6,
            "{rising:?}"
        );
        assert!(rising.interval.0 < 0.5 && rising.interval.1 > 0.5, "{rising:?}");
        let flat = trend(&line(0.0, &mut chance)).unwrap();
        assert!(flat.score.abs() < 3.0, "{flat:?}");
        assert_eq!(trend(&[(0.0, 1.0); 4]), None);
        assert!(trend(&[(0.0, 1.0); 9]).is_none());
    }
}
