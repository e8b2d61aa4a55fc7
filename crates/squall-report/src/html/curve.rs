//! Curves of probes: something over something else, drawn to be read without scripts.

use super::markup::{Html, decimal};
use super::plot::{Axis, SIZE, round_step};
use super::tables::table;
use crate::probe::{Curve, CurveAxis, CurveSeries, CurveUnit};

/// Colours of series, in order.
const CLASSES: [&str; 6] = ["p95", "c429", "c2xx", "c5xx", "ph-dns", "p50"];

/// Rows of the table behind a curve at most.
const MAX_ROWS: usize = 200;

/// A curve with its keys, its axes, and a table of its points.
pub(super) fn draw(html: &mut Html, curve: &Curve) {
    let points = || curve.series.iter().flat_map(|series| &series.points);
    let marked = curve.marks.iter().map(|mark| mark.x);
    let x = axis(&curve.x, points().map(|point| point[0]).chain(marked));
    let y = axis(&curve.y, points().map(|point| point[1]));
    html.element("figure", &[("class", "chart")], |html| {
        html.leaf("figcaption", &[], &curve.title);
        keys(html, curve);
        plot(html, curve, x, y);
        html.leaf(
            "p",
            &[("class", "muted")],
            &format!("To the right: {}. Upwards: {}.", curve.x.name, curve.y.name),
        );
        html.element("details", &[], |html| {
            html.leaf("summary", &[], "As a table");
            rows(html, curve);
        });
    });
}

fn axis(of: &CurveAxis, values: impl Iterator<Item = f64>) -> Axis {
    let mut least = f64::INFINITY;
    let mut most = 0_f64;
    for value in values.filter(|value| value.is_finite()) {
        most = most.max(value);
        if value > 0.0 {
            least = least.min(value);
        }
    }
    if !least.is_finite() {
        return Axis::Linear { step: 1.0, max: 1.0 };
    }
    if of.logarithmic {
        #[expect(clippy::cast_possible_truncation, reason = "logarithms of numbers are small")]
        let (from, to) = ((least.log10() + 1e-9).floor() as i32, (most.log10() - 1e-9).ceil() as i32);
        return Axis::Logarithmic { from, to: to.max(from + 1) };
    }
    let step = round_step(most / 5.0);
    Axis::Linear { step, max: (most / step).ceil() * step }
}

fn class(at: usize) -> &'static str {
    CLASSES[at % CLASSES.len()]
}

fn keys(html: &mut Html, curve: &Curve) {
    html.element("div", &[("class", "keys")], |html| {
        for (at, series) in curve.series.iter().enumerate() {
            html.element("span", &[("class", "key")], |html| {
                html.leaf("i", &[("class", class(at))], "");
                html.text(&series.name);
            });
        }
        for mark in &curve.marks {
            html.element("span", &[("class", "key")], |html| {
                html.leaf("i", &[("class", "mark")], "");
                html.text(&format!("{}: {}", mark.text, curve.x.unit.write(mark.x)));
            });
        }
    });
}

fn plot(html: &mut Html, curve: &Curve, x: Axis, y: Axis) {
    let attributes = [("class", "plot still tallest"), ("role", "img"), ("aria-label", curve.title.as_str())];
    html.element("div", &attributes, |html| {
        let view = format!("0 0 {} {}", SIZE.0, SIZE.1);
        let attributes = [("viewBox", &*view), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
        html.element("svg", &attributes, |html| {
            let grid = y.ticks().into_iter().map(|tick| format!("M0 {}H{}", decimal(y.y(tick)), SIZE.0));
            html.leaf("path", &[("class", "grid"), ("d", &grid.collect::<String>())], "");
            for mark in &curve.marks {
                let path = format!("M{} 0V{}", decimal(x.share(mark.x) * SIZE.0), SIZE.1);
                html.leaf("path", &[("class", "mark"), ("d", &path)], "");
            }
            for (at, series) in curve.series.iter().enumerate() {
                one(html, series, class(at), x, y);
            }
        });
        for tick in y.ticks() {
            let style = format!("bottom:{}%", decimal(y.share(tick) * 100.0));
            html.leaf("span", &[("class", "y"), ("style", &style)], &label(curve.y.unit, tick));
        }
        for tick in x.ticks() {
            let style = format!("left:{}%", decimal(x.share(tick) * 100.0));
            html.leaf("span", &[("class", "x"), ("style", &style)], &label(curve.x.unit, tick));
        }
    });
}

fn one(html: &mut Html, series: &CurveSeries, class: &str, x: Axis, y: Axis) {
    let places = series.points.iter().filter(|point| point.iter().all(|value| value.is_finite()));
    let places: Vec<(String, String)> =
        places.map(|[right, up]| (decimal(x.share(*right) * SIZE.0), decimal(y.y(*up)))).collect();
    if series.joined {
        let path: String = places
            .iter()
            .enumerate()
            .map(|(at, (x, y))| format!("{}{x} {y}", if at == 0 { "M" } else { "L" }))
            .collect();
        html.leaf("path", &[("class", &format!("line {class}")), ("d", &path)], "");
    }
    // A line of no length is a dot that keeps its shape, however the picture is stretched.
    let dots: String = places.iter().map(|(x, y)| format!("M{x} {y}h0")).collect();
    html.leaf("path", &[("class", &format!("line points {class}")), ("d", &dots)], "");
}

/// A round value, as it stands at an axis.
fn label(unit: CurveUnit, value: f64) -> String {
    match unit {
        CurveUnit::Ms => super::plot::Unit::Time.label(value),
        CurveUnit::PerSecond | CurveUnit::Number => super::plot::Unit::Rate.label(value),
        CurveUnit::S | CurveUnit::Ratio => unit.write(value),
    }
}

fn rows(html: &mut Html, curve: &Curve) {
    let head = [curve.x.name.as_str(), curve.y.name.as_str(), "Of"];
    let all = curve.series.iter().flat_map(|series| series.points.iter().map(move |point| (series, point)));
    let all = all.filter(|(_, point)| point.iter().all(|value| value.is_finite()));
    let rows = all
        .take(MAX_ROWS)
        .map(|(series, [x, y])| vec![curve.x.unit.write(*x), curve.y.unit.write(*y), series.name.clone()]);
    table(html, &head, rows);
}
