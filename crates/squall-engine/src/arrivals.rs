//! The open model: iterations start on schedule, whatever the target does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use squall_plan::OpenLoad;
use squall_plan::schedule::ArrivalSchedule;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::slice::reap;
use crate::user::{After, User};
use crate::worker::{Life, Worker};

/// Users of a scenario that log in at the same time, at most.
const CONCURRENT_LOGINS: usize = 32;

/// Users that need a login are made ready for this share of a second of arrivals at the peak.
const READY_FOR_SECONDS: f64 = 1.0;

/// This part of them is few.
const FEW: usize = 4;

/// Lets the arrivals of this thread's share happen; returns when the last one has been dispatched.
pub(crate) async fn dispatch(worker: &Rc<Worker>, load: &OpenLoad, tasks: &mut JoinSet<()>) {
    let schedule = ArrivalSchedule::new(load);
    let pools = Rc::new(Pools::new(worker, load));
    for scenario in 0..worker.plan.scenarios.len() {
        pools.grow(worker, scenario, tasks);
    }
    for ordinal in worker.share.ordinals(schedule.total()) {
        let Some(offset_us) = schedule.at_us(ordinal) else { break };
        let due = worker.instant(offset_us);
        // Behind schedule, nobody waits: what is late starts at once, and its lateness is in its record.
        if due > worker.clock.now() {
            worker.clock.sleep_until(due).await;
        }
        while let Some(ended) = tasks.try_join_next() {
            reap(ended);
        }
        arrive(worker, &pools, ordinal, (offset_us, due), tasks);
    }
}

/// One arrival: a free user starts an iteration, or the arrival is dropped.
fn arrive(
    worker: &Rc<Worker>,
    pools: &Rc<Pools>,
    ordinal: u64,
    (offset_us, due): (u64, Instant),
    tasks: &mut JoinSet<()>,
) {
    let scenario = worker.deck.deal(ordinal);
    let offset_us = i64::try_from(offset_us).unwrap_or(i64::MAX);
    worker.recorder.borrow_mut().arrival_scheduled(offset_us);
    let user = pools.take(worker, scenario);
    pools.grow(worker, scenario, tasks);
    let Some(mut user) = user else {
        worker.recorder.borrow_mut().arrival_dropped(offset_us);
        return;
    };
    worker.recorder.borrow_mut().arrival_started(offset_us);
    let pools = Rc::clone(pools);
    tasks.spawn_local(async move {
        user.iterations += 1;
        match user.user.iterate(user.iterations, Some((ordinal, due))).await {
            After::Next | After::Failed => pools.give_back(scenario, user),
            After::Stop => pools.end(),
        }
    });
}

/// A user between or within iterations, with its life.
struct Pooled {
    user: User,
    iterations: u64,
    _life: Life,
}

/// The free users of each scenario, the most recently freed last, and how many more there may be.
struct Pools {
    free: Vec<RefCell<Vec<Pooled>>>,
    /// Free users that each scenario whose users log in should have.
    ready: Vec<usize>,
    users: Cell<u64>,
    max_users: u64,
    next_ordinal: Cell<u64>,
    /// Logins under way, for each scenario.
    logins: Vec<Cell<usize>>,
}

impl Pools {
    fn new(worker: &Worker, load: &OpenLoad) -> Self {
        let scenarios = &worker.plan.scenarios;
        let peak =
            load.stages.iter().map(|stage| stage.rate).chain([load.start_rate]).max().unwrap_or_default();
        let own_peak = peak.per_second() / f64::from(worker.share.count());
        let weights: f64 = scenarios.iter().map(|scenario| f64::from(scenario.weight)).sum();
        let max_users = worker.share.size_of(u64::from(load.max_users));
        let ready = scenarios.iter().map(|scenario| {
            // No scenario may take the places of the others.
            let share = f64::from(scenario.weight) / weights;
            let wanted = (own_peak * READY_FOR_SECONDS).min(max_users as f64) * share;
            if scenario.before.is_empty() { 0 } else { to_count(wanted) }
        });
        Self {
            free: scenarios.iter().map(|_| RefCell::default()).collect(),
            ready: ready.collect(),
            users: Cell::new(0),
            max_users,
            next_ordinal: Cell::new(u64::from(worker.share.index())),
            logins: scenarios.iter().map(|_| Cell::new(0)).collect(),
        }
    }

    /// The most recently freed user, or a new one where that takes no login.
    fn take(&self, worker: &Rc<Worker>, scenario: usize) -> Option<Pooled> {
        let freed = self.free[scenario].borrow_mut().pop();
        if freed.is_some() || !worker.plan.scenarios[scenario].before.is_empty() {
            return freed;
        }
        if self.users.get() >= self.max_users {
            self.make_room(scenario);
        }
        self.create(worker, scenario)
    }

    /// Ends a user that another scenario has to spare.
    fn make_room(&self, scenario: usize) {
        let to_spare =
            |other: &usize| *other != scenario && self.free[*other].borrow().len() > self.ready[*other];
        if let Some(other) = (0..self.free.len()).find(to_spare) {
            drop(self.free[other].borrow_mut().remove(0));
            self.end();
        }
    }

    fn give_back(&self, scenario: usize, user: Pooled) {
        self.free[scenario].borrow_mut().push(user);
    }

    fn end(&self) {
        self.users.set(self.users.get().saturating_sub(1));
    }

    fn create(&self, worker: &Rc<Worker>, scenario: usize) -> Option<Pooled> {
        if self.users.get() >= self.max_users {
            return None;
        }
        self.users.set(self.users.get() + 1);
        let ordinal = self.next_ordinal.get();
        self.next_ordinal.set(ordinal + u64::from(worker.share.count()));
        let life = Life::begin(worker, worker.now_us(), i64::MAX);
        Some(Pooled { user: User::new(worker, scenario, ordinal), iterations: 0, _life: life })
    }

    /// When few are free, logs users in beside the schedule until enough are, so that no arrival waits for a
    /// login.
    fn grow(self: &Rc<Self>, worker: &Rc<Worker>, scenario: usize, tasks: &mut JoinSet<()>) {
        let (logins, ready) = (&self.logins[scenario], self.ready[scenario]);
        let free = self.free[scenario].borrow().len();
        if free + logins.get() >= ready.div_ceil(FEW) {
            return;
        }
        while free + logins.get() < ready && logins.get() < CONCURRENT_LOGINS {
            let Some(pooled) = self.create(worker, scenario) else { return };
            logins.set(logins.get() + 1);
            tasks.spawn_local(log_in(Rc::clone(self), scenario, pooled));
        }
    }
}

/// Runs `before`, then the next user's, until enough users are free.
async fn log_in(pools: Rc<Pools>, scenario: usize, mut pooled: Pooled) {
    let worker = Rc::clone(&pooled.user.worker);
    loop {
        let ready = pooled.user.before().await == After::Next;
        if ready {
            pools.give_back(scenario, pooled);
        } else {
            drop(pooled);
            pools.end();
        }
        if !ready || pools.free[scenario].borrow().len() >= pools.ready[scenario] {
            break;
        }
        match pools.create(&worker, scenario) {
            Some(next) => pooled = next,
            None => break,
        }
    }
    pools.logins[scenario].set(pools.logins[scenario].get().saturating_sub(1));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by `max_users` in the end"
)]
fn to_count(value: f64) -> usize {
    value.ceil() as usize
}
