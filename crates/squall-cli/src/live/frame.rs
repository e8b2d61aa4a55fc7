//! Where a run stands, as every live view shows it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use squall_fleet::{Phase, View};
use squall_metrics::{Merged, Second, SeriesId, Sparse, Totals};
use squall_plan::{Load, Plan, SeriesName};
use squall_report::{Point, Threshold, class, point};
use squall_telemetry::Latest;

use crate::run::threshold;
use crate::telemetry::Heard;

/// What is called "now": as many of the latest seconds that nearly all generators have told.
const RECENT_S: i32 = 5;

/// Fewer than all requests' names are shown of a plan with very many: those with the most requests.
const MOST_ENDPOINTS: usize = 100;

/// Instruments of the target that are shown at most.
const MOST_INSTRUMENTS: usize = 50;

/// Where a run stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Frame {
    pub(crate) run: String,
    pub(crate) name: String,
    pub(crate) state: State,
    /// Since the epoch; negative before it, null while it is not known.
    pub(crate) t_s: Option<f64>,
    pub(crate) duration_s: f64,
    pub(crate) stage: Option<Stage>,
    pub(crate) generators: Generators,
    /// Since the epoch.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
    pub(crate) response_time_ms: Quantiles,
    pub(crate) now: Now,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Names whose requests are not in `endpoints`.
    pub(crate) more_endpoints: usize,
    pub(crate) thresholds: Vec<Threshold>,
    /// What the target's own instruments said last.
    pub(crate) telemetry: Vec<Instrument>,
    /// The seconds that became complete since the frame before, as in the timeline of `result.json`.
    pub(crate) points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Generators get ready.
    Gathering,
    /// They wait for the epoch.
    Waiting,
    Running,
    /// The load is over, or to end.
    Ending,
    Done,
}

/// The stage of a plan's only load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Stage {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) left_s: f64,
}

/// How many generators are how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Generators {
    pub(crate) wanted: u32,
    pub(crate) ready: u32,
    pub(crate) running: u32,
    pub(crate) ended: u32,
    pub(crate) spare: u32,
    pub(crate) late: u32,
    pub(crate) duplicate: u32,
}

/// Of response times; null without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// The latest seconds, per second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Now {
    /// How many seconds they are.
    pub(crate) span_s: i32,
    pub(crate) users: u64,
    pub(crate) in_flight: u64,
    pub(crate) arrivals_per_s: f64,
    pub(crate) dropped_per_s: f64,
    pub(crate) rps: f64,
    pub(crate) errors_per_s: f64,
    /// Requests by the class of their outcome.
    pub(crate) classes: BTreeMap<&'static str, f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// The requests of one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) scenario: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Of the latest seconds.
    pub(crate) rps: f64,
    pub(crate) response_time_ms: Quantiles,
}

/// What one of the target's own instruments said last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Instrument {
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    /// How long ago that was.
    pub(crate) age_s: f64,
}

/// Draws frames of a run.
#[derive(Debug)]
pub(crate) struct Camera {
    run: String,
    name: String,
    duration: Duration,
    wanted: u32,
    series: Vec<SeriesName>,
    /// When the stages of the only load end.
    stages: Vec<Duration>,
    heard: Option<Heard>,
    told_until: i32,
}

impl Camera {
    pub(crate) fn new(run: &str, plan: &Plan, wanted: u32, heard: Option<Heard>) -> Self {
        Self {
            run: run.to_owned(),
            name: plan.name.clone(),
            duration: plan.duration(),
            wanted,
            series: plan.series.clone(),
            stages: stages(plan),
            heard,
            told_until: i32::MIN,
        }
    }

    pub(crate) fn frame(&mut self, view: &View<'_>) -> Frame {
        let (merged, phase) = (view.merged(), view.phase());
        let t_s = view.epoch().map(|epoch| (view.now.0 - epoch.0) as f64 / 1e6);
        let state = match (phase, t_s) {
            (Phase::Done, _) => State::Done,
            (Phase::Inviting | Phase::Gathering, _) | (_, None) => State::Gathering,
            (Phase::Running | Phase::Ending, Some(t_s)) if t_s < 0.0 => State::Waiting,
            (Phase::Running, _) => State::Running,
            (Phase::Ending, _) => State::Ending,
        };
        let last = merged.seconds().last_key_value().map_or(i32::MIN, |(second, _)| second.saturating_add(1));
        let until = if state == State::Done { last } else { view.told_until().min(last) };
        let from = self.told_until;
        self.told_until = until.max(from);
        let counts = merged.series().values().map(|totals| &totals.counts);
        let (endpoints, more_endpoints) = self.endpoints(merged, until);
        Frame {
            run: self.run.clone(),
            name: self.name.clone(),
            state,
            t_s,
            duration_s: self.duration.as_secs_f64(),
            stage: t_s.and_then(|t_s| self.stage(t_s)),
            generators: self.generators(view),
            requests: counts.clone().map(|counts| counts.requests).sum(),
            errors: counts.map(|counts| counts.errors).sum(),
            dropped: merged.loads().values().map(|load| load.arrivals.dropped).sum(),
            response_time_ms: whole(merged),
            now: self.now(merged, until),
            endpoints,
            more_endpoints,
            thresholds: view.standing().iter().map(threshold).collect(),
            telemetry: self.instruments(view.now.0 as f64 / 1e6),
            points: seconds(merged, from..until).map(|(t_s, second)| self.point(*t_s, second)).collect(),
        }
    }

