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
        compare(&mut view.bins);
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

    /// The response times within some ticks of all endpoints that count, and those of failures that took as long as the
    /// slowest of the calm: what was given up took long, too.
    pub(crate) fn slow_or_given_up(&self, ticks: Range<usize>) -> Sparse {
        let mut failed = Sparse::default();
        for tick in self.observed.ticks.get(ticks.clone()).unwrap_or_default() {
            let calls = tick.calls.iter().zip(&self.observed.endpoints);
            calls.filter(|(_, endpoint)| endpoint.counts).for_each(|(calls, _)| failed.merge(&calls.failed));
        }
        let mut sum = self.response(ticks, |_| true);
        sum.merge(&Sparse::new(
            failed.scale(),
            failed.buckets().filter(|(us, _)| *us as f64 > self.calm.p95),
        ));
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

/// Fewer answers of an endpoint have no median.
const LEAST: f64 = 3.0;

/// The calmest fifth of the bins says how it is when nothing is wrong.
fn calm(bins: &[Bin]) -> Calm {
    let known: Vec<&Bin> = bins.iter().filter(|bin| bin.answered >= 5.0 && bin.p50 > 0.0).collect();
    let Some(p50) = quantile(&known.iter().map(|bin| bin.p50).collect::<Vec<_>>(), 0.2) else {
        return Calm::default();
    };
    let near: Vec<&&Bin> = known.iter().filter(|bin| bin.p50 <= p50 * 1.1).collect();
    let of = |value: fn(&Bin) -> f64| median(&near.iter().map(|bin| value(bin)).collect::<Vec<_>>());
    let slow = known.iter().filter(|bin| bin.slowness > 0.0).map(|bin| bin.slowness.ln());
    Calm {
        p50: of(|bin| bin.p50),
        p95: of(|bin| bin.p95),
        p99: of(|bin| bin.p99),
        noise: crate::stats::robust::noise(&slow.collect::<Vec<_>>()).max(0.01),
    }
}

/// How slow each bin is, as most of its requests are: endpoint by endpoint, for the median of a quick one and a slow one
/// together lies now with this one and now with that.
fn compare(bins: &mut [Bin]) {
    let endpoints = bins.iter().map(|bin| bin.endpoints.len()).max().unwrap_or(0);
    let usual: Vec<f64> = (0..endpoints)
        .map(|index| {
            let part = |bin: &Bin| {
                bin.endpoints.get(index).filter(|part| part.answered >= LEAST).map(|part| part.p50)
            };
            let times: Vec<f64> = bins.iter().filter_map(part).filter(|p50| *p50 > 0.0).collect();
            let calm = quantile(&times, 0.2).unwrap_or(0.0);
            median(&times.into_iter().filter(|p50| *p50 <= calm * 1.1).collect::<Vec<_>>())
        })
        .collect();
    for bin in bins {
        let parts =
            bin.endpoints.iter().zip(&usual).filter(|(part, usual)| part.answered >= LEAST && **usual > 0.0);
        let mut slow: Vec<(f64, f64)> =
            parts.map(|(part, usual)| (part.p50 / usual, part.answered)).collect();
        slow.sort_by(|one, other| one.0.total_cmp(&other.0));
        let half = slow.iter().map(|(_, answered)| answered).sum::<f64>() / 2.0;
        let mut sum = 0.0;
        let middle = slow.into_iter().find(|(_, answered)| {
            sum += answered;
            sum >= half
        });
        bin.slowness = middle.map_or(0.0, |(slowness, _)| slowness);
    }
}

impl Bin {
    /// How many times the calm response time the usual one is here.
    pub(crate) fn slowness(&self, calm: &Calm) -> f64 {
        match self.answered {
            answered if answered < 1.0 => 0.0,
            _ if self.slowness > 0.0 => self.slowness,
            _ => ratio(self.p50, calm.p50),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::EndpointBin;

    #[test]
    fn a_median_that_lies_now_with_quick_requests_and_now_with_slow_ones_is_not_slower() {
        let bin = |quick: f64, slow: f64| {
            let part = |answered, p50| EndpointBin { answered, p50, ..EndpointBin::default() };
            let p50 = if quick > slow { 15.0 } else { 30.0 };
            Bin {
                answered: quick + slow,
                p50,
                endpoints: vec![part(quick, 15.0), part(slow, 30.0)],
                ..Bin::default()
            }
        };
        let mut bins: Vec<Bin> =
            (0..20).map(|at| if at % 4 == 0 { bin(28.0, 32.0) } else { bin(32.0, 28.0) }).collect();
        bins.push(Bin {
            endpoints: vec![EndpointBin { answered: 30.0, p50: 45.0, ..EndpointBin::default() }],
            ..bin(30.0, 0.0)
        });
        compare(&mut bins);
        assert!(bins[..20].iter().all(|bin| (bin.slowness - 1.0).abs() < 1e-9), "{bins:?}");
        assert!((bins[20].slowness - 3.0).abs() < 1e-9, "{:?}", bins[20]);
    }
}
