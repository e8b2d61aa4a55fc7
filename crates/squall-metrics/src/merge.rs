//! All slices' measurements, added up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::exemplar::{EVENTS_OF_RUN, Events, Exemplar, SLOWEST_OF_RUN, keep_slowest};
use crate::health::Health;
use crate::interval::{Cleanup, Interval, LoadCounts, Second, Series, add, add_problem, add_remotes};
use crate::phases::Phase;
use crate::sparse::Sparse;
use crate::stretches::Stretches;
use crate::{LoadId, MeasureId, Outcome, SeriesId, Snapshot};

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// It was added.
    Merged,
    /// It had been added before.
    Duplicate,
}

/// The requests of one name, over the whole run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Counts. Its own distributions stay empty: those below are the run's.
    pub counts: Series,
    /// Response times of successes and timeouts, to three digits.
    pub response: Sparse,
    /// Response times of all other failures, to three digits.
    pub failed: Sparse,
    /// Service times of the requests in `response`, to three digits.
    pub service: Sparse,
    /// What service times are made of, in the order of [`Phase::ALL`], to two digits; of failures, too.
    pub phases: [Sparse; Phase::ALL.len()],
}

/// How a generator was, over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorTotals {
    /// How late it began requests, to two digits.
    pub send_lag: Sparse,
    /// How long its tasks had to wait when they wanted to run, to two digits.
    pub loop_delay: Sparse,
    /// What else it saw of itself.
    pub health: Health,
    /// It has told of the second before this one, and of none from this one on.
    pub told_until: i32,
    /// Which of its snapshots have been added.
    ledger: Stretches,
    /// Of which seconds they tell, each moved up to where none is negative.
    told: Stretches,
}

/// Where the second of the epoch is among seconds that are moved up.
const EPOCH: u32 = i32::MIN.unsigned_abs();

impl Default for GeneratorTotals {
    fn default() -> Self {
        Self {
            send_lag: Sparse::default(),
            loop_delay: Sparse::default(),
            health: Health::default(),
            told_until: i32::MIN,
            ledger: Stretches::default(),
            told: Stretches::default(),
        }
    }
}

impl GeneratorTotals {
    /// How many of its snapshots have been added.
    #[must_use]
    pub fn snapshots(&self) -> u64 {
        self.ledger.len()
    }

    /// The first of its snapshots that has not been added: all before it have.
    #[must_use]
    pub fn first_missing(&self) -> u32 {
        self.ledger.first_missing()
    }

    /// The seconds it has told of, as stretches without a gap, ascending.
    pub fn told(&self) -> impl Iterator<Item = RangeInclusive<i32>> {
        let second = |moved: u32| moved.wrapping_sub(EPOCH).cast_signed();
        self.told.iter().map(move |(first, last)| second(first)..=second(last))
    }

    fn tells_of(&mut self, second: i32) {
        self.told_until = self.told_until.max(second.saturating_add(1));
        self.told.insert(second.cast_unsigned().wrapping_add(EPOCH));
    }
}

/// So many of the latest seconds are kept one by one; older ones are put together, so that they are no more than these.
pub const KEPT_SECONDS: i32 = 3_600;

/// Seconds are put together when there are so many more: seldom, for it takes a while.
const SLACK_SECONDS: usize = 600;

/// What became of the older seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folded {
    /// So many of them are one now.
    step_s: i32,
    /// All before this one.
    until: i32,
}

impl Default for Folded {
    fn default() -> Self {
        Self { step_s: 1, until: i32::MIN }
    }
}

/// What a run has measured so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merged {
    series: BTreeMap<SeriesId, Totals>,
    seconds: BTreeMap<i32, Second>,
    folded: Folded,
    loads: BTreeMap<LoadId, LoadCounts>,
    measures: BTreeMap<MeasureId, Sparse>,
    generators: BTreeMap<String, GeneratorTotals>,
    remotes: BTreeMap<IpAddr, u64>,
    problems: BTreeMap<String, u64>,
    cleanup: Cleanup,
    slowest: BTreeMap<SeriesId, Vec<Exemplar>>,
    events: Events,
    duplicates: u64,
}

