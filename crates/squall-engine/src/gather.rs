//! What the threads of a slice measured, put together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_channel::{mpsc, oneshot};
use squall_metrics::Recording;

use crate::slice::Finished;

/// Waits with an interval until every thread has handed its part over. Locked once an interval by each.
#[derive(Debug)]
pub(crate) struct Gatherer {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Threads that still measure.
    threads: u32,
    /// Parts by the second at whose begin they were handed over.
    parts: BTreeMap<i64, Vec<Recording>>,
    recordings: Option<mpsc::UnboundedSender<Recording>>,
    finished: Option<oneshot::Sender<Finished>>,
    abort: Option<String>,
}

impl Gatherer {
    pub(crate) fn new(
        threads: u32,
        recordings: mpsc::UnboundedSender<Recording>,
        finished: oneshot::Sender<Finished>,
    ) -> Self {
        let (recordings, finished) = (Some(recordings), Some(finished));
        let state = State { threads, parts: BTreeMap::new(), recordings, finished, abort: None };
        Self { state: Mutex::new(state) }
    }

    /// A thread has measured up to a second.
    pub(crate) fn hand_over(&self, second: i64, part: Recording) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts.entry(second).or_default().push(part);
        state.send_complete();
    }

    /// A thread has ended, and why the plan wants the whole run to end, if it does.
    pub(crate) fn leave(&self, rest: Recording, abort: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.threads = state.threads.saturating_sub(1);
        state.abort = state.abort.take().or(abort);
        // Those that still measure may go on for long: what is here is not kept back for them.
        state.send(vec![rest]);
        state.send_complete();
        if state.threads == 0 {
            state.recordings = None;
            let abort = state.abort.take();
            // Nobody listens any more if the generator itself is gone.
            state.finished.take().map(|finished| finished.send(Finished { abort }));
        }
    }

    /// A thread died: its part is missing for ever, so the slice has failed.
    pub(crate) fn fail(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.recordings, state.finished) = (None, None);
    }
}

impl State {
    /// Sends the intervals of which all parts are there.
    fn send_complete(&mut self) {
        while let Some(first) = self.parts.first_entry() {
            if first.get().len() < self.threads as usize {
                return;
            }
            let parts = first.remove();
            self.send(parts);
        }
    }

    fn send(&mut self, parts: Vec<Recording>) {
        if let (Some(recordings), Some(whole)) = (&self.recordings, Recording::join(parts)) {
            // Nobody listens any more if the generator itself is gone.
            let _ = recordings.unbounded_send(whole);
        }
    }
}
