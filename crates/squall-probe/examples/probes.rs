//! Prints what probes say of services in virtual time, beside what is true.
//! `cargo run --package squall-probe --example probes [-- SEEDS [OFFSET]]`

#[path = "../tests/probes/cases.rs"]
mod cases;
#[path = "../tests/probes/simulated.rs"]
mod simulated;

use squall_probe::Estimate;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let seeds = arguments.next().unwrap_or(12);
    let offset = arguments.next().unwrap_or(0);
    capacity(offset..offset + seeds);
}

/// An estimate beside the truth.
fn beside(estimate: Option<Estimate>, truth: f64) -> String {
    estimate.map_or_else(
        || format!("– (true {truth:.1})"),
        |found| {
            let off = 100.0 * (found.value / truth - 1.0);
            let held = if (found.low..=found.high).contains(&truth) { "" } else { " outside" };
            format!(
                "{:.1} [{:.1}, {:.1}] true {truth:.1} {off:+.1} %{held}",
                found.value, found.low, found.high
            )
        },
    )
}

fn capacity(seeds: std::ops::Range<u64>) {
    println!("\ncapacity");
    for seed in seeds {
        let case = cases::capacity(seed);
        let answer = &case.answer;
        let knee = answer.knee.map(|knee| knee.rate_per_s);
        println!(
            "{seed:4} capacity {}; knee {}; {} rounds, {} requests, sweep {:?}",
            beside(answer.capacity_per_s, case.truth_per_s),
            beside(knee, case.truth_per_s),
            answer.spent.rounds,
            answer.spent.requests,
            answer.sweep_requests,
        );
        if std::env::args().any(|argument| argument == "-v") {
            println!("{}\n{answer:#?}", case.settings);
            for done in &case.history {
                println!(
                    "{} idle {:.1} for {:?}: {:?}",
                    done.round.purpose,
                    done.observed.idle_s,
                    done.round.load,
                    done.observed.seconds.last()
                );
            }
        }
    }
}
