//! A seat in a real process: real time, and the engine behind the protocol's interface. What a thread of the
//! local fleet and a Lambda invocation have in common.
//!
//! **Invariant:** it knows neither queue nor store: whoever takes a seat brings them.

mod clock;
mod engine;
mod machine;

pub use clock::SystemClock;
pub use engine::{fetch, prepare};
pub use machine::{machine_of, machine_of_memory};
pub use squall_engine::{Guard, Machine};
pub use squall_plan::Plan;
