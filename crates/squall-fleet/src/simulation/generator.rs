//! A machine that answers an invitation, and the load that it pretends to make.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::future::{Either, select};
use squall_metrics::{LoadId, Outcome, Recorder, Sample, SeriesId};
use squall_plan::schedule::{Arrival, ArrivalSchedule};

use super::Scenery;
use super::dice::Dice;
use super::executor::{Executor, VirtualClock};
use super::target::Target;
use super::world::SimulatedStore;
use crate::{Clock, Identity, Load, Order, Prepared, Reins, Time, sit};

/// How long an execution environment lives.
const LIFE: Duration = Duration::from_mins(15);

/// A generator's fate.
pub(super) struct Machine {
    nonce: String,
    clock: VirtualClock,
    dies_after: Option<Duration>,
    freezes: Option<(Duration, Duration)>,
}

impl Machine {
    pub(super) fn new(executor: &Executor, scenery: &Scenery, dice: &Dice, number: u64) -> Self {
        let (weather, load) = (scenery.weather, scenery.load);
        let life = load + Duration::from_secs(30);
        let (dies, after) = (dice.happens(weather.dying), dice.between(Duration::ZERO, life));
        let (freezes, at) = (dice.happens(weather.freezing), dice.between(Duration::ZERO, life));
        let (is_wrong, by) = (dice.happens(weather.wrong_clocks), dice.roll() % 20_000_000);
        let ahead_us = if is_wrong { i64::try_from(by).unwrap_or(0) - 10_000_000 } else { 0 };
        Self {
            nonce: format!("n{number}"),
            clock: executor.clock(ahead_us),
            dies_after: dies.then_some(after),
            freezes: freezes.then_some((at, Duration::from_secs(30))),
        }
    }

