//! Who decides: a pure state machine from events to commands.
//!
//! | phase     | event                                   | commands                               | next      |
//! |-----------|-----------------------------------------|----------------------------------------|-----------|
//! | inviting  | begin                                   | manifest, control `waiting`, send      | gathering |
//! | gathering | as many seats as are wanted are ready   | assignment, control `running`          | running   |
//! | gathering | time is up, and as many as will do are ready | assignment, control `running`     | running   |
//! | gathering | as many are ready, and load is made in other regions, too | none                 | gathering |
//! | gathering | all regions can begin                   | assignment, control `running`          | running   |
//! | gathering | a clock is wrong                        | send                                   | gathering |
//! | running   | the epoch could not be told in time     | control, with a later epoch            | running   |
//! | gathering | a seat has a problem, or time is up     | control `aborting`                     | ending    |
//! | running   | a generator is lost, a window ends      | assignment, control (see `posts`)      | running   |
//! | running   | nothing is heard of anybody for a minute | control `aborting`                    | ending    |
//! | running   | few are kept ready                      | send                                   | running   |
//! | running   | all last words and snapshots are in     | control `done`, end                    | done      |
//! | running   | a generator asks for the end            | control `aborting`                     | ending    |
//! | running   | it lasts longer than the load can       | control `done`, end, the rest missing  | done      |
//! | any       | stop, or a threshold does not hold      | control `aborting`                     | ending    |
//! | ending    | all last words are in, or time is up    | control `done`, end                    | done      |
//! | any       | another orchestrator ends the run       | none: from now on it only reads        | ending    |
//! | any       | another orchestrator has taken over     | end                                    | done      |
//! | any       | the lease is due                        | control, as it is                      | same      |
//! | gathering | the lease has run out                   | control `aborting`                     | ending    |
//! | running   | the lease has run out, and not all is in | control `aborting`                    | ending    |

mod account;
mod answers;
mod pace;
mod posts;
mod succession;
pub(crate) mod windows;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::message::{Control, Ended, Final, Post, Ready, Relief, State, Time, VERSION};
use crate::orchestrator::account::{Told, Untold};
pub use crate::orchestrator::pace::Levels;
pub(crate) use crate::orchestrator::pace::Pace;
use crate::orchestrator::posts::Slice;
pub(crate) use crate::orchestrator::succession::{NOT_RENEWED, ORPHANED};
pub use crate::orchestrator::words::{
    Command, Division, End, Event, GeneratorRecord, Lasts, Phase, Seats, Settings, Slices,
};

/// How long control is valid without a newer word.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// How often it is renewed.
pub(crate) const RENEW: Duration = Duration::from_secs(5);

/// From assignment to epoch: every generator sees the assignment within a poll or two, and uses the rest to
/// make its users ready.
pub(crate) const POLLS_TO_EPOCH: u32 = 4;
pub(crate) const LEAST_TO_EPOCH: Duration = Duration::from_secs(1);

/// How long after the end of the load last words and snapshots are waited for, besides an interval.
const MARGIN: Duration = Duration::from_secs(10);

/// When nothing could be looked at for so long, who was silent meanwhile is not blamed for it.
const DEAF: Duration = Duration::from_secs(5);

/// Why a run fails whose queue or store does not work any more.
pub(crate) const LOST: &str = "lost the fleet, whose load ends by itself within 30 s";

