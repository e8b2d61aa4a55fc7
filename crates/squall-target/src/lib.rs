//! A simulated cloud-native service: the API of the guide, which knows what it received.
//!
//! `model` is pure: a request and the service's memory in, an answer and its delay out, the same for the same seed.
//! Beside it is a module for each part of the API: `catalog`, `auth`, `carts`, `jobs`, `uploads`. [`Server`] puts them
//! on a socket, counts, keeps a record, and misbehaves on demand, so that a load generator can be checked against
//! what its target saw.
//!
//! [`service`] holds models of services with known troubles, and [`Host`] puts one of them on a socket, so that whoever
//! names a trouble can be checked.
//!
//! The target is strict: a request that a correct client would never send is refused, and [`Counts::invalid`] tells.
//!
//! **Invariant:** the target knows nothing of Squall's other crates: it is the judge, not the judged.

mod auth;
mod body;
mod carts;
mod catalog;
mod chance;
mod counts;
mod exposition;
mod fault;
mod host;
mod input;
mod jobs;
mod model;
mod record;
mod route;
mod server;
pub mod service;
mod serving;
mod state;
#[cfg(test)]
mod testing;
mod uploads;

pub use counts::{Counts, Invalid};
pub use host::{Host, HostError};
pub use server::{Server, ServerOptions};
