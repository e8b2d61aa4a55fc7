//! What the state machine is told, what it says, and what it knows of others.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_plan::{Load, PlacedLoad, Plan, Share};

use super::pace::Levels;
use crate::assignments::shards;
use crate::message::{
    Assignment, Control, Final, Invitation, Manifest, Post, Ready, RegionSeats, Relief, Time, VERSION,
};

/// What a run is, for the state machine.
#[derive(Debug, Clone, PartialEq)]
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
    /// How few will do once the time to get ready is over: the load is then divided over those.
    pub least: u32,
    /// How many more are kept ready, for those that do not come or are lost.
    pub spares: u32,
    /// How often generators write snapshots, in seconds.
    pub interval_s: u32,
    /// How often everybody looks.
    pub poll: Duration,
    /// How long seats may take to be ready.
    pub gather: Duration,
    /// How long a generator runs a slice at most before another one goes on.
    pub window: Duration,
    /// What only the plan says.
    pub lasts: Lasts,
    /// Whether the orchestrator leaves as soon as the load is certain to begin. It then lasts without a word, nobody is
    /// replaced, and whoever takes the run over adds it up.
    pub detached: bool,
    /// All regions in which load is made, in the order of their slices; none where there is only one.
    pub regions: Vec<RegionSeats>,
    /// Whether the failure of one of them ends the load in all.
    pub all_regions: bool,
}

/// How long a plan's load lasts, and whether it can change hands meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lasts {
    /// How long load is made.
    pub load: Duration,
    /// How long what was begun may take to end after that, or after a slice was handed over.
    pub graceful: Duration,
    /// How long generators may take after it to undo what users have made.
    pub cleanup: Duration,
    /// How long users take to change hands, which is in `graceful`, too.
    pub spread: Duration,
    /// Whether somebody else can go on with a slice: not where it is a number of iterations.
    pub divisible: bool,
    /// How much load it is meanwhile.
    pub levels: Levels,
}

impl Lasts {
    /// Of a plan on so many generators.
    #[must_use]
    pub fn of(plan: &Plan, seats: u32) -> Self {
        let has_number =
            |placed: &PlacedLoad| matches!(&placed.load, Load::Closed(load) if load.iterations.is_some());
        let spread = plan.handover_spread(seats);
        Self {
            load: plan.duration(),
            graceful: plan.latest_end().saturating_sub(plan.duration()) + spread,
            spread,
            cleanup: plan.cleanup_time(),
            divisible: !plan.loads.iter().any(has_number),
            levels: Levels::of(plan),
        }
    }
}

impl Settings {
    /// Whether load is made in other regions, too.
    pub(crate) fn is_one_of_several(&self) -> bool {
        self.regions.len() > 1
    }

    /// What is written down of it.
    pub(crate) fn manifest(&self, began_at: Time) -> Manifest {
        Manifest {
            version: VERSION,
            run: self.run.clone(),
            name: self.name.clone(),
            bundle: self.bundle.clone(),
            seed: self.seed,
            seats: self.seats,
            least: self.least,
            spares: self.spares,
            interval_s: self.interval_s,
            poll_ms: in_millis(self.poll),
            gather_ms: in_millis(self.gather),
            window_ms: in_millis(self.window),
            shards: shards(self.seats),
            began_at,
            regions: self.regions.clone(),
            all_regions: self.all_regions,
        }
    }
}

fn in_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run begins.
    Begin,
    /// A seat was taken.
    Ready {
        /// What its generator said.
        ready: Ready,
        /// When the store received it, by the store's own clock, if it says so.
        stored_at: Option<Time>,
    },
    /// A snapshot was merged.
    Merged {
        /// Whose it was.
        nonce: String,
        /// How many requests were in it.
        requests: u64,
        /// The most iterations that any of its users has begun by then, or rows that it has taken.
        rounds: u64,
        /// Which of its snapshots it was.
        sequence: u32,
        /// In which interval since the epoch it was written.
        interval: u32,
    },
    /// A generator said its last word.
    Final(Final),
    /// The user wants it to end.
    Stop,
    /// A threshold wants it to end, and why.
    Abort(String),
    /// It cannot go on here, and why.
    Fail(String),
    /// All regions can begin.
    Divide(Division),
    /// Control was written.
    Renewed {
        /// Without a newer word, load stops then, by the generators' clocks.
        lease_until: Time,
    },
    /// Control would have been written too late for its epoch.
    TooLate,
    /// Control is no longer what this orchestrator wrote, but this.
    Superseded(Control),
    /// What another orchestrator has assigned so far, by generation.
    Assigned(BTreeMap<u32, Assignment>),
    /// Time has passed, a look begins or goes on.
    Tick,
    /// The store could not be looked at.
    Deaf,
    /// All that was in the store at this time has been told.
    Looked,
}

/// What a region makes of the load, and from when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Its slices.
    pub slices: Slices,
    /// When load begins, by the generators' clocks.
    pub epoch: Time,
}

/// Slices that follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slices {
    /// The first of them.
    pub first: u32,
    /// How many they are.
    pub count: u32,
    /// Of how many.
    pub of: u32,
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

impl Command {
    /// Whether it says of the run what `newer` says, only with an older lease.
    pub(crate) fn is_renewed_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::WriteControl(older), Self::WriteControl(newer)) => {
                let (said_at, lease_until) = (newer.said_at, newer.lease_until);
                Control { said_at, lease_until, ..older.clone() } == *newer
            }
            _ => false,
        }
    }
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
    /// It goes on, without an orchestrator.
    Detached,
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
    /// Taken before the assignment.
    pub ready: u32,
    /// Slices that the load was divided into.
    pub assigned: u32,
    /// Ready, and never needed.
    pub spare: u32,
    /// Given a slice, and never heard to the end.
    pub lost: u32,
    /// Times that somebody else went on with a slice because its generator was lost.
    pub replaced: u32,
    /// Times that a slice was handed over at the end of a window.
    pub handed_over: u32,
    /// Taken after the epoch.
    pub late: u32,
    /// Not needed, and taken by somebody else before: a message that was delivered twice.
    pub duplicate: u32,
}

impl Seats {
    /// Those of two regions.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            invited: self.invited.saturating_add(other.invited),
            ready: self.ready.saturating_add(other.ready),
            assigned: self.assigned.saturating_add(other.assigned),
            spare: self.spare.saturating_add(other.spare),
            lost: self.lost.saturating_add(other.lost),
            replaced: self.replaced.saturating_add(other.replaced),
            handed_over: self.handed_over.saturating_add(other.handed_over),
            late: self.late.saturating_add(other.late),
            duplicate: self.duplicate.saturating_add(other.duplicate),
        }
    }
}

/// What is known of one generator.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorRecord {
    /// What it said when it took its seat.
    pub ready: Ready,
    /// From the run's begin to its readiness, in milliseconds.
    pub ready_ms: f64,
    /// What it was given to run, if anything.
    pub post: Option<Post>,
    /// How it was told to end, and when, if it was.
    pub relief: Option<(Relief, Time)>,
    /// When it was last heard of.
    pub heard_at: Time,
    /// Its last word, if it came.
    pub last_word: Option<Final>,
    /// By how much its clock is wrong, in microseconds, where that is too much.
    pub clock_off_us: Option<i64>,
}

impl GeneratorRecord {
    /// Its slice, if it was given one.
    #[must_use]
    pub fn slice(&self) -> Option<Share> {
        self.post.as_ref().map(|post| post.share)
    }

    /// Whether it was given up.
    pub(crate) fn is_dismissed(&self) -> bool {
        matches!(self.relief, Some((Relief::Leave, _)))
    }
}
