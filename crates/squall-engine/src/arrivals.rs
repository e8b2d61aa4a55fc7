//! The open model: iterations start on schedule, whatever the target does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use squall_plan::schedule::ArrivalSchedule;
use squall_plan::{OpenLoad, PlacedLoad, Users, WhenFull};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::in_micros;
use crate::core::reap;
use crate::ending::Curfew;
use crate::flight::Due;
use crate::load::{LoadRun, offset_us};
use crate::user::{Taken, User};
use crate::worker::{Life, Worker};

/// Users of a scenario that log in at the same time, at most.
const CONCURRENT_LOGINS: usize = 32;

/// Users that need a login are made ready for this share of a second of arrivals at the peak.
const READY_FOR_SECONDS: f64 = 1.0;

/// This part of them is few.
const FEW: usize = 4;

/// Many arrivals share a timer: the next one is waited for so long at least, which is less than a timer is late.
const GRAIN: Duration = Duration::from_micros(50);

/// Arrivals that are late are let happen without a pause, so many in a row.
const MAX_IN_A_ROW: u32 = 128;

/// How long no user of a scenario logs in after a login has failed: first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Arrivals of a thread that wait for a user at most; more are dropped.
const MAX_QUEUED: usize = 1_000_000;

/// Lets the arrivals of this thread's share happen; returns when the last iteration has ended.
pub(crate) async fn dispatch(
    worker: &Rc<Worker>,
    run: Rc<LoadRun>,
    placed: &PlacedLoad,
    load: &OpenLoad,
    tasks: &mut JoinSet<()>,
) {
    let schedule = ArrivalSchedule::new(load);
    let from_us = worker.from_us.saturating_sub(in_micros(placed.start));
    // Each arrival before had a user of its own where none does anything twice; else users go on as who they were.
    let users_before = if from_us > 0 && load.users == Users::Fresh {
        schedule.arrivals_before(worker.share, worker.seed, from_us)
    } else {
        0
    };
    let pools = Rc::new(Pools::new(worker, &run, load, users_before));
    for scenario in 0..worker.plan.scenarios.len() {
        pools.grow(scenario, tasks);
    }
    let (mut in_a_row, mut woken) = (0, worker.clock.now());
    for arrival in schedule.arrivals_from(worker.share, worker.seed, from_us) {
        let offset_us = offset_us(placed, arrival.at_us);
        let due = worker.instant(offset_us);
        // Behind schedule, nobody waits: what is late starts at once, and its lateness is in its record.
        let mut now = worker.clock.now();
        if due > now {
            pools.grow_until(due.max(woken + GRAIN), tasks).await;
            now = worker.clock.now();
            (in_a_row, woken) = (0, now);
        } else if in_a_row >= MAX_IN_A_ROW {
            // Users, and whoever wants to stop all this, must get their turn, too.
            tokio::task::yield_now().await;
            now = worker.clock.now();
            in_a_row = 0;
        }
        // Behind the fence nobody knows what has become of arrivals: others may have let them happen.
        if worker.is_fenced(now) {
            return worker.halt().await;
        }
        let offset_us = i64::try_from(offset_us).unwrap_or(i64::MAX);
        if offset_us >= worker.ending.end_us() {
            break;
        }
        in_a_row += 1;
        while let Some(ended) = tasks.try_join_next() {
            reap(ended);
        }
        pools.arrive(Queued { ordinal: arrival.ordinal, offset_us, due }, tasks);
    }
    pools.close();
    let all_ended = async {
        while let Some(ended) = tasks.join_next().await {
            reap(ended);
        }
    };
    tokio::select! {
        () = all_ended => return,
        () = pools.curfew.cut_off() => {}
        () = worker.clock.sleep_until(worker.epoch + placed.latest_end()) => {}
    }
    // Other loads may go on.
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        reap(ended);
    }
}

/// An arrival that waits for a user, or has just come.
#[derive(Debug, Clone, Copy)]
struct Queued {
    ordinal: u64,
    offset_us: i64,
    due: Instant,
}

/// A user between or within iterations, with its life. It has a task of its own as long as it lives.
struct Pooled {
    user: User,
    scenario: usize,
    iterations: u64,
    bell: Rc<Bell>,
    _life: Life,
}

