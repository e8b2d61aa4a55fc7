//! Gunther's Universal Scalability Law: what N at a time get through, `X(N) = λN / (1 + σ(N−1) + κN(N−1))`.

use super::hinge::solve;

/// The law's parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalability {
    /// What one alone gets through (λ).
    pub single: f64,
    /// How much waits for what only one can have (σ).
    pub contention: f64,
    /// How much is spent on agreeing with each other (κ).
    pub coherency: f64,
    /// How much of the variance of throughput that explains.
    pub explained: f64,
}

impl Scalability {
    /// How much N at a time get through.
    #[must_use]
    pub fn throughput(&self, n: f64) -> f64 {
        self.single * n / (1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0))
    }

    /// With so many it is the most; without an end where they cost each other nothing.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        (self.coherency > 1e-12).then(|| ((1.0 - self.contention).max(0.0) / self.coherency).sqrt())
    }
}

/// Fits `(N, X)` points: `N/X` is linear in 1, N−1 and N(N−1), weighted so that errors of X count alike. `None` of fewer
/// than six.
#[must_use]
pub fn scalability(points: &[(f64, f64)]) -> Option<Scalability> {
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|(n, x)| *n >= 1.0 && *x > 0.0).collect();
    if points.len() < 6 {
        return None;
    }
    let fit = |unknowns: usize| {
        let mut normal = [[0.0; 4]; 3];
        for (n, x) in &points {
            let row = [1.0, n - 1.0, n * (n - 1.0), n / x];
            let weight = (x * x / n).powi(2);
            for (line, own) in normal.iter_mut().zip(row) {
                line.iter_mut().zip(row).for_each(|(cell, other)| *cell += weight * own * other);
            }
        }
        solve(normal, unknowns)
    };
    // A negative cost of agreeing is noise.
    let [a, b, c] = fit(3).filter(|solved| solved[2] >= 0.0).or_else(|| fit(2))?;
    if a <= 0.0 {
        return None;
    }
    let mut law = Scalability {
        single: 1.0 / a,
        contention: (b / a).max(0.0),
        coherency: (c / a).max(0.0),
        explained: 0.0,
    };
    let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
    let total: f64 = points.iter().map(|point| (point.1 - mean).powi(2)).sum();
    let left: f64 = points.iter().map(|(n, x)| (x - law.throughput(*n)).powi(2)).sum();
    law.explained = if total > 0.0 { 1.0 - left / total } else { 0.0 };
    Some(law)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    #[test]
    fn the_peak_of_a_law_is_found_through_noise() {
        let law = Scalability { single: 40.0, contention: 0.02, coherency: 0.0005, explained: 1.0 };
        let mut chance = Chance::new(5);
        let points: Vec<(f64, f64)> = (1..100)
            .map(|n| (f64::from(n), law.throughput(f64::from(n)) * (1.0 + 0.05 * chance.normal())))
            .collect();
        let found = scalability(&points).unwrap();
        let (peak, truth) = (found.peak().unwrap(), law.peak().unwrap());
        assert!((peak / truth - 1.0).abs() < 0.1 && found.explained > 0.9, "{found:?} {peak} {truth}");
        assert_eq!(scalability(&[(1.0, 1.0); 3]), None);
    }
}
