//! Prints what probes say of services in virtual time, beside what is true.
//! `cargo run --package squall-probe --example probes [-- [capacity|throttle|cold-start|stellar] SEEDS [OFFSET] [-v]]`

#[path = "../tests/probes/cases.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "shared with tests")]
mod cases;
#[path = "../tests/probes/simulated.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests")]
mod simulated;
#[path = "../tests/probes/stellar.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests")]
mod stellar;

use std::collections::BTreeMap;

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
    if is_asked("stellar") {
        stellar(offset);
    }
    if is_asked("throttle") {
        throttle(offset..offset + seeds);
    }
}

/// How often estimates were near, and intervals held the truth.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, Counts>);

#[derive(Default)]
struct Counts {
    all: u32,
    none: u32,
    near: u32,
    held: u32,
    worst: f64,
}

impl Tally {
    /// Counts an estimate that has to be so near, as a share of the truth.
    fn count(&mut self, name: &'static str, estimate: Option<Estimate>, truth: f64, near: f64) {
        let counts = self.0.entry(name).or_default();
        counts.all += 1;
        let Some(found) = estimate else {
            counts.none += 1;
            return;
        };
        let off = (found.value / truth - 1.0).abs();
        counts.near += u32::from(off <= near);
        counts.held += u32::from((found.low..=found.high).contains(&truth));
        counts.worst = counts.worst.max(off);
    }

    /// Counts what is right or wrong.
    fn is(&mut self, name: &'static str, is_right: bool) {
        let counts = self.0.entry(name).or_default();
        counts.all += 1;
        counts.near += u32::from(is_right);
        counts.held += u32::from(is_right);
    }

    fn print(&self) {
        for (name, counts) in &self.0 {
            println!(
                "     {name}: {} of {} near enough, {} intervals hold, {} not told, worst {:.1} %",
                counts.near,
                counts.all,
                counts.held,
                counts.none,
                100.0 * counts.worst
            );
        }
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
    let (mut tally, mut spent, mut sweep) = (Tally::default(), 0.0, 0.0);
    for seed in seeds {
        let case = cases::capacity(seed);
        let answer = &case.answer;
        let knee = answer.knee.map(|knee| knee.rate_per_s);
        tally.count("capacity within 5 %", answer.capacity_per_s, case.truth_per_s, 0.05);
        tally.count("knee within 5 %", knee, case.truth_per_s, 0.05);
        spent += answer.spent.requests as f64 / case.truth_per_s;
        sweep += answer.sweep_requests.unwrap_or(answer.spent.requests) as f64 / case.truth_per_s;
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
    tally.print();
    println!(
        "     requests over those of a sweep to the same precision, each capacity alike: {:.2}",
        spent / sweep
    );
}

fn throttle(seeds: std::ops::Range<u64>) {
    println!("\nthrottle");
    let mut tally = Tally::default();
    for seed in seeds {
        let case = cases::throttle(seed);
        let answer = &case.answer;
        let right = |is_right: bool| if is_right { "" } else { " WRONG" };
        tally.is("kind right", answer.kind == Some(case.kind));
        tally.is("scope right", answer.scope == Some(case.scope));
        match case.kind {
            LimitKind::Rate => {
                tally.count("refill within 5 %", answer.refill_per_s, case.refill_per_s, 0.05);
                tally.count("burst within 10 %", answer.burst, case.burst, 0.1);
            }
            LimitKind::Concurrency | LimitKind::Window => {
                tally.count("at a time within 5 %", answer.concurrency, case.concurrency, 0.05);
            }
        }
        let numbers = match case.kind {
            LimitKind::Rate => format!(
                "refill {}; burst {}",
                beside(answer.refill_per_s, case.refill_per_s),
                beside(answer.burst, case.burst)
            ),
            LimitKind::Concurrency | LimitKind::Window => {
                format!("at a time {}", beside(answer.concurrency, case.concurrency))
            }
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
    tally.print();
}

fn cold_start(seeds: std::ops::Range<u64>) {
    println!("\ncold starts");
    let mut tally = Tally::default();
    for seed in seeds {
        let case = cases::cold_start(seed);
        let answer = &case.answer;
        tally.is("policy right", answer.queueing == Some(case.queueing));
        tally.count("kept within 10 %", answer.keep_alive_s, case.keep_alive_s, 0.1);
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
                format!("at once {:?}, a second {:?}; ", answer.started_at_once, answer.started_per_s)
            }
        };
        let shares =
            answer.bursts.iter().filter(|point| point.when == When::Long || point.when == When::Short);
        let shares: Vec<String> = shares
            .filter(|point| point.size > 1 || point.when == When::Long)
            .map(|point| {
                let truth = case.cold_share(point.size, point.when);
                let found = point.cold_share.map_or(f64::NAN, |share| share.value);
                tally.is("cold share within 3 points", (found - truth).abs() <= 0.03);
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
    tally.print();
}

/// The table of `STeLLAR`: what was published beside what the probe says of the profiles.
fn stellar(seed: u64) {
    println!(
        "\n| cloud | requests | published: median | p99 | tail to median | measured: median | p99 | tail to median \
         | policy | settings |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |");
    let rows = stellar::rows();
    for (row, measured) in rows.iter().zip(stellar::measure(&rows, seed)) {
        let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
        let tail = |tail: Option<f64>| tail.map_or_else(|| "–".to_owned(), |tail| format!("{tail:.1}"));
        let stellar::Published { p50_ms, p99_ms, tail_to_median } = row.published;
        let took = measured.took;
        let policy = match measured.queueing {
            Some(queueing) if row.queueing.is_some() => format!("{queueing:?}").to_lowercase(),
            _ => "–".to_owned(),
        };
        let settings = row.settings.iter().map(|(name, value)| format!("`{name}={value}`"));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {policy} | {} |",
            row.cloud,
            row.what,
            ms(p50_ms),
            ms(p99_ms),
            tail(tail_to_median),
            ms(Some(took.p50_ms)),
            ms(Some(took.p99_ms)),
            tail(Some(took.tail_to_median)),
            settings.collect::<Vec<_>>().join(" "),
        );
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
