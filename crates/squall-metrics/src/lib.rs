//! What is measured, and how it is added up: samples, the recorder that takes them in, snapshots that
//! travel, and their merge.
//!
//! Numbers of a whole fleet come only from merged histograms, never from averages of percentiles, and a
//! snapshot counts exactly once however often it arrives.
//!
//! **Invariants:** this crate is pure: it reads no clock, file or socket. Times are microseconds since the
//! run's epoch, negative before it. Whatever bytes are decoded, nothing panics and memory stays bounded.
//!
//! ```
//! use squall_metrics::{Merge, Merged, Outcome, Recorder, Sample, SeriesId, Snapshot};
//!
//! let mut recorder = Recorder::new(1);
//! let begun = Sample::begun(SeriesId(0), 1_000_000, 1_000_050);
//! recorder.record(&Sample { ended_us: 1_012_000, outcome: Outcome::Status(200), ..begun });
//!
//! let (run, nonce) = ("run".to_owned(), "generator".to_owned());
//! let snapshot = Snapshot { run, nonce, sequence: 0, interval: recorder.take().into_interval() };
//! let mut merged = Merged::default();
//! assert_eq!(merged.merge(snapshot.clone()), Merge::Merged);
//! assert_eq!(merged.merge(snapshot), Merge::Duplicate);
//! assert_eq!(merged.requests(), 1);
//! ```

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
