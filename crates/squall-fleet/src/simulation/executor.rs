//! Tasks in virtual time: all that can go on does, in one order, and then time jumps to the next timer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
    tasks: Rc<RefCell<Vec<Place>>>,
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

/// By instant, and then by a number, so that those of one instant keep their order.
#[derive(Debug, Default)]
struct Waiting {
    timers: BTreeMap<(i64, u64), Waker>,
    next: u64,
}

/// Puts a task among those that are ready, once until it is polled.
struct TaskWaker {
    task: usize,
    is_ready: AtomicBool,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed) {
            lock(&self.ready).push_back(self.task);
        }
    }
}

/// What runs, if anything does, and what wakes it.
struct Place {
    task: Option<Task>,
    wakes: Arc<TaskWaker>,
    waker: Waker,
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
        let mut tasks = self.tasks.borrow_mut();
        let index = free.unwrap_or(tasks.len());
        if free.is_none() {
            let (is_ready, ready) = (AtomicBool::new(false), Arc::clone(&self.ready));
            let wakes = Arc::new(TaskWaker { task: index, is_ready, ready });
            tasks.push(Place { task: None, waker: Waker::from(Arc::clone(&wakes)), wakes });
        }
        if let Some(place) = tasks.get_mut(index) {
            place.task = Some(task);
            place.waker.wake_by_ref();
        }
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

    /// Drops what still runs, which would keep itself alive.
    pub fn end(&self) {
        let tasks: Vec<Option<Task>> =
            self.tasks.borrow_mut().iter_mut().map(|place| place.task.take()).collect();
        drop(tasks);
    }

    fn poll(&self, index: usize) {
        // While it runs it may start others.
        let taken = self.tasks.borrow_mut().get_mut(index).map(|place| {
            place.wakes.is_ready.store(false, Ordering::Relaxed);
            (place.task.take(), place.waker.clone())
        });
        let Some((Some(mut task), waker)) = taken else { return };
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.tasks.borrow_mut()[index].task = Some(task),
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
        let Some(((at_us, _), waker)) = lock(&self.waiting).timers.pop_first() else { return false };
        if at_us > until_us {
            return false;
        }
        self.elapsed_us.fetch_max(at_us, Ordering::Relaxed);
        waker.wake();
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

    /// By how much it is wrong.
    #[must_use]
    pub fn wrong_by(&self) -> Duration {
        Duration::from_micros(self.ahead_us.unsigned_abs())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        Time(BEGIN.0 + self.time.elapsed_us.load(Ordering::Relaxed) + self.ahead_us)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        let at_us = self.time.elapsed_us.load(Ordering::Relaxed).saturating_add(in_micros(duration));
        Sleep { time: Arc::clone(&self.time), at_us, timer: None }
    }
}

/// Ends when its time has come.
struct Sleep {
    time: Arc<Timers>,
    at_us: i64,
    /// Its timer, once it is set. It never moves to another task.
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.elapsed_us.load(Ordering::Relaxed) >= self.at_us {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            let mut waiting = lock(&self.time.waiting);
            waiting.next += 1;
            let number = waiting.next;
            waiting.timers.insert((self.at_us, number), context.waker().clone());
            drop(waiting);
            self.timer = Some(number);
        }
        Poll::Pending
    }
}

/// Who does not wait any more is not woken.
impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.timer
            && self.time.elapsed_us.load(Ordering::Relaxed) < self.at_us
        {
            lock(&self.time.waiting).timers.remove(&(self.at_us, number));
        }
    }
}

fn in_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
