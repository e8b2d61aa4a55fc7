//! Every scenario once, by one user, and all of it told: no load, but a look at the plan.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use squall_plan::{Flow, Plan, Scenario, SecretValues, Share};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::clock::FineClock;
use crate::connect::{Guard, NetworkConnector};
use crate::core::{Core, PROBE};
use crate::gather::Gatherer;
use crate::load::LoadRun;
use crate::slice::{Machine, RunFacts, SliceOrder, StartError, Stopper, prepare};
use crate::trace::{Event, Trace, Tracer};
use crate::user::{After, User};
use crate::worker::Worker;

/// Connections that one user may have.
const CONNECTIONS: u32 = 200;

/// What to look at.
#[derive(Debug, Clone)]
pub struct OnceOrder {
    /// The plan. How much load it wants is not looked at.
    pub plan: Arc<Plan>,
    /// What the journeys' randomness is derived from.
    pub seed: u64,
    /// What expressions may know of the run.
    pub run: RunFacts,
    /// What the plan's secrets are.
    pub secrets: SecretValues,
}

/// Walks through every scenario with one user: `before`, its steps or each of its tasks, `after`. Returns when that has
/// been done, or with false when `stop` has ended before.
pub fn once(
    order: &OnceOrder,
    port: Rc<dyn Trace>,
    stop: impl Future<Output = ()>,
) -> Result<bool, StartError> {
    let core = core_of(order)?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(StartError::Thread)?.block_on(async {
        let clock = Box::new(FineClock::start().map_err(StartError::Thread)?);
        let tls = Arc::clone(&core.prepared.tls);
        let guard = Arc::clone(&core.prepared.guard);
        let connect = Box::new(NetworkConnector::new(&order.plan.http, tls, guard, 0));
        let worker = core.worker(clock, connect);
        let mut worker = worker.ok_or_else(|| StartError::Target(order.plan.target.to_string()))?;
        worker.tracer = Some(Tracer::new(port, Arc::clone(&worker.masks)));
        let worker = Rc::new(worker);
        tokio::select! {
            () = walk(&worker) => Ok(true),
            () = stop => Ok(false),
        }
    })
}

/// A thread of a slice that is all of the plan.
pub(crate) fn core_of(order: &OnceOrder) -> Result<Core, StartError> {
    let machine = Machine { cores: NonZeroU32::MIN, connections: CONNECTIONS };
    let epoch = Instant::now();
    Ok(Core {
        order: SliceOrder {
            plan: Arc::clone(&order.plan),
            share: Share::WHOLE,
            seed: order.seed,
            run: order.run.clone(),
            epoch,
            from: Duration::ZERO,
            rounds: 0,
            interval: Duration::from_secs(1),
        },
        slice: Share::WHOLE,
        part: 0,
        probe: PROBE,
        prepared: prepare(&order.plan, machine, Guard::default(), order.secrets.clone())?,
        stopper: Stopper::new(epoch, NonZeroU32::MIN),
        // What is measured is told with each request, and kept nowhere.
        gatherer: Arc::new(Gatherer::new(1, mpsc::unbounded().0, oneshot::channel().0)),
    })
}

/// Every scenario, one after the other.
pub(crate) async fn walk(worker: &Rc<Worker>) {
    let watched = Rc::clone(worker);
    let watch = spawn_local(async move { watched.watchdog.watch(&*watched.clock).await });
    for (index, scenario) in worker.plan.scenarios.iter().enumerate() {
        walk_scenario(worker, index, scenario).await;
        if let Some(reason) = worker.abort.take() {
            worker.tell_flow(|| format!("the whole run ends: {reason}"));
            break;
        }
    }
    watch.abort();
}

async fn walk_scenario(worker: &Rc<Worker>, index: usize, scenario: &Scenario) {
    let load = worker.plan.loads.iter().position(|placed| placed.scenarios.contains(&index)).unwrap_or(0);
    let load = Rc::new(LoadRun::new(&worker.plan, load, worker.seed));
    // Each scenario has a user of its own, with rows of data of its own.
    let mut user = User::new(worker, &load, index, index as u64);
    let begin = |part: String| {
        if let Some(tracer) = &worker.tracer {
            tracer.tell(Event::Part { scenario: scenario.name.clone(), part });
        }
    };
    if !scenario.before.is_empty() {
        begin("before".to_owned());
        match user.before().await {
            After::Next | After::EndIteration { failed: false } => {}
            After::EndUser { .. } => return worker.tell_flow(|| "the user ends".to_owned()),
            After::EndIteration { failed: true } => {
                return worker.tell_flow(|| {
                    "`before` failed: under load the user begins again after a pause".to_owned()
                });
            }
        }
    }
    for (number, part) in (1..).zip(parts(&scenario.flow)) {
        if worker.abort.borrow().is_some() {
            return;
        }
        begin(part);
        user.chosen = Some(number - 1);
        let after = user.iterate(number as u64, None, false).await;
        match after {
            After::Next => {}
            After::EndIteration { failed } => {
                let why = if failed { " because of that failure" } else { "" };
                worker.tell_flow(|| format!("the iteration ends here{why}"));
            }
            After::EndUser { .. } => {
                worker.tell_flow(|| "the user ends here".to_owned());
                break;
            }
        }
    }
    if !scenario.after.is_empty() || !worker.plan.cleanups.is_empty() {
        begin("after".to_owned());
        user.after().await;
    }
}

/// What the iterations do, in words: one does all steps, or each does another task.
fn parts(flow: &Flow) -> Vec<String> {
    match flow {
        Flow::Steps(_) => vec!["steps".to_owned()],
        Flow::Tasks(tasks) => (1..)
            .zip(tasks)
            .map(|(number, task)| match &task.name {
                Some(name) => format!("task {name}"),
                None => format!("task {number} of {}", tasks.len()),
            })
            .collect(),
    }
}
