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
}

impl Counts {
    pub(crate) fn add(&mut self, route: &str, second: u64) {
        self.total += 1;
        match self.routes.get_mut(route) {
            Some(count) => *count += 1,
            None => {
                self.routes.insert(route.to_owned(), 1);
            }
        }
        *self.seconds.entry(second).or_default() += 1;
    }
}
