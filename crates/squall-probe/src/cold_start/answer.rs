//! What is said of cold starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::Kinds;
use super::log::ColdStartLog;
use super::queueing::{Queueing, Queues};
use super::{ColdStart, Found, Sent};
use crate::estimate::{Estimate, above, count, digits, quantile, together};
use crate::probe::Step;
use crate::walk::Spent;

/// How bad cold starts are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColdStartAnswer {
    /// After how many seconds without requests an instance is gone.
    pub keep_alive_s: Option<Estimate>,
    /// The longest pause that every tested instance survived.
    pub warm_after_s: Option<f64>,
    /// The shortest pause after which most were gone.
    pub cold_after_s: Option<f64>,
    /// How long an answer takes of an instance that is there, as a median.
    pub warm_ms: Option<Estimate>,
    /// How long one takes of an instance that has to be started, as a median.
    pub cold_ms: Option<Estimate>,
    /// How much longer that is.
    pub added_ms: Option<Estimate>,
    /// How cold ones are distributed.
    pub cold: Option<Spread>,
    /// What becomes of requests that find all instances at work.
    pub queueing: Option<Queueing>,
    /// How many requests an instance takes, where few wait at it.
    pub per_instance: Option<Estimate>,
    /// How many instances a burst starts at once.
    pub started_at_once: Option<Estimate>,
    /// How many are added a second, where they are added slowly.
    pub started_per_s: Option<Estimate>,
    /// What became of bursts by size and by when they came, as in `STeLLAR`'s tables.
    pub bursts: Vec<ColdPoint>,
    /// Which share was cold after each pause, ascending.
    pub gaps: Vec<GapPoint>,
    /// What the function's own log says, where it was read.
    #[serde(default)]
    pub log: Option<ColdStartLog>,
    /// What was sent.
    pub spent: Spent,
    /// What could not be told, and why.
    pub untold: Vec<String>,
    /// What to do about it.
    pub advice: String,
}

/// How answers are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten took no longer.
    pub p90_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// The 99th percentile over the median; above ten the tail is a problem.
    pub tail_to_median: f64,
}

/// When a burst came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// For the first time: after fewer, or after nothing.
    First,
    /// Shortly after as many.
    Short,
    /// After a pause that tests how long instances are kept.
    Gap,
    /// After a pause that none survives.
    Long,
    /// Shortly after another one, to count the instances that it has started.
    Count,
}

impl When {
    pub(super) fn purpose(self) -> &'static str {
        match self {
            Self::First => "for the first time",
            Self::Short => "shortly after as many",
            Self::Gap => "to see who is still there",
            Self::Long => "when none is there",
            Self::Count => "to count instances",
        }
    }
}

/// Bursts of a size, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColdPoint {
    /// How many requests came at once.
    pub size: u32,
    /// When.
    pub when: When,
    /// After how many seconds without requests, as a mean.
    pub gap_s: f64,
    /// How often.
    pub rounds: u32,
    /// For which share of requests an instance was started; where it cannot be seen whether requests wait for each other,
    /// which share took as long as that.
    pub cold_share: Option<Estimate>,
    /// How long they took.
    pub took: Option<Spread>,
}

/// A pause, and how many instances did not survive it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GapPoint {
    /// How long it was.
    pub gap_s: f64,
    /// How many instances were tested.
    pub tested: u32,
    /// The share of those that were gone.
    pub cold_share: f64,
}

impl Spread {
    pub(super) fn of(pairs: &[(u64, u64)]) -> Option<Self> {
        let at = |share| quantile(pairs, share).map(|us| us / 1_000.0);
        let (p50_ms, p99_ms) = (at(0.5)?, at(0.99)?);
        Some(Self {
            count: count(pairs),
            p50_ms,
            p90_ms: at(0.9)?,
            p99_ms,
            max_ms: at(1.0)?,
            tail_to_median: p99_ms / p50_ms.max(1e-3),
        })
    }
}

impl<'a> Found<'a> {
    /// Pauses, and which share was gone after each.
    fn gaps(&self) -> Vec<GapPoint> {
        let Some(kinds) = self.kinds() else { return Vec::new() };
        let tests = self.whole().filter(|sent| sent.when == When::Gap);
        let points = tests.filter_map(|sent| {
            let observed = &sent.done.observed;
            let cold_share = kinds.cold_share(&observed.good_us)?;
            Some(GapPoint { gap_s: observed.rested_s(), tested: sent.size, cold_share })
        });
        let mut points: Vec<GapPoint> = points.collect();
        points.sort_by(|one, other| one.gap_s.total_cmp(&other.gap_s));
        points
    }

