//! Time-outs that cost next to nothing while nothing times out.
//!
//! Nearly every request ends long before it times out, so a timer for each would be set and cleared in vain. Here
//! each user has one [`Leash`] with a deadline that it moves as it likes; the watchdog looks at a leash only when
//! the deadline that it last saw has come, and goes on to the one it then finds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;

/// What waited for something has waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Looks after the leashes of one thread.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// When to look at which leash.
    looks: RefCell<BTreeMap<(Instant, u64), Weak<Leash>>>,
    next_id: Cell<u64>,
    /// Told when there is an earlier look than all before.
    earlier: Notify,
}

/// A user's deadline.
#[derive(Debug)]
pub(crate) struct Leash {
    id: u64,
    /// `None` while nothing is waited for.
    deadline: Cell<Option<Instant>>,
    /// When the watchdog will look, if it will.
    looked_at: Cell<Option<Instant>>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watchdog {
    /// A leash for a new user.
    pub(crate) fn leash(&self) -> Rc<Leash> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        Rc::new(Leash {
            id,
            deadline: Cell::new(None),
            looked_at: Cell::new(None),
            expired: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Waits for something until `deadline`, or for ever if there is none.
    pub(crate) async fn within<F: Future>(
        &self,
        leash: &Rc<Leash>,
        deadline: Option<Instant>,
        // Pinned by the caller: a large future that is passed on is copied.
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        leash.expired.set(false);
        leash.deadline.set(deadline);
        if let Some(deadline) = deadline
            && leash.looked_at.get().is_none_or(|look| deadline < look)
        {
            self.look_at(leash, deadline);
        }
        let _loosen = Loosen(leash);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if leash.expired.get() {
                return Poll::Ready(Err(Elapsed));
            }
            let mut waker = leash.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn look_at(&self, leash: &Rc<Leash>, at: Instant) {
        let mut looks = self.looks.borrow_mut();
        if let Some(before) = leash.looked_at.replace(Some(at)) {
            looks.remove(&(before, leash.id));
        }
        let earliest = looks.first_key_value().is_none_or(|((first, _), _)| at < *first);
        looks.insert((at, leash.id), Rc::downgrade(leash));
        if earliest {
            self.earlier.notify_one();
        }
    }

    /// Watches; never returns.
    pub(crate) async fn watch(&self, clock: &dyn Clock) {
        loop {
            let next = self.looks.borrow().first_key_value().map(|((at, _), _)| *at);
            match next {
                None => self.earlier.notified().await,
                Some(at) => tokio::select! {
                    () = clock.sleep_until(at) => self.look(clock.now()),
                    () = self.earlier.notified() => {}
                },
            }
        }
    }

    /// Looks at every leash whose time has come.
    fn look(&self, now: Instant) {
        loop {
            let mut looks = self.looks.borrow_mut();
            let Some(first) = looks.first_entry().filter(|first| first.key().0 <= now) else { return };
            let leash = first.remove().upgrade();
            drop(looks);
            let Some(leash) = leash else { continue };
            leash.looked_at.set(None);
            match leash.deadline.get() {
                Some(deadline) if deadline > now => self.look_at(&leash, deadline),
                Some(_) => {
                    leash.expired.set(true);
                    leash.waker.borrow().as_ref().inspect(|waker| waker.wake_by_ref());
                }
                None => {}
            }
        }
    }
}

impl Leash {
    /// Moves the deadline of the wait that is under way.
    pub(crate) fn extend(&self, by: Duration) {
        self.deadline.set(self.deadline.get().map(|deadline| deadline + by));
    }
}

/// Ends a wait however it ends.
struct Loosen<'a>(&'a Leash);

impl Drop for Loosen<'_> {
    fn drop(&mut self) {
        self.0.deadline.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::clock::TokioClock;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_and_not_at_that_of_one_before() {
        let (watchdog, clock) = (Watchdog::default(), TokioClock);
        let begin = clock.now();
        let waits = async {
            let leash = watchdog.leash();
            let soon =
                watchdog.within(&leash, Some(begin + ms(100)), pin!(clock.sleep_until(begin + ms(60)))).await;
            assert_eq!((soon, clock.now() - begin), (Ok(()), ms(60)));
            let late =
                watchdog.within(&leash, Some(begin + ms(300)), pin!(std::future::pending::<()>())).await;
            assert_eq!((late, clock.now() - begin), (Err(Elapsed), ms(300)));
            // A shorter one than that which is looked for.
            let long = watchdog
                .within(&leash, Some(begin + ms(9_000)), pin!(clock.sleep_until(begin + ms(310))))
                .await;
            assert_eq!(long, Ok(()));
            let short =
                watchdog.within(&leash, Some(begin + ms(320)), pin!(std::future::pending::<()>())).await;
            assert_eq!((short, clock.now() - begin), (Err(Elapsed), ms(320)));
        };
        tokio::select! {
            () = watchdog.watch(&clock) => {}
            () = waits => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leash_is_looked_at_in_one_place_however_often_it_moves() {
        let (watchdog, clock) = (Watchdog::default(), TokioClock);
        let leash = watchdog.leash();
        for request in 0..100 {
            let deadline = Some(clock.now() + ms(1_000 - request));
            assert_eq!(watchdog.within(&leash, deadline, pin!(std::future::ready(1))).await, Ok(1));
        }
        assert_eq!(watchdog.looks.borrow().len(), 1);
        drop(leash);
        watchdog.look(clock.now() + ms(2_000));
        assert!(watchdog.looks.borrow().is_empty());
    }
}
