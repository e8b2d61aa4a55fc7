//! Judges thresholds: while a run goes on, behind what nearly all generators have told, and again at its end.

mod late;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use squall_metrics::{
    Arrivals, KEPT_SECONDS, MeasureId, Merged, Outcome, Second, SeriesId, SeriesSecond, Sparse,
};
use squall_plan::Threshold;
use squall_plan::threshold::{Metric, Of, Statistic, Unit};

use crate::measured::Measured;

/// The thresholds of a run, and what is known of them so far.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    thresholds: Vec<Threshold>,
    /// How many seconds of load are planned.
    lasts_s: i32,
    /// All seconds before this one have been looked at.
    seen_until: i32,
    /// What became of each threshold in the stretches up to then.
    seen: Vec<Judged>,
    /// And in those up to a second before it, as they were when late snapshots had come, too.
    settled: Vec<(Judged, i32)>,
    /// What counts of them for each threshold of a part of the run, added up.
    sums: Vec<Sum>,
    /// Which threshold ended the run, with what, and in which second.
    aborted: Option<(usize, Figure, i32)>,
}

/// What became of a threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The threshold.
    pub threshold: Threshold,
    /// What it came to, in its unit: in the whole, or in the stretch in which it first did not hold, or in the last one.
    pub value: Option<f64>,
    /// Whether it may as well be larger, for dropped arrivals count as infinite.
    pub at_least: bool,
    /// Whether it held. Without data it did not.
    pub passed: bool,
    /// Whether that hangs on what generators measured while they were the bottleneck.
    pub hangs_on_tainted: bool,
    /// The end of the first stretch in which it did not hold, in seconds since the epoch.
    pub first_failed_at_s: Option<i32>,
    /// Stretches that had enough samples; of the whole there is one.
    pub stretches: u32,
    /// Those in which it did not hold.
    pub failed_stretches: u32,
}

/// What a metric came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Figure {
    /// In the threshold's unit; infinite where dropped arrivals have reached it.
    value: Option<f64>,
    /// What it would be without those, where it is infinite.
    measured: Option<f64>,
    samples: u64,
}

/// Where measurements come from: all, or those that generators took while they were not the bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    All,
    Untainted,
}

impl Judge {
    /// For a load of this length.
    #[must_use]
    pub fn new(thresholds: Vec<Threshold>, lasts: Duration) -> Self {
        let lasts_s = seconds(lasts).saturating_add(i32::from(lasts.subsec_nanos() > 0));
        let seen: Vec<Judged> = thresholds.iter().map(Judged::of).collect();
        let settled = seen.iter().map(|judged| (judged.clone(), 0)).collect();
        let sums = vec![Sum::default(); thresholds.len()];
        Self { thresholds, lasts_s, seen_until: 0, seen, settled, sums, aborted: None }
    }

    /// Looks at the seconds that nearly all generators have told since the last time; why the run is to end, if a
    /// threshold says so.
    pub fn look(&mut self, measured: &Measured, told_until: i32) -> Option<String> {
        let until = told_until.min(self.lasts_s);
        while self.aborted.is_none() && self.seen_until < until {
            self.seen_until += 1;
            for index in 0..self.thresholds.len() {
                let threshold = &self.thresholds[index];
                let at_s = self.seen_until - 1;
                if is_of_a_part(threshold)
                    && whole_span(threshold, self.lasts_s).contains(&at_s)
                    && let Some(merged) = measured.of(threshold.region.as_deref())
                {
                    self.sums[index].merge(&Sum::of_seconds(
                        threshold,
                        merged,
                        &(at_s..at_s + 1),
                        Source::All,
                    ));
                }
                // The whole is judged at the end, unless it may end the run.
                if threshold.over_s.is_none() && !threshold.abort {
                    continue;
                }
                let Some(value) = self.so_far(index, measured) else { continue };
                self.seen[index].take_in(value, self.seen_until);
                if self.aborted.is_none() && threshold.abort && !value.holds(threshold) {
                    self.aborted = Some((index, value, self.seen_until));
                }
            }
        }
        self.settle(measured);
        let (index, value, at_s) = self.aborted?;
        let threshold = &self.thresholds[index];
        let over = threshold.over_s.map_or(String::new(), |over_s| format!(" over {over_s} s"));
        Some(format!(
            "`{}` did not hold{over} at {at_s} s: {}",
            threshold.expression,
            value.show(threshold.unit)
        ))
    }

    /// How the thresholds stand: by what was looked at so far, without a second look at what was tainted.
    #[must_use]
    pub fn standing(&self, measured: &Measured) -> Vec<Judged> {
        let thresholds = self.thresholds.iter().zip(&self.seen).enumerate();
        let standing = thresholds.map(|(index, (threshold, seen))| match threshold.over_s {
            Some(_) => Judged { passed: seen.stretches > 0 && seen.failed_stretches == 0, ..seen.clone() },
            None => whole(threshold, self.figure_so_far(index, measured)),
        });
        standing.collect()
    }

