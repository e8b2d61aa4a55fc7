//! A profile, drawn.

use std::time::Duration;

/// Columns and rows of a chart.
const COLUMNS: u32 = 60;
const ROWS: u32 = 6;

/// A column's parts of a row, from none to all.
const PARTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The chart of a line that begins at 0; levels and instants are written as `level` and `instant` say.
pub(super) fn chart(
    line: &[(Duration, f64)],
    ascii: bool,
    level: impl Fn(f64) -> String,
    instant: impl Fn(Duration) -> String,
) -> Vec<String> {
    let end = line.last().map_or(Duration::ZERO, |(at, _)| *at);
    let top = line.iter().map(|(_, level)| *level).fold(0.0, f64::max);
    let labels = [level(top), level(top / 2.0), level(0.0)];
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let heights: Vec<f64> = (0..COLUMNS)
        .map(|column| {
            let at = end.mul_f64((f64::from(column) + 0.5) / f64::from(COLUMNS));
            if top > 0.0 { at_instant(line, at) / top * f64::from(ROWS) } else { 0.0 }
        })
        .collect();
    let mut rows: Vec<String> = (0..ROWS)
        .map(|row| {
            let below = f64::from(ROWS - 1 - row);
            let label = match row {
                0 => labels[0].as_str(),
                row if row == ROWS / 2 => labels[1].as_str(),
                _ => "",
            };
            let cells: String = heights.iter().map(|height| cell(height - below, ascii)).collect();
            let axis = if label.is_empty() { '│' } else { '┤' };
            format!(" {label:>width$} {}{}", if ascii { '|' } else { axis }, cells.trim_end())
        })
        .collect();
    let (corner, floor) = if ascii { ('+', "-") } else { ('└', "─") };
    rows.push(format!(" {:>width$} {corner}{}", labels[2], floor.repeat(COLUMNS as usize)));
    let (first, last) = (instant(Duration::ZERO), instant(end));
    let gap = (COLUMNS as usize).saturating_sub(first.chars().count() + last.chars().count());
    rows.push(format!(" {:>width$}  {first}{}{last}", "", " ".repeat(gap)));
    rows
}

/// A column's part of a row that it fills up to there.
fn cell(height: f64, ascii: bool) -> char {
    if ascii {
        return if height >= 0.5 { '#' } else { ' ' };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8")]
    let eighths = (height.clamp(0.0, 1.0) * 8.0).round() as usize;
    // Something is never drawn as nothing.
    let eighths = if height > 0.0 { eighths.max(1) } else { 0 };
    PARTS.get(eighths).copied().unwrap_or(' ')
}

/// The level of the line at an instant.
fn at_instant(line: &[(Duration, f64)], at: Duration) -> f64 {
    let next = line.partition_point(|(known, _)| *known <= at);
    match (next.checked_sub(1).and_then(|before| line.get(before)), line.get(next)) {
        (Some((from, start)), Some((until, end))) => {
            let whole = until.saturating_sub(*from).as_secs_f64();
            let part = at.saturating_sub(*from).as_secs_f64();
            if whole > 0.0 { start + (end - start) * part / whole } else { *end }
        }
        (Some((_, level)), None) | (None, Some((_, level))) => *level,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_line_is_straight_between_its_points_and_jumps_where_it_has_two() {
        let line = [(seconds(0), 0.0), (seconds(10), 100.0), (seconds(10), 20.0), (seconds(20), 20.0)];
        let check = |ms: u64, expected: f64| {
            let found = at_instant(&line, Duration::from_millis(ms));
            assert!((found - expected).abs() < 1e-9, "{ms}: {found}");
        };
        check(0, 0.0);
        check(2_500, 25.0);
        check(9_999, 99.99);
        check(10_000, 20.0);
        check(15_000, 20.0);
        check(20_000, 20.0);
    }

    #[test]
    fn a_ramp_looks_like_one() {
        let line = [(seconds(0), 0.0), (seconds(30), 100.0), (seconds(60), 100.0)];
        let rows = chart(&line, true, |level| format!("{level}"), |at| format!("{}s", at.as_secs()));
        let filled: Vec<usize> = rows.iter().take(6).map(|row| row.matches('#').count()).collect();
        assert!(filled.is_sorted() && filled[0] >= 30 && filled[5] < 60, "{rows:?}");
        assert_eq!(rows.last().map(|row| row.trim_start()), Some(&*format!("0s{}60s", " ".repeat(55))));
        assert!(rows.iter().all(|row| row.chars().count() <= 80));
        let nothing = chart(
            &[(seconds(0), 0.0), (seconds(9), 0.0)],
            false,
            |level| level.to_string(),
            |_| String::new(),
        );
        assert!(!nothing.concat().contains('▁'));
    }
}
