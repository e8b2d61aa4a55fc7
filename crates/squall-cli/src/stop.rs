//! `squall stop`: the end of a run, from any terminal.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use squall_fleet::{Stop, Store, StoreError, run_under_way, stop};
use squall_local::LocalStore;
use squall_report::ExitCode;
use squall_seat::SystemClock;

use crate::args::{AwsArgs, StopArgs};
use crate::aws::{MADE_ON, MadeOn, Site, block_on, told};
use crate::failure::Failure;
use crate::local::STORE;
use crate::run::RUNS;

/// How long generators may take to say their last words.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn command(args: &StopArgs) -> Result<ExitCode, Failure> {
    let folder = folder(&args.run);
    let local = folder.join(STORE);
    if local.is_dir() {
        return block_on(async {
            let store = LocalStore::open(local)?;
            let run = only_run(&store).await?.unwrap_or_else(|| args.run.clone());
            say(&run, stop(&store, &SystemClock, &run, PATIENCE).await?)
        });
    }
    let made_on = made_on(&folder)?;
    let run = made_on.as_ref().map_or_else(|| args.run.clone(), |made_on| made_on.run.clone());
    let aws = AwsArgs {
        stack: args.aws.stack.clone().or_else(|| made_on.as_ref().map(|made_on| made_on.stack.clone())),
        region: args.aws.region.clone().or_else(|| made_on.as_ref().map(|made_on| made_on.region.clone())),
    };
    block_on(stop_on_aws(&run, &aws))
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

/// A folder, or the id of a run.
fn folder(run: &str) -> PathBuf {
    let path = PathBuf::from(run);
    if path.is_dir() { path } else { Path::new(RUNS).join(run) }
}

/// The run in a local store, which has one.
async fn only_run(store: &LocalStore) -> Result<Option<String>, StoreError> {
    let keys = store.list("runs/", None).await?;
    Ok(keys.first().and_then(|listed| listed.key.split('/').nth(1)).map(str::to_owned))
}

fn made_on(folder: &Path) -> Result<Option<MadeOn>, Failure> {
    let path = folder.join(MADE_ON);
    if !path.is_file() {
        return Ok(None);
    }
    let read = || -> anyhow::Result<MadeOn> { Ok(serde_json::from_str(&fs::read_to_string(&path)?)?) };
    read().map(Some).with_context(|| format!("cannot read `{}`", path.display())).map_err(Failure::wrong)
}