impl Merged {
    /// Adds a snapshot, unless it has been added before: whatever is delivered twice counts once.
    pub fn merge(&mut self, snapshot: Snapshot) -> Merge {
        let Snapshot { nonce, sequence, interval, .. } = snapshot;
        let generator = self.generators.entry(nonce).or_default();
        if !generator.ledger.insert(sequence) {
            self.duplicates += 1;
            return Merge::Duplicate;
        }
        generator.send_lag.merge(&interval.send_lag);
        generator.loop_delay.merge(&interval.loop_delay);
        for (second, content) in &interval.seconds {
            generator.health.follow(&content.health);
            if content.health.slice_seconds > 0 {
                generator.tells_of(*second);
            }
        }
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
            totals.phases.iter_mut().zip(&series.phases).for_each(|(sum, more)| sum.merge(more));
        }
        for (load, counts) in &interval.loads {
            self.loads.entry(*load).or_default().merge(counts);
        }
        for (id, values) in &interval.measures {
            self.measures.entry(*id).or_default().merge(values);
        }
        add_remotes(&mut self.remotes, &interval.remotes);
        for (second, content) in interval.seconds {
            if second >= self.folded.until {
                self.seconds.entry(second).or_default().merge(&content);
            } else {
                let begin = second.div_euclid(self.folded.step_s) * self.folded.step_s;
                self.seconds.entry(begin).or_default().follow(&content);
            }
        }
        self.fold();
        for (problem, count) in interval.problems {
            add_problem(&mut self.problems, problem, count);
        }
        self.cleanup.merge(&interval.cleanup);
        for (id, slowest) in interval.slowest {
            let own = self.slowest.entry(id).or_default();
            slowest.into_iter().for_each(|more| keep_slowest(own, more, SLOWEST_OF_RUN));
        }
        self.events.merge(interval.events, EVENTS_OF_RUN);
    }

    /// Keeps the number of seconds within bounds, however long a run lasts.
    fn fold(&mut self) {
        let (Some((&first, _)), Some((&last, _))) =
            (self.seconds.first_key_value(), self.seconds.last_key_value())
        else {
            return;
        };
        let most = usize::try_from(2 * KEPT_SECONDS).unwrap_or(usize::MAX) + SLACK_SECONDS;
        // A clock that is far off may tell of a second that is far off; there is nothing to put together then.
        let latest = last.saturating_sub(KEPT_SECONDS);
        if self.seconds.len() <= most || latest <= first {
            return;
        }
        let mut step_s = self.folded.step_s;
        while latest.saturating_sub(first) / step_s > KEPT_SECONDS {
            step_s = step_s.saturating_mul(2);
        }
        let until = latest.div_euclid(step_s) * step_s;
        let recent = self.seconds.split_off(&until);
        let older = std::mem::replace(&mut self.seconds, recent);
        for (second, content) in older {
            let begin = second.div_euclid(step_s).saturating_mul(step_s);
            self.seconds.entry(begin).or_default().follow(&content);
        }
        self.folded = Folded { step_s, until };
    }

    /// Whether this snapshot has been added.
    #[must_use]
    pub fn contains(&self, nonce: &str, sequence: u32) -> bool {
        self.generators.get(nonce).is_some_and(|generator| generator.ledger.contains(sequence))
    }

    /// By request name.
    #[must_use]
    pub fn series(&self) -> &BTreeMap<SeriesId, Totals> {
        &self.series
    }

    /// By second since the epoch. In a long run those that are older than [`KEPT_SECONDS`] are put together, and stand at
    /// the first of them.
    #[must_use]
    pub fn seconds(&self) -> &BTreeMap<i32, Second> {
        &self.seconds
    }

    /// How many of the older seconds are put together.
    #[must_use]
    pub fn step_s(&self) -> i32 {
        self.folded.step_s
    }

    /// What became of each load.
    #[must_use]
    pub fn loads(&self) -> &BTreeMap<LoadId, LoadCounts> {
        &self.loads
    }

    /// Iterations, groups and metrics of the plan's own.
    #[must_use]
    pub fn measures(&self) -> &BTreeMap<MeasureId, Sparse> {
        &self.measures
    }

    /// How each generator was, by its nonce.
    #[must_use]
    pub fn generators(&self) -> &BTreeMap<String, GeneratorTotals> {
        &self.generators
    }

    /// Requests by the address they went to; the unspecified address stands for those that found no room.
    #[must_use]
    pub fn remotes(&self) -> &BTreeMap<IpAddr, u64> {
        &self.remotes
    }

    /// What went wrong, in words, and how often.
    #[must_use]
    pub fn problems(&self) -> &BTreeMap<String, u64> {
        &self.problems
    }

    /// What was made and is to be undone, and what became of it.
    #[must_use]
    pub fn cleanup(&self) -> &Cleanup {
        &self.cleanup
    }

    /// The slowest requests by name, slowest first; failures are among them, unfinished requests are not. Of each interval
    /// and generator at most three are known, of the run at most ten are kept.
    #[must_use]
    pub fn slowest(&self) -> &BTreeMap<SeriesId, Vec<Exemplar>> {
        &self.slowest
    }

    /// A sample of all requests, if the plan wants one: at most 100,000.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
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