/// The state machine.
#[derive(Debug)]
pub struct Orchestrator {
    settings: Settings,
    phase: Phase,
    control: Control,
    /// When control was last written.
    renewed_at: Time,
    began_at: Time,
    /// When the phase is over, whatever is still missing.
    deadline: Time,
    /// Median of the generators' clocks minus ours, in microseconds.
    clock_offset_us: i64,
    generators: BTreeMap<String, GeneratorRecord>,
    seats_taken: BTreeSet<u32>,
    /// How many more must come at least before there are enough.
    lacking: usize,
    /// When somebody came last, or was invited.
    came_at: Time,
    /// What is merged of each generator.
    told: BTreeMap<String, Told>,
    /// Who can begin, once there are enough of them.
    able: Vec<String>,
    untold: Untold,
    slices: Vec<Slice>,
    /// The first of them, and of how many they are a part: load may be made in other regions, too.
    first: u32,
    of: u32,
    /// How busy generators have been.
    pace: Pace,
    /// The most iterations that any user has ever begun between two snapshots.
    peak_rounds: u64,
    /// What another orchestrator had assigned to those who have not been looked at yet.
    recalled: BTreeMap<String, (Option<Post>, Option<Relief>)>,
    /// Invitations that are not answered yet, and how long they are waited for.
    outstanding: Vec<(Time, u32)>,
    seats: Seats,
    /// By how much each clock is before the store's, or ours if it has none; and how far the store's is before ours.
    clock_offsets_us: Vec<i64>,
    store_ahead_us: Option<i64>,
    /// By how much each generator's clock was before the store's when it said that it is ready.
    clock_skews_us: BTreeMap<String, i64>,
    /// When the last look at everything began: what there was then is known. A look at a large fleet takes long.
    look_began: Time,
    looking_since: Option<Time>,
    /// When anything happened last, and since when that has been so without a pause.
    awake_at: Time,
    was_deaf: bool,
    listening_since: Time,
    /// Whether what generators that were given up may have written late has been looked for, too.
    swept: Sweep,
    notes: BTreeSet<String>,
    /// Until when load goes on without a newer word; once that has passed it is over.
    lease_until: Option<Time>,
    /// Whether another orchestrator decides, and this one only reads.
    superseded: bool,
    /// How far the store's clock was ahead of ours when this orchestrator took over from another, if it did.
    resumed: Option<i64>,
    /// Whether those who have not come yet were invited again, in case nobody had been.
    invited_again: bool,
    end: End,
}

/// How far the last search has come for what was written late by those who were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    NotYet,
    Asked,
    Done,
}

