//! A run on a fleet that was deployed on AWS.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use squall_aws::S3Store;
use squall_aws::operator::{Fleet, account, identity};
use squall_fleet::cost::{Expected, Used, actual, estimate, total};
use squall_fleet::sizing::{self, Concurrency, Function};
use squall_fleet::{
    Clock, Counted, End, Hold, Lasts, OrchestrateError, RunOrder, RunRecord, SAY_AGAIN, StoreErrorKind,
    StoreUse, Time, hold, is_held_by, orchestrate, release,
};
use squall_plan::Plan;
use squall_report::Cost;
use squall_seat::SystemClock;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::guard::{check_ceilings, declaration, in_words};
use super::{Deployed, MOST_CLOCK_OFFSET_S, RAISE_QUOTA, SET_CLOCK, Site, block_on, told};
use crate::args::AwsArgs;
use crate::attach::{Taken, take_over};
use crate::cost::{self, check_max};
use crate::failure::Failure;
use crate::fleet::{Kind, Wishes, check_detached, check_windows, settings};
use crate::live::{Live, Watch, hand_over};
use crate::plan::Loaded;
use crate::run::{Begun, Finished, Order, Place, check_connections, check_slices, judge_of, write};
use crate::secrets::check_for_aws;
use crate::setup::Errands;
use crate::size::{Sized, generators};

/// The file in a run's folder that says which fleet it is made on.
pub(crate) const MADE_ON: &str = "fleet.json";

/// What a generator's life holds besides load: the way to the epoch, and getting out what was measured.
const BESIDES_LOAD: Duration = Duration::from_secs(40);

/// How long one that is to go on with a slice may have waited for it.
const WAITING: Duration = Duration::from_mins(1);

/// Slices that change hands more often than that do nothing else.
const LEAST_WINDOW: Duration = Duration::from_secs(30);

/// Which fleet a run is made on, for those who want to stop it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeOn {
    pub(crate) run: String,
    pub(crate) stack: String,
    pub(crate) region: String,
}

/// A run that may begin as soon as it has the fleet.
struct Prepared {
    loaded: Loaded,
    begun: Begun,
    errands: Errands,
    live: Live,
    kind: Kind,
    wishes: Wishes,
    estimated_usd: f64,
}

/// Runs a plan to its end and keeps its result.
pub(crate) fn run(order: Order, args: &AwsArgs, max_cost: Option<f64>) -> Result<Option<Finished>, Failure> {
    block_on(async {
        check_for_aws(&order.loaded.plan)?;
        let site = Site::open(args).await?;
        let deployed = site.fleet().await?;
        let plan = &order.loaded.plan;
        let function = deployed.fleet.runs_on();
        let sized = Sized::of(plan, function, order.generators)?;
        let seats = sized.generators;
        check_slices(seats, plan.most_slices())?;
        check_clock(&site).await?;
        let window = window(plan, &deployed.fleet, seats, order.wishes.window)?;
        check_detached(plan, seats, window, order.wishes)?;
        check_connections(plan, seats, sizing::CONNECTIONS_OF_SEAT)?;
        check_ceilings(plan, &deployed.fleet, seats)?;
        let spares = spares(&site, seats).await?;
        let kind = Kind {
            seats,
            spares,
            interval_s: sizing::interval_s(seats),
            poll: sizing::poll(seats),
            gather: sizing::gather(seats),
            window,
        };
        let lanes = u32::try_from(deployed.fleet.lanes.len()).unwrap_or(1);
        let expected = Expected::of(plan, function, (seats, spares, lanes), sized.calibration());
        let estimated = estimate(&expected);
        check_max(&estimated, max_cost)?;
        tell(&sized, order.generators.is_some(), &cost::in_words(&expected, &estimated));
        let begun = Begun::new(&order)?;
        let live = Live::begin(&begun, &order.loaded.plan, seats, &order.watch)?;
        let (queues, region) = (deployed.fleet.lanes.len(), site.session.region());
        eprintln!("{}", declaration(plan, &begun.id, seats, queues, region));
        take(&site, &deployed, &begun.id).await?;
        match get_ready(&site, &deployed, &begun, order.loaded).await {
            Ok((loaded, errands)) => {
                let estimated_usd = total(&estimated);
                let prepared =
                    Prepared { loaded, begun, errands, live, kind, wishes: order.wishes, estimated_usd };
                Box::pin(run_taken(&site, &deployed, prepared)).await
            }
            Err(failure) => {
                // What is not given back is free within a minute.
                let _ = release(&deployed.store, &begun.id).await;
                Err(failure)
            }
        }
    })
}

