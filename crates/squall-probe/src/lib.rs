//! Questions about a service, answered by sending it what tells most: how bad are its cold starts, when does it turn
//! requests away, how much can it take.
//!
//! A probe sends rounds, one after the other; what the next one is follows from what became of those before it. It is a
//! function of its settings and of that history alone, so a probe that was interrupted goes on by reading its history
//! again, and a simulated service in virtual time, one generator and a fleet are all the same to it.
//!
//! Each probe has a file of its own, written as the way it goes (`walk`); what it says is an answer of [`Estimate`]s, of
//! points to draw, of what could not be told, and of advice.
//!
//! **Invariants:** this crate is pure: it reads no clock, file or socket. However noisy or wrong what was observed is,
//! nothing panics, every probe ends after a bounded number of rounds, and nothing is said that was not seen.

mod capacity;
mod cold_start;
mod estimate;
mod own;
mod probe;
mod round;
mod search;
mod seen;
mod throttle;
mod walk;

pub use capacity::{Capacity, CapacityAnswer, CapacityPoint, Knee, LatencyLimit, Threshold};
pub use cold_start::{
    Beside, ColdPoint, ColdStart, ColdStartAnswer, ColdStartLog, GapPoint, Invocation, LoggedRound, Queueing,
    RoundTime, Spread, StartPoint, When,
};
pub use estimate::{Estimate, quantile};
pub use own::{Own, OwnAnswer, OwnPoint};
pub use probe::{Done, Outlook, Probe, Step};
pub use round::{Connections, Load, Observed, Round, Second};
pub use throttle::{LimitKind, RetryAfter, Scope, Throttle, ThrottleAnswer, ThrottlePoint};
pub use walk::Spent;
