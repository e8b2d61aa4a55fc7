//! Takes samples in, on the thread that makes them.

mod dense;

use std::collections::BTreeMap;
use std::net::IpAddr;

use self::dense::{DenseSecond, DenseSeries, by_id};
use crate::distribution::Distribution;
use crate::exemplar::{EVENTS_OF_THREAD, Event, Events, Exemplar, OneIn};
use crate::health::{Health, Observation};
use crate::interval::{
    Cleanup, Interval, LoadCounts, MAX_REMOTES, OTHER_REMOTES, Second, add_problem, add_remotes,
};
use crate::phases::Phase;
use crate::sample::second_of;
use crate::{ConnectionUse, LoadId, MeasureId, Outcome, RemoteId, Sample, SeriesId};

/// From so many requests on a second says how late they are usually, and how late one in a hundred is. Fewer are looked at
/// together with those of the next second.
const LEAST_JUDGED: u64 = 20;
const LEAST_JUDGED_IN_HUNDRED: u64 = 100;

/// Takes samples in. Made for one thread; nothing in it is shared.
#[derive(Debug)]
pub struct Recorder {
    content: Recording,
    /// Whose [`RemoteId`]s are their places in here.
    remotes: Vec<IpAddr>,
    /// Since it was last looked at.
    send_lag: Distribution,
    loop_delay: Distribution,
    /// Which requests are kept whole, if any are.
    sampling: Option<OneIn>,
    /// The first second that was not looked at.
    unobserved: i32,
}

/// What a recorder took in, still in the form that is fast to fill. Swapping it out takes no time;
/// making an [`Interval`] of it does, and is for another thread.
#[derive(Debug, Default)]
pub struct Recording {
    series: Vec<Option<Box<DenseSeries>>>,
    /// Ascending; the last is nearly always the one that is asked for.
    seconds: Vec<(i32, DenseSecond)>,
    loads: Vec<LoadCounts>,
    measures: Vec<Option<Box<Distribution>>>,
    send_lag: Option<Box<Distribution>>,
    loop_delay: Option<Box<Distribution>>,
    remotes: Vec<u64>,
    addresses: Vec<IpAddr>,
    problems: BTreeMap<String, u64>,
    cleanup: Cleanup,
    events: Events,
    /// What others took in at the same time.
    others: Vec<Recording>,
}

impl Recorder {
    /// For so many series. One without samples costs a pointer.
    #[must_use]
    pub fn new(series: usize) -> Self {
        Self {
            content: Recording { series: (0..series).map(|_| None).collect(), ..Recording::default() },
            remotes: Vec::new(),
            send_lag: Distribution::coarse(),
            loop_delay: Distribution::coarse(),
            sampling: None,
            unobserved: i32::MIN,
        }
    }

    /// From now on these requests are kept whole.
    pub fn sample_events(&mut self, sampling: OneIn) {
        self.sampling = Some(sampling);
    }