/// What is done on a fleet that was taken before anybody is invited: whatever a run that is over left on is switched
/// off, and the steps of `setup` are taken. Meanwhile others are told that this run is about to begin.
async fn get_ready(
    site: &Site,
    deployed: &Deployed,
    begun: &Begun,
    loaded: Loaded,
) -> Result<(Loaded, Errands), Failure> {
    write_down(site, begun)?;
    let left = deployed.mappings.look().await.map_err(told)?;
    if let Some(words) = in_words(left) {
        eprintln!("a run that is over was not tidied up: {words}; switching that off");
        deployed.mappings.close().await.map_err(told)?;
    }
    let (id, seed) = (begun.id.clone(), begun.seed);
    // Steps take their time, and a thread.
    let mut errands = spawn_blocking(move || Errands::begin(loaded, &id, seed));
    loop {
        match timeout(SAY_AGAIN, &mut errands).await {
            Ok(ready) => {
                let ready = ready??;
                return if hold_on(deployed, begun).await? { Ok(ready) } else { Err(lost(site)) };
            }
            // That it cannot be said now may be mended until it matters.
            Err(_) => drop(hold_on(deployed, begun).await),
        }
    }
}

async fn hold_on(deployed: &Deployed, begun: &Begun) -> Result<bool, Failure> {
    squall_fleet::hold_on(&deployed.store, &SystemClock, &begun.id).await.map_err(told)
}

/// Somebody else has the fleet, who must have waited for longer than this run was silent.
fn lost(site: &Site) -> Failure {
    let what = anyhow!("another run has taken stack `{}` while this one was in `setup`", site.stack);
    Failure::from(what).with_hint("try again when it is over, or deploy a fleet of your own")
}

/// Makes the run on a fleet that was taken for it, keeps its result, and closes the queue whatever happened.
async fn run_taken(
    site: &Site,
    deployed: &Deployed,
    prepared: Prepared,
) -> Result<Option<Finished>, Failure> {
    let Prepared { loaded: Loaded { plan, bundle }, begun, errands, live, kind, wishes, estimated_usd } =
        prepared;
    let settings = settings(&begun, &plan, &bundle, kind, wishes);
    let judge = judge_of(&plan, site.session.region());
    let order = RunOrder { bundle: bundle.clone(), settings, judge, resumed: None };
    let taken = Taken { begun, errands, live, loaded: Loaded { plan, bundle }, order };
    Box::pin(drive_to_end(site, deployed, taken, Some(estimated_usd))).await
}

/// Takes over a run on a fleet, and drives it to its end.
pub(crate) async fn attach_on_aws(
    run: &str,
    fleet: &AwsArgs,
    out: Option<PathBuf>,
    watch: &Watch,
) -> Result<Finished, Failure> {
    let site = Site::open(fleet).await?;
    let deployed = site.fleet().await?;
    let taken = take_over(&deployed.store, (run, site.session.region()), out, watch).await?;
    write_where(&site, &taken.begun)?;
    let finished = Box::pin(drive_to_end(&site, &deployed, taken, None)).await?;
    finished.ok_or_else(|| anyhow!("a run that was taken over goes on without its orchestrator").into())
}

