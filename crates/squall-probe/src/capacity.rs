//! How much can it take: the highest rate that keeps a threshold.
//!
//! The rate doubles, in short steps, until the threshold is broken; then it is asked where the answer is least certain
//! ([`crate::search`]). Where a step was more than the service can take, what it still got through says where to ask
//! next, which saves most of the bisection.

mod answer;
mod judge;

use serde::{Deserialize, Serialize};

use crate::estimate::{Estimate, bounded, digits, quantile};
use crate::probe::{Done, Outlook, Probe, Step};
use crate::round::Round;
use crate::search::{Known, Search, kept};
use crate::walk::Walk;

pub use answer::{CapacityAnswer, CapacityPoint, Knee};
use judge::Verdict;

/// By which factor the rate grows until the threshold is broken.
const GROWTH: f64 = 2.0;

/// So often the rate is halved where the first one is too high already.
const HALVINGS: usize = 8;

/// So often a rate is tried again that breaks the threshold less each time.
const REPEATS: usize = 6;

/// After so many steps in a row in which the generators set the pace, more are in vain.
const TAINTED: usize = 4;

/// After so many steps noise is called noise.
const PATIENCE: usize = 14;

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capacity {
    /// What is to be kept.
    pub threshold: Threshold,
    /// The first rate, in requests a second.
    pub start_per_s: f64,
    /// No rate is higher.
    pub most_per_s: f64,
    /// How long a step takes; while the rate still grows, less.
    pub step_s: f64,
    /// Half the width of the interval that is wanted, as a share of the rate.
    pub precision: f64,
    /// So many rounds at most.
    pub most_rounds: u32,
}

/// What a service must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// How long answers may take.
    pub latency: Option<LatencyLimit>,
    /// Which share of requests may fail.
    pub error_rate: f64,
}

/// How long answers may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyLimit {
    /// Which share of answers, in 0..1.
    pub share: f64,
    /// Comes within so many milliseconds.
    pub within_ms: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { latency: Some(LatencyLimit { share: 0.99, within_ms: 500.0 }), error_rate: 0.01 }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            threshold: Threshold::default(),
            start_per_s: 10.0,
            most_per_s: 10_000.0,
            step_s: 10.0,
            precision: 0.03,
            most_rounds: 40,
        }
    }
}

/// A step, and what it says.
#[derive(Debug, Clone, Copy)]
struct Judged<'a> {
    done: &'a Done,
    verdict: Verdict,
    /// The same rate was tried again because it got better.
    is_outdated: bool,
    /// It was too short to tell anything, or nothing was due in it.
    is_unknown: bool,
    /// How long answers take, in seconds, as far as was known.
    takes_s: f64,
}

impl Judged<'_> {
    /// Whether it says something of the service as it is now.
    fn counts(&self) -> bool {
        !self.verdict.tainted && !self.is_outdated && !self.is_unknown
    }

    fn is_broken(&self) -> bool {
        self.verdict.broken > 0.5
    }
}

/// A step that is longer by less tells no more.
const LONGER: f64 = 1.5;

/// Of fewer requests none is left out as one to warm up.
const FEW: f64 = 20.0;

/// How many seconds a step takes at least where answers take so many: until they come, and as long again and again.
fn shortest_s(takes_s: f64) -> f64 {
    (3.0 * takes_s).ceil() + 1.0
}

/// What is known on the way.
#[derive(Debug, Default)]
struct Found<'a> {
    steps: Vec<Judged<'a>>,
    /// How long answers take of a service that is not busy, in seconds.
    takes_s: f64,
    /// It kept a rate again after it had got less through.
    has_recovered: bool,
    /// The lowest rate at which the generators set the pace.
    ceiling: Option<f64>,
    is_noise: bool,
    /// At some rate the first step was worse than the second.
    warms_up: bool,
    /// Why it stopped.
    trouble: Option<String>,
}

