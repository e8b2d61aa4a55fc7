//! A run on fleets that were deployed on AWS.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use squall_aws::operator::account;
use squall_aws::{S3Store, SqsLanes};
use squall_fleet::cost::{Expected, Used, actual, estimate, total};
use squall_fleet::sizing::{self, Concurrency, Function};
use squall_fleet::{
    Clock, Counted, End, Fleet, OrchestrateError, RegionSeats, RunOrder, RunRecord, SAY_AGAIN, StoreUse,
    Time, orchestrate,
};
use squall_report::Cost;
use squall_seat::SystemClock;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::bases::{Base, Bases};
use super::checks::{check_clock, window};
use super::guard::declaration;
use super::{Site, block_on, missing, told};
use crate::args::AwsArgs;
use crate::attach::{Part, Taken, take_over};
use crate::cost::{self, check_max};
use crate::failure::Failure;
use crate::fleet::{Kind, Wishes, check_detached, settings};
use crate::live::{Live, Watch};
use crate::plan::Loaded;
use crate::run::{Begun, Finished, Made, Order, Place, check_connections, check_slices, judge_of, write};
use crate::secrets::check_for_aws;
use crate::setup::Errands;
use crate::size::{Sized, generators};

/// The file in a run's folder that says which fleets it is made on.
pub(crate) const MADE_ON: &str = "fleet.json";

/// Which fleets a run is made on, for those who want to stop it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeOn {
    pub(crate) run: String,
    pub(crate) stack: String,
    pub(crate) regions: Vec<String>,
}

/// A run that may begin as soon as it has its fleets.
struct Prepared {
    loaded: Loaded,
    begun: Begun,
    errands: Errands,
    live: Live,
    kinds: Vec<Kind>,
    wishes: Wishes,
    estimated_usd: f64,
}

/// Runs a plan to its end and keeps its result. `None` if it goes on by itself: it was to be detached.
pub(crate) fn run(order: Order, args: &AwsArgs, max_cost: Option<f64>) -> Result<Option<Finished>, Failure> {
    make(order, args, max_cost)?.map(Made::finish).transpose()
}

/// Runs a plan to its end. `None` if it goes on by itself: it was to be detached.
pub(crate) fn make(order: Order, args: &AwsArgs, max_cost: Option<f64>) -> Result<Option<Made>, Failure> {
    block_on(async {
        check_for_aws(&order.loaded.plan)?;
        let bases = Bases::open(args).await?;
        let plan = &order.loaded.plan;
        let sized = Sized::of(plan, bases.function(), order.generators)?;
        let seats = sized.generators;
        check_slices(seats, plan.most_slices())?;
        check_clock(&bases.first().site).await?;
        check_connections(plan, seats, sizing::CONNECTIONS_OF_SEAT)?;
        bases.check_ceilings(plan, seats)?;
        let kinds = kinds(&bases, &order, seats).await?;
        let spares = kinds.iter().map(|kind| kind.spares).sum();
        let expected =
            Expected::of(plan, bases.function(), (seats, spares, bases.lanes()), sized.calibration())
                .in_windows(kinds.first().map_or(Duration::MAX, |kind| kind.window));
        let estimated = estimate(&expected);
        check_max(&estimated, max_cost)?;
        tell(&sized, order.generators.is_some(), &cost::in_words(&expected, &estimated));
        let begun = Begun::new(&order)?;
        let live = Live::begin(&begun, &order.loaded.plan, seats, &order.watch)?;
        eprintln!("{}", declaration(plan, &begun.id, seats, bases.lanes(), &bases.regions()));
        bases.take(&begun.id).await?;
        match get_ready(&bases, &begun, order.loaded).await {
            Ok((loaded, errands)) => {
                let estimated_usd = total(&estimated);
                let prepared =
                    Prepared { loaded, begun, errands, live, kinds, wishes: order.wishes, estimated_usd };
                Box::pin(run_taken(&bases, prepared)).await
            }
            Err(failure) => {
                bases.release(&begun.id).await;
                Err(failure)
            }
        }
    })
}

