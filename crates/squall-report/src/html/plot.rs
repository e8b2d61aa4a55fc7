//! How a chart is drawn: a small writer of SVG.
//!
//! It is our own because colours must be CSS variables that follow the reader's theme, all charts share one
//! crosshair, and labels must keep their size on a narrow screen. Libraries that draw SVG write colours and sizes
//! into the picture. Here the picture is stretched to the room there is, and labels are laid over it.

use super::behind::{self, Behind};
use super::charts::{Chart, Series, seconds};
use super::markup::{Html, decimal};
use super::slots::Slots;
use crate::numbers::{duration_ms, significant};

/// The picture's width and height in its own coordinates.
pub(super) const SIZE: (f64, f64) = (1_000.0, 100.0);

/// Seconds between labels of the time axis; of these the first that gives few enough.
const TIME_STEPS: [i64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400];

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of something.
    Number,
    /// How many a second.
    Rate,
    /// Milliseconds.
    Time,
    /// Whatever an instrument of the target's tells.
    Other,
}

impl Unit {
    /// A value as people read it.
    pub(super) fn write(self, value: f64) -> String {
        match self {
            _ if value == 0.0 => "0".to_owned(),
            Self::Time => duration_ms(value),
            Self::Number | Self::Rate | Self::Other if value.abs() < 99.5 => {
                let text = format!("{value:.2}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Self::Number | Self::Rate | Self::Other => significant(value),
        }
    }

    /// A round value, as it stands at an axis.
    pub(super) fn label(self, value: f64) -> String {
        let text = self.write(value);
        match text.split_once('.') {
            Some((whole, rest)) if self == Self::Time => {
                let unit = rest.trim_start_matches(|character: char| character.is_ascii_digit());
                let digits = rest.trim_end_matches(unit).trim_end_matches('0');
                let point = if digits.is_empty() { "" } else { "." };
                format!("{whole}{point}{digits}{unit}")
            }
            _ => text,
        }
    }

    /// What the script calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Number | Self::Other => "number",
            Self::Rate => "rate",
            Self::Time => "us",
        }
    }

    /// What values are multiplied with for the script.
    pub(super) fn scale(self) -> f64 {
        if self == Self::Time { 1_000.0 } else { 1.0 }
    }
}

/// From values to heights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis {
    /// From zero, in steps.
    Linear {
        /// Between two lines of the grid.
        step: f64,
        /// Its end.
        max: f64,
    },
    /// From one power of ten to another.
    Logarithmic {
        /// The lower one.
        from: i32,
        /// The higher one.
        to: i32,
    },
}

impl Axis {
    /// How far up a value is, between 0 and 1.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { max, .. } => value / max,
            Self::Logarithmic { from, to } => {
                (value.max(1e-9).log10() - f64::from(from)) / f64::from((to - from).max(1))
            }
        };
        share.clamp(0.0, 1.0)
    }

    pub(super) fn y(self, value: f64) -> f64 {
        SIZE.1 * (1.0 - self.share(value))
    }

    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { step, max } => {
                (0..=6).map(|number| f64::from(number) * step).filter(|tick| *tick <= max * 1.000_1).collect()
            }
            Self::Logarithmic { from, to } => (from..=to).map(|power| 10_f64.powi(power)).collect(),
        }
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least so much.
pub(super) fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0];
    factors.into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn linear(chart: &Chart, count: usize) -> Axis {
    let at = |index: usize| chart.series.iter().filter_map(move |series| *series.values.get(index)?);
    let highest =
        (0..count).map(|index| if chart.stacked { at(index).sum() } else { at(index).fold(0.0, f64::max) });
    let highest = highest.fold(0.0, f64::max);
    if highest <= 0.0 {
        return Axis::Linear { step: 1.0, max: 1.0 };
    }
    let step = round_step(highest / 5.0);
    // Nobody counts half users.
    let step = if chart.unit == Unit::Number { step.max(1.0) } else { step };
    Axis::Linear { step, max: (highest / step).ceil() * step }
}

