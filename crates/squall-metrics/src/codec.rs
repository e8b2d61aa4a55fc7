//! Snapshots as bytes.
//!
//! ```text
//! "SQSN"  version: u8  crc32 of the rest: u32 LE
//! length of buckets: varint  buckets  length of what follows, unpacked: varint  deflate( strings and varints )
//! ```
//!
//! Signed numbers are zigzag. A distribution is the number of its bytes; these are the next of the buckets, packed
//! (`sparse::packed`). They stand apart because deflate saves nothing there and would cost a third of all time to read.

mod exemplars;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};

use flate2::write::DeflateEncoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use thiserror::Error;

use crate::health::Health;
use crate::interval::{
    Arrivals, Cleanup, Interval, Iterations, LoadCounts, MAX_LEFT, MAX_PROBLEMS, MAX_REMOTES, Second, Series,
    SeriesSecond,
};
use crate::phases::Phase;
use crate::scale::Scale;
use crate::sparse::Sparse;
use crate::varint;
use crate::{LoadId, MeasureId, Outcome, SeriesId, Snapshot};

const MAGIC: &[u8; 4] = b"SQSN";
const VERSION: u8 = 8;
const HEADER_BYTES: usize = 9;

/// A snapshot that unpacks to more is refused: 200 series in a long interval stay far below.
const MAX_UNPACKED_BYTES: usize = 64 * 1024 * 1024;

/// A byte of deflate says at most so many, so that no length is believed that cannot be.
const MOST_PER_BYTE: usize = 1_032;

/// A longer name or problem is refused.
const MAX_STRING_BYTES: usize = 4_096;

/// Why bytes are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They are something else.
    #[error("not a snapshot")]
    Foreign,
    /// Another version of Squall wrote them.
    #[error("snapshot of version {0}, not {VERSION}")]
    Version(u8),
    /// They are not what was written: cut off or changed on the way.
    #[error("damaged snapshot: {0}")]
    Damaged(&'static str),
    /// They unpack to more than any snapshot.
    #[error("snapshot of more than {MAX_UNPACKED_BYTES} bytes")]
    TooLarge,
}

pub(crate) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    seal(&Writer::of(snapshot))
}

/// Puts together what was written.
fn seal(writer: &Writer) -> Vec<u8> {
    let mut rest = Vec::new();
    varint::push(&mut rest, writer.buckets.len() as u64);
    rest.extend_from_slice(&writer.buckets);
    varint::push(&mut rest, writer.bytes.len() as u64);
    let mut deflate = DeflateEncoder::new(rest, flate2::Compression::fast());
    // Writing to memory cannot fail.
    let rest = deflate.write_all(&writer.bytes).and_then(|()| deflate.finish()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + rest.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Foreign)?;
    let (&version, rest) = rest.split_first().ok_or(DecodeError::Damaged("no version"))?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let (sum, rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged("no checksum"))?;
    if u32::from_le_bytes(*sum) != checksum(rest) {
        return Err(DecodeError::Damaged("wrong checksum"));
    }
    let mut outer = Reader { bytes: rest, buckets: &[] };
    let length = outer.small()?;
    let buckets = outer.take(length)?;
    let length = outer.small()?;
    let unpacked = inflate(outer.bytes, length)?;
    let mut reader = Reader { bytes: &unpacked, buckets };
    let snapshot = Snapshot {
        run: reader.string()?,
        nonce: reader.string()?,
        sequence: reader.small()?,
        interval: reader.interval()?,
    };
    let is_all = reader.bytes.is_empty() && reader.buckets.is_empty();
    if is_all { Ok(snapshot) } else { Err(DecodeError::Damaged("more than a snapshot")) }
}

/// At once, for its length is known: in parts it would be copied once more.
fn inflate(packed: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
    if length > MAX_UNPACKED_BYTES {
        return Err(DecodeError::TooLarge);
    }
    if length / MOST_PER_BYTE > packed.len() {
        return Err(DecodeError::Damaged("too few bytes"));
    }
    let mut unpacked = vec![0; length];
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress(packed, &mut unpacked, FlushDecompress::Finish);
    let ended = matches!(status, Ok(Status::StreamEnd));
    let is_all = inflate.total_in() == packed.len() as u64 && inflate.total_out() == length as u64;
    if ended && is_all { Ok(unpacked) } else { Err(DecodeError::Damaged("not compressed as it should be")) }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// The buckets of all distributions.
    buckets: Vec<u8>,
}

