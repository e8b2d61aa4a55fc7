//! The way of a probe, written as if each round were answered at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::{Done, Outlook, Step};
use crate::round::Round;

/// A history that is walked through: rounds that were sent are answered from it, the first one that was not ends the way.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    history: &'a [Done],
    at: usize,
    most: Outlook,
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
    /// A way of no more than was announced.
    fn new(history: &'a [Done], most: Outlook) -> Self {
        Self { history, at: 0, most, spent: Spent::default() }
    }

    /// A way of no more than was announced, as far as a history leads: what was found on it, what comes next, what was sent.
    pub(crate) fn along<Found: Default>(
        history: &'a [Done],
        most: Outlook,
        way: impl FnOnce(&mut Self, &mut Found) -> Result<(), Step>,
    ) -> (Found, Step, Spent) {
        let (mut walk, mut found) = (Self::new(history, most), Found::default());
        let step = way(&mut walk, &mut found).err().unwrap_or(Step::Enough);
        (found, step, walk.spent)
    }

    /// What became of a round; what to do instead if it was not sent yet.
    pub(crate) fn send(&mut self, round: Round) -> Result<&'a Done, Step> {
        let Some(done) = self.history.get(self.at) else { return Err(self.next(round)) };
        if !done.round.is_as(&round) {
            return Err(Step::Stop(format!(
                "round {} was another one when it was sent ({}) than it would be now ({}): what was sent says nothing; begin anew",
                self.at + 1,
                done.round.purpose,
                round.purpose
            )));
        }
        self.at += 1;
        self.spent.rounds += 1;
        self.spent.requests = self.spent.requests.saturating_add(done.sent());
        self.spent.seconds += done.observed.rested_s() + done.observed.seconds.len() as f64;
        Ok(done)
    }

    /// A round that was not sent yet, if it may be.
    fn next(&self, round: Round) -> Step {
        if self.left() == 0 {
            return Step::Enough;
        }
        let wanted = round.most_requests().unwrap_or(0);
        if self.spent.requests.saturating_add(wanted) > self.most.requests {
            return Step::Stop(format!(
                "{} requests were sent, {wanted} would be next, and no more than {} were announced",
                self.spent.requests, self.most.requests
            ));
        }
        Step::Send(round)
    }

    /// How many rounds may still be sent.
    pub(crate) fn left(&self) -> usize {
        (self.most.rounds as usize).saturating_sub(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_ends_at_the_first_round_that_was_not_sent_and_after_the_last_that_may_be() {
        let (round, done) = (round(), sent(3));
        let history = [done.clone(), done.clone()];
        let mut walk = Walk::new(&history[..1], most(2, 100));
        assert_eq!(walk.send(round.clone()), Ok(&done));
        assert_eq!(walk.send(round.clone()), Err(Step::Send(round.clone())));
        let mut walk = Walk::new(&history, most(2, 100));
        assert!(walk.send(round.clone()).is_ok() && walk.send(round.clone()).is_ok());
        assert_eq!((walk.send(round), walk.spent.rounds), (Err(Step::Enough), 2));
    }

    #[test]
    fn no_more_is_sent_than_was_announced() {
        let history = [sent(3), sent(30)];
        let next = |history, requests| Walk::new(history, most(9, requests)).send(round());
        assert_eq!(next(&[], 3), Err(Step::Send(round())));
        assert!(
            matches!(next(&[], 2), Err(Step::Stop(why)) if why.contains("no more than 2 were announced"))
        );
        // What was sent counts, not what was asked for.
        let mut walk = Walk::new(&history, most(9, 35));
        assert!(walk.send(round()).is_ok() && walk.send(round()).is_ok());
        assert!(
            matches!(walk.send(round()), Err(Step::Stop(why)) if why.starts_with("33 requests were sent"))
        );
    }

    #[test]
    fn a_history_of_other_rounds_says_nothing() {
        let rate = |per_s: f64| Round::rate(per_s, 4.0);
        let history = [Done { round: rate(10.0), ..sent(40) }];
        let send = |round| Walk::new(&history, most(9, 1_000)).send(round);
        assert!(send(rate(10.0 + 1e-9)).is_ok(), "another machine may calculate a little otherwise");
        for other in [rate(10.1), Round::burst(40), rate(10.0).after(1.0), Round { keys: 2, ..rate(10.0) }] {
            let step = send(other.clone());
            assert!(
                matches!(&step, Err(Step::Stop(why)) if why.contains("begin anew")),
                "{other:?} {step:?}"
            );
        }
    }

    fn most(rounds: u32, requests: u64) -> Outlook {
        Outlook { rounds, requests, peak_per_s: 1.0, takes_s: 1.0 }
    }

    fn round() -> Round {
        Round::burst(3).to("to look")
    }

    /// The round, in which so many were really sent.
    fn sent(good: u64) -> Done {
        let seconds = vec![crate::Second { good, ..Default::default() }];
        Done { round: round(), observed: crate::Observed { seconds, ..Default::default() } }
    }
}
