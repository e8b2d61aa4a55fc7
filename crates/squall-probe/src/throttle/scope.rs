//! How large a burst is once it is full, and who shares the limit.

use super::Throttle;
use super::answer::{LimitKind, Scope};
use super::limit::{Found, saturated};
use crate::estimate::{Estimate, digits, quantile, whole};
use crate::probe::{Done, Step};
use crate::round::{Load, Round};
use crate::walk::Walk;

/// More than so many at a time tell nothing more.
const SHARERS: u32 = 4;

/// All requests of a burst come within so many seconds, unless they were seen to begin later.
const BURST_S: f64 = 0.05;

impl Throttle {
    /// How many are let through at once, after a pause that was long enough for as many to flow in.
    pub(super) fn burst<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let Some(refill) = found.refill else { return Ok(()) };
        let Some(admitted) = found.admitted else { return self.burst_by_rate(walk, found, &refill) };
        // What the bursts that grew let through is what was there, and what flowed in between.
        let poured = (found.poured - refill.value * found.poured_s).max(admitted).max(1.0);
        let mut expected = poured;
        for _ in 0..4 {
            let idle_s = 1.3 * expected / refill.value + 1.0;
            if idle_s > self.longest_idle_s {
                found.untold.push(format!(
                    "the burst more closely: it takes longer than {} s to be full again",
                    digits(self.longest_idle_s)
                ));
                found.burst = Estimate::between(admitted.min(poured), poured, found.poured.max(poured));
                return Ok(());
            }
            let requests = whole(1.3 * expected + 5.0).min(self.most_burst);
            if f64::from(requests) < 1.02 * expected {
                return self.burst_by_rate(walk, found, &refill);
            }
            let done = found.send(walk, Round::burst(requests).after(idle_s).to("when it is full"))?;
            let good = done.observed.good() as f64;
            if done.observed.limited() == 0 && done.observed.dropped() > 0 {
                found.untold.push(format!(
                    "the burst: it is {} or more, and the generators cannot send {requests} at once",
                    digits(good)
                ));
                return Ok(());
            }
            if done.observed.limited() == 0 {
                expected = f64::from(requests) * 1.3;
            } else if good > 0.95 * refill.low * done.observed.rested_s() {
                // As many as flowed in: it may hold more.
                expected = expected.max(good) * 1.6;
            } else {
                let late_s = quantile(&done.observed.lag_us, 0.99).unwrap_or(0.0) / 1e6;
                // What flows in while it is sent is let through, too.
                let came = |during_s: f64| (refill.value * during_s).min(good);
                let low = (good - came(late_s.max(BURST_S)) - 1.0).max(0.0);
                found.burst = Estimate::between(low, (good - came(late_s)).round(), good + 1.0);
                return Ok(());
            }
        }
        found.untold.push("the burst: it is not the same each time".to_owned());
        Ok(())
    }

    /// At a rate `r` for `T` seconds `burst + refill · T` are let through.
    fn burst_by_rate<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        refill: &Estimate,
    ) -> Result<(), Step> {
        let rate = (4.0 * refill.value + f64::from(self.most_burst) / 4.0).min(self.most_per_s);
        let beyond = rate - refill.value;
        let least = f64::from(found.kept_burst.unwrap_or(1)).max(found.poured);
        let seconds = (2.0 * least / beyond.max(1e-3) + 3.0).ceil();
        if beyond < 0.2 * refill.value || seconds > self.longest_round_s {
            found.untold.push(format!(
                "the burst: it is more than {}, which is more than may be sent at once",
                digits(least)
            ));
            return Ok(());
        }
        let done = found
            .send(walk, Round::rate(rate, seconds).after(self.longest_idle_s).to("how large a burst is"))?;
        if saturated(done).is_none() {
            found.untold.push(format!("the burst: it lasts longer than {} s", digits(seconds)));
            return Ok(());
        }
        let let_through = |refill: f64| done.observed.good() as f64 - refill * done.round.lasts_s();
        let burst = let_through(refill.value);
        if burst > 0.95 * refill.low * done.observed.rested_s() {
            found.untold.push(format!(
                "the burst: it takes longer than {} s to be full again",
                digits(self.longest_idle_s)
            ));
        } else if burst > 0.0 {
            let (low, high) = (let_through(refill.high) - 2.0, let_through(refill.low) + 2.0);
            found.burst = Estimate::between(low.max(0.0), burst, high);
        }
        Ok(())
    }

    /// Who shares the limit: whether more is let through from several addresses, and with several keys.
    pub(super) fn scope<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        if found.kind.is_none() || (found.refill.or(found.concurrency).or(found.in_window)).is_none() {
            return Ok(());
        }
        let by_address = self.grows_with(walk, found, self.senders, "addresses", |round, sharers| Round {
            senders: sharers,
            ..round
        })?;
        found.scope = scope(by_address, None);
        let by_key = self
            .grows_with(walk, found, self.keys, "keys", |round, sharers| Round { keys: sharers, ..round })?;
        found.scope = scope(by_address, by_key);
        Ok(())
    }

    /// Whether several that share the load are let through more than one; `None` if that cannot be told.
    fn grows_with<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        there_are: u32,
        what: &str,
        spread: impl Fn(Round, u32) -> Round,
    ) -> Result<Option<bool>, Step> {
        if there_are < 2 {
            found.untold.push(format!("whether several {what} are let through more: there is only one"));
            return Ok(None);
        }
        for sharers in [there_are.min(SHARERS), 2] {
            let Some((round, one)) = self.shared(found, sharers) else { continue };
            let done = found.send(walk, spread(round, sharers).to(&format!("from {sharers} {what}")))?;
            let mut were = sharers;
            if done.round.senders > 1 {
                // Each address has one generator at least, which alone sends more than one may.
                were = done.observed.addresses.min(sharers);
                found.addresses = (were > 0).then_some(were);
            }
            let doubt = match were {
                _ if done.observed.tainted => "the generators set the pace",
                0 => "it is not known from where requests come",
                1 => "all generators have the same",
                _ => {
                    let times = done.observed.good() as f64 / one(done).max(1.0);
                    return Ok(Some(times > f64::midpoint(1.0, f64::from(were))));
                }
            };
            found.untold.push(format!("whether several {what} are let through more: {doubt}"));
            return Ok(None);
        }
        found
            .untold
            .push(format!("whether several {what} are let through more: that takes more than may be sent"));
        Ok(None)
    }

    /// A round that is more than several may send, and how much of it one would be let through; `None` if it is too much.
    fn shared(&self, found: &Found<'_>, sharers: u32) -> Option<(Round, impl Fn(&Done) -> f64 + use<>)> {
        let many = f64::from(sharers);
        let (refill, burst) = (found.refill.map(|refill| refill.value), found.burst.map(|burst| burst.value));
        let at_a_time = found.concurrency.map(|at_a_time| at_a_time.value);
        let window_s = found.window_s.map_or(0.0, |window_s| window_s.high);
        let at_once = at_a_time.or(found.in_window.map(|many| many.value));
        let round = if let (true, Some(at_once)) = (found.kind != Some(LimitKind::Rate), at_once) {
            let requests = whole(many * 1.3 * at_once + 3.0);
            Round::burst(requests).after((2.0 * found.takes_s + 0.5).max(1.1 * window_s))
        } else {
            // Each of them is to find none as often as one for all would.
            let times = if found.keeps_no_parts() { 6.0 } else { 1.5 };
            let rate = many * times * refill?;
            Round::rate(rate, (30.0 / rate).clamp(4.0, self.longest_round_s).ceil())
        };
        let is_too_much = match round.load {
            Load::Burst { requests } => requests > self.most_burst,
            Load::Rate { per_s, .. } => per_s > self.most_per_s,
            Load::Users { .. } => true,
        };
        let one = move |done: &Done| match at_once {
            Some(at_once) => at_once,
            None => {
                let refill = refill.unwrap_or(0.0);
                // What flowed in before, if it was not spent.
                let left = (refill * done.observed.rested_s()).min(burst.unwrap_or(f64::INFINITY));
                refill * done.round.lasts_s() + left
            }
        };
        (!is_too_much).then_some((round, one))
    }
}

fn scope(by_address: Option<bool>, by_key: Option<bool>) -> Option<Scope> {
    match (by_address, by_key) {
        (Some(true), Some(true)) => Some(Scope::AddressAndKey),
        (Some(true), _) => Some(Scope::Address),
        (_, Some(true)) => Some(Scope::Key),
        (Some(false), Some(false)) => Some(Scope::Global),
        (Some(false), None) => Some(Scope::GlobalOrKey),
        (None, Some(false)) => Some(Scope::GlobalOrAddress),
        (None, None) => None,
    }
}
