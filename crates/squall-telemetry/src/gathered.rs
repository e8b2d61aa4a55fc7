//! What all sources said, on the time axis of the run.

use std::collections::BTreeMap;

use squall_metrics::TelemetrySeries;

use crate::reading::{ClockOffset, Flaws, Said};

/// Series of a source that are kept.
pub const MOST_SERIES: usize = 200;

/// Points of a series that are kept, and of all series together.
pub const MOST_POINTS: usize = 3_600;
const MOST_POINTS_OF_ALL: usize = 200_000;

/// The longest name, and the longest text of somebody else in a message.
const MOST_CHARACTERS: usize = 200;

/// A clock that is no further off is not spoken of.
const TOLD_OFFSET_S: f64 = 1.0;

/// What sources have said so far. What is said again replaces what was said before.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    sources: BTreeMap<String, Source>,
}

/// The latest value of an instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// Who was asked.
    pub source: String,
    /// What was measured.
    pub name: String,
    /// In what; may be empty.
    pub unit: String,
    /// Since when it is so, in seconds since 1970 on this machine's clock.
    pub at_s: f64,
    /// The value.
    pub value: f64,
}

#[derive(Debug, Clone, Default)]
struct Source {
    series: BTreeMap<String, Kept>,
    clock: Option<ClockOffset>,
    /// Those of its last word.
    flaws: Flaws,
    problems: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    unit: String,
    /// By milliseconds since 1970, on the clock of the source.
    points: BTreeMap<i64, f64>,
}

impl Gathered {
    /// Takes up what a source said.
    pub fn add(&mut self, source: &str, said: Said) {
        let known = self.sources.entry(source.to_owned()).or_default();
        known.flaws = said.flaws;
        known.problems = said.problems;
        let is_better = |clock: &ClockOffset| known.clock.is_none_or(|known| clock.error_s <= known.error_s);
        known.clock = said.clock.filter(is_better).or(known.clock);
        for reading in said.readings {
            let name = shortened(&reading.name);
            if known.series.len() >= MOST_SERIES && !known.series.contains_key(&name) {
                known.flaws.series_beyond += 1;
                continue;
            }
            let kept = known.series.entry(name).or_default();
            kept.unit = shortened(&reading.unit);
            let mut new = BTreeMap::new();
            for (time_s, value) in reading.points {
                match ms(time_s).filter(|_| value.is_finite()) {
                    None => known.flaws.no_numbers += 1,
                    Some(time_ms) => {
                        known.flaws.repeated += u64::from(new.insert(time_ms, value).is_some());
                    }
                }
            }
            kept.points.extend(new);
        }
    }

    /// All series from one second after the epoch to another, on the axis of a run whose epoch is so many seconds after 1970.
    #[must_use]
    pub fn series(&self, epoch_s: f64, from_s: f64, until_s: f64) -> Vec<TelemetrySeries> {
        let count: usize = self.sources.values().map(|source| source.series.len()).sum();
        let most = (MOST_POINTS_OF_ALL / count.max(1)).clamp(2, MOST_POINTS);
        let mut all = Vec::new();
        for (name, source) in &self.sources {
            let offset_s = source.clock.map_or(0.0, |clock| clock.offset_s);
            for (series, kept) in &source.series {
                let points = kept.points.iter().map(|(time_ms, value)| {
                    let t_s = *time_ms as f64 / 1e3 - offset_s - epoch_s;
                    ((t_s * 1e3).round() / 1e3, *value)
                });
                let points: Vec<(f64, f64)> =
                    points.filter(|(t_s, _)| (from_s..=until_s).contains(t_s)).collect();
                if points.is_empty() {
                    continue;
                }
                let (source, name, unit) = (name.clone(), series.clone(), kept.unit.clone());
                all.push(TelemetrySeries { source, name, unit, points: thinned(points, most) });
            }
        }
        all
    }

    /// The latest value of each series, of so many at most.
    #[must_use]
    pub fn latest(&self, most: usize) -> Vec<Latest> {
        let all = self.sources.iter().flat_map(|(source, known)| {
            let offset_s = known.clock.map_or(0.0, |clock| clock.offset_s);
            known.series.iter().filter_map(move |(name, kept)| {
                let (time_ms, value) = kept.points.last_key_value()?;
                let at_s = *time_ms as f64 / 1e3 - offset_s;
                let (source, name, unit) = (source.clone(), name.clone(), kept.unit.clone());
                Some(Latest { source, name, unit, at_s, value: *value })
            })
        });
        all.take(most).collect()
    }

    /// The latest time, in seconds since 1970 on this machine's clock, for which a source has said anything.
    #[must_use]
    pub fn latest_s(&self, source: &str) -> Option<f64> {
        let source = self.sources.get(source)?;
        let latest = source.series.values().filter_map(|kept| kept.points.keys().next_back()).max()?;
        Some(*latest as f64 / 1e3 - source.clock.map_or(0.0, |clock| clock.offset_s))
    }

    /// What of all that cannot be used, and what was not said, in words.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, source) in &self.sources {
            problems.extend(source.problems.iter().map(|problem| format!("telemetry of {name}: {problem}")));
            if !source.flaws.is_none() {
                problems.push(format!("telemetry of {name}: left out: {}", source.flaws));
            }
            if source.series.values().all(|kept| kept.points.is_empty()) && source.problems.is_empty() {
                problems.push(format!("telemetry of {name}: there is none for the time of the run"));
            }
            if let Some(clock) =
                source.clock.filter(|clock| clock.offset_s.abs() - clock.error_s > TOLD_OFFSET_S)
            {
                let direction = if clock.offset_s > 0.0 { "fast" } else { "slow" };
                let off_s = clock.offset_s.abs();
                problems.push(format!(
                    "telemetry of {name}: its clock is {off_s:.1} s {direction} by this machine's, and its times are \
                     corrected by that"
                ));
            }
        }
        problems
    }
}

