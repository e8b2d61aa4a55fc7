//! The fleet's protocol: what is said, under which keys, and who decides what.
//!
//! The orchestrator decides: [`Orchestrator`] is a state machine from events to commands, driven over the
//! ports by [`orchestrate`]. A generator only answers: [`sit`] takes one seat, runs the slice it is
//! assigned, and leaves. Both know the outside only through the ports [`Queue`], [`Store`] and [`Clock`].
//!
//! **Invariants:** this crate is pure: no clock, socket, file or environment variable, and no runtime. A
//! message that is duplicated, late, lost or foreign changes coverage, never arithmetic.

pub mod absence;
mod assignments;
mod attach;
pub mod ceilings;
pub mod conformance;
pub mod cost;
mod counted;
mod hold;
mod judge;
pub mod keys;
mod measured;
mod memory;
mod message;
mod orchestrate;
mod orchestrator;
mod ports;
mod seat;
pub mod simulation;
pub mod sizing;
mod status;
mod stop;

pub use assignments::shards;
pub use attach::{AttachError, Attached, Resumed, attach};
pub use ceilings::{Beyond, CeilingError, Ceilings};
pub use counted::{Counted, StoreUse};
pub use hold::{Hold, SAY_AGAIN, hold, hold_on, is_held_by, release, run_under_way};
pub use judge::{Judge, Judged};
pub use measured::Measured;
pub use memory::{MemoryQueue, MemoryStore};
pub use message::{
    Assignment, Control, Ended, Final, Invitation, Manifest, MessageError, Post, Ready, RegionSeats, Relief,
    State, Time, VERSION,
};
pub use orchestrate::{
    Fleet, Observer, OrchestrateError, RegionRecord, RunOrder, RunRecord, View, orchestrate,
};
pub use orchestrator::{
    Command, Division, End, Event, GeneratorRecord, Lasts, Levels, Orchestrator, Phase, Seats, Settings,
    Slices,
};
pub use ports::{Clock, ETag, Fetched, Listed, Put, Queue, Secrets, Store, StoreError, StoreErrorKind};
pub use seat::{Identity, Load, Order, Prepared, Reins, SeatOutcome, sit};
pub use squall_plan::{AwsResource, SecretSource};
pub use status::{Status, regions_of, state_of, status};
pub use stop::{Stop, stop};
