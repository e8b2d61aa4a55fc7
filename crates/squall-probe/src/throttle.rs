//! When does it turn requests away: the limit, what it is a limit of, and who shares it.
//!
//! Bursts grow until one is turned away in part; a rate that grows from there says whether so many *at a time* are let
//! through, or so many *a second*. At a rate `r` above the refill a token bucket lets `burst + refill · T` requests
//! through in `T` seconds after a pause in which it became full, and `refill · T` after one in which it was emptied: the
//! two are measured apart. Where no rate is steady, ever longer pauses say how many a window lets through, and a rate that
//! uses it up again and again how long it takes. No round stays above the limit for longer than its number needs.

mod answer;
mod limit;
mod scope;
mod window;

use serde::{Deserialize, Serialize};

use crate::estimate::bounded;
use crate::probe::{Done, Outlook, Probe, Step};
use crate::walk::{Spent, Walk};

pub use answer::{LimitKind, RetryAfter, Scope, ThrottleAnswer, ThrottlePoint};
use limit::Found;

/// So many rounds at most.
const ROUNDS: u32 = 60;

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// No rate is higher, in requests a second.
    pub most_per_s: f64,
    /// No burst is larger, and none is of more than may be sent in a second.
    pub most_burst: u32,
    /// No pause is longer.
    pub longest_idle_s: f64,
    /// No round takes longer.
    pub longest_round_s: f64,
    /// How many generators there are, each with an address of its own if the fleet has several.
    pub senders: u32,
    /// How many API keys there are.
    pub keys: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            most_per_s: 1_000.0,
            most_burst: 1_000,
            longest_idle_s: 120.0,
            longest_round_s: 60.0,
            senders: 1,
            keys: 1,
        }
    }
}

impl Probe for Throttle {
    type Answer = ThrottleAnswer;

    fn outlook(&self) -> Outlook {
        let settings = self.bounded();
        // Bursts grow by three, rates by two; then each number takes a few rounds.
        let bursts = settings.most_burst.ilog(3) + 3;
        let rates = settings.most_per_s.log2().max(0.0) + 3.0;
        let sustained = 6.0 * settings.most_per_s * 10.0 + settings.most_per_s * settings.longest_round_s;
        let one_by_one = 30.0;
        let requests =
            one_by_one + 16.0 * f64::from(settings.most_burst) + 6.0 * settings.most_per_s + sustained;
        let takes_s = f64::from(bursts) * 2.0
            + rates * 4.0
            + 7.0 * settings.longest_idle_s
            + 7.0 * settings.longest_round_s;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let requests = requests.min(1e18) as u64;
        let peak_per_s = settings.most_per_s.max(f64::from(settings.most_burst));
        Outlook { rounds: ROUNDS, requests, peak_per_s, takes_s }
    }

    fn next(&self, history: &[Done]) -> Step {
        self.bounded().went(history).1
    }

    fn answer(&self, history: &[Done]) -> ThrottleAnswer {
        let (found, step, spent) = self.bounded().went(history);
        Self::told(&found, &step, spent)
    }
}

impl Throttle {
    /// Within what makes sense.
    fn bounded(&self) -> Self {
        let most_per_s = bounded(self.most_per_s, 0.01, 1e6, 1_000.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let in_a_second = (most_per_s as u32).max(1);
        Self {
            most_per_s,
            most_burst: self.most_burst.clamp(1, in_a_second),
            longest_idle_s: bounded(self.longest_idle_s, 2.0, 86_400.0, 120.0),
            longest_round_s: bounded(self.longest_round_s, 5.0, 3_600.0, 60.0),
            senders: self.senders.clamp(1, 100_000),
            keys: self.keys.clamp(1, 100_000),
        }
    }

    fn went<'a>(&self, history: &'a [Done]) -> (Found<'a>, Step, Spent) {
        Walk::along(history, self.outlook(), |walk, found| self.walk(walk, found))
    }

    /// The way: what is turned away, what the limit is, how it recovers, and who shares it.
    fn walk<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        self.look(walk, found)?;
        self.bursts(walk, found)?;
        self.rates(walk, found)?;
        self.refill(walk, found)?;
        self.window(walk, found)?;
        self.recovery(walk, found)?;
        self.burst(walk, found)?;
        self.scope(walk, found)
    }
}