fn logarithmic(chart: &Chart) -> Axis {
    let values = || chart.series.iter().flat_map(|series| series.values.iter().flatten());
    let least = values().fold(f64::INFINITY, |least, value| least.min(value.max(0.001)));
    let most = values().fold(least, |most, value| most.max(*value));
    if !least.is_finite() {
        return Axis::Logarithmic { from: 0, to: 3 };
    }
    #[expect(clippy::cast_possible_truncation, reason = "logarithms of times are small")]
    let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    Axis::Logarithmic { from, to: to.max(from + 1) }
}

/// A chart with its keys, its axes and, where it has two, their switch.
pub(super) fn draw(html: &mut Html, chart: &Chart, slots: &Slots, behind: &Behind) {
    keys(html, chart, slots, behind);
    if chart.logarithmic {
        let id = format!("{}-log", chart.id);
        html.void("input", &[("type", "checkbox"), ("class", "switch"), ("id", &id)]);
        html.leaf("label", &[("for", &id)], "Logarithmic axis");
        plot(html, "plot log", chart, slots, logarithmic(chart), behind);
    }
    plot(html, "plot linear", chart, slots, linear(chart, slots.all.len()), behind);
}

fn keys(html: &mut Html, chart: &Chart, slots: &Slots, behind: &Behind) {
    html.element("div", &[("class", "keys")], |html| {
        for series in &chart.series {
            html.element("span", &[("class", "key")], |html| {
                html.leaf("i", &[("class", series.class)], "");
                html.text(&series.name);
                if chart.unit == Unit::Rate {
                    html.text("/s");
                }
                html.leaf("b", &[("class", "value")], "");
            });
        }
        behind::keys(html, slots, behind);
        html.leaf("b", &[("class", "when")], "");
    });
}

