//! Single requests that are kept whole: the slowest, and a sample of all.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::phases::Phases;
use crate::{ConnectionUse, Outcome, Sample, SeriesId};

/// So many of the slowest requests of a series are kept in an interval of a generator.
pub(crate) const SLOWEST_OF_INTERVAL: usize = 3;

/// So many of them are kept of a run.
pub(crate) const SLOWEST_OF_RUN: usize = 10;

/// So many sampled requests are kept in an interval of one thread.
pub(crate) const EVENTS_OF_THREAD: usize = 500;

/// So many are kept in an interval of all threads of a generator.
pub(crate) const EVENTS_OF_INTERVAL: usize = 32 * EVENTS_OF_THREAD;

/// So many are kept of a run.
pub(crate) const EVENTS_OF_RUN: usize = 100_000;

/// The id under which all that a request causes elsewhere can be found: random, and unlike any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// Its first half as a number. As ids are random, those of low rank are a fair sample of all.
    #[must_use]
    pub fn rank(self) -> u64 {
        let Self(bytes) = self;
        bytes.first_chunk().map_or(0, |half| u64::from_be_bytes(*half))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Which requests are in a sample of one in so many. Their ids alone decide, so that everybody agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneIn {
    highest: u64,
}

impl OneIn {
    /// A sample of one in `number` requests.
    #[must_use]
    pub fn new(number: NonZeroU32) -> Self {
        Self { highest: u64::MAX / u64::from(number.get()) }
    }

    /// Whether the request with this id is in it.
    #[must_use]
    pub fn takes(self, id: TraceId) -> bool {
        id.rank() <= self.highest
    }
}

/// A single request, with what is known of it. Times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exemplar {
    /// The id that was drawn for it, if the plan wants ids.
    pub trace: Option<TraceId>,
    /// Whether it carried that id.
    pub trace_sent: bool,
    /// When it was due.
    pub scheduled_us: i64,
    /// When it was begun.
    pub started_us: i64,
    /// When its last byte had come, or it had failed.
    pub ended_us: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether that is a failure.
    pub failed: bool,
    /// What its service time is made of.
    pub phases: Phases,
    /// Which connection it went over.
    pub connection: ConnectionUse,
    /// Whether that spoke HTTP/2.
    pub http2: bool,
    /// Where that led, if there was one; the unspecified address stands for those that found no room.
    pub remote: Option<IpAddr>,
    /// Bytes read, above TLS.
    pub bytes_received: u64,
}

impl Exemplar {
    /// What is known of a request that went to this address.
    pub(crate) fn of(sample: &Sample, remote: Option<IpAddr>) -> Self {
        Self {
            trace: sample.trace,
            trace_sent: sample.trace_sent,
            scheduled_us: sample.scheduled_us,
            started_us: sample.started_us,
            ended_us: sample.ended_us,
            outcome: sample.outcome,
            failed: sample.failed,
            phases: sample.phases,
            connection: sample.connection,
            http2: sample.http2,
            remote,
            bytes_received: sample.bytes_received,
        }
    }

    /// From when it was due to its end, in microseconds.
    #[must_use]
    pub fn response_us(&self) -> u64 {
        u64::try_from(self.ended_us.saturating_sub(self.scheduled_us)).unwrap_or(0)
    }

    /// From its begin to its end, in microseconds.
    #[must_use]
    pub fn service_us(&self) -> u64 {
        u64::try_from(self.ended_us.saturating_sub(self.started_us)).unwrap_or(0)
    }

    /// Whether it comes before another one where the slowest comes first. Of two that are as slow the same one always does.
    fn precedes(&self, other: &Self) -> bool {
        let (own, others) = (self.response_us(), other.response_us());
        own > others || own == others && self < other
    }
}

/// Puts one more among the slowest, slowest first, of which so many are kept.
pub(crate) fn keep_slowest(slowest: &mut Vec<Exemplar>, exemplar: Exemplar, most: usize) {
    let place = slowest.partition_point(|known| known.precedes(&exemplar));
    if place < most {
        if slowest.len() >= most {
            slowest.truncate(most - 1);
        }
        slowest.insert(place, exemplar);
    }
}

/// The slowest requests of a series while they are recorded: nearly every request costs a comparison.
#[derive(Debug, Default)]
pub(crate) struct Slowest {
    kept: Vec<Exemplar>,
    /// Whoever took less time is not among them.
    least_us: u64,
}

impl Slowest {
    /// Whether a request that took so long may be one of them.
    pub(crate) fn may_take(&self, response_us: u64) -> bool {
        response_us >= self.least_us
    }

    #[cold]
    pub(crate) fn take(&mut self, exemplar: Exemplar) {
        keep_slowest(&mut self.kept, exemplar, SLOWEST_OF_INTERVAL);
        if let Some(last) = self.kept.get(SLOWEST_OF_INTERVAL - 1) {
            self.least_us = last.response_us();
        }
    }

