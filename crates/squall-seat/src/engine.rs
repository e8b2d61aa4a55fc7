//! The engine behind the protocol's interface.

use squall_engine::{Machine, Prepared, RunFacts, SliceOrder};
use squall_fleet::{Clock, Load, Order, Time};
use squall_plan::Plan;
use tokio::time::Instant;

use crate::SystemClock;

/// Makes the engine ready for a plan on this machine; what is returned starts it on a slice.
pub fn prepare(
    plan: &Plan,
    machine: Machine,
) -> Result<impl FnOnce(Order) -> Result<Load, String> + use<>, String> {
    let prepared = squall_engine::prepare(plan, machine).map_err(|error| error.to_string())?;
    Ok(move |order| start(order, &prepared))
}

fn start(order: Order, prepared: &Prepared) -> Result<Load, String> {
    let slice = SliceOrder {
        plan: order.plan,
        share: order.share,
        seed: order.seed,
        run: RunFacts { id: order.run, started_ms: order.epoch.0 / 1_000 },
        epoch: instant_of(order.epoch),
        interval: order.interval,
    };
    let running = squall_engine::start(&slice, prepared).map_err(|error| error.to_string())?;
    Ok(Load {
        recordings: running.recordings,
        finished: Box::pin(async move {
            match running.finished.await {
                Ok(finished) => Ok(finished.abort),
                Err(_) => Err("generator thread broke down".to_owned()),
            }
        }),
        stop: Box::new(move || running.stopper.stop()),
    })
}

/// The instant at which the clock on the wall will say, or said, that time.
fn instant_of(time: Time) -> Instant {
    let (wall, now) = (SystemClock.now(), Instant::now());
    if time > wall { now + time.since(wall) } else { now.checked_sub(wall.since(time)).unwrap_or(now) }
}