impl Orchestrator {
    /// Before the beginning.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        let lacking = settings.seats as usize;
        let control = Control {
            version: VERSION,
            term: 1,
            state: State::Waiting,
            cut_short: false,
            generation: 0,
            epoch: None,
            said_at: now,
            lease_until: now.plus(LEASE),
        };
        Self {
            settings,
            phase: Phase::Inviting,
            control,
            renewed_at: now,
            began_at: now,
            deadline: now,
            clock_offset_us: 0,
            generators: BTreeMap::new(),
            seats_taken: BTreeSet::new(),
            lacking,
            came_at: now,
            told: BTreeMap::new(),
            able: Vec::new(),
            untold: Untold::default(),
            slices: Vec::new(),
            first: 0,
            of: 0,
            pace: Pace::default(),
            peak_rounds: 0,
            recalled: BTreeMap::new(),
            outstanding: Vec::new(),
            seats: Seats::default(),
            clock_offsets_us: Vec::new(),
            store_ahead_us: None,
            clock_skews_us: BTreeMap::new(),
            look_began: now,
            looking_since: None,
            awake_at: now,
            was_deaf: false,
            listening_since: now,
            swept: Sweep::NotYet,
            notes: BTreeSet::new(),
            lease_until: None,
            superseded: false,
            resumed: None,
            invited_again: false,
            end: End::Finished,
        }
    }

    /// Takes in what happened and says what is to be done.
    pub fn on_event(&mut self, now: Time, event: Event) -> Vec<Command> {
        if let Event::Superseded(control) = event {
            return self.superseded(now, &control);
        }
        if self.phase == Phase::Done {
            return Vec::new();
        }
        self.was_deaf |= event == Event::Deaf || now.since(self.awake_at) > DEAF.max(self.settings.poll * 2);
        self.awake_at = now;
        let looked = event == Event::Looked;
        let mut commands = match event {
            Event::Begin if self.phase == Phase::Inviting => self.begin(now),
            Event::Looked => self.looked(now),
            Event::Tick => {
                self.looking_since.get_or_insert(now);
                Vec::new()
            }
            Event::Begin | Event::Deaf | Event::Superseded(_) => Vec::new(),
            Event::Renewed { lease_until } => {
                self.lease_until = Some(lease_until);
                self.leave_if_detached()
            }
            Event::Ready { ready, stored_at } => self.ready(now, ready, stored_at),
            Event::Merged { nonce, requests, rounds, sequence, interval } => {
                self.merged(now, &nonce, (requests, rounds), (sequence, interval));
                Vec::new()
            }
            Event::TooLate => self.begin_at(now, self.earliest_epoch(now)),
            Event::Divide(division) => self.divide(now, division),
            Event::Assigned(assignments) => {
                self.read_on(now, &assignments);
                Vec::new()
            }
            Event::Final(last_word) => self.last_word(now, last_word),
            Event::Stop => self.stop(now, End::Interrupted),
            Event::Abort(reason) => self.stop(now, End::Aborted(reason)),
            Event::Fail(reason) => self.stop(now, End::Failed(reason)),
        };
        commands.extend(self.progress(now, looked));
        commands
    }

    /// Everything that was there has been told.
    fn looked(&mut self, now: Time) -> Vec<Command> {
        self.look_began = self.looking_since.take().unwrap_or(now);
        if std::mem::take(&mut self.was_deaf) {
            self.listening_since = now;
        }
        if self.resumed.is_some() && self.phase == Phase::Gathering && !self.invited_again {
            self.invited_again = true;
            let planned = self.settings.seats.saturating_add(self.settings.spares);
            let lacking = planned.saturating_sub(self.seats.ready);
            return if lacking == 0 { Vec::new() } else { self.invite(now, lacking) };
        }
        if self.swept == Sweep::Asked {
            self.swept = Sweep::Done;
        } else if self.swept == Sweep::NotYet && self.is_settled(now) {
            self.swept = if self.anybody_is_lost() { Sweep::Asked } else { Sweep::Done };
        }
        self.compare_clocks();
        match self.phase {
            _ if self.superseded => Vec::new(),
            Phase::Gathering => self.assign(now, false),
            _ => self.tend(now),
        }
    }

    fn begin(&mut self, now: Time) -> Vec<Command> {
        self.phase = Phase::Gathering;
        self.deadline = now.plus(self.settings.gather);
        let invited = self.settings.seats.saturating_add(self.settings.spares);
        let mut commands =
            vec![Command::WriteManifest(self.settings.manifest(self.began_at)), self.write_control(now)];
        commands.extend(self.invite(now, invited));
        commands
    }

    /// Whoever is ready first gets a slice, whatever the number of the seat: a message that was delivered twice
    /// is one more seat.
    fn ready(&mut self, now: Time, ready: Ready, stored_at: Option<Time>) -> Vec<Command> {
        // Who was not invited is not counted on; whom another orchestrator has invited is not known.
        let is_known = self.resumed.is_some() || self.superseded || ready.seat < self.seats.invited;
        if self.generators.contains_key(&ready.nonce) || !is_known {
            return Vec::new();
        }
        self.seats.invited = self.seats.invited.max(ready.seat.saturating_add(1));
        let is_again = !self.seats_taken.insert(ready.seat);
        if let Some((_, count)) = self.outstanding.iter_mut().find(|(_, count)| *count > 0) {
            *count -= 1;
        }
        let gathering = self.phase == Phase::Gathering;
        self.lacking = self.lacking.saturating_sub(1);
        if gathering {
            self.came_at = now;
            self.seats.ready += 1;
            self.compare_clock(ready.clock, stored_at, now);
        } else if is_again {
            self.seats.duplicate += 1;
        } else if self.control.epoch.is_none_or(|epoch| self.fleet_time(now) >= epoch) {
            self.seats.late += 1;
        }
        if let Some(stored_at) = stored_at {
            self.clock_skews_us.insert(ready.nonce.clone(), ready.clock.0.saturating_sub(stored_at.0));
        }
        ready.remark.iter().for_each(|remark| self.note(remark.clone()));
        let problem = ready.problem.clone().filter(|_| gathering);
        let problem = problem.map(|problem| format!("generator of seat {}: {problem}", ready.seat));
        let ready_ms = now.since(self.began_at).as_secs_f64() * 1_000.0;
        let nonce = ready.nonce.clone();
        let record = GeneratorRecord {
            ready,
            ready_ms,
            post: None,
            relief: None,
            heard_at: now,
            last_word: None,
            clock_off_us: None,
        };
        self.generators.insert(nonce.clone(), record);
        self.recall_one(now, &nonce);
        match problem {
            Some(problem) if !self.superseded => self.stop(now, End::Failed(problem)),
            None if gathering && !self.superseded && self.lacking == 0 => self.assign(now, false),
            _ => Vec::new(),
        }
    }

    /// Sets the epoch, or sets it anew where nobody has heard of it yet.
    fn begin_at(&mut self, now: Time, epoch: Time) -> Vec<Command> {
        let lasts = self.settings.lasts.load + self.settings.lasts.graceful;
        self.control.epoch = Some(epoch);
        self.deadline = now.plus(epoch.since(self.fleet_time(now)) + lasts + self.margin());
        vec![self.write_control(now)]
    }

    /// When load can begin, by the generators' clocks, if that is said now.
    pub(crate) fn earliest_epoch(&self, now: Time) -> Time {
        self.fleet_time(now).plus(LEAST_TO_EPOCH.max(self.settings.poll * POLLS_TO_EPOCH))
    }

    fn last_word(&mut self, now: Time, last_word: Final) -> Vec<Command> {
        let Some(record) = self.generators.get_mut(&last_word.nonce) else { return Vec::new() };
        if record.post.is_none() || record.last_word.is_some() {
            return Vec::new();
        }
        let ended = last_word.ended.clone();
        record.heard_at = now;
        let nonce = last_word.nonce.clone();
        record.last_word = Some(last_word);
        self.account_for(&nonce);
        match ended {
            Ended::AbortRequested(reason) => self.stop(now, End::Aborted(reason)),
            _ => Vec::new(),
        }
    }

    /// Ends the load; the first reason counts.
    fn stop(&mut self, now: Time, end: End) -> Vec<Command> {
        if matches!(self.phase, Phase::Ending | Phase::Inviting) {
            if self.phase == Phase::Inviting {
                self.phase = Phase::Done;
                self.end = end.clone();
                return vec![Command::End(end)];
            }
            return Vec::new();
        }
        self.phase = Phase::Ending;
        self.end = end;
        self.deadline = now.plus(self.margin());
        if self.superseded {
            return Vec::new();
        }
        self.control.state = State::Aborting;
        self.control.cut_short = true;
        vec![self.write_control(now)]
    }

    /// How long what was measured last may be on its way.
    fn margin(&self) -> Duration {
        MARGIN + self.settings.lasts.cleanup + Duration::from_secs(u64::from(self.settings.interval_s))
    }

    /// What is due by itself: the end, giving up, the lease. Given up is only what a look did not find that began when it
    /// was late: a look at a large fleet takes long.
    fn progress(&mut self, now: Time, looked: bool) -> Vec<Command> {
        let late = looked && self.look_began >= self.deadline;
        let expired = self.has_expired(now);
        match self.phase {
            Phase::Inviting | Phase::Done => return Vec::new(),
            Phase::Running | Phase::Ending if late || self.is_complete(now) => return self.finish(now),
            // Some generators have stopped by now, and those that have not must not go on without them.
            Phase::Gathering | Phase::Running if expired && looked && self.superseded => {
                self.end = End::Failed(ORPHANED.to_owned());
                self.phase = Phase::Ending;
                self.deadline = now.plus(self.margin());
            }
            Phase::Gathering | Phase::Running if expired && looked => {
                return self.stop(now, End::Failed(NOT_RENEWED.to_owned()));
            }
            Phase::Gathering if late && !self.superseded && self.able.is_empty() => {
                let commands = self.assign(now, true);
                if self.phase == Phase::Running {
                    return commands;
                }
                if self.able.is_empty() {
                    let reason = self.why_not_begun();
                    return self.stop(now, End::Failed(reason));
                }
            }
            _ => {}
        }
        let renews = now.since(self.renewed_at) >= RENEW && !expired && !self.superseded;
        if renews { vec![self.write_control(now)] } else { Vec::new() }
    }

    fn finish(&mut self, now: Time) -> Vec<Command> {
        self.phase = Phase::Done;
        let posted = || self.posted().filter(|record| record.last_word.is_none());
        self.seats.lost = u32::try_from(posted().count()).unwrap_or(u32::MAX);
        // The load of those whose orchestrator has left, or was lost late enough, was over all the same.
        if self.end == End::Failed(ORPHANED.to_owned()) && self.all_have_finished() {
            self.end = End::Finished;
        }
        if self.end == End::Finished && self.all_have_expired() {
            self.end = End::Failed(NOT_RENEWED.to_owned());
        }
        let end = Command::End(self.end.clone());
        if self.superseded {
            return vec![end];
        }
        self.control.state = State::Done;
        vec![self.write_control(now), end]
    }

    /// Whether all that can come has come.
    fn is_complete(&self, now: Time) -> bool {
        self.is_settled(now) && (self.swept == Sweep::Done || !self.anybody_is_lost())
    }

    fn write_control(&mut self, now: Time) -> Command {
        self.renewed_at = now;
        self.control.said_at = self.fleet_time(now);
        self.control.lease_until = match self.control.epoch {
            Some(epoch) if self.settings.detached && self.control.state == State::Running => {
                let lasts = &self.settings.lasts;
                epoch.plus(lasts.load + lasts.graceful + lasts.cleanup + LEASE)
            }
            _ => self.control.said_at.plus(LEASE),
        };
        Command::WriteControl(self.control.clone())
    }

    /// The instant by the generators' clocks.
    fn fleet_time(&self, now: Time) -> Time {
        Time(now.0.saturating_add(self.clock_offset_us))
    }

    fn note(&mut self, note: String) {
        self.notes.insert(note);
    }
}

#[cfg(test)]
mod tests;
