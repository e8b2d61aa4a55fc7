//! Where a run is, for commands that name it: in a folder of this machine, or on a fleet on AWS.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use squall_fleet::{Store, StoreError};
use squall_local::LocalStore;

use crate::args::{AwsArgs, RegionArg};
use crate::aws::{MADE_ON, MadeOn};
use crate::failure::Failure;
use crate::local::STORE;
use crate::run::RUNS;

/// Where a run is.
pub(crate) enum Place {
    /// The local fleet's store, in its folder.
    Local(PathBuf),
    /// A fleet on AWS.
    Aws {
        /// The run's id.
        run: String,
        /// Which fleet.
        fleet: AwsArgs,
    },
}

/// Finds a run by its id or folder. What is said of the fleet counts more than what the folder says.
pub(crate) fn find(run: &str, aws: &AwsArgs) -> Result<Place, Failure> {
    let path = PathBuf::from(run);
    let folder = if path.is_dir() { path } else { Path::new(RUNS).join(run) };
    let local = folder.join(STORE);
    if local.is_dir() {
        return Ok(Place::Local(local));
    }
    let made_on = made_on(&folder)?;
    let fleet = AwsArgs {
        stack: aws.stack.clone().or_else(|| made_on.as_ref().map(|made_on| made_on.stack.clone())),
        region: match &made_on {
            Some(made_on) if aws.region.is_empty() => {
                made_on.regions.iter().map(|region| RegionArg::named(region)).collect()
            }
            _ => aws.region.clone(),
        },
    };
    Ok(Place::Aws { run: made_on.map_or_else(|| run.to_owned(), |made_on| made_on.run), fleet })
}

/// The run in a local store, which has one.
pub(crate) async fn only_run(store: &LocalStore) -> Result<Option<String>, StoreError> {
    let listed = store.list("runs/", None).await?;
    Ok(listed.first().and_then(|listed| listed.key.split('/').nth(1)).map(str::to_owned))
}

fn made_on(folder: &Path) -> Result<Option<MadeOn>, Failure> {
    let path = folder.join(MADE_ON);
    if !path.is_file() {
        return Ok(None);
    }
    let read = || -> anyhow::Result<MadeOn> { Ok(serde_json::from_str(&fs::read_to_string(&path)?)?) };
    read().map(Some).with_context(|| format!("cannot read `{}`", path.display())).map_err(Failure::wrong)
}
