//! One request, measured.

use crate::phases::Phases;
use crate::{Outcome, TraceId};

/// Which of a plan's series: an index, the same in every slice of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u16);

/// Which of the things besides requests that are measured, by its place in the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeasureId(pub u16);

/// Which of a plan's loads: an index, the same in every slice of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoadId(pub u16);

/// Which of the addresses that a [`Recorder`](crate::Recorder) has been told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteId(pub(crate) u16);

/// Which connection a request went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionUse {
    /// None: it failed before there was one.
    None,
    /// One made for it.
    New,
    /// One that earlier requests used.
    Reused,
}

/// One request, measured. Times are microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What it counts under.
    pub series: SeriesId,
    /// When it was due.
    pub scheduled_us: i64,
    /// When it was begun; later than it was due where the generator or the flow was late.
    pub started_us: i64,
    /// Of the time between the two: how long it waited for what the plan makes scarce, a free user or a
    /// connection of a pool. The rest is the generator's own lateness.
    pub waited_us: u64,
    /// When its last byte had come, or it had failed.
    pub ended_us: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether that is a failure.
    pub failed: bool,
    /// What its service time is made of; of several attempts all added up.
    pub phases: Phases,
    /// Bytes written, above TLS.
    pub bytes_sent: u64,
    /// Bytes read, above TLS.
    pub bytes_received: u64,
    /// Which connection it went over; of several attempts the last.
    pub connection: ConnectionUse,
    /// Whether that spoke HTTP/2.
    pub http2: bool,
    /// Where that led, if there was one.
    pub remote: Option<RemoteId>,
    /// Attempts repeated because the server had closed an idle connection.
    pub stale_retries: u32,
    /// Redirects followed.
    pub redirects: u32,
    /// Expectations that held.
    pub checks_passed: u32,
    /// Expectations that did not.
    pub checks_failed: u32,
    /// The id that was drawn for it, if the plan wants ids.
    pub trace: Option<TraceId>,
    /// Whether it carried that id.
    pub trace_sent: bool,
}

impl Sample {
    /// A request that was due and begun at these instants, and of which nothing else is known yet.
    #[must_use]
    pub fn begun(series: SeriesId, scheduled_us: i64, started_us: i64) -> Self {
        Self {
            series,
            scheduled_us,
            started_us,
            waited_us: 0,
            ended_us: started_us,
            outcome: Outcome::Unfinished,
            failed: false,
            phases: Phases::default(),
            bytes_sent: 0,
            bytes_received: 0,
            connection: ConnectionUse::None,
            http2: false,
            remote: None,
            stale_retries: 0,
            redirects: 0,
            checks_passed: 0,
            checks_failed: 0,
            trace: None,
            trace_sent: false,
        }
    }

    /// It has waited, after its begin, for what only the generator holds back. From now on it counts as begun so much
    /// later.
    pub fn wait(&mut self, us: u64) {
        self.waited_us = self.waited_us.saturating_add(us);
        self.started_us = self.started_us.saturating_add_unsigned(us);
    }

    /// From when it was due to its end, in microseconds.
    #[must_use]
    pub fn response_us(&self) -> u64 {
        u64::try_from(self.ended_us.saturating_sub(self.scheduled_us)).unwrap_or(0)
    }

    /// From its begin to its end, in microseconds.
    #[must_use]
    pub fn service_us(&self) -> u64 {
        u64::try_from(self.ended_us.saturating_sub(self.started_us)).unwrap_or(0)
    }

    /// How late the generator began it, in microseconds.
    #[must_use]
    pub fn send_lag_us(&self) -> u64 {
        let late_us = u64::try_from(self.started_us.saturating_sub(self.scheduled_us)).unwrap_or(0);
        late_us.saturating_sub(self.waited_us)
    }

    /// The second it belongs to: the one in which it ended.
    #[must_use]
    pub fn second(&self) -> i32 {
        second_of(self.ended_us)
    }
}

/// The second that contains an instant.
pub(crate) fn second_of(us: i64) -> i32 {
    let second = us.div_euclid(1_000_000);
    i32::try_from(second).unwrap_or(if second < 0 { i32::MIN } else { i32::MAX })
}
