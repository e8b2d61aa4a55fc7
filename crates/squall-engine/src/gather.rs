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
    /// Up to which interval each thread has handed over; all of them once it has ended.
    reached: Vec<i64>,
    /// Parts by the interval that they end.
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
        let reached = vec![i64::MIN; threads as usize];
        let state = State { reached, parts: BTreeMap::new(), recordings, finished, abort: None };
        Self { state: Mutex::new(state) }
    }

    /// A thread has measured up to the end of an interval; one that was held up may have left some out.
    pub(crate) fn hand_over(&self, thread: u32, interval: i64, part: Recording) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts.entry(interval).or_default().push(part);
        state.reach(thread, interval);
    }

    /// A thread has ended, and why the plan wants the whole run to end, if it does.
    pub(crate) fn leave(&self, thread: u32, rest: Recording, abort: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.abort = state.abort.take().or(abort);
        // Those that still measure may go on for long: what is here is not kept back for them.
        state.send(vec![rest]);
        state.reach(thread, i64::MAX);
        if state.reached.iter().all(|reached| *reached == i64::MAX) {
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
    /// A thread has come so far; intervals that all threads have reached are sent.
    fn reach(&mut self, thread: u32, interval: i64) {
        if let Some(reached) = self.reached.get_mut(thread as usize) {
            *reached = interval;
        }
        let all = self.reached.iter().copied().min().unwrap_or(i64::MAX);
        while let Some(first) = self.parts.first_entry().filter(|first| *first.key() <= all) {
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

#[cfg(test)]
mod tests {
    use squall_metrics::Recorder;

    use super::*;

    /// A part that is told from others by its problem.
    fn part(problem: &str) -> Recording {
        let mut recorder = Recorder::new(0);
        recorder.note(problem.to_owned());
        recorder.take()
    }

    #[test]
    fn an_interval_leaves_when_no_thread_can_have_more_of_it() {
        let (sender, mut recordings) = mpsc::unbounded();
        let (finished_sender, mut finished) = oneshot::channel();
        let gatherer = Gatherer::new(2, sender, finished_sender);
        let mut sent = || {
            let recording = recordings.try_recv().ok()?;
            Some(recording.into_interval().problems.into_keys().collect::<Vec<_>>().join(" "))
        };
        gatherer.hand_over(0, 1, part("a1"));
        assert_eq!(sent(), None);
        // The other one slept through an interval.
        gatherer.hand_over(1, 2, part("b2"));
        assert_eq!((sent(), sent()), (Some("a1".to_owned()), None));
        gatherer.hand_over(0, 2, part("a2"));
        assert_eq!(sent(), Some("a2 b2".to_owned()));
        gatherer.hand_over(1, 3, part("b3"));
        gatherer.leave(0, part("a"), None);
        assert_eq!((sent(), sent()), (Some("a".to_owned()), Some("b3".to_owned())));
        gatherer.hand_over(1, 4, part("b4"));
        assert_eq!(sent(), Some("b4".to_owned()), "those who are gone are not waited for");
        gatherer.leave(1, part("b"), Some("why".to_owned()));
        assert_eq!(finished.try_recv(), Ok(Some(Finished { abort: Some("why".to_owned()) })));
    }
}
