//! A question, and how a probe goes about it.

use serde::{Deserialize, Serialize};

use crate::round::{Observed, Round};

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
