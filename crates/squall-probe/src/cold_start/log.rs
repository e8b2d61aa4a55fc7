//! What the function's own log says of its instances, beside what was seen from outside.
//!
//! Answers do not say which invocation they are of, so the two are joined by time: an invocation belongs to the round in
//! whose time it began. Rounds are seconds apart, and clocks are compared before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Spread;
use super::{ColdStart, Found};
use crate::estimate::{Estimate, bounded, count, quantile};
use crate::probe::Done;
use crate::round::Load;

/// Clocks differ by so much at most, and what was sent last is on its way for no longer.
const MARGIN_S: f64 = 1.0;

/// Into so many parts a distribution is divided.
const PARTS: u32 = 20;

/// An invocation of which the log has a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Invocation {
    /// When it began, its instance's start included, in seconds of any clock.
    pub began_s: f64,
    /// How many milliseconds the start of its instance took, if one was started for it.
    pub init_ms: Option<f64>,
}

/// When a round was sent, by the clock of the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundTime {
    /// When its first request was sent.
    pub began_s: f64,
    /// When its last one had ended.
    pub ended_s: f64,
    /// Its place in the history; none of one that was sent again.
    pub place: Option<usize>,
}

/// What the function's own log says of cold starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColdStartLog {
    /// Good answers in the rounds whose time is known.
    pub answers: u64,
    /// Invocations in the time of rounds.
    pub invocations: u64,
    /// Answers of rounds of whose invocations there are fewer: their reports are late, or something else has answered.
    pub missing: u64,
    /// Instances that were started in the time of rounds.
    pub inits: u64,
    /// Those that were started while nothing was sent: for somebody else, or ahead of any request.
    pub inits_between: u64,
    /// For which share of invocations an instance was started.
    pub cold_share: Option<Estimate>,
    /// How many answers were taken for cold, beside how many instances were started in the same rounds.
    pub beside: Option<Beside>,
    /// How long starts took, by the log.
    pub init_ms: Option<Spread>,
    /// By how much cold answers took longer than the median of warm ones, as seen from outside.
    pub added_ms: Option<Spread>,
    /// How much of what a cold start adds is not its init, as medians.
    pub not_init_ms: Option<f64>,
    /// The two distributions.
    pub shares: Vec<StartPoint>,
    /// Each round.
    pub rounds: Vec<LoggedRound>,
}

/// What the probe counted, and the log, in the rounds in which both can be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    /// How many rounds.
    pub rounds: u32,
    /// Instances that were started, by the log.
    pub inits: u64,
    /// Answers that were taken for cold.
    pub cold: f64,
}

/// What a share of starts did not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartPoint {
    /// The share.
    pub share: f64,
    /// Of inits, by the log.
    pub init_ms: Option<f64>,
    /// Of what cold answers took longer than warm ones.
    pub added_ms: Option<f64>,
}

/// A round, and what the log says of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedRound {
    /// Its place among the rounds that count, from 0.
    pub place: usize,
    /// What it was for.
    pub purpose: String,
    /// Good answers.
    pub answers: u64,
    /// Invocations that began in its time.
    pub invocations: u64,
    /// Instances that were started for them.
    pub inits: u64,
    /// Answers that were taken for cold; null where those cannot be told from those that waited.
    pub cold: Option<f64>,
    /// The median of its inits.
    pub init_ms: Option<f64>,
}

/// The time of a round with its margins.
struct Window {
    from_s: f64,
    until_s: f64,
    place: Option<usize>,
    invocations: u64,
    init_us: Vec<(u64, u64)>,
}

impl ColdStart {
    /// Joins what was seen with what the log says: each invocation with the round in whose time it began.
    #[must_use]
    pub fn joined(&self, history: &[Done], times: &[RoundTime], log: &[Invocation]) -> ColdStartLog {
        let (found, ..) = self.bounded().went(history);
        let mut windows = windows(times);
        let mut all = ColdStartLog::default();
        for invocation in log {
            let began_s = invocation.began_s;
            let next = windows.partition_point(|window| window.from_s <= began_s);
            let window = windows.get_mut(next.wrapping_sub(1)).filter(|window| began_s < window.until_s);
            let Some(window) = window else {
                // Before the first round and after the last one it is not known who has asked.
                let is_between = next > 0 && next < windows.len();
                all.inits_between += u64::from(is_between && invocation.init_ms.is_some());
                continue;
            };
            window.invocations += 1;
            window.init_us.extend(invocation.init_ms.map(|init_ms| (micros(init_ms), 1)));
        }
        let mut init_us: Vec<(u64, u64)> = Vec::new();
        for window in &mut windows {
            window.init_us.sort_unstable();
            let Some((place, done)) = window.place.and_then(|place| Some((place, history.get(place)?)))
            else {
                continue;
            };
            init_us.extend(&window.init_us);
            all.rounds.push(LoggedRound {
                place,
                purpose: done.round.purpose.clone(),
                answers: count(&done.observed.good_us).max(done.observed.good()),
                invocations: window.invocations,
                inits: count(&window.init_us),
                cold: found.cold_of(done),
                init_ms: quantile(&window.init_us, 0.5).map(|us| us / 1_000.0),
            });
        }
        init_us.sort_unstable();
        all.sum_up();
        all.spread(&init_us, &found.added_us());
        all
    }
}

