//! Takes samples in, on the thread that makes them.

use std::collections::BTreeMap;

use crate::distribution::Distribution;
use crate::interval::{Interval, Second, Series, SeriesSecond, add_problem};
use crate::sample::second_of;
use crate::{ConnectionUse, Outcome, Sample, SeriesId};

/// Takes samples in. Made for one thread; nothing in it is shared.
#[derive(Debug)]
pub struct Recorder {
    content: Recording,
}

/// What a recorder took in, still in the form that is fast to fill. Swapping it out takes no time;
/// making an [`Interval`] of it does, and is for another thread.
#[derive(Debug, Default)]
pub struct Recording {
    series: Vec<Option<Box<DenseSeries>>>,
    seconds: BTreeMap<i32, DenseSecond>,
    send_lag: Option<Box<Distribution>>,
    problems: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct DenseSeries {
    counts: Series,
    outcomes: Outcomes,
    response: Distribution,
    failed: Distribution,
    service: Distribution,
}

#[derive(Debug, Default)]
struct DenseSecond {
    counts: Second,
    series: Vec<Option<Box<DenseSeriesSecond>>>,
}

#[derive(Debug)]
struct DenseSeriesSecond {
    counts: SeriesSecond,
    outcomes: Outcomes,
    response: Distribution,
}

/// A few outcomes, of which the first is nearly all.
#[derive(Debug, Default)]
struct Outcomes(Vec<(Outcome, u64)>);

impl Outcomes {
    fn add(&mut self, outcome: Outcome) {
        match self.0.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => self.0.push((outcome, 1)),
        }
    }
}

impl Default for DenseSeries {
    fn default() -> Self {
        Self {
            counts: Series::default(),
            outcomes: Outcomes::default(),
            response: Distribution::fine(),
            failed: Distribution::fine(),
            service: Distribution::fine(),
        }
    }
}

impl Default for DenseSeriesSecond {
    fn default() -> Self {
        Self {
            counts: SeriesSecond::default(),
            outcomes: Outcomes::default(),
            response: Distribution::coarse(),
        }
    }
}

impl Recorder {
    /// For so many series. One without samples costs a pointer.
    #[must_use]
    pub fn new(series: usize) -> Self {
        Self { content: Recording { series: (0..series).map(|_| None).collect(), ..Recording::default() } }
    }

    /// Takes in a request that has ended. One of a series beyond those announced makes room for itself.
    pub fn record(&mut self, sample: &Sample) {
        let timed_out = sample.outcome == Outcome::Timeout;
        let judged = sample.outcome != Outcome::Unfinished;
        let in_response = judged && (!sample.failed || timed_out);
        let response_us = sample.response_us();

        let series = slot(&mut self.content.series, sample.series);
        series.counts.requests += 1;
        series.counts.errors += u64::from(sample.failed);
        series.outcomes.add(sample.outcome);
        series.counts.bytes_sent += sample.bytes_sent;
        series.counts.bytes_received += sample.bytes_received;
        series.counts.new_connections += u64::from(sample.connection == ConnectionUse::New);
        series.counts.reused_connections += u64::from(sample.connection == ConnectionUse::Reused);
        series.counts.checks_passed += u64::from(sample.checks_passed);
        series.counts.checks_failed += u64::from(sample.checks_failed);
        if in_response {
            series.response.record(response_us);
            series.service.record(sample.service_us());
        } else if judged {
            series.failed.record(response_us);
        }

        let second = self.content.seconds.entry(sample.second()).or_default();
        let series = slot(&mut second.series, sample.series);
        series.counts.requests += 1;
        series.counts.errors += u64::from(sample.failed);
        series.outcomes.add(sample.outcome);
        series.counts.new_connections += u64::from(sample.connection == ConnectionUse::New);
        if in_response {
            series.response.record(response_us);
        }

        let lag = self.content.send_lag.get_or_insert_with(|| Box::new(Distribution::coarse()));
        lag.record(sample.send_lag_us());
    }

    /// An arrival was due.
    pub fn arrival_scheduled(&mut self, due_us: i64) {
        self.second(due_us).arrivals.scheduled += 1;
    }

    /// An arrival that was due then found a user.
    pub fn arrival_started(&mut self, due_us: i64) {
        self.second(due_us).arrivals.started += 1;
    }

    /// An arrival that was due then found none.
    pub fn arrival_dropped(&mut self, due_us: i64) {
        self.second(due_us).arrivals.dropped += 1;
    }

    /// An iteration began.
    pub fn iteration_started(&mut self, at_us: i64) {
        self.second(at_us).iterations.started += 1;
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

    /// A user lived from one instant to another; an empty or reversed stretch counts nothing.
    pub fn user_time(&mut self, from_us: i64, until_us: i64) {
        let mut from_us = from_us;
        while from_us < until_us {
            let end_us = (from_us.div_euclid(1_000_000) + 1).saturating_mul(1_000_000).min(until_us);
            self.second(from_us).user_us += u64::try_from(end_us - from_us).unwrap_or(0);
            from_us = end_us;
        }
    }

    /// What was going on at the end of the second that contains an instant; to be told once a second.
    pub fn gauge(&mut self, at_us: i64, users: u32, in_flight: u32) {
        let second = self.second(at_us);
        second.users += u64::from(users);
        second.in_flight += u64::from(in_flight);
    }

    /// Something went wrong, in words.
    pub fn note(&mut self, problem: String) {
        add_problem(&mut self.content.problems, problem, 1);
    }

    /// Swaps out what was taken in since the last time.
    #[must_use]
    pub fn take(&mut self) -> Recording {
        let next = Self::new(self.content.series.len());
        std::mem::replace(self, next).content
    }

    fn second(&mut self, at_us: i64) -> &mut Second {
        &mut self.content.seconds.entry(second_of(at_us)).or_default().counts
    }
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
    /// The form that travels and merges.
    #[must_use]
    pub fn into_interval(self) -> Interval {
        let seconds = self.seconds.into_iter().map(|(second, content)| (second, content.into_second()));
        Interval {
            series: by_id(self.series, DenseSeries::into_series),
            seconds: seconds.collect(),
            send_lag: self.send_lag.map(|lag| lag.to_sparse()).unwrap_or_default(),
            problems: self.problems,
        }
    }
}

impl DenseSeries {
    fn into_series(self) -> Series {
        Series {
            outcomes: self.outcomes.0.into_iter().collect(),
            response: self.response.to_sparse(),
            failed: self.failed.to_sparse(),
            service: self.service.to_sparse(),
            ..self.counts
        }
    }
}

impl DenseSecond {
    fn into_second(self) -> Second {
        Second { series: by_id(self.series, DenseSeriesSecond::into_series), ..self.counts }
    }
}

impl DenseSeriesSecond {
    fn into_series(self) -> SeriesSecond {
        SeriesSecond {
            outcomes: self.outcomes.0.into_iter().collect(),
            response: self.response.to_sparse(),
            ..self.counts
        }
    }
}

fn by_id<T, U>(list: Vec<Option<Box<T>>>, convert: impl Fn(T) -> U) -> BTreeMap<SeriesId, U> {
    let ids = (0..=u16::MAX).map(SeriesId);
    ids.zip(list).filter_map(|(id, content)| Some((id, convert(*content?)))).collect()
}
