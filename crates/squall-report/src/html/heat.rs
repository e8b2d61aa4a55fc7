//! The heat map: how many response times were how long, and when.

use std::collections::BTreeMap;

use serde_json::json;

use super::behind::{self, Behind};
use super::charts::seconds;
use super::markup::{Html, decimal};
use super::plot;
use super::slots::Slots;
use super::tables::table;
use crate::heat::{LAST, PER_DECADE, begin_ms};
use crate::numbers::{count, duration_ms, percent};
use crate::timeline::Timeline;

/// Columns at most.
const MAX_COLUMNS: usize = 200;

/// Rows of the table behind it at most.
const MAX_ROWS: usize = 30;

/// Fewer response times fall into groups by chance.
const MIN_GROUPED: u64 = 50;

/// Its anchor.
pub(super) const ID: &str = "chart-heat";

/// Colours, and up to which share of the requests of a column they go.
const SHADES: [(&str, &str, f64); 6] = [
    ("h1", "up to 1 %", 0.01),
    ("h2", "5 %", 0.05),
    ("h3", "15 %", 0.15),
    ("h4", "30 %", 0.3),
    ("h5", "60 %", 0.6),
    ("h6", "all", f64::INFINITY),
];

/// Response times by column and bucket.
pub(super) struct Heat {
    slots: Slots,
    columns: Vec<BTreeMap<u32, u64>>,
    /// The lowest and the highest bucket.
    rows: (u32, u32),
}

impl Heat {
    /// Without response times there is none.
    pub(super) fn new(timeline: &Timeline, most: usize) -> Option<Self> {
        let slots = Slots::new(timeline, most);
        let mut columns = vec![BTreeMap::new(); slots.all.len()];
        for point in &timeline.points {
            let Some(column) = columns.get_mut(slots.index(point.t_s)) else { continue };
            for (bucket, number) in &point.heat {
                let sum: &mut u64 = column.entry((*bucket).min(LAST)).or_default();
                *sum = sum.saturating_add(*number);
            }
        }
        let buckets = || columns.iter().flat_map(BTreeMap::keys).copied();
        let rows = (buckets().min()?, buckets().max()?);
        Some(Self { slots, columns, rows })
    }

    /// With what every chart is drawn.
    pub(super) fn of(timeline: &Timeline) -> Option<Self> {
        Self::new(timeline, MAX_COLUMNS)
    }

    /// How many response times each bucket holds in the whole run.
    fn sums(&self) -> BTreeMap<u32, u64> {
        let mut sums = BTreeMap::new();
        for (bucket, number) in self.columns.iter().flatten() {
            let sum: &mut u64 = sums.entry(*bucket).or_default();
            *sum = sum.saturating_add(*number);
        }
        sums
    }

    /// Two groups are looked for in each column: where all becomes slower for a while, their sums tell nothing.
    fn title(&self) -> String {
        let found = self.columns.iter().filter(|column| !column.is_empty()).map(groups).collect::<Vec<_>>();
        let mut both: Vec<(u32, u32)> = found.iter().copied().flatten().collect();
        both.sort_unstable();
        if 2 * both.len() > found.len() {
            let (fast, slow) = both[both.len() / 2];
            let (fast, slow) = (middle(fast), middle(slow));
            return format!("Response times fall into two groups, mostly around {fast} and {slow}");
        }
        let sums = self.sums();
        let quarter = |share: f64| {
            let mut seen = 0.0;
            let rank = share * total(&sums) as f64;
            sums.iter().find(|(_, number)| {
                seen += **number as f64;
                seen >= rank
            })
        };
        match quarter(0.25).zip(quarter(0.75)) {
            None => "Response times".to_owned(),
            Some(((low, _), (high, _))) => {
                let (from, to) = (rounded(begin_ms(*low).max(0.001)), rounded(begin_ms(high + 1)));
                format!("Response times: at least half are between {from} and {to}")
            }
        }
    }

    /// For the crosshair: each column as bucket, count, bucket, count, and so on.
    pub(super) fn data(&self) -> serde_json::Value {
        let column = |column: &BTreeMap<u32, u64>| -> Vec<u64> {
            column.iter().flat_map(|(bucket, number)| [u64::from(*bucket), *number]).collect()
        };
        json!({
            "unit": "heat",
            "width_s": self.slots.width_s,
            "rows": [self.rows.0, self.rows.1],
            "edges_us": (0..=LAST + 1).map(|bucket| (begin_ms(bucket) * 1_000.0).round()).collect::<Vec<_>>(),
            "values": self.columns.iter().map(column).collect::<Vec<_>>(),
        })
    }

    /// How far up a bucket begins, between 0 and 1.
    fn share(&self, bucket: f64) -> f64 {
        let (low, high) = self.rows;
        (bucket - f64::from(low)) / f64::from(high + 1 - low)
    }

