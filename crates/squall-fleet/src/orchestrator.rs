//! Who decides: a pure state machine from events to commands.
//!
//! | phase     | event                                   | commands                               | next      |
//! |-----------|-----------------------------------------|----------------------------------------|-----------|
//! | inviting  | begin                                   | manifest, control `waiting`, send      | gathering |
//! | gathering | the last seat is ready                  | assignment, control `running`          | running   |
//! | gathering | a seat has a problem, or time is up     | control `aborting`                     | ending    |
//! | running   | all last words and snapshots are in     | control `done`, end                    | done      |
//! | running   | a generator asks for the end            | control `aborting`                     | ending    |
//! | running   | it lasts longer than the load can       | control `done`, end, the rest missing  | done      |
//! | any       | stop                                    | control `aborting`                     | ending    |
//! | ending    | all last words are in, or time is up    | control `done`, end                    | done      |
//! | any       | another orchestrator has taken over     | end                                    | done      |
//! | any       | the lease is due                        | control, as it is                      | same      |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_plan::Share;

use crate::message::{Assignment, Control, Ended, Final, Invitation, Manifest, Ready, State, Time, VERSION};

/// How long control is valid without a newer word.
const LEASE: Duration = Duration::from_secs(30);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);

/// From assignment to epoch: every generator sees the assignment within a poll or two, and uses the rest to
/// make its users ready.
const POLLS_TO_EPOCH: u32 = 10;

/// How long after the end of the load last words and snapshots are waited for.
const MARGIN: Duration = Duration::from_secs(10);

/// What a run is, for the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The run.
    pub run: String,
    /// The plan's name.
    pub name: String,
    /// The hash of the plan's bundle.
    pub bundle: String,
    /// What all randomness is derived from.
    pub seed: u64,
    /// How many generators.
    pub seats: u32,
    /// How often generators write snapshots, in seconds.
    pub interval_s: u32,
    /// How often everybody looks.
    pub poll: Duration,
    /// How long seats may take to be ready.
    pub gather: Duration,
    /// How long load may last, the graceful stop included.
    pub load: Duration,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run begins.
    Begin,
    /// A seat was taken.
    Ready(Ready),
    /// A snapshot was merged.
    Merged {
        /// Whose it was.
        nonce: String,
    },
    /// A generator said its last word.
    Final(Final),
    /// The user wants it to end.
    Stop,
    /// Control is no longer what this orchestrator wrote.
    Superseded,
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write the manifest, which must not be there.
    WriteManifest(Manifest),
    /// Write control, in place of the last.
    WriteControl(Control),
    /// Send invitations.
    Invite(Vec<Invitation>),
    /// Write an assignment, which must not be there.
    WriteAssignment(Assignment),
    /// It is over.
    End(End),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The load was over.
    Finished,
    /// The user ended it.
    Interrupted,
    /// The plan ended it, and why.
    Aborted(String),
    /// It could not go on, and why.
    Failed(String),
}

/// Where the state machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been said yet.
    Inviting,
    /// Seats are being taken.
    Gathering,
    /// Load is made.
    Running,
    /// Load is to end.
    Ending,
    /// It is over.
    Done,
}

/// What became of the seats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seats {
    /// Invitations sent.
    pub invited: u32,
    /// Taken in time.
    pub ready: u32,
    /// Given a slice.
    pub assigned: u32,
    /// Taken, but not needed.
    pub spare: u32,
    /// Given a slice, and never heard to the end.
    pub lost: u32,
    /// Taken after the assignment.
    pub late: u32,
    /// Taken again.
    pub duplicate: u32,
}

