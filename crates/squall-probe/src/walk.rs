//! The way of a probe, written as if each round were answered at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::{Done, Step};
use crate::round::Round;

/// A history that is walked through: rounds that were sent are answered from it, the first one that was not ends the way.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    history: &'a [Done],
    at: usize,
    most: usize,
    spent: Spent,
}

/// What was sent in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Rounds.
    pub rounds: u32,
    /// Requests.
    pub requests: u64,
    /// Seconds, pauses included.
    pub seconds: f64,
}

impl<'a> Walk<'a> {
    /// A way of so many rounds at most.
    fn new(history: &'a [Done], most: usize) -> Self {
        Self { history, at: 0, most, spent: Spent::default() }
    }

    /// A way of so many rounds at most, as far as a history leads: what was found on it, what comes next, what was sent.
    pub(crate) fn along<Found: Default>(
        history: &'a [Done],
        most: usize,
        way: impl FnOnce(&mut Self, &mut Found) -> Result<(), Step>,
    ) -> (Found, Step, Spent) {
        let (mut walk, mut found) = (Self::new(history, most), Found::default());
        let step = way(&mut walk, &mut found).err().unwrap_or(Step::Enough);
        (found, step, walk.spent)
    }

    /// What became of a round; what to do instead if it was not sent yet.
    pub(crate) fn send(&mut self, round: Round) -> Result<&'a Done, Step> {
        let Some(done) = self.history.get(self.at) else {
            return Err(if self.at < self.most { Step::Send(round) } else { Step::Enough });
        };
        self.at += 1;
        self.spent.rounds += 1;
        self.spent.requests = self.spent.requests.saturating_add(done.sent());
        self.spent.seconds += done.observed.rested_s() + done.observed.seconds.len() as f64;
        Ok(done)
    }

    /// How many rounds may still be sent.
    pub(crate) fn left(&self) -> usize {
        self.most.saturating_sub(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_ends_at_the_first_round_that_was_not_sent_and_after_the_last_that_may_be() {
        let round = Round::burst(3).to("to look");
        let done = Done { round: round.clone(), observed: crate::Observed::default() };
        let history = [done.clone(), done.clone()];
        let mut walk = Walk::new(&history[..1], 2);
        assert_eq!(walk.send(round.clone()), Ok(&done));
        assert_eq!(walk.send(round.clone()), Err(Step::Send(round.clone())));
        let mut walk = Walk::new(&history, 2);
        assert!(walk.send(round.clone()).is_ok() && walk.send(round.clone()).is_ok());
        assert_eq!((walk.send(round), walk.spent.rounds), (Err(Step::Enough), 2));
    }
}