fn plot(html: &mut Html, class: &str, chart: &Chart, slots: &Slots, axis: Axis, behind: &Behind) {
    html.element(
        "div",
        &[("class", class), ("tabindex", "0"), ("role", "img"), ("aria-label", &chart.title)],
        |html| {
            let view = format!("0 0 {} {}", SIZE.0, SIZE.1);
            let attributes = [("viewBox", &*view), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
            html.element("svg", &attributes, |html| {
                background(html, slots, axis, behind);
                if chart.stacked {
                    areas(html, chart, slots, axis);
                } else {
                    for series in &chart.series {
                        let path = line(&series.values, slots, |value| axis.y(value));
                        html.leaf("path", &[("class", &format!("line {}", series.class)), ("d", &path)], "");
                    }
                }
            });
            for tick in axis.ticks() {
                let style = format!("bottom:{}%", decimal(axis.share(tick) * 100.0));
                html.leaf("span", &[("class", "y"), ("style", &style)], &chart.unit.label(tick));
            }
            behind::labels(html, slots, behind);
            times(html, slots);
            html.leaf("span", &[("class", "cross")], "");
        },
    );
}

/// What is behind the data, and the grid.
fn background(html: &mut Html, slots: &Slots, axis: Axis, behind: &Behind) {
    behind::bands(html, slots, behind);
    let grid = axis.ticks().into_iter().map(|tick| format!("M0 {}H{}", decimal(axis.y(tick)), SIZE.0));
    html.leaf("path", &[("class", "grid"), ("d", &grid.collect::<String>())], "");
    behind::lines(html, slots, behind);
}

/// Where a slot begins.
pub(super) fn edge(slots: &Slots, index: usize) -> f64 {
    let share = index as f64 * slots.width_s as f64 / slots.length_s.max(1) as f64;
    SIZE.0 * share.min(1.0)
}

fn middle(slots: &Slots, index: usize) -> f64 {
    f64::midpoint(edge(slots, index), edge(slots, index + 1))
}

/// A line with gaps where there are no values. A value between gaps is as wide as its slot.
pub(super) fn line(values: &[Option<f64>], slots: &Slots, y: impl Fn(f64) -> f64) -> String {
    let at = |index: usize| values.get(index).copied().flatten();
    let parts = values.iter().enumerate().filter_map(|(index, value)| {
        let y = decimal(y((*value)?));
        let x = decimal(middle(slots, index));
        let follows = index > 0 && at(index - 1).is_some();
        Some(match (follows, at(index + 1)) {
            (true, _) => format!("L{x} {y}"),
            (false, Some(_)) => format!("M{x} {y}"),
            (false, None) => {
                format!("M{} {y}H{}", decimal(edge(slots, index)), decimal(edge(slots, index + 1)))
            }
        })
    });
    parts.collect()
}

fn areas(html: &mut Html, chart: &Chart, slots: &Slots, axis: Axis) {
    let mut below = vec![0.0; slots.all.len()];
    for series in &chart.series {
        let above: Vec<f64> = sums(&below, series);
        let mut path = String::from("M");
        path += &outline(slots, &above, axis).join("L");
        path += "L";
        path += &outline(slots, &below, axis).into_iter().rev().collect::<Vec<_>>().join("L");
        path += "Z";
        html.leaf("path", &[("class", &format!("area {}", series.class)), ("d", &path)], "");
        below = above;
    }
}

fn sums(below: &[f64], series: &Series) -> Vec<f64> {
    below.iter().zip(&series.values).map(|(below, value)| below + value.unwrap_or(0.0)).collect()
}

/// The upper edge of an area, from the begin of the first slot to the end of the last.
fn outline(slots: &Slots, values: &[f64], axis: Axis) -> Vec<String> {
    let point = |x: f64, value: &f64| format!("{} {}", decimal(x), decimal(axis.y(*value)));
    let first = values.first().map(|value| point(0.0, value));
    let last = values.last().map(|value| point(SIZE.0, value));
    let between = values.iter().enumerate().map(|(index, value)| point(middle(slots, index), value));
    first.into_iter().chain(between).chain(last).collect()
}

/// The labels of the time axis.
pub(super) fn times(html: &mut Html, slots: &Slots) {
    let step = TIME_STEPS.into_iter().find(|step| slots.length_s / step <= 6);
    // Beyond days, whatever divides it.
    let step = step.unwrap_or(slots.length_s / 6).max(1);
    let first = slots.begin_s.saturating_sub(1).div_euclid(step).saturating_add(1).saturating_mul(step);
    let ticks = (0..=7).map(|number| first.saturating_add(step.saturating_mul(number)));
    let length = slots.length_s.max(1) as f64;
    let ticks = ticks.map(|t_s| (t_s, t_s.saturating_sub(slots.begin_s) as f64 / length));
    for (t_s, share) in ticks.filter(|(_, share)| *share <= 1.0) {
        let style = format!("left:{}%", decimal(share * 100.0));
        html.leaf("span", &[("class", "x"), ("style", &style)], &seconds(t_s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_round() {
        let label = |value| Unit::Time.label(value);
        assert_eq!(
            [0.0, 0.5, 10.0, 7.5, 1_000.0, 1_500.0].map(label),
            ["0", "500µs", "10ms", "7.5ms", "1s", "1.5s"]
        );
        assert_eq!(
            [0.05, 12.5, 10.0, 400.0].map(|rate| Unit::Rate.label(rate)),
            ["0.05", "12.5", "10", "400"]
        );
    }

    #[test]
    fn axes_begin_at_zero_and_end_at_a_round_number() {
        assert_eq!(
            [1.4, 19.0, 82.0, 0.006].map(round_step).map(|step| step.to_string()),
            ["2", "20", "100", "0.01"]
        );
        assert_eq!(Axis::Linear { step: 25.0, max: 100.0 }.ticks().len(), 5);
        assert_eq!(Axis::Logarithmic { from: 0, to: 3 }.y(10.0).round().to_string(), "67");
    }
}
