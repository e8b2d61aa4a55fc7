//! Prints how often causes are named rightly, on services in virtual time whose trouble is known.
//! `cargo run --release --package squall-tests --example diagnosis [-- SEEDS [HEALTHY]]`

use std::collections::BTreeMap;

use squall_tests::diagnosis::{Estimate, Judged, SETS, Set, case, cases};

/// Estimates that are compared with the truth: finding, number in its evidence, number of the truth.
const ESTIMATES: [(&str, &str, &str); 6] = [
    ("rate_limited", "refill_per_s", "refill_per_s"),
    ("rate_limited", "burst", "burst"),
    ("concurrency_throttled", "concurrency", "concurrency"),
    ("cold_starts", "count", "cold_starts_seen"),
    ("hard_capacity_limit", "knee_per_s", "capacity_rps"),
    ("autoscaling_lag", "first_scale_event_at_s", "first_scale_event_s"),
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let seeds = arguments.next().unwrap_or(20);
    let healthy = arguments.next().unwrap_or(300);
    for set in SETS {
        println!("\n{set:?}: {seeds} seeds a profile, {healthy} healthy");
        let mut table = Table::default();
        for name in cases() {
            let count = if name == "healthy" { healthy } else { seeds };
            (0..count).for_each(|seed| table.run(name, seed, set));
        }
        table.print();
    }
}

#[derive(Default)]
struct Table {
    /// By name and what was named first.
    first: BTreeMap<(String, &'static str), u64>,
    right: BTreeMap<String, (u64, u64)>,
    pairs: (u64, u64),
    healthy: (u64, u64),
    estimates: BTreeMap<&'static str, Vec<(f64, Option<bool>)>>,
    wrong: Vec<String>,
}

impl Table {
    fn run(&mut self, name: &str, seed: u64, set: Set) {
        let Some(case) = case(name, seed, set) else { return };
        let judged = case.judge();
        let right = judged.right();
        let expected = right.first().cloned().unwrap_or_default();
        let first = judged.first();
        if expected == "healthy" {
            let quiet = judged
                .found
                .iter()
                .all(|finding| finding.kind.name() == "healthy" || finding.confidence.word() == "low");
            self.healthy.0 += u64::from(quiet);
            self.healthy.1 += 1;
        }
        if let [one, other] = &right[..] {
            self.pairs.0 += u64::from(judged.names(one) && judged.names(other));
            self.pairs.1 += 1;
        }
        let is_right = right.iter().chain(&judged.also()).any(|right| right == first)
            || expected == "healthy" && first == "nothing";
        let entry = self.right.entry(format!("{name}: {}", right.join(" + "))).or_default();
        entry.0 += u64::from(is_right);
        entry.1 += 1;
        *self.first.entry((format!("{name}: {}", right.join(" + ")), first)).or_default() += 1;
        if !is_right {
            let found = judged.found.iter();
            let found = found.map(|found| format!("{} {:.2}", found.kind.name(), found.confidence.share()));
            self.wrong.push(format!(
                "{name} {seed}: {} [{}]",
                case.settings,
                found.collect::<Vec<_>>().join(", ")
            ));
        }
        self.estimate(&judged);
    }

    fn estimate(&mut self, judged: &Judged) {
        for (finding, number, truth) in ESTIMATES {
            if let Some(Estimate { value, interval, truth }) = judged.estimate(finding, number, truth) {
                let error = if number.ends_with("_at_s") { value - truth } else { value / truth - 1.0 };
                let number = match (finding, judged.are_starts_apart()) {
                    ("cold_starts", true) => "cold starts, apart",
                    ("cold_starts", false) => "cold starts, not apart",
                    _ => number,
                };
                let held = interval.map(|(low, high)| (low..=high).contains(&truth));
                self.estimates.entry(number).or_default().push((error, held));
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
        println!("both of a pair named: {}/{}", self.pairs.0, self.pairs.1);
        println!(
            "healthy runs without a finding above low confidence: {}/{}",
            self.healthy.0, self.healthy.1
        );
        println!(
            "\n{:<26} {:>5} {:>9} {:>9} {:>9} {:>16}",
            "estimate", "runs", "median", "worst", "in 0.03", "interval holds"
        );
        for (number, errors) in &self.estimates {
            let mut sizes: Vec<f64> = errors.iter().map(|(error, _)| error.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let (median, worst) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
            let within = sizes.iter().filter(|size| **size <= 0.03).count();
            let known = errors.iter().filter_map(|(_, held)| *held);
            let (held, of) = (known.clone().filter(|held| *held).count(), known.count());
            println!(
                "{number:<26} {:>5} {median:>9.4} {worst:>9.4} {within:>9} {:>16}",
                errors.len(),
                format!("{held}/{of}")
            );
        }
        self.wrong.iter().for_each(|wrong| println!("  {wrong}"));
    }
}
