//! What happened when.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_metrics::{Merged, Phase, Second, SeriesId, Sparse};
use squall_plan::{Plan, SeriesName};

use crate::build::ms;
use crate::heat;
use crate::untold::Untold;

/// More points than this are put together in pairs.
const MAX_POINTS: usize = 3_600;

/// What happened when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// How long a step is.
    pub step_s: u32,
    /// At most 3,600.
    pub points: Vec<Point>,
}

/// One step of the timeline. Counts are of the whole step, `users` and `in_flight` its highest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Its begin.
    pub t_s: i64,
    /// Users.
    pub users: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Arrivals that were due.
    pub arrivals: u64,
    /// Arrivals dropped.
    pub dropped: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// How many ended in which way.
    pub outcomes: BTreeMap<String, u64>,
    /// Half of the response times are at most this.
    pub p50_ms: Option<f64>,
    /// 95 % are at most this.
    pub p95_ms: Option<f64>,
    /// 99 % are at most this.
    pub p99_ms: Option<f64>,
    /// Response times of successes and timeouts, as buckets and how many are in each, without empty ones.
    /// Bucket 0 is below 0.1 ms; bucket n, up to 46, goes from 0.1 ms × 10^((n−1)/6) to 0.1 ms × 10^(n/6).
    #[serde(default)]
    pub heat: BTreeMap<u32, u64>,
    /// What the service time of a request is made of, as the mean of all requests that ended.
    #[serde(default)]
    pub phases_ms: MeanPhases,
    /// Connections made.
    pub new_connections: u64,
    /// Connections open at the end.
    pub connections: u64,
    /// Slices for which the generator was the bottleneck.
    pub tainted: u64,
    /// Slices of which nothing is known, for what was measured never came: counts are too low by what they did.
    #[serde(default)]
    pub untold: u64,
    /// The same by name; names of several scenarios are put together.
    pub endpoints: BTreeMap<String, EndpointPoint>,
}

/// One name in one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointPoint {
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Half of the response times are at most this.
    pub p50_ms: Option<f64>,
    /// 95 % are at most this.
    pub p95_ms: Option<f64>,
    /// 99 % are at most this.
    pub p99_ms: Option<f64>,
}

/// How long the phases of requests took on average, those included in which a phase did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeanPhases {
    /// Looking the name up.
    pub dns: f64,
    /// Making the connection.
    pub connect: f64,
    /// The TLS handshake.
    pub tls: f64,
    /// Writing the request.
    pub send: f64,
    /// From the last byte of the request to the first of the response.
    pub first_byte: f64,
    /// From there to the last byte.
    pub body: f64,
}

impl MeanPhases {
    /// In the order in which they follow each other.
    pub(crate) fn all(&self) -> [f64; 6] {
        [self.dns, self.connect, self.tls, self.send, self.first_byte, self.body]
    }
}

/// What happened when, from what was measured in each second.
pub(crate) fn build(plan: &Plan, merged: &Merged, untold: &Untold) -> Timeline {
    let mut step_s = merged.step_s();
    let seconds = || merged.seconds().iter().map(|(second, content)| (*second, content.clone()));
    let mut steps: BTreeMap<i32, Second> =
        if step_s == 1 { seconds().collect() } else { widened(seconds(), step_s) };
    while steps.len() > MAX_POINTS {
        step_s *= 2;
        steps = widened(steps.into_iter(), step_s);
    }
    let points = steps.iter().map(|(t_s, step)| {
        let untold = untold.sum(&(*t_s..t_s.saturating_add(step_s)));
        Point { untold, ..point(i64::from(*t_s), step, &plan.series) }
    });
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
    point.heat = heat::of(&all);
    point.phases_ms = mean_phases(step.phases_us, point.requests);
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

fn mean_phases(us: [u64; Phase::ALL.len()], requests: u64) -> MeanPhases {
    let mean = |us: u64| us as f64 / 1_000.0 / requests.max(1) as f64;
    // A thousandth of a millisecond is enough: what is kept should not be long for nothing.
    let [dns, connect, tls, send, first_byte, body] = us.map(|us| (mean(us) * 1_000.0).round() / 1_000.0);
    MeanPhases { dns, connect, tls, send, first_byte, body }
}
