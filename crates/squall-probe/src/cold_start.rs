//! How bad are its cold starts: how many, how much longer, after how long a pause, and what becomes of who waits.
//!
//! The method is that of Ustiugov, Amariucai and Grot, "Analyzing Tail Latency in Serverless Clouds with `STeLLAR`" (IISWC
//! 2021): single requests and bursts on new connections, shortly after each other and after pauses that no instance
//! survives; tails over medians; and for the queueing policy bursts to a function that takes long. How long instances are
//! kept is found by bisection over pauses, a burst at a time, so that one pause tests several instances.

mod answer;
mod kinds;
mod log;
mod queueing;

use serde::{Deserialize, Serialize};

use crate::estimate::{bounded, quantile};
use crate::probe::{Done, Outlook, Probe, Step};
use crate::round::{Connections, Load, Round};
use crate::search::Search;
use crate::walk::{Spent, Walk};

pub use answer::{ColdPoint, ColdStartAnswer, GapPoint, Spread, When};
use kinds::Kinds;
pub use log::{Beside, ColdStartLog, Invocation, LoggedRound, RoundTime, StartPoint};
pub use queueing::Queueing;

/// A pause that every instance survives.
const SHORT_S: f64 = 2.0;

/// By which factor pauses grow until instances are gone.
const GROWTH: f64 = 2.0;

/// So many instances are tested at a time, where each request has its own.
const TESTED: u32 = 10;

/// So many pauses at most to close in.
const PAUSES: usize = 10;

/// And so many while pauses grow, or are tried again.
const GROWING: usize = 36;

/// So many answers at most tell what a warm one is like, and no more a second.
const WARM: u32 = 200;

/// Of so many requests one more or less is no more than two points of a share.
const ENOUGH: u32 = 60;

/// A burst of fewer says nothing of queues.
const CROWD: u32 = 20;

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColdStart {
    /// How many requests come at once, ascending; 1 is always among them.
    pub sizes: Vec<u32>,
    /// The first pause.
    pub shortest_gap_s: f64,
    /// No pause is longer.
    pub longest_gap_s: f64,
    /// No more requests are sent a second, if that is bounded, and none of the sizes is larger.
    pub most_per_s: Option<f64>,
    /// How long the function itself takes, if that is known: what is much quicker comes from a cache.
    pub expected_ms: Option<f64>,
    /// How often each measurement is repeated.
    pub repeats: u32,
    /// Half the width of the interval that is wanted, as a share of the time that instances are kept.
    pub precision: f64,
}

impl Default for ColdStart {
    fn default() -> Self {
        Self {
            sizes: vec![1, 10, 100],
            shortest_gap_s: 10.0,
            longest_gap_s: 1_200.0,
            most_per_s: None,
            expected_ms: None,
            repeats: 3,
            precision: 0.05,
        }
    }
}

/// A burst, and why it was sent.
#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    done: &'a Done,
    size: u32,
    when: When,
}

impl Sent<'_> {
    /// Whether it came at once: where the generators set the pace, later ones find what earlier ones have left.
    fn came_at_once(&self) -> bool {
        !self.done.observed.tainted
    }
}

/// What is known on the way.
#[derive(Debug, Default)]
struct Found<'a> {
    /// One request after the other.
    warm: Option<&'a Done>,
    bursts: Vec<Sent<'a>>,
    /// Whether every pause was survived, though none was longer.
    outlives: bool,
    untold: Vec<String>,
}

impl<'a> Found<'a> {
    /// How long an answer takes that waits for nothing, in microseconds, as a median.
    fn warm_us(&self) -> Option<f64> {
        quantile(&self.warm?.observed.good_us, 0.5).filter(|us| *us > 0.0)
    }

