//! What the service's own instruments say in virtual time: looked at every few seconds, and asked for as the command's
//! presets would.

use std::collections::BTreeMap;

use squall_diagnose::{Observed, Signal};
use squall_target::service::{Metric, Service};

use super::Chance;

/// What is known of the service's own instruments when its trouble is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telemetry {
    /// Nothing.
    None,
    /// Some instruments, with gaps, values that are none, values twice and out of order.
    Partial,
    /// All that they said.
    Whole,
}

/// All three.
pub const TELEMETRY: [Telemetry; 3] = [Telemetry::None, Telemetry::Partial, Telemetry::Whole];

/// How a number that is asked for comes from what instruments say.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As it is.
    Value,
    /// By how much it grew in a second, over the last minute.
    Rate,
    /// The same for a minute.
    PerMinute,
    /// By how much it grew for each by which another one grew, over the last minute.
    For(&'static str),
}

/// The names are those of the presets, of CloudWatch, and such as users choose.
const ROWS: [(&str, &str, &str, Form); 12] = [
    ("replicas", "replicas", "kube_horizontalpodautoscaler_status_current_replicas", Form::Value),
    ("replicas wanted", "replicas", "kube_horizontalpodautoscaler_status_desired_replicas", Form::Value),
    ("replicas at most", "replicas", "kube_horizontalpodautoscaler_spec_max_replicas", Form::Value),
    ("pods ready", "pods", "kube_deployment_status_replicas_ready", Form::Value),
    ("restarts", "restarts", "kube_pod_container_status_restarts_total", Form::Value),
    ("cpu", "processors", "container_cpu_usage_seconds_total", Form::Rate),
    ("cpu of the process", "processors", "process_cpu_seconds_total", Form::Rate),
    ("cpu steal", "ratio", "node_cpu_steal_ratio", Form::Value),
    ("shop: throttles", "per minute", "function_throttles_total", Form::PerMinute),
    ("shop concurrent executions", "", "function_concurrent_executions", Form::Value),
    ("shop: cold starts", "per second", "function_cold_starts_total", Form::Rate),
    (
        "dependency duration",
        "s",
        "dependency_duration_seconds_sum",
        Form::For("dependency_duration_seconds_count"),
    ),
];

/// What was there at each look, by what it measures.
#[derive(Debug)]
pub(super) struct Looks {
    every_us: u64,
    /// Whether answers are the latest of each second, as Prometheus gives them, or one for each look.
    is_each_second: bool,
    taken: Vec<(u64, BTreeMap<&'static str, f64>)>,
}

impl Looks {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x007e_1e3e);
        let every_us = chance.one_of(&[5_000_000, 15_000_000]);
        Self { every_us, is_each_second: chance.uniform() < 0.5, taken: Vec::new() }
    }

    /// Looks whenever it is time until an instant.
    pub(super) fn until(&mut self, service: &mut dyn Service, at_us: u64) {
        loop {
            let next_us = self.taken.last().map_or(0, |(at_us, _)| at_us + self.every_us);
            if next_us > at_us {
                return;
            }
            let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
            for Metric { name, value, .. } in service.metrics(next_us) {
                *sums.entry(name).or_default() += value;
            }
            self.taken.push((next_us, sums));
        }
    }

    /// What is answered, by name.
    pub(super) fn signals(&self) -> Vec<Signal> {
        let signal = |(name, unit, metric, form): &(&str, &str, &str, Form)| {
            let mut points: Vec<(f64, f64)> =
                (0..self.taken.len()).filter_map(|look| self.answer(look, metric, *form)).collect();
            if self.is_each_second {
                points = each_second(&points, self.every_us as f64 / 1e6);
            }
            let source = "prometheus".to_owned();
            Signal { source, name: (*name).to_owned(), unit: (*unit).to_owned(), points }
        };
        ROWS.iter().map(signal).filter(|signal| !signal.points.is_empty()).collect()
    }

    fn answer(&self, look: usize, metric: &str, form: Form) -> Option<(f64, f64)> {
        let (at_us, values) = self.taken.get(look)?;
        let value = *values.get(metric)?;
        let at_s = *at_us as f64 / 1e6;
        let first = self.taken.iter().find(|(t, _)| t + 60_000_000 >= *at_us)?;
        let grew = |metric: &str| {
            Some(values.get(metric)? - first.1.get(metric).copied().unwrap_or(0.0))
                .filter(|_| first.0 < *at_us)
        };
        let over_s = (*at_us - first.0) as f64 / 1e6;
        let value = match form {
            Form::Value => value,
            Form::Rate => grew(metric)? / over_s,
            Form::PerMinute => grew(metric)? * 60.0 / over_s,
            // Of nothing it is no number, as with Prometheus.
            Form::For(other) => grew(metric)? / grew(other)?,
        };
        Some((at_s, value))
    }
}

/// The latest value in each second.
fn each_second(points: &[(f64, f64)], every_s: f64) -> Vec<(f64, f64)> {
    let held = |(t, value): &(f64, f64)| {
        let (t, value) = (*t, *value);
        std::iter::successors(Some(t), |t| Some(t + 1.0))
            .take_while(move |next| *next < t + every_s - 0.5)
            .map(move |next| (next, value))
    };
    points.iter().flat_map(held).collect()
}

impl Telemetry {
    /// What was observed, with so much of what instruments said.
    #[must_use]
    pub fn of(self, observed: &Observed, seed: u64) -> Observed {
        let mut observed = observed.clone();
        match self {
            Self::None => observed.signals.clear(),
            Self::Partial => spoil(&mut observed, &mut Chance::new(seed ^ 0x0000_ba44)),
            Self::Whole => {}
        }
        observed
    }
}

/// Leaves out some instruments, and parts of what the others say, and puts in what nobody needs.
fn spoil(observed: &mut Observed, chance: &mut Chance) {
    let length_s = observed.ticks.last().map_or(0.0, |tick| tick.t_s);
    observed.signals.retain(|_| chance.uniform() > 0.3);
    for signal in &mut observed.signals {
        for _ in 0..chance.one_of(&[1, 2]) {
            let from_s = chance.between(0.0, length_s);
            let until_s = from_s + length_s * chance.between(0.1, 0.35);
            signal.points.retain(|(t, _)| !(from_s..until_s).contains(t));
        }
        let mut spoilt = Vec::new();
        for (t, value) in &signal.points {
            let none = chance.one_of(&[f64::NAN, f64::INFINITY]);
            spoilt.push((*t, if chance.uniform() < 0.05 { none } else { *value }));
            if chance.uniform() < 0.1 {
                spoilt.push((*t, *value));
            }
        }
        for place in 1..spoilt.len() {
            if chance.uniform() < 0.2 {
                spoilt.swap(place - 1, place);
            }
        }
        signal.points = spoilt;
    }
    for name in ["replicas", "cpu", "shop: throttles"] {
        let points = vec![(f64::NAN, 1.0), (30.0, f64::NAN), (20.0, f64::NEG_INFINITY), (10.0, f64::NAN)];
        observed.signals.push(Signal { name: name.to_owned(), points, ..Signal::default() });
    }
}
