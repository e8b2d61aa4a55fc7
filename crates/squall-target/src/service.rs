//! Models of cloud services with one known trouble each, so that whoever names the trouble can be checked.
//!
//! A [`Service`] is pure: it is told the instant of each request and says at once when and how that request ends, the
//! same for the same seed. Microseconds count from the first request. [`Profile`] lists what there is; what a profile
//! did to its clients is told by [`Truth`], what its operators would have seen by [`Metric`].

mod cache;
mod connections;
mod database;
mod dependency;
mod deployment;
mod dice;
mod fixed;
mod function;
mod gateway;
mod healthy;
mod leak;
mod neighbour;
mod network;
mod pods;
mod pool;
mod profile;
mod retries;
mod tally;
#[cfg(test)]
mod tests;
mod times;
mod truth;

use std::fmt::Debug;

use serde::Serialize;

pub use profile::{Profile, SettingError};
pub use truth::{Kind, TrueFinding, Truth};

/// A service, in virtual time: instants never go back from one call to the next.
pub trait Service: Debug + Send {
    /// What becomes of a request that arrives at an instant.
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer;

    /// What was wrong with it so far, if anything, and the numbers behind it.
    fn truth(&self) -> Truth;

    /// What it says of itself at an instant.
    fn metrics(&mut self, at_us: u64) -> Vec<Metric>;

    /// What can be asked for.
    fn endpoints(&self) -> &'static [Endpoint] {
        &ENDPOINTS
    }

    /// Hears that a client has opened a connection, before the first request over it; whoever cannot tell need not.
    fn opened(&mut self, _at_us: u64, _connection: u64) {}

    /// Hears that a client has closed a connection.
    fn closed(&mut self, _at_us: u64, _connection: u64) {}

    /// Whether a new connection would be refused.
    fn is_full(&self, _at_us: u64) -> bool {
        false
    }
}

/// Something that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// As reports call it.
    pub name: &'static str,
    /// Whether it changes anything.
    pub is_write: bool,
}

/// What every service offers.
pub const ENDPOINTS: [Endpoint; 3] = [
    Endpoint { name: "GET /products", is_write: false },
    Endpoint { name: "GET /products/:id", is_write: false },
    Endpoint { name: "POST /orders", is_write: true },
];

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Its position in [`Service::endpoints`].
    pub endpoint: usize,
    /// Whether it changes anything.
    pub is_write: bool,
    /// Whose API key it carries.
    pub key: u32,
    /// From which address it comes.
    pub address: u32,
    /// Over which connection; a number that was not seen before is a new one.
    pub connection: u64,
}

impl Ask {
    /// A request to one of [`ENDPOINTS`] from the only client there is, over a connection.
    #[must_use]
    pub fn of(endpoint: usize, connection: u64) -> Self {
        let is_write = ENDPOINTS.get(endpoint).is_some_and(|endpoint| endpoint.is_write);
        Self { endpoint, is_write, key: 0, address: 0, connection }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// When its last byte arrives, or when the failure shows.
    pub done_at_us: u64,
    /// How it ends.
    pub outcome: Outcome,
    /// After how many seconds the client may come back, where the service says so.
    pub retry_after_s: Option<f64>,
    /// What its phases take that are not the server's work; all of it is within `done_at_us`.
    pub phases: Phases,
    /// What the service calls its refusal.
    pub error: Option<&'static str>,
}

impl Answer {
    pub(crate) fn ok(done_at_us: u64) -> Self {
        Self::of(done_at_us, Outcome::Status(200))
    }

    pub(crate) fn of(done_at_us: u64, outcome: Outcome) -> Self {
        Self { done_at_us, outcome, retry_after_s: None, phases: Phases::default(), error: None }
    }

    pub(crate) fn refusal(done_at_us: u64, status: u16, error: &'static str) -> Self {
        Self { error: Some(error), ..Self::of(done_at_us, Outcome::Status(status)) }
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Status(u16),
    /// Nobody took the connection.
    Refused,
    /// The connection was closed in the middle.
    Reset,
    /// The name was not found.
    Dns,
    /// The handshake failed.
    Tls,
}

/// What a request's phases take beside the server's work, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking up the name.
    pub dns_us: u64,
    /// Connecting.
    pub connect_us: u64,
    /// Shaking hands.
    pub tls_us: u64,
    /// From the first byte of the answer to the last.
    pub body_us: u64,
}

/// A number that the service's operators see.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// What it is said of.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

impl Metric {
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, is_counter: false, labels: Vec::new(), value }
    }

    pub(crate) fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { is_counter: true, ..Self::gauge(name, help, value) }
    }

    pub(crate) fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

/// Nothing takes longer: 115 days.
const LONGEST_US: u64 = 10_000_000_000_000;

/// Seconds as microseconds; nonsense is none.
pub(crate) fn micros(seconds: f64) -> u64 {
    let seconds = seconds.min(LONGEST_US as f64 / 1_000_000.0);
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    duration.as_micros().try_into().unwrap_or(LONGEST_US)
}

/// Microseconds as seconds.
pub(crate) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}