    /// Bursts that came at once, which alone say anything.
    fn whole(&self) -> impl DoubleEndedIterator<Item = &Sent<'a>> {
        self.bursts.iter().filter(|sent| sent.came_at_once())
    }

    fn of(&self, size: u32, when: When) -> impl Iterator<Item = &Sent<'a>> {
        self.whole().filter(move |sent| sent.size == size && sent.when == when)
    }

    /// Which answers are warm and which are cold, by those that waited for nobody.
    fn kinds(&self) -> Option<Kinds> {
        let warm = self.warm?;
        let alone = self.whole().filter(|sent| self.waits_for_none(sent));
        Kinds::of(&warm.observed.good_us, alone.map(|sent| &sent.done.observed.good_us[..]))
    }

    /// Whether most of the last burst was cold; `None` if it says nothing.
    fn was_last_cold(&self) -> Option<bool> {
        let last = self.bursts.last().filter(|sent| sent.came_at_once())?;
        Some(self.kinds()?.cold_share(&last.done.observed.good_us)? > 0.5)
    }

    /// What is known of the time that instances are kept.
    fn kept(&self) -> Search {
        let mut search = Search::default();
        let Some(kinds) = self.kinds() else { return search };
        for sent in self.whole().filter(|sent| sent.when == When::Gap) {
            let (idle_s, pairs) = (sent.done.observed.rested_s(), &sent.done.observed.good_us);
            if let Some(share) = kinds.cold_share(pairs) {
                if sent.size == 1 {
                    search.note(idle_s, pairs.first().map_or(share, |pair| kinds.chance(pair.0)));
                } else {
                    // Instances of one burst go together: many count little more than one.
                    search.note_share(idle_s, share, 2.0);
                }
            }
        }
        search
    }
}

impl Probe for ColdStart {
    type Answer = ColdStartAnswer;

    fn outlook(&self) -> Outlook {
        let settings = self.bounded();
        let repeats = f64::from(settings.repeats);
        let takes_s = settings.expected_ms.unwrap_or(1_000.0) / 1_000.0;
        let bursts: f64 =
            settings.sizes.iter().map(|size| f64::from(*size) * f64::from(settings.often(*size) + 2)).sum();
        let largest = f64::from(settings.largest());
        let tested = largest.min(f64::from(TESTED));
        let requests = f64::from(WARM + 1)
            + bursts
            + (2.0 * largest + 1.0) * repeats
            + tested * (GROWING + PAUSES) as f64;
        // Pauses that double take twice as long as the last one.
        let pauses_s = settings.longest_gap_s * (6.0 + PAUSES as f64 + 2.0 * repeats);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let (requests, rounds) = (requests as u64, settings.rounds() as u32);
        let warm_s = (10.0 / settings.warm_per_s()).max(60.0);
        let takes_s = pauses_s + f64::from(rounds) * (SHORT_S + 2.0 * takes_s + 1.0) + warm_s;
        Outlook { rounds, requests, peak_per_s: largest.max(settings.warm_per_s()), takes_s }
    }

    fn next(&self, history: &[Done]) -> Step {
        self.bounded().went(history).1
    }

    fn answer(&self, history: &[Done]) -> ColdStartAnswer {
        let settings = self.bounded();
        let (found, step, spent) = settings.went(history);
        settings.told(&found, &step, spent)
    }
}

impl ColdStart {
    /// Within what makes sense.
    fn bounded(&self) -> Self {
        let mut sizes: Vec<u32> = self.sizes.iter().take(8).map(|size| (*size).clamp(1, 100_000)).collect();
        let most_per_s = self.most_per_s.map(|most| bounded(most, 0.01, 1e6, 1e6));
        sizes.retain(|size| most_per_s.is_none_or(|most| f64::from(*size) <= most));
        sizes.push(1);
        sizes.sort_unstable();
        sizes.dedup();
        let shortest_gap_s = bounded(self.shortest_gap_s, 3.0, 3_600.0, 10.0);
        Self {
            sizes,
            shortest_gap_s,
            longest_gap_s: bounded(self.longest_gap_s, shortest_gap_s, 86_400.0, 1_200.0),
            most_per_s,
            expected_ms: self.expected_ms.filter(|ms| ms.is_finite() && *ms > 0.0).map(|ms| ms.min(1e6)),
            repeats: self.repeats.clamp(1, 100),
            precision: bounded(self.precision, 0.01, 0.3, 0.05),
        }
    }

