//! What the target's own instruments said, on the axis of everything else: a chart for each.

use super::charts::{Chart, Series, seconds};
use super::markup::Html;
use super::plot::Unit;
use super::slots::Slots;
use crate::numbers::count;
use crate::result::TelemetrySeries;

/// Charts at most; a fleet of pods may have a series for each of them.
const MAX_CHARTS: usize = 24;

/// A value holds for so many of the usual steps at most: after that nothing was said.
const HOLDS: f64 = 4.0;

/// A chart for each series that says something while there is load.
pub(super) fn charts(telemetry: &[TelemetrySeries], slots: &Slots) -> impl Iterator<Item = Chart> {
    let charts = telemetry.iter().take(MAX_CHARTS).enumerate();
    charts.filter_map(|(index, series)| chart(index, series, slots))
}

/// How many are not drawn.
pub(super) fn rest(html: &mut Html, telemetry: &[TelemetrySeries]) {
    let rest = telemetry.len().saturating_sub(MAX_CHARTS);
    if rest > 0 {
        let rest = format!("{} more series are in result.json.", count(rest as u64));
        html.leaf("p", &[("class", "muted")], &rest);
    }
}

fn chart(index: usize, series: &TelemetrySeries, slots: &Slots) -> Option<Chart> {
    let (unit, factor) = match series.unit.as_str() {
        "ms" => (Unit::Time, 1.0),
        "s" => (Unit::Time, 1_000.0),
        _ => (Unit::Other, 1.0),
    };
    let values: Vec<Option<f64>> =
        values(series, slots).into_iter().map(|value| value.map(|value| value * factor)).collect();
    let highest = values.iter().enumerate().filter_map(|(slot, value)| Some((slot, (*value)?)));
    let (slot, highest) = highest.reduce(|most, next| if next.1 > most.1 { next } else { most })?;
    let name = match unit {
        Unit::Other if !series.unit.is_empty() => format!("{} ({})", series.name, series.unit),
        _ => series.name.clone(),
    };
    let (value, at) = (unit.write(highest), seconds(slots.begin_of_s(slot)));
    Some(Chart {
        id: format!("chart-telemetry-{index}"),
        title: format!("{name}, from {}: highest at {at}: {value}", series.source),
        unit,
        stacked: false,
        logarithmic: false,
        series: vec![Series { name, class: "users", values }],
    })
}

/// The highest value in each slot. A value holds until the next one is told, unless that is a gap, and the last one where it
/// stands.
fn values(series: &TelemetrySeries, slots: &Slots) -> Vec<Option<f64>> {
    let mut points: Vec<(f64, f64)> =
        series.points.iter().copied().filter(|(t_s, value)| t_s.is_finite() && value.is_finite()).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let holds_s = HOLDS * usual_step_s(&points);
    let mut values = vec![None; slots.all.len()];
    let (begin_s, width_s) = (slots.begin_s as f64, slots.width_s.max(1) as f64);
    for (index, (from_s, value)) in points.iter().enumerate() {
        let next_s = points.get(index + 1).map(|next| next.0);
        let until_s = next_s.filter(|next_s| next_s - from_s <= holds_s).unwrap_or(*from_s);
        let first = ((from_s - begin_s) / width_s).floor();
        let last = (((until_s - begin_s) / width_s).ceil() - 1.0).max(first);
        if last < 0.0 {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is too large is cut to it"
        )]
        let (first, count) = (first.max(0.0) as usize, (last - first.max(0.0)) as usize);
        for highest in values.iter_mut().skip(first).take(count.saturating_add(1)) {
            *highest = Some(highest.map_or(*value, |highest: f64| highest.max(*value)));
        }
    }
    values
}

/// The middle one of all steps from one value to the next.
fn usual_step_s(points: &[(f64, f64)]) -> f64 {
    let mut steps: Vec<f64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Point, Timeline};

    fn slots(seconds: i64) -> Slots {
        let points = (0..seconds).map(|t_s| Point { t_s, ..Point::default() }).collect();
        Slots::new(&Timeline { step_s: 1, points }, 1_000)
    }

    fn series(unit: &str, points: &[(f64, f64)]) -> TelemetrySeries {
        let (source, name) = ("prometheus".to_owned(), "pods".to_owned());
        TelemetrySeries { source, name, unit: unit.to_owned(), points: points.to_vec() }
    }

    #[test]
    fn a_value_holds_until_the_next() {
        let check = |points: &[(f64, f64)], expected: &[Option<f64>]| {
            assert_eq!(values(&series("", points), &slots(4)), expected, "{points:?}");
        };
        check(&[(1.0, 2.0), (3.0, 5.0)], &[None, Some(2.0), Some(2.0), Some(5.0)]);
        check(&[(3.5, 5.0), (-9.0, 2.0)], &[Some(2.0), Some(2.0), Some(2.0), Some(5.0)]);
        check(&[(1.2, 4.0), (1.4, 7.0), (1.6, 1.0)], &[None, Some(7.0), None, None]);
        let gap: Vec<(f64, f64)> = [0.0, 0.5, 1.0, 3.5].map(|t_s| (t_s, 2.0)).to_vec();
        check(&gap, &[Some(2.0), Some(2.0), None, Some(2.0)]);
        check(&[(0.0, f64::NAN), (f64::INFINITY, 1.0)], &[None; 4]);
    }

    #[test]
    fn times_are_drawn_as_times_and_silence_is_not_drawn() {
        let telemetry =
            [series("s", &[(1.0, 0.25)]), series("", &[]), series("percent", &[(0.0, 40.0), (2.0, 90.0)])];
        let titles: Vec<String> = charts(&telemetry, &slots(4)).map(|chart| chart.title).collect();
        let expected = [
            "pods, from prometheus: highest at 1s: 250ms",
            "pods (percent), from prometheus: highest at 2s: 90",
        ];
        assert_eq!(titles, expected);
    }
}
