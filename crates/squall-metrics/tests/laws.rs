//! The promises of merging: once, in any order, and as if one recorder had seen it all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;

use proptest::prelude::*;
use squall_metrics::{
    ConnectionUse, DecodeError, Distribution, Exemplar, Health, LoadId, Merge, Merged, Observation, OneIn,
    Outcome, Phase, Phases, Recorder, Sample, Second, SeriesId, SeriesSecond, Snapshot, TraceId,
};

/// Half of the requests are kept whole.
const HALF: NonZeroU32 = NonZeroU32::new(2).unwrap();

fn any_sample() -> impl Strategy<Value = Sample> {
    let outcome = prop_oneof![
        6 => Just((Outcome::Status(200), false)),
        1 => Just((Outcome::Status(429), false)),
        1 => Just((Outcome::Status(503), true)),
        1 => Just((Outcome::Timeout, true)),
        1 => Just((Outcome::Refused, true)),
        1 => Just((Outcome::Unfinished, true)),
    ];
    let trace = proptest::option::of(any::<[u8; 16]>().prop_map(TraceId));
    (0_u16..4, -2_000_000_i64..5_000_000, 0_i64..50_000, 0_i64..9_000_000, outcome, 0_u64..5_000, trace)
        .prop_map(|(series, scheduled_us, lag, service, (outcome, failed), bytes, trace)| {
            let mut phases = Phases::default();
            phases.add(Phase::ALL[usize::from(series)], bytes);
            phases.add(Phase::Body, service.cast_unsigned());
            Sample {
                ended_us: scheduled_us + lag + service,
                waited_us: bytes,
                outcome,
                failed,
                phases,
                bytes_sent: bytes / 10,
                bytes_received: bytes,
                connection: if bytes % 2 == 0 { ConnectionUse::New } else { ConnectionUse::Reused },
                http2: bytes % 3 == 0,
                stale_retries: u32::from(series),
                redirects: u32::from(failed),
                checks_passed: u32::from(!failed),
                checks_failed: u32::from(failed),
                trace,
                trace_sent: trace.is_some() && bytes % 5 == 0,
                ..Sample::begun(SeriesId(series), scheduled_us, scheduled_us + lag)
            }
        })
}

fn record(samples: &[Sample]) -> Recorder {
    let mut recorder = Recorder::new(4);
    recorder.sample_events(OneIn::new(HALF));
    for sample in samples {
        let (load, series) = (LoadId(sample.series.0 % 2), sample.series.0);
        let remote = recorder.remote(IpAddr::from([127, 0, 0, series.to_be_bytes()[1]]));
        recorder.arrival_scheduled(load, sample.scheduled_us);
        recorder.arrival_started(load, sample.scheduled_us);
        recorder.iteration_started(load, sample.started_us);
        recorder.rounds_begun(load, sample.ended_us.unsigned_abs());
        recorder.iteration_completed(sample.ended_us);
        recorder.user_time(load, sample.started_us, sample.ended_us);
        recorder.begun(sample.send_lag_us());
        recorder.record(&Sample { remote: Some(remote), ..*sample });
        // Each as if it were a slice of its own, some of them the bottleneck.
        recorder.loop_delay(sample.bytes_received);
        let observation = Observation {
            stolen_us: sample.bytes_sent,
            observed_us: 4_000,
            connections: 3,
            memory_bytes: sample.bytes_received,
            ..Observation::default()
        };
        recorder.observe(sample.second()..sample.second() + 1, observation);
    }
    recorder
}

fn snapshot(nonce: usize, sequence: u32, samples: &[Sample]) -> Snapshot {
    let interval = record(samples).take().into_interval();
    Snapshot { run: "run".to_owned(), nonce: format!("n{nonce}"), sequence, interval }
}

/// One generator for each chunk of the samples.
fn snapshots(samples: &[Sample], chunk: usize) -> Vec<Snapshot> {
    samples.chunks(chunk).enumerate().map(|(nonce, chunk)| snapshot(nonce, 0, chunk)).collect()
}

