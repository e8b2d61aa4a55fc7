//! The local fleet: generators are threads, the queue is in memory, the store is a directory. No account
//! is needed, and the protocol is the same as on AWS.
//!
//! **Invariant:** files are never touched on a thread that makes load.

mod fleet;
mod queue;
mod store;

pub use fleet::LocalFleet;
pub use queue::LocalQueue;
pub use store::LocalStore;