    /// The name of an address in samples. Of many addresses those that find no room share one.
    pub fn remote(&mut self, address: IpAddr) -> RemoteId {
        let address = address.to_canonical();
        let known = self.remotes.iter().position(|known| *known == address);
        let index = known.unwrap_or_else(|| {
            let room = self.remotes.len() < MAX_REMOTES;
            if self.remotes.len() <= MAX_REMOTES {
                self.remotes.push(if room { address } else { OTHER_REMOTES });
            }
            self.remotes.len() - 1
        });
        RemoteId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// The address of such a name.
    #[must_use]
    pub fn address(&self, remote: RemoteId) -> Option<IpAddr> {
        self.remotes.get(usize::from(remote.0)).copied()
    }

    /// A request was begun, so much later than it could have been.
    pub fn begun(&mut self, send_lag_us: u64) {
        self.send_lag.record(send_lag_us);
        let lag = self.content.send_lag.get_or_insert_with(|| Box::new(Distribution::coarse()));
        lag.record(send_lag_us);
    }

    /// Takes in a request that has ended. One of a series beyond those announced makes room for itself.
    pub fn record(&mut self, sample: &Sample) {
        let timed_out = sample.outcome == Outcome::Timeout;
        let judged = sample.outcome != Outcome::Unfinished;
        let in_response = judged && (!sample.failed || timed_out);
        let response_us = sample.response_us();
        let address = |RemoteId(index)| self.remotes.get(usize::from(index)).copied();
        let whole = || Exemplar::of(sample, sample.remote.and_then(address));

        let series = slot(&mut self.content.series, sample.series);
        series.counts.requests += 1;
        series.counts.errors += u64::from(sample.failed);
        series.outcomes.add(sample.outcome);
        series.counts.bytes_sent += sample.bytes_sent;
        series.counts.bytes_received += sample.bytes_received;
        series.counts.new_connections += u64::from(sample.connection == ConnectionUse::New);
        series.counts.reused_connections += u64::from(sample.connection == ConnectionUse::Reused);
        series.counts.http2 += u64::from(sample.http2);
        series.counts.stale_retries += u64::from(sample.stale_retries);
        series.counts.redirects += u64::from(sample.redirects);
        series.counts.checks_passed += u64::from(sample.checks_passed);
        series.counts.checks_failed += u64::from(sample.checks_failed);
        if in_response {
            series.response.record(response_us);
            series.service.record(sample.service_us());
        } else if judged {
            series.failed.record(response_us);
        }
        if judged && series.slowest.may_take(response_us) {
            series.slowest.take(whole());
        }
        let mut phases_us = [0; Phase::ALL.len()];
        if judged {
            for ((phase, distribution), sum) in Phase::ALL.iter().zip(&mut series.phases).zip(&mut phases_us)
            {
                if let Some(us) = sample.phases.get(*phase) {
                    distribution.record(us);
                    *sum = us;
                }
            }
        }
        if let Some(RemoteId(index)) = sample.remote {
            let index = usize::from(index);
            if index >= self.content.remotes.len() {
                self.content.remotes.resize(index + 1, 0);
            }
            self.content.remotes[index] += 1;
        }

        let second = second_mut(&mut self.content.seconds, sample.second());
        second.counts.phases_us.iter_mut().zip(phases_us).for_each(|(sum, us)| *sum += us);
        let series = slot(&mut second.series, sample.series);
        series.counts.requests += 1;
        series.counts.errors += u64::from(sample.failed);
        series.outcomes.add(sample.outcome);
        series.counts.new_connections += u64::from(sample.connection == ConnectionUse::New);
        series.counts.checks_passed += u64::from(sample.checks_passed);
        series.counts.checks_failed += u64::from(sample.checks_failed);
        if in_response {
            series.response.record(response_us);
        } else if judged {
            series.failed.record(response_us);
        }
        if self.sampling.zip(sample.trace).is_some_and(|(sampling, trace)| sampling.takes(trace)) {
            self.content.events.add(Event { facts: whole(), series: sample.series }, EVENTS_OF_THREAD);
        }
    }

    /// An arrival was due.
    pub fn arrival_scheduled(&mut self, load: LoadId, due_us: i64) {
        self.load(load).arrivals.scheduled += 1;
        self.second(due_us).arrivals.scheduled += 1;
    }

    /// An arrival that was due then found a user.
    pub fn arrival_started(&mut self, load: LoadId, due_us: i64) {
        self.load(load).arrivals.started += 1;
        self.second(due_us).arrivals.started += 1;
    }

    /// An arrival that was due then found none.
    pub fn arrival_dropped(&mut self, load: LoadId, due_us: i64) {
        self.load(load).arrivals.dropped += 1;
        self.second(due_us).arrivals.dropped += 1;
    }

    /// An iteration began.
    pub fn iteration_started(&mut self, load: LoadId, at_us: i64) {
        self.load(load).iterations += 1;
        self.second(at_us).iterations.started += 1;
    }

    /// A user of the closed model has begun so many iterations, or taken so many rows.
    pub fn rounds_begun(&mut self, load: LoadId, rounds: u64) {
        let counts = self.load(load);
        counts.rounds = counts.rounds.max(rounds);
    }

    /// An iteration came to its end.
    pub fn iteration_completed(&mut self, at_us: i64) {
        self.second(at_us).iterations.completed += 1;
    }

    /// An iteration was ended by a failure.
    pub fn iteration_failed(&mut self, at_us: i64) {
        self.second(at_us).iterations.failed += 1;
    }

    /// An iteration was cut off.
    pub fn iteration_interrupted(&mut self, at_us: i64) {
        self.second(at_us).iterations.interrupted += 1;
    }

    /// Something besides requests was measured: microseconds, or thousandths of a metric of the plan's own.
    pub fn measure(&mut self, MeasureId(index): MeasureId, value: u64) {
        let index = usize::from(index);
        if index >= self.content.measures.len() {
            self.content.measures.resize_with(index + 1, || None);
        }
        self.content.measures[index].get_or_insert_with(|| Box::new(Distribution::coarse())).record(value);
    }

    /// A user lived from one instant to another; an empty or reversed stretch counts nothing.
    pub fn user_time(&mut self, load: LoadId, from_us: i64, until_us: i64) {
        let mut from_us = from_us;
        while from_us < until_us {
            let end_us = (from_us.div_euclid(1_000_000) + 1).saturating_mul(1_000_000).min(until_us);
            let lived_us = u64::try_from(end_us - from_us).unwrap_or(0);
            self.second(from_us).user_us += lived_us;
            self.load(load).user_us += lived_us;
            from_us = end_us;
        }
    }

    /// What was going on at the end of the second that contains an instant; to be told once a second.
    pub fn gauge(&mut self, at_us: i64, users: u32, in_flight: u32) {
        let second = self.second(at_us);
        second.users += u64::from(users);
        second.in_flight += u64::from(in_flight);
    }

    /// A task that wanted to run had to wait so long.
    pub fn loop_delay(&mut self, us: u64) {
        self.loop_delay.record(us);
        let delay = self.content.loop_delay.get_or_insert_with(|| Box::new(Distribution::coarse()));
        delay.record(us);
    }

    /// What the generator saw of itself from one second up to another, without that; normally one second, more if
    /// it was held up. Its delays are those that were told since the last time.
    pub fn observe(&mut self, seconds: std::ops::Range<i32>, observation: Observation) {
        let judged = self.send_lag.count();
        let lag =
            |quantile, least| self.send_lag.quantile_us(quantile).filter(|_| judged >= least).unwrap_or(0);
        let observation = Observation {
            send_lag_p50_us: lag(0.5, LEAST_JUDGED),
            send_lag_p99_us: lag(0.99, LEAST_JUDGED_IN_HUNDRED),
            loop_delay_p90_us: self.loop_delay.quantile_us(0.9).unwrap_or(0),
            loop_delay_max_us: self.loop_delay.max_us().unwrap_or(0),
            ..observation
        };
        if judged >= LEAST_JUDGED {
            self.send_lag.clear();
        }
        self.loop_delay.clear();
        let health = Health::of(&observation);
        // What was used up counts once; what it says of the seconds holds for each.
        let mut rest = Health { cpu_us: 0, stolen_us: 0, observed_us: 0, ..health };
        self.unobserved = seconds.end;
        for second in seconds.clone() {
            let content = &mut second_mut(&mut self.content.seconds, second).counts;
            content.health.merge(if second == seconds.end - 1 { &health } else { &rest });
            rest.loop_delay_max_us = 0;
        }
    }

    /// Something went wrong, in words.
    pub fn note(&mut self, problem: String) {
        add_problem(&mut self.content.problems, problem, 1);
    }

    /// Something was made that is to be undone.
    pub fn cleanup_created(&mut self) {
        self.content.cleanup.created += 1;
    }

    /// It was undone.
    pub fn cleanup_undone(&mut self) {
        self.content.cleanup.undone += 1;
    }

    /// It stays.
    pub fn cleanup_left(&mut self, what: String) {
        self.content.cleanup.add_left(what, 1);
    }

    /// Swaps out what was taken in since the last time. Whether a second that goes on is tainted will be known later.
    #[must_use]
    pub fn take(&mut self) -> Recording {
        let last = self.content.seconds.last().filter(|(second, _)| *second >= self.unobserved);
        let going_on = last.map(|(second, content)| {
            (*second, DenseSecond { begun: content.series.clone(), ..DenseSecond::default() })
        });
        let next = Recording {
            series: (0..self.content.series.len()).map(|_| None).collect(),
            seconds: going_on.into_iter().collect(),
            ..Recording::default()
        };
        Recording { addresses: self.remotes.clone(), ..std::mem::replace(&mut self.content, next) }
    }

    fn load(&mut self, LoadId(index): LoadId) -> &mut LoadCounts {
        let index = usize::from(index);
        if index >= self.content.loads.len() {
            self.content.loads.resize(index + 1, LoadCounts::default());
        }
        &mut self.content.loads[index]
    }

    fn second(&mut self, at_us: i64) -> &mut Second {
        &mut second_mut(&mut self.content.seconds, second_of(at_us)).counts
    }
}

/// A second's place among the others, made if it is not there.
fn second_mut(seconds: &mut Vec<(i32, DenseSecond)>, second: i32) -> &mut DenseSecond {
    let last = seconds.len().checked_sub(1).filter(|&last| seconds[last].0 == second);
    let index = last.unwrap_or_else(|| {
        seconds.binary_search_by_key(&second, |(known, _)| *known).unwrap_or_else(|place| {
            seconds.insert(place, (second, DenseSecond::default()));
            place
        })
    });
    &mut seconds[index].1
}

/// The place of a series in a list, made if it is not there.
fn slot<T: Default>(list: &mut Vec<Option<Box<T>>>, id: SeriesId) -> &mut T {
    let index = usize::from(id.0);
    if index >= list.len() {
        list.resize_with(index + 1, || None);
    }
    list[index].get_or_insert_default()
}

impl Recording {
    /// What several recorders took in at the same time, as one; `None` of none.
    #[must_use]
    pub fn join(recordings: Vec<Self>) -> Option<Self> {
        let mut recordings = recordings.into_iter();
        let mut whole = recordings.next()?;
        whole.others.extend(recordings);
        Some(whole)
    }

