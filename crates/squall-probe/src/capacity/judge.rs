//! Whether a step kept the threshold.

use super::Threshold;
use crate::estimate::{above, count};
use crate::probe::Done;

/// Requests near each other resemble each other: by so many times are shares less certain than those of independent ones.
const OVERDISPERSION: f64 = 2.0;

/// The longest pause in which what has piled up may be worked off.
const LONGEST_PAUSE_S: f64 = 60.0;

/// What a step says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// How likely it is that the threshold is broken at this rate.
    pub broken: f64,
    /// Which share was too slow or failed.
    pub severity: f64,
    /// Nearly all failed.
    pub hardly_answers: bool,
    /// What it got through while it was asked for more, a second.
    pub limit: Option<f64>,
    /// It may have been broken only at first.
    pub may_pass: bool,
    /// The generators set the pace, or were too few.
    pub tainted: bool,
    /// How long what has piled up takes to be worked off, and a second.
    pub drains_s: f64,
}

/// Judges a step of a service whose answers take so many seconds while it is not busy.
/// Who gets less than such a part of a rate through that it kept before has broken down under more.
const FAR_LESS: f64 = 0.7;

impl Verdict {
    /// Whether far less is got through than a rate that was kept before.
    pub(super) fn gets_far_less_through(&self, kept: f64) -> bool {
        self.hardly_answers || self.limit.is_some_and(|limit| limit < FAR_LESS * kept)
    }
}

pub(super) fn judge(threshold: &Threshold, takes_s: f64, done: &Done) -> Verdict {
    let observed = &done.observed;
    let steady = done.steady();
    let seconds = steady.len().max(1) as f64;
    let sum = |of: &dyn Fn(&crate::round::Second) -> u64| steady.iter().map(|s| of(s) as f64).sum::<f64>();
    let good = sum(&|second| second.good);
    let bad = sum(&|second| second.limited.saturating_add(second.unavailable).saturating_add(second.failed));
    let late = threshold.latency.map_or((0.0, 0.0), |limit| {
        let many = count(&observed.good_us) as f64;
        let slow = above(&observed.good_us, limit.within_ms * 1_000.0) as f64;
        (exceeds(slow, many, 1.0 - limit.share), slow / many.max(1.0))
    });
    let (late, slow) = late;
    let failed = exceeds(bad, good + bad, threshold.error_rate);
    let under_way = done.under_way();
    let grows = grows(&under_way, takes_s, done.rate());
    // What was answered by nobody at all is broken, whatever else; a few may all have come while it warmed up, or late.
    let silent = f64::from(u8::from(observed.answered() == 0));
    let broken = late.max(failed).max(silent).max(f64::from(u8::from(grows)));
    let is_over = grows || bad > 0.03 * (good + bad);
    let got_through = good / seconds;
    let left = under_way.last().copied().unwrap_or(0.0);
    let drains_s = if broken > 0.5 { left / got_through.max(0.1) } else { 0.0 };
    Verdict {
        broken,
        severity: slow + bad / (good + bad).max(1.0),
        hardly_answers: good < 0.1 * (good + bad) || observed.answered() == 0,
        limit: (broken > 0.5 && is_over && got_through > 0.0).then_some(got_through),
        may_pass: passes(done, &under_way) || !is_over,
        // What generators do late makes a service look worse, never better.
        tainted: too_few(done) || (observed.tainted && broken > 0.5),
        drains_s: 1.0 + drains_s.min(LONGEST_PAUSE_S),
    }
}

/// How likely a share is larger than a limit, of which so many were seen.
fn exceeds(part: f64, whole: f64, limit: f64) -> f64 {
    if whole <= 0.0 {
        return 0.0;
    }
    let limit = limit.clamp(1e-4, 1.0);
    let deviation = (whole * limit * (1.0 - limit)).sqrt().max(0.5) * OVERDISPERSION;
    let score = (part - whole * limit) / deviation;
    // The logistic curve that is nearest to the normal distribution.
    1.0 / (1.0 + (-1.702 * score).clamp(-40.0, 40.0).exp())
}

