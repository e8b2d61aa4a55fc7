//! What the limit is: bursts, rates, what flows in, and how it recovers.

use super::Throttle;
use super::answer::{LimitKind, RetryAfter, Scope};
use crate::estimate::{Estimate, digits, mean, quantile, whole};
use crate::probe::{Done, Step};
use crate::round::Round;
use crate::walk::Walk;

/// A limit at a time is told from one a second if so much less than the burst was under way when one was turned away.
const FEWER: f64 = 0.6;

/// So few at a time are told from a burst only by looking again.
const FEW: f64 = 40.0;

/// Who lets one through at a time is asked so many times as often: what flows in between two requests is lost there.
const APART: f64 = 20.0;

/// What to do about a refusal by another name.
const NAME_IT: &str = "; a status that says \"too many\" has to be named as one (`--limited-status`)";

/// What flows in is as much in each second: so many differ by less than such a part.
const MANY: f64 = 10.0;
const UNEVEN: f64 = 0.5;

/// A number needs so many requests that were let through.
const ENOUGH: f64 = 120.0;

/// What is known on the way.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub rounds: Vec<&'a Done>,
    pub kind: Option<LimitKind>,
    pub refill: Option<Estimate>,
    /// Of a window: how many it lets through, and how many seconds it takes.
    pub in_window: Option<Estimate>,
    pub window_s: Option<Estimate>,
    /// Why some are turned away at a rate, and how many a second are let through cannot be told.
    pub unsteady: Option<String>,
    pub burst: Option<Estimate>,
    pub concurrency: Option<Estimate>,
    pub scope: Option<Scope>,
    /// From how many addresses the service saw the round come that several generators sent.
    pub addresses: Option<u32>,
    pub retry_after: RetryAfter,
    pub recovery: Option<Estimate>,
    pub kept_per_s: Option<f64>,
    pub kept_burst: Option<u32>,
    pub untold: Vec<String>,
    /// How many were let through by the bursts that grew, and how long they took.
    pub poured: f64,
    pub poured_s: f64,
    /// How many were let through of the first burst that was turned away in part.
    pub admitted: Option<f64>,
    /// What is let through a second, roughly.
    pub rough: f64,
    /// How long answers take, in seconds, as a mean of the latest round.
    pub takes_s: f64,
}

impl<'a> Found<'a> {
    /// Whether any request was turned away.
    pub(super) fn was_limited(&self) -> bool {
        self.rounds.iter().any(|done| done.observed.limited() > 0)
    }

    /// Whether less than two at once are let through: parts of a request that flow in are lost when there is a whole one.
    pub(super) fn keeps_no_parts(&self) -> bool {
        self.admitted.is_some_and(|admitted| admitted < 2.0)
    }

    /// Sends a round, and notes what every round says.
    pub(super) fn send(&mut self, walk: &mut Walk<'a>, round: Round) -> Result<&'a Done, Step> {
        let done = walk.send(round)?;
        self.rounds.push(done);
        let observed = &done.observed;
        if observed.limited() > 0 {
            let is_date = observed.retry_after_dates > 0;
            let is_named = is_date || observed.retry_after_s.iter().any(|named| named.1 > 0);
            self.retry_after.is_date = Some(self.retry_after.is_date == Some(true) || is_date);
            self.retry_after.is_named = Some(self.retry_after.is_named == Some(true) || is_named);
        }
        if let Some(takes_us) = mean(&observed.good_us) {
            self.takes_s = takes_us / 1e6;
        }
        let Some(why) = observed.trouble() else { return Ok(done) };
        // Who answers one request and refuses more with a status may mean that they are too many.
        let has_answered = self.rounds.iter().any(|done| done.observed.good() > 0);
        let has_status =
            observed.failures.iter().any(|failure| failure.0.contains(|c: char| c.is_ascii_digit()));
        let hint = if has_answered && has_status { NAME_IT } else { "" };
        Err(Step::Stop(format!("{why}{hint}")))
    }
}

impl Throttle {
    /// One request, and after ever longer pauses another one if it is turned away.
    pub(super) fn look<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        for idle_s in [0.0, 5.0, 30.0, self.longest_idle_s] {
            let idle_s = self.longest_idle_s.min(idle_s);
            let done = found.send(walk, Round::burst(1).after(idle_s).to("to look"))?;
            if done.observed.good() > 0 {
                return Ok(());
            }
        }
        Err(Step::Stop(format!(
            "every request is turned away, also after {} s without any",
            digits(self.longest_idle_s)
        )))
    }

