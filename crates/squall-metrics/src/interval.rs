//! What was measured in a stretch of time, in the form that travels and merges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::exemplar::{EVENTS_OF_INTERVAL, Events, Exemplar, SLOWEST_OF_INTERVAL, keep_slowest};
use crate::health::Health;
use crate::phases::Phase;
use crate::sparse::Sparse;
use crate::{LoadId, MeasureId, Outcome, SeriesId};

/// Distinct problems that are kept; more are counted under the last of them.
pub(crate) const MAX_PROBLEMS: usize = 20;

/// Distinct things that stay and are kept by name; more are counted under a common one.
pub(crate) const MAX_LEFT: usize = 100;

/// Longer problems are cut: what a target says may be of any length.
pub(crate) const MAX_PROBLEM_BYTES: usize = 300;

/// Distinct addresses whose requests are counted; those of more are counted under the unspecified address.
pub(crate) const MAX_REMOTES: usize = 64;

/// Stands for all addresses that found no room.
pub(crate) const OTHER_REMOTES: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// What was measured in a stretch of time: a delta, to be added exactly once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interval {
    /// By request name.
    pub series: BTreeMap<SeriesId, Series>,
    /// By second since the epoch; negative before it.
    pub seconds: BTreeMap<i32, Second>,
    /// What became of each load.
    pub loads: BTreeMap<LoadId, LoadCounts>,
    /// How long iterations and groups took, in microseconds, and metrics of the plan's own, in thousandths; to two digits.
    pub measures: BTreeMap<MeasureId, Sparse>,
    /// How late the generator began requests, in microseconds, to two digits.
    pub send_lag: Sparse,
    /// How long a task of the generator that wanted to run had to wait, in microseconds, to two digits.
    pub loop_delay: Sparse,
    /// Requests by the address they went to. Bounded; the unspecified address stands for those beyond.
    pub remotes: BTreeMap<IpAddr, u64>,
    /// What went wrong, in words, and how often. Bounded.
    pub problems: BTreeMap<String, u64>,
    /// What was made and is to be undone.
    pub cleanup: Cleanup,
    /// The slowest requests by name, slowest first; unfinished ones are not among them. Bounded.
    pub slowest: BTreeMap<SeriesId, Vec<Exemplar>>,
    /// A sample of all requests, if the plan wants one. Bounded.
    pub events: Events,
}

/// What users made that is to be undone, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Made.
    pub created: u64,
    /// Undone.
    pub undone: u64,
    /// What stays, as method and path, and how often. Bounded.
    pub left: BTreeMap<String, u64>,
}

impl Cleanup {
    /// Adds what became of other things.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.created, other.created);
        add(&mut self.undone, other.undone);
        for (what, count) in &other.left {
            self.add_left(what.clone(), *count);
        }
    }

    /// Counts something that stays under its own name while there is room, else under a common one.
    pub(crate) fn add_left(&mut self, what: String, count: u64) {
        add_text(&mut self.left, what, count, (MAX_LEFT, "other"));
    }
}

/// The requests of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// How many ended.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them ended in which way; together they are `requests`.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Response times of successes and timeouts, to three digits.
    pub response: Sparse,
    /// Response times of all other failures, but not of unfinished requests, to three digits.
    pub failed: Sparse,
    /// Service times of the requests in `response`, to three digits.
    pub service: Sparse,
    /// What they are made of, in the order of [`Phase::ALL`], to two digits; of failures, too.
    pub phases: [Sparse; Phase::ALL.len()],
    /// Bytes written, above TLS.
    pub bytes_sent: u64,
    /// Bytes read, above TLS.
    pub bytes_received: u64,
    /// Requests over a connection made for them.
    pub new_connections: u64,
    /// Requests over a connection used before.
    pub reused_connections: u64,
    /// Requests over HTTP/2.
    pub http2: u64,
    /// Attempts repeated because the server had closed an idle connection.
    pub stale_retries: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Expectations that held.
    pub checks_passed: u64,
    /// Expectations that did not.
    pub checks_failed: u64,
}

