//! Prints how often causes are named rightly, on services in virtual time whose trouble is known.
//! `cargo run --release --package squall-tests --example diagnosis [-- SEEDS [HEALTHY [FIRST]]
//! [NAME…]]`: seeds from the first on, of the cases whose names have such parts. The last table compares the same runs
//! without what the services' own instruments said, with a part of it, and with all.

use std::collections::BTreeMap;

use squall_plan::Arrivals;
use squall_tests::diagnosis::{Case, Estimate, Judged, SETS, Set, TELEMETRY, case, cases};

/// Estimates that are compared with the truth: finding, number in its evidence, number of the truth, and the error that is
/// allowed: of instants in seconds, of all else as a share.
const ESTIMATES: [(&str, &str, &str, f64); 6] = [
    ("rate_limited", "refill_per_s", "refill_per_s", 0.05),
    ("rate_limited", "burst", "burst", 0.05),
    ("concurrency_throttled", "concurrency", "concurrency", 0.1),
    ("cold_starts", "count", "cold_starts_seen", 0.03),
    ("hard_capacity_limit", "knee_per_s", "capacity_rps", 0.1),
    ("autoscaling_lag", "first_scale_event_at_s", "first_scale_event_s", 1.0),
];

fn main() {
    let (numbers, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.parse::<u64>().is_ok());
    let mut numbers = numbers.iter().filter_map(|number| number.parse::<u64>().ok());
    let seeds = numbers.next().unwrap_or(20);
    let healthy = numbers.next().unwrap_or(300);
    let first = numbers.next().unwrap_or(0);
    for set in SETS {
        println!("\n{set:?}: {seeds} seeds a profile from {first} on, {healthy} healthy");
        let mut table = Table::default();
        for name in cases() {
            if !names.is_empty() && !names.iter().any(|part| name.contains(part.as_str())) {
                continue;
            }
            let count = if name.starts_with("healthy") { healthy } else { seeds };
            (first..first + count).for_each(|seed| table.run(name, seed, set));
        }
        table.print();
    }
}

#[derive(Default)]
struct Table {
    /// By name and what was named first.
    first: BTreeMap<(String, &'static str), u64>,
    right: BTreeMap<String, (u64, u64)>,
    /// Of runs with two causes by name: how many had both named.
    pairs: BTreeMap<String, (u64, u64)>,
    /// Of runs with one cause: how many had nothing else named.
    alone: (u64, u64),
    healthy: (u64, u64),
    /// Errors, whether the interval holds the truth, and whether the error is allowed; of one of two causes apart.
    estimates: BTreeMap<String, Vec<(f64, Option<bool>, bool)>>,
    wrong: Vec<String>,
    told: Told,
}

impl Table {
    fn run(&mut self, name: &str, seed: u64, set: Set) {
        let Some(case) = case(name, seed, set) else { return };
        let [judged, partial, whole] = case.judge_with(TELEMETRY);
        self.told.run(name, [&judged, &partial, &whole]);
        let right = judged.right();
        let expected = right.first().cloned().unwrap_or_default();
        let first = judged.first();
        if name.starts_with("healthy") {
            let quiet = judged
                .found
                .iter()
                .all(|finding| finding.kind.name() == "healthy" || finding.confidence.word() == "low");
            self.healthy.0 += u64::from(quiet);
            self.healthy.1 += 1;
        }
        let also = judged.also();
        let is_known = |kind: &str| right.iter().chain(&also).any(|known| known == kind);
        let mut is_whole = true;
        if right.len() > 1 {
            is_whole = right.iter().all(|right| judged.named().any(|named| named == right));
            let entry = self.pairs.entry(format!("{name}: {}", right.join(" + "))).or_default();
            entry.0 += u64::from(is_whole);
            entry.1 += 1;
        } else if expected != "healthy" {
            self.alone.0 += u64::from(judged.named().all(|named| named == "healthy" || is_known(named)));
            self.alone.1 += 1;
        }
        let is_right = is_known(first) || expected == "healthy" && first == "nothing";
        let entry = self.right.entry(format!("{name}: {}", right.join(" + "))).or_default();
        entry.0 += u64::from(is_right);
        entry.1 += 1;
        *self.first.entry((format!("{name}: {}", right.join(" + ")), first)).or_default() += 1;
        if !is_right || !is_whole {
            let found = judged.found.iter();
            let found = found.map(|found| format!("{} {:.2}", found.kind.name(), found.confidence.share()));
            self.wrong.push(format!(
                "{name} {seed}: {} [{}]",
                case.settings,
                found.collect::<Vec<_>>().join(", ")
            ));
        }
        self.estimate(&judged, &case);
    }

    fn estimate(&mut self, judged: &Judged, case: &Case) {
        for (finding, number, truth, allowed) in ESTIMATES {
            if let Some(Estimate { value, interval, truth }) = judged.estimate(finding, number, truth) {
                let error = if number.ends_with("_at_s") { value - truth } else { value / truth - 1.0 };
                let number = match (finding, number) {
                    ("cold_starts", _) if case.shares_connections => "cold starts, few connections",
                    ("cold_starts", _) if judged.are_starts_apart() => "cold starts, apart",
                    ("cold_starts", _) => "cold starts, not apart",
                    (_, "burst") if case.course.arrivals == Arrivals::Even => "burst, even arrivals",
                    (_, "burst") => "burst, arrivals at random",
                    _ => number,
                };
                let held = interval.map(|(low, high)| (low..=high).contains(&truth));
                let name =
                    if judged.right().len() > 1 { format!("{number}, of two") } else { number.to_owned() };
                self.estimates.entry(name).or_default().push((error, held, error.abs() <= allowed));
            }
        }
    }

