//! How the users and arrivals of a thread come to an end before the plan's: at the instant at which the slice is handed
//! over, each when its time has come.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::in_micros;
use crate::worker::Worker;

/// The end as a thread has heard of it, and whom it concerns.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    heard: Cell<Option<Heard>>,
    curfews: RefCell<Vec<Rc<Curfew>>>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    end_us: i64,
    /// When it was heard: nothing ends before that.
    at_us: i64,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Everything goes on.
    Open,
    /// Nothing new begins.
    Over,
    /// What is still going on is cut off.
    CutOff,
}

/// When somebody has to leave, and how it is called. While nobody calls, it costs a look at a cell.
#[derive(Debug)]
pub(crate) struct Curfew {
    /// So long after the end it leaves.
    after_us: i64,
    /// What it is doing may go on for so long.
    grace_us: i64,
    stage: Cell<Stage>,
    waker: RefCell<Option<Waker>>,
}

impl Ending {
    /// A curfew for somebody who leaves so long after the end, with so much time to finish.
    pub(crate) fn curfew(&self, after_us: i64, grace: Duration) -> Rc<Curfew> {
        let grace_us = i64::try_from(in_micros(grace)).unwrap_or(i64::MAX);
        let (stage, waker) = (Cell::new(Stage::Open), RefCell::default());
        let curfew = Rc::new(Curfew { after_us, grace_us, stage, waker });
        self.curfews.borrow_mut().push(Rc::clone(&curfew));
        curfew
    }

    /// The end, whoever leaves when; later than everything as long as there is none.
    pub(crate) fn end_us(&self) -> i64 {
        self.heard.get().map_or(i64::MAX, |heard| heard.end_us)
    }

    /// When somebody leaves who does so as long after the end: not before the end was heard.
    pub(crate) fn leaves_us(&self, after_us: i64) -> i64 {
        let leaves_us = |heard: Heard| heard.end_us.saturating_add(after_us).max(heard.at_us);
        self.heard.get().map_or(i64::MAX, leaves_us)
    }

    fn hear(&self, end_us: i64, at_us: i64) {
        if end_us < self.end_us() {
            self.heard.set(Some(Heard { end_us, at_us }));
        }
    }
}

impl Curfew {
    pub(crate) fn after_us(&self) -> i64 {
        self.after_us
    }

    /// Waits for something, but no longer than to the end.
    pub(crate) async fn wait(&self, mut event: impl Future<Output = ()> + Unpin) {
        poll_fn(|context| {
            if self.poll(Stage::Over, context).is_ready() {
                return Poll::Ready(());
            }
            Pin::new(&mut event).poll(context)
        })
        .await;
    }

    /// Lets something go on until it is cut off.
    pub(crate) async fn within(&self, mut doing: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|context| {
            if self.poll(Stage::CutOff, context).is_ready() {
                return Poll::Ready(());
            }
            doing.as_mut().poll(context)
        })
        .await;
    }

    /// Waits until what is still going on is cut off.
    pub(crate) async fn cut_off(&self) {
        poll_fn(|context| self.poll(Stage::CutOff, context)).await;
    }

    fn poll(&self, stage: Stage, context: &Context<'_>) -> Poll<()> {
        if self.stage.get() >= stage {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn call(&self, stage: Stage) {
        self.stage.set(self.stage.get().max(stage));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Listens for an end, and calls everybody whom it concerns; again if it turns out to be earlier.
pub(crate) async fn watch(worker: Rc<Worker>, thread: usize) {
    worker.bounds.end_told(thread).await;
    loop {
        worker.ending.hear(worker.bounds.end_us(), worker.now_us());
        tokio::select! {
            () = call_all(&worker) => worker.bounds.end_told(thread).await,
            () = worker.bounds.end_told(thread) => {}
        }
    }
}

async fn call_all(worker: &Worker) {
    let mut calls: Vec<(i64, Stage, Rc<Curfew>)> = Vec::new();
    for curfew in &*worker.ending.curfews.borrow() {
        let over_us = worker.ending.leaves_us(curfew.after_us);
        calls.push((over_us, Stage::Over, Rc::clone(curfew)));
        calls.push((over_us.saturating_add(curfew.grace_us), Stage::CutOff, Rc::clone(curfew)));
    }
    calls.sort_by_key(|(at_us, ..)| *at_us);
    for (at_us, stage, curfew) in calls {
        worker.clock.sleep_until(worker.instant_at(at_us)).await;
        curfew.call(stage);
    }
}