/// Of the finished requests of a series, the longest first.
fn response_times(samples: &[Sample], series: SeriesId) -> Vec<u64> {
    let finished = samples.iter().filter(|sample| sample.outcome != Outcome::Unfinished);
    let mut times: Vec<u64> =
        finished.filter(|sample| sample.series == series).map(Sample::response_us).collect();
    times.sort_by(|a, b| b.cmp(a));
    times
}

fn merge(snapshots: impl IntoIterator<Item = Snapshot>) -> Merged {
    let mut merged = Merged::default();
    snapshots.into_iter().for_each(|snapshot| {
        merged.merge(snapshot);
    });
    merged
}

proptest! {
    #[test]
    fn slices_merge_to_what_one_recorder_would_have_seen(
        samples in proptest::collection::vec(any_sample(), 1..120), chunk in 1_usize..40,
    ) {
        let (parts, whole) = (merge(snapshots(&samples, chunk)), merge([snapshot(0, 0, &samples)]));
        prop_assert_eq!(parts.series(), whole.series());
        // What is tainted differs: a slice answers for all its requests of a second, be they one's or another's, and
        // how late they are is judged from many.
        let untainted = |merged: &Merged| -> Vec<_> {
            let without = |second: &Second| Second {
                tainted: BTreeMap::new(),
                health: Health { tainted: 0, tainted_by: [0; 3], ..second.health },
                ..second.clone()
            };
            merged.seconds().iter().map(|(second, content)| (*second, without(content))).collect()
        };
        prop_assert_eq!(untainted(&parts), untainted(&whole));
        prop_assert_eq!((parts.loads(), parts.remotes()), (whole.loads(), whole.remotes()));
        prop_assert_eq!(parts.requests(), samples.len() as u64);
        prop_assert_eq!(parts.outcomes().values().sum::<u64>(), samples.len() as u64);
    }

    #[test]
    fn the_order_of_arrival_changes_nothing(
        samples in proptest::collection::vec(any_sample(), 1..80), chunk in 1_usize..20,
    ) {
        let (there, mut back) = (snapshots(&samples, chunk), snapshots(&samples, chunk));
        back.reverse();
        prop_assert_eq!(merge(there), merge(back));
    }

    /// However often each comes and in whatever order, and of whichever generator and sequence it is.
    #[test]
    fn what_comes_again_or_out_of_order_changes_nothing(
        samples in proptest::collection::vec(any_sample(), 1..60),
        deliveries in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        generators in 1_usize..5,
    ) {
        let chunks = samples.chunks(3).enumerate();
        let sent: Vec<Vec<u8>> = chunks
            .map(|(at, chunk)| snapshot(at % generators, u32::try_from(at / generators).unwrap(), chunk).encode())
            .collect();
        let mut merged = Merged::default();
        let mut seen = BTreeSet::new();
        // First some, in any order and several times; then all, so that nothing is missing.
        let order = deliveries.iter().map(|index| index.index(sent.len())).chain((0..sent.len()).rev());
        for at in order {
            let snapshot = Snapshot::decode(&sent[at]).unwrap();
            let id = (snapshot.nonce.clone(), snapshot.sequence);
            prop_assert_eq!(merged.contains(&id.0, id.1), seen.contains(&id));
            let expected = if seen.insert(id) { Merge::Merged } else { Merge::Duplicate };
            prop_assert_eq!(merged.merge(snapshot), expected);
        }
        prop_assert_eq!(merged.duplicates(), deliveries.len() as u64);
        let mut once = merge(sent.iter().map(|bytes| Snapshot::decode(bytes).unwrap()));
        for at in deliveries {
            once.merge(Snapshot::decode(&sent[at.index(sent.len())]).unwrap());
        }
        prop_assert_eq!(&merged, &once);
        let whole = merge([snapshot(0, 0, &samples)]);
        prop_assert_eq!(merged.series(), whole.series());
    }

    /// The numbers of a run are those of one histogram that was fed with every single request.
    #[test]
    fn percentiles_of_the_merge_are_those_of_all_samples(
        samples in proptest::collection::vec(any_sample(), 1..120), chunk in 1_usize..40,
    ) {
        let sent = snapshots(&samples, chunk).into_iter().map(|snapshot| snapshot.encode());
        let merged = merge(sent.map(|bytes| Snapshot::decode(&bytes).unwrap()));
        for (id, totals) in merged.series() {
            let mut one = Distribution::fine();
            let is_timed = |sample: &&Sample| {
                let timed_out = sample.outcome == Outcome::Timeout;
                sample.series == *id && (timed_out || !sample.failed && sample.outcome != Outcome::Unfinished)
            };
            samples.iter().filter(is_timed).for_each(|sample| one.record(sample.response_us()));
            for quantile in [0.0, 0.5, 0.95, 0.99, 0.999, 1.0] {
                prop_assert_eq!(totals.response.quantile_us(quantile), one.quantile_us(quantile));
            }
            prop_assert_eq!(&totals.response, &one.to_sparse());
        }
    }

    #[test]
    fn merging_is_associative(samples in proptest::collection::vec(any_sample(), 3..90), at in 1_usize..30) {
        let parts: Vec<_> = snapshots(&samples, at).into_iter().map(|snapshot| snapshot.interval).collect();
        let mut left = parts[0].clone();
        parts[1..].iter().for_each(|part| left.merge(part));
        let mut right = parts[parts.len() - 1].clone();
        for part in parts[..parts.len() - 1].iter().rev() {
            let mut sum = part.clone();
            sum.merge(&right);
            right = sum;
        }
        prop_assert_eq!(left, right);
    }

    #[test]
    fn the_slowest_requests_are_kept_and_no_others(
        samples in proptest::collection::vec(any_sample(), 1..120), chunk in 1_usize..40,
    ) {
        let merged = merge(snapshots(&samples, chunk));
        for (id, slowest) in merged.slowest() {
            // Three of each generator at most, and ten of the run.
            let of_generators = samples.chunks(chunk).flat_map(|chunk| {
                let mut times = response_times(chunk, *id);
                times.truncate(3);
                times
            });
            let mut expected: Vec<u64> = of_generators.collect();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(10);
            let found: Vec<u64> = slowest.iter().map(Exemplar::response_us).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert!(slowest.iter().all(|exemplar| exemplar.outcome != Outcome::Unfinished));
            prop_assert!(slowest.iter().all(|exemplar| exemplar.remote.is_some()));
        }
        let named: Vec<SeriesId> = merged.series().keys().copied().collect();
        prop_assert_eq!(merged.slowest().keys().copied().collect::<Vec<_>>(), named);
    }

    #[test]
    fn every_request_of_the_sample_is_kept_once_whoever_made_it(
        samples in proptest::collection::vec(any_sample(), 1..120), chunk in 1_usize..40,
    ) {
        let half = OneIn::new(HALF);
        let mut expected: Vec<TraceId> =
            samples.iter().filter_map(|sample| sample.trace).filter(|trace| half.takes(*trace)).collect();
        expected.sort();
        let mut merged = merge(snapshots(&samples, chunk));
        snapshots(&samples, chunk).into_iter().for_each(|again| { merged.merge(again); });
        let found: Vec<TraceId> = merged.events().iter().filter_map(|event| event.facts.trace).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(merged.events().lost_from(), None);
    }

    #[test]
    fn a_duplicate_counts_once(samples in proptest::collection::vec(any_sample(), 1..60), again in 1_usize..5) {
        let once = snapshots(&samples, 7);
        let mut merged = merge(once.clone());
        for _ in 0..again {
            for snapshot in once.clone() {
                prop_assert_eq!(merged.merge(snapshot), Merge::Duplicate);
            }
        }
        prop_assert_eq!(merged.duplicates(), (once.len() * again) as u64);
        let (again, first) = (merged.slowest(), merge(once));
        prop_assert_eq!(again, first.slowest());
        prop_assert_eq!(merged.requests(), samples.len() as u64);
    }

    #[test]
    fn every_finished_request_is_in_exactly_one_distribution(
        samples in proptest::collection::vec(any_sample(), 1..120),
    ) {
        let merged = merge([snapshot(0, 0, &samples)]);
        for totals in merged.series().values() {
            let unfinished = totals.counts.outcomes.get(&Outcome::Unfinished).copied().unwrap_or(0);
            prop_assert_eq!(totals.response.count() + totals.failed.count() + unfinished, totals.counts.requests);
            prop_assert_eq!(totals.service.count(), totals.response.count());
        }
    }

    #[test]
    fn user_time_is_spread_over_its_seconds(from_us in -5_000_000_i64..5_000_000, length_us in 0_i64..9_000_000) {
        let mut recorder = Recorder::new(0);
        recorder.user_time(LoadId(0), from_us, from_us + length_us);
        let seconds = recorder.take().into_interval().seconds;
        prop_assert_eq!(seconds.values().map(|second| second.user_us).sum::<u64>(), length_us.cast_unsigned());
        prop_assert!(seconds.values().all(|second| second.user_us <= 1_000_000));
    }

    #[test]
    fn a_snapshot_survives_its_bytes(samples in proptest::collection::vec(any_sample(), 0..80), sequence: u32) {
        let snapshot = snapshot(3, sequence, &samples);
        prop_assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Snapshot::decode(&bytes).is_err());
    }

    #[test]
    fn a_damaged_snapshot_is_refused(
        samples in proptest::collection::vec(any_sample(), 1..20), at: prop::sample::Index, bit in 0_u8..8,
    ) {
        let mut bytes = snapshot(0, 0, &samples).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Snapshot::decode(&bytes).is_err());
    }

    #[test]
    fn a_truncated_snapshot_is_refused(samples in proptest::collection::vec(any_sample(), 1..20), at: prop::sample::Index) {
        let bytes = snapshot(0, 0, &samples).encode();
        prop_assert!(Snapshot::decode(&bytes[..at.index(bytes.len())]).is_err());
    }
}

