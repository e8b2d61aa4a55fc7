//! What a run shows, named.

use serde_json::Value;
use squall_diagnose::{Endpoint, Observed, Signal, diagnose};
use squall_metrics::Merged;
use squall_plan::{Plan, Purpose};

use crate::result::TelemetrySeries;

/// Methods that change nothing.
const READS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// Named causes, surest first, as they stand in `result.json`.
pub(crate) fn findings(plan: &Plan, merged: &Merged, telemetry: &[TelemetrySeries]) -> Vec<Value> {
    let mut observed = Observed::new(endpoints(plan), merged, plan.duration().as_secs_f64());
    observed.signals = telemetry
        .iter()
        .map(|series| Signal {
            source: series.source.clone(),
            name: series.name.clone(),
            unit: series.unit.clone(),
            points: series.points.clone(),
        })
        .collect();
    diagnose(&observed).iter().map(squall_diagnose::Finding::to_json).collect()
}

/// Requests by name. Whether one writes is told by its name's first word, which is its method unless the plan gives
/// another name.
fn endpoints(plan: &Plan) -> Vec<Endpoint> {
    let of = |name: &squall_plan::SeriesName| {
        let first = name.endpoint.split(' ').next().unwrap_or("");
        let is_method = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase());
        Endpoint {
            name: name.endpoint.clone(),
            writes: is_method && !READS.contains(&first),
            counts: name.purpose == Purpose::Journey,
        }
    };
    plan.series.iter().map(of).collect()
}