/// What the fleet of each region is like. Whatever is said of time is said of all of them.
async fn kinds(bases: &Bases, order: &Order, all: u32) -> Result<Vec<Kind>, Failure> {
    let plan = &order.loaded.plan;
    let seats = bases.seats(all)?;
    let windows: Result<Vec<Duration>, Failure> = bases
        .iter()
        .map(|base| window(plan, base.deployed.fleet.timeout, all, order.wishes.window))
        .collect();
    let window = windows?.into_iter().min().unwrap_or(Duration::MAX);
    check_detached(plan, all, window, order.wishes)?;
    let largest = seats.iter().copied().max().unwrap_or(all);
    let kind = |(seats, spares): (u32, u32)| Kind {
        seats,
        spares,
        interval_s: sizing::interval_s(all),
        poll: sizing::poll(largest),
        gather: sizing::gather(largest),
        window,
    };
    let spares = bases.spares(&seats).await?;
    Ok(seats.into_iter().zip(spares).map(kind).collect())
}

/// What is done on fleets that were taken before anybody is invited: whatever a run that is over left on is switched
/// off, and the steps of `setup` are taken. Meanwhile others are told that this run is about to begin.
async fn get_ready(bases: &Bases, begun: &Begun, loaded: Loaded) -> Result<(Loaded, Errands), Failure> {
    begun.make_folder()?;
    write_where(bases, begun)?;
    bases.tidy_up().await?;
    let (id, seed) = (begun.id.clone(), begun.seed);
    // Steps take their time, and a thread.
    let mut errands = spawn_blocking(move || Errands::begin(loaded, &id, seed));
    loop {
        match timeout(SAY_AGAIN, &mut errands).await {
            Ok(ready) => {
                let ready = ready??;
                return match bases.hold_on(&begun.id).await? {
                    None => Ok(ready),
                    Some(lost) => Err(taken_away(lost)),
                };
            }
            // That it cannot be said now may be mended until it matters.
            Err(_) => drop(bases.hold_on(&begun.id).await),
        }
    }
}

/// Somebody else has the fleet, who must have waited for longer than this run was silent.
fn taken_away(lost: &Base) -> Failure {
    let (stack, region) = (&lost.site.stack, lost.region());
    let what = anyhow!("another run has taken stack `{stack}` in {region} while this one was in `setup`");
    Failure::from(what).with_hint("try again when it is over, or deploy a fleet of your own")
}

/// Makes the run on fleets that were taken for it, and closes the queues whatever happened.
async fn run_taken(bases: &Bases, prepared: Prepared) -> Result<Option<Made>, Failure> {
    let Prepared { loaded: Loaded { plan, bundle }, begun, errands, live, kinds, wishes, estimated_usd } =
        prepared;
    let mut regions: Vec<RegionSeats> = bases.regions().into_iter().zip(&kinds).map(seats_of).collect();
    if !bases.are_several() {
        regions.clear();
    }
    let part = |kind: Kind| Part {
        settings: settings(&begun, &plan, &bundle, (kind, &regions), wishes),
        resumed: None,
    };
    let parts = kinds.into_iter().map(part).collect();
    let (judge, all_regions) = (judge_of(&plan), wishes.all_regions);
    let order = RunOrder { bundle: bundle.clone(), judge, all_regions, lost: Vec::new() };
    let taken = Taken { begun, errands, live, loaded: Loaded { plan, bundle }, order, parts };
    Box::pin(drive_to_end(bases, taken, Some(estimated_usd))).await
}

fn seats_of((region, kind): (String, &Kind)) -> RegionSeats {
    RegionSeats { region, seats: kind.seats }
}

/// Takes over a run on its fleets, and drives it to its end.
pub(crate) async fn attach_on_aws(
    run: &str,
    fleet: &AwsArgs,
    out: Option<PathBuf>,
    watch: &Watch,
) -> Result<Finished, Failure> {
    let first = Base::open_first(fleet).await?;
    let mut taken = take_over(&first.deployed.store, run, out, watch).await?;
    let bases = Bases::take_over(first, &mut taken).await;
    write_where(&bases, &taken.begun)?;
    let made = Box::pin(drive_to_end(&bases, taken, None)).await?;
    made.ok_or_else(|| anyhow!("a run that was taken over goes on without its orchestrator"))?.finish()
}