/// A second that goes on when an interval is handed over is as tainted in its first part as in its last.
#[test]
fn a_second_is_tainted_in_all_its_parts() {
    let sample = |ended_us| Sample { ended_us, ..Sample::begun(SeriesId(0), 0, 0) };
    let stolen = |stolen_us| Observation { stolen_us, observed_us: 1_000_000, ..Observation::default() };
    let requests = |tainted: bool| {
        let mut recorder = Recorder::new(1);
        recorder.record(&sample(900_000));
        recorder.observe(0..1, stolen(0));
        // Late: two of the next second have ended already.
        recorder.record(&sample(1_000_100));
        recorder.record(&sample(1_000_200));
        let first = recorder.take().into_interval();
        recorder.record(&sample(1_500_000));
        recorder.observe(1..2, stolen(if tainted { 500_000 } else { 0 }));
        let mut whole = recorder.take().into_interval();
        whole.merge(&first);
        let count =
            |list: &BTreeMap<SeriesId, SeriesSecond>| list.values().map(|of| of.requests).sum::<u64>();
        whole
            .seconds
            .values()
            .map(|second| (count(&second.series), count(&second.tainted)))
            .collect::<Vec<_>>()
    };
    assert_eq!(requests(true), [(1, 0), (3, 3)]);
    assert_eq!(requests(false), [(1, 0), (3, 0)]);
}

