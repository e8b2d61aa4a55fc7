//! One thread of a slice: a runtime of its own, and nothing on the way of a request that others use, too.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use minijinja::Value;
use squall_metrics::Recorder;
use squall_plan::expression::Constants;
use squall_plan::{HttpSettings, Load, Share, host_header};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinSet, spawn_local};

use crate::auth::Tokens;
use crate::clock::{Clock, FineClock, in_micros, unix_ms};
use crate::connect::{Connect, NetworkConnector};
use crate::ending::Ending;
use crate::gather::Gatherer;
use crate::load::LoadRun;
use crate::meter::Meter;
use crate::pool::Pool;
use crate::slice::{Prepared, SliceOrder, Stopper};
use crate::traceparent::TraceIds;
use crate::watchdog::Watchdog;
use crate::worker::{Worker, agent};
use crate::{arrivals, auth, ending, undo, users};

/// How often a thread looks whether its tasks have to wait.
pub(crate) const PROBE: Duration = Duration::from_millis(20);

/// A part of a second that is too short to judge by.
const LEAST_OBSERVED_US: u64 = 200_000;

/// What a thread is given.
pub(crate) struct Core {
    /// Its share is this thread's own.
    pub(crate) order: SliceOrder,
    /// The share of all threads together.
    pub(crate) slice: Share,
    pub(crate) part: u32,
    pub(crate) probe: Duration,
    pub(crate) prepared: Prepared,
    pub(crate) stopper: Stopper,
    pub(crate) gatherer: Arc<Gatherer>,
}

/// Tells that a thread died, unless it ended as it should.
struct Alive<'a>(&'a Core);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.gatherer.fail();
        self.0.stopper.stop();
    }
}

impl Core {
    /// The thread, from begin to end.
    pub(crate) fn run(self) {
        let alive = Alive(&self);
        if let Ok(()) = self.offer_on_network() {
            std::mem::forget(alive);
        }
    }

    fn offer_on_network(&self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let clock = Box::new(FineClock::start()?);
            let connect = Box::new(NetworkConnector::new(
                &self.order.plan.http,
                Arc::clone(&self.prepared.tls),
                Arc::clone(&self.prepared.guard),
                self.order.share.index() as usize,
            ));
            let worker = self.worker(clock, connect).ok_or(io::ErrorKind::InvalidInput)?;
            self.offer(&Rc::new(worker)).await;
            Ok(())
        })
    }

    pub(crate) fn worker(&self, clock: Box<dyn Clock>, connect: Box<dyn Connect>) -> Option<Worker> {
        let (order, machine) = (&self.order, self.prepared.machine);
        let plan = &order.plan;
        let trace_ids = plan.events.map(|settings| TraceIds::new(settings, &order.run, order.share));
        let mut recorder = Recorder::new(plan.series.len());
        if let Some(sampling) = trace_ids.as_ref().and_then(TraceIds::sampling) {
            recorder.sample_events(sampling);
        }
        // Of few users there may be fewer threads than processors.
        let threads = u32::try_from(self.stopper.bounds.threads()).unwrap_or(u32::MAX).max(1);
        Some(Worker {
            target_host: host_header(&plan.target)?,
            target: Rc::new(self.prepared.target.clone()),
            guard: Arc::clone(&self.prepared.guard),
            agent: agent(&order.run.id),
            share: order.share,
            slice: self.slice,
            seed: order.seed,
            epoch: order.epoch,
            from_us: in_micros(order.from),
            rounds: order.rounds,
            latest_end: order.epoch + plan.latest_end(),
            constants: Arc::new(Constants {
                variables: plan.variables.clone(),
                env: Value::from(plan.env.clone()),
                now_ms: Some(unix_ms),
                data: Arc::clone(&plan.data),
                seed: order.seed,
                secrets: self.prepared.secrets.value(),
                run: Constants::run(&order.run.id, &plan.name, order.seed, order.run.started_ms),
                slice: Constants::slice(self.slice),
            }),
            clock,
            connect,
            pool: Pool::new(&plan.http, pool_limit(&plan.http, order.share)),
            tokens: Tokens::default(),
            watchdog: Watchdog::default(),
            recorder: RefCell::new(recorder),
            headers: Cell::default(),
            lives: RefCell::default(),
            in_flight: Cell::new(0),
            connections: Rc::default(),
            max_connections: machine.connections / threads,
            masks: Arc::new(self.prepared.secrets.masks()),
            trace_ids,
            tracer: None,
            left: RefCell::default(),
            to_undo: Cell::new(0),
            bounds: Arc::clone(&self.stopper.bounds),
            ending: Ending::default(),
            fenced: Notify::new(),
            abort: RefCell::default(),
            aborted: Notify::new(),
            plan: Arc::clone(plan),
        })
    }

    /// Offers the load until it has ended, is stopped or overstays; then hands over the rest.
    pub(crate) async fn offer(&self, worker: &Rc<Worker>) {
        let look = Rc::new(RefCell::new(Look::start(worker)));
        let helpers = self.start_helpers(worker, &look);
        auth::warm_up(worker);
        let mut users: Vec<JoinSet<()>> = worker.plan.loads.iter().map(|_| JoinSet::new()).collect();
        tokio::select! {
            () = run_loads(worker, &mut users) => {}
            () = self.stopper.bounds.stopped(self.part as usize) => {}
            () = worker.aborted.notified() => {}
            () = worker.clock.sleep_until(worker.latest_end) => {}
        }
        // The last second is looked at while it is what it was: a part of one.
        look.borrow_mut().look(worker, worker.second() + 1);
        // Whatever is cut off here records itself: requests as unfinished, iterations as interrupted.
        for users in &mut users {
            users.abort_all();
            while let Some(ended) = users.join_next().await {
                reap(ended);
            }
        }
        worker.tokens.end().await;
        undo::clean_up(worker).await;
        helpers.iter().for_each(AbortHandle::abort);
        worker.count_user_time();
        let abort = worker.abort.take();
        if abort.is_some() {
            self.stopper.stop();
        }
        self.gatherer.leave(self.part, worker.recorder.borrow_mut().take(), abort);
    }

    /// What goes on beside the users.
    fn start_helpers(&self, worker: &Rc<Worker>, look: &Rc<RefCell<Look>>) -> [AbortHandle; 5] {
        let watched = Rc::clone(worker);
        let watch = spawn_local(async move { watched.watchdog.watch(&*watched.clock).await });
        let warm_up = spawn_local(worker.connect.warm_up(&worker.target));
        let interval_s = i64::try_from(self.order.interval.as_secs()).unwrap_or(i64::MAX).max(1);
        let tick = spawn_local(tick(
            Rc::clone(worker),
            Rc::clone(look),
            interval_s,
            (Arc::clone(&self.gatherer), self.part),
        ));
        let probe = spawn_local(probe(Rc::clone(worker), self.probe));
        let ending = spawn_local(ending::watch(Rc::clone(worker), self.part as usize));
        [
            watch.abort_handle(),
            warm_up.abort_handle(),
            tick.abort_handle(),
            probe.abort_handle(),
            ending.abort_handle(),
        ]
    }
}

