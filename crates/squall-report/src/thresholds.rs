//! Thresholds in words, the same in every view.

use crate::numbers::{count_of, duration_ms, duration_s, percent, significant};
use crate::result::Threshold;

/// What is asked for.
#[must_use]
pub fn text(threshold: &Threshold) -> String {
    let over =
        threshold.over_s.map_or(String::new(), |over_s| format!(" over {}", duration_s(over_s.into())));
    format!("{}{over}", threshold.expression)
}

/// What it came to.
#[must_use]
pub fn value(threshold: &Threshold) -> String {
    let value = threshold.value.map(|value| match &*threshold.unit {
        "ms" => duration_ms(value),
        "ratio" => percent(value),
        "per_second" => format!("{}/s", significant(value)),
        "count" => count_of(value),
        _ => significant(value),
    });
    let at_least = if threshold.at_least { "≥" } else { "" };
    value.map_or("–".to_owned(), |value| format!("{at_least}{value}"))
}

/// Since when it did not hold; nothing if it did.
pub(crate) fn since(threshold: &Threshold) -> Option<String> {
    match (threshold.passed, threshold.first_failed_at_s, threshold.value) {
        (true, ..) => None,
        (false, _, None) => Some("fails without data".to_owned()),
        (false, Some(at_s), _) => Some(format!("first broken at {}", duration_s(at_s))),
        (false, None, _) => Some("failed".to_owned()),
    }
}