    /// The shortest pause after which most were gone, and of all longer ones after most.
    pub(super) fn shortest_cold_s(&self) -> Option<f64> {
        let gaps = self.gaps();
        let is_first = |place: usize| {
            let longer = gaps.get(place..).unwrap_or(&[]);
            let cold = longer.iter().filter(|gap| gap.cold_share > 0.5).count();
            gaps.get(place).is_some_and(|gap| gap.cold_share > 0.5) && cold * 3 > longer.len() * 2
        };
        (0..gaps.len()).find(|place| is_first(*place)).and_then(|place| gaps.get(place)).map(|gap| gap.gap_s)
    }

    /// Whether many answers were cold after a pause, or at first: a slow one now and then is something else.
    fn has_cold(&self, kinds: &Kinds) -> bool {
        let after_pause = |sent: &&Sent<'_>| match sent.when {
            When::First => sent.size > 1,
            When::Gap | When::Long => true,
            When::Short | When::Count => false,
        };
        let shares = self.whole().filter(after_pause);
        let shares =
            shares.filter_map(|sent| Some((sent.size, kinds.cold_share(&sent.done.observed.good_us)?)));
        let many: Vec<u32> = shares.filter(|(_, share)| *share > 0.3).map(|(size, _)| size).collect();
        many.len() > 1 || many.iter().any(|size| *size > 4)
    }

    /// Answers of instances that had to be started, and of nothing else.
    pub(super) fn cold_us(&self, queues: Option<&Queues>) -> Vec<(u64, u64)> {
        let Some(kinds) = self.kinds().filter(|kinds| self.has_cold(kinds)) else { return Vec::new() };
        let alone = self.whole().filter(|sent| self.waits_for_none(sent));
        let cold = |pair: &&(u64, u64)| pair.0 as f64 > kinds.cut_us;
        let mut cold: Vec<(u64, u64)> =
            alone.flat_map(|sent| &sent.done.observed.good_us).filter(cold).copied().collect();
        // Where each instance takes a few, those that are answered first waited for nothing else.
        if queues.is_some_and(|queues| queues.policy == Queueing::Bounded) {
            for pair in self.pairs().iter().filter(|pair| pair.cold.when == When::Long) {
                let share = self.first_share(&pair.then).unwrap_or(0.0);
                let pairs = &pair.cold.done.observed.good_us;
                let mut left = (share * count(pairs) as f64).round();
                for (us, many) in pairs {
                    let first = (*many as f64).min(left);
                    left -= first;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "no more than there are"
                    )]
                    cold.extend((first > 0.0).then_some((*us, first as u64)));
                }
            }
        }
        cold.sort_unstable();
        cold
    }

    /// For which share of requests an instance was started: those that took as long as that; where they wait for each
    /// other, how many more instances the next burst finds.
    fn cold_share(&self, size: u32, when: When) -> Option<Estimate> {
        let bursts: Vec<&Sent<'a>> = self.of(size, when).collect();
        let all: f64 = bursts.iter().map(|sent| count(&sent.done.observed.good_us) as f64).sum();
        if self.queues() != Some(true) || size == 1 {
            let kinds = self.kinds()?;
            let of = |sent: &Sent<'_>| {
                let pairs = &sent.done.observed.good_us;
                Some(kinds.cold_share(pairs)? * count(pairs) as f64)
            };
            let cold: f64 = bursts.iter().filter_map(|sent| of(sent)).sum();
            return Estimate::share(cold, all);
        }
        // Of each burst and the next one like it: how many instances there were before, and after.
        let mut started = (0.0, 0.0);
        for pair in self.bursts.windows(2).filter(|pair| pair[0].size == size && pair[1].size == size) {
            let follows = matches!(pair[1].when, When::Short | When::Count);
            if pair[0].when != when || !follows || !pair.iter().all(Sent::came_at_once) {
                continue;
            }
            let before = match when {
                When::Long => 0.0,
                When::Short => self.first_share(&pair[0])?,
                When::First | When::Gap | When::Count => return None,
            };
            let many = count(&pair[0].done.observed.good_us) as f64;
            started.0 += (self.first_share(&pair[1])? - before).max(0.0) * many;
            started.1 += many;
        }
        Estimate::share(started.0, started.1)
    }

    fn point(&self, size: u32, when: When) -> Option<ColdPoint> {
        let bursts: Vec<&Sent<'a>> = self.of(size, when).collect();
        let rounds = u32::try_from(bursts.len()).ok().filter(|rounds| *rounds > 0)?;
        let gap_s = bursts.iter().map(|sent| sent.done.observed.rested_s()).sum::<f64>() / f64::from(rounds);
        let took = together(bursts.iter().map(|sent| &sent.done.observed.good_us[..]));
        Some(ColdPoint {
            size,
            when,
            gap_s,
            rounds,
            cold_share: self.cold_share(size, when),
            took: Spread::of(&took),
        })
    }

    /// The table: single requests one after the other first.
    fn points(&self, sizes: &[u32]) -> Vec<ColdPoint> {
        let mut points = Vec::new();
        if let Some(warm) = self.warm {
            let pairs = &warm.observed.good_us;
            let cold = self.kinds().map(|kinds| above(pairs, kinds.cut_us) as f64);
            points.push(ColdPoint {
                size: 1,
                when: When::Short,
                gap_s: 0.0,
                rounds: 1,
                cold_share: cold.and_then(|cold| Estimate::share(cold, count(pairs) as f64)),
                took: Spread::of(pairs),
            });
        }
        for size in sizes {
            let whens = [When::First, When::Short, When::Long, When::Count];
            points.extend(whens.into_iter().filter_map(|when| self.point(*size, when)));
        }
        points
    }
}

