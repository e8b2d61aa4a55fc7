//! Who decides: a pure state machine from events to commands.
//!
//! | phase     | event                                   | commands                               | next      |
//! |-----------|-----------------------------------------|----------------------------------------|-----------|
//! | inviting  | begin                                   | manifest, control `waiting`, send      | gathering |
//! | gathering | as many seats as are needed are ready   | assignment, control `running`          | running   |
//! | running   | the epoch could not be told in time     | control, with a later epoch            | running   |
//! | gathering | a seat has a problem, or time is up     | control `aborting`                     | ending    |
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

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_metrics::{GeneratorTotals, Merged};
use squall_plan::Share;

use crate::message::{Assignment, Control, Ended, Final, Invitation, Manifest, Ready, State, Time, VERSION};
pub use crate::orchestrator::words::{Command, End, Event, GeneratorRecord, Phase, Seats, Settings};
use crate::seat::FLUSH;

/// How long control is valid without a newer word.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// How often it is renewed.
pub(crate) const RENEW: Duration = Duration::from_secs(5);

/// From assignment to epoch: every generator sees the assignment within a poll or two, and uses the rest to
/// make its users ready.
const POLLS_TO_EPOCH: u32 = 4;
const LEAST_TO_EPOCH: Duration = Duration::from_secs(1);

/// How long after the end of the load last words and snapshots are waited for, besides an interval.
const MARGIN: Duration = Duration::from_secs(10);

/// Thresholds are judged behind what so many of a hundred generators have told.
const NEARLY_ALL: usize = 95;

/// Why a run fails whose orchestrator was not heard of in time.
const NOT_RENEWED: &str = "control was not renewed in time, so the load ended by itself";

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
    /// Of each generator, how many snapshots are merged, and how many requests were in them.
    merged: BTreeMap<String, (u32, u64)>,
    seats: Seats,
    clock_offsets_us: Vec<i64>,
    /// Until when load goes on without a newer word; once that has passed it is over.
    lease_until: Option<Time>,
    /// Whether another orchestrator decides, and this one only reads.
    superseded: bool,
    end: End,
}

