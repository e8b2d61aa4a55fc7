//! A run on a fleet that was deployed on AWS.

use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use squall_aws::operator::{Fleet, account};
use squall_fleet::sizing::{self, Concurrency};
use squall_fleet::{End, Hold, RunOrder, RunRecord, Settings, hold, orchestrate, release};
use squall_plan::Plan;
use squall_seat::SystemClock;

use super::{Deployed, Site, block_on, told};
use crate::args::AwsArgs;
use crate::failure::Failure;
use crate::plan::Loaded;
use crate::progress::Progress;
use crate::run::{Begun, Finished, Order, Place, write};
use crate::signals::interrupted;

/// The file in a run's folder that says which fleet it is made on.
pub(crate) const MADE_ON: &str = "fleet.json";

/// What a generator's life holds besides load: the way to the epoch, and getting out what was measured.
const BESIDES_LOAD: Duration = Duration::from_secs(30);

/// Which fleet a run is made on, for those who want to stop it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeOn {
    pub(crate) run: String,
    pub(crate) stack: String,
    pub(crate) region: String,
}

/// Runs a plan to its end and keeps its result.
pub(crate) fn run(order: Order, args: &AwsArgs) -> Result<Finished, Failure> {
    block_on(async {
        let site = Site::open(args).await?;
        let deployed = site.fleet().await?;
        let plan = &order.loaded.plan;
        let seats = order.generators.unwrap_or_else(|| sizing::seats(&plan.load));
        check_lifetime(plan, &deployed.fleet)?;
        let spares = spares(&site, seats).await?;
        let begun = Begun::new(&order)?;
        take(&site, &deployed, &begun).await?;
        let Loaded { plan, bundle } = order.loaded;
        let settings = Settings {
            run: begun.id.clone(),
            name: plan.name.clone(),
            bundle: bundle.sha256(),
            seed: begun.seed,
            seats,
            spares,
            interval_s: sizing::interval_s(seats),
            poll: sizing::poll(seats),
            gather: order.ready_within.unwrap_or_else(|| sizing::gather(seats)),
            load: plan.load.duration() + plan.load.graceful_stop(),
        };
        let mut progress = Progress::new(&plan.name, plan.load.duration(), seats);
        let plan_sha256 = settings.bundle.clone();
        let record = drive(&deployed, RunOrder { bundle, settings }, &mut progress).await?;
        let place = Place { backend: "aws", region: site.session.region().to_owned() };
        begun.finish(&plan, plan_sha256, place, &record)
    })
}

/// A generator must outlive its load.
fn check_lifetime(plan: &Plan, fleet: &Fleet) -> Result<(), Failure> {
    let load = plan.load.duration() + plan.load.graceful_stop();
    if load + BESIDES_LOAD <= fleet.timeout {
        return Ok(());
    }
    let s = |duration: Duration| duration.as_secs();
    let what = anyhow!(
        "the load lasts {} s with its graceful stop, and a generator lives {} s, of which {} are for other things",
        s(load),
        s(fleet.timeout),
        s(BESIDES_LOAD)
    );
    let hint = if fleet.timeout < Duration::from_mins(15) {
        "make the load shorter, or the generators' life longer: `squall deploy --timeout 15m`"
    } else {
        "make the load shorter with --duration, or split it into several runs"
    };
    Err(Failure::wrong(what).with_hint(hint))
}

/// How many spares the account has room for. A throttled queue would slow down the whole start, so what it
/// allows is asked before.
async fn spares(site: &Site, seats: u32) -> Result<u32, Failure> {
    let account = account(site.session.connection()).await.map_err(told)?;
    if let Some(room) = account.unreserved.checked_sub(seats) {
        return Ok(sizing::spares(seats).min(room));
    }
    let what = anyhow!(
        "{seats} generators are asked for, and the account runs {} functions at a time in {}",
        account.unreserved,
        site.session.region()
    );
    let hint = "take fewer --generators, or have the quota `Concurrent executions` of Lambda raised (Service Quotas, L-B99A9384)";
    Err(Failure::wrong(what).with_hint(hint))
}

/// Takes the fleet for this run, and writes down where it is made.
async fn take(site: &Site, deployed: &Deployed, begun: &Begun) -> Result<(), Failure> {
    let made_on =
        MadeOn { run: begun.id.clone(), stack: site.stack.clone(), region: site.session.region().to_owned() };
    write(&begun.folder, MADE_ON, &serde_json::to_string_pretty(&made_on)?)?;
    match hold(&deployed.store, &SystemClock, &begun.id).await.map_err(told)? {
        Hold::Granted => Ok(()),
        Hold::TakenBy(run) => Err(Failure::wrong(anyhow!("run {run} is under way on stack `{}`", site.stack))
            .with_hint(format!(
                "wait for its end, `squall stop {run}`, or deploy a fleet of your own: `squall deploy --stack NAME`"
            ))),
    }
}

/// Opens the queue for the time of the run, and drives it. A queue is closed again whatever happens.
async fn drive(deployed: &Deployed, order: RunOrder, progress: &mut Progress) -> Result<RunRecord, Failure> {
    let (run, seats) = (order.settings.run.clone(), order.settings.seats);
    let offered = seats + order.settings.spares;
    eprintln!("run {run}: opening the queue for {seats} generators");
    let mut stop = pin!(interrupted());
    let opened = tokio::select! {
        opened = deployed.mapping.open(Concurrency::of(offered)) => Some(opened),
        () = &mut stop => None,
    };
    let opened_well = opened.as_ref().map(Result::is_ok);
    let record = match opened {
        Some(Ok(())) => {
            let (queue, store) = (&deployed.queue, &deployed.store);
            orchestrate(queue, store, &SystemClock, order, progress, stop).await.map_err(
                |error| match error {
                    squall_fleet::OrchestrateError::Store(error) => told(error),
                },
            )
        }
        Some(Err(error)) => Err(told(error)),
        None => Err(Failure::interrupted()),
    };
    if !matches!(opened_well, Some(true)) {
        // What is not given back is free within a minute.
        let _ = release(&deployed.store, &run).await;
    }
    if record.as_ref().is_ok_and(|record| record.epoch.is_none() && matches!(record.end, End::Failed(_))) {
        eprintln!("hint: the log of function `{}` says why seats were not taken", deployed.fleet.function);
    }
    if let Err(error) = deployed.mapping.close().await {
        eprintln!("warning: the queue stays open: {}", error.explain());
        eprintln!("hint: the next run closes it; `squall doctor` says whether it is open");
    }
    record
}