/// Whether ever more requests are under way: a straight line that rises, and by more than chance.
fn grows(under_way: &[f64], takes_s: f64, rate: f64) -> bool {
    // What comes before the first answers fills the service.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
    let fills = (1.0 + takes_s).round().clamp(1.0, 1e6) as usize;
    let points = under_way.get(fills..).unwrap_or(&[]);
    let count = points.len() as f64;
    if points.len() < 2 {
        return false;
    }
    let middle = (count - 1.0) / 2.0;
    let mean = points.iter().sum::<f64>() / count;
    let spread: f64 = (0..points.len()).map(|at| (at as f64 - middle).powi(2)).sum();
    let slope =
        points.iter().enumerate().map(|(at, value)| (at as f64 - middle) * (value - mean)).sum::<f64>()
            / spread;
    if points.len() < 4 {
        return slope > 0.1 * rate && slope > 2.0;
    }
    let left: f64 = points
        .iter()
        .enumerate()
        .map(|(at, value)| (value - mean - slope * (at as f64 - middle)).powi(2))
        .sum();
    let deviation = (left / (count - 2.0) / spread).sqrt();
    slope > 0.008 * rate && slope * (count - 1.0) > 2.0 && slope > 4.0 * deviation
}

/// Whether the second half was better than the first.
fn passes(done: &Done, under_way: &[f64]) -> bool {
    let seconds = done.observed.seconds.get(..done.whole_seconds()).unwrap_or(&[]);
    let bad = |seconds: &[crate::round::Second]| {
        seconds.iter().map(|second| second.answered().saturating_sub(second.good) as f64).sum::<f64>()
    };
    let (first, second) = seconds.split_at(seconds.len() / 2);
    let most = under_way.iter().copied().fold(0.0, f64::max);
    let shrinks = under_way.last().is_some_and(|last| *last < 0.7 * most) && most > 10.0;
    bad(second) * 2.0 < bad(first) || shrinks
}

/// Whether fewer were sent than were asked for, because nobody was free to send them or they were never due.
fn too_few(done: &Done) -> bool {
    let asked = done.rate() * done.round.lasts_s();
    let due = done.observed.scheduled() as f64;
    // What waits for answers holds whoever would send more: only where answers are quick is it the generators.
    let under_way = done.under_way().last().copied().unwrap_or(0.0);
    let waits = under_way > done.rate();
    due < 0.95 * asked - 2.0 || (done.observed.dropped() as f64 > 0.01 * due && !waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_larger_than_a_limit_only_as_far_as_was_seen() {
        assert!(exceeds(0.0, 10.0, 0.01) < 0.5 && exceeds(5.0, 1_000.0, 0.01) < 0.25);
        assert!(exceeds(100.0, 1_000.0, 0.01) > 0.99 && exceeds(1.0, 1.0, 0.01) > 0.5);
        assert!(exceeds(0.0, 0.0, 0.0) < 0.5);
    }

    #[test]
    fn what_piles_up_is_told_from_what_varies() {
        let line = |slope: f64| -> Vec<f64> {
            (0..10).map(|at| 16.0 + slope * f64::from(at) + if at % 2 == 0 { 2.0 } else { -2.0 }).collect()
        };
        assert!(!grows(&line(0.0), 0.1, 400.0) && grows(&line(8.0), 0.1, 400.0));
        assert!(!grows(&[1.0], 0.1, 400.0) && !grows(&[], 0.1, 400.0));
        assert!(grows(&[0.0, 200.0, 400.0], 0.1, 400.0));
        // Answers that take two seconds fill it for as long.
        assert!(
            grows(&[80.0, 160.0, 200.0, 200.0], 0.1, 80.0) && !grows(&[80.0, 160.0, 200.0, 200.0], 2.5, 80.0)
        );
    }
}
