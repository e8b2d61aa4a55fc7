//! Two models of how many are turned away over time: a bucket of tokens, and a number at a time.

use crate::stats::erlang;

/// More at a time are not tried.
const MOST_SERVERS: u32 = 3_000;

/// Where a model says that none or all are turned away, chance says otherwise for so many.
const LEAST_SHARE: f64 = 0.003;

/// A stretch of a few seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// How long it is.
    pub length_s: f64,
    /// Requests that ended in it, and those of them that were turned away.
    pub requests: f64,
    pub turned_away: f64,
    /// How long the others took.
    pub takes_s: f64,
}

/// By how much a number at a time explains better than a bucket how many were turned away when, as the natural logarithm of
/// likelihoods; negative if a bucket does. `chance` is how much chance there is in arrivals, from 0 for even ones to 1 for
/// those at random.
pub(super) fn number_over_bucket(stretches: &[Stretch], refill_per_s: f64, chance: f64) -> f64 {
    let number = by_number(stretches, chance);
    let bucket = by_bucket(stretches, refill_per_s);
    if number.is_finite() && bucket.is_finite() { number - bucket } else { 0.0 }
}

/// The best of any number at a time. Even arrivals find one free until there are too many of them; of those at random some
/// find none at any load.
fn by_number(stretches: &[Stretch], chance: f64) -> f64 {
    let of = |servers: u32| {
        likelihood(stretches.iter().map(|stretch| {
            let load = stretch.requests / stretch.length_s * stretch.takes_s;
            let even = (1.0 - f64::from(servers) / load).max(0.0);
            (stretch, even + (erlang::turned_away(load, servers) - even) * chance)
        }))
    };
    // As the number grows it becomes likelier and then less likely.
    let (mut low, mut high) = (1, MOST_SERVERS);
    while high - low > 2 {
        let (one, other) = (low + (high - low) / 3, high - (high - low) / 3);
        if of(one) < of(other) { low = one } else { high = other }
    }
    (low..=high).map(of).fold(f64::NEG_INFINITY, f64::max)
}

/// The best of buckets of any size that are filled so fast, or nearly.
fn by_bucket(stretches: &[Stretch], refill_per_s: f64) -> f64 {
    let of = |refill_per_s: f64, burst: f64| {
        let mut tokens = burst;
        likelihood(stretches.iter().map(|stretch| {
            let available = tokens + refill_per_s * stretch.length_s;
            let away = (stretch.requests - available).max(0.0);
            tokens = (available - stretch.requests).clamp(0.0, burst);
            (stretch, away / stretch.requests.max(1.0))
        }))
    };
    let refills = [0.97, 0.985, 1.0, 1.015, 1.03].map(|factor| factor * refill_per_s);
    let bursts = (0..40).map(|step| 1.35_f64.powi(step));
    let all = bursts.flat_map(|burst| refills.map(|refill| of(refill, burst)));
    all.fold(f64::NEG_INFINITY, f64::max)
}

/// How likely it is that as many were turned away as were, by the shares that a model says.
fn likelihood<'a>(shares: impl Iterator<Item = (&'a Stretch, f64)>) -> f64 {
    let of = |(stretch, share): (&Stretch, f64)| {
        let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
        let passed = (stretch.requests - stretch.turned_away).max(0.0);
        stretch.turned_away * share.ln() + passed * (1.0 - share).ln()
    };
    shares.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Load that grows from 10 to 60 a second, of which a model turns some away.
    fn stretches(share: impl Fn(f64) -> f64) -> Vec<Stretch> {
        let at = |place: usize| {
            let per_s = 10.0 + place as f64;
            Stretch {
                length_s: 5.0,
                requests: 5.0 * per_s,
                turned_away: (5.0 * per_s * share(per_s)).round(),
                takes_s: 0.12,
            }
        };
        (0..50).map(at).collect()
    }

    #[test]
    fn each_model_explains_what_it_makes() {
        let by_number = stretches(|per_s| erlang::turned_away(per_s * 0.12, 3));
        assert!(number_over_bucket(&by_number, 17.0, 1.0) > 50.0);
        let by_bucket = stretches(|per_s| (1.0 - 30.0 / per_s).max(0.0));
        assert!(number_over_bucket(&by_bucket, 30.0, 1.0) < -50.0);
    }

    #[test]
    fn even_arrivals_find_one_free_until_there_are_too_many() {
        let by_number = stretches(|per_s| (1.0 - 3.0 / (per_s * 0.12)).max(0.0));
        assert!(number_over_bucket(&by_number, 25.0, 1.0) < -50.0);
        assert!(number_over_bucket(&by_number, 25.0, 0.0).abs() < 10.0, "nothing tells");
    }

    #[test]
    fn nothing_speaks_for_neither() {
        assert!(number_over_bucket(&[], 10.0, 1.0).abs() < 1e-9);
        let none = Stretch { length_s: 5.0, requests: 0.0, turned_away: 0.0, takes_s: f64::NAN };
        assert!(number_over_bucket(&[none; 5], f64::NAN, 0.0).abs() < 1e-9);
    }
}
