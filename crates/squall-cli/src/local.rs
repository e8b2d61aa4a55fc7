//! A run on the local fleet.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use squall_fleet::{Fleet, RunOrder, RunRecord, Settings, orchestrate};
use squall_local::{LocalFleet, LocalQueue, LocalStore};
use squall_report::Cost;
use squall_seat::{SystemClock, machine_of};

use crate::failure::Failure;
use crate::fleet::{Kind, settings};
use crate::live::Live;
use crate::local_ips::check_family;
use crate::plan::Loaded;
use crate::run::{Begun, Finished, Made, Order, Place, check_connections, check_slices, judge_of};
use crate::secrets::OwnSecrets;
use crate::setup::Errands;
use crate::size::check_own;
use crate::surroundings;

/// Where in a run's folder the local fleet keeps its store.
pub(crate) const STORE: &str = "fleet";

/// What this machine is called as a region.
pub(crate) const LOCAL: &str = "local";

/// How often orchestrator and generators look at the store.
const POLL: Duration = Duration::from_millis(100);

/// How long generators may take to be ready. They are threads of this process.
const GATHER: Duration = Duration::from_secs(20);

/// Runs a plan to its end and keeps its result.
pub(crate) fn run(order: Order) -> Result<Finished, Failure> {
    let finished = make(order)?.finish()?;
    if finished.unkept.is_none() {
        // All that the fleet said is in the result now.
        let _ = fs::remove_dir_all(finished.folder.join(STORE));
    }
    Ok(finished)
}

/// Runs a plan to its end.
pub(crate) fn make(order: Order) -> Result<Made, Failure> {
    surroundings::raise_file_limit();
    let most = order.loaded.plan.most_slices();
    let generators = order.generators.unwrap_or_else(|| processors().min(most));
    check_slices(generators, most)?;
    check_connections(&order.loaded.plan, generators, machine_of(generators).connections)?;
    check_own(&order.loaded.plan, generators)?;
    check_family(&order.sources, &order.loaded.plan)?;
    let begun = Begun::new(&order)?;
    let mut live = Live::begin(&begun, &order.loaded.plan, generators, &order.watch)?;
    begun.make_folder()?;
    let store = LocalStore::open(begun.folder.join(STORE)).context("cannot keep results")?;
    let (loaded, errands) = Errands::begin(order.loaded, &begun.id, begun.seed)?;
    let Loaded { plan, bundle } = loaded;
    let kind = Kind {
        seats: generators,
        spares: 0,
        interval_s: 1,
        poll: POLL,
        gather: GATHER,
        window: Duration::MAX,
    };
    let settings = settings(&begun, &plan, &bundle, (kind, &[]), order.wishes);
    let run = RunOrder { bundle, judge: judge_of(&plan), all_regions: false, lost: Vec::new() };
    let plan_sha256 = settings.bundle.clone();
    let mut record = drive((&store, &order.sources), run, settings, &mut live)?;
    let page = live.close();
    let plan = errands.end(plan, &mut record)?;
    let place = Place { backend: "local", regions: vec![LOCAL.to_owned()], cost: Cost::free() };
    Ok(Made { begun, plan, plan_sha256, place, record, page })
}

fn processors() -> u32 {
    available_parallelism().ok().and_then(|number| u32::try_from(number.get()).ok()).unwrap_or(1)
}

/// Starts the fleet and drives the run over it.
fn drive(
    (store, sources): (&LocalStore, &[IpAddr]),
    order: RunOrder,
    settings: Settings,
    live: &mut Live,
) -> Result<RunRecord, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let record = runtime.block_on(async {
        let queue = Arc::new(LocalQueue::default());
        let mut fleet = LocalFleet::start(
            &settings.run,
            (settings.seats, sources),
            (&queue, store, &Arc::new(OwnSecrets::default())),
        );
        let stopped = live.stopped();
        let here = Fleet { region: LOCAL.to_owned(), queue: &*queue, store, settings, resumed: None };
        let driven = orchestrate(vec![here], &SystemClock, order, live, stopped);
        tokio::select! {
            record = driven => record.map_err(Failure::from),
            error = fleet.failed() => Err(Failure::from(error)),
        }
    });
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    record
}
