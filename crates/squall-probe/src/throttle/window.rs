//! Limits that count: so many requests in a window of time, and none until it is over.

use super::Throttle;
use super::answer::LimitKind;
use super::limit::Found;
use crate::estimate::{Estimate, whole};
use crate::probe::{Done, Step};
use crate::round::Round;
use crate::walk::Walk;

/// Each pause is so many times as long as the one before it.
const LONGER: f64 = 2.5;

/// Windows that let fewer through are not told from chance.
const FEWEST: f64 = 3.0;

/// A rate is so many times as high as one that does not use a window up, and so high at least.
const BEYOND: f64 = 2.5;
const LEAST_PER_S: f64 = 2.0;

/// So many rounds show when windows begin.
const LOOKS: u32 = 4;

/// Windows one after the other.
#[derive(Debug, Default)]
struct Windows {
    seen: Vec<Window>,
    /// Whether none was let through in the second before.
    is_over: bool,
}

#[derive(Debug)]
struct Window {
    /// In which second it was seen to begin, and how much earlier it may have begun.
    begin_s: f64,
    earlier_s: f64,
    let_through: f64,
    /// How many might have been let through in it while nothing was sent.
    missed: f64,
}

impl Throttle {
    /// How many are let through in a window and how long it is, where requests are turned away and not at a steady rate.
    pub(super) fn window<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        if found.unsteady.is_none() {
            return Ok(());
        }
        let Some((many, least_s, most_s)) = self.after_pauses(walk, found)? else { return Ok(()) };
        let rate = (BEYOND * many / least_s).max(LEAST_PER_S);
        if rate > self.most_per_s {
            return Ok(());
        }
        let most = (10.0 * self.most_per_s / rate).clamp(4.0, self.longest_round_s);
        let seconds = (LONGER * most_s + 2.0).min(most).ceil();
        let (mut windows, mut at_s) = (Windows::default(), 0.0);
        for _ in 0..LOOKS {
            let done = found.send(walk, Round::rate(rate, seconds).to("when windows begin"))?;
            at_s += done.observed.rested_s();
            windows.look(done, at_s, 1.0 / rate);
            at_s += seconds;
            if windows.seen.len() > 2 {
                break;
            }
        }
        let Some((in_window, window_s)) = windows.told(many) else { return Ok(()) };
        (found.in_window, found.window_s) = (Some(in_window), Some(window_s));
        found.kind = Some(LimitKind::Window);
        found.unsteady = None;
        Ok(())
    }

    /// How many are let through at once after a pause that is long enough, when longer ones make no difference; and between
    /// which lengths a window is then.
    fn after_pauses<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
    ) -> Result<Option<(f64, f64, f64)>, Step> {
        let seen = found.admitted.unwrap_or(1.0).max(f64::from(found.kept_burst.unwrap_or(1)));
        let mut requests = whole(1.5 * seen + 5.0).min(self.most_burst);
        let mut pause_s = 2.0_f64.min(self.longest_idle_s);
        // How long pauses were, and how many were let through after each.
        let mut pauses: Vec<(f64, f64)> = Vec::new();
        loop {
            let round = Round::burst(requests).after(pause_s).to("how many after a pause");
            let done = found.send(walk, round)?;
            let good = done.observed.good() as f64;
            if done.observed.limited() == 0 {
                if done.observed.dropped() > 0 || done.observed.many_fail() || requests >= self.most_burst {
                    return Ok(None);
                }
                requests = requests.saturating_mul(3).min(self.most_burst);
                continue;
            }
            pauses.push((done.observed.rested_s(), good));
            let same: Vec<f64> = pauses
                .iter()
                .rev()
                .take_while(|pause| are_as_many(pause.1, good))
                .map(|pause| pause.0)
                .collect();
            // The last one was longer than the two before it together: whatever those let through is as long ago.
            if let (true, [last_s, second_s, first_s, ..]) = (good >= FEWEST, &same[..]) {
                let most_s = first_s + second_s;
                if *last_s >= most_s.min(0.99 * self.longest_idle_s) {
                    let fewer = pauses.iter().filter(|pause| pause.1 < good && !are_as_many(pause.1, good));
                    let least_s = fewer.map(|pause| pause.0).fold(1.0, f64::max);
                    return Ok(Some((good, least_s, most_s.max(least_s))));
                }
            }
            if pauses.iter().filter(|pause| pause.0 >= 0.99 * self.longest_idle_s).count() > 2 {
                return Ok(None);
            }
            pause_s = (pause_s * LONGER).min(self.longest_idle_s);
        }
    }
}

