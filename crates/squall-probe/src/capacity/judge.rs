//! Whether a step kept the threshold.

use super::{Threshold, shortest_s};
use crate::estimate::{above, bounded, count, quantile};
use crate::probe::Done;
use crate::round::Second;

/// Requests near each other resemble each other: by so many times are shares less certain than those of independent ones.
const OVERDISPERSION: f64 = 2.0;

/// The longest pause in which what has piled up may be worked off.
const LONGEST_PAUSE_S: f64 = 60.0;

/// Who gets less than such a part of a rate through that it kept before has broken down under more.
const FAR_LESS: f64 = 0.7;

/// Who gets less than such a part of it through no longer keeps it.
const LESS: f64 = 0.9;

/// Answers that take less than so many seconds come in the second in which they were asked for.
const QUICK_S: f64 = 0.25;

/// What a step says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// How likely it is that the threshold is broken at this rate.
    pub broken: f64,
    /// Which share was too slow or failed.
    pub severity: f64,
    /// Nearly all failed.
    pub hardly_answers: bool,
    /// What it got through, a second.
    pub got_through: f64,
    /// What it got through while it was asked for more, a second.
    pub limit: Option<f64>,
    /// It may have been broken only at first.
    pub may_pass: bool,
    /// The generators set the pace, or were too few.
    pub tainted: bool,
    /// How long what has piled up takes to be worked off, and a second.
    pub drains_s: f64,
    /// It may be broken only because it was too short: how many seconds would tell, the longest one if nothing does yet.
    pub would_tell_s: Option<f64>,
    /// In so many seconds 99 of 100 good answers came.
    pub took_s: f64,
}

impl Verdict {
    /// Whether far less is got through than was at a rate that was kept before.
    pub(super) fn gets_far_less_through(&self, before: f64) -> bool {
        self.hardly_answers || self.limit.is_some_and(|limit| limit < FAR_LESS * before)
    }

    /// Whether less is got through than was at a rate that was kept before.
    pub(super) fn gets_less_through(&self, before: f64) -> bool {
        self.hardly_answers || self.limit.is_some_and(|limit| limit < LESS * before)
    }

    /// Whether it looks as bad as it does only because of the generators, as far as is known.
    pub(super) fn may_be_the_generators(&self) -> bool {
        self.tainted && !self.hardly_answers
    }
}

/// The steady seconds of a step in which answers come that take so many seconds.
pub(super) fn answered(done: &Done, takes_s: f64) -> &[Second] {
    let steady = done.steady();
    let before = done.whole_seconds().saturating_sub(steady.len());
    let none = if takes_s < QUICK_S { 0 } else { whole(takes_s.ceil()) };
    steady.get(none.saturating_sub(before).min(steady.len().saturating_sub(1))..).unwrap_or(&[])
}

/// Good answers, and those that were not.
fn good_and_bad(seconds: &[Second]) -> (f64, f64) {
    let sum = |of: &dyn Fn(&Second) -> u64| seconds.iter().map(|s| of(s) as f64).sum::<f64>();
    let bad = sum(&|second| second.limited.saturating_add(second.unavailable).saturating_add(second.failed));
    (sum(&|second| second.good), bad)
}

/// Judges a step of a service whose answers take so many seconds while it is not busy.
pub(super) fn judge(threshold: &Threshold, takes_s: f64, done: &Done) -> Verdict {
    let observed = &done.observed;
    let steady = answered(done, takes_s);
    let (good, bad) = good_and_bad(steady);
    // With what was answered after the load.
    let (good_in_all, bad_in_all) =
        good_and_bad(observed.seconds.get(whole(done.round.warm_s.ceil())..).unwrap_or(&[]));
    let (late, slow) = threshold.latency.map_or((0.0, 0.0), |limit| {
        let many = count(&observed.good_us) as f64;
        let slow = above(&observed.good_us, limit.within_ms * 1_000.0) as f64;
        (exceeds(slow, many, 1.0 - limit.share), slow / many.max(1.0))
    });
    let failed = exceeds(bad, good + bad, threshold.error_rate).max(exceeds(
        bad_in_all,
        good_in_all + bad_in_all,
        threshold.error_rate,
    ));
    let under_way = done.under_way();
    let took_s = bounded(quantile(&observed.good_us, 0.99).unwrap_or(0.0) / 1e6, 0.0, 1e6, 0.0);
    let fills_s = fills_s(takes_s, took_s, done.round.lasts_s());
    let grows = grows(&under_way, fills_s, done.rate(), varies(&observed.good_us, done.rate()));
    // What was answered by nobody at all is broken, whatever else; a few may all have come while it warmed up, or late.
    let silent = observed.answered() == 0 && done.sent() > 0;
    let broken = late.max(failed).max(f64::from(u8::from(grows || silent)));
    let is_filling = grows && late.max(failed) <= 0.5 && takes_longer(takes_s, took_s);
    let many_fail = bad > 0.03 * (good + bad) || bad_in_all > 0.03 * (good_in_all + bad_in_all);
    let is_over = grows || many_fail;
    let got_through = good / steady.len().max(1) as f64;
    let left = under_way.last().copied().unwrap_or(0.0);
    let drains_s = if broken > 0.5 { left / got_through.max(0.1) } else { 0.0 };
    Verdict {
        broken,
        severity: slow + bad / (good + bad).max(1.0),
        hardly_answers: good < 0.1 * (good + bad) || silent,
        got_through,
        limit: (broken > 0.5 && is_over && got_through > 0.0).then_some(got_through),
        may_pass: passes(done, &under_way) || !is_over,
        // What generators do late makes a service look worse, never better.
        tainted: too_few(done) || (observed.tainted && broken > 0.5),
        drains_s: 1.0 + drains_s.min(LONGEST_PAUSE_S),
        would_tell_s: if silent { Some(f64::INFINITY) } else { is_filling.then(|| shortest_s(took_s)) },
        took_s,
    }
}