    /// What becomes of the thresholds if nothing more comes.
    #[must_use]
    pub fn judge(&self, measured: &Measured) -> Vec<Judged> {
        let merged = measured.all();
        let last = merged.seconds().iter().rev().find(|(_, second)| !second.series.is_empty());
        let end_s = last.map_or(0, |(second, _)| second.saturating_add(1)).clamp(0, self.lasts_s);
        let tainted = merged.seconds().values().any(|second| !second.tainted.is_empty());
        let thresholds = self.thresholds.iter().enumerate();
        let judged = thresholds.map(|(index, threshold)| {
            let mut judged = match threshold.over_s {
                Some(_) => self.all_stretches(index, measured, end_s),
                None => {
                    let span = whole_span(threshold, end_s);
                    whole(threshold, value(threshold, measured, &span, Source::All))
                }
            };
            if tainted {
                judged.hangs_on_tainted = passes(threshold, measured, end_s, Source::All)
                    != passes(threshold, measured, end_s, Source::Untainted);
            }
            // What has ended the run has failed, whatever came later.
            if let Some((_, value, at_s)) = self.aborted.filter(|(aborted, ..)| *aborted == index) {
                judged = Judged { passed: false, first_failed_at_s: Some(at_s), ..judged };
                (judged.value, judged.at_least) = value.parts();
            }
            judged
        });
        judged.collect()
    }

    /// Takes in every stretch that ends after one second and until another.
    fn stretches(judged: &mut Judged, measured: &Measured, ends: Range<i32>, source: Source) {
        let threshold = judged.threshold.clone();
        let over_s = i32::try_from(threshold.over_s.unwrap_or(0)).unwrap_or(i32::MAX);
        let mut sums = BTreeMap::new();
        if let Some(merged) = measured.of(threshold.region.as_deref()) {
            let all = merged.seconds().range(ends.start.saturating_sub(over_s)..ends.end.max(ends.start));
            sums.extend(
                all.map(|(at_s, _)| (*at_s, Sum::of_seconds(&threshold, merged, &(*at_s..at_s + 1), source))),
            );
        }
        for until in ends.start + 1..=ends.end {
            let Some(span) = stretch(&threshold, until) else { continue };
            let mut sum = Sum::default();
            sums.range(span.clone()).for_each(|(_, second)| sum.merge(second));
            let value = sum.value(&threshold, span_s(&span));
            if value.samples >= threshold.least_samples() {
                judged.take_in(value, until);
            }
        }
        judged.passed = judged.stretches > 0 && judged.failed_stretches == 0;
    }

    /// Stretches that are too old to be looked at once more stay as they were when most that came late had come.
    fn all_stretches(&self, index: usize, measured: &Measured, end_s: i32) -> Judged {
        let (mut judged, from) = if end_s <= KEPT_SECONDS {
            (Judged::of(&self.thresholds[index]), 0)
        } else {
            let (settled, until) = &self.settled[index];
            (settled.clone(), *until.min(&end_s))
        };
        Self::stretches(&mut judged, measured, from..end_s, Source::All);
        judged
    }

    /// What it came to in the latest stretch, or in the whole so far; nothing if that has too few samples.
    fn so_far(&self, index: usize, measured: &Measured) -> Option<Figure> {
        let threshold = &self.thresholds[index];
        let span = stretch(threshold, self.seen_until)?;
        let value = match threshold.over_s {
            Some(_) => value(threshold, measured, &span, Source::All),
            None => self.figure_so_far(index, measured),
        };
        (value.samples >= threshold.least_samples()).then_some(value)
    }

    /// What it came to in the whole so far.
    fn figure_so_far(&self, index: usize, measured: &Measured) -> Figure {
        let threshold = &self.thresholds[index];
        let span = whole_span(threshold, self.seen_until.max(1));
        if is_of_a_part(threshold) && measured.of(threshold.region.as_deref()).is_some() {
            self.sums[index].value(threshold, span_s(&span))
        } else {
            value(threshold, measured, &span, Source::All)
        }
    }
}

/// Whether it holds by what is kept by the second, so that both sources are as precise.
fn passes(threshold: &Threshold, measured: &Measured, end_s: i32, source: Source) -> bool {
    if threshold.over_s.is_some() {
        let mut judged = Judged::of(threshold);
        let from = end_s.saturating_sub(KEPT_SECONDS).max(0);
        Judge::stretches(&mut judged, measured, from..end_s, source);
        return judged.passed;
    }
    let Some(merged) = measured.of(threshold.region.as_deref()) else { return false };
    let span = whole_span(threshold, end_s);
    let sum = Sum::of_seconds(threshold, merged, &span, source);
    let value = sum.value(threshold, span_s(&span));
    value.samples > 0 && value.holds(threshold)
}