    /// Takes the seat, and dies or freezes when it is time.
    pub(super) async fn live(
        self,
        executor: &Executor,
        store: SimulatedStore,
        target: Rc<Target>,
        message: String,
    ) {
        let clock = executor.clock(0);
        let dies = async {
            match self.dies_after {
                Some(after) => clock.sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let sitting = self.sit(store, target, &message);
        let sitting =
            Freezing { inner: Box::pin(sitting), clock: &clock, from: self.freezes, begun: None, thaw: None };
        // Whatever it says when it leaves is said in the store.
        select(pin!(sitting), pin!(dies)).await;
    }

    async fn sit(&self, store: SimulatedStore, target: Rc<Target>, message: &str) {
        let identity = Identity {
            nonce: self.nonce.clone(),
            region: "simulated".to_owned(),
            environment: self.nonce.clone(),
            queued_ms: None,
            deliveries: None,
            init_ms: 20.0,
            deadline: Some(self.clock.now().plus(LIFE)),
        };
        let (place, engine) = oneshot::channel();
        let clock = self.clock.clone();
        let seat = sit(&store, &self.clock, message, &identity, async |_| {
            let start = move |order: Order| {
                let (made, load) = Engine::new(order, clock);
                let _ = place.send(made);
                Ok(load)
            };
            Ok(Prepared { start, source: None })
        });
        // The engine goes on beside the seat, on the same machine.
        let beside = async {
            match engine.await {
                Ok(made) => made.run(&target).await,
                Err(_) => std::future::pending().await,
            }
        };
        if let Either::Right(((), seat)) = select(pin!(seat), pin!(beside)).await {
            let _ = seat.await;
        }
    }
}

/// A future that nothing happens to for a while: its machine was stopped.
struct Freezing<'a, F> {
    inner: Pin<Box<F>>,
    clock: &'a VirtualClock,
    from: Option<(Duration, Duration)>,
    begun: Option<Time>,
    thaw: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<F: Future> Future for Freezing<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let now = self.clock.now();
        let begun = *self.begun.get_or_insert(now);
        if let Some((after, length)) = self.from {
            let (freezes, thaws) = (begun.plus(after), begun.plus(after + length));
            if freezes <= now && now < thaws {
                let clock = self.clock;
                let thaw = self.thaw.get_or_insert_with(|| Box::pin(clock.sleep(thaws.since(now))));
                if thaw.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        self.inner.as_mut().poll(context)
    }
}

/// A load that sends each arrival of its slice within the second that it is due in.
struct Engine {
    order: Order,
    clock: VirtualClock,
    reins: Arc<State>,
    recordings: mpsc::UnboundedSender<squall_metrics::Recording>,
    finish: oneshot::Sender<()>,
}

#[derive(Debug)]
struct State {
    stopped: AtomicBool,
    end: AtomicI64,
    allowed: AtomicI64,
}

struct EngineReins(Arc<State>);

impl Reins for EngineReins {
    fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    fn end_at(&self, at: Time) {
        self.0.end.fetch_min(at.0, Ordering::Relaxed);
    }

    fn allow_until(&self, until: Time) {
        self.0.allowed.store(until.0, Ordering::Relaxed);
    }
}

impl Engine {
    fn new(order: Order, clock: VirtualClock) -> (Self, Load) {
        let (sender, recordings) = mpsc::unbounded();
        let (finish, finished) = oneshot::channel::<()>();
        let state = State {
            stopped: AtomicBool::new(false),
            end: AtomicI64::new(i64::MAX),
            allowed: AtomicI64::new(i64::MAX),
        };
        let reins = Arc::new(state);
        let load = Load {
            recordings,
            finished: Box::pin(async move {
                finished.await.map(|()| None).map_err(|_| "generator broke down".to_owned())
            }),
            reins: Box::new(EngineReins(Arc::clone(&reins))),
        };
        (Self { order, clock, reins, recordings: sender, finish }, load)
    }

    async fn run(self, target: &Target) {
        target.sender(true);
        let _sender = Sender(target);
        let plan = Arc::clone(&self.order.plan);
        let squall_plan::Load::Open(load) = &plan.loads[0].load else { return };
        let schedule = ArrivalSchedule::new(load);
        let mut arrivals = schedule.arrivals(self.order.share, self.order.seed).peekable();
        let from_us = u64::try_from(self.order.from.as_micros()).unwrap_or(u64::MAX);
        while arrivals.next_if(|arrival| arrival.at_us < from_us).is_some() {}
        let mut recorder = Recorder::new(1);
        let interval_s = self.order.interval.as_secs().max(1);
        let last_s = plan.duration().as_secs();
        for second in from_us / 1_000_000..last_s {
            let ends = self.order.epoch.plus(Duration::from_secs(second + 1));
            self.clock.sleep(ends.since(self.clock.now())).await;
            let due =
                std::iter::from_fn(|| arrivals.next_if(|arrival| arrival.at_us < (second + 1) * 1_000_000));
            let went_on = self.send(due, &mut recorder, target);
            recorder.gauge(i64::try_from(second * 1_000_000).unwrap_or(0), 1, 0);
            if !went_on || self.is_over(ends) {
                break;
            }
            if (second + 1) % interval_s == 0 {
                let _ = self.recordings.unbounded_send(recorder.take());
            }
        }
        let _ = self.recordings.unbounded_send(recorder.take());
        drop(self.recordings);
        let _ = self.finish.send(());
    }

    /// Sends what is due; whether it was allowed to.
    fn send(&self, due: impl Iterator<Item = Arrival>, recorder: &mut Recorder, target: &Target) -> bool {
        for Arrival { ordinal, at_us } in due {
            let at = self.order.epoch.plus(Duration::from_micros(at_us));
            if self.is_over(at) {
                return false;
            }
            let at_us = i64::try_from(at_us).unwrap_or(i64::MAX);
            recorder.arrival_scheduled(LoadId(0), at_us);
            recorder.arrival_started(LoadId(0), at_us);
            target.receive(ordinal, self.clock.wrong_by());
            let begun = Sample::begun(SeriesId(0), at_us, at_us);
            recorder.record(&Sample {
                ended_us: at_us + 1_000,
                outcome: Outcome::Status(200),
                failed: false,
                ..begun
            });
        }
        true
    }

    fn is_over(&self, at: Time) -> bool {
        let state = &self.reins;
        state.stopped.load(Ordering::Relaxed)
            || at.0 >= state.end.load(Ordering::Relaxed)
            || self.clock.now().0 > state.allowed.load(Ordering::Relaxed)
    }
}

/// Tells the target when load ends, however it does.
struct Sender<'a>(&'a Target);

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        self.0.sender(false);
    }
}
