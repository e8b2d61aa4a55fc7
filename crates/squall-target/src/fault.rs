//! Misbehaviour on demand, for testing a load generator: `/_fault/…`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::serving::Close;

/// What a request to `/_fault/…` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status from so long after 1970 on, before that with 200.
    StatusFrom(u16, Duration),
    /// Answers after this time.
    Delay(Duration),
    /// Answers at once, but nobody in the last part, so long, of every cycle of such a length: as a pause for
    /// collecting garbage does.
    Freeze(Duration, Duration),
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
            ["status", code, "from", ms] => (
                Self::StatusFrom(
                    code.parse().ok().filter(|code| (200..600).contains(code))?,
                    Duration::from_millis(ms.parse().ok()?),
                ),
                "/_fault/status/:code/from/:ms",
            ),
            ["delay", ms] => (Self::Delay(Duration::from_millis(ms.parse().ok()?)), "/_fault/delay/:ms"),
            ["freeze", ms, cycle_ms] => {
                let (freeze, cycle) = (ms.parse().ok()?, cycle_ms.parse().ok()?);
                (freeze <= cycle && cycle > 0).then_some(())?;
                let freeze = Self::Freeze(Duration::from_millis(freeze), Duration::from_millis(cycle));
                (freeze, "/_fault/freeze/:ms/:cycle_ms")
            }
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

/// How long somebody who comes at an instant is kept waiting by a freeze at the end of each cycle.
pub(crate) fn frozen_for(now: Duration, freeze: Duration, cycle: Duration) -> Duration {
    let into = Duration::from_nanos((now.as_nanos() % cycle.as_nanos().max(1)).try_into().unwrap_or(0));
    if into + freeze >= cycle { cycle.saturating_sub(into) } else { Duration::ZERO }
}

/// A body that promises more than it gives.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    sent: bool,
}

impl Body for Broken {
    type Data = Bytes;
    type Error = Close;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Close>>> {
        if self.sent {
            return Poll::Ready(Some(Err(Close)));
        }
        self.sent = true;
        context.waker().wake_by_ref();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 500])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_keeps_everybody_to_its_end() {
        let check = |now_ms, expected_ms| {
            let ms = Duration::from_millis;
            assert_eq!(frozen_for(ms(now_ms), ms(100), ms(1_000)), ms(expected_ms), "{now_ms}");
        };
        check(0, 0);
        check(899, 0);
        check(900, 100);
        check(7_999, 1);
        check(8_000, 0);
        assert!(Fault::of("/_fault/freeze/200/100").is_none() && Fault::of("/_fault/freeze/0/0").is_none());
    }
}
