//! Single requests as bytes.

use std::collections::BTreeMap;

use crate::exemplar::{
    EVENTS_OF_INTERVAL, Event, Events, Exemplar, SLOWEST_OF_INTERVAL, TraceId, keep_slowest,
};
use crate::phases::{Phase, Phases};
use crate::{ConnectionUse, Outcome, SeriesId};

use super::{DecodeError, Reader, Writer};

// What is true of a request, each in a bit.
const FAILED: u64 = 1;
const HTTP2: u64 = 1 << 1;
const NEW: u64 = 1 << 2;
const REUSED: u64 = 1 << 3;
const REMOTE: u64 = 1 << 4;
const TRACE: u64 = 1 << 5;
const TRACE_SENT: u64 = 1 << 6;
const ALL: u64 = (1 << 7) - 1;

impl Writer {
    pub(super) fn slowest(&mut self, slowest: &BTreeMap<SeriesId, Vec<Exemplar>>) {
        self.list(slowest, |writer, id, slowest| {
            writer.numbers(&[u64::from(id.0), slowest.len() as u64]);
            slowest.iter().for_each(|exemplar| writer.exemplar(exemplar));
        });
    }

    pub(super) fn events(&mut self, events: &Events) {
        self.number(events.len() as u64);
        for event in events.iter() {
            self.number(u64::from(event.series.0));
            self.exemplar(&event.facts);
        }
        self.number(u64::from(events.lost_from().is_some()));
        events.lost_from().into_iter().for_each(|rank| self.number(rank));
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let connection = match exemplar.connection {
            ConnectionUse::None => 0,
            ConnectionUse::New => NEW,
            ConnectionUse::Reused => REUSED,
        };
        let bits = [
            (exemplar.failed, FAILED),
            (exemplar.http2, HTTP2),
            (exemplar.remote.is_some(), REMOTE),
            (exemplar.trace.is_some(), TRACE),
            (exemplar.trace_sent, TRACE_SENT),
        ];
        let bits = bits.iter().filter(|(is_true, _)| *is_true).fold(connection, |sum, (_, bit)| sum | bit);
        self.number(bits);
        self.signed(exemplar.scheduled_us);
        // Nearly always small; where they are not, they come back all the same.
        self.signed(exemplar.started_us.wrapping_sub(exemplar.scheduled_us));
        self.signed(exemplar.ended_us.wrapping_sub(exemplar.started_us));
        self.number(u64::from(exemplar.outcome.code()));
        for phase in Phase::ALL {
            self.number(exemplar.phases.get(phase).map_or(0, |us| us + 1));
        }
        self.number(exemplar.bytes_received);
        exemplar.remote.into_iter().for_each(|remote| self.address(remote));
        exemplar.trace.iter().for_each(|trace| self.bytes.extend_from_slice(&trace.0));
    }
}

