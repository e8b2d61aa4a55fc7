//! Simulates many runs, each under a seed of its own, and says what became of them and which promises were broken, if
//! any. In any weather, or with `calm` in none.
//!
//! `cargo run --release --package squall-fleet --example simulate -- FIRST COUNT SLICES [REGIONS] [calm]`

#![expect(clippy::print_stdout, reason = "this is a command")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use squall_fleet::End;
use squall_fleet::simulation::{Outcome, Scenery, Weather, simulate};

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
    unbounded: AtomicU64,
    broken: AtomicU64,
    /// Why runs failed, with every number as `#`, and how many did for that.
    reasons: Mutex<BTreeMap<String, u64>>,
    is_told_one_by_one: bool,
}

/// So many runs at most are told one by one.
const FEW: u64 = 50;

fn tell(scenery: &Scenery, outcome: &Outcome) {
    let Outcome { planned, took, received, .. } = outcome;
    print!("seed {}: {planned} planned, {} received, took {took:?}", scenery.seed, received.total);
    if let Ok(record) = &outcome.record {
        let (reported, unknown, missing) =
            (record.merged.requests(), record.unknown_requests, record.missing.len());
        print!(", {reported} reported, at most {unknown:?} unknown, {missing} missing, {:?}", record.end);
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        record.missing.iter().for_each(|missing| *kinds.entry(without_numbers(missing)).or_default() += 1);
        print!("\n  {:?}\n  {:?}\n  {kinds:?}\n  {:?}", scenery.weather, record.seats, record.problems);
    }
    println!("\n  nobody orchestrated for {:?}", outcome.absent);
}

impl Tally {
    fn failed_for(&self, seed: u64, reason: &str) {
        println!("seed {seed}: {reason}");
        let reason = without_numbers(reason);
        *self.reasons.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }
}

/// A sentence with `#` for whatever has a number in it, so that those of one kind are the same.
fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
    text.split(' ').map(|word| if is_number(word) { "#" } else { word }).collect::<Vec<_>>().join(" ")
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (first, count, slices, regions) = match numbers[..] {
        [first, count, slices] => (first, count, slices, 1),
        [first, count, slices, regions] => (first, count, slices, regions),
        _ => {
            println!("usage: simulate FIRST COUNT SLICES [REGIONS] [calm]");
            return ExitCode::from(104);
        }
    };
    let calm = std::env::args().any(|text| text == "calm");
    let [slices, regions] = [slices, regions].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let (tally, next) =
        (Tally { is_told_one_by_one: count <= FEW, ..Tally::default() }, AtomicU64::new(first));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let scenery = Scenery::any(seed, slices, regions);
                    let weather = if calm { Weather::default() } else { scenery.weather };
                    one(&Scenery { weather, ..scenery }, &tally);
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
            tally.failed_for(scenery.seed, error);
        }
        Ok(record) => {
            add(&tally.replaced, u64::from(record.seats.replaced));
            add(&tally.handed_over, u64::from(record.seats.handed_over));
            add(&tally.duplicate, u64::from(record.seats.duplicate));
            add(&tally.reported, record.merged.requests());
            match record.unknown_requests {
                Some(most) => add(&tally.unknown_at_most, most),
                None => add(&tally.unbounded, 1),
            };
            let ended = match &record.end {
                End::Finished | End::Detached => &tally.finished,
                End::Interrupted | End::Aborted(_) => &tally.interrupted,
                End::Failed(reason) => {
                    tally.failed_for(scenery.seed, reason);
                    &tally.failed
                }
            };
            add(ended, 1);
        }
    }
    if tally.is_told_one_by_one {
        tell(scenery, &outcome);
    }
    let broken = outcome.broken_promises();
    if !broken.is_empty() {
        add(&tally.broken, 1);
        println!("seed {}: {}", scenery.seed, broken.join("; "));
        println!("  {:?}", outcome.record.map(|record| (record.end, record.seats, record.problems)));
    }
}