/// Drives a run to its end, and closes the queues whatever happened. `None` if it goes on by itself: it was to be
/// detached.
async fn drive_to_end(
    bases: &Bases,
    taken: Taken,
    estimated_usd: Option<f64>,
) -> Result<Option<Made>, Failure> {
    let Taken { begun, errands, mut live, loaded: Loaded { plan, bundle }, order, parts } = taken;
    let run = begun.id.clone();
    let (poll, opened_at) =
        (parts.first().map_or(Duration::ZERO, |part| part.settings.poll), SystemClock.now());
    let lost: Vec<String> = order.lost.iter().map(|(region, ..)| region.clone()).collect();
    let stores: Vec<Counted<'_, S3Store>> =
        bases.iter().map(|base| Counted::new(&base.deployed.store)).collect();
    let watch = missing::Watch::new(bases, &parts);
    let record = Box::pin(watch.beside(drive(bases, &stores, (order, parts), &mut live))).await;
    let page = live.close();
    if matches!(&record, Ok(record) if record.end == End::Detached) {
        eprintln!("run {run} goes on without this command; `squall attach {run}` makes its report");
        return Ok(None);
    }
    let made = record.and_then(|mut record| {
        let used = stores.iter().map(Counted::used).sum();
        let cost = cost_of(bases, &record, (opened_at, poll), used, estimated_usd);
        record.absent.iter().for_each(|line| eprintln!("missing: {line}"));
        if record.absent.is_empty() && record.epoch.is_none() && matches!(record.end, End::Failed(_)) {
            let lanes = bases.iter().flat_map(|base| &base.deployed.fleet.lanes);
            let functions: Vec<&str> = lanes.map(|lane| lane.function.as_str()).collect();
            eprintln!("hint: the log of function `{}` says why seats were not taken", functions.join("`, `"));
        }
        let plan = errands.end(plan, &mut record)?;
        let place = Place { backend: "aws", regions: [bases.regions(), lost].concat(), cost };
        Ok(Made { begun, plan, plan_sha256: bundle.sha256(), place, record, page })
    });
    bases.close(&run).await;
    made.map(Some)
}

/// What is there to make runs on.
pub(crate) struct Look {
    pub(crate) stack: String,
    pub(crate) function: Function,
    /// How long a generator may live.
    pub(crate) timeout: Duration,
    /// Functions that the account runs at a time, beside what it reserves.
    pub(crate) unreserved: u32,
}

/// Looks at a fleet before there is a run.
pub(crate) fn look(args: &AwsArgs) -> Result<Look, Failure> {
    block_on(async {
        let site = Site::open(args).await?;
        let fleet = site.fleet().await?.fleet;
        let unreserved = account(site.session.connection()).await.map_err(told)?.unreserved;
        Ok(Look { stack: site.stack, function: fleet.runs_on(), timeout: fleet.timeout, unreserved })
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
    bases: &Bases,
    record: &RunRecord,
    (opened_at, poll): (Time, Duration),
    command: StoreUse,
    estimated_usd: Option<f64>,
) -> Cost {
    let ended_at = SystemClock.now();
    let counts = || record.merged.series().values().map(|series| &series.counts);
    let items = actual(&Used {
        function: bases.function(),
        timeout: bases.first().deployed.fleet.timeout,
        concurrency: Concurrency::of(record.seats.invited),
        lanes: bases.lanes(),
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

/// Says in the run's folder where the run is made.
fn write_where(bases: &Bases, begun: &Begun) -> Result<(), Failure> {
    let stack = bases.first().site.stack.clone();
    let made_on = MadeOn { run: begun.id.clone(), stack, regions: bases.regions() };
    write(&begun.folder, MADE_ON, &serde_json::to_string_pretty(&made_on)?)
}

/// Drives the run, and opens the queues meanwhile: seats that are offered before one is open wait in it.
async fn drive(
    bases: &Bases,
    stores: &[Counted<'_, S3Store>],
    (order, parts): (RunOrder, Vec<Part>),
    live: &mut Live,
) -> Result<RunRecord, Failure> {
    let (fail, failed) = oneshot::channel();
    let opening = bases.iter().zip(&parts).map(|(base, part)| {
        let (run, seats) = (&part.settings.run, part.settings.seats);
        eprintln!("run {run}: opening the queue in {} for {}", base.region(), generators(seats));
        base.deployed.mappings.open(sizing::at_once(&part.settings))
    });
    let opening = try_join_all(opening.collect::<Vec<_>>());
    let open = async {
        if let Err(error) = opening.await {
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
    let fleet = |((base, store), Part { settings, resumed })| -> Fleet<'_, SqsLanes, Counted<'_, S3Store>> {
        let base: &Base = base;
        Fleet { region: base.region().to_owned(), queue: &base.deployed.queue, store, settings, resumed }
    };
    let fleets = bases.iter().zip(stores).zip(parts).map(fleet).collect();
    let mut open = pin!(open);
    let mut failure = None;
    let mut driven = pin!(orchestrate(fleets, &SystemClock, order, live, stop));
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
