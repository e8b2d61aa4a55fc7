//! Services whose parameters are drawn from a seed, and what probes say of them beside what is true.

use serde_json::{Value, json};
use squall_probe::{Capacity, CapacityAnswer, Done, LatencyLimit, Probe, Threshold};

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
