//! `squall stop`: the end of a run, from any terminal.

use std::time::Duration;

use anyhow::anyhow;
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

/// The queue is closed, too: if the orchestrator is dead, nobody else does.
async fn stop_on_aws(run: &str, aws: &AwsArgs) -> Result<ExitCode, Failure> {
    let site = Site::open(aws).await?;
    let deployed = site.fleet_of_any_version().await?;
    let stopped = stop(&deployed.store, &SystemClock, run, PATIENCE).await.map_err(told)?;
    if run_under_way(&deployed.store, &SystemClock).await.map_err(told)?.is_none() {
        deployed.mappings.close().await.map_err(told)?;
    }
    say(run, stopped)
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
