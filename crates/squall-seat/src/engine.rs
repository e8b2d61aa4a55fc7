//! The engine behind the protocol's interface.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use squall_engine::{Guard, Machine, OnceOrder, RunFacts, SliceOrder, Stopper, source_address};
use squall_fleet::{Clock, Load, Order, Prepared, Reins, Secrets, Time};
use squall_plan::{Plan, Secret, SecretValues};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::SystemClock;

/// Secrets that are not there after so long are not waited for.
const SECRETS_WITHIN: Duration = Duration::from_secs(30);

/// An address that is not known after so long is not waited for.
const SOURCE_WITHIN: Duration = Duration::from_secs(10);

/// Makes the engine ready for a plan on this machine; what is returned starts it on a slice.
pub async fn prepare<S: Secrets>(
    plan: Arc<Plan>,
    machine: Machine,
    guard: Guard,
    secrets: &S,
) -> Result<Prepared<impl FnOnce(Order) -> Result<Load, String> + use<S>>, String> {
    let secrets = fetch(&plan, secrets).await?;
    let source = source_of(&plan, &guard, &secrets).await;
    let prepared =
        squall_engine::prepare(&plan, machine, guard, secrets).map_err(|error| error.to_string())?;
    Ok(Prepared { start: move |order| start(order, &prepared), source })
}

/// Which address requests come from, or why that is not known, if the plan asks or it is given.
async fn source_of(
    plan: &Arc<Plan>,
    guard: &Guard,
    secrets: &SecretValues,
) -> Option<Result<IpAddr, String>> {
    if plan.source_address.is_empty() {
        return guard.source.map(Ok);
    }
    let (plan, secrets) = (Arc::clone(plan), secrets.clone());
    let (order, guard) = (OnceOrder { plan, seed: 0, run: RunFacts::default(), secrets }, guard.clone());
    let asked = spawn_blocking(move || source_address(&order, guard));
    let told = timeout(SOURCE_WITHIN, asked).await;
    Some(match told {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it takes too long".to_owned()),
    })
}

/// What the secrets of a plan are, or why one of them cannot be had.
pub async fn fetch(plan: &Plan, secrets: &impl Secrets) -> Result<SecretValues, String> {
    let needed = plan.secrets.iter().filter(|secret| !secret.is_of_telemetry);
    let fetches = needed.map(|Secret { name, source, .. }| async move {
        let fetched = timeout(SECRETS_WITHIN, secrets.secret(source)).await;
        let value = fetched.unwrap_or_else(|_| Err("it takes too long".to_owned()));
        let value = value.map_err(|problem| format!("secret `{name}`: {source}: {problem}"))?;
        Ok::<_, String>((name.clone(), value))
    });
    Ok(try_join_all(fetches).await?.into_iter().collect())
}

fn start(order: Order, prepared: &squall_engine::Prepared) -> Result<Load, String> {
    let slice = SliceOrder {
        plan: order.plan,
        share: order.share,
        seed: order.seed,
        run: RunFacts { id: order.run, nonce: order.nonce, started_ms: order.epoch.0 / 1_000 },
        epoch: instant_of(order.epoch),
        from: order.from,
        rounds: order.rounds,
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
        reins: Box::new(EngineReins(running.stopper)),
    })
}

/// The engine's stopper, by the clock on the wall.
struct EngineReins(Stopper);

impl Reins for EngineReins {
    fn stop(&self) {
        self.0.stop();
    }

    fn end_at(&self, at: Time) {
        self.0.end_at(instant_of(at));
    }

    fn allow_until(&self, until: Time) {
        self.0.allow_until(instant_of(until));
    }
}

/// The instant at which the clock on the wall will say, or said, that time.
fn instant_of(time: Time) -> Instant {
    let (wall, now) = (SystemClock.now(), Instant::now());
    if time > wall { now + time.since(wall) } else { now.checked_sub(wall.since(time)).unwrap_or(now) }
}
