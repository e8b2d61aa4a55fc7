//! What the target received.

use std::collections::BTreeMap;

use serde::Serialize;

/// What the target received, counted when the head of a request had been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All requests.
    pub total: u64,
    /// By name, as the guide names them.
    pub routes: BTreeMap<String, u64>,
    /// By second since 1970.
    pub seconds: BTreeMap<u64, u64>,
    /// When the first request of each connection came, in microseconds since 1970; of the first
    /// [`Self::CONNECTIONS`] connections.
    pub first_requests_us: Vec<u64>,
    /// When the last request came, in microseconds since 1970.
    pub last_request_us: u64,
}

impl Counts {
    /// Connections whose first requests are kept.
    pub const CONNECTIONS: usize = 100_000;

    pub(crate) fn add(&mut self, route: &str, at_us: u64, is_first: bool) {
        self.total += 1;
        self.last_request_us = at_us;
        if is_first && self.first_requests_us.len() < Self::CONNECTIONS {
            self.first_requests_us.push(at_us);
        }
        match self.routes.get_mut(route) {
            Some(count) => *count += 1,
            None => {
                self.routes.insert(route.to_owned(), 1);
            }
        }
        *self.seconds.entry(at_us / 1_000_000).or_default() += 1;
    }
}
