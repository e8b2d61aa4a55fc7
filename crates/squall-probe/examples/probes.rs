//! Prints what probes say of services in virtual time, beside what is true.
//! `cargo run --package squall-probe --example probes [-- [capacity|throttle|cold-start] SEEDS [OFFSET] [-v]]`

#[path = "../tests/probes/cases.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "shared with tests")]
mod cases;
#[path = "../tests/probes/simulated.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests")]
mod simulated;

use squall_probe::{Done, Estimate, LimitKind, Queueing, When};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let seeds = arguments.next().unwrap_or(12);
    let offset = arguments.next().unwrap_or(0);
    let which = std::env::args().nth(1).filter(|argument| argument.parse::<u64>().is_err());
    let is_asked = |name: &str| which.as_deref().is_none_or(|which| which == name);
    if is_asked("capacity") {
        capacity(offset..offset + seeds);
    }
    if is_asked("cold-start") {
        cold_start(offset..offset + seeds);
    }
    if is_asked("throttle") {
        throttle(offset..offset + seeds);
    }
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
        if is_verbose() {
            explain(&case.settings, answer, &case.history);
        }
    }
}

fn throttle(seeds: std::ops::Range<u64>) {
    println!("\nthrottle");
    for seed in seeds {
        let case = cases::throttle(seed);
        let answer = &case.answer;
        let right = |is_right: bool| if is_right { "" } else { " WRONG" };
        let numbers = match case.kind {
            LimitKind::Rate => format!(
                "refill {}; burst {}",
                beside(answer.refill_per_s, case.refill_per_s),
                beside(answer.burst, case.burst)
            ),
            LimitKind::Concurrency => format!("at a time {}", beside(answer.concurrency, case.concurrency)),
        };
        println!(
            "{seed:4} {:?}{} {numbers}; {:?}{}; {:?}; recovery {:?}; {} rounds, {} requests, {:.0} s",
            answer.kind,
            right(answer.kind == Some(case.kind)),
            answer.scope,
            right(answer.scope == Some(case.scope)),
            answer.retry_after,
            answer.recovery_s.map(|recovery| recovery.value),
            answer.spent.rounds,
            answer.spent.requests,
            answer.spent.seconds,
        );
        if is_verbose() {
            explain(&case.settings, answer, &case.history);
        }
    }
}

fn cold_start(seeds: std::ops::Range<u64>) {
    println!("\ncold starts");
    for seed in seeds {
        let case = cases::cold_start(seed);
        let answer = &case.answer;
        let right = if answer.queueing == Some(case.queueing) { "" } else { " WRONG" };
        println!(
            "{seed:4} kept {}; {:?}{right}",
            beside(answer.keep_alive_s, case.keep_alive_s),
            answer.queueing
        );
        let more = match case.queueing {
            Queueing::None => String::new(),
            Queueing::Bounded => format!("per instance {}; ", beside(answer.per_instance, case.per_instance)),
            Queueing::Unlimited => {
                format!("per second {}; ", beside(answer.started_per_s, 1.0 / case.start_every_s))
            }
        };
        let shares =
            answer.bursts.iter().filter(|point| point.when == When::Long || point.when == When::Short);
        let shares: Vec<String> = shares
            .filter(|point| point.size > 1 || point.when == When::Long)
            .map(|point| {
                let truth = case.cold_share(point.size, point.when);
                let found = point.cold_share.map_or(f64::NAN, |share| share.value);
                let far = if (found - truth).abs() <= 0.03 { "" } else { " FAR" };
                format!("{} {:?} {found:.3} true {truth:.3}{far}", point.size, point.when)
            })
            .collect();
        println!(
            "     {more}cold shares {}; added {:?} ms; {} rounds, {} requests, {:.0} s",
            shares.join(", "),
            answer.added_ms.map(|added| added.value.round()),
            answer.spent.rounds,
            answer.spent.requests,
            answer.spent.seconds,
        );
        if is_verbose() {
            explain(&case.settings, answer, &case.history);
        }
    }
}

fn is_verbose() -> bool {
    std::env::args().any(|argument| argument == "-v")
}

fn explain(settings: &serde_json::Value, answer: &impl std::fmt::Debug, history: &[Done]) {
    println!("{settings}\n{answer:#?}");
    for done in history {
        let of = |of: fn(&squall_probe::Second) -> u64| done.observed.seconds.iter().map(of).sum::<u64>();
        println!(
            "{} idle {:.1} for {:?}: {} good, {} limited, {:?}",
            done.round.purpose,
            done.observed.idle_s,
            done.round.load,
            of(|second| second.good),
            of(|second| second.limited),
            done.observed.good_us.first(),
        );
    }
}