/// What it came to in a span; nothing where no load is made.
fn value(threshold: &Threshold, measured: &Measured, span: &Range<i32>, source: Source) -> Figure {
    let Some(merged) = measured.of(threshold.region.as_deref()) else { return Figure::default() };
    if let Metric::Own(statistic, index) = threshold.metric {
        return own(merged, statistic, MeasureId(index));
    }
    // The whole is known more precisely than its seconds.
    let whole =
        source == Source::All && span.start <= 0 && threshold.stage.is_none() && threshold.over_s.is_none();
    let sum =
        if whole { Sum::of_run(threshold, merged) } else { Sum::of_seconds(threshold, merged, span, source) };
    sum.value(threshold, span_s(span))
}

impl Judged {
    fn of(threshold: &Threshold) -> Self {
        Self {
            threshold: threshold.clone(),
            value: None,
            at_least: false,
            passed: false,
            hangs_on_tainted: false,
            first_failed_at_s: None,
            stretches: 0,
            failed_stretches: 0,
        }
    }

    /// What it came to in one more stretch; the first in which it did not hold is what is told.
    fn take_in(&mut self, value: Figure, until: i32) {
        let holds = value.holds(&self.threshold);
        self.stretches += 1;
        self.failed_stretches += u32::from(!holds);
        if self.first_failed_at_s.is_none() {
            (self.value, self.at_least) = value.parts();
            self.first_failed_at_s = (!holds).then_some(until);
        }
    }
}

impl Figure {
    fn holds(&self, threshold: &Threshold) -> bool {
        self.value.is_some_and(|value| threshold.comparison.holds(value, threshold.limit))
    }

    /// What can be shown, and whether it may as well be larger.
    fn parts(&self) -> (Option<f64>, bool) {
        match self.value {
            Some(value) if value.is_infinite() => (self.measured, true),
            value => (value, false),
        }
    }

    fn show(&self, unit: Unit) -> String {
        match self.parts() {
            (None, _) => "no data".to_owned(),
            (Some(value), false) => unit.show(value),
            (Some(value), true) => format!("≥ {}", unit.show(value)),
        }
    }
}

/// What became of a threshold of the whole.
fn whole(threshold: &Threshold, figure: Figure) -> Judged {
    let (value, at_least) = figure.parts();
    let has_data = figure.samples > 0;
    let passed = has_data && figure.holds(threshold);
    Judged {
        value,
        at_least,
        passed,
        stretches: u32::from(has_data),
        failed_stretches: u32::from(has_data && !passed),
        ..Judged::of(threshold)
    }
}

/// Whether its whole is not the run's.
fn is_of_a_part(threshold: &Threshold) -> bool {
    threshold.over_s.is_none() && (threshold.stage.is_some() || !threshold.after.is_zero())
}

/// The seconds that count in the whole; those beyond the load do, too, for what they hold began in it.
fn whole_span(threshold: &Threshold, end_s: i32) -> Range<i32> {
    let after = seconds(threshold.after);
    match threshold.stage {
        Some((from, until)) => seconds(from).max(after)..seconds(until).min(end_s),
        None => after..end_s,
    }
}

