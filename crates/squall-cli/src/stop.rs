//! `squall stop`: the end of a run, from any terminal.

use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;
use squall_fleet::{Stop, run_under_way, stop};
use squall_local::LocalStore;
use squall_report::ExitCode;
use squall_seat::SystemClock;

use crate::args::{AwsArgs, StopArgs};
use crate::aws::{Site, block_on, told};
use crate::failure::Failure;
use crate::place::{self, Place};

/// How long generators may take to say their last words.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn command(args: &StopArgs) -> Result<ExitCode, Failure> {
    match place::find(&args.run, &args.aws)? {
        Place::Local(store) => block_on(async {
            let store = LocalStore::open(store)?;
            let run = place::only_run(&store).await?.unwrap_or_else(|| args.run.clone());
            say(&run, stop(&store, &SystemClock, &run, PATIENCE).await?)
        }),
        Place::Aws { run, fleet } => block_on(stop_on_aws(&run, &fleet)),
    }
}

/// In each region, at the same time; one that cannot be reached does not keep the others from being stopped.
async fn stop_on_aws(run: &str, aws: &AwsArgs) -> Result<ExitCode, Failure> {
    let sites = Site::open_of_run(aws, Some(run)).await?;
    let stopped = join_all(sites.iter().map(|site| stop_in(site, run))).await;
    let mut all = Vec::new();
    let mut failure = None;
    for (site, stopped) in sites.iter().zip(stopped) {
        match stopped {
            Ok(stopped) => all.push(stopped),
            Err(failed) if sites.len() == 1 => return Err(failed),
            Err(failed) => {
                eprintln!("error: {}: {}", site.session.region(), failed.words());
                failure = Some(failed);
            }
        }
    }
    let stopped = all.into_iter().reduce(Stop::and);
    let code = stopped.map_or(Ok(ExitCode::Error), |stopped| say(run, stopped))?;
    failure.map_or(Ok(code), Err)
}

/// The queue is closed, too: if the orchestrator is dead, nobody else does.
async fn stop_in(site: &Site, run: &str) -> Result<Stop, Failure> {
    let deployed = site.fleet_of_any_version().await?;
    let stopped = stop(&deployed.store, &SystemClock, run, PATIENCE).await.map_err(told)?;
    if run_under_way(&deployed.store, &SystemClock).await.map_err(told)?.is_none() {
        deployed.mappings.close().await.map_err(told)?;
    }
    Ok(stopped)
}

fn say(run: &str, stopped: Stop) -> Result<ExitCode, Failure> {
    match stopped {
        Stop::Stopped { assigned, confirmed } if confirmed == assigned => {
            println!("run {run} is stopped: {confirmed} of {assigned} generators have said so");
        }
        Stop::Stopped { assigned, confirmed } => {
            println!("run {run} is told to stop: {confirmed} of {assigned} generators have said so");
            eprintln!("the others stop within a poll of reading it, or when their lease runs out");
        }
        Stop::Over => println!("run {run} is over"),
        Stop::Unknown => {
            return Err(Failure::wrong(anyhow!("there is no run {run}")).with_hint(
                "run ids are the folders under .squall/runs; on AWS give --stack and --region, too",
            ));
        }
    }
    Ok(ExitCode::Passed)
}
