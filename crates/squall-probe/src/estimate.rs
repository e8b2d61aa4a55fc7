//! Numbers with what is known of their error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number, and the interval that holds it with 90 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The likeliest.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// A number between two others; `None` where that is nonsense.
    pub(crate) fn between(low: f64, value: f64, high: f64) -> Option<Self> {
        let is_one = low.is_finite() && value.is_finite() && high.is_finite();
        is_one.then(|| Self { value, low: low.min(value), high: high.max(value) })
    }

    /// The median of values, and the interval that holds it; `None` of fewer than five.
    ///
    /// By order statistics: of `n` values the median lies between two of them that are `0.82 √n` ranks from the middle.
    pub(crate) fn median(pairs: &[(u64, u64)], scale: f64) -> Option<Self> {
        let count = count(pairs) as f64;
        if count < 5.0 {
            return None;
        }
        let reach = 0.822 / count.sqrt();
        let at = |share| quantile(pairs, share).map(|value| value * scale);
        Self::between(at(0.5 - reach)?, at(0.5)?, at(0.5 + reach)?)
    }

    /// The share of `part` in `whole`, by Wilson's interval; `None` of nothing.
    pub(crate) fn share(part: f64, whole: f64) -> Option<Self> {
        const Z: f64 = 1.645;
        if whole <= 0.0 {
            return None;
        }
        // A sum of nothing is -0.
        let share = (part / whole).clamp(0.0, 1.0) + 0.0;
        let middle = share + Z * Z / (2.0 * whole);
        let reach = Z * (share * (1.0 - share) / whole + Z * Z / (4.0 * whole * whole)).sqrt();
        let scale = 1.0 + Z * Z / whole;
        Self::between(((middle - reach) / scale).max(0.0), share, ((middle + reach) / scale).min(1.0))
    }

    /// How far the ends are apart, over the value.
    pub(crate) fn width(&self) -> f64 {
        (self.high - self.low) / self.value.max(f64::MIN_POSITIVE)
    }

    /// The same in another unit.
    pub(crate) fn scaled(self, by: f64) -> Self {
        Self { value: self.value * by, low: self.low * by, high: self.high * by }
    }
}

/// How many values there are in `(value, count)` pairs.
pub(crate) fn count(pairs: &[(u64, u64)]) -> u64 {
    pairs.iter().fold(0, |sum, pair| sum.saturating_add(pair.1))
}

/// The value that a share of ascending `(value, count)` pairs does not exceed; `None` of nothing.
#[must_use]
pub fn quantile(pairs: &[(u64, u64)], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * count(pairs) as f64;
    let mut seen = 0.0;
    let found = pairs.iter().filter(|pair| pair.1 > 0).find(|pair| {
        seen += pair.1 as f64;
        seen >= place
    });
    found.or_else(|| pairs.iter().rfind(|pair| pair.1 > 0)).map(|pair| pair.0 as f64)
}

/// The mean of `(value, count)` pairs; `None` of nothing.
pub(crate) fn mean(pairs: &[(u64, u64)]) -> Option<f64> {
    let sum: f64 = pairs.iter().map(|(value, count)| *value as f64 * *count as f64).sum();
    let count = count(pairs);
    (count > 0).then(|| sum / count as f64)
}

/// How many values are larger than one.
pub(crate) fn above(pairs: &[(u64, u64)], limit: f64) -> u64 {
    pairs.iter().filter(|pair| pair.0 as f64 > limit).fold(0, |sum: u64, pair| sum.saturating_add(pair.1))
}

/// Pairs of several lists as one, ascending.
pub(crate) fn together<'a>(lists: impl IntoIterator<Item = &'a [(u64, u64)]>) -> Vec<(u64, u64)> {
    let mut pairs: Vec<(u64, u64)> = lists.into_iter().flatten().copied().collect();
    pairs.sort_unstable();
    pairs
}

/// A setting within its bounds; nonsense is what it is otherwise.
pub(crate) fn bounded(value: f64, low: f64, high: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value.clamp(low, high) } else { otherwise }
}

/// A number as words: three digits, and no more than it has.
pub(crate) fn digits(value: f64) -> String {
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number of requests that may be fractional, as one that can be sent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
pub(crate) fn whole(value: f64) -> u32 {
    value.ceil().clamp(0.0, 1e9) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_pairs_are_those_of_the_values() {
        let pairs = [(10, 3), (20, 0), (30, 1)];
        assert_eq!((quantile(&pairs, 0.5), quantile(&pairs, 1.0)), (Some(10.0), Some(30.0)));
        assert_eq!((quantile(&[], 0.5), mean(&[]), mean(&pairs)), (None, None, Some(15.0)));
        assert_eq!((above(&pairs, 10.0), count(&pairs)), (1, 4));
        assert_eq!(Estimate::median(&pairs, 1.0), None);
    }

    #[test]
    fn shares_of_few_are_wide_and_of_none_are_none() {
        let few = Estimate::share(3.0, 3.0).unwrap();
        assert!(few.high >= 1.0 && few.low < 0.6, "{few:?}");
        assert_eq!(Estimate::share(0.0, 0.0), None);
        assert_eq!(Estimate::between(1.0, f64::NAN, 2.0), None);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([digits(1234.6), digits(12.34), digits(0.5), digits(3.0)], ["1235", "12.3", "0.5", "3"]);
    }
}
