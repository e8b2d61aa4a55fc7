//! Questions about a service, answered by sending it what tells most: how bad are its cold starts, when does it turn
//! requests away, how much can it take.
//!
//! A probe sends rounds, one after the other; what the next one is follows from what became of those before it. It is a
//! function of its settings and of that history alone, so a probe that was interrupted goes on by reading its history
//! again, and a simulated service in virtual time, one generator and a fleet are all the same to it.
//!
//! **Invariants:** this crate is pure: it reads no clock, file or socket. However noisy or wrong what was observed is,
//! nothing panics, and every probe ends after a bounded number of rounds.

mod round;

use serde::{Deserialize, Serialize};

pub use round::{Connections, Load, Observed, Round, Second};

/// A question and how it is answered.
pub trait Probe {
    /// What a probe of this kind finds out.
    type Answer: Serialize;

    /// What it sends at most, as far as its settings tell before anything is sent.
    fn outlook(&self) -> Outlook;

    /// What comes next.
    fn next(&self, history: &[Done]) -> Step;

    /// What is known so far: in the end, or when it was interrupted.
    fn answer(&self, history: &[Done]) -> Self::Answer;
}

/// What a probe does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Sends one more round.
    Send(Round),
    /// Nothing: what was asked is known as well as it can be.
    Enough,
    /// Nothing: it cannot go on, and this is why.
    Stop(String),
}

/// A round, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was to be sent.
    pub round: Round,
    /// What became of it.
    pub observed: Observed,
}

/// What a probe will do at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Rounds.
    pub rounds: u32,
    /// Requests in all.
    pub requests: u64,
    /// The highest rate of requests a second.
    pub peak_per_s: f64,
    /// How long all of it takes, in seconds, without what the generators need to be ready.
    pub takes_s: f64,
}
