//! What is known of a request while it is under way.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use squall_metrics::{Outcome, Phase, Phases, Sample, SeriesId};
use squall_plan::Request;
use tokio::time::Instant;

use crate::clock::micros;
use crate::trace::Draft;
use crate::wire::Wire;
use crate::worker::Worker;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) failed: bool,
}

impl Ended {
    pub(crate) fn failed(outcome: Outcome) -> Self {
        Self { outcome, failed: true }
    }
}

/// When a request was due, and since when it could have been begun: later where it waited for a user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) ready: Instant,
}

/// A request under way. Dropped before its end, it is recorded as unfinished: a user who is cut off
/// leaves no request behind that nobody counted.
pub(crate) struct InFlight {
    worker: Rc<Worker>,
    pub(crate) sample: Sample,
    recorded: bool,
}

impl InFlight {
    pub(crate) fn begin(worker: &Rc<Worker>, request: &Request, due: Due, started_us: i64) -> Self {
        worker.in_flight.set(worker.in_flight.get() + 1);
        let series = SeriesId(u16::try_from(request.series).unwrap_or(u16::MAX));
        let sample = Sample {
            waited_us: micros(due.at, due.ready),
            ..Sample::begun(series, worker.offset_us(due.at), started_us)
        };
        Self { worker: Rc::clone(worker), sample, recorded: false }
    }

    pub(crate) fn end(mut self, ended: Ended, at: Instant) {
        self.sample.outcome = ended.outcome;
        self.sample.failed = ended.failed;
        self.record(at);
    }

    fn record(&mut self, at: Instant) {
        self.recorded = true;
        self.sample.ended_us = self.worker.offset_us(at);
        self.worker.in_flight.set(self.worker.in_flight.get().saturating_sub(1));
        self.worker.recorder.borrow_mut().record(&self.sample);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(self.worker.clock.now());
        }
    }
}

/// What is known of the attempt under way, also when it is given up.
#[derive(Default)]
pub(crate) struct Attempt {
    /// Told by a connection while it is made.
    pub(crate) dialing: Option<Rc<Cell<Phases>>>,
    /// From when on the request was on its way, over what, and when its head came, if only HTTP/2 knows.
    pub(crate) sent: Option<(Instant, Rc<Wire>, bool)>,
    pub(crate) head_at: Option<Instant>,
    /// Since when it has waited for a connection of the pool.
    pub(crate) waiting_since: Option<Instant>,
    /// What will be told of the request, if somebody listens.
    pub(crate) draft: RefCell<Option<Box<Draft>>>,
}

impl Attempt {
    /// Adds what the attempt took to the sample.
    pub(crate) fn close(&mut self, sample: &mut Sample, now: Instant) {
        self.count(sample, now);
        if let Some(draft) = self.draft.get_mut() {
            draft.closed(sample);
        }
    }

    fn count(&mut self, sample: &mut Sample, now: Instant) {
        if let Some(dialing) = self.dialing.take() {
            let dialed = dialing.get();
            for phase in Phase::ALL {
                dialed.get(phase).into_iter().for_each(|us| sample.phases.add(phase, us));
            }
        }
        let head_at = self.head_at.take();
        let Some((begun, wire, http2)) = self.sent.take() else { return };
        let traffic = wire.take_traffic();
        sample.bytes_sent += traffic.sent;
        sample.bytes_received += traffic.received;
        // Over HTTP/2 others use the wire, too: there the first byte is the head, and sending is a part of it.
        let (sent, first) =
            if http2 { (Some(begun), head_at) } else { (wire.last_sent(), wire.first_received()) };
        if !http2 {
            sample.phases.add(Phase::Send, micros(begun, sent.unwrap_or(now)));
        }
        if let Some(sent) = sent {
            sample.phases.add(Phase::FirstByte, micros(sent, first.unwrap_or(now)));
        }
        if let Some(first) = first {
            sample.phases.add(Phase::Body, micros(first, now));
        }
    }
}