    /// The form that travels and merges.
    #[must_use]
    pub fn into_interval(mut self) -> Interval {
        let others = std::mem::take(&mut self.others);
        let mut interval = self.into_own_interval();
        others.into_iter().for_each(|other| interval.merge(&other.into_interval()));
        interval
    }

    fn into_own_interval(self) -> Interval {
        let seconds = self.seconds.into_iter().map(|(second, content)| (second, content.into_second()));
        let mut remotes = BTreeMap::new();
        for (address, count) in self.addresses.into_iter().zip(self.remotes).filter(|(_, count)| *count > 0) {
            add_remotes(&mut remotes, &BTreeMap::from([(address, count)]));
        }
        let sparse = |distribution: Option<Box<Distribution>>| {
            distribution.map(|distribution| distribution.to_sparse()).unwrap_or_default()
        };
        let measured = by_id(self.series, DenseSeries::into_series).into_iter();
        let (series, slowest) = measured.map(|(id, (series, slowest))| ((id, series), (id, slowest))).unzip();
        Interval {
            series,
            seconds: seconds.collect(),
            loads: (0..=u16::MAX).map(LoadId).zip(self.loads).collect(),
            measures: (0..=u16::MAX)
                .map(MeasureId)
                .zip(self.measures)
                .filter_map(|(id, values)| Some((id, values?.to_sparse())))
                .collect(),
            send_lag: sparse(self.send_lag),
            loop_delay: sparse(self.loop_delay),
            remotes,
            problems: self.problems,
            cleanup: self.cleanup,
            slowest,
            events: self.events,
        }
    }
}
