//! What happened when.

use std::collections::BTreeMap;

use squall_metrics::{Merged, Second, SeriesId, Sparse};
use squall_plan::{Plan, SeriesName};

use crate::build::ms;
use crate::result::{EndpointPoint, Point, Timeline};

/// More points than this are put together in pairs.
const MAX_POINTS: usize = 3_600;

pub(crate) fn build(plan: &Plan, merged: &Merged) -> Timeline {
    let mut step_s = merged.step_s();
    let seconds = || merged.seconds().iter().map(|(second, content)| (*second, content.clone()));
    let mut steps: BTreeMap<i32, Second> =
        if step_s == 1 { seconds().collect() } else { widened(seconds(), step_s) };
    while steps.len() > MAX_POINTS {
        step_s *= 2;
        steps = widened(steps.into_iter(), step_s);
    }
    let points = steps.iter().map(|(t_s, step)| point(i64::from(*t_s), step, &plan.series));
    Timeline { step_s: step_s.unsigned_abs(), points: points.collect() }
}

fn widened(steps: impl Iterator<Item = (i32, Second)>, step_s: i32) -> BTreeMap<i32, Second> {
    let mut wider: BTreeMap<i32, Second> = BTreeMap::new();
    for (t_s, step) in steps {
        wider.entry(t_s.div_euclid(step_s).saturating_mul(step_s)).or_default().follow(&step);
    }
    wider
}

/// One step of a timeline, as it stands in a result. `names` are those of a plan's series.
#[must_use]
pub fn point(t_s: i64, step: &Second, names: &[SeriesName]) -> Point {
    let mut point = Point {
        t_s,
        users: step.users,
        in_flight: step.in_flight,
        arrivals: step.arrivals.scheduled,
        dropped: step.arrivals.dropped,
        connections: step.health.connections,
        tainted: step.health.tainted,
        ..Point::default()
    };
    let mut all = Sparse::default();
    let mut by_name: BTreeMap<&str, (EndpointPoint, Sparse)> = BTreeMap::new();
    for (SeriesId(index), series) in &step.series {
        point.requests += series.requests;
        point.errors += series.errors;
        point.new_connections += series.new_connections;
        for (outcome, count) in &series.outcomes {
            *point.outcomes.entry(outcome.to_string()).or_default() += count;
        }
        all.merge(&series.response);
        if let Some(name) = names.get(usize::from(*index)) {
            let (endpoint, response) = by_name.entry(&name.endpoint).or_default();
            endpoint.requests += series.requests;
            endpoint.errors += series.errors;
            response.merge(&series.response);
        }
    }
    (point.p50_ms, point.p95_ms, point.p99_ms) = percentiles(&all);
    for (name, (mut endpoint, response)) in by_name {
        (endpoint.p50_ms, endpoint.p95_ms, endpoint.p99_ms) = percentiles(&response);
        point.endpoints.insert(name.to_owned(), endpoint);
    }
    point
}

fn percentiles(response: &Sparse) -> (Option<f64>, Option<f64>, Option<f64>) {
    let quantile = |quantile| response.quantile_us(quantile).map(ms);
    (quantile(0.5), quantile(0.95), quantile(0.99))
}
