//! What the target's own instruments say: those of Prometheus, asked over its HTTP API, and those that write a file.
//!
//! Asking ([`Prometheus`]) and understanding ([`matrix`], [`lines`]) are apart: the second is pure. What was understood,
//! whoever said it, is put together by [`Gathered`], on the time axis of the run.
//!
//! **Invariants:** an instrument that answers nonsense, late or not at all makes a problem in words, and never more:
//! every answer, list and text has a bound, and every wait has an end. No value is made up: what was not said is a gap.

mod answer;
mod file;
mod gathered;
mod presets;
mod prometheus;
mod reading;

pub use answer::{AnswerError, matrix, scalar};
pub use file::{FileError, MOST_BYTES, lines};
pub use gathered::{Gathered, Latest, MOST_POINTS, MOST_SERIES};
pub use presets::{Query, preset};
pub use prometheus::{Prometheus, PrometheusError};
pub use reading::{ClockOffset, Flaws, Reading, Said};
