//! Services whose parameters are drawn from a seed, and what probes say of them beside what is true.

use serde_json::{Value, json};
use squall_probe::{
    Capacity, CapacityAnswer, Done, LatencyLimit, LimitKind, Probe, Scope, Threshold, Throttle,
    ThrottleAnswer,
};

use crate::simulated::{Chance, Lab, whole};

/// What was said of capacity, and what is true.
pub struct CapacityCase {
    pub answer: CapacityAnswer,
    pub truth_per_s: f64,
    pub settings: Value,
    pub probe: Capacity,
    pub history: Vec<Done>,
}

/// A service of fixed capacity with 5 % noise.
pub fn capacity(seed: u64) -> CapacityCase {
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
pub struct ThrottleCase {
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
pub fn throttle(seed: u64) -> ThrottleCase {
    let mut chance = Chance::new(seed ^ 0x7407);
    let (per, scope) =
        chance.one_of(&[("all", Scope::Global), ("key", Scope::Key), ("address", Scope::Address)]);
    let kind = if seed % 3 == 2 { LimitKind::Concurrency } else { LimitKind::Rate };
    let retry_after = chance.uniform() < 0.7;
    let (burst, refill, concurrency, work_ms) = match kind {
        LimitKind::Rate => {
            (whole(chance.scaled(10.0, 600.0)), chance.scaled(3.0, 150.0), 0, chance.scaled(5.0, 400.0))
        }
        LimitKind::Concurrency => {
            (u32::MAX, 1e9, whole(chance.scaled(5.0, 150.0)), chance.scaled(60.0, 800.0))
        }
    };
    let settings = json!({
        "burst": burst, "refill_per_s": refill, "concurrency": concurrency, "per": per,
        "retry_after": retry_after, "work_ms": work_ms, "noise": 0.1,
    });
    let mut lab = Lab::of("gateway", seed, &settings);
    lab.least_idle_s = chance.one_of(&[0.0, 0.5, 4.0]);
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
