//! Durations and rates as people write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest duration that a plan can say: schedules stay exact in 128-bit arithmetic up to it.
pub const MAX_DURATION: Duration = Duration::from_hours(7 * 24);

/// The highest rate that a plan can say, in arrivals per second.
pub const MAX_RATE_PER_SECOND: u64 = 10_000_000;

/// Why a text is no duration or rate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Not of the form at all.
    #[error("`{0}` is not a duration")]
    NotADuration(String),
    /// A number alone.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// Beyond [`MAX_DURATION`].
    #[error("`{0}` is longer than 7 days")]
    TooLong(String),
    /// Not of the form at all.
    #[error("`{0}` is not a rate")]
    NotARate(String),
    /// Beyond [`MAX_RATE_PER_SECOND`].
    #[error("`{0}` is more than 10 million a second")]
    TooFast(String),
    /// A range whose end is not after its start.
    #[error("`{0}` is an empty range")]
    EmptyRange(String),
}

impl UnitError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoUnit(text) => format!("write `{text}s`, `{text}ms` or `{text}m`"),
            Self::NotADuration(_) => {
                "write a number and a unit, such as `500ms`, `30s` or `1h30m`".to_owned()
            }
            Self::TooLong(_) => "split it into several runs".to_owned(),
            Self::NotARate(_) => "write a number and a unit, such as `200/s`, `90/m` or `5000/h`".to_owned(),
            Self::TooFast(_) => "write at most `10000000/s`".to_owned(),
            Self::EmptyRange(_) => "write the shorter one first, such as `1s..2s`".to_owned(),
        }
    }
}

/// Reads `500ms`, `1.5s`, `2m`, `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::NotADuration(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.parse::<f64>().is_ok() {
        return Err(UnitError::NoUnit(text.to_owned()));
    }
    let mut rest = text;
    let mut total_ns: u128 = 0;
    let mut largest_ns = u128::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_ns: u128 = match unit {
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(wrong()),
        };
        // `30s1m` is more likely a slip than a wish.
        if unit_ns >= largest_ns {
            return Err(wrong());
        }
        largest_ns = unit_ns;
        let thousandths = parse_thousandths(number).ok_or_else(wrong)?;
        total_ns = total_ns.saturating_add(u128::from(thousandths).saturating_mul(unit_ns) / 1_000);
        rest = tail;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let total_ns = u64::try_from(total_ns).map_err(|_| UnitError::TooLong(text.to_owned()))?;
    let duration = Duration::from_nanos(total_ns);
    if duration > MAX_DURATION { Err(UnitError::TooLong(text.to_owned())) } else { Ok(duration) }
}

/// Reads `1s..2s`; both ends are durations.
pub fn parse_duration_range(text: &str) -> Result<(Duration, Duration), UnitError> {
    let (low, high) = text.split_once("..").ok_or_else(|| UnitError::NotADuration(text.to_owned()))?;
    let (low, high) = (parse_duration(low.trim())?, parse_duration(high.trim())?);
    if low >= high {
        return Err(UnitError::EmptyRange(text.to_owned()));
    }
    Ok((low, high))
}

/// A decimal with at most three places, in thousandths.
fn parse_thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(thousandths)
}

/// Arrivals over time, exact: `100/m` is not a whole number of arrivals a second in any decimal unit,
/// so the unit is a thousandth of an arrival per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate {
    millis_per_hour: u64,
}

impl Rate {
    /// No arrivals.
    pub const ZERO: Self = Self { millis_per_hour: 0 };

    /// A whole number of arrivals per second, at most [`MAX_RATE_PER_SECOND`].
    #[must_use]
    pub fn per_second_exact(arrivals: u64) -> Self {
        Self { millis_per_hour: arrivals.min(MAX_RATE_PER_SECOND) * 3_600_000 }
    }

    /// Reads `200/s`, `0.5/s`, `90/m`, `5000/h`; at most three decimal places.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::NotARate(text.to_owned());
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per_hour = match unit.trim() {
            "s" => 3_600,
            "m" => 60,
            "h" => 1,
            _ => return Err(wrong()),
        };
        let thousandths = parse_thousandths(number.trim()).ok_or_else(wrong)?;
        let too_fast = || UnitError::TooFast(text.to_owned());
        let millis_per_hour = thousandths.checked_mul(per_hour).ok_or_else(too_fast)?;
        if millis_per_hour > MAX_RATE_PER_SECOND * 3_600_000 {
            return Err(too_fast());
        }
        Ok(Self { millis_per_hour })
    }

    /// Thousandths of an arrival per hour.
    #[must_use]
    pub fn millis_per_hour(self) -> u64 {
        self.millis_per_hour
    }

    /// Arrivals per second, for people and estimates; schedules use the exact unit.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.millis_per_hour as f64 / 3_600_000.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check = |text: &str, expected_ms: Option<u64>| {
            assert_eq!(parse_duration(text).ok(), expected_ms.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("1.5s", Some(1_500));
        check("2m", Some(120_000));
        check("1h30m", Some(5_400_000));
        check("1m30s", Some(90_000));
        check("0", Some(0));
        check("0s", Some(0));
        check("7d", Some(604_800_000));
        check("8d", None);
        check("30", None);
        check("", None);
        check("s", None);
        check("-1s", None);
        check("1x", None);
        check("30s1m", None);
        check("1.0001s", None);
        check("99999999999999999999s", None);
    }

    #[test]
    fn a_number_without_a_unit_is_told_apart() {
        assert_eq!(parse_duration("30"), Err(UnitError::NoUnit("30".to_owned())));
    }

    #[test]
    fn rates_are_exact() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(Rate::parse(text).ok().map(Rate::millis_per_hour), expected, "{text}");
        };
        check("200/s", Some(720_000_000));
        check("0.5/s", Some(1_800_000));
        check("100/m", Some(6_000_000));
        check("5/h", Some(5_000));
        check("0/s", Some(0));
        check("10000000/s", Some(36_000_000_000_000));
        check("10000001/s", None);
        check("200", None);
        check("-1/s", None);
        check("1/d", None);
        check("1.2345/s", None);
    }

    #[test]
    fn ranges_need_an_order() {
        let second = Duration::from_secs(1);
        assert_eq!(parse_duration_range("1s..2s"), Ok((second, 2 * second)));
        assert_eq!(parse_duration_range("2s..1s"), Err(UnitError::EmptyRange("2s..1s".to_owned())));
        assert!(parse_duration_range("1s").is_err());
    }
}