/// What is known of one generator.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorRecord {
    /// Its slice, if it was given one.
    pub slice: Option<Share>,
    /// What it said when it took its seat.
    pub ready: Ready,
    /// From the run's begin to its readiness, in milliseconds.
    pub ready_ms: f64,
    /// Its last word, if it came.
    pub last_word: Option<Final>,
}

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
    merged: BTreeMap<String, u32>,
    seats: Seats,
    clock_offsets_us: Vec<i64>,
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
            end: End::Finished,
        }
    }

    /// Takes in what happened and says what is to be done.
    pub fn on_event(&mut self, now: Time, event: Event) -> Vec<Command> {
        if self.phase == Phase::Done && event != Event::Superseded {
            return Vec::new();
        }
        let mut commands = match event {
            Event::Begin if self.phase == Phase::Inviting => self.begin(now),
            Event::Begin | Event::Tick => Vec::new(),
            Event::Ready(ready) => self.ready(now, ready),
            Event::Merged { nonce } => {
                *self.merged.entry(nonce).or_default() += 1;
                Vec::new()
            }
            Event::Final(last_word) => self.last_word(now, last_word),
            Event::Stop => self.stop(now, End::Interrupted),
            Event::Superseded => {
                self.phase = Phase::Done;
                vec![Command::End(End::Failed("another orchestrator has taken over".to_owned()))]
            }
        };
        commands.extend(self.progress(now));
        commands
    }

    fn begin(&mut self, now: Time) -> Vec<Command> {
        let Settings { run, name, bundle, seed, seats, interval_s, poll, gather, .. } = self.settings.clone();
        self.phase = Phase::Gathering;
        self.deadline = now.plus(gather);
        self.seats.invited = seats;
        let poll_ms = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX);
        let manifest =
            Manifest { version: VERSION, run: run.clone(), name, bundle, seed, seats, interval_s, poll_ms };
        let invite =
            |seat| Invitation { version: VERSION, run: run.clone(), seat, expires_at: self.deadline };
        let invitations = (0..seats).map(invite).collect();
        vec![Command::WriteManifest(manifest), self.write_control(now), Command::Invite(invitations)]
    }

    fn ready(&mut self, now: Time, ready: Ready) -> Vec<Command> {
        if self.generators.contains_key(&ready.nonce) {
            return Vec::new();
        }
        // A seat that nobody was invited to is as good as one that is taken.
        if ready.seat >= self.settings.seats || !self.seats_taken.insert(ready.seat) {
            self.seats.duplicate += 1;
        } else if self.phase == Phase::Gathering {
            self.seats.ready += 1;
            self.clock_offsets_us.push(ready.clock.0.saturating_sub(now.0));
        } else {
            self.seats.late += 1;
        }
        let problem =
            ready.problem.clone().map(|problem| format!("generator of seat {}: {problem}", ready.seat));
        let ready_ms = now.since(self.began_at).as_secs_f64() * 1_000.0;
        let record = GeneratorRecord { slice: None, ready, ready_ms, last_word: None };
        self.generators.insert(record.ready.nonce.clone(), record);
        match problem {
            Some(problem) if self.phase == Phase::Gathering => self.stop(now, End::Failed(problem)),
            _ if self.phase == Phase::Gathering && self.seats.ready == self.settings.seats => {
                self.assign(now)
            }
            _ => Vec::new(),
        }
    }

    /// Gives every seat its slice, by the order of seats, and sets the epoch.
    fn assign(&mut self, now: Time) -> Vec<Command> {
        self.clock_offsets_us.sort_unstable();
        self.clock_offset_us =
            self.clock_offsets_us.get(self.clock_offsets_us.len() / 2).copied().unwrap_or(0);
        let mut slices = BTreeMap::new();
        for seat in 0..self.settings.seats {
            let first = self
                .generators
                .values_mut()
                .find(|record| record.ready.seat == seat && record.slice.is_none());
            if let (Some(record), Some(share)) = (first, Share::try_new(seat, self.settings.seats)) {
                record.slice = Some(share);
                slices.insert(record.ready.nonce.clone(), share);
            }
        }
        self.seats.assigned = u32::try_from(slices.len()).unwrap_or(u32::MAX);
        self.seats.spare = u32::try_from(self.generators.len() - slices.len()).unwrap_or(u32::MAX);
        let epoch = self.fleet_time(now).plus(self.settings.poll * POLLS_TO_EPOCH);
        self.phase = Phase::Running;
        self.deadline = now.plus(self.settings.poll * POLLS_TO_EPOCH + self.settings.load + MARGIN);
        self.control.state = State::Running;
        self.control.generation = 1;
        self.control.epoch = Some(epoch);
        let assignment = Assignment { version: VERSION, generation: 1, slices };
        vec![Command::WriteAssignment(assignment), self.write_control(now)]
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
        self.deadline = now.plus(MARGIN);
        self.control.state = State::Aborting;
        vec![self.write_control(now)]
    }

    /// What is due by itself: the end, giving up, the lease.
    fn progress(&mut self, now: Time) -> Vec<Command> {
        let late = now >= self.deadline;
        match self.phase {
            Phase::Gathering if late => {
                let reason = format!("seats not ready in time: {}", self.missing_seats());
                return self.stop(now, End::Failed(reason));
            }
            Phase::Running | Phase::Ending if late || self.is_complete() => return self.finish(now),
            Phase::Inviting | Phase::Done => return Vec::new(),
            _ => {}
        }
        if now.since(self.renewed_at) >= RENEW { vec![self.write_control(now)] } else { Vec::new() }
    }

    fn finish(&mut self, now: Time) -> Vec<Command> {
        self.phase = Phase::Done;
        self.seats.lost =
            u32::try_from(self.assigned().filter(|record| record.last_word.is_none()).count()).unwrap_or(0);
        self.control.state = State::Done;
        vec![self.write_control(now), Command::End(self.end.clone())]
    }

    /// Whether every generator with a slice has said its last word, and all its snapshots are merged.
    fn is_complete(&self) -> bool {
        self.assigned().all(|record| {
            let merged = self.merged.get(&record.ready.nonce).copied().unwrap_or(0);
            record.last_word.as_ref().is_some_and(|last_word| merged >= last_word.snapshots)
        })
    }

    fn assigned(&self) -> impl Iterator<Item = &GeneratorRecord> {
        self.generators.values().filter(|record| record.slice.is_some())
    }

    fn missing_seats(&self) -> String {
        let missing: Vec<String> = (0..self.settings.seats)
            .filter(|seat| !self.seats_taken.contains(seat))
            .map(|seat| seat.to_string())
            .collect();
        missing.join(", ")
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
    pub fn first_open_snapshot(&self) -> u32 {
        let merged = |record: &GeneratorRecord| self.merged.get(&record.ready.nonce).copied().unwrap_or(0);
        self.assigned().map(merged).min().unwrap_or(0)
    }

    /// Slices of which something is missing, in words.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.assigned().filter_map(|record| self.missing_of(record)).collect()
    }

    fn missing_of(&self, record: &GeneratorRecord) -> Option<String> {
        let slice = record.slice.map_or(0, Share::index);
        let merged = self.merged.get(&record.ready.nonce).copied().unwrap_or(0);
        match &record.last_word {
            None => Some(format!("slice {slice}: not heard of after snapshot {merged}")),
            Some(Final { ended: Ended::Failed(reason), .. }) => Some(format!("slice {slice}: {reason}")),
            Some(Final { ended: Ended::LeaseExpired, .. }) => {
                Some(format!("slice {slice}: lost sight of the orchestrator"))
            }
            Some(last) if merged < last.snapshots => {
                Some(format!("slice {slice}: {} of {} snapshots", merged, last.snapshots))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
