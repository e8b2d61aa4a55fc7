//! Quick requests and slow ones, told apart by how long they take and by whether an instance may have been started for
//! them: a mixture by expectation and maximisation, in which the share of slow ones differs by that.

use crate::stats::usual::Usual;

/// Rounds until it is as good as it becomes.
const ROUNDS: usize = 80;

/// Requests of one endpoint that took the same time at the same occasion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// Which of the endpoints that are looked at.
    pub endpoint: usize,
    /// How long they took, in microseconds.
    pub us: f64,
    /// How many there are.
    pub count: f64,
    /// Which share of them made a connection of its own, as far as is known.
    pub fresh: f64,
    /// Whether others began while more was under way than ever before.
    pub grew: bool,
}

/// How long slow ones take beyond the usual (log-normal), and which share of requests is slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slow {
    /// The logarithm of what they take longer, in microseconds: its mean and its deviation.
    pub mean: f64,
    pub deviation: f64,
    /// The share of slow ones among those that made a connection.
    pub fresh: f64,
    /// Among the others while more was under way than ever before.
    pub grew: f64,
    /// Among all others.
    pub level: f64,
    pub likelihood: f64,
}

impl Group {
    /// Whether there was no occasion to start an instance, as far as is known.
    pub(super) fn is_at_level(&self) -> bool {
        self.fresh <= 0.0 && !self.grew
    }
}

impl Slow {
    /// Of those of a group that are slow, the share that made a connection.
    pub(super) fn of_fresh(&self, group: &Group) -> f64 {
        group.fresh * self.fresh / self.share(group).max(1e-300)
    }

    fn share(&self, group: &Group) -> f64 {
        let others = if group.grew { self.grew } else { self.level };
        group.fresh * self.fresh + (1.0 - group.fresh) * others
    }

    /// How likely a group is slow, and how likely it is to be seen at all.
    pub(super) fn chance(&self, group: &Group, usual: &Usual) -> (f64, f64) {
        let (share, x) = (self.share(group), group.us.ln());
        let longer = group.us - usual.median.exp();
        let quick = (1.0 - share) * usual.density(x);
        if longer <= 0.0 {
            return (0.0, quick);
        }
        let score = (longer.ln() - self.mean) / self.deviation;
        let density = (-0.5 * score * score).exp() / (self.deviation * 2.506_628) * group.us / longer;
        let slow = share * density;
        (slow / (slow + quick).max(1e-300), slow + quick)
    }
}

/// Whether the share of slow ones may differ by occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shares {
    ByOccasion,
    TheSame,
}

/// The best from where others ended or begin, of those that differ no more than `widest`.
pub(super) fn fit(
    groups: &[Group],
    usual: &[Usual],
    begins: &[Slow],
    shares: Shares,
    widest: f64,
) -> Option<Slow> {
    let fits = begins.iter().map(|begin| improve(groups, usual, *begin, shares, widest));
    fits.max_by(|one, other| one.likelihood.total_cmp(&other.likelihood))
}

fn improve(groups: &[Group], usual: &[Usual], mut slow: Slow, shares: Shares, widest: f64) -> Slow {
    let least = usual.iter().map(|usual| usual.median.exp() * usual.deviation).fold(0.0, f64::max).max(1.0);
    let mut last = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        // Slow ones and all: of those with a connection of their own, of those while more was under way, and of the others.
        let mut slow_ones = [0.0; 3];
        let mut all = [0.0; 3];
        let (mut sum, mut first, mut second, mut likelihood) = (0.0, 0.0, 0.0, 0.0);
        for group in groups {
            let usual = &usual[group.endpoint];
            let (chance, seen) = slow.chance(group, usual);
            likelihood += group.count * seen.max(1e-300).ln();
            let others = if group.grew { 1 } else { 2 };
            all[0] += group.count * group.fresh;
            all[others] += group.count * (1.0 - group.fresh);
            let weight = group.count * chance;
            if weight <= 0.0 {
                continue;
            }
            let of_fresh = slow.of_fresh(group);
            slow_ones[0] += weight * of_fresh;
            slow_ones[others] += weight * (1.0 - of_fresh);
            let longer = (group.us - usual.median.exp()).max(1.0).ln();
            sum += weight;
            first += weight * longer;
            second += weight * longer * longer;
        }
        if sum > 0.01 {
            slow.mean = (first / sum).max((2.0 * least).ln());
            slow.deviation = (second / sum - slow.mean * (2.0 * first / sum - slow.mean))
                .max(0.0)
                .sqrt()
                .clamp(0.15, widest);
        }
        if shares == Shares::TheSame {
            (slow_ones, all) = ([slow_ones.iter().sum(); 3], [all.iter().sum(); 3]);
        }
        let share = |place: usize| {
            if all[place] > 0.0 { (slow_ones[place] / all[place]).clamp(1e-7, 0.98) } else { 1e-7 }
        };
        (slow.fresh, slow.grew, slow.level) = (share(0), share(1), share(2));
        slow.likelihood = likelihood;
        if likelihood - last < 1e-3 {
            break;
        }
        last = likelihood;
    }
    slow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Chance;

    const BEGIN: Slow =
        Slow { mean: 12.0, deviation: 0.3, fresh: 0.3, grew: 0.03, level: 0.001, likelihood: 0.0 };

    /// Five thousand quick ones, and slow ones among the first that made a connection or among all.
    fn groups(depends: bool) -> (Vec<Group>, Vec<Usual>) {
        let mut chance = Chance::new(2);
        let mut quick: Vec<(f64, f64)> =
            (0..5_000).map(|_| (100_000.0 * (0.15 * chance.normal()).exp(), 1.0)).collect();
        let slow_at = |place: usize| if depends { place < 40 } else { place.is_multiple_of(125) };
        let groups = quick.iter().enumerate().map(|(place, (us, count))| {
            let longer = if slow_at(place) { 300_000.0 * (0.2 * chance.normal()).exp() } else { 0.0 };
            let fresh = if place < 50 { 0.8 } else { 0.0 };
            Group { endpoint: 0, us: us + longer, count: *count, fresh, grew: place < 200 }
        });
        let groups = groups.collect();
        quick.sort_by(|one, other| one.0.total_cmp(&other.0));
        (groups, vec![Usual::of(&quick).unwrap()])
    }

    #[test]
    fn shares_are_found_by_occasion_and_say_more_only_where_they_differ() {
        for depends in [true, false] {
            let (groups, usual) = groups(depends);
            let slow = fit(&groups, &usual, &[BEGIN], Shares::ByOccasion, 0.7).unwrap();
            let same = Slow { fresh: 0.01, grew: 0.01, level: 0.01, ..slow };
            let same = fit(&groups, &usual, &[same], Shares::TheSame, 0.7).unwrap();
            let count: f64 = groups.iter().map(|group| slow.chance(group, &usual[0]).0).sum();
            assert!((count - 40.0).abs() < 1.5, "{count}");
            assert!((slow.mean.exp() / 300_000.0 - 1.0).abs() < 0.1, "{slow:?}");
            assert_eq!(slow.fresh > 0.8, depends, "{slow:?}");
            assert_eq!(slow.likelihood - same.likelihood > 50.0, depends, "{slow:?} {same:?}");
        }
    }

    #[test]
    fn nothing_to_begin_with_is_nothing() {
        assert_eq!(fit(&[], &[], &[], Shares::ByOccasion, 0.7), None);
        let none = fit(&[], &[], &[BEGIN], Shares::TheSame, 0.7).unwrap();
        assert!(none.likelihood.abs() < 1e-9 && none.fresh < 1e-3, "{none:?}");
    }
}