    /// One path for each shade; neighbours of one shade are one rectangle.
    fn paths(&self) -> [String; SHADES.len()] {
        let mut paths = [const { String::new() }; SHADES.len()];
        for bucket in self.rows.0..=self.rows.1 {
            let shades = self.columns.iter().map(|column| shade(column, bucket)).collect::<Vec<_>>();
            let mut begin = 0;
            for run in shades.chunk_by(|one, other| one == other) {
                let end = begin + run.len();
                if let Some(path) = run[0].and_then(|shade| paths.get_mut(shade)) {
                    path.push_str(&self.rectangle(bucket, begin, end));
                }
                begin = end;
            }
        }
        paths
    }

    fn rectangle(&self, bucket: u32, begin: usize, end: usize) -> String {
        let (left, right) = (plot::edge(&self.slots, begin), plot::edge(&self.slots, end));
        let y = |bucket: u32| 100.0 * (1.0 - self.share(f64::from(bucket)));
        let (top, bottom) = (decimal(y(bucket + 1)), decimal(y(bucket)));
        format!("M{} {top}H{}V{bottom}H{}Z", decimal(left), decimal(right), decimal(left))
    }

    /// Powers of ten, in milliseconds, and how far up they are.
    fn ticks(&self) -> Vec<(f64, f64)> {
        let decades =
            (1..=LAST).step_by(PER_DECADE as usize).map(|bucket| (begin_ms(bucket), f64::from(bucket)));
        let shares = decades.map(|(ms, bucket)| (ms, self.share(bucket)));
        shares.filter(|(_, share)| (0.0..=1.0).contains(share)).collect()
    }
}

fn total(column: &BTreeMap<u32, u64>) -> u64 {
    column.values().fold(0, |sum, number| sum.saturating_add(*number))
}

fn shade(column: &BTreeMap<u32, u64>, bucket: u32) -> Option<usize> {
    let number = column.get(&bucket).filter(|number| **number > 0)?;
    let share = *number as f64 / total(column) as f64;
    SHADES.iter().position(|(.., up_to)| share <= *up_to)
}

/// Two buckets that hold much, with little between them: caches that are cold, instances that start.
fn groups(sums: &BTreeMap<u32, u64>) -> Option<(u32, u32)> {
    if total(sums) < MIN_GROUPED {
        return None;
    }
    let all = total(sums) as f64;
    let at = |bucket: u32| sums.get(&bucket).copied().unwrap_or(0) as f64;
    let (&first, &last) = sums.keys().next().zip(sums.keys().next_back())?;
    let peaks = (first..=last).filter(|&bucket| {
        let below = bucket.checked_sub(1).map_or(0.0, at);
        at(bucket) >= 0.03 * all && at(bucket) >= below && at(bucket) > at(bucket + 1)
    });
    let mut peaks: Vec<u32> = peaks.collect();
    peaks.sort_by(|one, other| at(*other).total_cmp(&at(*one)));
    let highest = *peaks.first()?;
    let valley =
        |one: u32, other: u32| (one.min(other)..=one.max(other)).map(at).fold(f64::INFINITY, f64::min);
    let other = peaks.into_iter().skip(1).find(|&other| {
        let (near, far) = (highest.min(other), highest.max(other));
        let (before, after): (f64, f64) = ((first..far).map(at).sum(), (near + 1..=last).map(at).sum());
        let beyond = if other > highest { after } else { before };
        far - near >= 3 && beyond >= 0.05 * all && valley(highest, other) <= 0.25 * at(other)
    })?;
    Some((highest.min(other), highest.max(other)))
}

fn middle(bucket: u32) -> String {
    rounded((begin_ms(bucket) * begin_ms(bucket + 1)).sqrt().max(0.05))
}

/// To two digits: buckets are wide.
fn rounded(ms: f64) -> String {
    let unit = 10_f64.powf(ms.log10().floor() - 1.0);
    let text = duration_ms((ms / unit).round() * unit);
    let Some((whole, rest)) = text.split_once('.') else { return text };
    let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = rest.trim_end_matches(unit).trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("{whole}{point}{digits}{unit}")
}

fn range(bucket: u32) -> String {
    match bucket {
        0 => format!("below {}", rounded(begin_ms(1))),
        LAST => format!("{} or more", rounded(begin_ms(LAST))),
        bucket => format!("{} to {}", rounded(begin_ms(bucket)), rounded(begin_ms(bucket + 1))),
    }
}