    /// Bursts that grow until one is turned away in part.
    pub(super) fn bursts<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let mut requests = self.most_burst.min(4);
        loop {
            let done = found.send(walk, Round::burst(requests).after(0.5))?;
            let good = done.observed.good() as f64;
            found.poured += good;
            found.poured_s += done.observed.rested_s();
            if done.observed.limited() > 0 {
                found.admitted = Some(good);
                return Ok(());
            }
            if done.observed.many_fail() {
                let failures = done.observed.failures_in_words();
                found
                    .untold
                    .push(format!("larger bursts: of {requests} at once many fail{failures}{NAME_IT}"));
                return Ok(());
            }
            if done.observed.dropped() > 0 {
                found.untold.push(format!("larger bursts: the generators cannot send {requests} at once"));
                return Ok(());
            }
            found.kept_burst = Some(requests);
            if requests >= self.most_burst {
                return Ok(());
            }
            requests = requests.saturating_mul(3).min(self.most_burst);
        }
    }

    /// A rate that grows until some are turned away; what was under way then says what is limited.
    pub(super) fn rates<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let at_once = found.admitted.unwrap_or_else(|| f64::from(found.kept_burst.unwrap_or(1)));
        let mut rate = (at_once / 4.0).max(1.0).min(self.most_per_s);
        loop {
            let least_s = (3.0 + 2.0 * found.takes_s).min(self.longest_round_s);
            let seconds = (20.0 / rate).clamp(least_s, least_s.max(10.0)).ceil();
            let done = found.send(walk, Round::rate(rate, seconds))?;
            // A few at first are what the burst before it left nothing for.
            if let Some(flow) = saturated(done) {
                found.rough = flow.value();
                return self.classify(walk, found, done, at_once);
            }
            if done.observed.tainted || done.observed.dropped() > done.observed.scheduled() / 20 {
                found.untold.push(format!(
                    "the limit: the generators cannot make {} a second, and less is not turned away",
                    digits(rate)
                ));
                return Ok(());
            }
            if done.observed.many_fail() && done.observed.limited() == 0 {
                let (rate, failures) = (digits(rate), done.observed.failures_in_words());
                found.untold.push(format!("higher rates: at {rate} a second many fail{failures}{NAME_IT}"));
                return Ok(());
            }
            if done.observed.limited() == 0 {
                found.kept_per_s = Some(rate);
            }
            let limited = done.observed.limited();
            if limited > done.observed.good() {
                let all = if done.observed.good() == 0 { "all" } else { "most" };
                found.unsteady = Some(format!(
                    "the limit: at {} a second {all} are turned away, and in {} s it cannot be told when",
                    digits(rate),
                    digits(seconds)
                ));
                return Ok(());
            }
            let all_under_way = 3.0 * at_once / found.takes_s.max(1e-6);
            // Where some are turned away it is only more that tells.
            let last = if found.admitted.is_some() && limited == 0 {
                all_under_way.min(self.most_per_s)
            } else {
                self.most_per_s
            };
            if rate >= last {
                if limited == 0 {
                    found.untold.push(never_limited(found, rate, at_once));
                } else {
                    let rate = digits(rate);
                    found.unsteady =
                        Some(format!("the limit: at {rate} a second only {limited} are turned away"));
                }
                return Ok(());
            }
            rate = (rate * 2.0).min(last);
        }
    }

    /// Whether so many a second are let through, or so many at a time.
    fn classify<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        done: &'a Done,
        at_once: f64,
    ) -> Result<(), Step> {
        let rate = done.rate();
        let under_way = found.rough * found.takes_s;
        let may_be_at_a_time =
            rate * found.takes_s >= FEWER * at_once && (under_way / at_once - 1.0).abs() < 0.35;
        if !may_be_at_a_time {
            found.kind = Some(LimitKind::Rate);
            return Ok(());
        }
        // After a pause a bucket lets its burst through in addition; who counts what is under way does not.
        // Far above the limit all places are always taken, and chance decides little.
        let rate = (2.0 * found.rough).max(rate).min(self.most_per_s);
        let pause_s = (1.5 * found.poured / found.rough.max(0.1) + 1.0).min(self.longest_idle_s);
        let seconds =
            (3.0 * found.takes_s + 2.0 * at_once / rate + 10.0).clamp(3.0, self.longest_round_s).ceil();
        let (mut surplus, mut under_way, mut times) = (0.0, 0.0, 0.0);
        while times < 3.0 {
            let again = found.send(walk, Round::rate(rate, seconds).after(pause_s).to("after a pause"))?;
            let steady = saturated(again).map_or(found.rough, |flow| flow.value());
            surplus += again.observed.good() as f64 - steady * again.round.lasts_s();
            under_way += steady * mean(&again.observed.good_us).unwrap_or(0.0) / 1e6;
            times += 1.0;
            // Near the middle, and where there are few, chance decides: once more.
            if !(0.3..0.7).contains(&(surplus / times / at_once)) && at_once > FEW {
                break;
            }
        }
        if surplus / times > 0.5 * at_once {
            found.kind = Some(LimitKind::Rate);
            return Ok(());
        }
        found.kind = Some(LimitKind::Concurrency);
        self.at_a_time(walk, found, at_once, under_way / times)
    }

    /// How many at a time: what bursts let through, beside what was under way by Little's law while some were turned away.
    fn at_a_time<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        at_once: f64,
        under_way: f64,
    ) -> Result<(), Step> {
        let requests = whole(1.3 * at_once + 3.0).min(self.most_burst);
        let mut counts = vec![at_once];
        found.concurrency = Estimate::between(at_once.min(under_way), at_once, at_once.max(under_way));
        for _ in 0..2 {
            let idle_s = 2.0 * found.takes_s + 0.5;
            let done = found.send(walk, Round::burst(requests).after(idle_s).to("how many at a time"))?;
            // Who is sent late finds others gone.
            if done.observed.limited() > 0 && !done.observed.tainted {
                counts.push(done.observed.good() as f64);
            }
            counts.sort_by(f64::total_cmp);
            // Whoever is done before the last one comes lets one more in: the least is nearest.
            let (least, most) = (counts[0], counts[counts.len() - 1]);
            let beside = if (under_way / least - 1.0).abs() < 0.1 { under_way } else { least };
            found.concurrency = Estimate::between(least.min(beside), least, most.max(beside));
        }
        Ok(())
    }

    /// How many a second are let through for long: at a rate that empties whatever is left over, and a while longer.
    pub(super) fn refill<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        if found.kind != Some(LimitKind::Rate) {
            return Ok(());
        }
        let mut seconds = (1.1 * ENOUGH / found.rough.max(0.01) + 2.0 + found.takes_s)
            .clamp(4.0, self.longest_round_s)
            .ceil();
        let apart = found.keeps_no_parts();
        let (mut in_vain, times) = (0, if apart { APART } else { 2.0 });
        for _ in 0..4 {
            let rate = (times * found.rough.max(0.5 / seconds)).min(self.most_per_s);
            let done = found.send(walk, Round::rate(rate, seconds).to("how much flows in"))?;
            match saturated(done) {
                Some(flow) if flow.is_in_blocks => in_vain += 1,
                Some(flow) => {
                    found.refill = flow.estimate(apart.then_some(rate));
                    // What flows in is the same each time; what a window lets through depends on when it begins.
                    let is_same = (flow.value() / found.rough - 1.0).abs() < UNEVEN / 2.0;
                    found.rough = flow.value();
                    if flow.count >= ENOUGH && (is_same || apart) {
                        return Ok(());
                    }
                }
                None => in_vain += 1,
            }
            // Once may be chance.
            if in_vain >= 2 {
                found.refill = None;
                break;
            }
            if found.refill.is_some() && seconds >= self.longest_round_s {
                return Ok(());
            }
            seconds = (seconds * 2.0).min(self.longest_round_s);
        }
        if found.refill.is_none() {
            found.kind = None;
            found.unsteady = Some("how much flows in: what is turned away has no steady rate".to_owned());
        }
        Ok(())
    }

    /// How long whoever was turned away has to wait: what was named, and what is true.
    pub(super) fn recovery<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        if found.kind.is_none() {
            return Ok(());
        }
        let last = found.rounds.iter().rev().find(|done| !done.observed.retry_after_s.is_empty());
        let named_s =
            last.map(|done| done.observed.retry_after_s.iter().map(|named| named.0).fold(0.0, f64::max));
        let (mut too_short_s, mut enough_s) = (0.0, None);
        if let Some(named_s) = named_s.filter(|named_s| *named_s > 0.0 && *named_s <= self.longest_idle_s) {
            found.retry_after.named_s = Some(named_s);
            for _ in 0..2 {
                let round = Round::burst(1).after(named_s).to("after as long as `Retry-After` says");
                let done = found.send(walk, round)?;
                let is_good = done.observed.good() > 0;
                found.retry_after.is_honest = Some(found.retry_after.is_honest != Some(false) && is_good);
                if is_good {
                    enough_s = Some(done.observed.rested_s());
                } else {
                    too_short_s = done.observed.rested_s();
                }
            }
            if found.retry_after.is_honest == Some(false) {
                enough_s = None;
            }
        } else if let Some(named_s) = named_s.filter(|named_s| *named_s > self.longest_idle_s) {
            found.retry_after.named_s = Some(named_s);
            found.untold.push(format!(
                "whether `Retry-After` is right: it says {} s, and no pause is longer than {} s",
                digits(named_s),
                digits(self.longest_idle_s)
            ));
        }
        if found.kind == Some(LimitKind::Window) {
            return Ok(());
        }
        let one_s = found.refill.map(|refill| 1.0 / refill.value.max(1e-9));
        let mut idle_s =
            one_s.map_or(2.0 * found.takes_s, |one_s| 1.1 * one_s).max(0.5).max(1.5 * too_short_s);
        while enough_s.is_none() && idle_s <= self.longest_idle_s {
            let done = found.send(walk, Round::burst(1).after(idle_s).to("whether it has recovered"))?;
            if done.observed.good() > 0 {
                enough_s = Some(done.observed.rested_s());
            } else {
                too_short_s = done.observed.rested_s().max(too_short_s);
                idle_s *= 2.0;
            }
        }
        match enough_s {
            Some(enough_s) => {
                let low = too_short_s.min(enough_s);
                let value = one_s.unwrap_or(enough_s).clamp(low, enough_s);
                found.recovery = Estimate::between(low, value, enough_s);
            }
            None => {
                let longest = digits(self.longest_idle_s);
                found.untold.push(format!("recovery: it takes longer than {longest} s"));
            }
        }
        Ok(())
    }
}