/// Of so many stretches of the whole time the last value each: true values at their own times.
fn thinned(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { return points };
    if points.len() <= most {
        return points;
    }
    let width_s = (last.0 - first.0) / most as f64;
    let stretch = |t_s: f64| ((t_s - first.0) / width_s).floor().min(most as f64 - 1.0);
    let mut kept: Vec<(f64, f64)> = Vec::with_capacity(most);
    for point in points {
        match kept.last_mut() {
            Some(last) if (stretch(last.0) - stretch(point.0)).abs() < 0.5 => *last = point,
            _ => kept.push(point),
        }
    }
    kept
}

/// Milliseconds, of a time that can be.
fn ms(time_s: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is in bounds")]
    (time_s.abs() < 1e11).then(|| (time_s * 1e3).round() as i64)
}

/// A text of somebody else, without what would spoil a line.
pub(crate) fn shortened(text: &str) -> String {
    let clean: String =
        text.chars().filter(|character| !character.is_control()).take(MOST_CHARACTERS).collect();
    if text.chars().count() > MOST_CHARACTERS { format!("{clean}…") } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;

    fn said(points: &[(f64, f64)]) -> Said {
        let reading = Reading { name: "pods".to_owned(), unit: "pods".to_owned(), points: points.to_vec() };
        Said { readings: vec![reading], ..Said::default() }
    }

    #[test]
    fn points_are_put_in_order_once_each_and_a_gap_stays_one() {
        let mut gathered = Gathered::default();
        gathered.add(
            "p",
            said(&[
                (1_003.0, 3.0),
                (1_001.0, 1.0),
                (1_003.0, 4.0),
                (1_030.0, 9.0),
                (1_002.0, f64::NAN),
                (f64::INFINITY, 1.0),
            ]),
        );
        let series = gathered.series(1_000.0, -10.0, 100.0);
        assert_eq!(series[0].points, [(1.0, 1.0), (3.0, 4.0), (30.0, 9.0)]);
        let problems = gathered.problems();
        assert_eq!(
            problems,
            [
                "telemetry of p: left out: 2 values that are no finite numbers, 1 values for a time that had one already"
            ]
        );
        // What is said again is no second point, and what is outside is not told.
        gathered.add("p", said(&[(1_003.0, 5.0)]));
        assert_eq!(gathered.series(1_000.0, 2.0, 20.0)[0].points, [(3.0, 5.0)]);
        assert!(gathered.problems().is_empty());
        assert_eq!(gathered.latest_s("p"), Some(1_030.0));
    }

    #[test]
    fn the_clock_of_a_source_is_corrected_by_its_best_measurement() {
        let clock = |offset_s, error_s| Some(ClockOffset { offset_s, error_s });
        let mut gathered = Gathered::default();
        gathered.add("p", Said { clock: clock(30.0, 0.01), ..said(&[(1_031.0, 1.0)]) });
        gathered.add("p", Said { clock: clock(33.0, 2.0), ..said(&[(1_032.0, 2.0)]) });
        assert_eq!(gathered.series(1_000.0, 0.0, 9.0)[0].points, [(1.0, 1.0), (2.0, 2.0)]);
        assert_eq!(gathered.latest_s("p"), Some(1_002.0));
        let latest = gathered.latest(9);
        assert_eq!((latest.len(), latest[0].at_s, latest[0].value), (1, 1_002.0, 2.0));
        assert!(gathered.latest(0).is_empty());
        assert!(gathered.problems()[0].contains("30.0 s fast"), "{:?}", gathered.problems());
        assert_eq!(ClockOffset::of(105.0, 99.0, 101.0), ClockOffset { offset_s: 5.0, error_s: 1.0 });
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut gathered = Gathered::default();
        let reading =
            |index: u32| Reading { name: format!("{index} {}", "x".repeat(500)), ..Reading::default() };
        let mut many: Vec<Reading> = (0..1_000).map(reading).collect();
        many[0].points = (0..100_000).map(|second| (f64::from(second), f64::from(second))).collect();
        gathered.add("p", Said { readings: many, ..Said::default() });
        let series = gathered.series(0.0, 0.0, 1e6);
        assert_eq!(series.len(), 1);
        assert!(
            series[0].points.len() <= MOST_POINTS && series[0].points.len() >= 900,
            "{}",
            series[0].points.len()
        );
        assert_eq!(series[0].points.last(), Some(&(99_999.0, 99_999.0)));
        assert!(series[0].points.is_sorted());
        assert!(gathered.problems()[0].contains("800 series beyond"), "{:?}", gathered.problems());
        assert!(gathered.sources["p"].series.keys().all(|name| name.chars().count() <= MOST_CHARACTERS + 1));
    }

    #[test]
    fn who_says_nothing_is_told() {
        let mut gathered = Gathered::default();
        gathered.add("p", Said::default());
        gathered.add("q", Said { problems: vec!["it hangs".to_owned()], ..Said::default() });
        let expected = ["telemetry of p: there is none for the time of the run", "telemetry of q: it hangs"];
        assert_eq!(gathered.problems(), expected);
    }
}
