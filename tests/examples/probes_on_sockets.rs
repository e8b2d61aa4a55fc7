//! Prints what the real command's probes find of real targets, whose parameters are drawn from a seed, beside what is true.
//! `cargo run --package squall-tests --example probes_on_sockets [-- SEED [CASES [cold-start|throttle|capacity]]]`

use std::process::ExitCode;
use std::thread;

use squall_tests::probes::{Case, QUESTIONS};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|argument| argument.parse::<u64>().ok());
    let (seed, cases) = (number(0).unwrap_or(0), number(1).unwrap_or(3));
    let mut is_right = true;
    for question in QUESTIONS {
        if arguments.get(2).is_some_and(|asked| *asked != question.name()) {
            continue;
        }
        // They wait for most of their time.
        let asked: Vec<_> = (seed..seed.saturating_add(cases))
            .map(|seed| thread::spawn(move || Case::of(question, seed).ask()))
            .collect();
        for row in asked {
            match row.join() {
                Ok(row) => {
                    println!("{row}");
                    is_right &= row.is_right();
                    if !row.is_right() {
                        eprintln!("{}", row.told());
                    }
                }
                Err(_) => is_right = false,
            }
        }
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
