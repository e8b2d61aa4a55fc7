//! What the state machine is told, what it says, and what it knows of others.

use std::time::Duration;

use squall_plan::Share;

use crate::message::{Assignment, Control, Final, Invitation, Manifest, Ready, Time};

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
    /// How many more are invited, in case some do not come.
    pub spares: u32,
    /// How often generators write snapshots, in seconds.
    pub interval_s: u32,
    /// How often everybody looks.
    pub poll: Duration,
    /// How long seats may take to be ready.
    pub gather: Duration,
    /// How long load may last, the graceful stop included.
    pub load: Duration,
    /// How long generators may take after it to undo what users have made.
    pub cleanup: Duration,
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
        /// How many requests were in it.
        requests: u64,
    },
    /// A generator said its last word.
    Final(Final),
    /// The user wants it to end.
    Stop,
    /// A threshold wants it to end, and why.
    Abort(String),
    /// Control was written.
    Renewed {
        /// Without a newer word, load stops then, by the generators' clocks.
        lease_until: Time,
    },
    /// Control would have been written too late for its epoch.
    TooLate,
    /// Control is no longer what this orchestrator wrote, but this.
    Superseded(Control),
    /// Time has passed.
    Tick,
    /// All that was in the store at this time has been told.
    Looked,
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
                let lease_until = newer.lease_until;
                Control { lease_until, ..older.clone() } == *newer
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
    /// Given a slice.
    pub assigned: u32,
    /// Taken before the epoch, but not needed.
    pub spare: u32,
    /// Given a slice, and never heard to the end.
    pub lost: u32,
    /// Taken after the epoch.
    pub late: u32,
    /// Not needed, and taken by somebody else before: a message that was delivered twice.
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