/// How a free user is told what comes next.
#[derive(Default)]
struct Bell {
    next: Cell<Option<Next>>,
    waker: RefCell<Option<Waker>>,
}

/// What comes next for a free user.
#[derive(Debug, Clone, Copy)]
enum Next {
    Serve(Queued),
    End,
}

impl Bell {
    fn ring(&self, next: Next) {
        self.next.set(Some(next));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    async fn rung(&self) -> Next {
        poll_fn(|context| {
            if let Some(next) = self.next.take() {
                return Poll::Ready(next);
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// The free users of each scenario, the most recently freed last, who waits for one, and how many more there may
/// be.
struct Pools {
    worker: Rc<Worker>,
    run: Rc<LoadRun>,
    curfew: Rc<Curfew>,
    free: Vec<RefCell<VecDeque<Rc<Bell>>>>,
    queued: Vec<RefCell<VecDeque<Queued>>>,
    /// Free users that each scenario whose users log in should have.
    ready: Vec<usize>,
    users: Cell<u64>,
    max_users: u64,
    next_ordinal: Cell<u64>,
    /// Logins under way, for each scenario.
    logins: Vec<Cell<usize>>,
    /// When the next login may be tried after one has failed, and how long that pause was.
    not_before: Vec<Cell<Option<(Instant, Duration)>>>,
    queues: bool,
    fresh: bool,
    /// Whether the last arrival has come, so that users who are not needed end.
    closed: Cell<bool>,
    /// Told when a login has ended, so that the next may begin.
    logged_in: Notify,
}

/// Who takes an arrival.
enum Taker {
    Free(Rc<Bell>),
    New(Box<Pooled>),
}

impl Pools {
    /// So many users have been another generator's.
    fn new(worker: &Rc<Worker>, run: &Rc<LoadRun>, load: &OpenLoad, users_before: u64) -> Self {
        let scenarios = &worker.plan.scenarios;
        let own = &worker.plan.loads[usize::from(run.id.0)].scenarios;
        let peak =
            load.stages.iter().map(|stage| stage.rate).chain([load.start_rate]).max().unwrap_or_default();
        let own_peak = peak.per_second() / f64::from(worker.share.count());
        let weights: f64 = own.iter().map(|&scenario| f64::from(scenarios[scenario].weight)).sum();
        let max_users = worker.share.size_of(u64::from(load.max_users));
        let fresh = load.users == Users::Fresh;
        let ready = scenarios.iter().enumerate().map(|(index, scenario)| {
            // No scenario may take the places of the others.
            let share = f64::from(scenario.weight) / weights;
            let wanted = (own_peak * READY_FOR_SECONDS).min(max_users as f64) * share;
            let logs_in = !scenario.before.is_empty() && own.contains(&index) && !fresh;
            if logs_in { to_count(wanted) } else { 0 }
        });
        let (first, step) = (u64::from(worker.share.index()), u64::from(worker.share.count()));
        Self {
            curfew: worker.ending.curfew(0, load.graceful_stop),
            free: scenarios.iter().map(|_| RefCell::default()).collect(),
            queued: scenarios.iter().map(|_| RefCell::default()).collect(),
            ready: ready.collect(),
            users: Cell::new(0),
            max_users,
            next_ordinal: Cell::new(first.saturating_add(users_before.saturating_mul(step))),
            logins: scenarios.iter().map(|_| Cell::new(0)).collect(),
            not_before: scenarios.iter().map(|_| Cell::new(None)).collect(),
            queues: load.when_full == WhenFull::Queue,
            fresh,
            closed: Cell::new(false),
            logged_in: Notify::new(),
            worker: Rc::clone(worker),
            run: Rc::clone(run),
        }
    }

    /// One arrival: a free user starts an iteration, or the arrival waits for one or is dropped.
    fn arrive(self: &Rc<Self>, arrival: Queued, tasks: &mut JoinSet<()>) {
        let scenario = self.run.scenario(arrival.ordinal);
        self.worker.recorder.borrow_mut().arrival_scheduled(self.run.id, arrival.offset_us);
        // Nobody overtakes those who wait.
        let queue_is_empty = self.queued[scenario].borrow().is_empty();
        let user = if queue_is_empty { self.take(scenario) } else { None };
        self.grow(scenario, tasks);
        match user {
            Some(Taker::Free(bell)) => bell.ring(Next::Serve(arrival)),
            Some(Taker::New(user)) => {
                let due = Due { at: arrival.due, ready: arrival.due };
                tasks.spawn_local(serve(Rc::clone(self), *user, due, arrival));
            }
            None if self.queues && self.waiting() < MAX_QUEUED => {
                self.queued[scenario].borrow_mut().push_back(arrival);
            }
            None => self.drop_arrival(arrival),
        }
    }

    fn waiting(&self) -> usize {
        self.queued.iter().map(|queue| queue.borrow().len()).sum()
    }

    fn drop_arrival(&self, arrival: Queued) {
        self.worker.recorder.borrow_mut().arrival_dropped(self.run.id, arrival.offset_us);
    }

    /// The most recently freed user, or a new one where that takes no login beside the arrival.
    fn take(&self, scenario: usize) -> Option<Taker> {
        let freed = self.free[scenario].borrow_mut().pop_back();
        let logs_in = !self.worker.plan.scenarios[scenario].before.is_empty() && !self.fresh;
        if freed.is_some() || logs_in {
            return freed.map(Taker::Free);
        }
        if self.users.get() >= self.max_users {
            self.make_room(scenario);
        }
        self.create(scenario).map(|user| Taker::New(Box::new(user)))
    }

    /// Ends a user that another scenario has to spare.
    fn make_room(&self, scenario: usize) {
        let to_spare =
            |other: &usize| *other != scenario && self.free[*other].borrow().len() > self.ready[*other];
        if let Some(other) = (0..self.free.len()).find(to_spare) {
            let spared = self.free[other].borrow_mut().pop_front();
            spared.inspect(|spared| spared.ring(Next::End));
            self.end();
        }
    }

    /// No arrival will come any more: who is free ends, and who becomes free, too.
    fn close(&self) {
        self.closed.set(true);
        for free in &self.free {
            free.take().iter().for_each(|bell| bell.ring(Next::End));
        }
    }

    fn end(&self) {
        self.users.set(self.users.get().saturating_sub(1));
    }

    fn create(&self, scenario: usize) -> Option<Pooled> {
        if self.users.get() >= self.max_users {
            return None;
        }
        self.users.set(self.users.get() + 1);
        let ordinal = self.next_ordinal.get();
        self.next_ordinal.set(ordinal + u64::from(self.worker.share.count()));
        let life = Life::begin(&self.worker, self.run.id, (self.worker.now_us(), i64::MAX), i64::MAX);
        let user = User::new(&self.worker, &self.run, scenario, ordinal);
        Some(Pooled { user, scenario, iterations: 0, bell: Rc::default(), _life: life })
    }

    /// What comes after an iteration: an arrival that waits, and who takes it; or else the next one that comes.
    async fn next(&self, freed: Option<Pooled>) -> Option<(Pooled, Due, Queued)> {
        let own = freed.as_ref().map(|freed| freed.scenario);
        // The arrival that has waited longest, of those whom the freed user or a new one can serve.
        let oldest = |scenario: &usize| self.queued[*scenario].borrow().front().map(|arrival| arrival.due);
        let can_serve = |scenario: &usize| {
            own == Some(*scenario) || self.fresh || self.worker.plan.scenarios[*scenario].before.is_empty()
        };
        let waiting =
            (0..self.queued.len()).filter(|scenario| oldest(scenario).is_some() && can_serve(scenario));
        let Some(scenario) = waiting.min_by_key(oldest) else {
            return self.rest(freed?).await;
        };
        let mut freed = freed;
        if let Some(other) = freed.take_if(|freed| freed.scenario != scenario) {
            drop(other);
            self.end();
        }
        let user = freed.or_else(|| self.create(scenario))?;
        let arrival = self.queued[scenario].borrow_mut().pop_front()?;
        Some((user, Due { at: arrival.due, ready: self.worker.clock.now() }, arrival))
    }

    /// A free user waits for an arrival.
    async fn rest(&self, mut pooled: Pooled) -> Option<(Pooled, Due, Queued)> {
        if !self.closed.get() {
            self.free[pooled.scenario].borrow_mut().push_back(Rc::clone(&pooled.bell));
            if let Next::Serve(arrival) = pooled.bell.rung().await {
                return Some((pooled, Due { at: arrival.due, ready: arrival.due }, arrival));
            }
        }
        pooled.user.after().await;
        None
    }

    /// Waits, but no longer than to the end; each login that ends meanwhile makes way for the next.
    async fn grow_until(self: &Rc<Self>, instant: Instant, tasks: &mut JoinSet<()>) {
        let mut sleep = self.worker.clock.sleep_until(instant);
        if self.ready.iter().all(|ready| *ready == 0) {
            return self.curfew.wait(sleep).await;
        }
        loop {
            tokio::select! {
                () = self.curfew.wait(&mut sleep) => return,
                () = self.logged_in.notified() => {
                    (0..self.ready.len()).for_each(|scenario| self.fill(scenario, tasks));
                }
            }
        }
    }

    /// A login has ended. After one that failed there is a pause, longer each time.
    fn end_login(&self, scenario: usize, well: bool) {
        self.logins[scenario].set(self.logins[scenario].get().saturating_sub(1));
        self.logged_in.notify_one();
        let pause =
            self.not_before[scenario].get().map_or(BACK_OFF.0, |(_, last)| (last * 2).min(BACK_OFF.1));
        let next = (!well).then(|| (self.worker.clock.now() + pause, pause));
        self.not_before[scenario].set(next);
    }

    /// When few are free, logs users in beside the schedule until enough are, so that no arrival waits for a
    /// login.
    fn grow(self: &Rc<Self>, scenario: usize, tasks: &mut JoinSet<()>) {
        let free = self.free[scenario].borrow().len();
        if free + self.logins[scenario].get() < self.ready[scenario].div_ceil(FEW) {
            self.fill(scenario, tasks);
        }
    }

    fn fill(self: &Rc<Self>, scenario: usize, tasks: &mut JoinSet<()>) {
        let (logins, ready) = (&self.logins[scenario], self.ready[scenario]);
        let free = self.free[scenario].borrow().len();
        if self.not_before[scenario].get().is_some_and(|(at, _)| self.worker.clock.now() < at) {
            return;
        }
        while free + logins.get() < ready && logins.get() < CONCURRENT_LOGINS {
            if self.users.get() >= self.max_users {
                self.make_room(scenario);
            }
            let Some(pooled) = self.create(scenario) else { return };
            logins.set(logins.get() + 1);
            tasks.spawn_local(log_in(Rc::clone(self), pooled));
        }
    }
}

/// Those who still wait at the end have found no user.
impl Drop for Pools {
    fn drop(&mut self) {
        for queue in &self.queued {
            queue.take().into_iter().for_each(|arrival| self.drop_arrival(arrival));
        }
    }
}

/// Runs iterations, one after the other: of the arrival that has just come, and of those that come later.
async fn serve(pools: Rc<Pools>, mut pooled: Pooled, mut due: Due, mut arrival: Queued) {
    loop {
        let at = pools.worker.clock.now();
        if pools.worker.is_fenced(at) {
            pools.drop_arrival(arrival);
            return pools.worker.halt().await;
        }
        pools.worker.recorder.borrow_mut().arrival_started(pools.run.id, arrival.offset_us);
        pooled.iterations += 1;
        let taken = Taken { ordinal: arrival.ordinal, due, at };
        let after = pooled.user.iterate(pooled.iterations, Some(taken), pools.fresh).await;
        if after.ends_user() || pools.fresh {
            pooled.user.after().await;
        }
        let mut freed = Some(pooled);
        if after.ends_user() || pools.fresh {
            drop(freed.take());
            pools.end();
        }
        match pools.next(freed).await {
            Some(next) => (pooled, due, arrival) = next,
            None => return,
        }
    }
}

/// Runs `before`; then the user waits for its first arrival.
async fn log_in(pools: Rc<Pools>, mut pooled: Pooled) {
    let scenario = pooled.scenario;
    let after = pooled.user.before().await;
    let ready = !after.has_failed() && !after.ends_user();
    if !ready {
        drop(pooled);
        pools.end();
        return pools.end_login(scenario, false);
    }
    pools.end_login(scenario, true);
    if let Some((user, due, arrival)) = pools.next(Some(pooled)).await {
        Box::pin(serve(pools, user, due, arrival)).await;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by `max_users` in the end"
)]
fn to_count(value: f64) -> usize {
    value.ceil() as usize
}