/// Drives a run to its end, keeps its result, and closes the queue whatever happened. `None` if it goes on by itself: it
/// was to be detached.
async fn drive_to_end(
    site: &Site,
    deployed: &Deployed,
    taken: Taken,
    estimated_usd: Option<f64>,
) -> Result<Option<Finished>, Failure> {
    let Taken { begun, errands, mut live, loaded: Loaded { plan, bundle }, order } = taken;
    let run = begun.id.clone();
    let (poll, opened_at) = (order.settings.poll, SystemClock.now());
    let store = Counted::new(&deployed.store);
    let record = Box::pin(drive(deployed, &store, order, &mut live)).await;
    let page = live.close();
    if matches!(&record, Ok(record) if record.end == End::Detached) {
        eprintln!("run {run} goes on without this command; `squall attach {run}` makes its report");
        return Ok(None);
    }
    let finished = record.and_then(|mut record| {
        let cost = cost_of(deployed, &record, (opened_at, poll), store.used(), estimated_usd);
        if record.epoch.is_none() && matches!(record.end, End::Failed(_)) {
            let functions: Vec<&str> =
                deployed.fleet.lanes.iter().map(|lane| lane.function.as_str()).collect();
            eprintln!("hint: the log of function `{}` says why seats were not taken", functions.join("`, `"));
        }
        let plan = errands.end(plan, &mut record)?;
        let place = Place { backend: "aws", region: site.session.region().to_owned(), cost };
        begun.finish(&plan, bundle.sha256(), place, &record)
    });
    close(deployed, &run).await;
    if let Ok(finished) = &finished {
        hand_over(page, finished);
    }
    finished.map(Some)
}

/// What is there to make runs on.
pub(crate) struct Look {
    pub(crate) stack: String,
    pub(crate) function: Function,
    /// Functions that the account runs at a time, beside what it reserves.
    pub(crate) unreserved: u32,
}

/// Looks at a fleet before there is a run.
pub(crate) fn look(args: &AwsArgs) -> Result<Look, Failure> {
    block_on(async {
        let site = Site::open(args).await?;
        let function = site.fleet().await?.fleet.runs_on();
        let unreserved = account(site.session.connection()).await.map_err(told)?.unreserved;
        Ok(Look { stack: site.stack, function, unreserved })
    })
}

/// Says how many generators there will be and why, and what they will cost.
fn tell(sized: &Sized, given: bool, cost: &str) {
    if !given {
        let source = sized.source();
        let source = if source.is_empty() { source } else { format!("; {source}") };
        eprintln!("{}: {}{source}", generators(sized.generators), sized.reason());
    } else if let Some(shortage) = sized.shortage() {
        eprintln!("warning: {shortage}");
    }
    eprintln!("estimated cost: {cost} (prices of {})", cost::prices());
}

/// What a run cost, `setup` and `teardown` left out, which are this machine's.
fn cost_of(
    deployed: &Deployed,
    record: &RunRecord,
    (opened_at, poll): (Time, Duration),
    command: StoreUse,
    estimated_usd: Option<f64>,
) -> Cost {
    let fleet = &deployed.fleet;
    let ended_at = SystemClock.now();
    let counts = || record.merged.series().values().map(|series| &series.counts);
    let items = actual(&Used {
        function: fleet.runs_on(),
        timeout: fleet.timeout,
        concurrency: Concurrency::of(record.seats.invited),
        lanes: u32::try_from(fleet.lanes.len()).unwrap_or(1),
        open: ended_at.since(opened_at),
        poll,
        invited: record.seats.invited,
        ended_at,
        generators: &record.generators,
        command,
        bytes_sent: counts().map(|counts| counts.bytes_sent).sum(),
    });
    let requests = counts().map(|counts| counts.requests).sum();
    Cost::new(estimated_usd, cost::items(&items), requests, cost::prices())
}

/// Whether messages and leases mean the same here and there.
async fn check_clock(site: &Site) -> Result<(), Failure> {
    let identity = identity(site.session.connection(), &SystemClock).await.map_err(told)?;
    match identity.clock_offset_s {
        Some(offset) if offset.abs() > MOST_CLOCK_OFFSET_S => {
            Err(Failure::wrong(anyhow!("this machine's clock is {offset:+.0} s off AWS's"))
                .with_hint(SET_CLOCK))
        }
        _ => Ok(()),
    }
}

