//! A slice: a thread that runs its share of a plan and hands over what it measured, interval by interval.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use minijinja::Value;
use rustls::ClientConfig;
use squall_metrics::{Recorder, Recording};
use squall_plan::expression::Constants;
use squall_plan::random::Deck;
use squall_plan::{Load, Plan, Share};
use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::clock::{Clock, FineClock};
use crate::connect::{Connect, NetworkConnector, Origin};
use crate::exchange::host_header;
use crate::tls::{TlsError, client_config};
use crate::worker::Worker;
use crate::{arrivals, users};

/// Threads of a slice's runtime that may block: names are looked up on them.
const BLOCKING_THREADS: usize = 2;

/// What to run.
#[derive(Debug, Clone)]
pub struct SliceOrder {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Which of its users and arrivals.
    pub share: Share,
    /// What the journeys' randomness is derived from.
    pub seed: u64,
    /// When the load begins. May lie ahead: users are made ready meanwhile.
    pub epoch: Instant,
    /// How often what was measured is handed over; whole seconds.
    pub interval: Duration,
}

/// A slice under way.
#[derive(Debug)]
pub struct Running {
    /// What was measured, an item an interval; ends when the slice has ended.
    pub recordings: mpsc::UnboundedReceiver<Recording>,
    /// How it ended. Cancelled if the thread died.
    pub finished: oneshot::Receiver<Finished>,
    /// Ends it early.
    pub stopper: Stopper,
}

/// How a slice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Why the plan wants the whole run to end, if it does.
    pub abort: Option<String>,
}

/// Ends a slice early: at once, and what is in flight is recorded as unfinished.
#[derive(Debug, Clone)]
pub struct Stopper {
    stop: Arc<Notify>,
}

impl Stopper {
    /// Ends the slice.
    pub fn stop(&self) {
        self.stop.notify_one();
    }
}

/// Why a slice did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The plan's target is no place to connect to.
    #[error("target `{0}` cannot be connected to")]
    Target(String),
    /// The machine gives no thread.
    #[error("generator thread cannot be started")]
    Thread(#[source] io::Error),
}

/// What a slice needs and does not depend on its share: made once, before the load.
#[derive(Debug, Clone)]
pub struct Prepared {
    tls: Arc<ClientConfig>,
    target: Origin,
}

/// Makes ready what a plan's slices need.
pub fn prepare(plan: &Plan) -> Result<Prepared, StartError> {
    let no_target = || StartError::Target(plan.target.to_string());
    let target = Origin::of(&plan.target).ok_or_else(no_target)?;
    host_header(&plan.target).map_err(|_| no_target())?;
    Ok(Prepared { tls: client_config(plan.http.roots)?, target })
}

/// Starts a slice on a thread of its own.
pub fn start(order: SliceOrder, prepared: Prepared) -> Result<Running, StartError> {
    let Prepared { tls, target } = prepared;
    let (sender, recordings) = mpsc::unbounded();
    let (finished_sender, finished) = oneshot::channel();
    let stop = Arc::new(Notify::new());
    let stopper = Stopper { stop: Arc::clone(&stop) };
    thread::Builder::new()
        .name(format!("slice-{}", order.share.index()))
        .spawn(move || run(&order, target, tls, &stop, &sender, finished_sender))
        .map_err(StartError::Thread)?;
    Ok(Running { recordings, finished, stopper })
}

/// The thread. A runtime that cannot be made drops `finished`, which tells the other side.
fn run(
    order: &SliceOrder,
    target: Origin,
    tls: Arc<ClientConfig>,
    stop: &Notify,
    recordings: &mpsc::UnboundedSender<Recording>,
    finished: oneshot::Sender<Finished>,
) {
    let mut builder = Builder::new_current_thread();
    let runtime =
        builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(clock) = FineClock::start() else { return };
        let connect = Box::new(NetworkConnector::new(tls));
        let Some(worker) = worker(order, target, Box::new(clock), connect) else { return };
        let abort = offer(&Rc::new(worker), order.interval, stop, recordings).await;
        // Nobody listens any more if the generator itself is gone.
        let _ = finished.send(Finished { abort });
    });
}

fn worker(
    order: &SliceOrder,
    target: Origin,
    clock: Box<dyn Clock>,
    connect: Box<dyn Connect>,
) -> Option<Worker> {
    let weights: Vec<u32> = order.plan.scenarios.iter().map(|scenario| scenario.weight).collect();
    Some(Worker {
        target_host: host_header(&order.plan.target).ok()?,
        target,
        share: order.share,
        seed: order.seed,
        epoch: order.epoch,
        constants: Arc::new(Constants {
            variables: order.plan.variables.clone(),
            env: Value::from(order.plan.env.clone()),
        }),
        deck: Deck::new(&weights, order.seed),
        clock,
        connect,
        recorder: RefCell::new(Recorder::new(order.plan.series.len())),
        lives: RefCell::default(),
        in_flight: Cell::new(0),
        abort: RefCell::default(),
        aborted: Notify::new(),
        plan: Arc::clone(&order.plan),
    })
}

/// Offers the load until it has ended, is stopped or overstays; then hands over the rest.
async fn offer(
    worker: &Rc<Worker>,
    interval: Duration,
    stop: &Notify,
    recordings: &mpsc::UnboundedSender<Recording>,
) -> Option<String> {
    let load = &worker.plan.load;
    let latest_end = worker.epoch + load.duration() + load.graceful_stop();
    let ticker = tokio::task::spawn_local(tick(Rc::clone(worker), interval, recordings.clone()));
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = run_load(worker, &mut tasks) => {}
        () = stop.notified() => {}
        () = worker.aborted.notified() => {}
        () = worker.clock.sleep_until(latest_end) => {}
    }
    // Whatever is cut off here records itself: requests as unfinished, iterations as interrupted.
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        reap(ended);
    }
    ticker.abort();
    hand_over(worker, recordings);
    worker.abort.take()
}

async fn run_load(worker: &Rc<Worker>, tasks: &mut JoinSet<()>) {
    match &worker.plan.load {
        Load::Closed(load) => users::start(worker, load, tasks),
        Load::Open(load) => arrivals::dispatch(worker, load, tasks).await,
    }
    while let Some(ended) = tasks.join_next().await {
        reap(ended);
    }
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
async fn tick(worker: Rc<Worker>, interval: Duration, recordings: mpsc::UnboundedSender<Recording>) {
    let interval_s = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
    loop {
        let second = worker.now_us().div_euclid(1_000_000) + 1;
        worker.clock.sleep_until(worker.instant_at(second * 1_000_000)).await;
        let us = (second - 1) * 1_000_000;
        worker.count_user_time();
        let (users, in_flight) = (worker.users(), worker.in_flight.get());
        // Before the epoch there is nothing to see unless users are made ready.
        if us >= 0 || users > 0 {
            worker.recorder.borrow_mut().gauge(us, users, in_flight);
        }
        if second > 0 && second % interval_s == 0 {
            hand_over(&worker, &recordings);
        }
    }
}

fn hand_over(worker: &Worker, recordings: &mpsc::UnboundedSender<Recording>) {
    worker.count_user_time();
    let recording = worker.recorder.borrow_mut().take();
    // Nobody listens any more if the generator itself is gone.
    let _ = recordings.unbounded_send(recording);
}

#[cfg(test)]
mod tests;