impl ColdStart {
    pub(super) fn told(&self, found: &Found<'_>, step: &Step, spent: Spent) -> ColdStartAnswer {
        let queues = found.queueing();
        let cold_us = found.cold_us(queues.as_ref());
        let known = found.kept().known().filter(|known| known.gain > -0.5);
        let gaps = found.gaps();
        let cold_after_s = found.shortest_cold_s();
        let warm_after_s = gaps
            .iter()
            .take_while(|gap| cold_after_s.is_none_or(|cold_s| gap.gap_s < cold_s))
            .filter(|gap| gap.cold_share < 0.05)
            .map(|gap| gap.gap_s)
            .last();
        let keep_alive_s = known
            .and_then(|known| known.estimate())
            .filter(|_| cold_after_s.is_some() && warm_after_s.is_some())
            .filter(|estimate| estimate.width() < 1.5);
        let warm_ms = found.warm.and_then(|warm| Estimate::median(&warm.observed.good_us, 1e-3));
        let cold_ms = few(&cold_us);
        let added_ms = cold_ms.zip(warm_ms).and_then(|(cold, warm)| {
            Estimate::between(cold.low - warm.high, cold.value - warm.value, cold.high - warm.low)
        });
        let mut answer = ColdStartAnswer {
            keep_alive_s,
            warm_after_s,
            cold_after_s,
            warm_ms,
            cold_ms,
            added_ms,
            cold: Spread::of(&cold_us),
            queueing: queues.map(|queues| queues.policy),
            per_instance: queues.and_then(|queues| queues.per_instance),
            started_at_once: queues.and_then(|queues| queues.at_once),
            started_per_s: queues.and_then(|queues| queues.per_s),
            bursts: found.points(&self.sizes),
            gaps,
            log: None,
            spent,
            untold: Vec::new(),
            advice: String::new(),
        };
        answer.untold = self.untold(found, step, &answer);
        answer.advice = advice(found, step, &answer);
        answer
    }

