//! Whether an answer is what the plan expects, and what it gives to later steps.

use http::{HeaderMap, StatusCode};
use squall_metrics::{Outcome, Sample};
use squall_plan::expression::from_json;
use squall_plan::{Capture, Expect, Request};

use crate::decode::decode;
use crate::flight::Ended;
use crate::user::User;

/// What came back, as far as the plan wants to know it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Only where something is captured or the answer leads elsewhere.
    pub(crate) headers: Option<Box<HeaderMap>>,
    /// Empty unless something is captured.
    pub(crate) body: Vec<u8>,
}

impl User {
    /// Whether the answer is what the plan expects, and what it gives to later steps.
    pub(crate) fn judge(&self, request: &Request, answer: Answer, sample: &mut Sample) -> Ended {
        let code = answer.status.as_u16();
        let status = Outcome::Status(code);
        let as_expected = is_expected(&request.expect, code);
        if !request.expect.status.is_empty() {
            sample.checks_passed += u32::from(as_expected);
            sample.checks_failed += u32::from(!as_expected);
        }
        if !as_expected {
            return Ended::failed(if code >= 400 { status } else { Outcome::Expectation });
        }
        if request.captures.is_empty() {
            return Ended { outcome: status, failed: false };
        }
        match decode(answer.headers.as_deref(), answer.body) {
            Ok(body) if self.capture(&request.captures, &body) => Ended { outcome: status, failed: false },
            Ok(_) => Ended::failed(Outcome::Expectation),
            Err(outcome) => Ended::failed(outcome),
        }
    }

    /// Keeps what is captured; false if something is missing, which keeps every old value.
    fn capture(&self, captures: &[Capture], body: &[u8]) -> bool {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
        let found: Option<Vec<_>> = captures
            .iter()
            .map(|capture| {
                capture.path.query(&json).first().map(|value| (&capture.variable, from_json(value)))
            })
            .collect();
        let complete = found.is_some();
        for (variable, value) in found.into_iter().flatten() {
            self.scope.set(variable, value);
        }
        complete
    }
}

fn is_expected(expect: &Expect, status: u16) -> bool {
    if expect.status.is_empty() { status < 400 } else { expect.status.contains(&status) }
}