impl Reader<'_> {
    pub(super) fn slowest(&mut self) -> Result<BTreeMap<SeriesId, Vec<Exemplar>>, DecodeError> {
        self.list(|reader| {
            let (id, number) = (SeriesId(reader.small()?), reader.number()?);
            if number > SLOWEST_OF_INTERVAL as u64 {
                return Err(DecodeError::Damaged("too many slow requests"));
            }
            let mut slowest = Vec::new();
            for _ in 0..number {
                keep_slowest(&mut slowest, reader.exemplar()?, SLOWEST_OF_INTERVAL);
            }
            Ok((id, slowest))
        })
    }

    pub(super) fn events(&mut self) -> Result<Events, DecodeError> {
        let number = self.number()?;
        if number > EVENTS_OF_INTERVAL as u64 {
            return Err(DecodeError::Damaged("too many events"));
        }
        let mut events = Events::default();
        for _ in 0..number {
            let series = SeriesId(self.small()?);
            events.add(Event { facts: self.exemplar()?, series }, EVENTS_OF_INTERVAL);
        }
        if self.number()? != 0 {
            events.lose(self.number()?);
        }
        Ok(events)
    }

    fn exemplar(&mut self) -> Result<Exemplar, DecodeError> {
        let bits = self.number()?;
        let connection = match (bits & NEW != 0, bits & REUSED != 0) {
            (false, false) => ConnectionUse::None,
            (true, false) => ConnectionUse::New,
            (false, true) => ConnectionUse::Reused,
            (true, true) => return Err(DecodeError::Damaged("a connection both new and reused")),
        };
        if bits > ALL {
            return Err(DecodeError::Damaged("unknown facts of a request"));
        }
        let scheduled_us = self.signed()?;
        let started_us = scheduled_us.wrapping_add(self.signed()?);
        Ok(Exemplar {
            failed: bits & FAILED != 0,
            http2: bits & HTTP2 != 0,
            connection,
            trace_sent: bits & TRACE_SENT != 0,
            scheduled_us,
            started_us,
            ended_us: started_us.wrapping_add(self.signed()?),
            outcome: Outcome::from_code(self.small()?).ok_or(DecodeError::Damaged("unknown outcome"))?,
            phases: self.phases_of_one()?,
            bytes_received: self.number()?,
            remote: if bits & REMOTE == 0 { None } else { Some(self.address()?) },
            trace: if bits & TRACE == 0 { None } else { Some(self.trace()?) },
        })
    }

    fn phases_of_one(&mut self) -> Result<Phases, DecodeError> {
        let mut phases = Phases::default();
        for phase in Phase::ALL {
            self.number()?.checked_sub(1).into_iter().for_each(|us| phases.add(phase, us));
        }
        Ok(phases)
    }

    fn trace(&mut self) -> Result<TraceId, DecodeError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Damaged("ends too early"))?;
        self.bytes = rest;
        Ok(TraceId(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use crate::Sample;

    use super::*;

    fn exemplar() -> Exemplar {
        let mut exemplar = Exemplar::of(&Sample::begun(SeriesId(0), i64::MAX, i64::MIN), None);
        exemplar.phases.add(Phase::Body, u64::MAX);
        exemplar
    }

    fn reading(bytes: &[u8]) -> Reader<'_> {
        Reader { bytes, buckets: &[] }
    }

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.bytes
    }

    #[test]
    fn a_request_with_impossible_times_comes_back_as_it_was() {
        let bytes = written(|writer| writer.exemplar(&exemplar()));
        let mut reader = reading(&bytes);
        assert_eq!(reader.exemplar(), Ok(exemplar()));
        assert!(reader.bytes.is_empty());
        for length in 0..bytes.len() {
            assert!(reading(&bytes[..length]).exemplar().is_err());
        }
    }

    #[test]
    fn more_requests_than_anybody_keeps_are_refused() {
        let slow = |number: usize| {
            let slowest = BTreeMap::from([(SeriesId(0), vec![exemplar(); number])]);
            let bytes = written(|writer| writer.slowest(&slowest));
            reading(&bytes).slowest().map(|slowest| slowest[&SeriesId(0)].len())
        };
        assert_eq!(slow(3), Ok(3));
        assert_eq!(slow(4), Err(DecodeError::Damaged("too many slow requests")));
        let bytes = written(|writer| writer.number(EVENTS_OF_INTERVAL as u64 + 1));
        assert_eq!(reading(&bytes).events(), Err(DecodeError::Damaged("too many events")));
    }

    #[test]
    fn facts_that_contradict_each_other_are_refused() {
        let check = |bits: u64, problem| {
            let bytes = written(|writer| writer.numbers(&[bits, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0]));
            assert_eq!(reading(&bytes).exemplar().err(), problem);
        };
        check(FAILED, None);
        check(NEW | REUSED, Some(DecodeError::Damaged("a connection both new and reused")));
        check(ALL + 1, Some(DecodeError::Damaged("unknown facts of a request")));
    }
}
