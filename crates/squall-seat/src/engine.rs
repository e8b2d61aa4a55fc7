//! The engine behind the protocol's interface.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use squall_engine::{Guard, Machine, Prepared, RunFacts, SliceOrder, Stopper};
use squall_fleet::{Clock, Load, Order, Reins, Secrets, Time};
use squall_plan::{Plan, Secret, SecretValues};
use tokio::time::{Instant, timeout};

use crate::SystemClock;

/// Secrets that are not there after so long are not waited for.
const SECRETS_WITHIN: Duration = Duration::from_secs(30);

/// Makes the engine ready for a plan on this machine; what is returned starts it on a slice.
pub async fn prepare<S: Secrets>(
    plan: Arc<Plan>,
    machine: Machine,
    secrets: &S,
) -> Result<impl FnOnce(Order) -> Result<Load, String> + use<S>, String> {
    prepare_guarded(plan, machine, Guard::default(), secrets).await
}

/// The same where load may not go everywhere.
pub async fn prepare_guarded<S: Secrets>(
    plan: Arc<Plan>,
    machine: Machine,
    guard: Guard,
    secrets: &S,
) -> Result<impl FnOnce(Order) -> Result<Load, String> + use<S>, String> {
    let secrets = fetch(&plan, secrets).await?;
    let prepared =
        squall_engine::prepare(&plan, machine, guard, secrets).map_err(|error| error.to_string())?;
    Ok(move |order| start(order, &prepared))
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

fn start(order: Order, prepared: &Prepared) -> Result<Load, String> {
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