impl ColdStartLog {
    fn sum_up(&mut self) {
        for round in &self.rounds {
            self.answers = self.answers.saturating_add(round.answers);
            self.invocations += round.invocations;
            self.missing = self.missing.saturating_add(round.answers.saturating_sub(round.invocations));
            self.inits += round.inits;
            if let Some(cold) = round.cold {
                let beside = self.beside.get_or_insert(Beside { rounds: 0, inits: 0, cold: 0.0 });
                beside.rounds += 1;
                beside.inits += round.inits;
                beside.cold += cold;
            }
        }
        self.cold_share = Estimate::share(self.inits as f64, self.invocations as f64);
    }

    fn spread(&mut self, init_us: &[(u64, u64)], added_us: &[(u64, u64)]) {
        self.init_ms = Spread::of(init_us);
        self.added_ms = Spread::of(added_us);
        self.not_init_ms = self.added_ms.zip(self.init_ms).map(|(added, init)| added.p50_ms - init.p50_ms);
        if init_us.is_empty() && added_us.is_empty() {
            return;
        }
        let at_ms = |pairs, share| quantile(pairs, share).map(|us| us / 1_000.0);
        let shares = (0..=PARTS).map(|part| f64::from(part) / f64::from(PARTS));
        self.shares = shares
            .map(|share| StartPoint {
                share,
                init_ms: at_ms(init_us, share),
                added_ms: at_ms(added_us, share),
            })
            .collect();
    }

    /// What makes it doubtful, in words.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.missing > 0 {
            doubts.push(format!(
                "true init times: {} of {} answers have no report in the log: it was read too early, or something else has answered",
                self.missing, self.answers
            ));
        }
        if self.inits_between > 0 {
            doubts.push(format!(
                "how long instances are kept: {} were started while nothing was sent, for somebody else or ahead of requests",
                self.inits_between
            ));
        }
        doubts
    }
}

impl Found<'_> {
    /// How many answers of a round are taken for cold; `None` where they may have waited for each other.
    fn cold_of(&self, done: &Done) -> Option<f64> {
        let are_many = matches!(done.round.load, Load::Burst { requests } if requests > 1);
        if done.observed.tainted || (are_many && self.queues() == Some(true)) {
            return None;
        }
        let pairs = &done.observed.good_us;
        Some(self.kinds()?.cold_share(pairs)? * count(pairs) as f64)
    }

    /// By how much each cold answer took longer than the median of warm ones, ascending.
    fn added_us(&self) -> Vec<(u64, u64)> {
        let Some(warm_us) = self.warm_us() else { return Vec::new() };
        let longer = |us: u64| micros((us as f64 - warm_us) / 1_000.0);
        self.cold_us(self.queueing().as_ref()).iter().map(|(us, count)| (longer(*us), *count)).collect()
    }
}