/// What a thread turns away is told by everybody who adds it up.
#[test]
fn of_too_many_sampled_requests_those_of_the_lowest_ids_are_kept() {
    let mut recorder = Recorder::new(1);
    recorder.sample_events(OneIn::new(NonZeroU32::MIN));
    let id = |number: u64| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TraceId(bytes)
    };
    // Not in order: 7 has no factor in common with 600.
    for at in 0..600 {
        let trace = Some(id(at * 7 % 600));
        recorder.record(&Sample { trace, ..Sample::begun(SeriesId(0), 0, 0) });
    }
    let interval = recorder.take().into_interval();
    let snapshot = Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 0, interval };
    let read = Snapshot::decode(&snapshot.encode()).unwrap();
    assert_eq!(read, snapshot);
    let merged = merge([read]);
    let kept: Vec<TraceId> = merged.events().iter().filter_map(|event| event.facts.trace).collect();
    assert_eq!(kept, (0..500).map(id).collect::<Vec<_>>());
    assert_eq!(merged.events().lost_from(), Some(500));
}

/// Of too many addresses, problems and things left over, whatever comes first, the same are told by name.
#[test]
fn what_finds_no_room_is_counted_and_does_not_hang_on_the_order() {
    let parts = (0..30_u8).map(|at| {
        let mut recorder = Recorder::new(1);
        for number in [at.wrapping_mul(37) % 60, at * 4, 255 - at * 4, 7] {
            let remote = Some(recorder.remote(IpAddr::from([10, 0, 0, number])));
            recorder.record(&Sample { remote, ..Sample::begun(SeriesId(0), 0, 0) });
            recorder.note(format!("problem {number}"));
            recorder.cleanup_left(format!("DELETE /{number}"));
        }
        let interval = recorder.take().into_interval();
        Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: at.into(), interval }
    });
    let (there, back) = (merge(parts.clone()), merge(parts.rev()));
    assert_eq!(there, back);
    let sums = [
        there.remotes().values().sum::<u64>(),
        there.problems().values().sum(),
        there.cleanup().left.values().sum(),
    ];
    assert_eq!(sums, [120; 3]);
    // One more stands for all others, and what is told by name is told in full.
    assert_eq!((there.remotes().len(), there.problems().len()), (65, 21));
    assert_eq!(there.remotes()[&IpAddr::from([10, 0, 0, 7])], 30);
}

