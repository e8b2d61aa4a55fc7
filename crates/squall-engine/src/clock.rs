//! Time, as the engine sees it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Time for the users of one thread.
pub trait Clock {
    /// The current instant.
    fn now(&self) -> Instant;

    /// Waits until `deadline`; returns at once if it has passed.
    fn sleep_until(&self, deadline: Instant) -> LocalBoxFuture<'static, ()>;

    /// What the clock on the wall says, in milliseconds since 1970: for what is told to others, not for what is measured.
    fn unix_ms(&self) -> i64 {
        unix_ms()
    }
}

/// tokio's own time, to the millisecond; virtual in tests that pause it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> LocalBoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(deadline))
    }
}

/// Real time, finer than tokio's wheel of one millisecond, which would add half of one to the response time
/// of every request that follows a pause.
///
/// All sleepers of a thread share one kernel timer, armed for the earliest of them.
pub struct FineClock {
    sleepers: Rc<Sleepers>,
}

struct Sleepers {
    timer: AsyncFd<OwnedFd>,
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    armed: Cell<Option<Instant>>,
    next_id: Cell<u64>,
}

impl FineClock {
    /// Makes the timer and starts the task that serves it. Must be called within a local runtime.
    pub fn start() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; here the descriptor is owned and never changed"
        )]
        let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        let sleepers = Rc::new(Sleepers {
            timer,
            waiting: RefCell::default(),
            armed: Cell::new(None),
            next_id: Cell::new(0),
        });
        tokio::task::spawn_local(serve(Rc::clone(&sleepers)));
        Ok(Self { sleepers })
    }
}

impl Clock for FineClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> LocalBoxFuture<'static, ()> {
        let id = self.sleepers.next_id.get();
        self.sleepers.next_id.set(id + 1);
        Box::pin(Sleep { sleepers: Rc::clone(&self.sleepers), key: (deadline, id) })
    }
}

/// Wakes the sleepers whose time has come, each time the timer fires.
async fn serve(sleepers: Rc<Sleepers>) {
    while let Ok(mut ready) = sleepers.timer.readable().await {
        let mut expirations = [0_u8; 8];
        // Reading clears the timer; that it was cleared already is no problem.
        let _ = rustix::io::read(sleepers.timer.get_ref(), &mut expirations);
        ready.clear_ready();
        sleepers.wake_due();
    }
}

impl Sleepers {
    fn wake_due(&self) {
        let now = Instant::now();
        self.armed.set(None);
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry() {
            let deadline = first.key().0;
            if deadline > now {
                self.arm(deadline, now);
                break;
            }
            first.remove().wake();
        }
    }

    fn arm(&self, deadline: Instant, now: Instant) {
        // Zero would disarm the timer.
        let delay = deadline.saturating_duration_since(now).max(Duration::from_nanos(1));
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(delay.subsec_nanos()),
            },
        };
        if timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec).is_ok() {
            self.armed.set(Some(deadline));
        }
    }
}

struct Sleep {
    sleepers: Rc<Sleepers>,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (deadline, sleepers) = (self.key.0, &self.sleepers);
        let now = Instant::now();
        if now >= deadline {
            return Poll::Ready(());
        }
        sleepers.waiting.borrow_mut().insert(self.key, context.waker().clone());
        if sleepers.armed.get().is_none_or(|armed| deadline < armed) {
            sleepers.arm(deadline, now);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.sleepers.waiting.borrow_mut().remove(&self.key);
    }
}

/// The wall's clock, in milliseconds since 1970: for texts that plans send, not for what is measured.
pub(crate) fn unix_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000)
}

/// Microseconds between two instants.
pub(crate) fn micros(from: Instant, until: Instant) -> u64 {
    in_micros(until.saturating_duration_since(from))
}

/// Microseconds from an epoch to an instant; negative before it.
pub(crate) fn offset_us(epoch: Instant, instant: Instant) -> i64 {
    let us = |duration| i64::try_from(in_micros(duration)).unwrap_or(i64::MAX);
    match instant.checked_duration_since(epoch) {
        Some(after) => us(after),
        None => -us(epoch - instant),
    }
}

/// A duration in microseconds. Those of a run fit; `as_micros` would calculate with twice as many bits.
pub(crate) fn in_micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn every_sleeper_wakes_and_none_before_its_time() {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let clock = FineClock::start().unwrap();
            let start = clock.now();
            let woken = Cell::new(0);
            let sleeps = [3_u64, 1, 2, 0].map(|ms| {
                let (clock, woken) = (&clock, &woken);
                async move {
                    let deadline = start + Duration::from_millis(ms);
                    clock.sleep_until(deadline).await;
                    assert!(clock.now() >= deadline);
                    woken.set(woken.get() + 1);
                }
            });
            join_all(sleeps).await;
            assert_eq!(woken.get(), 4);
        });
    }

    #[test]
    fn a_sleeper_that_gives_up_is_forgotten() {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let clock = FineClock::start().unwrap();
            let mut long = clock.sleep_until(clock.now() + Duration::from_hours(1));
            assert!(futures_util::poll!(&mut long).is_pending());
            drop(long);
            assert!(clock.sleepers.waiting.borrow().is_empty());
        });
    }
}