    pub(crate) fn into_list(self) -> Vec<Exemplar> {
        self.kept
    }
}

/// A request of a sample.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// What is known of it, its id above all.
    pub facts: Exemplar,
    /// What it counts under.
    pub series: SeriesId,
}

impl Event {
    fn rank(&self) -> u64 {
        self.facts.trace.map_or(0, TraceId::rank)
    }
}

/// Sampled requests. Where there are too many, those whose ids have the lowest rank are kept: a smaller sample, as fair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    kept: BTreeSet<Event>,
    lost_from: Option<u64>,
}

impl Events {
    /// Those that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.kept.iter()
    }

    /// Those with lower ids than any that found no room: of them none is missing, in quiet times as in busy ones.
    pub fn complete(&self) -> impl Iterator<Item = &Event> {
        self.kept.iter().take_while(|event| self.lost_from.is_none_or(|lost| event.rank() < lost))
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The lowest rank of those that found no room, if there are any: all that belong to the sample and have a lower one
    /// are here.
    #[must_use]
    pub fn lost_from(&self) -> Option<u64> {
        self.lost_from
    }

    pub(crate) fn add(&mut self, event: Event, most: usize) {
        self.kept.insert(event);
        if self.kept.len() > most
            && let Some(lost) = self.kept.pop_last()
        {
            self.lose(lost.rank());
        }
    }

    /// Something of this rank is not here.
    pub(crate) fn lose(&mut self, rank: u64) {
        self.lost_from = Some(self.lost_from.map_or(rank, |known| known.min(rank)));
    }

    pub(crate) fn merge(&mut self, other: Self, most: usize) {
        other.kept.into_iter().for_each(|event| self.add(event, most));
        other.lost_from.into_iter().for_each(|rank| self.lose(rank));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(rank: u64) -> TraceId {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&rank.to_be_bytes());
        TraceId(bytes)
    }

    fn exemplar(rank: u64, response_us: i64) -> Exemplar {
        let sample =
            Sample { ended_us: response_us, trace: Some(id(rank)), ..Sample::begun(SeriesId(0), 0, 0) };
        Exemplar::of(&sample, None)
    }

    #[test]
    fn an_id_is_written_in_32_digits() {
        assert_eq!(id(0xab).to_string(), "00000000000000ab0707070707070707");
        assert_eq!(TraceId([0; 16]).to_string(), "0".repeat(32));
    }

    #[test]
    fn one_in_so_many_ids_is_in_the_sample() {
        let check = |number: u32, rank: u64, expected: bool| {
            assert_eq!(
                OneIn::new(NonZeroU32::new(number).unwrap()).takes(id(rank)),
                expected,
                "{rank:x} of {number}"
            );
        };
        check(1, 0, true);
        check(1, u64::MAX, true);
        check(4, u64::MAX / 4, true);
        check(4, u64::MAX / 4 + 1, false);
        check(1_000_000, 0, true);
    }

    #[test]
    fn the_slowest_are_kept_whatever_comes_first() {
        let times = [5, 1, 9, 9, 3, 7, 2];
        let kept = |order: &mut dyn Iterator<Item = usize>| {
            let mut slowest = Slowest::default();
            for at in order {
                let exemplar = exemplar(at as u64, times[at]);
                if slowest.may_take(exemplar.response_us()) {
                    slowest.take(exemplar);
                }
            }
            assert!(!slowest.may_take(6) && slowest.may_take(7));
            slowest.into_list()
        };
        let forwards = kept(&mut (0..times.len()));
        assert_eq!(forwards, [exemplar(2, 9), exemplar(3, 9), exemplar(5, 7)]);
        assert_eq!(kept(&mut (0..times.len()).rev()), forwards);
    }

    #[test]
    fn too_many_events_leave_those_of_the_lowest_ids_and_say_from_where_they_lack() {
        let event = |rank| Event { facts: exemplar(rank, 1), series: SeriesId(0) };
        let sample = |ranks: &[u64], most| {
            let mut events = Events::default();
            ranks.iter().for_each(|rank| events.add(event(*rank), most));
            events
        };
        let ranks = |events: &Events| events.iter().map(Event::rank).collect::<Vec<_>>();
        let few = sample(&[40, 10], 3);
        assert_eq!((ranks(&few), few.lost_from()), (vec![10, 40], None));
        let many = sample(&[50, 20, 30, 60], 3);
        assert_eq!((ranks(&many), many.lost_from()), (vec![20, 30, 50], Some(60)));
        let (mut there, mut back) = (few.clone(), many.clone());
        there.merge(many, 3);
        back.merge(few, 3);
        assert_eq!((ranks(&there), there.lost_from()), (vec![10, 20, 30], Some(40)));
        assert_eq!(there, back);
        assert_eq!(there.complete().count(), 3);
        // Of a smaller sample the largest say nothing.
        there.lose(25);
        assert_eq!(there.complete().map(Event::rank).collect::<Vec<_>>(), [10, 20]);
    }
}
