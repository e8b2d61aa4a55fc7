//! Segmented regression with one break: two straight lines that meet, the break found by trying.

/// Two lines that meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hinge {
    /// Where.
    pub knee: f64,
    /// The value there.
    pub level: f64,
    /// The slope before it.
    pub before: f64,
    /// The slope after it.
    pub after: f64,
    /// How much of the variance the two lines explain.
    pub explained: f64,
    /// How much a single line leaves over what the two leave.
    pub gain: f64,
}

/// So many breaks are tried.
const TRIED: usize = 80;

/// The two lines through `(x, y)` points; `None` of fewer than eight, or where x does not vary.
#[must_use]
pub fn hinge(points: &[(f64, f64)]) -> Option<Hinge> {
    let points: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if points.len() < 8 {
        return None;
    }
    let low = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
    let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
    let total: f64 = points.iter().map(|point| (point.1 - mean).powi(2)).sum();
    if high <= low || total <= 0.0 {
        return None;
    }
    let single = fit(&points, None)?.1;
    let tried = (1..TRIED).map(|at| low + (high - low) * at as f64 / TRIED as f64);
    let fits = tried.filter_map(|knee| Some((knee, fit(&points, Some(knee))?)));
    let (knee, (line, left)) = fits.min_by(|one, other| one.1.1.total_cmp(&other.1.1))?;
    Some(Hinge {
        knee,
        level: line[0] + line[1] * knee,
        before: line[1],
        after: line[1] + line[2],
        explained: 1.0 - left / total,
        gain: single / left.max(total * 1e-9),
    })
}

/// Least squares of `y = a + b x + c max(0, x - knee)`, and the sum of squares that is left.
fn fit(points: &[(f64, f64)], knee: Option<f64>) -> Option<([f64; 3], f64)> {
    let row = |x: f64| [1.0, x, knee.map_or(0.0, |knee| (x - knee).max(0.0))];
    let mut normal = [[0.0; 4]; 3];
    for (x, y) in points {
        let row = row(*x);
        for (line, own) in normal.iter_mut().zip(row) {
            for (cell, other) in line.iter_mut().zip([row[0], row[1], row[2], *y]) {
                *cell += own * other;
            }
        }
    }
    let unknowns = if knee.is_some() { 3 } else { 2 };
    let solved = solve(normal, unknowns)?;
    let left = points.iter().map(|(x, y)| {
        let value: f64 = row(*x).iter().zip(solved).map(|(own, factor)| own * factor).sum();
        (y - value).powi(2)
    });
    Some((solved, left.sum()))
}

/// Gauss's elimination with the largest pivot; `None` of what has no one solution.
pub(crate) fn solve(mut rows: [[f64; 4]; 3], unknowns: usize) -> Option<[f64; 3]> {
    for column in 0..unknowns {
        let largest = (column..unknowns)
            .max_by(|one, other| rows[*one][column].abs().total_cmp(&rows[*other][column].abs()))?;
        rows.swap(column, largest);
        let pivot = rows[column];
        if pivot[column].abs() < 1e-12 {
            return None;
        }
        for (place, row) in rows.iter_mut().enumerate().take(unknowns) {
            if place != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(pivot).for_each(|(cell, other)| *cell -= factor * other);
            }
        }
    }
    let mut solved = [0.0; 3];
    for (place, value) in solved.iter_mut().enumerate().take(unknowns) {
        *value = rows[place][3] / rows[place][place];
    }
    solved.iter().all(|value| value.is_finite()).then_some(solved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    #[test]
    fn the_knee_of_a_limit_is_found_within_a_twentieth() {
        let mut chance = Chance::new(4);
        let points: Vec<(f64, f64)> = (0..120)
            .map(|at| {
                let x = f64::from(at) * 5.0;
                (x, x.min(300.0) * (1.0 + 0.05 * chance.normal()))
            })
            .collect();
        let found = hinge(&points).unwrap();
        assert!((found.knee - 300.0).abs() < 15.0, "{found:?}");
        assert!((found.before - 1.0).abs() < 0.05 && found.after.abs() < 0.1, "{found:?}");
        assert!(found.explained > 0.95 && found.gain > 3.0, "{found:?}");
    }

    #[test]
    fn what_does_not_vary_has_no_knee() {
        assert_eq!(hinge(&[(1.0, 2.0); 20]), None);
        assert_eq!(hinge(&[(1.0, 2.0), (2.0, f64::NAN)]), None);
    }
}
