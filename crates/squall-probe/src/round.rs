//! What is sent in one go, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is sent in one go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// What it is for, in a few words: "burst of 100", "40 requests a second".
    pub purpose: String,
    /// Nothing is sent for so long before it, counted from when the last request of the round before had ended.
    pub idle_s: f64,
    /// So many seconds at its beginning are there to warm up: their answers are not among `good_us` and `limited_us`.
    #[serde(default)]
    pub warm_s: f64,
    /// What is sent.
    pub load: Load,
    /// Over which connections.
    pub connections: Connections,
    /// How many generators send it, each an equal share, each from an address of its own where the fleet has several.
    pub senders: u32,
    /// How many API keys it is spread over.
    pub keys: u32,
}

impl Round {
    /// Requests all at once, by one sender with one key.
    #[must_use]
    pub fn burst(requests: u32) -> Self {
        let purpose = if requests == 1 { "one request".to_owned() } else { format!("burst of {requests}") };
        Self::of(purpose, Load::Burst { requests })
    }

    /// A constant rate.
    #[must_use]
    pub fn rate(per_s: f64, seconds: f64) -> Self {
        let purpose = format!("{} requests a second", crate::estimate::digits(per_s));
        Self::of(purpose, Load::Rate { per_s, seconds })
    }

    /// Users without pauses.
    #[must_use]
    pub fn users(users: u32, seconds: f64) -> Self {
        let purpose = if users == 1 { "one after the other".to_owned() } else { format!("{users} users") };
        Self::of(purpose, Load::Users { users, seconds, each: None, every_s: 0.0 })
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
    #[must_use]
    pub fn to(self, purpose: &str) -> Self {
        Self { purpose: format!("{}, {purpose}", self.purpose), ..self }
    }

    /// For how long it sends what is not sent at once.
    #[must_use]
    pub fn lasts_s(&self) -> f64 {
        match self.load {
            Load::Burst { .. } => 0.0,
            Load::Rate { seconds, .. } | Load::Users { seconds, .. } => seconds,
        }
    }

    /// How many requests it sends at most; `None` where nobody knows before.
    #[must_use]
    pub fn most_requests(&self) -> Option<u64> {
        match self.load {
            Load::Burst { requests } => Some(u64::from(requests)),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "what is too large is cut"
            )]
            Load::Rate { per_s, seconds } => Some((per_s * seconds).ceil() as u64),
            Load::Users { users, each, .. } => Some(u64::from(users) * u64::from(each?)),
        }
    }

    /// Whether it is the same as another one that was asked for earlier, perhaps by another machine: but for the last
    /// digits.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-6 * one.abs().max(1.0);
        let load = match (self.load, other.load) {
            (Load::Rate { per_s, seconds }, Load::Rate { per_s: other_s, seconds: others }) => {
                near(per_s, other_s) && near(seconds, others)
            }
            (one, other) => one == other,
        };
        load && near(self.idle_s, other.idle_s)
            && near(self.warm_s, other.warm_s)
            && (self.connections, self.senders, self.keys) == (other.connections, other.senders, other.keys)
    }
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// All at once.
    Burst {
        /// So many.
        requests: u32,
    },
    /// At a constant rate, whatever becomes of them.
    Rate {
        /// Requests a second, of all senders together.
        per_s: f64,
        /// For how long.
        seconds: f64,
    },
    /// Each as soon as the one before it was answered.
    Users {
        /// So many at a time, of all senders together.
        users: u32,
        /// For how long.
        seconds: f64,
        /// Each sends so many at most.
        each: Option<u32>,
        /// And one in so many seconds at most.
        every_s: f64,
    },
}

/// Over which connections requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// Each over a new one.
    New,
    /// Over those that are open.
    Kept,
}

/// What became of a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// How long nothing had really been sent before it.
    pub idle_s: f64,
    /// Each second from its beginning on.
    pub seconds: Vec<Second>,
    /// Microseconds from the start of each request that succeeded until its answer, connecting left out.
    /// Pairs of how long and how often, ascending.
    pub good_us: Vec<(u64, u64)>,
    /// The same of those that were turned away.
    pub limited_us: Vec<(u64, u64)>,
    /// Seconds that `Retry-After` named, and how often each was named.
    pub retry_after_s: Vec<(f64, u64)>,
    /// How many refusals named a time of day in it instead.
    pub retry_after_dates: u64,
    /// Microseconds by which requests were begun later than they were due, as pairs like the others; empty if unknown.
    pub lag_us: Vec<(u64, u64)>,
    /// How requests ended that were neither good nor turned away, by name ("503", "refused"), and how often.
    pub failures: Vec<(String, u64)>,
    /// From how many addresses the service saw them come; 0 if unknown.
    pub addresses: u32,
    /// Seconds of processor that the generators used; 0 if unknown.
    pub cpu_s: f64,
    /// Whether the generators, not the service, set the pace in it.
    pub tainted: bool,
}

/// One second of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Requests that were due.
    pub scheduled: u64,
    /// Those that were not sent because nobody was free to send them.
    pub dropped: u64,
    /// Answers as they should be, by when they ended, as all below.
    pub good: u64,
    /// 429, or what else says "too many".
    pub limited: u64,
    /// 502, 503 and 504.
    pub unavailable: u64,
    /// Whatever else went wrong.
    pub failed: u64,
}
