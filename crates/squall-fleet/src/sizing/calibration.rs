//! What a request of a plan takes, as it was measured in a short run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of the form in which calibrations are kept.
const VERSION: u32 = 1;

/// Plans of which calibrations are kept at most; the oldest go.
const MOST_PLANS: usize = 1_000;

/// Fewer requests say too little.
const LEAST_REQUESTS: u64 = 100;

/// With a larger share of failed requests it is failures that were measured.
const MOST_ERRORS: f64 = 0.1;

/// With a larger share of its time in which the generator was the bottleneck it did what it could, and not what it was asked.
const MOST_TAINTED: f64 = 0.2;

/// What a short run measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Iterations that were begun.
    pub iterations: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Processor time of the generator, in seconds.
    pub cpu_s: f64,
    /// Share of its time in which it was the bottleneck.
    pub tainted_ratio: f64,
    /// The mean response time, in milliseconds.
    pub response_ms: Option<f64>,
}

/// What a request of a plan takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// When it was measured, as RFC 3339.
    pub at: String,
    /// The memory of the function that measured it, in MB; null for this machine.
    pub memory_mb: Option<u32>,
    /// The processor that measured it.
    pub architecture: String,
    /// Requests that were measured.
    pub requests: u64,
    /// Iterations that were measured.
    pub iterations: u64,
    /// Processor time, in microseconds.
    pub cpu_us_per_request: f64,
    /// Requests, those of users who begin and end among them.
    pub requests_per_iteration: f64,
    /// Bytes sent.
    pub bytes_sent_per_request: f64,
    /// Bytes received.
    pub bytes_received_per_request: f64,
    /// The mean response time, in milliseconds.
    pub response_ms: f64,
}

/// Why a run is no calibration.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Unfit {
    /// There is too little to divide by.
    #[error("it made {0} requests, and {LEAST_REQUESTS} are needed")]
    TooFew(u64),
    /// It measured failures.
    #[error("{:.0} % of its requests failed, and what fails costs less or more than what does not", .0 * 100.0)]
    Failed(f64),
    /// It could not do what it was asked.
    #[error("the generator was the bottleneck in {:.0} % of its time", .0 * 100.0)]
    Tainted(f64),
    /// Nobody told the processor time.
    #[error("the generator did not tell its processor time")]
    NoProcessorTime,
}

impl Calibration {
    /// From what was measured, or why not.
    pub fn of(
        measured: &Measured,
        at: String,
        memory_mb: Option<u32>,
        architecture: String,
    ) -> Result<Self, Unfit> {
        let Measured { requests, iterations, .. } = *measured;
        if requests < LEAST_REQUESTS || iterations == 0 {
            return Err(Unfit::TooFew(requests));
        }
        let each = |number: f64| number / requests as f64;
        let errors = each(measured.errors as f64);
        if errors > MOST_ERRORS {
            return Err(Unfit::Failed(errors));
        }
        if measured.tainted_ratio > MOST_TAINTED {
            return Err(Unfit::Tainted(measured.tainted_ratio));
        }
        let calibration = Self {
            at,
            memory_mb,
            architecture,
            requests,
            iterations,
            cpu_us_per_request: each(measured.cpu_s * 1e6),
            requests_per_iteration: requests as f64 / iterations as f64,
            bytes_sent_per_request: each(measured.bytes_sent as f64),
            bytes_received_per_request: each(measured.bytes_received as f64),
            response_ms: measured.response_ms.unwrap_or_default(),
        };
        if calibration.is_sound() { Ok(calibration) } else { Err(Unfit::NoProcessorTime) }
    }

    /// Bytes of a request and its response.
    #[must_use]
    pub fn bytes_per_request(&self) -> f64 {
        self.bytes_sent_per_request + self.bytes_received_per_request
    }

    /// The mean response time, in seconds.
    #[must_use]
    pub fn response_s(&self) -> f64 {
        self.response_ms / 1e3
    }

    /// Whether a function of Lambda measured it.
    #[must_use]
    pub fn is_of_lambda(&self) -> bool {
        self.memory_mb.is_some()
    }

    /// Whether fleets can be sized by it.
    fn is_sound(&self) -> bool {
        let positive = [self.cpu_us_per_request, self.requests_per_iteration, self.response_ms];
        let others = [self.bytes_sent_per_request, self.bytes_received_per_request];
        positive.iter().all(|number| number.is_finite() && *number > 0.0)
            && others.iter().all(|number| number.is_finite() && *number >= 0.0)
    }
}

/// All that was calibrated: of each plan, by its name, on each backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrations {
    version: u32,
    plans: BTreeMap<String, BTreeMap<String, Calibration>>,
}

