//! What was wrong with a service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::service::seconds;

/// A trouble by the name that findings give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    AutoscalingLag,
    HardCapacityLimit,
    RateLimited,
    ConcurrencyThrottled,
    ColdStarts,
    SlowDependency,
    WriteContention,
    RetryStorm,
    WarmUp,
    RestartOrDeployment,
    Network,
    ConnectionLimit,
    SteadyDegradation,
    GeneratorSaturated,
    Healthy,
    NotEnoughData,
}

/// What was wrong with a service so far, as it knows itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Which findings are right, the first cause first. Never empty: nothing wrong is [`Kind::Healthy`].
    pub findings: Vec<TrueFinding>,
    /// Kinds that are no mistake to name beside them, for they follow from them.
    pub also: Vec<Kind>,
    /// The numbers behind it, by name; seconds count from the first request.
    pub numbers: BTreeMap<String, Value>,
}

/// A finding that is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueFinding {
    /// What is wrong.
    pub kind: Kind,
    /// From when on it hurt a client.
    pub from_s: f64,
    /// Until when; `None` if it went on.
    pub until_s: Option<f64>,
    /// Whom it hurt, by name; empty for all.
    pub endpoints: Vec<String>,
}

impl Truth {
    /// Nothing wrong, so far.
    pub(crate) fn healthy() -> Self {
        let finding = TrueFinding { kind: Kind::Healthy, from_s: 0.0, until_s: None, endpoints: Vec::new() };
        Self { findings: vec![finding], also: Vec::new(), numbers: BTreeMap::new() }
    }

    /// This trouble, if it hurt anybody.
    pub(crate) fn with(mut self, kind: Kind, hurt: Option<Span>) -> Self {
        if let Some(span) = hurt {
            self.findings.retain(|finding| finding.kind != Kind::Healthy);
            let (from_s, until_s) = (seconds(span.from_us), Some(seconds(span.until_us)));
            self.findings.push(TrueFinding { kind, from_s, until_s, endpoints: Vec::new() });
        }
        self
    }

    /// Of all endpoints, the last trouble hurt only these.
    pub(crate) fn only(mut self, endpoints: &[&str]) -> Self {
        if let Some(finding) = self.findings.last_mut().filter(|finding| finding.kind != Kind::Healthy) {
            finding.endpoints = endpoints.iter().map(ToString::to_string).collect();
        }
        self
    }

    /// What follows from the troubles, if there is one.
    pub(crate) fn also(mut self, kinds: &[Kind]) -> Self {
        if !self.is_healthy() {
            self.also.extend(kinds);
        }
        self
    }

    pub(crate) fn number(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.numbers.insert(name.to_owned(), value.into());
        self
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind == Kind::Healthy)
    }
}

/// From when until when something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
    pub(crate) times: u64,
}

impl Span {
    /// It happens once more.
    pub(crate) fn note(span: &mut Option<Self>, from_us: u64, until_us: u64) {
        let span = span.get_or_insert(Self { from_us, until_us, times: 0 });
        span.from_us = span.from_us.min(from_us);
        span.until_us = span.until_us.max(until_us);
        span.times += 1;
    }

    pub(crate) fn times(span: Option<Self>) -> u64 {
        span.map_or(0, |span| span.times)
    }
}
