//! `setup` and `teardown`: steps that one user takes, once in a run and without load.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use squall_metrics::{Events, Interval};
use squall_plan::{Plan, Step};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

use crate::clock::FineClock;
use crate::connect::{Guard, NetworkConnector};
use crate::core::Core;
use crate::load::LoadRun;
use crate::once::{OnceOrder, core_of};
use crate::slice::StartError;
use crate::trace::{Event, Trace, Tracer};
use crate::traceparent::TraceIds;
use crate::user::User;
use crate::worker::Worker;

/// Which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Those before the load.
    Setup,
    /// Those after it.
    Teardown,
    /// Those by which a generator learns its address.
    SourceAddress,
}

/// What came of them.
#[derive(Debug)]
pub struct Done {
    /// Whether all went well.
    pub is_good: bool,
    /// What was captured and set, by name.
    pub values: Vec<(String, serde_json::Value)>,
    /// What was measured, but for when.
    pub measured: Interval,
}

impl Errand {
    fn steps(self, plan: &Plan) -> &[Step] {
        match self {
            Self::Setup => &plan.setup,
            Self::Teardown => &plan.teardown,
            Self::SourceAddress => &plan.source_address,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Setup => squall_plan::SETUP,
            Self::Teardown => squall_plan::TEARDOWN,
            Self::SourceAddress => squall_plan::SOURCE_ADDRESS,
        }
    }
}

/// Takes the steps by which a generator learns which address its requests come from; the address, or why it is not known.
/// For callers who have a runtime already.
pub fn source_address(order: &OnceOrder, guard: Guard) -> Result<IpAddr, String> {
    let guarded = || {
        let mut core = core_of(order)?;
        core.prepared.guard = Arc::new(guard);
        errand_of(core, order, Errand::SourceAddress, None)
    };
    let joined = thread::scope(|scope| scope.spawn(guarded).join());
    let done =
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(|error| error.to_string())?;
    let value = done.values.iter().find(|(name, _)| name == squall_plan::SOURCE_ADDRESS);
    let text = value.and_then(|(_, value)| value.as_str()).unwrap_or_default().trim();
    text.parse().map_err(|_| match done.measured.problems.keys().next() {
        Some(problem) => problem.clone(),
        None => "what was captured is no address".to_owned(),
    })
}

/// Takes the steps, and tells of them if somebody listens.
pub fn run_errand(
    order: &OnceOrder,
    errand: Errand,
    port: Option<Rc<dyn Trace>>,
) -> Result<Done, StartError> {
    errand_of(core_of(order)?, order, errand, port)
}

fn errand_of(
    mut core: Core,
    order: &OnceOrder,
    errand: Errand,
    port: Option<Rc<dyn Trace>>,
) -> Result<Done, StartError> {
    errand.name().clone_into(&mut core.order.run.nonce);
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(StartError::Thread)?.block_on(async {
        let clock = Box::new(FineClock::start().map_err(StartError::Thread)?);
        let tls = Arc::clone(&core.prepared.tls);
        let guard = Arc::clone(&core.prepared.guard);
        let connect = Box::new(NetworkConnector::new(&order.plan.http, tls, guard, 0));
        let worker = core.worker(clock, connect);
        let mut worker = worker.ok_or_else(|| StartError::Target(order.plan.target.to_string()))?;
        // What is kept whole has its place in the time of the load.
        worker.trace_ids.iter_mut().for_each(TraceIds::keep_none);
        worker.tracer = port.map(|port| Tracer::new(port, Arc::clone(&worker.masks)));
        Ok(walk(&Rc::new(worker), errand).await)
    })
}

/// The same on a thread of its own, for callers who have a runtime already.
pub fn run_errand_apart(order: &OnceOrder, errand: Errand) -> Result<Done, StartError> {
    let run = || run_errand(order, errand, None);
    let joined = thread::scope(|scope| scope.spawn(run).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn walk(worker: &Rc<Worker>, errand: Errand) -> Done {
    let watched = Rc::clone(worker);
    let watch = spawn_local(async move { watched.watchdog.watch(&*watched.clock).await });
    if let Some(tracer) = &worker.tracer {
        tracer.tell(Event::Part { scenario: errand.name().to_owned(), part: "once in a run".to_owned() });
    }
    let load = Rc::new(LoadRun::new(&worker.plan, 0, worker.seed));
    // Behind all scenarios, so that what it draws is nobody else's.
    let number = worker.plan.scenarios.len() + errand as usize;
    let mut user = User::new(worker, &load, number, 0);
    let after = user.steps(errand.steps(&worker.plan), &mut None).await;
    let values = user.scope.variables();
    drop(user);
    watch.abort();
    let mut measured = worker.recorder.borrow_mut().take().into_interval();
    // It belongs to no second of the load.
    measured.seconds.clear();
    measured.slowest.clear();
    measured.events = Events::default();
    (measured.send_lag, measured.loop_delay) = Default::default();
    let json = |value| serde_json::to_value(value).unwrap_or_default();
    Done {
        is_good: !after.has_failed() && worker.abort.borrow().is_none(),
        values: values.into_iter().map(|(name, value)| (name, json(value))).collect(),
        measured,
    }
}