/// Whether two windows let as many through, but for the few that come at their ends.
fn are_as_many(one: f64, other: f64) -> bool {
    (one - other).abs() <= (0.03 * one.max(other)).max(1.0)
}

impl Windows {
    /// A window begins where requests are let through again after a second in which none was. It may have begun when
    /// the one before was sent.
    fn look(&mut self, done: &Done, at_s: f64, apart_s: f64) {
        if let (false, Some(window)) = (self.is_over, self.seen.last_mut()) {
            window.missed += done.observed.rested_s() / apart_s;
        }
        let seconds = done.observed.seconds.get(..done.whole_seconds()).unwrap_or(&[]);
        for (second, seen) in seconds.iter().enumerate() {
            if seen.good == 0 {
                self.is_over |= seen.limited > 0;
                continue;
            }
            if std::mem::take(&mut self.is_over) {
                let earlier_s = apart_s + if second == 0 { done.observed.rested_s() } else { 0.0 };
                self.seen.push(Window {
                    begin_s: at_s + second as f64,
                    earlier_s,
                    let_through: 0.0,
                    missed: 0.0,
                });
            }
            if let Some(window) = self.seen.last_mut() {
                window.let_through += seen.good as f64;
            }
        }
    }

    /// How many a window lets through and how long it is, if each but the last lets through as many as were let through
    /// after a pause.
    fn told(&self, many: f64) -> Option<(Estimate, Estimate)> {
        let is_as_many = |window: &Window| {
            let off = (window.let_through - many).abs() - window.missed;
            are_as_many(many + off.max(0.0), many)
        };
        // While nothing was sent, requests of a window that goes back from each were not let through: it falls apart later.
        let matching = self.seen.iter().take_while(|window| is_as_many(window)).count();
        let was_apart = self.seen.get(..matching)?.iter().any(|window| window.missed > 0.0);
        if matching + 1 < self.seen.len() && !was_apart {
            return None;
        }
        let seen = self.seen.get(..=matching).unwrap_or(&self.seen);
        let (_, whole) = seen.split_last()?;
        if !whole.iter().any(|window| window.missed <= 0.3 * many) {
            return None;
        }
        let counts = whole.iter().filter(|window| window.missed == 0.0).map(|window| window.let_through);
        let (least, most) = counts.fold((many, many), |(least, most), one| (one.min(least), one.max(most)));
        let in_window = Estimate::between(least, many, most)?;
        // Of those that were seen to begin on the way, as many as follow each other; else of all.
        let on_the_way = seen.split(|window| window.earlier_s > 1.0).max_by_key(|windows| windows.len())?;
        let windows = if on_the_way.len() > 1 { on_the_way } else { seen };
        let (first, others) = windows.split_first()?;
        let (all_s, times) = (others.last()?.begin_s - first.begin_s, others.len() as f64);
        // Each end lies anywhere in its second. Where a window goes back from each request, one that is sent late counts late.
        let earlier_s: f64 = others.iter().map(|window| window.earlier_s).sum();
        let (least_s, most_s) = (all_s - 1.0 - earlier_s, all_s + 1.0 + first.earlier_s);
        let window_s = Estimate::between((least_s / times).max(0.0), all_s / times, most_s / times)?;
        Some((in_window, window_s))
    }
}
