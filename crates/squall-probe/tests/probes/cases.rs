//! Services whose parameters are drawn from a seed, and what probes say of them beside what is true.

use serde_json::{Value, json};
use squall_probe::{
    Capacity, CapacityAnswer, ColdStart, ColdStartAnswer, Done, LatencyLimit, LimitKind, Load, Probe,
    Queueing, Scope, Threshold, Throttle, ThrottleAnswer, When,
};

use crate::simulated::{Chance, Lab, whole};

/// What was said of capacity, and what is true.
pub(crate) struct CapacityCase {
    pub answer: CapacityAnswer,
    pub truth_per_s: f64,
    pub settings: Value,
    pub probe: Capacity,
    pub history: Vec<Done>,
}

/// A service of fixed capacity with 5 % noise.
pub(crate) fn capacity(seed: u64) -> CapacityCase {
    let mut chance = Chance::new(seed);
    let (workers, work_ms) = (whole(chance.scaled(4.0, 64.0)), chance.scaled(10.0, 150.0));
    let queue = whole(f64::from(workers) * chance.between(1.0, 20.0));
    let settings = json!({ "workers": workers, "work_ms": work_ms, "noise": 0.05, "queue": queue });
    let mut lab = Lab::of("fixed", seed, &settings);
    let within_ms = work_ms * chance.between(2.0, 5.0);
    let latency = Some(LatencyLimit { share: 0.99, within_ms });
    let probe = Capacity { threshold: Threshold { latency, ..Threshold::default() }, ..Capacity::default() };
    let (history, _) = lab.run(&probe);
    let (answer, truth_per_s) = (probe.answer(&history), lab.number("capacity_rps"));
    CapacityCase { answer, truth_per_s, settings, probe, history }
}

/// What was said of a limit, and what is true.
pub(crate) struct ThrottleCase {
    pub answer: ThrottleAnswer,
    pub kind: LimitKind,
    pub refill_per_s: f64,
    pub burst: f64,
    pub concurrency: f64,
    pub scope: Scope,
    pub settings: Value,
    pub probe: Throttle,
    pub history: Vec<Done>,
}

/// A gateway with a token bucket, or every third time one that counts what is under way.
pub(crate) fn throttle(seed: u64) -> ThrottleCase {
    let mut chance = Chance::new(seed ^ 0x7407);
    let (per, scope) =
        chance.one_of(&[("all", Scope::Global), ("key", Scope::Key), ("address", Scope::Address)]);
    let kind = if seed % 3 == 2 { LimitKind::Concurrency } else { LimitKind::Rate };
    let retry_after = chance.uniform() < 0.7;
    let (burst, refill, concurrency, work_ms) = match kind {
        LimitKind::Rate => {
            (whole(chance.scaled(10.0, 600.0)), chance.scaled(3.0, 150.0), 0, chance.scaled(5.0, 400.0))
        }
        LimitKind::Concurrency | LimitKind::Window => {
            (u32::MAX, 1e9, whole(chance.scaled(5.0, 150.0)), chance.scaled(60.0, 800.0))
        }
    };
    let settings = json!({
        "burst": burst, "refill_per_s": refill, "concurrency": concurrency, "per": per,
        "retry_after": retry_after, "work_ms": work_ms, "noise": 0.1,
    });
    let mut lab = Lab::of("gateway", seed, &settings);
    lab.least_idle_s = chance.one_of(&[0.0, 0.5, 4.0]);
    // As on a network: a burst takes its time, and so does an answer's way.
    (lab.burst_s, lab.adds_us) = chance.one_of(&[(0.0, 0), (0.01, 300), (0.03, 2_000)]);
    let probe = Throttle {
        most_per_s: 4_000.0,
        most_burst: 2_000,
        longest_idle_s: 300.0,
        senders: 4,
        keys: 3,
        ..Throttle::default()
    };
    let (history, _) = lab.run(&probe);
    ThrottleCase {
        answer: probe.answer(&history),
        kind,
        refill_per_s: refill,
        burst: f64::from(burst),
        concurrency: f64::from(concurrency),
        scope,
        settings,
        probe,
        history,
    }
}

/// What was said of cold starts, and what is true.
pub(crate) struct ColdStartCase {
    pub answer: ColdStartAnswer,
    pub keep_alive_s: f64,
    pub queueing: Queueing,
    pub per_instance: f64,
    pub settings: Value,
    pub probe: ColdStart,
    pub history: Vec<Done>,
    /// How many instances each round started.
    pub started: Vec<f64>,
}

impl ColdStartCase {
    /// For which share of the requests of bursts of a size, sent for this, an instance was started.
    pub(crate) fn cold_share(&self, size: u32, when: When) -> f64 {
        let purpose = match when {
            When::First => "for the first time",
            When::Short => "shortly after as many",
            When::Gap => "to see who is still there",
            When::Long => "when none is there",
            When::Count => "to count instances",
        };
        let (mut started, mut sent) = (0.0, 0.0);
        for (done, count) in self.history.iter().zip(&self.started) {
            let is_it = done.round.load == Load::Burst { requests: size };
            if is_it && done.round.purpose.ends_with(purpose) {
                started += count;
                sent += f64::from(size);
            }
        }
        started / sent
    }
}

/// A function with one of the three policies in turn.
pub(crate) fn cold_start(seed: u64) -> ColdStartCase {
    let mut chance = Chance::new(seed ^ 0xc01d);
    let (profile, queueing) = [
        ("lambda", Queueing::None),
        ("google-function", Queueing::Bounded),
        ("azure-function", Queueing::Unlimited),
    ][usize::try_from(seed % 3).unwrap()];
    let keep_alive_s = chance.scaled(25.0, 900.0);
    let work_ms = chance.scaled(400.0, 2_000.0);
    let per_instance = whole(chance.between(1.001, 8.0));
    let start_every_s = chance.scaled(0.8, 8.0);
    let warm_ms = chance.between(10.0, 30.0);
    // What is hardly longer than what answers differ by is another test's.
    let cold_ms = chance.scaled(300.0, 2_000.0).max(0.3 * work_ms);
    let settings = json!({
        "keep_alive_s": keep_alive_s, "work_ms": work_ms, "per_instance": per_instance,
        "start_every_s": start_every_s, "warm_ms": warm_ms, "warm_p99_ms": 3.0 * warm_ms,
        "cold_ms": cold_ms, "cold_p99_ms": 1.5 * cold_ms,
    });
    let mut lab = Lab::of(profile, seed, &settings);
    lab.least_idle_s = chance.one_of(&[0.0, 1.0, 4.0]);
    (lab.burst_s, lab.adds_us) = chance.one_of(&[(0.0, 0), (0.01, 300), (0.05, 2_000)]);
    let probe = ColdStart::default();
    let (history, _) = lab.run(&probe);
    ColdStartCase {
        answer: probe.answer(&history),
        keep_alive_s,
        queueing,
        per_instance: f64::from(per_instance),
        settings,
        probe,
        history,
        started: lab.started,
    }
}
