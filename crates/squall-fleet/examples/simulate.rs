//! Simulates many runs, each under a seed of its own, and says which promises were broken, if any.
//!
//! `cargo run --release --package squall-fleet --example simulate -- FIRST COUNT SLICES`

#![expect(clippy::print_stdout, reason = "this is a command")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_fleet::End;
use squall_fleet::simulation::{Scenery, simulate};

/// What became of all runs.
#[derive(Debug, Default)]
struct Tally {
    runs: AtomicU64,
    finished: AtomicU64,
    interrupted: AtomicU64,
    failed: AtomicU64,
    without_load: AtomicU64,
    replaced: AtomicU64,
    handed_over: AtomicU64,
    duplicate: AtomicU64,
    planned: AtomicU64,
    received: AtomicU64,
    reported: AtomicU64,
    unknown_at_most: AtomicU64,
    broken: AtomicU64,
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [first, count, slices] = numbers[..] else {
        println!("usage: simulate FIRST COUNT SLICES");
        return ExitCode::from(104);
    };
    let slices = u32::try_from(slices).unwrap_or(u32::MAX);
    let (tally, next) = (Tally::default(), AtomicU64::new(first));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    one(&Scenery::any(seed, slices), &tally);
                }
            });
        }
    });
    println!("{tally:#?}");
    ExitCode::from(u8::from(tally.broken.into_inner() > 0))
}

fn one(scenery: &Scenery, tally: &Tally) {
    let outcome = simulate(scenery);
    let add = |to: &AtomicU64, number: u64| to.fetch_add(number, Ordering::Relaxed);
    add(&tally.runs, 1);
    add(&tally.planned, outcome.planned);
    add(&tally.received, outcome.received.total);
    match &outcome.record {
        Err(error) => {
            add(&tally.without_load, 1);
            println!("seed {}: {error}", scenery.seed);
        }
        Ok(record) => {
            add(&tally.replaced, u64::from(record.seats.replaced));
            add(&tally.handed_over, u64::from(record.seats.handed_over));
            add(&tally.duplicate, u64::from(record.seats.duplicate));
            add(&tally.reported, record.merged.requests());
            add(&tally.unknown_at_most, record.unknown_requests);
            let ended = match &record.end {
                End::Finished | End::Detached => &tally.finished,
                End::Interrupted | End::Aborted(_) => &tally.interrupted,
                End::Failed(reason) => {
                    println!("seed {}: {reason}", scenery.seed);
                    &tally.failed
                }
            };
            add(ended, 1);
        }
    }
    let broken = outcome.broken_promises();
    if !broken.is_empty() {
        add(&tally.broken, 1);
        println!("seed {}: {}", scenery.seed, broken.join("; "));
        println!("  {:?}", outcome.record.map(|record| (record.end, record.seats, record.problems)));
    }
}
