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
    /// Requests that a correct client would never have sent, by name: refused for anything but a conflict.
    pub invalid: BTreeMap<String, u64>,
    /// Why they were; of the first [`Self::REASONS`].
    pub reasons: Vec<Invalid>,
    /// Requests that were to be recorded and could not be.
    pub unrecorded: u64,
}

/// A request that a correct client would never have sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// Under which name it was counted.
    pub route: String,
    /// With which status it was refused.
    pub status: u16,
    /// What was wrong with it.
    pub reason: String,
}

impl Counts {
    /// Connections whose first requests are kept.
    pub const CONNECTIONS: usize = 100_000;
    /// Invalid requests whose reasons are kept.
    pub const REASONS: usize = 20;

    pub(crate) fn add(&mut self, route: &str, at_us: u64, is_first: bool) {
        self.total += 1;
        self.last_request_us = at_us;
        if is_first && self.first_requests_us.len() < Self::CONNECTIONS {
            self.first_requests_us.push(at_us);
        }
        count(&mut self.routes, route);
        *self.seconds.entry(at_us / 1_000_000).or_default() += 1;
    }

    pub(crate) fn add_invalid(&mut self, route: &str, status: u16, reason: &str) {
        count(&mut self.invalid, route);
        if self.reasons.len() < Self::REASONS {
            self.reasons.push(Invalid { route: route.to_owned(), status, reason: reason.to_owned() });
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, route: &str) {
    match counts.get_mut(route) {
        Some(count) => *count += 1,
        None => {
            counts.insert(route.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_invalid_requests_are_counted_and_the_first_are_explained() {
        let mut counts = Counts::default();
        for n in 0..30 {
            counts.add_invalid("POST /cart", 400, &format!("reason {n}"));
        }
        assert_eq!(counts.invalid, BTreeMap::from([("POST /cart".to_owned(), 30)]));
        let last = Invalid { route: "POST /cart".to_owned(), status: 400, reason: "reason 19".to_owned() };
        assert_eq!((counts.reasons.len(), counts.reasons.last()), (Counts::REASONS, Some(&last)));
    }
}