/// How many connections of a shared pool are this thread's; one is the least that it can work with.
fn pool_limit(http: &HttpSettings, share: Share) -> u32 {
    let own = http.max_connections.map(|most| share.size_of(u64::from(most)).max(1));
    own.and_then(|own| u32::try_from(own).ok()).unwrap_or(u32::MAX)
}

/// All loads, side by side.
async fn run_loads(worker: &Rc<Worker>, users: &mut [JoinSet<()>]) {
    let loads = worker.plan.loads.iter().enumerate().zip(users);
    let runs = loads.map(|((index, placed), users)| -> LocalBoxFuture<'_, ()> {
        let run = Rc::new(LoadRun::new(&worker.plan, index, worker.seed));
        match &placed.load {
            Load::Open(load) => Box::pin(arrivals::dispatch(worker, run, placed, load, users)),
            Load::Closed(load) => {
                users::start(worker, (&run, placed, load), users);
                Box::pin(async move {
                    while let Some(ended) = users.join_next().await {
                        reap(ended);
                    }
                })
            }
        }
    });
    join_all(runs).await;
}

/// A user that panicked would be missing from every number, so the slice goes down with it.
pub(crate) fn reap(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Samples what is going on once a second, and hands over what was measured once an interval.
async fn tick(
    worker: Rc<Worker>,
    look: Rc<RefCell<Look>>,
    interval_s: i64,
    (gatherer, part): (Arc<Gatherer>, u32),
) {
    loop {
        let next = worker.second() + 1;
        worker.clock.sleep_until(worker.instant_at(next * 1_000_000)).await;
        // Later than it should be if the thread was held up.
        let now = worker.second().max(next);
        // Where nothing begins nobody else would find it passed.
        if worker.is_fenced(worker.clock.now()) {
            worker.shut();
        }
        let before = look.borrow_mut().look(&worker, now);
        // An interval whose end was slept through is handed over with the next second.
        if now > worker.first_second() && now.div_euclid(interval_s) > before.div_euclid(interval_s) {
            let recording = worker.recorder.borrow_mut().take();
            gatherer.hand_over(part, now.div_euclid(interval_s), recording);
        }
    }
}

/// How the thread looks at itself.
struct Look {
    meter: Meter,
    /// The first second that was not looked at yet.
    from: i64,
}

impl Look {
    fn start(worker: &Worker) -> Self {
        Self { meter: Meter::start(worker.clock.now()), from: worker.second() }
    }

    /// Looks at what has been going on up to a second; says from which one on.
    fn look(&mut self, worker: &Worker, until: i64) -> i64 {
        let from = std::mem::replace(&mut self.from, until);
        // Behind the fence the seconds are somebody else's.
        let until = until.min(-(-worker.bounds.fence_us()).div_euclid(1_000_000));
        let us = (until - 1) * 1_000_000;
        // Users who begin with the load are none of the second before it.
        let is_load = until > worker.first_second();
        let users = if is_load { worker.users() } else { worker.users_before(until) };
        let in_flight = worker.in_flight.get();
        worker.count_user_time();
        let mut observation = self.meter.read(worker.clock.now());
        observation.connections = u64::from(worker.connections.get());
        // Before the load there is nothing to see unless users are made ready; and nothing at all in seconds of the load
        // that are another generator's.
        let visible = until > from && (is_load || users > 0 && worker.from_us == 0);
        if visible && observation.observed_us >= LEAST_OBSERVED_US {
            let second = |s: i64| i32::try_from(s).unwrap_or(i32::MAX);
            let mut recorder = worker.recorder.borrow_mut();
            recorder.gauge(us, users, in_flight);
            recorder.observe(second(from)..second(until), observation);
        }
        from
    }
}

/// Measures how long a task that wants to run has to wait.
async fn probe(worker: Rc<Worker>, every: Duration) {
    loop {
        let due = worker.clock.now() + every;
        worker.clock.sleep_until(due).await;
        let delay = worker.clock.now().saturating_duration_since(due);
        worker.recorder.borrow_mut().loop_delay(in_micros(delay));
    }
}

#[cfg(test)]
mod tests;
