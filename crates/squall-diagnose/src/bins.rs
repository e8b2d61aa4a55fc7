//! Stretches of a run that are long enough for percentiles.

use std::ops::Range;

use squall_metrics::{Phase, Sparse};

use crate::observed::{Class, Tick};
use crate::stats::robust::{mean, median, ratio};
use crate::view::View;

/// So many requests say where one in twenty is.
const ENOUGH: f64 = 60.0;

/// Widths that are tried, in ticks.
const WIDTHS: [usize; 9] = [1, 2, 3, 5, 10, 15, 20, 30, 60];

/// So many bins are left at least, where the run has as many ticks.
const LEAST_BINS: usize = 16;

/// What was measured in a few ticks. Rates are per second, times are microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bin {
    /// Which ticks.
    pub ticks: Range<usize>,
    /// From when.
    pub from_s: f64,
    /// Until when.
    pub until_s: f64,
    /// Requests asked for.
    pub demand: f64,
    /// Requests that succeeded.
    pub good: f64,
    /// Requests under way.
    pub in_flight: f64,
    /// Users.
    pub users: f64,
    /// How many ended in which way, as counts.
    pub by: [f64; Class::COUNT],
    /// Responses whose times are known.
    pub answered: f64,
    /// Their times.
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    /// Connections that were made.
    pub new_connections: f64,
    /// How long each of them took: name, connection and TLS.
    pub connecting: f64,
    /// The same by endpoint.
    pub endpoints: Vec<EndpointBin>,
    /// How many times the calm response time the usual one is here, endpoint by endpoint.
    pub slowness: f64,
}

/// One endpoint's part of a bin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EndpointBin {
    pub by: [f64; Class::COUNT],
    pub answered: f64,
    pub p50: f64,
    pub p95: f64,
}

impl Bin {
    /// Requests that ended, as a count.
    pub(crate) fn requests(&self) -> f64 {
        self.by.iter().sum::<f64>() - self.by[Class::Unfinished as usize]
    }

    /// The share of some classes in all requests.
    pub(crate) fn share(&self, classes: &[Class]) -> f64 {
        ratio(classes.iter().map(|class| self.by[*class as usize]).sum(), self.requests())
    }

    /// The share of requests that the service did not serve: neither those that it turned away nor
    /// those that never reached it.
    pub(crate) fn unserved(&self) -> f64 {
        use Class::{Refused, Reset, Server, Timeout, Unavailable};
        self.share(&[Server, Unavailable, Timeout, Refused, Reset])
    }

    /// The middle of it.
    pub(crate) fn middle_s(&self) -> f64 {
        f64::midpoint(self.from_s, self.until_s)
    }
}

pub(crate) fn bins(view: &View<'_>) -> Vec<Bin> {
    let count = view.len();
    let usual = median(&view.done) * view.step_s;
    let widest = (count / LEAST_BINS).max(1);
    let width = WIDTHS.into_iter().filter(|width| *width <= widest);
    let enough = width.clone().find(|width| usual * *width as f64 >= ENOUGH);
    let width = enough.or(width.max()).unwrap_or(1);
    // What is left over at the end belongs to the last one.
    let whole = (count / width).max(usize::from(count > 0));
    (0..whole)
        .map(|place| {
            let end = if place + 1 == whole { count } else { (place + 1) * width };
            bin(view, place * width..end)
        })
        .collect()
}

fn bin(view: &View<'_>, ticks: Range<usize>) -> Bin {
    let of = |values: &[f64]| mean(&values[ticks.clone()]);
    let own = &view.observed.ticks[ticks.clone()];
    let mut response = Sparse::default();
    let mut endpoints = vec![EndpointBin::default(); view.observed.endpoints.len()];
    for index in view.counted() {
        let (part, own) = endpoint(own, index);
        endpoints[index] = part;
        response.merge(&own);
    }
    let time = |quantile| response.quantile_us(quantile).unwrap_or(0) as f64;
    let mut all = Bin {
        from_s: view.at(ticks.start),
        until_s: view.at(ticks.end),
        demand: of(&view.demand),
        good: of(&view.good),
        in_flight: of(&view.in_flight),
        users: mean(&own.iter().map(|tick| tick.users).collect::<Vec<_>>()),
        answered: response.count() as f64,
        p50: time(0.5),
        p95: time(0.95),
        p99: time(0.99),
        endpoints,
        ..Bin::default()
    };
    let phases = [Phase::Dns, Phase::Connect, Phase::Tls].map(|phase| phase as usize);
    let connecting: f64 =
        own.iter().map(|tick| phases.iter().map(|phase| tick.phases_us[*phase]).sum::<f64>()).sum();
    all.new_connections = own.iter().flat_map(|tick| &tick.calls).map(|calls| calls.new_connections).sum();
    all.connecting = ratio(connecting, all.new_connections);
    for part in &all.endpoints {
        all.by.iter_mut().zip(part.by).for_each(|(sum, more)| *sum += more);
    }
    all.ticks = ticks;
    all
}

/// One endpoint's part, and its response times.
fn endpoint(ticks: &[Tick], index: usize) -> (EndpointBin, Sparse) {
    let (mut part, mut response) = (EndpointBin::default(), Sparse::default());
    for calls in ticks.iter().filter_map(|tick| tick.calls.get(index)) {
        part.by.iter_mut().zip(calls.by).for_each(|(sum, more)| *sum += more);
        response.merge(&calls.response);
    }
    part.answered = response.count() as f64;
    part.p50 = response.quantile_us(0.5).unwrap_or(0) as f64;
    part.p95 = response.quantile_us(0.95).unwrap_or(0) as f64;
    (part, response)
}
