//! What is measured, and how it is added up: samples, the recorder that takes them in, snapshots that
//! travel, and their merge.
//!
//! Numbers of a whole fleet come only from merged histograms, never from averages of percentiles, and a
//! snapshot counts exactly once however often it arrives.
//!
//! **Invariants:** this crate is pure: it reads no clock, file or socket. Times are microseconds since the
//! run's epoch, negative before it. Whatever bytes are decoded, nothing panics and memory stays bounded.

mod codec;
mod distribution;
mod exemplar;
mod health;
mod interval;
mod merge;
mod outcome;
mod phases;
mod recorder;
mod sample;
mod scale;
mod snapshot;
mod sparse;
mod stretches;
mod telemetry;
mod varint;

pub use codec::DecodeError;
pub use distribution::Distribution;
pub use exemplar::{Event, Events, Exemplar, OneIn, TraceId};
pub use health::{
    Health, LOOP_DELAY_LIMIT_US, Observation, SEND_LAG_LIMIT_US, STOLEN_LIMIT, USUAL_SEND_LAG_LIMIT_US,
};
pub use interval::{Arrivals, Cleanup, Interval, Iterations, LoadCounts, Second, Series, SeriesSecond};
pub use merge::{GeneratorTotals, KEPT_SECONDS, Merge, Merged, Totals};
pub use outcome::{Outcome, UnknownOutcome};
pub use phases::{Phase, Phases};
pub use recorder::{Recorder, Recording};
pub use sample::{ConnectionUse, LoadId, MeasureId, RemoteId, Sample, SeriesId};
pub use scale::{HIGHEST_US, Scale};
pub use snapshot::Snapshot;
pub use sparse::Sparse;
pub use telemetry::TelemetrySeries;