/// Whether answers took far longer than was known: it may be as long without any others to wait for.
fn takes_longer(takes_s: f64, took_s: f64) -> bool {
    took_s > 2.0 * takes_s
}

/// For how many seconds requests fill a service: until answers come that take as long as was known. If they took far
/// longer in this step it is as long, but for the second half, for they may have had to wait for others.
fn fills_s(takes_s: f64, took_s: f64, lasts_s: f64) -> f64 {
    if takes_longer(takes_s, took_s) {
        takes_s.max(took_s.min(lasts_s / 2.0 - 1.0).min(lasts_s - 5.0))
    } else {
        takes_s
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn whole(seconds: f64) -> usize {
    seconds.clamp(0.0, 1e6) as usize
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
fn grows(under_way: &[f64], takes_s: f64, rate: f64, varies: f64) -> bool {
    // What comes before the first answers fills the service.
    let fills = whole((1.0 + takes_s).round()).max(1);
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
    let is_sure = slope > 4.0 * deviation || (slope > 0.1 * rate && slope > 2.0 * deviation);
    slope > 0.008 * rate && slope * (count - 1.0) > f64::max(2.0, 3.0 * varies) && is_sure
}

/// By how many the requests under way vary by chance where each takes long or not whatever the others do: whoever came
/// `t` ago is under way with probability `1 − F(t)`, which makes a variance of `rate · ∫ F (1 − F) dt`.
fn varies(good_us: &[(u64, u64)], rate: f64) -> f64 {
    let (all, mut until) = ((count(good_us) as f64).max(1.0), 0.0);
    let parts = good_us.windows(2).map(|pair| {
        until += pair[0].1 as f64 / all;
        pair[1].0.saturating_sub(pair[0].0) as f64 / 1e6 * until * (1.0 - until)
    });
    (rate * parts.sum::<f64>()).max(0.0).sqrt()
}

/// Whether the second half was better than the first.
fn passes(done: &Done, under_way: &[f64]) -> bool {
    let seconds = done.observed.seconds.get(..done.whole_seconds()).unwrap_or(&[]);
    let bad = |seconds: &[Second]| {
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
        assert!(!grows(&line(0.0), 0.1, 400.0, 0.0) && grows(&line(8.0), 0.1, 400.0, 0.0));
        assert!(!grows(&[1.0], 0.1, 400.0, 0.0) && !grows(&[], 0.1, 400.0, 0.0));
        assert!(grows(&[0.0, 200.0, 400.0], 0.1, 400.0, 0.0));
        // Answers that take two seconds fill it for as long.
        assert!(
            grows(&[80.0, 160.0, 200.0, 200.0], 0.1, 80.0, 0.0)
                && !grows(&[80.0, 160.0, 200.0, 200.0], 2.5, 80.0, 0.0)
        );
    }
    #[test]
    fn what_varies_by_chance_is_no_line_that_grows() {
        let under_way = [80.0, 85.0, 90.0, 97.0, 103.0, 110.0];
        assert!(grows(&under_way, 0.0, 100.0, 0.0) && !grows(&under_way, 0.0, 100.0, 10.0));
        // Half of them take two seconds longer.
        assert!((varies(&[(10_000, 50), (2_010_000, 50)], 200.0) - 10.0).abs() < 1e-9);
        assert!(varies(&[(2_000_000, 100)], 200.0) < 1e-9 && varies(&[], 200.0) < 1e-9);
    }

    #[test]
    fn a_service_fills_until_the_longest_answers_come_but_for_the_second_half() {
        let check = |(takes_s, took_s, lasts_s), expected: f64| {
            let found = fills_s(takes_s, took_s, lasts_s);
            assert!((found - expected).abs() < 1e-9, "{takes_s} {took_s} {lasts_s}: {found}");
        };
        check((0.02, 0.03, 3.0), 0.02);
        check((0.02, 3.0, 10.0), 3.0);
        check((0.02, 7.0, 10.0), 4.0);
        check((2.5, 4.5, 10.0), 2.5);
    }
}
