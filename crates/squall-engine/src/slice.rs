//! A slice: threads that run its share of a plan and hand over what they measured, interval by interval.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use rustls::ClientConfig;
use squall_metrics::Recording;
use squall_plan::{Plan, SecretValues, Share, host_header};
use thiserror::Error;
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::connect::{Guard, Origin, TlsError, client_config};
use crate::core::{Core, PROBE};
use crate::gather::Gatherer;

/// What a slice may use of the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Processors: each gets a thread with a part of the slice.
    pub cores: NonZeroU32,
    /// Connections that may be open at the same time.
    pub connections: u32,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct SliceOrder {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Which of its users and arrivals.
    pub share: Share,
    /// What the journeys' randomness is derived from.
    pub seed: u64,
    /// Which run it is a slice of, as expressions see it.
    pub run: RunFacts,
    /// When the load begins. May lie ahead: users are made ready meanwhile.
    pub epoch: Instant,
    /// So long after the epoch the load is this slice's: zero, unless another generator ran it before. Users are made
    /// ready before that, and change hands as [`squall_plan::handover`] says. Loads with a number of iterations cannot be
    /// taken over; they begin as if nobody had run them.
    pub from: Duration,
    /// The most iterations that its users may have begun, and rows that they may have taken, before that: users of the
    /// closed model go on behind them.
    pub rounds: u64,
    /// How often what was measured is handed over; whole seconds.
    pub interval: Duration,
}

/// What expressions are told of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Which run.
    pub id: String,
    /// Who makes this part of it, unlike any other; may be empty where there are no others.
    pub nonce: String,
    /// When its load begins, in milliseconds since 1970, by this machine's clock.
    pub started_ms: i64,
}

/// A slice under way.
#[derive(Debug)]
pub struct Running {
    /// What was measured, an item an interval; ends when the slice has ended.
    pub recordings: mpsc::UnboundedReceiver<Recording>,
    /// How it ended. Cancelled if a thread died.
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

/// Bounds a slice while it runs. May be called from any thread, at any time.
#[derive(Debug, Clone)]
pub struct Stopper {
    pub(crate) bounds: Arc<Bounds>,
}

impl Stopper {
    pub(crate) fn new(epoch: Instant, threads: NonZeroU32) -> Self {
        Self { bounds: Arc::new(Bounds::new(epoch, threads.get() as usize)) }
    }

    /// Ends the slice at once; what is in flight is recorded as unfinished.
    pub fn stop(&self) {
        self.bounds.stop();
    }

    /// Hands the slice over at an instant: nothing that the plan has at that instant or later is begun here, what is
    /// under way may go on for the load's `graceful_stop`, and then the slice ends as it does at the plan's own end.
    /// Users that log in change hands one after the other, as [`squall_plan::handover`] says. Told late, it holds from
    /// when it is heard; told again, the earliest instant counts.
    pub fn end_at(&self, at: Instant) {
        self.bounds.end_at(at);
    }

    /// Puts up the fence: from that instant on no request, iteration or arrival is begun, not even by a process that was
    /// stopped and goes on later. Whoever finds it passed stops the slice as [`stop`](Self::stop) does, but nothing is
    /// undone any more, for that takes requests; arrivals that have not been let happen by then are not counted in any
    /// way, and users' time counts up to the fence. Told again, it moves, either way; once it was found passed the slice
    /// stays stopped. Without it there is no such bound.
    pub fn allow_until(&self, until: Instant) {
        self.bounds.allow_until(until);
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
    /// The plan's target is a host that this generator may not send anything to.
    #[error("host `{0}` is not among those that this generator may send load to")]
    Host(String),
    /// There would be more slices than can be counted.
    #[error("slice cannot be divided over {0} processors")]
    Cores(NonZeroU32),
    /// The machine gives no thread.
    #[error("generator thread cannot be started")]
    Thread(#[source] io::Error),
}

/// What a slice needs and does not depend on its share: made once, before the load.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) target: Origin,
    pub(crate) secrets: Arc<SecretValues>,
    pub(crate) machine: Machine,
    pub(crate) guard: Arc<Guard>,
}

/// Makes ready what a plan's slices need.
pub fn prepare(
    plan: &Plan,
    machine: Machine,
    guard: Guard,
    secrets: SecretValues,
) -> Result<Prepared, StartError> {
    let no_target = || StartError::Target(plan.target.to_string());
    let target = Origin::of(&plan.target).ok_or_else(no_target)?;
    host_header(&plan.target).ok_or_else(no_target)?;
    if !guard.allows(&target.host) {
        return Err(StartError::Host(target.host));
    }
    let (tls, secrets, guard) = (client_config(plan, &secrets)?, Arc::new(secrets), Arc::new(guard));
    Ok(Prepared { tls, target, secrets, machine, guard })
}

/// Starts a slice, on a thread of its own for each processor.
pub fn start(order: &SliceOrder, prepared: &Prepared) -> Result<Running, StartError> {
    // An arrival must find a user on its own thread.
    let most = NonZeroU32::new(order.plan.most_slices() / order.share.count()).unwrap_or(NonZeroU32::MIN);
    let cores = prepared.machine.cores.min(most);
    let (sender, recordings) = mpsc::unbounded();
    let (finished_sender, finished) = oneshot::channel();
    let stopper = Stopper::new(order.epoch, cores);
    let gatherer = Arc::new(Gatherer::new(cores.get(), sender, finished_sender));
    for part in 0..cores.get() {
        let core = Core {
            order: SliceOrder {
                share: order.share.subdivide(part, cores.get()).ok_or(StartError::Cores(cores))?,
                ..order.clone()
            },
            slice: order.share,
            part,
            probe: PROBE,
            prepared: prepared.clone(),
            stopper: stopper.clone(),
            gatherer: Arc::clone(&gatherer),
        };
        let name = format!("slice-{}", core.order.share.index());
        let spawned = thread::Builder::new().name(name).spawn(move || core.run());
        spawned.map_err(|error| {
            // Those that were started already must not go on alone.
            stopper.stop();
            StartError::Thread(error)
        })?;
    }
    Ok(Running { recordings, finished, stopper })
}
