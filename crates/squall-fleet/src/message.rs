//! What orchestrator and generators tell each other, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use squall_plan::Share;
use thiserror::Error;

/// The protocol's version. Messages of another one are refused.
pub const VERSION: u32 = 2;

/// An instant: microseconds since 1970 by the clock of whoever says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The instant so much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant so much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// From `earlier` to this instant; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// An invitation to take a seat. It carries no plan and no target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// [`VERSION`] of whoever sent it.
    pub version: u32,
    /// The run.
    pub run: String,
    /// Which seat.
    pub seat: u32,
    /// Not to be answered from then on.
    pub expires_at: Time,
}

/// What a run is. Written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// The run.
    pub run: String,
    /// The plan's name.
    pub name: String,
    /// Under which hash the plan's bundle is kept.
    pub bundle: String,
    /// What all randomness is derived from.
    pub seed: u64,
    /// How many generators are wanted.
    pub seats: u32,
    /// How few of them will do.
    pub least: u32,
    /// How many more are kept ready.
    pub spares: u32,
    /// How often generators write snapshots, in seconds.
    pub interval_s: u32,
    /// How often generators look for `control`, in milliseconds.
    pub poll_ms: u64,
    /// How long seats may take to be ready, in milliseconds.
    pub gather_ms: u64,
    /// How long a slice is run by one generator at most, in milliseconds.
    pub window_ms: u64,
    /// Over how many keys an assignment is spread.
    pub shards: u32,
    /// When the run began, by the clock of whoever began it.
    pub began_at: Time,
    /// All regions in which load is made, in the order of their slices; none where there is only one.
    #[serde(default)]
    pub regions: Vec<RegionSeats>,
    /// Whether the failure of one of them ends the load in all.
    #[serde(default)]
    pub all_regions: bool,
}

/// A region of several, and how many generators are wanted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSeats {
    /// Its name.
    pub region: String,
    /// How many.
    pub seats: u32,
}

/// Where a run stands. States follow each other in this order and never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Seats are being taken.
    Waiting,
    /// Load begins at the epoch, or has begun.
    Running,
    /// Load ends now.
    Aborting,
    /// It is over.
    Done,
}

/// The orchestrator's word. Written by compare-and-set only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// Which orchestrator: one that takes over has a higher term.
    pub term: u64,
    /// Where the run stands.
    pub state: State,
    /// Whether its load was ended before it was over.
    pub cut_short: bool,
    /// Which assignment is in force; 0 for none.
    pub generation: u32,
    /// When the load begins.
    pub epoch: Option<Time>,
    /// When this was said, by the fleet's clock.
    pub said_at: Time,
    /// Without a newer word, load stops then.
    pub lease_until: Time,
}

/// A generator has taken a seat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// Who.
    pub nonce: String,
    /// Which seat.
    pub seat: u32,
    /// Where it runs.
    pub region: String,
    /// The execution environment it runs in.
    pub environment: String,
    /// How long its invitation had waited when it took it, in milliseconds, if that is known.
    #[serde(default)]
    pub queued_ms: Option<f64>,
    /// How often its invitation was handed out until it took it, if that is known: once, unless an invocation was
    /// throttled or broke before.
    #[serde(default)]
    pub deliveries: Option<u32>,
    /// How long it took to start, in milliseconds.
    pub init_ms: f64,
    /// What its clock said when it wrote this.
    pub clock: Time,
    /// When its environment ends it, if it does.
    pub deadline: Option<Time>,
    /// The address that its requests come from, if it was told.
    #[serde(default)]
    pub source_ip: Option<String>,
    /// What whoever reads the result should know of it.
    #[serde(default)]
    pub remark: Option<String>,
    /// Why it cannot run the plan, if it cannot.
    pub problem: Option<String>,
}

/// What changes with a generation: who begins, and who ends. What earlier ones said stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// Its number, from 1.
    pub generation: u32,
    /// Who begins to run a slice.
    pub posts: BTreeMap<String, Post>,
    /// Who ends, or leaves without having begun.
    pub reliefs: BTreeMap<String, Relief>,
}