    fn untold(&self, found: &Found<'_>, step: &Step, answer: &ColdStartAnswer) -> Vec<String> {
        let mut untold = found.untold.clone();
        if let Step::Stop(why) = step {
            untold.push(why.clone());
        }
        if found.bursts.is_empty() {
            untold.push("anything: no round has ended yet".to_owned());
            return untold;
        }
        let is_over = *step == Step::Enough;
        if found.warm.is_some() && found.kinds().is_none() {
            untold.push(
                "cold starts: answers of the same kind differ too much for two kinds to be told apart"
                    .to_owned(),
            );
        } else if found.outlives && answer.cold.is_none() {
            let longer = found.kinds().zip(found.warm_us());
            let longer = longer.map_or(0.0, |(kinds, warm_us)| (kinds.cut_us - warm_us) / 1_000.0);
            untold.push(format!(
                "cold starts: after {} s without requests answers are as quick as ever, or not more than {} ms slower, which chance does too; instances are kept for longer or always there, or answers come from a cache",
                digits(self.longest_gap_s),
                digits(longer)
            ));
        } else if found.kinds().is_some_and(|kinds| kinds.overlap()) {
            untold.push(
                "which single answers were cold: a cold start is hardly longer than what answers differ by"
                    .to_owned(),
            );
        }
        if found.outlives && answer.cold.is_some() {
            untold.push(format!("how long instances are kept: longer than {} s", digits(self.longest_gap_s)));
        } else if is_over && answer.keep_alive_s.is_none() {
            let shortest =
                answer.cold_after_s.map_or_else(String::new, |s| format!(": less than {} s", digits(s)));
            untold.push(format!("how long instances are kept{shortest}"));
        }
        if is_over && answer.queueing.is_none() {
            untold.push(if self.largest() < super::CROWD {
                "the queueing policy: that takes bursts of 20 or more".to_owned()
            } else if found.shows_queues() {
                "the queueing policy: no burst found too few instances, or too few were started to tell, or bursts do not agree; larger ones tell more".to_owned()
            } else {
                "the queueing policy: only requests that take long, and about as long each time, show who waits for whom; ask for something that takes a second".to_owned()
            });
        }
        let beyond = found.bursts.iter().filter(|sent| sent.done.observed.dropped() > 0);
        if let Some(sent) = beyond.max_by_key(|sent| sent.size) {
            let sent_at_once = u64::from(sent.size).saturating_sub(sent.done.observed.dropped());
            untold.push(format!(
                "bursts of {}: the generators cannot send more than {sent_at_once} at once",
                sent.size
            ));
        }
        let late = found.bursts.iter().filter(|sent| !sent.came_at_once()).count();
        if late > 0 {
            untold.push(format!("what {late} of the bursts say: the generators did not send them at once"));
        }
        let limited =
            found.bursts.iter().fold(0, |sum: u64, sent| sum.saturating_add(sent.done.observed.limited()));
        if limited > 0 {
            untold.push(format!("what becomes of larger bursts: {limited} requests were turned away"));
        }
        untold
    }
}

/// The median of few, from the least to the most if they are fewer than ten; `None` of fewer than three.
fn few(pairs: &[(u64, u64)]) -> Option<Estimate> {
    if count(pairs) >= 10 {
        return Estimate::median(pairs, 1e-3);
    }
    let at = |share| quantile(pairs, share).map(|us| us / 1_000.0);
    let (low, high) = (at(0.0)?, at(1.0)?);
    if count(pairs) < 3 { None } else { Estimate::between(low, at(0.5)?, high) }
}

fn advice(found: &Found<'_>, step: &Step, answer: &ColdStartAnswer) -> String {
    if let Step::Stop(why) = step {
        return format!("Look at this first: {why}.");
    }
    if answer.cold.is_none() {
        return if found.outlives {
            "Nothing need be done about cold starts in pauses of this length.".to_owned()
        } else {
            "Go on: no cold start was seen yet.".to_owned()
        };
    }
    let added = answer
        .added_ms
        .map_or_else(String::new, |added| format!("A cold start adds {} ms. ", digits(added.value)));
    let keep = answer.keep_alive_s.map_or_else(String::new, |kept| {
        format!(
            "Instances are kept for about {} s: a request every {} s keeps one warm. ",
            digits(kept.value),
            digits((0.9 * kept.low).floor())
        )
    });
    let queue = match answer.queueing {
        Some(Queueing::None) => "For bursts, provision as many instances as come at once, or start faster.",
        Some(Queueing::Bounded) => {
            "In bursts requests wait for each other: allow fewer at an instance, or make them shorter."
        }
        Some(Queueing::Unlimited) => {
            "Bursts wait while instances are added slowly: raise load step by step, or keep more instances ready."
        }
        None => "Keep instances ready for what may not wait.",
    };
    format!("{added}{keep}{queue}")
}