impl Orchestrator {
    /// Before the beginning.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        let control = Control {
            version: VERSION,
            term: 1,
            state: State::Waiting,
            generation: 0,
            epoch: None,
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
            merged: BTreeMap::new(),
            seats: Seats::default(),
            clock_offsets_us: Vec::new(),
            lease_until: None,
            superseded: false,
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
        let looked = event == Event::Looked;
        let mut commands = match event {
            Event::Begin if self.phase == Phase::Inviting => self.begin(now),
            Event::Begin | Event::Tick | Event::Looked | Event::Superseded(_) => Vec::new(),
            Event::Renewed { lease_until } => {
                self.lease_until = Some(lease_until);
                Vec::new()
            }
            Event::Ready(ready) => self.ready(now, ready),
            Event::Merged { nonce, requests: more } => {
                let (snapshots, requests) = self.merged.entry(nonce).or_default();
                *snapshots += 1;
                *requests += more;
                Vec::new()
            }
            Event::TooLate => self.set_epoch(now),
            Event::Final(last_word) => self.last_word(now, last_word),
            Event::Stop => self.stop(now, End::Interrupted),
            Event::Abort(reason) => self.stop(now, End::Aborted(reason)),
        };
        commands.extend(self.progress(now, looked));
        commands
    }

    fn begin(&mut self, now: Time) -> Vec<Command> {
        let Settings { run, name, bundle, seed, seats, spares, interval_s, poll, gather, .. } =
            self.settings.clone();
        self.phase = Phase::Gathering;
        self.deadline = now.plus(gather);
        self.seats.invited = seats.saturating_add(spares);
        let poll_ms = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX);
        let manifest =
            Manifest { version: VERSION, run: run.clone(), name, bundle, seed, seats, interval_s, poll_ms };
        let invite =
            |seat| Invitation { version: VERSION, run: run.clone(), seat, expires_at: self.deadline };
        let invitations = (0..self.seats.invited).map(invite).collect();
        vec![Command::WriteManifest(manifest), self.write_control(now), Command::Invite(invitations)]
    }

    /// Whoever is ready first gets a slice, whatever the number of the seat: a message that was delivered twice
    /// is one more seat.
    fn ready(&mut self, now: Time, ready: Ready) -> Vec<Command> {
        // Who was not invited is not counted on.
        if self.generators.contains_key(&ready.nonce) || ready.seat >= self.seats.invited {
            return Vec::new();
        }
        let is_again = !self.seats_taken.insert(ready.seat);
        let gathering = self.phase == Phase::Gathering;
        if gathering {
            self.seats.ready += 1;
            self.compare_clocks(ready.clock, now);
        } else if is_again {
            self.seats.duplicate += 1;
        } else if self.control.epoch.is_some_and(|epoch| self.fleet_time(now) < epoch) {
            self.seats.spare += 1;
        } else {
            self.seats.late += 1;
        }
        let problem = ready.problem.clone().filter(|_| gathering);
        let problem = problem.map(|problem| format!("generator of seat {}: {problem}", ready.seat));
        let ready_ms = now.since(self.began_at).as_secs_f64() * 1_000.0;
        let record = GeneratorRecord { slice: None, ready, ready_ms, last_word: None };
        self.generators.insert(record.ready.nonce.clone(), record);
        match problem {
            Some(problem) => self.stop(now, End::Failed(problem)),
            None if gathering => self.assign(now),
            None => Vec::new(),
        }
    }

    /// The fleet's time is the median of its clocks.
    fn compare_clocks(&mut self, there: Time, here: Time) {
        let offset_us = there.0.saturating_sub(here.0);
        let at = self.clock_offsets_us.partition_point(|other| *other < offset_us);
        self.clock_offsets_us.insert(at, offset_us);
        self.clock_offset_us = self.clock_offsets_us[self.clock_offsets_us.len() / 2];
    }

    /// Gives slices to those who are ready, by the order of seats, and sets the epoch; as soon as there are
    /// enough who live as long as the load.
    fn assign(&mut self, now: Time) -> Vec<Command> {
        let needed = self.settings.seats as usize;
        if self.generators.len() < needed {
            return Vec::new();
        }
        let load_until =
            self.fleet_time(now).plus(self.to_epoch() + self.settings.load + self.settings.cleanup + FLUSH);
        let lives = |record: &&mut GeneratorRecord| {
            record.ready.deadline.is_none_or(|deadline| deadline >= load_until)
        };
        let mut records: Vec<&mut GeneratorRecord> = self.generators.values_mut().filter(lives).collect();
        if records.len() < needed {
            return Vec::new();
        }
        records.sort_by_key(|record| record.ready.seat);
        let mut slices = BTreeMap::new();
        for (index, record) in (0..self.settings.seats).zip(records) {
            record.slice = Share::try_new(index, self.settings.seats);
            slices.extend(record.slice.map(|share| (record.ready.nonce.clone(), share)));
        }
        self.seats.assigned = self.settings.seats;
        self.seats.spare = self.seats.ready.saturating_sub(self.seats.assigned);
        self.phase = Phase::Running;
        self.control.state = State::Running;
        self.control.generation = 1;
        let assignment = Assignment { version: VERSION, generation: 1, slices };
        let mut commands = vec![Command::WriteAssignment(assignment)];
        commands.extend(self.set_epoch(now));
        commands
    }

    /// Sets the epoch, or sets it anew where nobody has heard of it yet.
    fn set_epoch(&mut self, now: Time) -> Vec<Command> {
        let to_epoch = self.to_epoch();
        self.control.epoch = Some(self.fleet_time(now).plus(to_epoch));
        self.deadline = now.plus(to_epoch + self.settings.load + self.margin());
        vec![self.write_control(now)]
    }

    fn to_epoch(&self) -> Duration {
        LEAST_TO_EPOCH.max(self.settings.poll * POLLS_TO_EPOCH)
    }

    fn last_word(&mut self, now: Time, last_word: Final) -> Vec<Command> {
        let Some(record) = self.generators.get_mut(&last_word.nonce) else { return Vec::new() };
        if record.slice.is_none() || record.last_word.is_some() {
            return Vec::new();
        }
        let ended = last_word.ended.clone();
        record.last_word = Some(last_word);
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
                return vec![Command::End(end)];
            }
            return Vec::new();
        }
        self.phase = Phase::Ending;
        self.end = end;
        self.deadline = now.plus(self.margin());
        self.control.state = State::Aborting;
        vec![self.write_control(now)]
    }

    /// Somebody else decides. What they end is measured to its end here; what they go on with is theirs.
    fn superseded(&mut self, now: Time, control: &Control) -> Vec<Command> {
        self.superseded = true;
        if control.state < State::Aborting {
            self.phase = Phase::Done;
            return vec![Command::End(End::Failed("another orchestrator has taken over".to_owned()))];
        }
        if self.end == End::Finished {
            self.end = End::Interrupted;
        }
        match self.phase {
            Phase::Done => return vec![Command::End(self.end.clone())],
            Phase::Ending => {}
            Phase::Inviting | Phase::Gathering | Phase::Running => {
                self.phase = Phase::Ending;
                self.deadline = now.plus(self.margin());
            }
        }
        self.progress(now, false)
    }

    /// How long what was measured last may be on its way.
    fn margin(&self) -> Duration {
        MARGIN + self.settings.cleanup + Duration::from_secs(u64::from(self.settings.interval_s))
    }

    /// What is due by itself: the end, giving up, the lease. Given up is only what a look did not find.
    fn progress(&mut self, now: Time, looked: bool) -> Vec<Command> {
        let late = looked && now >= self.deadline;
        let expired = self.has_expired(now);
        match self.phase {
            Phase::Inviting | Phase::Done => return Vec::new(),
            Phase::Running | Phase::Ending if late || self.is_complete() => return self.finish(now),
            // Some generators have stopped by now, and those that have not must not go on without them.
            Phase::Gathering | Phase::Running if expired && looked => {
                return self.stop(now, End::Failed(NOT_RENEWED.to_owned()));
            }
            Phase::Gathering if late => {
                let (ready, seats) = (self.seats.ready, self.settings.seats);
                let within_s = self.settings.gather.as_secs();
                let reason = if ready < seats {
                    format!("only {ready} of {seats} generators were ready within {within_s} s")
                } else {
                    format!("fewer than {seats} of {ready} generators live long enough for the load")
                };
                return self.stop(now, End::Failed(reason));
            }
            _ => {}
        }
        let renews = now.since(self.renewed_at) >= RENEW && !expired && !self.superseded;
        if renews { vec![self.write_control(now)] } else { Vec::new() }
    }

    fn finish(&mut self, now: Time) -> Vec<Command> {
        self.phase = Phase::Done;
        self.seats.lost =
            u32::try_from(self.assigned().filter(|record| record.last_word.is_none()).count()).unwrap_or(0);
        let expired = |last: &Final| last.ended == Ended::LeaseExpired;
        if self.end == End::Finished && self.assigned().filter_map(|own| own.last_word.as_ref()).any(expired)
        {
            self.end = End::Failed(NOT_RENEWED.to_owned());
        }
        let end = Command::End(self.end.clone());
        if self.superseded {
            return vec![end];
        }
        self.control.state = State::Done;
        vec![self.write_control(now), end]
    }

    /// Whether every generator with a slice has said its last word, and all its snapshots are merged.
    fn is_complete(&self) -> bool {
        self.assigned().all(|record| self.is_in(record))
    }

    fn is_in(&self, record: &GeneratorRecord) -> bool {
        let (merged, _) = self.merged_of(record);
        record.last_word.as_ref().is_some_and(|last_word| merged >= last_word.snapshots)
    }

    fn merged_of(&self, record: &GeneratorRecord) -> (u32, u64) {
        self.merged.get(&record.ready.nonce).copied().unwrap_or_default()
    }

    fn assigned(&self) -> impl Iterator<Item = &GeneratorRecord> {
        self.generators.values().filter(|record| record.slice.is_some())
    }

    fn write_control(&mut self, now: Time) -> Command {
        self.renewed_at = now;
        self.control.lease_until = self.fleet_time(now).plus(LEASE);
        Command::WriteControl(self.control.clone())
    }

    /// The instant by the generators' clocks.
    fn fleet_time(&self, now: Time) -> Time {
        Time(now.0.saturating_add(self.clock_offset_us))
    }

    /// Whether the lease that generators know of has run out.
    pub(crate) fn has_expired(&self, now: Time) -> bool {
        self.lease_until.is_some_and(|until| self.fleet_time(now) >= until)
    }

    /// Whether generators that hear of the epoch within a poll would miss it.
    pub(crate) fn is_too_late_to_begin(&self, now: Time) -> bool {
        self.control.epoch.is_some_and(|epoch| self.fleet_time(now).plus(self.settings.poll) > epoch)
    }

    /// Which orchestrator this is.
    pub(crate) fn term(&self) -> u64 {
        self.control.term
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When the load begins, by the generators' clocks; once that is decided.
    #[must_use]
    pub fn epoch(&self) -> Option<Time> {
        self.control.epoch
    }

    /// What became of the seats.
    #[must_use]
    pub fn seats(&self) -> Seats {
        self.seats
    }

    /// All generators that took a seat, by nonce.
    #[must_use]
    pub fn generators(&self) -> &BTreeMap<String, GeneratorRecord> {
        &self.generators
    }

    /// Whether a snapshot of this generator is expected.
    #[must_use]
    pub fn has_slice(&self, nonce: &str) -> bool {
        self.generators.get(nonce).is_some_and(|record| record.slice.is_some())
    }

    /// The first snapshot that may still come from somebody: all before it are merged.
    #[must_use]
    pub fn first_open_snapshot(&self, merged: &Merged) -> u32 {
        let open = self.assigned().filter(|record| !self.is_in(record));
        let first = |record: &GeneratorRecord| {
            merged.generators().get(&record.ready.nonce).map_or(0, GeneratorTotals::first_missing)
        };
        open.map(first).min().unwrap_or(0)
    }

    /// All seconds before this one are told by nearly all generators.
    #[must_use]
    pub fn told_until(&self, merged: &Merged) -> i32 {
        let told = |record: &GeneratorRecord| match merged.generators().get(&record.ready.nonce) {
            _ if self.is_in(record) => i32::MAX,
            Some(totals) => totals.told_until,
            None => i32::MIN,
        };
        let mut told: Vec<i32> = self.assigned().map(told).collect();
        told.sort_unstable();
        told.get(told.len() * (100 - NEARLY_ALL) / 100).copied().unwrap_or(i32::MIN)
    }

    /// Slices of which something is missing, in words.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.assigned().filter_map(|record| self.missing_of(record)).collect()
    }

    fn missing_of(&self, record: &GeneratorRecord) -> Option<String> {
        let slice = record.slice.map_or(0, Share::index);
        let (merged, requests) = self.merged_of(record);
        match &record.last_word {
            None => Some(format!("slice {slice}: not heard of after snapshot {merged}")),
            Some(Final { ended: Ended::Failed(reason), .. }) => Some(format!("slice {slice}: {reason}")),
            Some(Final { ended: Ended::LeaseExpired, .. }) => {
                Some(format!("slice {slice}: lost sight of the orchestrator"))
            }
            Some(Final { ended: Ended::OutOfTime, .. }) => {
                Some(format!("slice {slice}: its environment gave it no more time"))
            }
            Some(last) if merged < last.snapshots => {
                Some(format!("slice {slice}: {merged} of {} snapshots", last.snapshots))
            }
            Some(last) if requests != last.requests => {
                Some(format!("slice {slice}: {requests} of {} requests", last.requests))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
