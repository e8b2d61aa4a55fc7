//! A small service in virtual time, for tests: arrivals on a schedule, answered by whatever a test says.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers of tests are small"
)]

use squall_metrics::{ConnectionUse, LoadId, Merged, Outcome, Phase, Recorder, Sample, SeriesId, Snapshot};

use crate::observed::{Endpoint, Observed};
use crate::stats::bootstrap::Chance;

/// How a request was answered.
pub(crate) struct Answer {
    pub outcome: Outcome,
    pub takes_s: f64,
    pub connecting_s: Option<f64>,
}

/// A status that is no failure, for it is expected.
pub(crate) const EXPECTED: u16 = 410;

pub(crate) fn ok(takes_s: f64) -> Answer {
    Answer { outcome: Outcome::Status(200), takes_s, connecting_s: None }
}

pub(crate) fn failed(status: u16, takes_s: f64) -> Answer {
    Answer { outcome: Outcome::Status(status), takes_s, connecting_s: None }
}

/// Arrivals at a rate over time, at random; of the endpoints every third is a write.
pub(crate) fn run(
    seed: u64,
    length_s: f64,
    rate: impl Fn(f64) -> f64,
    answer: impl FnMut(f64, usize, &mut Chance) -> Answer,
) -> Observed {
    run_on(3, seed, length_s, rate, answer)
}

/// The same of the first so many endpoints, up to three.
pub(crate) fn run_on(
    count: usize,
    seed: u64,
    length_s: f64,
    rate: impl Fn(f64) -> f64,
    mut answer: impl FnMut(f64, usize, &mut Chance) -> Answer,
) -> Observed {
    let mut chance = Chance::new(seed);
    let mut recorder = Recorder::new(count);
    let (mut at_s, mut ends) = (0.0, Vec::new());
    let highest = (0..1_000).map(|place| rate(length_s * f64::from(place) / 1e3)).fold(0.0, f64::max);
    let us = |at_s: f64| (at_s * 1e6) as i64;
    loop {
        at_s -= (1.0 - chance.uniform()).ln() / highest;
        if at_s >= length_s {
            break;
        }
        if chance.uniform() > rate(at_s) / highest {
            continue;
        }
        let endpoint = (chance.uniform() * count as f64) as usize % count;
        recorder.arrival_scheduled(LoadId(0), us(at_s));
        recorder.arrival_started(LoadId(0), us(at_s));
        let answered = answer(at_s, endpoint, &mut chance);
        let mut sample = Sample::begun(SeriesId(endpoint as u16), us(at_s), us(at_s));
        let takes_s = answered.takes_s + answered.connecting_s.unwrap_or(0.0);
        sample.ended_us = us(at_s + takes_s);
        sample.outcome = answered.outcome;
        sample.failed = ![Outcome::Status(200), Outcome::Status(EXPECTED)].contains(&answered.outcome);
        sample.connection = ConnectionUse::Reused;
        if let Some(connecting_s) = answered.connecting_s {
            sample.connection = ConnectionUse::New;
            sample.phases.add(Phase::Connect, us(connecting_s) as u64);
        }
        recorder.record(&sample);
        ends.push((at_s, at_s + takes_s));
    }
    for second in 0..length_s as i32 {
        let end = f64::from(second + 1);
        let under_way = ends.iter().filter(|(from, until)| *from < end && *until >= end).count() as u32;
        recorder.gauge(i64::from(second) * 1_000_000 + 999_999, under_way, under_way);
    }
    let interval = recorder.take().into_interval();
    let mut merged = Merged::default();
    merged.merge(Snapshot { run: String::new(), nonce: "a".to_owned(), sequence: 0, interval });
    Observed::new(endpoints().drain(..count).collect(), &merged, length_s)
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let named = [("GET /items", false), ("GET /items/:id", false), ("POST /orders", true)];
    named.map(|(name, writes)| Endpoint { name: name.to_owned(), writes, counts: true }).to_vec()
}

/// A log-normal time around a median.
pub(crate) fn around(median_s: f64, deviation: f64, chance: &mut Chance) -> f64 {
    median_s * (deviation * chance.normal()).exp()
}

/// Servers of which each serves one request at a time, in the order of arrival.
pub(crate) struct Servers(pub Vec<f64>);

impl Servers {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![0.0; count])
    }

    /// How long a request takes that comes now and is served for so long; `None` if it would have to wait longer than that.
    pub(crate) fn serve(&mut self, at_s: f64, for_s: f64, most_s: f64) -> Option<f64> {
        let first = self.0.iter_mut().min_by(|one, other| one.total_cmp(other))?;
        let begin = first.max(at_s);
        if begin - at_s > most_s {
            return None;
        }
        *first = begin + for_s;
        Some(begin + for_s - at_s)
    }
}