impl Found<'_> {
    /// The highest rate that kept the threshold, if none below broke it.
    fn kept(&self) -> Option<f64> {
        let steps = self.steps.iter().filter(|step| step.counts());
        kept(steps.map(|step| (step.done.rate(), step.is_broken())))
    }

    /// What was got through at a rate that was kept: less than that where all of it was answered only after the load.
    fn got_through(&self, kept: f64) -> f64 {
        let steps = self.steps.iter().filter(|step| step.counts() && !step.is_broken());
        let steps = steps.filter(|step| (step.done.rate() / kept - 1.0).abs() < 1e-6);
        steps.map(|step| step.verdict.got_through).fold(0.0, f64::max).min(kept)
    }

    /// Whether a rate just below was kept, and one just above broken.
    fn was_asked_beside(&self, estimate: &Estimate) -> bool {
        let reach = 1.5 * (estimate.high - estimate.low);
        let mut beside = [false, false];
        for step in self.steps.iter().filter(|step| step.counts()) {
            let rate = step.done.rate();
            beside[0] |= !step.is_broken() && rate > estimate.value - reach && rate < estimate.high;
            beside[1] |= step.is_broken() && rate < estimate.value + reach && rate > estimate.low;
        }
        beside == [true, true]
    }

    /// How often a rate was asked for, or one that is hardly another.
    fn asked_near(&self, rate: f64) -> usize {
        self.steps.iter().filter(|step| (step.done.rate() / rate - 1.0).abs() < 0.003).count()
    }

    /// What is known of the change from kept to broken, where there are both.
    fn known(&self) -> Option<Known> {
        let mut search = Search::default();
        for step in self.steps.iter().filter(|step| step.counts()) {
            search.note(step.done.rate(), step.verdict.broken);
            if let Some(limit) = step.verdict.limit {
                search.hint(limit);
            }
        }
        search.known()
    }
}

impl Probe for Capacity {
    type Answer = CapacityAnswer;

    fn outlook(&self) -> Outlook {
        let settings = self.bounded();
        let rounds = settings.most_rounds;
        let most = f64::from(rounds) * settings.most_per_s * settings.step_s;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let requests = most.min(1e18) as u64;
        // Pauses in which what has piled up is worked off are counted as a quarter more.
        let takes_s = f64::from(rounds) * (settings.step_s * 1.25 + 1.0);
        Outlook { rounds, requests, peak_per_s: settings.most_per_s, takes_s }
    }

    fn next(&self, history: &[Done]) -> Step {
        self.bounded().went(history).1
    }

    fn answer(&self, history: &[Done]) -> CapacityAnswer {
        let settings = self.bounded();
        let (found, _, spent) = settings.went(history);
        settings.told(&found, spent)
    }
}

impl Capacity {
    /// Within what makes sense.
    fn bounded(&self) -> Self {
        let most_per_s = bounded(self.most_per_s, 0.01, 1e7, 10_000.0);
        let step_s = bounded(self.step_s, 4.0, 600.0, 10.0).ceil();
        let latency =
            self.threshold.latency.filter(|limit| limit.within_ms > 0.0).map(|limit| LatencyLimit {
                share: bounded(limit.share, 0.01, 0.9999, 0.99),
                within_ms: bounded(limit.within_ms, 0.001, 1e7, 500.0),
            });
        Self {
            threshold: Threshold { latency, error_rate: bounded(self.threshold.error_rate, 0.0, 0.99, 0.01) },
            // In a step there is one request at least.
            start_per_s: bounded(self.start_per_s, 0.01, 1e6, 10.0).max(1.0 / step_s).min(most_per_s),
            most_per_s,
            step_s,
            precision: bounded(self.precision, 0.005, 0.3, 0.03),
            most_rounds: self.most_rounds.clamp(4, 200),
        }
    }

