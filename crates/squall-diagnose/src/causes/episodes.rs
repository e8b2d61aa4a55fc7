//! Stretches in which the service was slow or did not serve.

use std::ops::Range;

use crate::bins::Bin;
use crate::stats::robust::{mean, median};
use crate::view::View;

/// A stretch in which the service was slow or did not serve.
#[derive(Debug, Clone)]
pub(crate) struct Episode {
    /// Which bins.
    pub bins: Range<usize>,
    pub from_s: f64,
    pub until_s: f64,
    /// How slow at most, in times of the calm.
    pub slowest: f64,
    /// From where on in the stretch it was about as slow as at most, from 0 to 1.
    pub slowest_at: f64,
    /// The share of requests that were not served.
    pub unserved: f64,
    /// What was asked for in the calm bins before; `None` if there were none.
    pub demand_before: Option<f64>,
    /// What was asked for in it.
    pub demand: f64,
    /// What was asked for in the bins after it, and how many those are.
    pub demand_after: f64,
    pub calm_after: usize,
}

/// From so many times the calm response time on a bin is slow.
pub(crate) fn slow_from(view: &View<'_>) -> f64 {
    (6.0 * view.calm.noise).exp().clamp(1.5, 3.0)
}

/// Whether a bin is slow or not served.
pub(crate) fn is_bad(view: &View<'_>, bin: &Bin) -> bool {
    bin.slowness(&view.calm) > slow_from(view) || is_unserved(bin)
}

/// Whether a bin's requests were not served to a degree that is no accident.
pub(crate) fn is_unserved(bin: &Bin) -> bool {
    bin.unserved() > 0.02 && bin.unserved() * bin.requests() >= 3.0
}

/// All such stretches; a single calm bin between two belongs to them.
pub(crate) fn episodes(view: &View<'_>, bad: impl Fn(&Bin) -> bool) -> Vec<Episode> {
    let marks: Vec<bool> = view.bins.iter().map(&bad).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in (0..marks.len()).filter(|at| marks[*at]) {
        match found.last_mut() {
            Some(range) if at <= range.end + 1 => range.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found.into_iter().map(|range| episode(view, range, &marks)).collect()
}

fn episode(view: &View<'_>, range: Range<usize>, marks: &[bool]) -> Episode {
    let own = &view.bins[range.clone()];
    let slowness = |bin: &Bin| bin.slowness(&view.calm);
    let slowest = own.iter().map(slowness).fold(0.0, f64::max);
    // Where it is about as slow for long, it is so from the first of these on.
    let place = own.iter().position(|bin| slowness(bin) >= 0.8 * slowest).unwrap_or(0);
    let before = (0..range.start).rev().filter(|at| !marks[*at]).map(|at| view.bins[at].demand);
    let before: Vec<f64> = before.take(15).collect();
    let after: Vec<f64> =
        (range.end..marks.len()).take_while(|at| !marks[*at]).map(|at| view.bins[at].demand).collect();
    let requests: f64 = own.iter().map(Bin::requests).sum();
    Episode {
        from_s: own.first().map_or(0.0, |bin| bin.from_s),
        until_s: own.last().map_or(0.0, |bin| bin.until_s),
        slowest,
        slowest_at: place as f64 / own.len().saturating_sub(1).max(1) as f64,
        unserved: own.iter().map(|bin| bin.unserved() * bin.requests()).sum::<f64>() / requests.max(1.0),
        demand_before: (!before.is_empty()).then(|| median(&before)),
        demand: mean(&own.iter().map(|bin| bin.demand).collect::<Vec<_>>()),
        demand_after: median(&after[..after.len().min(20)]),
        calm_after: after.len(),
        bins: range,
    }
}

impl Episode {
    /// How long it lasted.
    pub(crate) fn length_s(&self) -> f64 {
        self.until_s - self.from_s
    }

    /// Its ticks.
    pub(crate) fn ticks(&self, view: &View<'_>) -> Range<usize> {
        let of = |at: usize| view.bins.get(at);
        let from = of(self.bins.start).map_or(0, |bin| bin.ticks.start);
        let until = self.bins.end.checked_sub(1).and_then(of).map_or(0, |bin| bin.ticks.end);
        from..until.max(from)
    }
}
