//! All slices' measurements, added up.

use std::collections::{BTreeMap, HashSet};

use crate::distribution::Distribution;
use crate::interval::{Interval, Second, Series, add, add_problem};
use crate::{Outcome, SeriesId, Snapshot};

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// It was added.
    Merged,
    /// It had been added before.
    Duplicate,
}

/// The requests of one name, over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// Counts. Its own distributions stay empty: those below are the run's.
    pub counts: Series,
    /// Response times of successes and timeouts.
    pub response: Distribution,
    /// Response times of all other failures.
    pub failed: Distribution,
    /// Service times of the requests in `response`.
    pub service: Distribution,
}

/// What a run has measured so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merged {
    series: BTreeMap<SeriesId, Totals>,
    seconds: BTreeMap<i32, Second>,
    send_lag: BTreeMap<String, Distribution>,
    problems: BTreeMap<String, u64>,
    ledger: HashSet<(String, u32)>,
    duplicates: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            counts: Series::default(),
            response: Distribution::fine(),
            failed: Distribution::fine(),
            service: Distribution::fine(),
        }
    }
}

impl Merged {
    /// Adds a snapshot, unless it has been added before: whatever is delivered twice counts once.
    pub fn merge(&mut self, snapshot: Snapshot) -> Merge {
        let Snapshot { nonce, sequence, interval, .. } = snapshot;
        if !self.ledger.insert((nonce.clone(), sequence)) {
            self.duplicates += 1;
            return Merge::Duplicate;
        }
        self.send_lag.entry(nonce).or_insert_with(Distribution::coarse).merge(&interval.send_lag);
        self.add(interval);
        Merge::Merged
    }

    fn add(&mut self, interval: Interval) {
        for (id, series) in &interval.series {
            let totals = self.series.entry(*id).or_default();
            totals.counts.add_counts(series);
            totals.response.merge(&series.response);
            totals.failed.merge(&series.failed);
            totals.service.merge(&series.service);
        }
        for (second, content) in interval.seconds {
            self.seconds.entry(second).or_default().merge(&content);
        }
        for (problem, count) in interval.problems {
            add_problem(&mut self.problems, problem, count);
        }
    }

    /// Whether this snapshot has been added.
    #[must_use]
    pub fn contains(&self, nonce: &str, sequence: u32) -> bool {
        self.ledger.contains(&(nonce.to_owned(), sequence))
    }

    /// By request name.
    #[must_use]
    pub fn series(&self) -> &BTreeMap<SeriesId, Totals> {
        &self.series
    }

    /// By second since the epoch.
    #[must_use]
    pub fn seconds(&self) -> &BTreeMap<i32, Second> {
        &self.seconds
    }

    /// How late each generator began its requests.
    #[must_use]
    pub fn send_lag(&self) -> &BTreeMap<String, Distribution> {
        &self.send_lag
    }

    /// What went wrong, in words, and how often.
    #[must_use]
    pub fn problems(&self) -> &BTreeMap<String, u64> {
        &self.problems
    }

    /// Snapshots that came again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// All requests that ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.series.values().map(|totals| totals.counts.requests).fold(0, u64::saturating_add)
    }

    /// All requests, by how they ended.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let mut sum = BTreeMap::new();
        for (outcome, count) in self.series.values().flat_map(|totals| &totals.counts.outcomes) {
            add(sum.entry(*outcome).or_default(), *count);
        }
        sum
    }
}
