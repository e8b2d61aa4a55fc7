//! Misbehaviour on demand, for testing a load generator: `/_fault/…`.

use std::time::Duration;

/// What a request to `/_fault/…` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status.
    Status(u16),
    /// Answers after this time.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Closes the connection instead of an answer.
    Reset,
    /// Closes the connection in the middle of a body.
    ResetMidBody,
    /// Sets a cookie.
    Cookie,
    /// Fails unless the cookie came back.
    CookieCheck,
    /// Answers with what was sent.
    Echo,
}

impl Fault {
    /// The fault of a path, and the name under which it is counted.
    pub(crate) fn of(path: &str) -> Option<(Self, &'static str)> {
        let parts: Vec<&str> = path.strip_prefix("/_fault/")?.split('/').collect();
        Some(match parts.as_slice() {
            ["status", code] => (
                Self::Status(code.parse().ok().filter(|code| (200..600).contains(code))?),
                "/_fault/status/:code",
            ),
            ["delay", ms] => (Self::Delay(Duration::from_millis(ms.parse().ok()?)), "/_fault/delay/:ms"),
            ["hang"] => (Self::Hang, "/_fault/hang"),
            ["reset"] => (Self::Reset, "/_fault/reset"),
            ["reset-mid-body"] => (Self::ResetMidBody, "/_fault/reset-mid-body"),
            ["cookie"] => (Self::Cookie, "/_fault/cookie"),
            ["cookie", "check"] => (Self::CookieCheck, "/_fault/cookie/check"),
            ["echo"] => (Self::Echo, "/_fault/echo"),
            _ => return None,
        })
    }
}