impl Writer {
    fn of(snapshot: &Snapshot) -> Self {
        let mut writer = Self::default();
        writer.string(&snapshot.run);
        writer.string(&snapshot.nonce);
        writer.number(u64::from(snapshot.sequence));
        writer.interval(&snapshot.interval);
        writer
    }

    fn number(&mut self, number: u64) {
        varint::push(&mut self.bytes, number);
    }

    fn numbers(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|&number| self.number(number));
    }

    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// A text, cut to what a reader accepts.
    fn string(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(MAX_STRING_BYTES)];
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn list<K, V>(&mut self, map: &BTreeMap<K, V>, write: impl Fn(&mut Self, &K, &V)) {
        self.number(map.len() as u64);
        map.iter().for_each(|(key, value)| write(self, key, value));
    }

    fn interval(&mut self, interval: &Interval) {
        self.list(&interval.series, |writer, id, series| {
            writer.number(u64::from(id.0));
            writer.series(series);
        });
        self.list(&interval.seconds, |writer, second, content| {
            writer.signed(i64::from(*second));
            writer.second(content);
        });
        self.list(&interval.loads, |writer, id, load| {
            writer.number(u64::from(id.0));
            writer.arrivals(&load.arrivals);
            writer.numbers(&[load.iterations, load.user_us, load.rounds]);
        });
        self.list(&interval.measures, |writer, id, values| {
            writer.number(u64::from(id.0));
            writer.sparse(values, Scale::Coarse);
        });
        self.sparse(&interval.send_lag, Scale::Coarse);
        self.sparse(&interval.loop_delay, Scale::Coarse);
        self.list(&interval.remotes, |writer, address, count| {
            writer.address(*address);
            writer.number(*count);
        });
        self.texts(&interval.problems);
        self.number(interval.cleanup.created);
        self.number(interval.cleanup.undone);
        self.texts(&interval.cleanup.left);
        self.slowest(&interval.slowest);
        self.events(&interval.events);
    }

    /// Texts and how often there are.
    fn texts(&mut self, texts: &BTreeMap<String, u64>) {
        self.list(texts, |writer, text, count| {
            writer.string(text);
            writer.number(*count);
        });
    }

    fn series(&mut self, series: &Series) {
        self.numbers(&[series.requests, series.errors]);
        self.outcomes(&series.outcomes);
        self.sparse(&series.response, Scale::Fine);
        self.sparse(&series.failed, Scale::Fine);
        self.sparse(&series.service, Scale::Fine);
        series.phases.iter().for_each(|phase| self.sparse(phase, Scale::Coarse));
        self.numbers(&[series.bytes_sent, series.bytes_received]);
        self.numbers(&[series.new_connections, series.reused_connections]);
        self.numbers(&[series.http2, series.stale_retries, series.redirects]);
        self.numbers(&[series.checks_passed, series.checks_failed]);
    }

    fn second(&mut self, second: &Second) {
        let Second { arrivals, iterations, health, .. } = second;
        self.arrivals(arrivals);
        self.numbers(&[iterations.started, iterations.completed, iterations.failed, iterations.interrupted]);
        self.numbers(&[second.user_us, second.users, second.in_flight]);
        self.numbers(&second.phases_us);
        self.numbers(&[health.slice_seconds, health.tainted]);
        self.numbers(&health.tainted_by);
        self.numbers(&[health.cpu_us, health.stolen_us, health.observed_us]);
        self.numbers(&[health.connections, health.memory_bytes, health.loop_delay_max_us]);
        self.series_seconds(&second.series);
        self.series_seconds(&second.tainted);
    }

    fn series_seconds(&mut self, series: &BTreeMap<SeriesId, SeriesSecond>) {
        self.list(series, |writer, id, series| {
            writer.numbers(&[u64::from(id.0), series.requests, series.errors, series.new_connections]);
            writer.numbers(&[series.checks_passed, series.checks_failed]);
            writer.outcomes(&series.outcomes);
            writer.sparse(&series.response, Scale::Coarse);
            writer.sparse(&series.failed, Scale::Coarse);
        });
    }

    fn arrivals(&mut self, arrivals: &Arrivals) {
        self.numbers(&[arrivals.scheduled, arrivals.started, arrivals.dropped]);
    }

    /// As IPv6; IPv4 in its mapped form.
    fn address(&mut self, address: IpAddr) {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.bytes.extend_from_slice(&address.octets());
    }

    fn outcomes(&mut self, outcomes: &BTreeMap<Outcome, u64>) {
        self.list(outcomes, |writer, outcome, count| writer.numbers(&[u64::from(outcome.code()), *count]));
    }

    fn sparse(&mut self, sparse: &Sparse, scale: Scale) {
        let packed = sparse.to_packed(scale);
        self.number(packed.len() as u64);
        self.buckets.extend_from_slice(&packed);
    }
}

