//! Where a recorder takes things in: dense, so that it is fast, and made sparse for their way.

use std::collections::BTreeMap;

use crate::distribution::Distribution;
use crate::exemplar::{Exemplar, Slowest};
use crate::interval::{Second, Series, SeriesSecond};
use crate::phases::Phase;
use crate::{Outcome, SeriesId};

#[derive(Debug)]
pub(super) struct DenseSeries {
    pub(super) counts: Series,
    pub(super) outcomes: Outcomes,
    pub(super) response: Distribution,
    pub(super) failed: Distribution,
    pub(super) service: Distribution,
    pub(super) phases: [Distribution; Phase::ALL.len()],
    pub(super) slowest: Slowest,
}

#[derive(Debug, Default)]
pub(super) struct DenseSecond {
    pub(super) counts: Second,
    pub(super) series: Vec<Option<Box<DenseSeriesSecond>>>,
    /// What went with the recording before, and is as tainted as the rest.
    pub(super) begun: Vec<Option<Box<DenseSeriesSecond>>>,
}

#[derive(Debug, Clone)]
pub(super) struct DenseSeriesSecond {
    pub(super) counts: SeriesSecond,
    pub(super) outcomes: Outcomes,
    pub(super) response: Distribution,
    pub(super) failed: Distribution,
}

/// A few outcomes, of which the first is nearly all.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcomes(Vec<(Outcome, u64)>);

impl Outcomes {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match self.0.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => self.0.push((outcome, 1)),
        }
    }
}

impl Default for DenseSeries {
    fn default() -> Self {
        Self {
            counts: Series::default(),
            outcomes: Outcomes::default(),
            response: Distribution::fine(),
            failed: Distribution::fine(),
            service: Distribution::fine(),
            phases: [const { Distribution::coarse() }; Phase::ALL.len()],
            slowest: Slowest::default(),
        }
    }
}

impl Default for DenseSeriesSecond {
    fn default() -> Self {
        Self {
            counts: SeriesSecond::default(),
            outcomes: Outcomes::default(),
            response: Distribution::coarse(),
            failed: Distribution::coarse(),
        }
    }
}

impl DenseSeries {
    pub(super) fn into_series(self) -> (Series, Vec<Exemplar>) {
        let series = Series {
            outcomes: self.outcomes.0.into_iter().collect(),
            response: self.response.to_sparse(),
            failed: self.failed.to_sparse(),
            service: self.service.to_sparse(),
            phases: self.phases.each_ref().map(Distribution::to_sparse),
            ..self.counts
        };
        (series, self.slowest.into_list())
    }
}

impl DenseSecond {
    pub(super) fn into_second(self) -> Second {
        let series = by_id(self.series, DenseSeriesSecond::into_series);
        let mut tainted = BTreeMap::new();
        if self.counts.health.tainted > 0 {
            tainted = series.clone();
            for (id, begun) in by_id(self.begun, DenseSeriesSecond::into_series) {
                tainted.entry(id).or_default().merge(&begun);
            }
        }
        Second { series, tainted, ..self.counts }
    }
}

impl DenseSeriesSecond {
    pub(super) fn into_series(self) -> SeriesSecond {
        SeriesSecond {
            outcomes: self.outcomes.0.into_iter().collect(),
            response: self.response.to_sparse(),
            failed: self.failed.to_sparse(),
            ..self.counts
        }
    }
}

pub(super) fn by_id<T, U>(list: Vec<Option<Box<T>>>, convert: impl Fn(T) -> U) -> BTreeMap<SeriesId, U> {
    let ids = (0..=u16::MAX).map(SeriesId);
    ids.zip(list).filter_map(|(id, content)| Some((id, convert(*content?)))).collect()
}
