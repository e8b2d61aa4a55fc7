//! What the fleets of a run have in common: when load begins, what is measured, and what ends it everywhere.

use std::collections::VecDeque;

use squall_metrics::Merged;

use super::{Fleet, Observer, RegionRecord, RunOrder, RunRecord};
use crate::judge::{Judge, Judged};
use crate::measured::Measured;
use crate::message::Time;
use crate::orchestrator::{
    Command, Division, End, Event, GeneratorRecord, Orchestrator, Pace, Phase, Seats, Slices,
};

/// Why load does not begin in a region, where it has begun in another.
const NOT_BEGUN: &str = "load had begun in other regions when it was ready";

/// A region's fleet.
pub(super) struct Part {
    region: String,
    pub(super) machine: Orchestrator,
    /// What the state machine wants done, in this order, and is not done yet.
    pub(super) pending: VecDeque<Command>,
    pub(super) end: Option<End>,
    /// What it is to make of the load, whatever became of it.
    slices: Slices,
    /// When it was lost, of a run that was taken over in other regions.
    lost_at: Option<Time>,
    problems: Vec<String>,
}

pub(super) struct Together<O> {
    /// In the order of their slices.
    parts: Vec<Part>,
    pub(super) measured: Measured,
    judge: Judge,
    observer: O,
    /// Whether the failure of one region ends the load in all of them.
    all_regions: bool,
}

/// Where a run stands.
pub struct View<'a> {
    parts: &'a [Part],
    measured: &'a Measured,
    judge: &'a Judge,
    /// By this machine's clock.
    pub now: Time,
}

impl Part {
    fn new(region: String, machine: Orchestrator) -> Self {
        let (pending, slices) = (VecDeque::new(), machine.slices());
        Self { region, machine, pending, end: None, slices, lost_at: None, problems: Vec::new() }
    }

    /// What is to be carried out, too. A renewal that could not be written yet is overtaken by the next one.
    fn tell(&mut self, now: Time, event: Event) {
        for command in self.machine.on_event(now, event) {
            match self.pending.iter_mut().find(|older| older.is_renewed_by(&command)) {
                Some(older) => *older = command,
                None => self.pending.push_back(command),
            }
        }
    }

    /// Has been carried out; a newer one may have come in its place meanwhile.
    pub(super) fn is_done(&mut self, command: &Command) {
        if self.pending.front() == Some(command) {
            self.pending.pop_front();
        }
    }

    /// Whether its load has not begun, and may yet.
    fn is_getting_ready(&self) -> bool {
        self.end.is_none() && matches!(self.machine.phase(), Phase::Inviting | Phase::Gathering)
    }

    /// What becomes of the other regions when load ends in this one, if anything.
    fn spreads(&self, all_regions: bool) -> Option<Event> {
        match self.machine.ending()? {
            End::Aborted(reason) => Some(Event::Abort(reason.clone())),
            End::Interrupted => Some(Event::Stop),
            End::Failed(reason) if all_regions => Some(Event::Fail(format!("{}: {reason}", self.region))),
            End::Failed(_) | End::Finished | End::Detached => None,
        }
    }
}

