//! Runs one slice of a plan: users, steps, pacing, HTTP and recording.
//!
//! A slice has a thread with its own runtime for each processor; a user lives on one thread, and nothing on the way
//! of a request is shared between threads. What the engine needs of the outside comes in through the ports
//! [`Connect`] and [`Clock`], so that tests bring virtual time and connections in memory.
//!
//! A slice may be a part of a longer one in time: it begins where another generator leaves off
//! ([`SliceOrder::from`]), and is handed over or fenced while it runs ([`Stopper`]).
//!
//! **Invariants:** a failed request is data ([`Outcome`](squall_metrics::Outcome)), never an `Err`.
//! Whatever ends a user in mid-request, the request is recorded, as `unfinished`. The engine knows no
//! queue, no store and no other slice.

mod arrivals;
mod auth;
mod bounds;
mod checkout;
mod clock;
mod connect;
mod connection;
mod cookies;
mod core;
mod decode;
mod encode;
mod ending;
mod errand;
mod exchange;
mod flight;
mod flow;
mod gather;
mod judge;
mod load;
mod message;
mod meter;
mod once;
mod outcome;
mod pool;
mod sign;
mod slice;
mod trace;
mod traceparent;
mod undo;
mod user;
mod users;
mod watchdog;
mod wire;
mod worker;

pub use clock::{Clock, FineClock, TokioClock};
pub use connect::{
    Connect, ConnectError, Dialed, Guard, Io, NetworkConnector, Origin, ProxyForm, TlsError, client_config,
};
pub use errand::{Done, Errand, run_errand, run_errand_apart, source_address};
pub use once::{OnceOrder, once};
pub use slice::{
    Finished, Machine, Prepared, RunFacts, Running, SliceOrder, StartError, Stopper, prepare, start,
};
pub use trace::{Checked, Content, Event, Exchange, Hop, Link, Parts, Trace};
