//! Runs one slice of a plan: users, steps, pacing, HTTP and recording.
//!
//! A slice is a thread with its own runtime; a user lives on one thread, and nothing on the way of a
//! request is shared between threads. What the engine needs of the outside comes in through the ports
//! [`Connect`] and [`Clock`], so that tests bring virtual time and connections in memory.
//!
//! **Invariants:** a failed request is data ([`Outcome`](squall_metrics::Outcome)), never an `Err`.
//! Whatever ends a user in mid-request, the request is recorded, as `unfinished`. The engine knows no
//! queue, no store and no other slice.

mod arrivals;
mod clock;
mod connect;
mod connection;
mod cookies;
mod exchange;
mod outcome;
mod slice;
mod tls;
mod user;
mod users;
mod worker;

pub use clock::{Clock, FineClock, TokioClock};
pub use connect::{Connect, ConnectError, Io, NetworkConnector, Origin};
pub use slice::{Finished, Prepared, Running, SliceOrder, StartError, Stopper, prepare, start};
pub use tls::{TlsError, client_config};
