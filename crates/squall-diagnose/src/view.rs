//! What was observed, as the rates and times that causes are looked for in.

use std::ops::Range;

use squall_metrics::Sparse;

use crate::bins::{Bin, bins};
use crate::observed::{Class, Observed};
use crate::stats::robust::{median, quantile, ratio};

/// What was observed, by tick and by bin.
pub(crate) struct View<'a> {
    /// As it came.
    pub observed: &'a Observed,
    /// How long a tick is.
    pub step_s: f64,
    /// Requests begun in a second, and those that arrivals without a user would have begun.
    pub demand: Vec<f64>,
    /// Requests ended in a second, without those that the end of the run cut off.
    pub done: Vec<f64>,
    /// Those of them that succeeded.
    pub good: Vec<f64>,
    /// Requests under way at the end of a tick.
    pub in_flight: Vec<f64>,
    /// Stretches with enough requests for percentiles.
    pub bins: Vec<Bin>,
    /// How it is when nothing is wrong, as far as that was seen.
    pub calm: Calm,
}

/// How it is when nothing is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Calm {
    /// The usual response time, in microseconds.
    pub p50: f64,
    /// That of one in twenty.
    pub p95: f64,
    /// That of one in a hundred.
    pub p99: f64,
    /// From one bin to the next the usual response time changes by about this factor, as a logarithm.
    pub noise: f64,
}

impl<'a> View<'a> {
    pub(crate) fn new(observed: &'a Observed) -> Self {
        let step_s = if observed.step_s > 0.0 { observed.step_s } else { 1.0 };
        let counts = |class: fn(usize) -> bool| -> Vec<f64> {
            let of = |tick: &crate::observed::Tick| -> f64 {
                let counted =
                    tick.calls.iter().zip(&observed.endpoints).filter(|(_, endpoint)| endpoint.counts);
                let by = counted.flat_map(|(calls, _)| calls.by.iter().enumerate());
                by.filter(|(index, _)| class(*index)).map(|(_, count)| count).sum()
            };
            observed.ticks.iter().map(|tick| of(tick) / step_s).collect()
        };
        let done = counts(|class| class != Class::Unfinished as usize);
        let good = counts(|class| class == Class::Success as usize);
        let in_flight: Vec<f64> = observed.ticks.iter().map(|tick| tick.in_flight).collect();
        let before = std::iter::once(0.0).chain(in_flight.iter().copied());
        let begun: Vec<f64> = done
            .iter()
            .zip(in_flight.iter().zip(before))
            .map(|(done, (now, before))| (done + (now - before) / step_s).max(0.0))
            .collect();
        let dropped = |tick: &crate::observed::Tick| tick.scheduled > tick.started && tick.started > 0.0;
        let demand =
            observed.ticks.iter().zip(&begun).map(|(tick, begun)| {
                if dropped(tick) { begun * tick.scheduled / tick.started } else { *begun }
            });
        let demand = demand.collect();
        let mut view =
            Self { observed, step_s, demand, done, good, in_flight, bins: Vec::new(), calm: Calm::default() };
        view.bins = bins(&view);
        view.calm = calm(&view.bins);
        view
    }

    /// How many ticks there are.
    pub(crate) fn len(&self) -> usize {
        self.observed.ticks.len()
    }

    /// When a tick begins.
    pub(crate) fn at(&self, tick: usize) -> f64 {
        match self.observed.ticks.get(tick) {
            Some(tick) => tick.t_s,
            None => self.observed.ticks.last().map_or(0.0, |last| last.t_s + self.step_s),
        }
    }

    /// From the first tick to the end of the last.
    pub(crate) fn span(&self) -> (f64, f64) {
        (self.at(0), self.at(self.len()))
    }

    /// All requests that ended.
    pub(crate) fn requests(&self) -> f64 {
        self.done.iter().fold(0.0, |sum, done| sum + done) * self.step_s
    }

    /// The count of a class in a tick, over all endpoints that count.
    pub(crate) fn count(&self, tick: usize, class: Class) -> f64 {
        let Some(tick) = self.observed.ticks.get(tick) else { return 0.0 };
        let counted = tick.calls.iter().zip(&self.observed.endpoints).filter(|(_, endpoint)| endpoint.counts);
        counted.map(|(calls, _)| calls.by[class as usize]).sum()
    }

    /// The count of a class over the whole run.
    pub(crate) fn total(&self, class: Class) -> f64 {
        (0..self.len()).map(|tick| self.count(tick, class)).sum()
    }

    /// The response times within some ticks, of the endpoints that fit.
    pub(crate) fn response(&self, ticks: Range<usize>, fits: impl Fn(usize) -> bool) -> Sparse {
        let mut sum = Sparse::default();
        for tick in self.observed.ticks.get(ticks).unwrap_or_default() {
            let calls = tick.calls.iter().zip(&self.observed.endpoints).enumerate();
            for (_, (calls, _)) in calls.filter(|(index, (_, endpoint))| endpoint.counts && fits(*index)) {
                sum.merge(&calls.response);
            }
        }
        sum
    }

    /// The names of endpoints.
    pub(crate) fn names(&self, which: &[usize]) -> Vec<String> {
        let counted = self.observed.endpoints.iter().filter(|endpoint| endpoint.counts).count();
        if which.len() >= counted {
            return Vec::new();
        }
        which.iter().filter_map(|index| Some(self.observed.endpoints.get(*index)?.name.clone())).collect()
    }

    /// The endpoints that count.
    pub(crate) fn counted(&self) -> impl Iterator<Item = usize> {
        self.observed
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| endpoint.counts)
            .map(|(index, _)| index)
    }

    /// Whether arrivals decide, whatever the target does.
    pub(crate) fn is_open(&self) -> bool {
        self.observed.ticks.iter().any(|tick| tick.scheduled > 0.0)
    }
}

/// The calmest fifth of the bins says how it is when nothing is wrong.
fn calm(bins: &[Bin]) -> Calm {
    let usual: Vec<f64> = bins.iter().filter(|bin| bin.answered >= 5.0).map(|bin| bin.p50).collect();
    let Some(p50) = quantile(&usual, 0.2) else { return Calm::default() };
    let near: Vec<&Bin> =
        bins.iter().filter(|bin| bin.answered >= 5.0 && bin.p50 <= p50 * 1.1 && bin.p50 > 0.0).collect();
    let of = |value: fn(&Bin) -> f64| median(&near.iter().map(|bin| value(bin)).collect::<Vec<_>>());
    let logs: Vec<f64> = usual.iter().filter(|p50| **p50 > 0.0).map(|p50| p50.ln()).collect();
    Calm {
        p50: of(|bin| bin.p50),
        p95: of(|bin| bin.p95),
        p99: of(|bin| bin.p99),
        noise: crate::stats::robust::noise(&logs).max(0.01),
    }
}

impl Bin {
    /// How many times the calm response time the usual one is here.
    pub(crate) fn slowness(&self, calm: &Calm) -> f64 {
        if self.answered >= 1.0 { ratio(self.p50, calm.p50) } else { 0.0 }
    }
}