fn never_limited(found: &Found<'_>, rate: f64, at_once: f64) -> String {
    let rate = digits(rate);
    if found.admitted.is_some() {
        return format!(
            "what is limited: of a burst {at_once} are let through, but {rate} a second are not turned away; it may be a number at a time, or a burst that is full again at once"
        );
    }
    format!(
        "the limit: neither {rate} a second for some seconds nor {at_once} at once are turned away; more, or more in an hour, may be; answers from a cache never are, so ask for what is not cached"
    )
}

/// What was let through while some were turned away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub count: f64,
    seconds: f64,
    deviation: f64,
    /// By how many seconds answers differ.
    spread_s: f64,
    /// Whether far more are let through at one time than at another.
    is_in_blocks: bool,
}

impl Flow {
    pub(super) fn value(&self) -> f64 {
        self.count / self.seconds
    }

    /// At both ends of the time one may belong to either side, and as many as seconds differ by, or as come while answers
    /// differ.
    fn reach(&self) -> f64 {
        (1.2 + 1.645 * self.deviation + 0.5 * self.spread_s * self.value()) / self.seconds
    }

    /// Who keeps no parts of a request, and is asked at an even rate, lets one of so many through as are asked in the time
    /// that one takes to flow in, rounded up.
    fn estimate(&self, even: Option<f64>) -> Option<Estimate> {
        let (value, reach) = (self.value(), self.reach());
        let most = even.map_or(value, |rate| value / (1.0 - value / rate).max(0.5));
        Estimate::between((value - reach).max(0.0), value, most + reach)
    }
}