    fn largest(&self) -> u32 {
        self.sizes.last().copied().unwrap_or(1)
    }

    /// How many are sent a second at most, one after the other.
    fn warm_per_s(&self) -> f64 {
        self.most_per_s.map_or(f64::from(WARM), |most| most.min(f64::from(WARM)))
    }

    /// How often a burst follows one of as many: small ones twice as often if that takes no more than a share needs.
    fn often(&self, size: u32) -> u32 {
        ENOUGH.div_ceil(size.max(1)).clamp(self.repeats, 2 * self.repeats)
    }

    fn rounds(&self) -> usize {
        let often: u32 = self.sizes.iter().map(|size| self.often(*size) + 2).sum();
        2 + often as usize + GROWING + PAUSES + 3 * self.repeats as usize
    }

    fn went<'a>(&self, history: &'a [Done]) -> (Found<'a>, Step, Spent) {
        Walk::along(history, self.outlook(), |walk, found| self.walk(walk, found))
    }

    /// The way: warm ones, bursts shortly after each other, how long instances are kept, and bursts that find none.
    fn walk<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let first = Self::burst(walk, found, 1, 0.0, When::First)?;
        let takes_s = quantile(&first.observed.good_us, 0.5).unwrap_or(1e6) / 1e6;
        let every_s = 1.0 / self.warm_per_s();
        // As long as a few dozen take, if that is no minute, and at least a few.
        let seconds = (30.0 * takes_s.max(every_s)).clamp(3.0, 60.0).max(10.0 * every_s).ceil();
        let mut round = Round::users(1, seconds);
        round.load = Load::Users { users: 1, seconds: round.lasts_s(), each: Some(WARM), every_s };
        round.connections = Connections::New;
        let warm = walk.send(round.after(1.0))?;
        if let Some(why) = warm.observed.trouble() {
            return Err(Step::Stop(why));
        }
        found.warm = Some(warm);
        if every_s > SHORT_S {
            found.untold.push(format!(
                "how quick an instance is that is there: with {} s from one request to the next it may be gone",
                crate::estimate::digits(every_s)
            ));
        }
        self.is_function(found)?;
        for size in self.sizes.iter().copied().filter(|size| *size > 1) {
            Self::burst(walk, found, size, SHORT_S, When::First)?;
            for _ in 0..self.often(size) {
                Self::burst(walk, found, size, SHORT_S, When::Short)?;
            }
            if found.queues() == Some(true) {
                // Where requests wait, it is the next burst that tells how many instances the last one has started.
                Self::burst(walk, found, size, SHORT_S, When::Count)?;
            }
        }
        self.keep_alive(walk, found)?;
        self.cold(walk, found)
    }

    /// Answers that are much quicker than the function come from elsewhere.
    fn is_function(&self, found: &Found<'_>) -> Result<(), Step> {
        let (Some(expected_ms), Some(warm_us)) = (self.expected_ms, found.warm_us()) else { return Ok(()) };
        if warm_us < 500.0 * expected_ms {
            return Err(Step::Stop(format!(
                "answers take {} ms, and the function {}: they come from a cache, or from something else",
                crate::estimate::digits(warm_us / 1_000.0),
                crate::estimate::digits(expected_ms)
            )));
        }
        Ok(())
    }

    fn burst<'a>(
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        size: u32,
        idle_s: f64,
        when: When,
    ) -> Result<&'a Done, Step> {
        let mut round = Round::burst(size).after(idle_s).to(when.purpose());
        round.connections = Connections::New;
        let done = walk.send(round)?;
        if let Some(why) = done.observed.trouble() {
            return Err(Step::Stop(why));
        }
        if done.observed.good() == 0 {
            return Err(Step::Stop("every request is turned away: look for the limit first".to_owned()));
        }
        found.bursts.push(Sent { done, size, when });
        Ok(done)
    }

    /// How many instances a pause tests: one where requests wait for each other or may do so, for then only one is sure to
    /// be asked.
    fn tested(&self, found: &Found<'_>) -> u32 {
        if found.queues() == Some(false) { self.largest().min(TESTED) } else { 1 }
    }

    /// Pauses that grow until instances are gone, and then close in.
    fn keep_alive<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let size = self.tested(found);
        let mut gap_s = self.shortest_gap_s;
        let mut left = PAUSES;
        for _ in 0..3 {
            match self.grow(walk, found, size, gap_s)? {
                Some(true) => {}
                survived => {
                    found.outlives = survived == Some(false);
                    return Ok(());
                }
            }
            // The first pause may have been too long already.
            let mut shorter_s = gap_s / GROWTH;
            while found.kept().known().is_none() && shorter_s >= 1.0 {
                Self::burst(walk, found, size, shorter_s, When::Gap)?;
                shorter_s /= GROWTH;
            }
            while left > 0 {
                left -= 1;
                let Some(known) = found.kept().known() else { return Ok(()) };
                if known.estimate().is_some_and(|estimate| estimate.width() <= 2.0 * self.precision) {
                    break;
                }
                let gap_s = known.quantile(0.5).clamp(0.5, self.longest_gap_s);
                let near = |sent: &&Sent<'_>| (sent.done.observed.rested_s() / gap_s - 1.0).abs() < 0.005;
                if found.bursts.iter().filter(|sent| sent.when == When::Gap).filter(near).count() >= 3 {
                    // Some are gone and some are not, whatever the pause: no more will be known.
                    break;
                }
                Self::burst(walk, found, size, gap_s, When::Gap)?;
            }
            // Whoever is gone after a pause is gone after a longer one: otherwise it was chance.
            let Some(kept) = found.kept().known().and_then(|known| known.estimate()) else { return Ok(()) };
            let longer_s = (1.2 * kept.high).min(self.longest_gap_s);
            Self::burst(walk, found, size, longer_s, When::Gap)?;
            if found.was_last_cold() != Some(false) {
                return Ok(());
            }
            gap_s = (GROWTH * kept.high).min(self.longest_gap_s);
        }
        Ok(())
    }

    /// Pauses that grow until instances are gone; whether they are, if the longest one tells.
    fn grow<'a>(
        &self,
        walk: &mut Walk<'a>,
        found: &mut Found<'a>,
        size: u32,
        from_s: f64,
    ) -> Result<Option<bool>, Step> {
        let mut gap_s = from_s;
        loop {
            Self::burst(walk, found, size, gap_s, When::Gap)?;
            let mut is_cold = found.was_last_cold();
            if is_cold == Some(true) && size == 1 {
                // One slow answer may be chance.
                Self::burst(walk, found, size, gap_s, When::Gap)?;
                is_cold = found.was_last_cold();
            }
            if is_cold == Some(true) || gap_s >= self.longest_gap_s {
                return Ok(is_cold);
            }
            gap_s = (gap_s * GROWTH).min(self.longest_gap_s);
        }
    }

    /// Single requests and the largest burst after pauses that no instance survives.
    fn cold<'a>(&self, walk: &mut Walk<'a>, found: &mut Found<'a>) -> Result<(), Step> {
        let kept = found.kept().known().and_then(|known| known.estimate());
        let shortest = found.shortest_cold_s();
        let Some(high) = kept.map(|kept| kept.high).or(shortest).filter(|_| !found.outlives) else {
            return Ok(());
        };
        let gap_s = (1.1 * high).min(self.longest_gap_s);
        let largest = self.largest();
        for _ in 0..self.repeats {
            Self::burst(walk, found, 1, gap_s, When::Long)?;
            if largest > 1 {
                Self::burst(walk, found, largest, gap_s, When::Long)?;
                // How many instances there are now.
                Self::burst(walk, found, largest, SHORT_S, When::Count)?;
            }
        }
        Ok(())
    }
}
