//! What happened when.

use std::collections::BTreeMap;

use squall_metrics::{Merged, Second, SeriesId, Sparse};
use squall_plan::Plan;

use crate::build::ms;
use crate::result::{EndpointPoint, Point, Timeline};

/// More points than this are put together in pairs.
const MAX_POINTS: usize = 3_600;

/// A second, or several put together.
struct Step {
    content: Second,
    users: u64,
    in_flight: u64,
}

pub(crate) fn build(plan: &Plan, merged: &Merged) -> Timeline {
    let mut step_s = 1_u32;
    let mut steps: BTreeMap<i64, Step> = BTreeMap::new();
    for (second, content) in merged.seconds() {
        let step = Step { content: content.clone(), users: content.users, in_flight: content.in_flight };
        steps.insert(i64::from(*second), step);
    }
    while steps.len() > MAX_POINTS {
        step_s *= 2;
        steps = halve(steps, i64::from(step_s));
    }
    let points = steps.iter().map(|(t_s, step)| point(*t_s, step, plan));
    Timeline { step_s, points: points.collect() }
}

/// Counts add up and distributions merge; of what is sampled the highest counts.
fn halve(steps: BTreeMap<i64, Step>, step_s: i64) -> BTreeMap<i64, Step> {
    let mut wider: BTreeMap<i64, Step> = BTreeMap::new();
    for (t_s, step) in steps {
        let begin = t_s.div_euclid(step_s) * step_s;
        match wider.get_mut(&begin) {
            None => {
                wider.insert(begin, step);
            }
            Some(sum) => {
                sum.content.merge(&step.content);
                sum.users = sum.users.max(step.users);
                sum.in_flight = sum.in_flight.max(step.in_flight);
            }
        }
    }
    wider
}

fn point(t_s: i64, step: &Step, plan: &Plan) -> Point {
    let mut point = Point {
        t_s,
        users: step.users,
        in_flight: step.in_flight,
        arrivals: step.content.arrivals.scheduled,
        dropped: step.content.arrivals.dropped,
        connections: step.content.health.connections,
        tainted: step.content.health.tainted,
        ..Point::default()
    };
    let mut all = Sparse::default();
    let mut by_name: BTreeMap<&str, (EndpointPoint, Sparse)> = BTreeMap::new();
    for (SeriesId(index), series) in &step.content.series {
        point.requests += series.requests;
        point.errors += series.errors;
        point.new_connections += series.new_connections;
        for (outcome, count) in &series.outcomes {
            *point.outcomes.entry(outcome.to_string()).or_default() += count;
        }
        all.merge(&series.response);
        if let Some(name) = plan.series.get(usize::from(*index)) {
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
