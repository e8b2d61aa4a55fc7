//! From what was measured to named causes: findings, each with its evidence, its confidence and what would refute it.
//!
//! [`Observed`] is what is known of a run, second by second; [`diagnose`] names what it shows. Each cause has a file of its
//! own in `causes`, the methods they have in common are in `stats`, and `arbiter` says which cause explains which symptom.
//! A wrong cause is worse than none: where two explain the same, or too little was seen, confidence is low.
//!
//! **Invariants:** this crate is pure: the same input gives the same findings, for what is drawn at random is drawn from a
//! fixed seed. Whatever is observed, nothing panics.

mod arbiter;
mod bins;
mod causes;
mod diagnose;
mod finding;
mod observed;
mod signals;
mod stats;
#[cfg(test)]
mod testing;
mod view;

pub use diagnose::diagnose;
pub use finding::{Confidence, Evidence, Finding, Kind};
pub use observed::{Calls, Class, Endpoint, Observed, Signal, Tick};
pub use stats::hinge::{Hinge, hinge};
pub use stats::usl::{Scalability, scalability};
