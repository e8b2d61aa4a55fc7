//! `squall destroy`: a stack, and everything that was kept in it, removed.

use std::time::Duration;

use squall_aws::S3Store;
use squall_aws::operator::{StackError, empty};
use squall_fleet::{Clock, Stop, StoreErrorKind, run_under_way, stop};
use squall_report::ExitCode;
use squall_seat::SystemClock;

use super::guard::in_words;
use super::{Site, Told, block_on, told, told_of_stack};
use crate::args::DestroyArgs;
use crate::failure::Failure;

/// How long generators may take to say their last words.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a command that made the run may take to read what came last, before it is removed: a look or two.
const READ_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn command(args: &DestroyArgs) -> Result<ExitCode, Failure> {
    block_on(async {
        for (site, _) in Site::open_all(&args.aws).await? {
            destroy(&site, args.force).await?;
        }
        Ok(ExitCode::Passed)
    })
}

async fn destroy(site: &Site, force: bool) -> Result<(), Failure> {
    let (stacks, name, region) = (site.stacks(), &site.stack, site.session.region());
    let Some(stack) = stacks.find(name).await.map_err(told)? else {
        println!("there is no stack `{name}` in {region}");
        return Ok(());
    };
    if !stack.is_ours() {
        return Err(told_of_stack(StackError::Foreign(name.clone())));
    }
    let bucket = stacks.part(name, "Bucket").await.map_err(told)?;
    if let Some(bucket) = &bucket {
        let store = S3Store::new(site.session.connection(), bucket);
        let under_way = match run_under_way(&store, &SystemClock).await {
            // What is gone holds no run.
            Err(error) if error.kind == StoreErrorKind::Gone => None,
            under_way => under_way.map_err(told)?,
        };
        match under_way {
            Some(run) if !force => {
                let hint = format!("`squall stop {run}` ends it, and --force does both");
                return Err(site.under_way(&run, hint));
            }
            Some(run) => {
                eprintln!("stopping run {run}");
                let stopped = stop(&store, &SystemClock, &run, PATIENCE).await.map_err(told)?;
                if matches!(stopped, Stop::Stopped { .. }) {
                    // Whoever made it reads what was measured, and reports it.
                    SystemClock.sleep(READ_WITHIN).await;
                }
            }
            None => {}
        }
        if let Some(fleet) = stack.fleet() {
            let mappings = site.deployed(fleet).mappings;
            if let Ok(left) = mappings.look().await
                && let Some(words) = in_words(left)
            {
                eprintln!("a run that is over was not tidied up: {words}; switching that off");
            }
            // What fails here goes away with the stack.
            let _ = mappings.close().await;
        }
        let objects = empty(site.session.connection(), bucket).await.map_err(told)?;
        eprintln!("removing stack `{name}` in {region}\n  {:<16} {objects} objects deleted", "Bucket");
    }
    match (stacks.remove(name, &mut Told).await, &bucket) {
        (Ok(()), _) => {}
        // A generator that ran on has written something after the bucket was emptied.
        (Err(StackError::Failed { .. }), Some(bucket)) => {
            empty(site.session.connection(), bucket).await.map_err(told)?;
            stacks.remove(name, &mut Told).await.map_err(told_of_stack)?;
        }
        (Err(error), _) => return Err(told_of_stack(error)),
    }
    println!("stack `{name}` in {region} is removed");
    Ok(())
}