/// The heat map, with its keys and the table behind it.
pub(super) fn draw(html: &mut Html, timeline: &Timeline, fine: &Slots, behind: &Behind) {
    let Some(heat) = Heat::of(timeline) else { return };
    html.element("figure", &[("class", "chart"), ("data-chart", ID)], |html| {
        let coarse = Heat::new(timeline, MAX_ROWS);
        let title = coarse.as_ref().map_or(String::new(), Heat::title);
        html.leaf("figcaption", &[], &title);
        keys(html);
        let attributes =
            [("class", "plot heat"), ("tabindex", "0"), ("role", "img"), ("aria-label", &*title)];
        html.element("div", &attributes, |html| picture(html, &heat, fine, behind));
        if let Some(coarse) = coarse {
            html.element("details", &[], |html| {
                html.leaf("summary", &[], "As a table");
                rows(html, &coarse);
            });
        }
    });
}

fn keys(html: &mut Html) {
    html.element("div", &[("class", "keys")], |html| {
        html.leaf("span", &[("class", "key quiet")], "Share of the requests of that time:");
        for (class, name, _) in SHADES {
            html.element("span", &[("class", "key shade")], |html| {
                html.leaf("i", &[("class", class)], "");
                html.text(name);
            });
        }
        html.leaf("b", &[("class", "value wide")], "");
        html.leaf("b", &[("class", "when")], "");
    });
}

fn picture(html: &mut Html, heat: &Heat, fine: &Slots, behind: &Behind) {
    let attributes = [("viewBox", "0 0 1000 100"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    html.element("svg", &attributes, |html| {
        behind::bands(html, fine, behind);
        let grid = heat.ticks().into_iter();
        let grid = grid.map(|(_, share)| format!("M0 {}H1000", decimal(100.0 * (1.0 - share))));
        html.leaf("path", &[("class", "grid"), ("d", &grid.collect::<String>())], "");
        for ((class, ..), path) in SHADES.iter().zip(heat.paths()) {
            if !path.is_empty() {
                html.leaf("path", &[("class", &format!("cell {class}")), ("d", &path)], "");
            }
        }
        behind::lines(html, fine, behind);
    });
    for (ms, share) in heat.ticks() {
        let style = format!("bottom:{}%", decimal(share * 100.0));
        html.leaf("span", &[("class", "y"), ("style", &style)], &rounded(ms));
    }
    behind::labels(html, fine, behind);
    plot::times(html, fine);
    html.leaf("span", &[("class", "cross")], "");
}

/// A column for each bucket that is ever used would be too many: where the middle half lies is what is read.
fn rows(html: &mut Html, heat: &Heat) {
    let rows = heat.columns.iter().enumerate().map(|(index, column)| {
        let all = total(column);
        let fullest = column.iter().max_by_key(|(_, number)| **number);
        let lowest = column.keys().next().map_or("–".to_owned(), |bucket| range(*bucket));
        let highest = column.keys().next_back().map_or("–".to_owned(), |bucket| range(*bucket));
        let fullest = fullest.map_or("–".to_owned(), |(bucket, number)| {
            format!("{} ({})", range(*bucket), percent(*number as f64 / all.max(1) as f64))
        });
        vec![seconds(heat.slots.begin_of_s(index)), count(all), lowest, fullest, highest]
    });
    table(html, &["From", "Requests", "Fastest", "Most", "Slowest"], rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_groups_are_told_from_one() {
        let check = |counts: &[u64], expected: Option<(u32, u32)>| {
            let sums = (10..).zip(counts.iter().copied()).collect();
            assert_eq!(groups(&sums), expected, "{counts:?}");
        };
        check(&[1, 10, 80, 12, 2], None);
        check(&[1, 10, 80, 12, 2, 0, 1, 9, 3], Some((12, 17)));
        check(&[3, 12, 5, 1, 0, 0, 9, 80, 5], Some((11, 17)));
        // A tail, a shoulder and noise are no group.
        check(&[1, 10, 80, 40, 20, 10, 5, 2, 1], None);
        check(&[1, 80, 10, 20, 10], None);
        check(&[100, 1, 0, 0, 1, 1], None);
        check(&[2, 8, 1, 0, 0, 0, 1, 8, 2], None);
        check(&[], None);
    }

    #[test]
    fn neighbours_of_one_shade_are_one_rectangle() {
        let point = |t_s| crate::timeline::Point {
            t_s,
            heat: BTreeMap::from([(7, 5), (8, 5)]),
            ..Default::default()
        };
        let timeline = Timeline { step_s: 1, points: (0..50).map(point).collect() };
        let paths = Heat::of(&timeline).unwrap().paths();
        assert_eq!(paths[4], "M0 50H1000V100H0ZM0 0H1000V50H0Z");
        assert_eq!(paths.iter().filter(|path| !path.is_empty()).count(), 1);
        // Counts beyond what can be added, and buckets that do not exist.
        let wild = crate::timeline::Point {
            heat: BTreeMap::from([(u32::MAX, u64::MAX), (3, u64::MAX)]),
            ..Default::default()
        };
        assert!(Heat::of(&Timeline { step_s: 1, points: vec![wild] }).is_some());
    }
}
