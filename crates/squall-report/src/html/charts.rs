//! Which charts there are, and what they say.

use super::behind::Behind;
use super::heat;
use super::markup::Html;
use super::plot::{self, Unit};
use super::slots::{CLASSES, Slot, Slots};
use super::tables::table;
use super::{telemetry, titles};
use crate::numbers::{count, duration_s};
use crate::result::RunResult;
use crate::timeline::{Point, Timeline};

/// Rows of the table behind a chart at most.
const MAX_ROWS: usize = 60;

/// The heat map follows this one.
const PERCENTILES: &str = "chart-percentiles";

/// Phases of requests, in the order in which they follow each other, and their colours.
pub(super) const PHASES: [(&str, &str); 6] = [
    ("DNS", "ph-dns"),
    ("connect", "ph-connect"),
    ("TLS", "ph-tls"),
    ("send", "ph-send"),
    ("first byte", "ph-first"),
    ("body", "ph-body"),
];

/// What is drawn as one line or area.
pub(super) struct Series {
    /// What it is called.
    pub(super) name: String,
    /// Its colour.
    pub(super) class: &'static str,
    /// One value for each slot.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart.
pub(super) struct Chart {
    /// Its anchor.
    pub(super) id: String,
    /// What it shows, in a sentence if there is something to say.
    pub(super) title: String,
    /// What its values are.
    pub(super) unit: Unit,
    /// Whether its series add up.
    pub(super) stacked: bool,
    /// Whether there is a logarithmic axis, too.
    pub(super) logarithmic: bool,
    /// What is drawn.
    pub(super) series: Vec<Series>,
}

/// All charts of a result.
pub(super) fn charts(slots: &Slots, result: &RunResult) -> Vec<Chart> {
    let timeline = &result.timeline;
    let mut charts = vec![users(slots, timeline), requests(slots, timeline), percentiles(slots, timeline)];
    if slots.all.iter().any(|slot| slot.phases_ms.iter().sum::<f64>() > 0.0) {
        charts.push(phases(slots));
    }
    charts.push(connections(slots, timeline));
    if timeline.points.iter().any(|point| point.dropped > 0) {
        charts.push(dropped(slots, timeline));
    }
    charts.extend(telemetry::charts(&result.telemetry, slots));
    charts
}

/// The charts on one axis, each with a table behind it.
pub(super) fn draw(html: &mut Html, result: &RunResult, most: usize) {
    let timeline = &result.timeline;
    let (fine, coarse) = (Slots::new(timeline, most), Slots::new(timeline, MAX_ROWS));
    if fine.all.is_empty() {
        html.leaf("p", &[("class", "muted")], "Nothing was measured.");
        return;
    }
    html.leaf("p", &[("class", "muted")], &note(&fine, timeline));
    annotations(html, result);
    let behind = Behind::new(result);
    for (chart, rows) in charts(&fine, result).iter().zip(charts(&coarse, result)) {
        html.element("figure", &[("class", "chart"), ("data-chart", &chart.id)], |html| {
            html.leaf("figcaption", &[], &chart.title);
            plot::draw(html, chart, &fine, &behind);
            html.element("details", &[], |html| {
                html.leaf("summary", &[], "As a table");
                values(html, &rows, &coarse);
            });
        });
        if chart.id == PERCENTILES {
            heat::draw(html, timeline, &fine, &behind);
        }
    }
    telemetry::rest(html, &result.telemetry);
}

/// What happened beside the test, in words.
fn annotations(html: &mut Html, result: &RunResult) {
    if result.annotations.is_empty() {
        return;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a time that is cut to what fits is far off anyway")]
    let rows = result
        .annotations
        .iter()
        .map(|annotation| vec![seconds(annotation.t_s.round() as i64), annotation.text.clone()]);
    html.element("div", &[("class", "told")], |html| {
        table(html, &["At", "What happened beside the test"], rows);
    });
}

fn note(slots: &Slots, timeline: &Timeline) -> String {
    let long = |is_meant: fn(&&Point) -> bool| {
        let points = timeline.points.iter().filter(is_meant).count();
        (points > 0).then(|| duration_s(points as f64 * f64::from(timeline.step_s.max(1))))
    };
    let width = duration_s(slots.width_s as f64);
    let mut note = format!(
        "Time since the load began, in steps of {width}. Rates are means of a step; users, requests under way and \
         percentiles are its highest."
    );
    if let Some(tainted) = long(|point| point.tainted > 0) {
        note = format!("{note} Grey bands: generators were the bottleneck, {tainted} in all.");
    }
    if let Some(untold) = long(|point| point.untold > 0) {
        note = format!(
            "{note} For {untold} in all, what some generators measured never came: counts and rates are too low there."
        );
    }
    note
}

fn values(html: &mut Html, chart: &Chart, slots: &Slots) {
    let names = chart.series.iter().map(|series| &*series.name);
    let head: Vec<&str> = std::iter::once("From").chain(names).collect();
    let rows = (0..slots.all.len()).map(|index| {
        let values = chart.series.iter().map(|series| series.values.get(index).copied().flatten());
        let values = values.map(|value| value.map_or("–".to_owned(), |value| chart.unit.write(value)));
        std::iter::once(seconds(slots.begin_of_s(index))).chain(values).collect()
    });
    table(html, &head, rows);
}

/// A time since the load began.
pub(super) fn seconds(t_s: i64) -> String {
    let sign = if t_s < 0 { "-" } else { "" };
    format!("{sign}{}", duration_s(t_s.unsigned_abs() as f64))
}

fn series(
    slots: &Slots,
    name: &'static str,
    class: &'static str,
    value: impl Fn(&Slot) -> Option<f64>,
) -> Series {
    Series { name: name.to_owned(), class, values: slots.all.iter().map(value).collect() }
}

/// The first point at which something is highest, unless it is nothing everywhere.
pub(super) fn peak(timeline: &Timeline, value: impl Fn(&Point) -> u64) -> Option<(&Point, u64)> {
    let mut highest: Option<(&Point, u64)> = None;
    for point in &timeline.points {
        let value = value(point);
        if value > highest.map_or(0, |(_, highest)| highest) {
            highest = Some((point, value));
        }
    }
    highest
}

fn users(slots: &Slots, timeline: &Timeline) -> Chart {
    let users = peak(timeline, |point| point.users).map_or(0, |(_, users)| users);
    let title = match peak(timeline, |point| point.in_flight) {
        None => format!("Up to {} users", count(users)),
        Some((point, in_flight)) => format!(
            "Up to {} users; most requests were under way at {}: {}",
            count(users),
            seconds(point.t_s),
            count(in_flight)
        ),
    };
    Chart {
        id: "chart-users".to_owned(),
        title,
        unit: Unit::Number,
        stacked: false,
        logarithmic: false,
        series: vec![
            series(slots, "users", "users", |slot| Some(slot.users as f64)),
            series(slots, "requests under way", "flight", |slot| Some(slot.in_flight as f64)),
        ],
    }
}

fn requests(slots: &Slots, timeline: &Timeline) -> Chart {
    let step_s = u64::from(timeline.step_s.max(1));
    let rate = |number: u64| Unit::Number.write(number as f64 / step_s as f64);
    let title = match peak(timeline, |point| point.requests) {
        None => "No requests ended".to_owned(),
        Some((point, number)) => {
            let most = format!("Most requests ended at {}: {} a second", seconds(point.t_s), rate(number));
            match peak(timeline, |point| point.errors) {
                None => format!("{most}; none failed"),
                Some((point, number)) => {
                    format!("{most}; most failed at {}: {} a second", seconds(point.t_s), rate(number))
                }
            }
        }
    };
    let classes = CLASSES.iter().enumerate().map(|(index, (name, class))| {
        series(slots, name, class, move |slot| Some(slot.outcomes[index] as f64 / slot.seconds.max(1.0)))
    });
    Chart {
        id: "chart-requests".to_owned(),
        title,
        unit: Unit::Rate,
        stacked: true,
        logarithmic: false,
        series: classes.filter(used).collect(),
    }
}

fn percentiles(slots: &Slots, timeline: &Timeline) -> Chart {
    let title = titles::percentiles(slots, timeline);
    // The slowest is drawn first, so that none is hidden by a slower one.
    let lines = [("p99", "p99", 2), ("p95", "p95", 1), ("p50", "p50", 0)];
    let lines = lines
        .map(|(name, class, index)| series(slots, name, class, |slot: &Slot| slot.percentiles_ms[index]));
    Chart {
        id: PERCENTILES.to_owned(),
        title,
        unit: Unit::Time,
        stacked: false,
        logarithmic: true,
        series: lines.into(),
    }
}

fn phases(slots: &Slots) -> Chart {
    let series = PHASES.iter().enumerate().map(|(index, (name, class))| {
        series(slots, name, class, move |slot| (slot.requests > 0).then(|| slot.phases_ms[index]))
    });
    Chart {
        id: "chart-phases".to_owned(),
        title: titles::phases(slots),
        unit: Unit::Time,
        stacked: true,
        logarithmic: false,
        series: series.filter(used).collect(),
    }
}

/// Whether a series is ever more than nothing.
fn used(series: &Series) -> bool {
    series.values.iter().flatten().any(|value| *value > 0.0)
}

fn connections(slots: &Slots, timeline: &Timeline) -> Chart {
    let all: u64 = timeline.points.iter().map(|point| point.new_connections).sum();
    let title = match peak(timeline, |point| point.new_connections) {
        None => "No connections were made".to_owned(),
        Some((point, _)) => {
            format!("{} new connections, most at {}", count(all), seconds(point.t_s))
        }
    };
    let rate = |slot: &Slot| Some(slot.new_connections as f64 / slot.seconds.max(1.0));
    Chart {
        id: "chart-connections".to_owned(),
        title,
        unit: Unit::Rate,
        stacked: true,
        logarithmic: false,
        series: vec![series(slots, "new connections", "users", rate)],
    }
}

fn dropped(slots: &Slots, timeline: &Timeline) -> Chart {
    let all: u64 = timeline.points.iter().map(|point| point.dropped).sum();
    let first = timeline.points.iter().find(|point| point.dropped > 0);
    let first = first.map_or(String::new(), |point| format!(", the first at {}", seconds(point.t_s)));
    let rate = |slot: &Slot| Some(slot.dropped as f64 / slot.seconds.max(1.0));
    Chart {
        id: "chart-dropped".to_owned(),
        title: format!("{} arrivals were dropped{first}", count(all)),
        unit: Unit::Rate,
        stacked: true,
        logarithmic: false,
        series: vec![series(slots, "dropped arrivals", "c5xx", rate)],
    }
}