/// The stretch that ends before a second; none if it is not wholly within what counts.
fn stretch(threshold: &Threshold, until: i32) -> Option<Range<i32>> {
    let whole = whole_span(threshold, until);
    let from =
        threshold.over_s.map_or(whole.start, |over_s| until - i32::try_from(over_s).unwrap_or(i32::MAX));
    let within = from >= whole.start && until <= whole.end && from < until;
    within.then_some(from..until)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

fn span_s(span: &Range<i32>) -> f64 {
    f64::from(span.end.saturating_sub(span.start)).max(1.0)
}

fn own(merged: &Merged, statistic: Statistic, id: MeasureId) -> Figure {
    let Some(values) = merged.measures().get(&id) else { return Figure::default() };
    let value = statistic_of(values, statistic, 0.0).map(|thousandths| thousandths / 1_000.0);
    Figure { value, measured: None, samples: values.count() }
}

/// What counts for a threshold, added up.
#[derive(Debug, Clone, Default)]
struct Sum {
    requests: SeriesSecond,
    arrivals: Arrivals,
}

impl Sum {
    fn of_run(threshold: &Threshold, merged: &Merged) -> Self {
        let mut sum = Self::default();
        for totals in threshold.series.iter().filter_map(|id| merged.series().get(&SeriesId(*id))) {
            sum.requests.merge(&SeriesSecond {
                requests: totals.counts.requests,
                errors: totals.counts.errors,
                outcomes: totals.counts.outcomes.clone(),
                new_connections: totals.counts.new_connections,
                response: totals.response.clone(),
                failed: totals.failed.clone(),
                checks_passed: totals.counts.checks_passed,
                checks_failed: totals.counts.checks_failed,
            });
        }
        for load in merged.loads().values() {
            sum.add_arrivals(load.arrivals);
        }
        sum
    }

    fn of_seconds(threshold: &Threshold, merged: &Merged, span: &Range<i32>, source: Source) -> Self {
        let mut sum = Self::default();
        if span.is_empty() {
            return sum;
        }
        for second in merged.seconds().range(span.clone()).map(|(_, second)| second) {
            sum.add_arrivals(second.arrivals);
            for id in threshold.series.iter().map(|id| SeriesId(*id)) {
                sum.add(second, id, source);
            }
        }
        sum
    }

    fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.add_arrivals(other.arrivals);
    }

    fn add(&mut self, second: &Second, id: SeriesId, source: Source) {
        let Some(series) = second.series.get(&id) else { return };
        match second.tainted.get(&id).filter(|_| source == Source::Untainted) {
            Some(tainted) => self.requests.merge(&series.without(tainted)),
            None => self.requests.merge(series),
        }
    }

    fn add_arrivals(&mut self, arrivals: Arrivals) {
        self.arrivals.scheduled += arrivals.scheduled;
        self.arrivals.started += arrivals.started;
        self.arrivals.dropped += arrivals.dropped;
    }

    fn value(&self, threshold: &Threshold, span_s: f64) -> Figure {
        let Self { requests, arrivals } = self;
        let of = |part: u64, whole: u64| match threshold.unit {
            Unit::Ratio => Figure {
                value: (whole > 0).then(|| part as f64 / whole as f64),
                measured: None,
                samples: whole,
            },
            _ => Figure { value: Some(part as f64), measured: None, samples: whole },
        };
        match threshold.metric {
            Metric::Time(statistic, of) => self.time(threshold, statistic, of),
            Metric::Errors => of(requests.errors, requests.requests),
            Metric::Status(first, last) => {
                let is_meant = |outcome: &Outcome| {
                    outcome.status().is_some_and(|status| (first..=last).contains(&status))
                };
                let found = requests.outcomes.iter().filter(|(outcome, _)| is_meant(outcome));
                of(found.map(|(_, count)| count).sum(), requests.requests)
            }
            // Where nothing arrives by schedule, nothing is dropped.
            Metric::Dropped => of(arrivals.dropped, arrivals.scheduled.max(u64::from(requests.requests > 0))),
            Metric::Checks => of(requests.checks_passed, requests.checks_passed + requests.checks_failed),
            Metric::Requests => {
                let number = requests.requests as f64;
                let value = if threshold.unit == Unit::PerSecond { number / span_s } else { number };
                // That none came is known, too, where it is asked of a stretch.
                let samples = requests.requests.max(u64::from(threshold.over_s.is_some()));
                Figure { value: Some(value), measured: None, samples }
            }
            Metric::Own(..) => Figure::default(),
        }
    }

    /// Arrivals that were dropped would have taken for ever.
    fn time(&self, threshold: &Threshold, statistic: Statistic, of: Of) -> Figure {
        let mut times: Sparse = match of {
            Of::Good | Of::All => self.requests.response.clone(),
            Of::Failed => self.requests.failed.clone(),
        };
        if of == Of::All {
            times.merge(&self.requests.failed);
        }
        let counts_drops = threshold.counts_drops && of != Of::Failed && self.arrivals.scheduled > 0;
        let dropped =
            if counts_drops { self.arrivals.dropped as f64 / self.arrivals.scheduled as f64 } else { 0.0 };
        let ms = |us: f64| us / 1_000.0;
        Figure {
            value: statistic_of(&times, statistic, dropped).map(ms),
            measured: statistic_of(&times, statistic, 0.0).map(ms),
            samples: times.count(),
        }
    }
}

/// Infinite where a share that is infinite reaches it.
fn statistic_of(values: &Sparse, statistic: Statistic, infinite: f64) -> Option<f64> {
    let largest = values.max_us()?;
    match statistic {
        Statistic::Percentile(share) if share > 1.0 - infinite => Some(f64::INFINITY),
        Statistic::Percentile(share) => values.quantile_us(share / (1.0 - infinite)).map(|us| us as f64),
        Statistic::Min => values.min_us().map(|us| us as f64),
        Statistic::Mean | Statistic::Max if infinite > 0.0 => Some(f64::INFINITY),
        Statistic::Mean => values.mean_us(),
        Statistic::Max => Some(largest as f64),
    }
}

#[cfg(test)]
mod tests;