/// What is left to read. Nothing is allocated by a length that was read: lists grow as their items come.
struct Reader<'a> {
    bytes: &'a [u8],
    buckets: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> Result<u64, DecodeError> {
        varint::pull(&mut self.bytes).ok_or(DecodeError::Damaged("number without an end"))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError::Damaged("number out of range"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// So many bytes as they are.
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.bytes.split_at_checked(length).ok_or(DecodeError::Damaged("ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let length: usize = self.small()?;
        if length > MAX_STRING_BYTES {
            return Err(DecodeError::Damaged("text out of range"));
        }
        let text = str::from_utf8(self.take(length)?);
        text.map(str::to_owned).map_err(|_| DecodeError::Damaged("text is not UTF-8"))
    }

    fn list<K: Ord, V>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<(K, V), DecodeError>,
    ) -> Result<BTreeMap<K, V>, DecodeError> {
        let length = self.number()?;
        let mut map = BTreeMap::new();
        for _ in 0..length {
            let (key, value) = read(self)?;
            if map.insert(key, value).is_some() {
                return Err(DecodeError::Damaged("key given twice"));
            }
        }
        Ok(map)
    }

    fn interval(&mut self) -> Result<Interval, DecodeError> {
        let interval = Interval {
            series: self.list(|reader| Ok((SeriesId(reader.small()?), reader.series()?)))?,
            seconds: self.list(|reader| {
                let second = reader.signed()?;
                let second =
                    i32::try_from(second).map_err(|_| DecodeError::Damaged("second out of range"))?;
                Ok((second, reader.second()?))
            })?,
            loads: self.list(|reader| Ok((LoadId(reader.small()?), reader.load()?)))?,
            measures: self.list(|reader| Ok((MeasureId(reader.small()?), reader.sparse(Scale::Coarse)?)))?,
            send_lag: self.sparse(Scale::Coarse)?,
            loop_delay: self.sparse(Scale::Coarse)?,
            remotes: self.list(|reader| Ok((reader.address()?, reader.number()?)))?,
            problems: self.texts()?,
            cleanup: Cleanup { created: self.number()?, undone: self.number()?, left: self.texts()? },
            slowest: self.slowest()?,
            events: self.events()?,
        };
        if interval.cleanup.left.len() > MAX_LEFT + 1 {
            return Err(DecodeError::Damaged("too many things left over"));
        }
        if interval.problems.len() > MAX_PROBLEMS + 1 {
            return Err(DecodeError::Damaged("too many problems"));
        }
        if interval.remotes.len() > MAX_REMOTES + 1 {
            return Err(DecodeError::Damaged("too many addresses"));
        }
        Ok(interval)
    }

    /// Texts and how often there are.
    fn texts(&mut self) -> Result<BTreeMap<String, u64>, DecodeError> {
        self.list(|reader| Ok((reader.string()?, reader.number()?)))
    }

    fn series(&mut self) -> Result<Series, DecodeError> {
        Ok(Series {
            requests: self.number()?,
            errors: self.number()?,
            outcomes: self.outcomes()?,
            response: self.sparse(Scale::Fine)?,
            failed: self.sparse(Scale::Fine)?,
            service: self.sparse(Scale::Fine)?,
            phases: self.phases()?,
            bytes_sent: self.number()?,
            bytes_received: self.number()?,
            new_connections: self.number()?,
            reused_connections: self.number()?,
            http2: self.number()?,
            stale_retries: self.number()?,
            redirects: self.number()?,
            checks_passed: self.number()?,
            checks_failed: self.number()?,
        })
    }

    fn second(&mut self) -> Result<Second, DecodeError> {
        Ok(Second {
            arrivals: self.arrivals()?,
            iterations: Iterations {
                started: self.number()?,
                completed: self.number()?,
                failed: self.number()?,
                interrupted: self.number()?,
            },
            user_us: self.number()?,
            users: self.number()?,
            in_flight: self.number()?,
            phases_us: self.sums()?,
            health: self.health()?,
            series: self.list(|reader| Ok((SeriesId(reader.small()?), reader.series_second()?)))?,
            tainted: self.list(|reader| Ok((SeriesId(reader.small()?), reader.series_second()?)))?,
        })
    }

    fn arrivals(&mut self) -> Result<Arrivals, DecodeError> {
        Ok(Arrivals { scheduled: self.number()?, started: self.number()?, dropped: self.number()? })
    }

    fn load(&mut self) -> Result<LoadCounts, DecodeError> {
        Ok(LoadCounts {
            arrivals: self.arrivals()?,
            iterations: self.number()?,
            user_us: self.number()?,
            rounds: self.number()?,
        })
    }

    fn health(&mut self) -> Result<Health, DecodeError> {
        Ok(Health {
            slice_seconds: self.number()?,
            tainted: self.number()?,
            tainted_by: [self.number()?, self.number()?, self.number()?],
            cpu_us: self.number()?,
            stolen_us: self.number()?,
            observed_us: self.number()?,
            connections: self.number()?,
            memory_bytes: self.number()?,
            loop_delay_max_us: self.number()?,
        })
    }

    fn phases(&mut self) -> Result<[Sparse; Phase::ALL.len()], DecodeError> {
        let mut phases = <[Sparse; Phase::ALL.len()]>::default();
        for phase in &mut phases {
            *phase = self.sparse(Scale::Coarse)?;
        }
        Ok(phases)
    }

    fn sums(&mut self) -> Result<[u64; Phase::ALL.len()], DecodeError> {
        let mut sums = [0; Phase::ALL.len()];
        for sum in &mut sums {
            *sum = self.number()?;
        }
        Ok(sums)
    }

    fn address(&mut self) -> Result<IpAddr, DecodeError> {
        let (octets, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Damaged("ends too early"))?;
        self.bytes = rest;
        Ok(Ipv6Addr::from_octets(*octets).to_canonical())
    }

    fn series_second(&mut self) -> Result<SeriesSecond, DecodeError> {
        Ok(SeriesSecond {
            requests: self.number()?,
            errors: self.number()?,
            new_connections: self.number()?,
            checks_passed: self.number()?,
            checks_failed: self.number()?,
            outcomes: self.outcomes()?,
            response: self.sparse(Scale::Coarse)?,
            failed: self.sparse(Scale::Coarse)?,
        })
    }

    fn outcomes(&mut self) -> Result<BTreeMap<Outcome, u64>, DecodeError> {
        self.list(|reader| {
            let outcome =
                Outcome::from_code(reader.small()?).ok_or(DecodeError::Damaged("unknown outcome"))?;
            Ok((outcome, reader.number()?))
        })
    }

    fn sparse(&mut self, scale: Scale) -> Result<Sparse, DecodeError> {
        let length: usize = self.small()?;
        let (packed, rest) =
            self.buckets.split_at_checked(length).ok_or(DecodeError::Damaged("buckets end too early"))?;
        self.buckets = rest;
        Sparse::try_from_packed(scale, packed).ok_or(DecodeError::Damaged("distribution without sense"))
    }
}

#[cfg(test)]
mod tests;