/// One second of a slice, or of all slices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Second {
    /// Arrivals that were due in it.
    pub arrivals: Arrivals,
    /// Iterations that began and ended in it.
    pub iterations: Iterations,
    /// Microseconds that users lived in it, all added up.
    pub user_us: u64,
    /// Users at its end.
    pub users: u64,
    /// Requests under way at its end.
    pub in_flight: u64,
    /// Microseconds that the phases of the requests that ended in it took, all added up, in the order of [`Phase::ALL`].
    pub phases_us: [u64; Phase::ALL.len()],
    /// The requests that ended in it.
    pub series: BTreeMap<SeriesId, SeriesSecond>,
    /// How the generators were in it.
    pub health: Health,
    /// Those of `series` that generators measured while they were the bottleneck.
    pub tainted: BTreeMap<SeriesId, SeriesSecond>,
}

/// What became of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Arrivals.
    pub arrivals: Arrivals,
    /// Iterations begun.
    pub iterations: u64,
    /// Microseconds that users lived, all added up.
    pub user_us: u64,
    /// The most iterations that any user of the closed model has begun, or rows that it has taken, since the load began.
    pub rounds: u64,
}

/// Arrivals of the open model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Due.
    pub scheduled: u64,
    /// Taken by a user.
    pub started: u64,
    /// Dropped, for no user was free.
    pub dropped: u64,
}

/// Iterations, of either model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Iterations {
    /// Begun.
    pub started: u64,
    /// Ended by themselves.
    pub completed: u64,
    /// Ended by a failure.
    pub failed: u64,
    /// Cut off.
    pub interrupted: u64,
}

/// The requests of one name that ended in one second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesSecond {
    /// How many.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them ended in which way.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Connections made for them.
    pub new_connections: u64,
    /// Response times of successes and timeouts, to two digits.
    pub response: Sparse,
    /// Response times of all other failures, but not of unfinished requests, to two digits.
    pub failed: Sparse,
    /// Expectations that held.
    pub checks_passed: u64,
    /// Expectations that did not.
    pub checks_failed: u64,
}

impl Interval {
    /// Whether nothing at all was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another delta.
    pub fn merge(&mut self, other: &Self) {
        for (id, series) in &other.series {
            self.series.entry(*id).or_default().merge(series);
        }
        for (second, content) in &other.seconds {
            self.seconds.entry(*second).or_default().merge(content);
        }
        for (load, counts) in &other.loads {
            self.loads.entry(*load).or_default().merge(counts);
        }
        for (id, values) in &other.measures {
            self.measures.entry(*id).or_default().merge(values);
        }
        self.send_lag.merge(&other.send_lag);
        self.loop_delay.merge(&other.loop_delay);
        add_remotes(&mut self.remotes, &other.remotes);
        for (problem, count) in &other.problems {
            add_problem(&mut self.problems, problem.clone(), *count);
        }
        self.cleanup.merge(&other.cleanup);
        for (id, slowest) in &other.slowest {
            let own = self.slowest.entry(*id).or_default();
            slowest.iter().for_each(|more| keep_slowest(own, more.clone(), SLOWEST_OF_INTERVAL));
        }
        self.events.merge(other.events.clone(), EVENTS_OF_INTERVAL);
    }
}

impl Series {
    fn merge(&mut self, other: &Self) {
        self.add_counts(other);
        self.response.merge(&other.response);
        self.failed.merge(&other.failed);
        self.service.merge(&other.service);
        self.phases.iter_mut().zip(&other.phases).for_each(|(sum, more)| sum.merge(more));
    }

    /// Adds everything but the distributions.
    pub(crate) fn add_counts(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        add(&mut self.errors, other.errors);
        add_outcomes(&mut self.outcomes, &other.outcomes);
        add(&mut self.bytes_sent, other.bytes_sent);
        add(&mut self.bytes_received, other.bytes_received);
        add(&mut self.new_connections, other.new_connections);
        add(&mut self.reused_connections, other.reused_connections);
        add(&mut self.http2, other.http2);
        add(&mut self.stale_retries, other.stale_retries);
        add(&mut self.redirects, other.redirects);
        add(&mut self.checks_passed, other.checks_passed);
        add(&mut self.checks_failed, other.checks_failed);
    }
}

impl Arrivals {
    fn merge(&mut self, other: &Self) {
        add(&mut self.scheduled, other.scheduled);
        add(&mut self.started, other.started);
        add(&mut self.dropped, other.dropped);
    }
}

impl LoadCounts {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.arrivals.merge(&other.arrivals);
        add(&mut self.iterations, other.iterations);
        add(&mut self.user_us, other.user_us);
        self.rounds = self.rounds.max(other.rounds);
    }
}