/// How long a generator can run a slice: what comes before and after it takes a part of its life.
fn window(plan: &Plan, fleet: &Fleet, seats: u32, asked: Option<Duration>) -> Result<Duration, Failure> {
    let lasts = Lasts::of(plan, seats);
    let besides = lasts.graceful + lasts.cleanup + BESIDES_LOAD;
    let most = fleet.timeout.saturating_sub(besides);
    // What is handed over has been waited for by somebody who lived meanwhile.
    let window = if lasts.load <= most { most } else { most.saturating_sub(WAITING) };
    if let Some(asked) = asked.filter(|asked| *asked < LEAST_WINDOW) {
        let what = anyhow!("a window of {} s is too short to hand a slice over", asked.as_secs());
        return Err(Failure::wrong(what).with_hint("take at least --window 30s"));
    }
    let window = asked.unwrap_or(window).min(most);
    if lasts.load > window && window < LEAST_WINDOW {
        let what = anyhow!(
            "a generator lives {} s, of which {} are for other things than load: too little to hand it over",
            fleet.timeout.as_secs(),
            besides.as_secs()
        );
        return Err(Failure::wrong(what).with_hint(
            "let generators live longer: `squall deploy --timeout 15m`; or make the load, its window or its graceful \
             stop shorter or longer",
        ));
    }
    check_windows(plan, seats, window)?;
    Ok(window)
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
    Err(Failure::wrong(what).with_hint(RAISE_QUOTA))
}

/// Takes the fleet for this run.
async fn take(site: &Site, deployed: &Deployed, run: &str) -> Result<(), Failure> {
    match hold(&deployed.store, &SystemClock, run).await.map_err(told)? {
        Hold::Granted => Ok(()),
        Hold::TakenBy(other) => {
            let hint = format!(
                "wait for its end, `squall stop {other}`, or deploy a fleet of your own: `squall deploy --stack NAME`"
            );
            Err(site.under_way(&other, hint))
        }
    }
}

/// Makes the run's folder, which says where the run is made.
fn write_down(site: &Site, begun: &Begun) -> Result<(), Failure> {
    begun.make_folder()?;
    write_where(site, begun)
}

fn write_where(site: &Site, begun: &Begun) -> Result<(), Failure> {
    let made_on =
        MadeOn { run: begun.id.clone(), stack: site.stack.clone(), region: site.session.region().to_owned() };
    write(&begun.folder, MADE_ON, &serde_json::to_string_pretty(&made_on)?)
}

/// Drives the run, and opens the queue meanwhile: seats that are offered before it is open wait in it.
async fn drive(
    deployed: &Deployed,
    store: &Counted<'_, S3Store>,
    order: RunOrder,
    live: &mut Live,
) -> Result<RunRecord, Failure> {
    let (run, seats) = (order.settings.run.clone(), order.settings.seats);
    let offered = sizing::at_once(&order.settings);
    eprintln!("run {run}: opening the queue for {seats} generators");
    let (fail, failed) = oneshot::channel();
    let open = async {
        if let Err(error) = deployed.mappings.open(offered).await {
            // The other side ends with the run.
            let _ = fail.send(());
            return Some(error);
        }
        std::future::pending().await
    };
    let stopped = live.stopped();
    let stop = async {
        tokio::select! {
            () = stopped => {}
            Ok(()) = failed => {}
        }
    };
    let mut open = pin!(open);
    let mut failure = None;
    let mut driven = pin!(orchestrate(&deployed.queue, store, &SystemClock, order, live, stop));
    let record = loop {
        tokio::select! {
            record = &mut driven => break record,
            error = &mut open, if failure.is_none() => failure = error,
        }
    };
    match (failure, record) {
        (Some(error), _) | (None, Err(OrchestrateError::Store(error))) => Err(told(error)),
        (None, Ok(record)) => Ok(record),
    }
}

/// Closes the queue again, unless somebody else has taken the fleet meanwhile: then it is theirs.
async fn close(deployed: &Deployed, run: &str) {
    let closed = match is_held_by(&deployed.store, run).await {
        Ok(false) => return,
        // Where that cannot be read, closed is the safer state.
        Ok(true) | Err(_) => deployed.mappings.close().await,
    };
    // What is gone is not open.
    if let Err(error) = closed
        && error.kind != StoreErrorKind::Gone
    {
        eprintln!("warning: the queue stays open: {}", error.explain());
        eprintln!("hint: the next run closes it; `squall doctor` says whether it is open");
    }
}