/// A slice in a window of time. It has no end of its own: whoever runs it goes on until relieved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Which slice.
    pub share: Share,
    /// Which window of it, from 0.
    pub window: u32,
    /// From the epoch to its begin, in microseconds.
    pub from_us: u64,
    /// Who ran the slice before. Nothing begins until they have certainly ended.
    pub after: Option<String>,
    /// The most iterations that users of the slice may have begun, and rows of data that they may have taken, until then.
    #[serde(default)]
    pub rounds: u64,
}

/// How a generator ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relief {
    /// At once: somebody else goes on, or it is not needed.
    Leave,
    /// Somebody else goes on so many microseconds after the epoch.
    HandOver {
        /// When.
        at_us: u64,
    },
}

/// How a generator ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its slice was over.
    Finished,
    /// It was told to stop.
    Stopped,
    /// Nobody renewed the lease.
    LeaseExpired,
    /// Its environment gives it no more time.
    OutOfTime,
    /// The plan wants the whole run to end, and why.
    AbortRequested(String),
    /// It broke, and why.
    Failed(String),
}

/// A generator's last word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Final {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// Who.
    pub nonce: String,
    /// How many snapshots it wrote: sequences 0 to this, without it.
    pub snapshots: u32,
    /// How many requests are in them.
    pub requests: u64,
    /// How it ended.
    pub ended: Ended,
    /// How much later than the epoch its load began, in milliseconds.
    pub start_skew_ms: f64,
    /// What its clock said when it wrote this.
    #[serde(default)]
    pub clock: Option<Time>,
}

/// Why bytes are no message.
#[derive(Debug, Error)]
pub enum MessageError {
    /// They are no JSON of the expected form.
    #[error("not a message of this kind")]
    Malformed(#[from] serde_json::Error),
    /// They are of another version.
    #[error("message of version {0}, not {VERSION}")]
    Version(u64),
}

/// A message with a version.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// The bytes that travel.
    fn to_bytes(&self) -> Vec<u8> {
        // Texts, numbers and maps with text keys always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Fields that are not known are passed over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        // Of another version nothing else need be as it is here. The rest is passed over, for there may be much of it.
        let Versioned { version } = serde_json::from_slice(bytes)?;
        match version.as_u64() {
            Some(version) if version != u64::from(VERSION) => Err(MessageError::Version(version)),
            _ => Ok(serde_json::from_slice(bytes)?),
        }
    }
}

/// What messages of all versions have.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: serde_json::Value,
}

impl Message for Invitation {}
impl Message for Manifest {}
impl Message for Control {}
impl Message for Ready {}
impl Message for Assignment {}
impl Message for Final {}

impl Invitation {
    /// The text that travels.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str) -> Result<Self, MessageError> {
        Self::from_bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> Control {
        Control {
            version: VERSION,
            term: 1,
            state: State::Running,
            cut_short: false,
            generation: 1,
            epoch: Some(Time(5)),
            said_at: Time(6),
            lease_until: Time(9),
        }
    }

    #[test]
    fn a_message_survives_its_bytes() {
        assert_eq!(Control::from_bytes(&control().to_bytes()).unwrap(), control());
    }

    #[test]
    fn a_message_of_another_version_or_kind_is_refused() {
        let newer = Control { version: 3, ..control() };
        assert!(matches!(Control::from_bytes(&newer.to_bytes()), Err(MessageError::Version(3))));
        let other = Control::from_bytes(b"{\"term\":\"x\",\"version\":3}");
        assert!(matches!(other, Err(MessageError::Version(3))), "whatever else is in it");
        for text in ["", "{}", "[]", "{\"version\":2}", "\u{1F329}", "{\"version\":\"x\"}"] {
            assert!(
                matches!(Control::from_bytes(text.as_bytes()), Err(MessageError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_field_that_a_later_version_adds_is_passed_over() {
        let mut value = serde_json::to_value(control()).unwrap();
        value["new"] = serde_json::json!([1, 2]);
        assert_eq!(Control::from_bytes(value.to_string().as_bytes()).unwrap(), control());
    }
}
