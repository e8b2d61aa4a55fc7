//! What an instrument said, by its own clock.

use std::fmt;

/// One instrument's values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub name: String,
    /// In what; may be empty.
    pub unit: String,
    /// Seconds since 1970 by the clock of the source, and the value from then on, in any order.
    pub points: Vec<(f64, f64)>,
}

/// All that a source said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Its instruments.
    pub readings: Vec<Reading>,
    /// What of it cannot be used.
    pub flaws: Flaws,
    /// How its clock is set.
    pub clock: Option<ClockOffset>,
    /// What it did not say, and why, in words.
    pub problems: Vec<String>,
}

/// The clock of a source minus that of this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClockOffset {
    /// In seconds.
    pub offset_s: f64,
    /// How far it may be off.
    pub error_s: f64,
}

impl ClockOffset {
    /// What a source's clock showed at a time between two of this machine.
    #[must_use]
    pub fn of(there_s: f64, asked_s: f64, answered_s: f64) -> Self {
        let middle_s = f64::midpoint(asked_s, answered_s);
        Self { offset_s: there_s - middle_s, error_s: (answered_s - asked_s).abs() / 2.0 }
    }
}

/// How much of what was said cannot be used, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Values that are no finite numbers.
    pub no_numbers: u64,
    /// Values for a time that there was a value for already.
    pub repeated: u64,
    /// What has not the form that it should have: lines, points.
    pub unreadable: u64,
    /// Instruments beyond those that are kept.
    pub series_beyond: u64,
}

impl Flaws {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            no_numbers: self.no_numbers.saturating_add(other.no_numbers),
            repeated: self.repeated.saturating_add(other.repeated),
            unreadable: self.unreadable.saturating_add(other.unreadable),
            series_beyond: self.series_beyond.saturating_add(other.series_beyond),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.no_numbers, "values that are no finite numbers"),
            (self.repeated, "values for a time that had one already"),
            (self.unreadable, "points or lines that cannot be read"),
            (self.series_beyond, "series beyond those that are kept"),
        ];
        let parts = all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}
