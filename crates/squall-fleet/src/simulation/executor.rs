//! Tasks in virtual time: all that can go on does, in one order, and then time jumps to the next timer.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::{Clock, Time};

/// When virtual time begins.
const BEGIN: Time = Time(1_700_000_000_000_000);

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs tasks. Cloned, it is the same one.
#[derive(Clone, Default)]
pub struct Executor {
    tasks: Rc<RefCell<Vec<Option<Task>>>>,
    free: Rc<RefCell<Vec<usize>>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    time: Arc<Timers>,
}

/// Virtual time, and who waits for which.
#[derive(Debug, Default)]
struct Timers {
    elapsed_us: AtomicI64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    heap: BinaryHeap<Reverse<Timer>>,
    next: u64,
}

/// Told apart by a number, so that those of one instant keep their order.
#[derive(Debug)]
struct Timer {
    at_us: i64,
    number: u64,
    waker: Waker,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// Puts a task among those that are ready.
struct TaskWaker {
    task: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).push_back(self.task);
    }
}

impl Executor {
    /// A clock that is ahead of virtual time by so much.
    #[must_use]
    pub fn clock(&self, ahead_us: i64) -> VirtualClock {
        VirtualClock { time: Arc::clone(&self.time), ahead_us }
    }

    /// Starts a task that nobody waits for.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task: Task = Box::pin(future);
        let free = self.free.borrow_mut().pop();
        let index = match free {
            Some(index) => {
                self.tasks.borrow_mut()[index] = Some(task);
                index
            }
            None => {
                self.tasks.borrow_mut().push(Some(task));
                self.tasks.borrow().len() - 1
            }
        };
        lock(&self.ready).push_back(index);
    }

    /// What a future comes to, with everything that goes on beside it; `None` if it does not end in so much time.
    pub fn run<T: 'static>(&self, limit: Duration, future: impl Future<Output = T> + 'static) -> Option<T> {
        let result = Rc::new(Cell::new(None));
        let until_us = self.time.elapsed_us.load(Ordering::Relaxed) + in_micros(limit);
        let (place, is_done) = (Rc::clone(&result), Rc::new(Cell::new(false)));
        let done = Rc::clone(&is_done);
        self.spawn(async move {
            place.set(Some(future.await));
            done.set(true);
        });
        while !is_done.get() {
            let next = lock(&self.ready).pop_front();
            match next {
                Some(task) => self.poll(task),
                None if self.time.advance(until_us) => {}
                None => return None,
            }
        }
        result.take()
    }

    fn poll(&self, index: usize) {
        // While it runs it may start others.
        let task = self.tasks.borrow_mut().get_mut(index).and_then(Option::take);
        let Some(mut task) = task else { return };
        let waker = Waker::from(Arc::new(TaskWaker { task: index, ready: Arc::clone(&self.ready) }));
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.tasks.borrow_mut()[index] = Some(task),
            Poll::Ready(()) => self.free.borrow_mut().push(index),
        }
    }

    /// What a future comes to, unless that takes longer.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let clock = self.clock(0);
        match select(pin!(future), pin!(clock.sleep(limit))).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }
}

impl Timers {
    /// Jumps to the next timer; whether there is one before `until_us`.
    fn advance(&self, until_us: i64) -> bool {
        let mut waiting = lock(&self.waiting);
        let Some(Reverse(timer)) = waiting.heap.pop() else { return false };
        if timer.at_us > until_us {
            return false;
        }
        self.elapsed_us.fetch_max(timer.at_us, Ordering::Relaxed);
        timer.waker.wake();
        true
    }
}

/// A clock of virtual time, which may be wrong.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    time: Arc<Timers>,
    ahead_us: i64,
}

impl VirtualClock {
    /// Since virtual time began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.time.elapsed_us.load(Ordering::Relaxed)).unwrap_or(0))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        Time(BEGIN.0 + self.time.elapsed_us.load(Ordering::Relaxed) + self.ahead_us)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        let at_us = self.time.elapsed_us.load(Ordering::Relaxed).saturating_add(in_micros(duration));
        Sleep { time: Arc::clone(&self.time), at_us, is_set: false }
    }
}

/// Ends when its time has come.
struct Sleep {
    time: Arc<Timers>,
    at_us: i64,
    /// Whether its timer is set. It never moves to another task.
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.elapsed_us.load(Ordering::Relaxed) >= self.at_us {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut self.is_set, true) {
            let mut waiting = lock(&self.time.waiting);
            waiting.next += 1;
            let (at_us, number) = (self.at_us, waiting.next);
            waiting.heap.push(Reverse(Timer { at_us, number, waker: context.waker().clone() }));
        }
        Poll::Pending
    }
}

fn in_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