#[test]
fn a_snapshot_of_another_version_says_so() {
    let mut bytes = snapshot(0, 0, &[]).encode();
    bytes[4] = 9;
    assert_eq!(Snapshot::decode(&bytes), Err(DecodeError::Version(9)));
    assert_eq!(Snapshot::decode(b"PK\x03\x04"), Err(DecodeError::Foreign));
}

#[test]
fn a_run_however_long_keeps_its_counts_and_the_latest_hour_by_the_second() {
    let mut merged = Merged::default();
    let second = |at_s: i64| {
        let mut recorder = Recorder::new(1);
        let end_us = at_s * 1_000_000;
        recorder.record(&Sample { ended_us: end_us, ..Sample::begun(SeriesId(0), end_us - 5, end_us - 5) });
        recorder.gauge(end_us, 7, 3);
        recorder.take().into_interval()
    };
    let lasts_s = 86_400_u32;
    for at_s in 0..lasts_s {
        let (run, nonce) = ("run".to_owned(), "n".to_owned());
        merged.merge(Snapshot { run, nonce, sequence: at_s, interval: second(at_s.into()) });
    }
    // One that comes late finds its place among the others.
    let late = Snapshot { run: "run".to_owned(), nonce: "m".to_owned(), sequence: 0, interval: second(100) };
    merged.merge(late);
    let seconds = merged.seconds();
    assert!(seconds.len() <= 7_800, "{}", seconds.len());
    let requests = |second: &Second| second.series[&SeriesId(0)].requests;
    assert_eq!(seconds.values().map(requests).sum::<u64>(), u64::from(lasts_s) + 1);
    assert!(seconds.values().all(|second| (second.users, second.in_flight) == (7, 3)));
    let last = i32::try_from(lasts_s).unwrap() - 1;
    assert!((last - 3_599..=last).all(|second| requests(&seconds[&second]) == 1));
}