/// What was let through after the first second in which some were turned away, answers that began before left out; `None`
/// where fewer than a tenth were turned away, or none was let through.
pub(super) fn saturated(done: &Done) -> Option<Flow> {
    let seconds = done.observed.seconds.get(..done.whole_seconds())?;
    let takes = whole(mean(&done.observed.good_us).unwrap_or(0.0) / 1e6) as usize;
    let first = seconds.iter().position(|second| second.limited > 0)? + 1 + takes.min(60);
    let seconds = seconds.get(first..).filter(|seconds| !seconds.is_empty())?;
    let counts: Vec<f64> = seconds.iter().map(|second| second.good as f64).collect();
    let limited: f64 = seconds.iter().map(|second| second.limited as f64).sum();
    let count: f64 = counts.iter().sum();
    if count <= 0.0 || limited < 0.1 * (count + limited) {
        return None;
    }
    let length = counts.len() as f64;
    let longest = counts.split(|count| *count > 0.0).map(<[f64]>::len).max().unwrap_or(0) as f64;
    let variance = counts.iter().map(|one| (one - count / length).powi(2)).sum::<f64>() / length;
    let per_s = count / length;
    let is_uneven = per_s >= MANY && variance.sqrt() > UNEVEN * per_s;
    let is_in_blocks = is_uneven || longest > 2.0 / per_s + 1.0;
    let at = |share| quantile(&done.observed.good_us, share).unwrap_or(0.0) / 1e6;
    Some(Flow {
        count,
        seconds: length,
        deviation: variance.sqrt(),
        spread_s: at(0.95) - at(0.05),
        is_in_blocks,
    })
}
