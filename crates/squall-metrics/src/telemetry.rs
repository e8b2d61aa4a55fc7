//! What the target's own instruments said.

/// What one of the target's own instruments said over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TelemetrySeries {
    /// Who was asked.
    pub source: String,
    /// What was measured.
    pub name: String,
    /// In what; may be empty.
    pub unit: String,
    /// Seconds since the run's epoch, and the value from then on: in order, no time twice, only finite numbers. Where
    /// nothing was said there is no point.
    pub points: Vec<(f64, f64)>,
}
