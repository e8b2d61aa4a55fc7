//! Numbers as people read them.

/// A text without the characters beyond ASCII that views are drawn with.
#[must_use]
pub fn to_ascii(text: &str) -> String {
    let plain = [
        ("·", "|"),
        ("–", "-"),
        ("…", "~"),
        ("×", "x"),
        ("≥", ">"),
        ("µ", "u"),
        ("●", "*"),
        ("─", "-"),
        ("✓", "+"),
        ("✗", "!"),
        ("→", ">"),
    ];
    plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// `1,234,567`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration in three significant digits: `410µs`, `91ms`, `2.31s`, `5m30s`.
#[must_use]
pub fn duration_ms(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.0}µs", ms * 1_000.0)
    } else if ms < 10.0 {
        format!("{ms:.2}ms")
    } else if ms < 100.0 {
        format!("{ms:.1}ms")
    } else if ms < 999.5 {
        format!("{ms:.0}ms")
    } else if ms < 60_000.0 {
        let seconds = ms / 1_000.0;
        if seconds < 9.995 { format!("{seconds:.2}s") } else { format!("{seconds:.1}s") }
    } else {
        duration_s(ms / 1_000.0)
    }
}

/// A duration that may as well be longer, in two significant digits and so a character less: `≥4.5ms`, `≥2.3s`.
pub(crate) fn at_least_ms(ms: f64) -> String {
    let text = duration_ms(ms);
    let cut = text.find('.').filter(|_| (1.0..60_000.0).contains(&ms)).and_then(|dot| {
        let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
        let digits = if dot == 1 { dot + 2 } else { dot };
        Some(format!("{}{}", &text[..digits.min(unit)], &text[unit..]))
    });
    format!("≥{}", cut.unwrap_or(text))
}

/// A duration of seconds and more: `45s`, `5m30s`, `1h2m`.
#[must_use]
pub fn duration_s(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations of tests fit by far"
    )]
    let whole = seconds.round().max(0.0) as u64;
    let (hours, minutes, rest) = (whole / 3_600, whole / 60 % 60, whole % 60);
    match (hours, minutes, rest) {
        (0, 0, _) if seconds.fract() == 0.0 => format!("{rest}s"),
        (0, 0, _) => format!("{}s", significant(seconds)),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

/// A rate or other number in three significant digits, at least whole.
#[must_use]
pub fn significant(number: f64) -> String {
    if number >= 99.95 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates fit by far")]
        return count(number.round() as u64);
    }
    if number >= 9.995 { format!("{number:.1}") } else { format!("{number:.2}") }
}

/// `0.42 %`; a share that is not zero never looks like it.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if ratio > 0.0 && percent < 0.01 {
        "<0.01 %".to_owned()
    } else if percent >= 99.995 || percent == 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{} %", significant(percent))
    }
}

/// A count that is kept as a fraction.
pub(crate) fn count_of(number: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of a test fit by far"
    )]
    count(number.round().max(0.0) as u64)
}

/// The class of an outcome: 4xx without 429, which stands for itself; what is no status but no timeout is among others.
#[must_use]
pub fn class(outcome: &str) -> &'static str {
    match outcome {
        "429" => "429",
        "timeout" => "timeouts",
        outcome if outcome.starts_with('2') => "2xx",
        outcome if outcome.starts_with('3') => "3xx",
        outcome if outcome.starts_with('4') => "4xx",
        outcome if outcome.starts_with('5') => "5xx",
        _ => "others",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(
            [0, 999, 1_000, 62_114, 1_234_567].map(count),
            ["0", "999", "1,000", "62,114", "1,234,567"]
        );
        let durations = [0.41, 1.0, 9.87, 91.04, 310.0, 2_310.0, 12_345.0, 60_000.0, 330_000.0];
        let expected = ["410µs", "1.00ms", "9.87ms", "91.0ms", "310ms", "2.31s", "12.3s", "1m", "5m30s"];
        assert_eq!(durations.map(duration_ms), expected);
        // Cut, not rounded: it is at least that.
        let expected = ["≥410µs", "≥1.0ms", "≥9.8ms", "≥91ms", "≥310ms", "≥2.3s", "≥12s", "≥1m", "≥5m30s"];
        assert_eq!(durations.map(at_least_ms), expected);
        assert_eq!(
            [15.0, 0.5, 90.0, 3_720.0, 3_600.0].map(duration_s),
            ["15s", "0.50s", "1m30s", "1h2m", "1h"]
        );
        assert_eq!(
            [0.0, 0.42, 23.4, 188.2, 31_044.0].map(significant),
            ["0.00", "0.42", "23.4", "188", "31,044"]
        );
        assert_eq!(
            [0.0, 0.000_001, 0.0042, 0.5, 1.0].map(percent),
            ["0 %", "<0.01 %", "0.42 %", "50.0 %", "100 %"]
        );
    }
}
