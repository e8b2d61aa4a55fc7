//! The way of a probe, written as if each round were answered at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::{Done, Step};
use crate::round::{Connections, Load, Round};

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
    pub(crate) fn new(history: &'a [Done], most: usize) -> Self {
        Self { history, at: 0, most, spent: Spent::default() }
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

    pub(crate) fn spent(&self) -> Spent {
        self.spent
    }
}

impl Round {
    /// Requests all at once, by one sender with one key.
    pub(crate) fn burst(requests: u32) -> Self {
        let purpose = if requests == 1 { "one request".to_owned() } else { format!("burst of {requests}") };
        Self::of(purpose, Load::Burst { requests })
    }

    /// A constant rate.
    pub(crate) fn rate(per_s: f64, seconds: f64) -> Self {
        let purpose = format!("{} requests a second", crate::estimate::digits(per_s));
        Self::of(purpose, Load::Rate { per_s, seconds })
    }

    /// Users without pauses.
    pub(crate) fn users(users: u32, seconds: f64) -> Self {
        let purpose = if users == 1 { "one after the other".to_owned() } else { format!("{users} users") };
        Self::of(purpose, Load::Users { users, seconds })
    }

    fn of(purpose: String, load: Load) -> Self {
        let connections = Connections::Kept;
        Self { purpose, idle_s: 0.0, warm_s: 0.0, load, connections, senders: 1, keys: 1 }
    }

    /// After a pause.
    pub(crate) fn after(self, idle_s: f64) -> Self {
        Self { idle_s, ..self }
    }

    /// For this.
    pub(crate) fn to(self, purpose: &str) -> Self {
        Self { purpose: format!("{}, {purpose}", self.purpose), ..self }
    }

    /// For how long it sends what is not sent at once.
    pub(crate) fn lasts_s(&self) -> f64 {
        match self.load {
            Load::Burst { .. } => 0.0,
            Load::Rate { seconds, .. } | Load::Users { seconds, .. } => seconds,
        }
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
        assert_eq!((walk.send(round), walk.spent().rounds), (Err(Step::Enough), 2));
    }
}