    fn print(&self) {
        println!("\n{:<60} {:>7}  named first", "what is wrong", "right");
        for (name, (right, of)) in &self.right {
            let firsts = self.first.iter().filter(|((known, _), _)| known == name);
            let firsts: Vec<String> = firsts.map(|((_, first), count)| format!("{first} {count}")).collect();
            println!("{name:<60} {:>7}  {}", format!("{right}/{of}"), firsts.join(", "));
        }
        let troubled = self.right.iter().filter(|(name, _)| !name.starts_with("healthy"));
        let (right, of) = troubled.fold((0, 0), |sum, (_, (right, of))| (sum.0 + right, sum.1 + of));
        println!("{:<60} {:>7}", "all but the healthy ones", format!("{right}/{of}"));
        println!("\nboth of a pair named with medium or high confidence");
        for (name, (named, of)) in &self.pairs {
            println!("{name:<90} {:>7}", format!("{named}/{of}"));
        }
        let (named, of) = self.pairs.values().fold((0, 0), |sum, (named, of)| (sum.0 + named, sum.1 + of));
        println!("{:<90} {:>7}", "all pairs", format!("{named}/{of}"));
        println!("runs with one cause in which no other was named: {}/{}", self.alone.0, self.alone.1);
        println!(
            "healthy runs without a finding above low confidence: {}/{}",
            self.healthy.0, self.healthy.1
        );
        println!(
            "\n{:<32} {:>5} {:>9} {:>9} {:>9} {:>16}",
            "estimate", "runs", "median", "worst", "allowed", "interval holds"
        );
        for (number, errors) in &self.estimates {
            let mut sizes: Vec<f64> = errors.iter().map(|(error, ..)| error.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let (median, worst) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
            let known = errors.iter().filter_map(|(_, held, _)| *held);
            let (held, of) = (known.clone().filter(|held| *held).count(), known.count());
            let allowed = errors.iter().filter(|(.., is_allowed)| *is_allowed).count();
            println!(
                "{number:<32} {:>5} {median:>9.4} {worst:>9.4} {:>9} {:>16}",
                errors.len(),
                format!("{allowed}/{}", errors.len()),
                format!("{held}/{of}")
            );
        }
        self.told.print();
        self.wrong.iter().for_each(|wrong| println!("  {wrong}"));
    }
}

/// The same runs with nothing, some and all of what the service's own instruments said.
#[derive(Default)]
struct Told {
    /// By name, and each for no, partial and whole telemetry.
    runs: BTreeMap<String, [Tally; 3]>,
    scale_events: [Vec<f64>; 3],
    /// Findings that are wrong and not doubtful.
    wrong: [u64; 3],
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    runs: u64,
    right_first: u64,
    /// How sure the first right cause was, added up.
    confidence: f64,
}

impl Told {
    fn run(&mut self, name: &str, judged: [&Judged; 3]) {
        let right = judged[0].right();
        let label = format!("{name}: {}", right.join(" + "));
        for (place, judged) in judged.into_iter().enumerate() {
            let also = judged.also();
            let is_known = |kind: &str| right.iter().chain(&also).any(|known| known == kind);
            let (first, expected) = (judged.first(), right.first().map_or("", String::as_str));
            let tally = &mut self.runs.entry(label.clone()).or_default()[place];
            tally.runs += 1;
            let is_right = is_known(first) || expected == "healthy" && first == "nothing";
            tally.right_first += u64::from(is_right);
            let own = judged.found.iter().find(|found| found.kind.name() == expected);
            tally.confidence += own.map_or(0.0, |found| found.confidence.share());
            let wrong = judged.named().filter(|named| *named != "healthy" && !is_known(named));
            self.wrong[place] += wrong.count() as u64;
            let event = judged.estimate("autoscaling_lag", "first_scale_event_at_s", "first_scale_event_s");
            self.scale_events[place].extend(event.map(|event| (event.value - event.truth).abs()));
        }
    }

    fn print(&self) {
        println!("\n{:<60} {:>20} {:>20} {:>20}", "telemetry", "none", "partial", "whole");
        println!("right first, and how sure the right cause was");
        for (name, tallies) in &self.runs {
            let cells = tallies.map(|tally| {
                let sure = tally.confidence / tally.runs.max(1) as f64;
                format!("{}/{} {sure:.3}", tally.right_first, tally.runs)
            });
            println!("{name:<60} {:>20} {:>20} {:>20}", cells[0], cells[1], cells[2]);
        }
        let [none, partial, whole] = self.wrong;
        println!("{:<60} {none:>20} {partial:>20} {whole:>20}", "findings that are wrong, above low");
        let cells = [0, 1, 2].map(|place| {
            let mut errors = self.scale_events[place].clone();
            errors.sort_by(f64::total_cmp);
            let middle = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
            let within = errors.iter().filter(|error| **error <= 1.0).count();
            let worst = errors.last().copied().unwrap_or(0.0);
            format!("{within}/{} {middle:.2} {worst:.2}", errors.len())
        });
        let of = "first scale event: within 1 s, median and worst error in s";
        println!("{of:<60} {:>20} {:>20} {:>20}", cells[0], cells[1], cells[2]);
    }
}