/// Why a text holds no calibrations.
#[derive(Debug, Error)]
pub enum CalibrationError {
    /// It is damaged, or something else.
    #[error("it holds no calibrations")]
    Malformed(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it is of form {0}, and this command knows form {VERSION}")]
    Version(u64),
    /// A number in it cannot be.
    #[error("what it says of plan `{0}` cannot be")]
    Unsound(String),
}

impl Default for Calibrations {
    fn default() -> Self {
        Self { version: VERSION, plans: BTreeMap::new() }
    }
}

impl Calibrations {
    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str) -> Result<Self, CalibrationError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version != u64::from(VERSION) => return Err(CalibrationError::Version(version)),
            _ => {}
        }
        let all: Self = serde_json::from_value(value)?;
        let unsound = all.plans.iter().find(|(_, own)| !own.values().all(Calibration::is_sound));
        match unsound {
            Some((plan, _)) => Err(CalibrationError::Unsound(plan.clone())),
            None => Ok(all),
        }
    }

    /// As text that [`from_text`](Self::from_text) reads.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// That of a plan on a backend.
    #[must_use]
    pub fn get(&self, plan: &str, backend: &str) -> Option<&Calibration> {
        self.plans.get(plan)?.get(backend)
    }

    /// Keeps one in place of that which was there.
    pub fn insert(&mut self, plan: &str, backend: &str, calibration: Calibration) {
        self.plans.entry(plan.to_owned()).or_default().insert(backend.to_owned(), calibration);
        while self.plans.len() > MOST_PLANS {
            let latest = |own: &BTreeMap<String, Calibration>| own.values().map(|one| one.at.clone()).max();
            let oldest = self.plans.iter().min_by_key(|(_, own)| latest(own)).map(|(name, _)| name.clone());
            oldest.map(|name| self.plans.remove(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        Measured {
            requests: 2_000,
            errors: 3,
            iterations: 500,
            bytes_sent: 400_000,
            bytes_received: 6_000_000,
            cpu_s: 0.5,
            tainted_ratio: 0.05,
            response_ms: Some(12.5),
        }
    }

    fn of(measured: &Measured) -> Result<Calibration, Unfit> {
        Calibration::of(measured, "2026-11-26T04:00:00Z".to_owned(), Some(1_769), "arm64".to_owned())
    }

    #[test]
    fn a_calibration_is_what_was_measured_over_requests() {
        let found = of(&measured()).unwrap();
        let numbers = [
            found.cpu_us_per_request,
            found.requests_per_iteration,
            found.bytes_sent_per_request,
            found.bytes_received_per_request,
            found.response_ms,
        ];
        assert_eq!(numbers.map(|number| number.to_string()), ["250", "4", "200", "3000", "12.5"]);
    }

    #[test]
    fn a_run_that_says_too_little_is_no_calibration() {
        let check = |measured: Measured, expected: &str| {
            assert_eq!(of(&measured).unwrap_err().to_string(), expected);
        };
        check(Measured { requests: 99, ..measured() }, "it made 99 requests, and 100 are needed");
        check(Measured { iterations: 0, ..measured() }, "it made 2000 requests, and 100 are needed");
        check(
            Measured { errors: 500, ..measured() },
            "25 % of its requests failed, and what fails costs less or more than what does not",
        );
        let tainted = "the generator was the bottleneck in 30 % of its time";
        check(Measured { tainted_ratio: 0.3, ..measured() }, tainted);
        let silent = "the generator did not tell its processor time";
        check(Measured { cpu_s: 0.0, ..measured() }, silent);
        check(Measured { cpu_s: f64::NAN, ..measured() }, silent);
    }

    #[test]
    fn calibrations_are_kept_by_plan_and_backend_and_what_is_damaged_is_not_read() {
        let (mut all, one) = (Calibrations::default(), of(&measured()).unwrap());
        all.insert("shop", "local", one.clone());
        all.insert("shop", "aws", Calibration { requests: 7, ..one.clone() });
        let text = all.to_text().unwrap();
        let read = Calibrations::from_text(&text).unwrap();
        assert_eq!(read, all);
        assert_eq!(read.get("shop", "local"), Some(&one));
        assert_eq!((read.get("shop", "moon"), read.get("bank", "aws")), (None, None));
        let check = |text: &str, expected: &str| {
            assert_eq!(Calibrations::from_text(text).unwrap_err().to_string(), expected, "{text}");
        };
        for damaged in ["", "[]", "{}", "null", &text[..text.len() / 2], &text.replace("250.0", "\"x\"")] {
            check(damaged, "it holds no calibrations");
        }
        check(
            &text.replace("\"version\": 1", "\"version\": 9"),
            "it is of form 9, and this command knows form 1",
        );
        check(&text.replace("250.0", "-1.0"), "what it says of plan `shop` cannot be");
    }

    #[test]
    fn the_oldest_calibration_goes_when_there_are_too_many() {
        let (mut all, one) = (Calibrations::default(), of(&measured()).unwrap());
        all.insert("old", "aws", Calibration { at: "2020-01-01T00:00:00Z".to_owned(), ..one.clone() });
        (0..MOST_PLANS).for_each(|number| all.insert(&format!("p{number}"), "aws", one.clone()));
        assert_eq!((all.plans.len(), all.get("old", "aws")), (MOST_PLANS, None));
        assert!(all.get("p0", "aws").is_some());
    }
}
