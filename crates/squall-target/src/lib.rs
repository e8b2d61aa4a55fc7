//! A simulated cloud-native service: the API of the guide, which knows what it received.
//!
//! [`model`] is pure: a request in, a response and its delay out, the same for the same seed. [`Server`]
//! puts it on a socket, counts, and misbehaves on demand, so that a load generator can be checked against
//! what its target saw.
//!
//! **Invariant:** the target knows nothing of Squall's other crates: it is the judge, not the judged.

mod counts;
mod fault;
pub mod model;
mod server;

pub use counts::Counts;
pub use server::{Server, ServerOptions};
