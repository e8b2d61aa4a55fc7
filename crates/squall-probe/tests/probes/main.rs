//! Probes in virtual time, against services whose parameters they do not know.

mod capacity;
#[expect(clippy::unwrap_used, reason = "a case that cannot be made is a mistake in it")]
mod cases;
mod cold_start;
mod nonsense;
mod odd;
mod outlook;
mod own;
#[expect(clippy::unwrap_used, reason = "a case that cannot be made is a mistake in it")]
mod simulated;
#[expect(clippy::unwrap_used, reason = "a row that cannot be measured is a mistake in it")]
mod stellar;
mod throttle;
