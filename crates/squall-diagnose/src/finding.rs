//! A named cause.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// What a finding names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// More load came than there was capacity for, and capacity followed later.
    AutoscalingLag,
    /// Throughput does not grow beyond a limit, however much is asked for.
    HardCapacityLimit,
    /// Requests beyond a rate are turned away.
    RateLimited,
    /// Requests beyond a number at the same time are turned away.
    ConcurrencyThrottled,
    /// Some requests waited for an instance to start.
    ColdStarts,
    /// The tail grows while the usual request stays as it was.
    SlowDependency,
    /// Writes become slower with load, reads do not.
    WriteContention,
    /// Attempts that are repeated keep the service down.
    RetryStorm,
    /// It was slow at first, and became faster by itself.
    WarmUp,
    /// Instances were replaced or restarted.
    RestartOrDeployment,
    /// Name, connection or TLS take the time, or fail.
    Network,
    /// Connections beyond a number are not accepted.
    ConnectionLimit,
    /// It becomes slower and slower under the same load.
    SteadyDegradation,
    /// The generators were the bottleneck.
    GeneratorSaturated,
    /// Requests fail at any load and at any time, and no cause explains it.
    UnexplainedFailures,
    /// Nothing was found.
    Healthy,
    /// Too little was measured to find anything.
    NotEnoughData,
}

impl Kind {
    /// All, in the order in which they are explained.
    pub const ALL: [Self; 17] = [
        Self::AutoscalingLag,
        Self::HardCapacityLimit,
        Self::RateLimited,
        Self::ConcurrencyThrottled,
        Self::ColdStarts,
        Self::SlowDependency,
        Self::WriteContention,
        Self::RetryStorm,
        Self::WarmUp,
        Self::RestartOrDeployment,
        Self::Network,
        Self::ConnectionLimit,
        Self::SteadyDegradation,
        Self::GeneratorSaturated,
        Self::UnexplainedFailures,
        Self::Healthy,
        Self::NotEnoughData,
    ];

    /// As it is written in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AutoscalingLag => "autoscaling_lag",
            Self::HardCapacityLimit => "hard_capacity_limit",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyThrottled => "concurrency_throttled",
            Self::ColdStarts => "cold_starts",
            Self::SlowDependency => "slow_dependency",
            Self::WriteContention => "write_contention",
            Self::RetryStorm => "retry_storm",
            Self::WarmUp => "warm_up",
            Self::RestartOrDeployment => "restart_or_deployment",
            Self::Network => "network",
            Self::ConnectionLimit => "connection_limit",
            Self::SteadyDegradation => "steady_degradation",
            Self::GeneratorSaturated => "generator_saturated",
            Self::UnexplainedFailures => "unexplained_failures",
            Self::Healthy => "healthy",
            Self::NotEnoughData => "not_enough_data",
        }
    }
}

/// How sure a finding is, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Confidence(f64);

impl Confidence {
    /// From here on it is high.
    pub const HIGH: f64 = 0.75;
    /// From here on it is no longer low.
    pub const MEDIUM: f64 = 0.5;

    /// So sure; what is no number is not sure at all.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self(if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 })
    }

    /// From 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }

    /// `high`, `medium` or `low`.
    #[must_use]
    pub fn word(self) -> &'static str {
        if self.0 >= Self::HIGH {
            "high"
        } else if self.0 >= Self::MEDIUM {
            "medium"
        } else {
            "low"
        }
    }
}

/// Numbers that support a finding, by name; an estimate stands with the interval that holds it with 90 %.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Evidence(Map<String, Value>);

impl Evidence {
    /// With one more number; one that is none is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.0.insert(name.to_owned(), rounded(value));
        }
        self
    }

    /// With an estimate and the interval that holds it with 90 %.
    #[must_use]
    pub fn with_interval(self, name: &str, value: f64, (low, high): (f64, f64)) -> Self {
        let mut evidence = self.with(name, value);
        if low.is_finite() && high.is_finite() {
            evidence.0.insert(format!("{name}_90_percent"), Value::Array(vec![rounded(low), rounded(high)]));
        }
        evidence
    }

    /// With a text.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), Value::String(text.into()));
        self
    }

    /// With what would refute the finding.
    #[must_use]
    pub fn refuted_by(self, text: &str) -> Self {
        self.with_text("refuted_by", text)
    }

    /// A number in it.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// The interval of an estimate in it.
    #[must_use]
    pub fn interval(&self, name: &str) -> Option<(f64, f64)> {
        let pair = self.0.get(&format!("{name}_90_percent"))?.as_array()?;
        Some((pair.first()?.as_f64()?, pair.get(1)?.as_f64()?))
    }

    /// A text in it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

/// To four digits, so that nobody takes noise for knowledge.
fn rounded(value: f64) -> Value {
    if value == 0.0 {
        return Value::from(0.0);
    }
    let digits = 3.0 - value.abs().log10().floor();
    let scale = 10_f64.powf(digits.clamp(-12.0, 12.0));
    Value::from((value * scale).round() / scale)
}

/// A named cause with its evidence and its confidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Which cause.
    pub kind: Kind,
    /// How sure that is.
    pub confidence: Confidence,
    /// The endpoints it concerns; none if it is all of them.
    pub endpoints: Vec<String>,
    /// Since when it is seen, in seconds since the epoch.
    pub from_s: f64,
    /// Until when.
    pub until_s: f64,
    /// What it is, in a sentence with its numbers.
    pub summary: String,
    /// What supports it, and what would refute it.
    pub evidence: Evidence,
    /// What can be done about it.
    pub advice: String,
}

impl Finding {
    /// As it stands in `result.json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Finding", 9)?;
        out.serialize_field("kind", &self.kind)?;
        out.serialize_field("confidence", self.confidence.word())?;
        out.serialize_field("score", &rounded(self.confidence.share()))?;
        out.serialize_field("endpoints", &self.endpoints)?;
        out.serialize_field("from_s", &self.from_s)?;
        out.serialize_field("until_s", &self.until_s)?;
        out.serialize_field("summary", &self.summary)?;
        out.serialize_field("evidence", &self.evidence)?;
        out.serialize_field("advice", &self.advice)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_written_as_the_design_says() {
        let finding = Finding {
            kind: Kind::RateLimited,
            confidence: Confidence::new(0.913_77),
            endpoints: vec!["GET /".to_owned()],
            from_s: 3.0,
            until_s: 9.0,
            summary: "a".to_owned(),
            evidence: Evidence::default()
                .with_interval("refill_per_s", 50.123_456, (49.0, 51.0))
                .with("burst", f64::NAN),
            advice: "b".to_owned(),
        };
        let expected = r#"{"kind":"rate_limited","confidence":"high","score":0.9138,"endpoints":["GET /"],"from_s":3.0,"until_s":9.0,"summary":"a","evidence":{"refill_per_s":50.12,"refill_per_s_90_percent":[49.0,51.0]},"advice":"b"}"#;
        assert_eq!(finding.to_json().to_string(), expected);
        let names = Kind::ALL.map(|kind| serde_json::to_value(kind).unwrap());
        assert_eq!(names, Kind::ALL.map(|kind| Value::from(kind.name())));
    }

    #[test]
    fn confidence_is_a_share_whatever_it_is_made_of() {
        let words = [f64::NAN, -1.0, 0.6, 7.0].map(|share| Confidence::new(share).word());
        assert_eq!(words, ["low", "low", "medium", "high"]);
    }
}