    fn went<'a>(&self, history: &'a [Done]) -> (Found<'a>, Step, crate::walk::Spent) {
        let (mut found, step, spent): (Found<'a>, _, _) =
            Walk::along(history, self.outlook(), |walk, found| self.walk(walk, found));
        if let Step::Stop(why) = &step {
            found.trouble = Some(why.clone());
        }
        (found, step, spent)
    }

    /// How long answers may take for the longest step to tell something.
    fn longest_s(&self) -> f64 {
        ((self.step_s - 1.0) / 3.0).floor()
    }

    /// The way: to warm up, to grow until it breaks, and to close in.
    fn walk<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        self.warm_up(walk, found)?;
        if !self.bracket(walk, found)? {
            return Ok(());
        }
        self.close_in(walk, found)
    }

    /// Sends a little, and again if that took so long that steps have to be longer: it may only have been cold.
    fn warm_up<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let half_s = (self.step_s / 2.0).ceil();
        let seconds = if self.start_per_s * half_s < 1.0 { self.step_s } else { half_s };
        for _ in 0..2 {
            let round = Round::rate(self.start_per_s, seconds).to("to warm up");
            let observed = &walk.send(round)?.observed;
            if let Some(why) = observed.trouble() {
                return Err(Step::Stop(why));
            }
            if observed.limited() > observed.good() {
                return Err(Step::Stop(
                    "most requests are turned away at the lowest rate already: look for the limit first"
                        .to_owned(),
                ));
            }
            let takes_s =
                |share| bounded(quantile(&observed.good_us, share).unwrap_or(0.0) / 1e6, 0.0, 1e6, 0.0);
            found.takes_s = takes_s(0.5);
            if shortest_s(found.takes_s) <= self.step_s {
                found.takes_s = takes_s(0.9).min(self.longest_s());
                return Ok(());
            }
        }
        Err(Step::Stop(format!(
            "answers take {} s, so steps of {} s are too short to tell anything: allow {} s and more (`--set step_s={}`)",
            digits(found.takes_s),
            digits(self.step_s),
            shortest_s(found.takes_s),
            shortest_s(found.takes_s),
        )))
    }

    /// From a rate that is kept to one that is not; whether there are both.
    fn bracket<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<bool, Step> {
        let mut rate = self.start_per_s;
        loop {
            let mut verdict = self.step(walk, found, rate, true)?;
            for _ in 0..REPEATS {
                if verdict.broken <= 0.5 || !verdict.may_pass || verdict.tainted {
                    break;
                }
                let before = found.steps.len().saturating_sub(1);
                let again = self.step(walk, found, rate, true)?;
                let gets_better = again.severity < 0.8 * verdict.severity;
                if let (true, Some(step)) = (gets_better, found.steps.get_mut(before)) {
                    step.is_outdated = true;
                }
                found.warms_up |= again.broken <= 0.5;
                verdict = again;
                if !gets_better {
                    break;
                }
            }
            if verdict.tainted {
                // Between what was kept and what the generators cannot make there may be a rate that they can.
                let kept = found.kept().unwrap_or(rate / GROWTH);
                if rate / kept < 1.2 || found.steps.iter().filter(|step| step.verdict.tainted).count() > 3 {
                    return Ok(false);
                }
                rate = (rate * kept).sqrt();
            } else if verdict.broken > 0.5 {
                if let Some(kept) = found.kept() {
                    self.is_alive(walk, found, kept, &verdict)?;
                }
                break;
            } else if rate >= self.most_per_s || found.ceiling.is_some_and(|ceiling| rate * 1.2 > ceiling) {
                return Ok(false);
            } else {
                let next = found.ceiling.map_or(rate * GROWTH, |ceiling| (rate * ceiling).sqrt());
                rate = next.min(self.most_per_s);
            }
        }
        for _ in 0..HALVINGS {
            rate /= GROWTH;
            if found.kept().is_some() || rate * self.step_s < 1.0 {
                break;
            }
            self.step(walk, found, rate, true)?;
        }
        Ok(found.kept().is_some())
    }

    /// Asks where it is least certain until it is certain enough.
    fn close_in<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        while walk.left() > 0 && self.has_time(found) {
            let Some(known) = found.known().filter(|known| known.gain > 0.0 || found.steps.len() < PATIENCE)
            else {
                found.is_noise = true;
                return Ok(());
            };
            let is_close = known.estimate().is_some_and(|estimate| {
                estimate.width() <= 2.0 * self.precision && found.was_asked_beside(&estimate)
            });
            if is_close && known.gain > 0.0 {
                return Ok(());
            }
            let rate = self.least_certain(found, &known).clamp(self.start_per_s / 256.0, self.most_per_s);
            let kept = found.kept();
            let verdict = self.step(walk, found, rate, false)?;
            let last = found.steps.iter().rev().take(TAINTED);
            if last.filter(|step| step.verdict.tainted).count() == TAINTED {
                // The generators have other things to do.
                return Ok(());
            }
            if let Some(kept) = kept {
                self.is_alive(walk, found, kept, &verdict)?;
            }
        }
        Ok(())
    }

    /// Whether a step, and a longer one, can end before what was announced has passed.
    fn has_time(&self, found: &Found<'_>) -> bool {
        let took_s =
            |step: &Judged<'_>| step.done.observed.rested_s() + step.done.observed.seconds.len() as f64;
        let longest_s = found.steps.iter().map(took_s).fold(self.step_s, f64::max);
        found.steps.iter().map(took_s).sum::<f64>() + 4.0 * longest_s <= self.outlook().takes_s
    }

    /// Asks once more for a rate that was kept where the last step got less through: whatever has not recovered from more
    /// is left alone.
    fn is_alive<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        kept: f64,
        last: &Verdict,
    ) -> Result<(), Step> {
        let before = found.got_through(kept);
        let is_less = last.gets_less_through(before) && !found.has_recovered;
        if last.may_be_the_generators() || (!is_less && !last.gets_far_less_through(before)) {
            return Ok(());
        }
        let from = found.steps.len().saturating_sub(1);
        // Where it is only a little less it is asked for longer too.
        for is_short in [true, false] {
            let again = self.step(walk, found, kept, is_short)?;
            if again.may_be_the_generators() {
                return Ok(());
            }
            if !again.gets_less_through(before) {
                found.has_recovered = true;
                return Ok(());
            }
            if again.gets_far_less_through(before) {
                break;
            }
        }
        // What it does not answer now says nothing of what it can take, and neither does what it got through on the way.
        found.steps.iter_mut().skip(from).for_each(|step| step.is_outdated = true);
        found.steps.iter_mut().for_each(|step| step.verdict.limit = None);
        Err(Step::Stop(format!(
            "it no longer answers {} requests a second, which it did before: it has not recovered from more",
            digits(kept)
        )))
    }

    /// Just below and just above what it got through when it was asked for more, while that is not certain; or the middle
    /// of what is left.
    fn least_certain(&self, found: &Found<'_>, known: &Known) -> f64 {
        let limits = found.steps.iter().rev().filter_map(|step| step.verdict.limit);
        let within = (known.quantile(0.02) * 0.98, known.quantile(0.98) * 1.02);
        for limit in limits.take(3).filter(|limit| (within.0..within.1).contains(limit)) {
            let (below, above) = (limit * (1.0 - self.precision * 0.7), limit * (1.0 + self.precision * 0.7));
            let is_open = |rate: f64| (0.1..0.9).contains(&known.before(rate)) && found.asked_near(rate) < 2;
            if is_open(below) {
                return below;
            }
            if is_open(above) {
                return above;
            }
        }
        // Where the answer is maybe, asking again tells less than asking beside it.
        let middle = known.quantile(0.5);
        match found.asked_near(middle) {
            0 | 1 => middle,
            often if often % 2 == 0 => known.quantile(0.25),
            _ => known.quantile(0.75),
        }
    }

    /// One step at a rate, and a longer one if that was too short to tell.
    fn step<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        rate: f64,
        is_short: bool,
    ) -> Result<Verdict, Step> {
        let percentile = self.threshold.latency.map_or(0.9, |limit| limit.share);
        // A step needs as many requests as its percentile is worth; while the rate grows, a few.
        let (least, shortest) = if is_short { (2.0, 4.0) } else { (16.0, 2.0) };
        let shortest_s = (self.step_s / shortest).max(shortest_s(found.takes_s)).min(self.step_s);
        let seconds = (least / (1.0 - percentile) / rate).clamp(shortest_s, self.step_s).ceil();
        let verdict = self.send(walk, found, rate, seconds)?;
        let longer_s = verdict.would_tell_s.map_or(0.0, |longer_s| longer_s.min(self.step_s));
        if verdict.tainted || longer_s < LONGER * seconds {
            return Ok(verdict);
        }
        if let Some(step) = found.steps.last_mut() {
            step.is_unknown = true;
        }
        let again = self.send(walk, found, rate, longer_s)?;
        if again.broken <= 0.5 {
            // It was no line that had grown, but answers that had not come yet.
            found.takes_s = found.takes_s.max(again.took_s.min(self.longest_s()));
        }
        Ok(again)
    }

    /// One step at a rate for so long.
    fn send<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        rate: f64,
        seconds: f64,
    ) -> Result<Verdict, Step> {
        let idle_s = found.steps.last().map_or(0.0, |step| step.verdict.drains_s);
        let mut round = Round::rate(rate, seconds).after(idle_s);
        // Where there are few requests each counts.
        round.warm_s = if rate * seconds < FEW { 0.0 } else { (seconds / 4.0).floor().min(2.0) };
        let (done, takes_s) = (walk.send(round)?, found.takes_s);
        let verdict = judge::judge(&self.threshold, takes_s, done);
        let is_unknown = done.sent() == 0;
        found.steps.push(Judged { done, verdict, is_outdated: false, is_unknown, takes_s });
        if verdict.tainted {
            found.ceiling = Some(found.ceiling.map_or(done.rate(), |ceiling| ceiling.min(done.rate())));
        }
        Ok(verdict)
    }
}
