//! How a request ended.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a request ended. Whether that is a failure is the plan's to say: `expect: {status: [200, 429]}`
/// makes a 429 a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// A response came, with this status.
    Status(u16),
    /// No complete response came in time.
    Timeout,
    /// The connection was not accepted.
    Refused,
    /// The connection broke.
    Reset,
    /// The host's name has no address.
    Dns,
    /// TLS failed.
    Tls,
    /// What came was not HTTP.
    Protocol,
    /// A response came, but it was not what the plan expects or captures from.
    Expectation,
    /// An expression of the request has no value.
    Expression,
    /// The response was larger than what is captured from.
    TooLarge,
    /// The run ended first.
    Unfinished,
    /// The generator reached a limit of its own, such as its number of open files.
    Generator,
    /// Redirects came to no end.
    Redirect,
    /// The plan does not allow requests to that host.
    Forbidden,
}

/// Every outcome but the statuses, with its code on the wire and its name.
const NAMED: [(Outcome, u16, &str); 13] = [
    (Outcome::Timeout, 1, "timeout"),
    (Outcome::Refused, 2, "refused"),
    (Outcome::Reset, 3, "reset"),
    (Outcome::Dns, 4, "dns"),
    (Outcome::Tls, 5, "tls"),
    (Outcome::Protocol, 6, "protocol"),
    (Outcome::Expectation, 7, "expectation"),
    (Outcome::Expression, 8, "expression"),
    (Outcome::TooLarge, 9, "too_large"),
    (Outcome::Unfinished, 10, "unfinished"),
    (Outcome::Generator, 11, "generator"),
    (Outcome::Redirect, 12, "redirect"),
    (Outcome::Forbidden, 13, "forbidden"),
];

/// Codes from here on are statuses.
const FIRST_STATUS: u16 = 100;

impl Outcome {
    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Status(status) => status,
            named => NAMED.iter().find(|(outcome, ..)| *outcome == named).map_or(0, |(_, code, _)| *code),
        }
    }

    /// The outcome of a code on the wire.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        if (FIRST_STATUS..1_000).contains(&code) {
            return Some(Self::Status(code));
        }
        NAMED.iter().find(|(_, known, _)| *known == code).map(|(outcome, ..)| *outcome)
    }

    /// The status, if a response came and was judged by it.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            named => {
                f.write_str(NAMED.iter().find(|(outcome, ..)| outcome == named).map_or("", |(.., name)| name))
            }
        }
    }
}

/// A text is not the name of an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no outcome")]
pub struct UnknownOutcome(pub String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let status = text.parse().ok().filter(|code| *code >= FIRST_STATUS).and_then(Self::from_code);
        let named = || NAMED.iter().find(|(.., name)| *name == text).map(|(outcome, ..)| *outcome);
        status.or_else(named).ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_its_code_and_its_name() {
        let named = NAMED.iter().map(|(outcome, ..)| *outcome);
        for outcome in named.chain([100, 200, 429, 599, 999].map(Outcome::Status)) {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
        }
    }

    #[test]
    fn what_is_no_outcome_is_refused() {
        for code in [0, 14, 99, 1_000, u16::MAX] {
            assert_eq!(Outcome::from_code(code), None);
        }
        for text in ["", "5", "1000", "Timeout", "-200"] {
            assert_eq!(text.parse::<Outcome>(), Err(UnknownOutcome(text.to_owned())));
        }
    }
}
