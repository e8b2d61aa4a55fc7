//! The fleet's queue and store on AWS, and with the feature `operator` what deploys and watches a fleet there.
//!
//! **Invariants:** the only home of AWS SDKs. A failure says which action on what, and what kind of failure
//! it is; nobody else reads an error's code. Credentials and endpoints are given, never looked up, but by
//! the operator, who finds them where users of AWS keep them.

mod connection;
mod failure;
mod json;
#[cfg(feature = "operator")]
pub mod operator;
mod queue;
#[cfg(test)]
mod scripted;
mod secrets;
mod store;

pub use connection::{Connection, Credentials};
pub use queue::{SqsLanes, SqsQueue};
pub use secrets::AwsSecrets;
pub use store::S3Store;
