//! What measuring costs: one request, one snapshot, one merge.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use squall_metrics::{ConnectionUse, Merged, Outcome, Phase, Phases, Recorder, Sample, SeriesId, Snapshot};

const ENDPOINTS: u16 = 50;

fn sample(n: u64) -> Sample {
    // A spread of 1 to 300 ms over all endpoints, without a random number generator in the measured loop.
    let service_us = 1_000 + (n.wrapping_mul(2_654_435_761) >> 7) % 300_000;
    let scheduled_us = i64::try_from(n % 1_000_000).unwrap_or(0);
    let series = SeriesId(u16::try_from(n % u64::from(ENDPOINTS)).unwrap_or(0));
    let mut phases = Phases::default();
    phases.add(Phase::Send, 12);
    phases.add(Phase::FirstByte, service_us / 2);
    phases.add(Phase::Body, service_us / 2);
    Sample {
        ended_us: scheduled_us + 20 + i64::try_from(service_us).unwrap_or(0),
        outcome: Outcome::Status(200),
        failed: false,
        phases,
        bytes_sent: 120,
        bytes_received: 800,
        connection: ConnectionUse::Reused,
        checks_passed: 1,
        ..Sample::begun(series, scheduled_us, scheduled_us + 20)
    }
}

fn recorder() -> Recorder {
    let mut recorder = Recorder::new(ENDPOINTS.into());
    (0..20_000).for_each(|n| recorder.record(&sample(n)));
    recorder
}

fn snapshot(nonce: u32) -> Snapshot {
    let interval = recorder().take().into_interval();
    Snapshot { run: "bench".to_owned(), nonce: nonce.to_string(), sequence: 0, interval }
}

fn measure(criterion: &mut Criterion) {
    let mut warm = recorder();
    let mut n = 0;
    criterion.bench_function("record one request", |bencher| {
        bencher.iter(|| {
            n += 1;
            warm.begun(20);
            warm.record(black_box(&sample(n)));
        });
    });
    criterion.bench_function("swap out a recording of 50 endpoints", |bencher| {
        bencher.iter_batched(recorder, |mut recorder| recorder.take(), BatchSize::LargeInput);
    });
    let one = snapshot(0);
    criterion.bench_function("encode a snapshot of 50 endpoints", |bencher| {
        bencher.iter(|| black_box(&one).encode());
    });
    let bytes = one.encode();
    criterion.bench_function("decode a snapshot of 50 endpoints", |bencher| {
        bencher.iter(|| Snapshot::decode(black_box(&bytes)));
    });
    criterion.bench_function("merge a snapshot of 50 endpoints", |bencher| {
        let mut merged = Merged::default();
        let mut sequence = 0;
        bencher.iter_batched(
            || {
                sequence += 1;
                Snapshot { sequence, ..one.clone() }
            },
            |snapshot| merged.merge(snapshot),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, measure);
criterion_main!(benches);