impl Second {
    /// Adds the same second of another slice, or a later part of it.
    pub fn merge(&mut self, other: &Self) {
        self.arrivals.merge(&other.arrivals);
        add(&mut self.iterations.started, other.iterations.started);
        add(&mut self.iterations.completed, other.iterations.completed);
        add(&mut self.iterations.failed, other.iterations.failed);
        add(&mut self.iterations.interrupted, other.iterations.interrupted);
        add(&mut self.user_us, other.user_us);
        add(&mut self.users, other.users);
        add(&mut self.in_flight, other.in_flight);
        self.phases_us.iter_mut().zip(other.phases_us).for_each(|(sum, more)| add(sum, more));
        for (id, series) in &other.series {
            self.series.entry(*id).or_default().merge(series);
        }
        self.health.merge(&other.health);
        for (id, series) in &other.tainted {
            self.tainted.entry(*id).or_default().merge(series);
        }
    }
}

impl Second {
    /// Adds a later second: what is counted adds up, of what is sampled the highest counts.
    pub fn follow(&mut self, other: &Self) {
        let (users, in_flight) = (self.users.max(other.users), self.in_flight.max(other.in_flight));
        let mut health = self.health;
        health.follow(&other.health);
        self.merge(other);
        (self.users, self.in_flight, self.health) = (users, in_flight, health);
    }
}

impl SeriesSecond {
    /// Adds requests of the same second.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        add(&mut self.errors, other.errors);
        add_outcomes(&mut self.outcomes, &other.outcomes);
        add(&mut self.new_connections, other.new_connections);
        self.response.merge(&other.response);
        self.failed.merge(&other.failed);
        add(&mut self.checks_passed, other.checks_passed);
        add(&mut self.checks_failed, other.checks_failed);
    }

    /// What is left without a part of it.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let outcomes = self.outcomes.iter().map(|(outcome, count)| {
            (*outcome, count.saturating_sub(part.outcomes.get(outcome).copied().unwrap_or(0)))
        });
        Self {
            requests: self.requests.saturating_sub(part.requests),
            errors: self.errors.saturating_sub(part.errors),
            outcomes: outcomes.collect(),
            new_connections: self.new_connections.saturating_sub(part.new_connections),
            response: self.response.without(&part.response),
            failed: self.failed.without(&part.failed),
            checks_passed: self.checks_passed.saturating_sub(part.checks_passed),
            checks_failed: self.checks_failed.saturating_sub(part.checks_failed),
        }
    }
}

/// Counts that come over the network may be anything; a sum that overflows stays at the top.
pub(crate) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn add_outcomes(sum: &mut BTreeMap<Outcome, u64>, more: &BTreeMap<Outcome, u64>) {
    for (outcome, count) in more {
        add(sum.entry(*outcome).or_default(), *count);
    }
}

/// Counts requests under their own address while there is room, else under a common one.
pub(crate) fn add_remotes(sum: &mut BTreeMap<IpAddr, u64>, more: &BTreeMap<IpAddr, u64>) {
    for (&address, &count) in more {
        add_while_room(sum, address, count, (MAX_REMOTES, &OTHER_REMOTES));
    }
}

/// Counts a problem under its own words while there is room, else under a common name.
pub(crate) fn add_problem(problems: &mut BTreeMap<String, u64>, problem: String, count: u64) {
    add_text(problems, problem, count, (MAX_PROBLEMS, "other problems"));
}

/// Counts a text, which may be of any length, while there is room for it; else under a common one.
fn add_text(texts: &mut BTreeMap<String, u64>, mut text: String, count: u64, (most, other): (usize, &str)) {
    text.truncate(text.floor_char_boundary(MAX_PROBLEM_BYTES));
    add_while_room(texts, text, count, (most, &other.to_owned()));
}

/// Counts something by its name. Of too many names the last make room, so that the same are told whatever comes first, each
/// in full.
fn add_while_room<K: Ord + Clone>(
    sum: &mut BTreeMap<K, u64>,
    name: K,
    count: u64,
    (most, other): (usize, &K),
) {
    add(sum.entry(name).or_default(), count);
    if sum.len() - usize::from(sum.contains_key(other)) > most
        && let Some(last) = sum.keys().rfind(|name| *name != other).cloned()
        && let Some(count) = sum.remove(&last)
    {
        add(sum.entry(other.clone()).or_default(), count);
    }
}