/// Times with what is around them, of which no two overlap, ascending.
fn windows(times: &[RoundTime]) -> Vec<Window> {
    let time_s = |time_s: f64| bounded(time_s, -1e12, 1e12, 0.0);
    let mut times: Vec<RoundTime> = times
        .iter()
        .map(|time| RoundTime { began_s: time_s(time.began_s), ended_s: time_s(time.ended_s), ..*time })
        .collect();
    times.sort_by(|one, other| one.began_s.total_cmp(&other.began_s));
    let margin_s = |before: Option<&RoundTime>, after: Option<&RoundTime>| match before.zip(after) {
        Some((before, after)) => ((after.began_s - before.ended_s) / 2.0).min(MARGIN_S),
        None => MARGIN_S,
    };
    let window = |(at, time): (usize, &RoundTime)| {
        let before = at.checked_sub(1).and_then(|before| times.get(before));
        Window {
            from_s: time.began_s - margin_s(before, Some(time)),
            until_s: time.ended_s + margin_s(Some(time), times.get(at + 1)),
            place: time.place,
            invocations: 0,
            init_us: Vec::new(),
        }
    };
    times.iter().enumerate().map(window).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
fn micros(ms: f64) -> u64 {
    (bounded(ms, 0.0, 1e9, 0.0) * 1_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Probe, Step};
    use crate::round::{Observed, Second};

    /// The next round of a probe, whose answers took so many milliseconds.
    fn send(history: &mut Vec<Done>, good_ms: &[(u64, u64)]) {
        let Step::Send(round) = ColdStart::default().next(history) else { panic!("no next round") };
        let good_us: Vec<(u64, u64)> = good_ms.iter().map(|(ms, count)| (ms * 1_000, *count)).collect();
        let seconds = vec![Second { good: count(&good_us), ..Second::default() }];
        let observed = Observed { idle_s: round.idle_s, seconds, good_us, ..Observed::default() };
        history.push(Done { round, observed });
    }

    /// One cold answer, warm ones, and a burst of which four are cold.
    fn history() -> Vec<Done> {
        let warm: Vec<(u64, u64)> = (95..105).map(|ms| (ms, 2)).collect();
        let mut history = Vec::new();
        send(&mut history, &[(500, 1)]);
        send(&mut history, &warm);
        send(&mut history, &[(99, 1), (100, 3), (101, 2), (499, 1), (500, 1), (520, 1), (540, 1)]);
        history
    }

    fn time(began_s: f64, ended_s: f64, place: usize) -> RoundTime {
        RoundTime { began_s, ended_s, place: Some(place) }
    }

    fn invocations(at_s: f64, inits_ms: &[f64], warm: usize) -> Vec<Invocation> {
        let cold = inits_ms.iter().map(|init_ms| Some(*init_ms));
        cold.chain((0..warm).map(|_| None)).map(|init_ms| Invocation { began_s: at_s, init_ms }).collect()
    }

    #[test]
    fn an_invocation_belongs_to_the_round_in_whose_time_it_began() {
        let times = [time(100.0, 100.5, 0), time(101.5, 104.5, 1), time(106.7, 107.0, 2)];
        let log = [
            // A little early by its clock, and one that is in the middle of a pause.
            invocations(99.9, &[300.0], 0),
            invocations(102.0, &[], 20),
            invocations(106.0, &[310.0, 320.0, 330.0, 340.0], 6),
            invocations(105.55, &[999.0], 0),
            // Of others, before and after.
            invocations(50.0, &[999.0], 3),
            invocations(400.0, &[999.0], 3),
        ]
        .concat();
        let joined = ColdStart::default().joined(&history(), &times, &log);
        let rounds: Vec<_> =
            joined.rounds.iter().map(|round| (round.answers, round.invocations, round.inits)).collect();
        assert_eq!(rounds, [(1, 1, 1), (20, 20, 0), (10, 10, 4)]);
        assert_eq!((joined.inits, joined.inits_between, joined.missing), (5, 1, 0));
        let beside = joined.beside.unwrap();
        assert!(beside.rounds == 3 && beside.inits == 5 && (beside.cold - 5.0).abs() < 0.6, "{beside:?}");
        let (init, added) = (joined.init_ms.unwrap(), joined.added_ms.unwrap());
        assert_eq!((init.p50_ms, init.max_ms), (320.0, 340.0));
        assert!((added.p50_ms - 401.0).abs() < 2.0 && joined.not_init_ms == Some(added.p50_ms - 320.0));
        assert_eq!(joined.shares.len(), 21);
        assert_eq!(joined.doubts().len(), 1, "{:?}", joined.doubts());
    }

    #[test]
    fn rounds_that_are_close_share_the_time_between_them() {
        let times = [time(10.0, 10.4, 0), time(10.8, 12.0, 1)];
        let log = [invocations(10.5, &[1.0], 0), invocations(10.7, &[2.0], 0)].concat();
        let joined = ColdStart::default().joined(&history(), &times, &log);
        assert_eq!(
            joined.rounds.iter().map(|round| round.init_ms).collect::<Vec<_>>(),
            [Some(1.0), Some(2.0)]
        );
        assert_eq!(joined.missing, 19);
        assert!(joined.doubts()[0].contains("19 of 21 answers"), "{:?}", joined.doubts());
    }

    #[test]
    fn a_round_that_was_sent_again_is_neither_counted_nor_a_pause() {
        let times = [RoundTime { place: None, ..time(10.0, 11.0, 0) }, time(13.0, 14.0, 0)];
        let log = [invocations(10.5, &[5.0], 3), invocations(13.5, &[7.0], 0)].concat();
        let joined = ColdStart::default().joined(&history(), &times, &log);
        assert_eq!((joined.invocations, joined.inits, joined.inits_between), (1, 1, 0));
    }

    #[test]
    fn nonsense_is_nothing() {
        let nothing = ColdStart::default().joined(&[], &[], &[]);
        assert_eq!((nothing.rounds.len(), nothing.cold_share, nothing.doubts().len()), (0, None, 0));
        let times = [time(f64::NAN, f64::INFINITY, 7), time(5.0, -5.0, 0), time(f64::NEG_INFINITY, 0.0, 1)];
        let log =
            [invocations(f64::NAN, &[f64::NAN], 1), invocations(0.0, &[-1.0, f64::INFINITY], 1)].concat();
        let joined = ColdStart::default().joined(&history(), &times, &log);
        assert!(joined.inits + joined.inits_between <= 3);
    }
}