    fn point(&self, t_s: i32, second: &Second) -> Point {
        point(i64::from(t_s), second, &self.series)
    }

    /// They are asked now and then only, so what they say is of some seconds ago.
    fn instruments(&self, now_s: f64) -> Vec<Instrument> {
        let latest = self.heard.iter().flat_map(|heard| heard.latest(MOST_INSTRUMENTS));
        let instrument = |Latest { source, name, unit, at_s, value }| {
            let age_s = ((now_s - at_s).max(0.0) * 10.0).round() / 10.0;
            Instrument { source, name, unit, value, age_s }
        };
        latest.map(instrument).collect()
    }

    fn stage(&self, t_s: f64) -> Option<Stage> {
        let at = self.stages.iter().position(|end| t_s < end.as_secs_f64())?;
        let left_s = self.stages[at].as_secs_f64() - t_s.max(0.0);
        (self.stages.len() > 1).then_some(Stage { number: at + 1, of: self.stages.len(), left_s })
    }

    fn generators(&self, view: &View<'_>) -> Generators {
        let seats = view.seats();
        let all = || view.generators().filter(|record| record.post.is_some());
        let ended = all().filter(|record| record.last_word.is_some()).count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Generators {
            wanted: self.wanted,
            ready: seats.ready,
            running: number(all().count() - ended),
            ended: number(ended),
            spare: seats.spare,
            late: seats.late,
            duplicate: seats.duplicate,
        }
    }

    fn now(&self, merged: &Merged, until: i32) -> Now {
        let recent = recent(until);
        let mut sum = Second::default();
        let (mut span_s, mut last) = (0, None);
        for (_, second) in seconds(merged, recent) {
            sum.follow(second);
            span_s += 1;
            last = Some(second);
        }
        let point = self.point(until, &sum);
        let per_s = |count: u64| count as f64 / f64::from(span_s.max(1));
        let mut classes = BTreeMap::new();
        for (outcome, count) in &point.outcomes {
            *classes.entry(class(outcome)).or_default() += per_s(*count);
        }
        Now {
            span_s,
            users: last.map_or(0, |second| second.users),
            in_flight: last.map_or(0, |second| second.in_flight),
            arrivals_per_s: per_s(point.arrivals),
            dropped_per_s: per_s(point.dropped),
            rps: per_s(point.requests),
            errors_per_s: per_s(point.errors),
            classes,
            p50_ms: point.p50_ms,
            p95_ms: point.p95_ms,
            p99_ms: point.p99_ms,
        }
    }

    /// Those with the most requests first, and how many there are besides.
    fn endpoints(&self, merged: &Merged, until: i32) -> (Vec<Endpoint>, usize) {
        let mut all: Vec<(&SeriesId, &Totals)> =
            merged.series().iter().filter(|(_, totals)| totals.counts.requests > 0).collect();
        all.sort_by_key(|(id, totals)| (std::cmp::Reverse(totals.counts.requests), **id));
        let more = all.len().saturating_sub(MOST_ENDPOINTS);
        all.truncate(MOST_ENDPOINTS);
        let span: Vec<&Second> = seconds(merged, recent(until)).map(|(_, second)| second).collect();
        let endpoint = |(id, totals): (&SeriesId, &Totals)| {
            let name = self.series.get(usize::from(id.0))?;
            let recent = span.iter().filter_map(|second| second.series.get(id));
            let requests: u64 = recent.map(|series| series.requests).sum();
            let outcomes = totals.counts.outcomes.iter();
            Some(Endpoint {
                name: name.endpoint.clone(),
                scenario: name.scenario.clone(),
                requests: totals.counts.requests,
                errors: totals.counts.errors,
                outcomes: outcomes.map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
                rps: requests as f64 / span.len().max(1) as f64,
                response_time_ms: quantiles(&totals.response),
            })
        };
        (all.into_iter().filter_map(endpoint).collect(), more)
    }
}

fn recent(until: i32) -> Range<i32> {
    until.saturating_sub(RECENT_S)..until
}

fn seconds(merged: &Merged, span: Range<i32>) -> impl Iterator<Item = (&i32, &Second)> {
    let is_empty = span.is_empty();
    let span = if is_empty { 0..0 } else { span };
    merged.seconds().range(span)
}

fn whole(merged: &Merged) -> Quantiles {
    let mut all = Sparse::default();
    merged.series().values().for_each(|totals| all.merge(&totals.response));
    quantiles(&all)
}

fn quantiles(times: &Sparse) -> Quantiles {
    let ms = |us: u64| us as f64 / 1_000.0;
    let quantile = |quantile| times.quantile_us(quantile).map(ms);
    Quantiles { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: times.max_us().map(ms) }
}

/// When the stages end, if there is one load only.
fn stages(plan: &Plan) -> Vec<Duration> {
    let [placed] = &plan.loads[..] else { return Vec::new() };
    let lengths: Vec<Duration> = match &placed.load {
        Load::Closed(load) => load.stages.iter().map(|stage| stage.duration).collect(),
        Load::Open(load) => load.stages.iter().map(|stage| stage.duration).collect(),
    };
    let ends = lengths.into_iter().scan(placed.start, |end, length| {
        *end += length;
        Some(*end)
    });
    ends.collect()
}