impl<O: Observer> Together<O> {
    pub(super) fn new<Q, S>(fleets: &[Fleet<'_, Q, S>], now: Time, order: RunOrder, observer: O) -> Self {
        let driven = fleets.iter().map(|fleet| {
            let settings = fleet.settings.clone();
            let machine = match fleet.resumed.clone() {
                None => Orchestrator::new(settings, now),
                Some(resumed) => Orchestrator::resume(settings, now, resumed),
            };
            Part::new(fleet.region.clone(), machine)
        });
        let mut parts: Vec<Part> = driven.collect();
        for (region, settings, reason) in order.lost {
            let mut part = Part::new(region, Orchestrator::new(settings, now));
            part.tell(now, Event::Fail(reason.clone()));
            part.end = Some(End::Failed(reason));
            part.lost_at = Some(now);
            parts.push(part);
        }
        let regions = parts.iter().map(|part| part.region.clone()).collect();
        Self {
            parts,
            measured: Measured::new(regions),
            judge: order.judge,
            observer,
            all_regions: order.all_regions,
        }
    }

    pub(super) fn part(&self, index: usize) -> &Part {
        &self.parts[index]
    }

    pub(super) fn part_mut(&mut self, index: usize) -> &mut Part {
        &mut self.parts[index]
    }

    /// Tells a region's state machine, and the others what follows for them.
    pub(super) fn tell(&mut self, index: usize, now: Time, event: Event) {
        self.parts[index].tell(now, event);
        self.spread(now);
    }

    /// It is over in a region.
    pub(super) fn end(&mut self, index: usize, now: Time, end: End) {
        self.parts[index].end = Some(end);
        self.spread(now);
    }

    /// Something of a region could not be used.
    pub(super) fn problem(&mut self, index: usize, problem: String) {
        self.parts[index].problems.push(problem);
    }

    fn spread(&mut self, now: Time) {
        if self.parts.len() < 2 {
            return;
        }
        self.divide(now);
        let Some(event) = self.parts.iter().find_map(|part| part.spreads(self.all_regions)) else { return };
        let goes_on = |part: &&mut Part| part.end.is_none() && part.machine.ending().is_none();
        self.parts.iter_mut().filter(goes_on).for_each(|part| part.tell(now, event.clone()));
    }

    /// Load begins in all regions at one instant, as soon as each can begin or has failed. It is divided over all
    /// generators that are ready; what a region that has failed was to make is missing.
    fn divide(&mut self, now: Time) {
        let waiting = || self.parts.iter().filter(|part| part.is_getting_ready());
        if waiting().next().is_none() || waiting().any(|part| part.machine.able().is_none()) {
            return;
        }
        let has_begun = self.parts.iter().any(|part| part.machine.epoch().is_some());
        let Some(epoch) = waiting().map(|part| part.machine.earliest_epoch(now)).max() else { return };
        let count = |part: &Part| part.machine.able().unwrap_or_else(|| part.machine.wanted());
        let of = self.parts.iter().map(count).sum();
        let mut first = 0;
        for part in &mut self.parts {
            let slices = Slices { first, count: count(part), of };
            first += slices.count;
            if !has_begun {
                part.slices = slices;
            }
            if !part.is_getting_ready() {
                continue;
            }
            let event = if has_begun {
                Event::Fail(NOT_BEGUN.to_owned())
            } else {
                Event::Divide(Division { slices, epoch })
            };
            part.tell(now, event);
        }
    }

    /// Ends the load if a threshold says so, and shows where it stands.
    pub(super) fn watch(&mut self, now: Time) {
        let Self { parts, measured, judge, .. } = self;
        if parts.iter().any(|part| part.machine.phase() == Phase::Running) {
            let told_until = View { parts, measured, judge, now }.told_until();
            if let Some(reason) = judge.look(measured, told_until) {
                let running = parts.iter_mut().filter(|part| part.machine.phase() == Phase::Running);
                running.for_each(|part| part.tell(now, Event::Abort(reason.clone())));
                self.spread(now);
            }
        }
        let Self { parts, measured, judge, observer, .. } = self;
        observer.look(&View { parts, measured, judge, now });
    }

    pub(super) fn into_record(self, started_at: Time) -> RunRecord {
        let Self { mut parts, measured, judge, .. } = self;
        name_slices(&mut parts);
        share_pace(&mut parts);
        let several = parts.len() > 1;
        let named = |part: &Part, words: Vec<String>| -> Vec<String> {
            let name = |word| if several { format!("{}: {word}", part.region) } else { word };
            words.into_iter().map(name).collect()
        };
        let missing = |part: &Part| {
            let reason = match &part.end {
                Some(End::Failed(reason)) if several => Some(reason.clone()),
                _ => None,
            };
            reason.into_iter().chain(part.machine.missing(measured.all())).collect::<Vec<String>>()
        };
        let unknown = |part: &Part| unknown_requests(part, &parts, &measured);
        let regions = parts.iter().filter(|_| several).map(|part| RegionRecord {
            region: part.region.clone(),
            merged: measured.of(Some(&part.region)).cloned().unwrap_or_default(),
            seats: part.machine.seats(),
            slices: part.slices,
            missing: missing(part),
            unknown_requests: unknown(part),
        });
        RunRecord {
            started_at,
            epoch: parts.iter().find_map(|part| part.machine.epoch()),
            epoch_here: parts.iter().find_map(|part| part.machine.epoch_here()),
            end: end_of(&parts, self.all_regions),
            seats: seats_of(&parts),
            missing: parts.iter().flat_map(|part| named(part, missing(part))).collect(),
            absent: Vec::new(),
            throttled: Vec::new(),
            unknown_requests: parts.iter().map(unknown).sum(),
            generators: parts.iter().flat_map(|part| part.machine.generators().values().cloned()).collect(),
            judged: judge.judge(&measured),
            problems: parts
                .iter()
                .flat_map(|part| named(part, [part.machine.notes(), part.problems.clone()].concat()))
                .collect(),
            regions: regions.collect(),
            merged: measured.into_all(),
        }
    }
}

/// What was not heard of a region when its run was taken over is known from the others: whatever is not theirs.
fn name_slices(parts: &mut [Part]) {
    let mut known: Vec<Slices> = parts.iter().map(|part| part.slices).filter(|own| own.count > 0).collect();
    known.sort_unstable_by_key(|own| own.first);
    let of = known.first().map_or(0, |own| own.of);
    for part in parts.iter_mut().filter(|part| part.slices.count == 0) {
        let first = known.iter().fold(0, |free, own| if own.first == free { free + own.count } else { free });
        let until = known.iter().map(|own| own.first).filter(|other| *other > first).min().unwrap_or(of);
        part.slices = Slices { first, count: part.machine.wanted().min(until.saturating_sub(first)), of };
        known.push(part.slices);
        known.sort_unstable_by_key(|own| own.first);
    }
}

/// How busy a generator can be is known from all regions.
fn share_pace(parts: &mut [Part]) {
    let mut pace = Pace::default();
    parts.iter().for_each(|part| pace.learn(part.machine.pace()));
    parts.iter_mut().for_each(|part| part.machine.learn(&pace));
}

/// How many requests of a region may have been sent at most that nobody has reported. Of one that was lost nothing is known
/// but when its lease ends, and what the busiest generator of the others ever sent.
fn unknown_requests(part: &Part, parts: &[Part], measured: &Measured) -> Option<u64> {
    let others = || parts.iter().map(|part| &part.machine);
    let Some((lost_at, epoch)) = part.lost_at.zip(others().find_map(Orchestrator::epoch)) else {
        return part.machine.unknown_requests(measured.all());
    };
    part.machine.most_requests(part.slices.count, lost_at.since(epoch))
}

/// How a run has ended as a whole. Unless it is asked for, the failure of a region is no failure of the others.
fn end_of(parts: &[Part], all_regions: bool) -> End {
    let of = |part: &Part| part.end.clone().unwrap_or(End::Finished);
    let ends = || parts.iter().map(of);
    let failed = |end: &End| matches!(end, End::Failed(_));
    let first = |wanted: fn(&End) -> bool| ends().find(wanted);
    let failure = || {
        first(|end| matches!(end, End::Failed(_))).filter(|_| all_regions || ends().all(|end| failed(&end)))
    };
    first(|end| matches!(end, End::Aborted(_)))
        .or_else(|| first(|end| *end == End::Interrupted))
        .or_else(failure)
        .or_else(|| first(|end| !matches!(end, End::Failed(_))))
        .unwrap_or(End::Finished)
}

fn seats_of(parts: &[Part]) -> Seats {
    parts.iter().map(|part| part.machine.seats()).fold(Seats::default(), Seats::and)
}

impl View<'_> {
    /// Where the run stands as a whole: as far as any region that goes on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let phases = || self.parts.iter().map(|part| part.machine.phase());
        let order = [Phase::Running, Phase::Gathering, Phase::Inviting, Phase::Ending];
        order.into_iter().find(|phase| phases().any(|other| other == *phase)).unwrap_or(Phase::Done)
    }

    /// When load begins or has begun, once that is decided.
    #[must_use]
    pub fn epoch(&self) -> Option<Time> {
        self.parts.iter().find_map(|part| part.machine.epoch())
    }

    /// All seconds before this one are told by nearly all generators of each region that goes on.
    #[must_use]
    pub fn told_until(&self) -> i32 {
        let goes_on = |part: &&Part| !matches!(part.machine.ending(), Some(End::Failed(_)));
        let told = |part: &Part| part.machine.told_until(self.measured.all());
        self.parts.iter().filter(goes_on).map(told).min().unwrap_or(i32::MIN)
    }

    /// What became of the seats.
    #[must_use]
    pub fn seats(&self) -> Seats {
        seats_of(self.parts)
    }

    /// All generators that took a seat.
    pub fn generators(&self) -> impl Iterator<Item = &GeneratorRecord> {
        self.parts.iter().flat_map(|part| part.machine.generators().values())
    }

    /// What is measured so far.
    #[must_use]
    pub fn merged(&self) -> &Merged {
        self.measured.all()
    }

    /// How the thresholds stand.
    #[must_use]
    pub fn standing(&self) -> Vec<Judged> {
        self.judge.standing(self.measured)
    }
}
