//! `squall run` on the local fleet.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, anyhow};
use squall_fleet::{Clock, End, GeneratorRecord, RunOrder, RunRecord, Settings, Time, orchestrate};
use squall_local::{LocalFleet, LocalQueue, LocalStore, SystemClock};
use squall_report::{
    Ending, ExitCode, Facts, GeneratorFacts, Run, RunResult, SeatCoverage, build, terminal, to_json,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{Output, RunArgs};
use crate::failure::Failure;
use crate::plan::{self, Loaded};
use crate::progress::Progress;
use crate::surroundings;

/// How often orchestrator and generators look at the store.
const POLL: Duration = Duration::from_millis(100);

/// How long generators may take to be ready. They are threads of this process.
const GATHER: Duration = Duration::from_secs(20);

/// What a run on the local fleet needs.
pub(crate) struct Order {
    pub(crate) loaded: Loaded,
    pub(crate) generators: u32,
    pub(crate) seed: Option<u64>,
    pub(crate) out: Option<PathBuf>,
}

/// What a run left behind.
pub(crate) struct Finished {
    pub(crate) result: RunResult,
    pub(crate) folder: PathBuf,
}

/// `squall run`
pub(crate) fn command(args: &RunArgs) -> Result<ExitCode, Failure> {
    let loaded = plan::load(&args.plan)?;
    let generators = args.generators.map_or_else(processors, std::num::NonZero::get);
    let finished = run(Order { loaded, generators, seed: args.seed, out: args.out.clone() })?;
    match args.output {
        Output::Text => {
            println!("{}", terminal(&finished.result, surroundings::style()));
            println!("\n result {}", finished.folder.join("result.json").display());
        }
        Output::Json => println!("{}", to_json(&finished.result)),
    }
    exit_code(&finished.result)
}

/// The exit code that a result asks for.
pub(crate) fn exit_code(result: &RunResult) -> Result<ExitCode, Failure> {
    use ExitCode::{Aborted, Error, Failed, Interrupted, Invalid, Passed, Wrong};
    let all = [Wrong, Interrupted, Aborted, Invalid, Failed, Error, Passed];
    let asked = all.into_iter().find(|exit| exit.code() == result.verdict.exit_code);
    asked.ok_or_else(|| anyhow!("result has an unknown exit code {}", result.verdict.exit_code).into())
}

fn processors() -> u32 {
    available_parallelism().ok().and_then(|number| u32::try_from(number.get()).ok()).unwrap_or(1)
}

/// Runs a plan to its end and keeps its result.
pub(crate) fn run(order: Order) -> Result<Finished, Failure> {
    let seed = match order.seed {
        Some(seed) => seed,
        None => surroundings::random_seed()?,
    };
    surroundings::raise_file_limit();
    let began = SystemClock.now();
    let id = run_id(began, seed)?;
    let folder = order.out.unwrap_or_else(|| Path::new(".squall/runs").join(&id));
    let store = LocalStore::open(folder.join("fleet"))
        .context("cannot keep results")
        .map_err(|error| Failure::from(error).with_hint("choose another place with --out DIR"))?;
    let Loaded { plan, bundle } = order.loaded;
    write(&folder, "plan.yaml", &bundle.text)?;
    let settings = Settings {
        run: id.clone(),
        name: plan.name.clone(),
        bundle: bundle.sha256(),
        seed,
        seats: order.generators,
        interval_s: 1,
        poll: POLL,
        gather: GATHER,
        load: plan.load.duration() + plan.load.graceful_stop(),
    };
    let mut progress = Progress::new(&plan.name, plan.load.duration(), order.generators);
    let plan_sha256 = settings.bundle.clone();
    let record = drive(&store, RunOrder { bundle, settings }, &mut progress)?;
    let facts = facts(id, seed, plan_sha256, &record)?;
    let result = build(&plan, &record.merged, facts);
    write(&folder, "result.json", &to_json(&result))?;
    // All that the fleet said is in the result now.
    let _ = fs::remove_dir_all(folder.join("fleet"));
    Ok(Finished { result, folder })
}

/// Starts the fleet and drives the run over it.
fn drive(store: &LocalStore, order: RunOrder, progress: &mut Progress) -> Result<RunRecord, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let record = runtime.block_on(async {
        let queue = Arc::new(LocalQueue::default());
        let mut fleet = LocalFleet::start(&order.settings.run, order.settings.seats, &queue, store);
        let driven = orchestrate(&*queue, store, &SystemClock, order, progress, interrupted());
        tokio::select! {
            record = driven => record.map_err(Failure::from),
            error = fleet.failed() => Err(Failure::from(error)),
        }
    });
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    record
}

/// Ends with the first signal that asks for an end; the second one ends the process at once.
async fn interrupted() {
    if signal().await.is_err() {
        // Without signals nobody can ask.
        return std::future::pending().await;
    }
    eprintln!("\nstopping the load; once more to leave at once");
    tokio::spawn(async {
        if signal().await.is_ok() {
            #[expect(clippy::disallowed_methods, reason = "the user does not want to wait for destructors")]
            std::process::exit(i32::from(ExitCode::Interrupted.code()));
        }
    });
}

async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

fn facts(id: String, seed: u64, plan_sha256: String, record: &RunRecord) -> Result<Facts, Failure> {
    let seats = record.seats;
    Ok(Facts {
        run: Run {
            id,
            name: String::new(),
            seed: format!("{seed:x}"),
            started_at: rfc3339(record.started_at)?,
            epoch: record.epoch.map(rfc3339).transpose()?.unwrap_or_default(),
            duration_s: 0.0,
            backend: "local".to_owned(),
            regions: vec!["local".to_owned()],
            plan_sha256,
        },
        ending: match record.end.clone() {
            End::Finished => Ending::Finished,
            End::Interrupted => Ending::Interrupted,
            End::Aborted(reason) => Ending::Aborted(reason),
            End::Failed(reason) => Ending::Broken(reason),
        },
        seats: SeatCoverage {
            invited: seats.invited,
            ready: seats.ready,
            assigned: seats.assigned,
            spare: seats.spare,
            lost: seats.lost,
            replaced: 0,
            late: seats.late,
            duplicate: seats.duplicate,
        },
        missing: record.missing.clone(),
        generators: record.generators.iter().map(generator).collect(),
        problems: record.problems.clone(),
    })
}

fn generator(record: &GeneratorRecord) -> GeneratorFacts {
    GeneratorFacts {
        slice: record.slice.map(squall_plan::Share::index),
        nonce: record.ready.nonce.clone(),
        region: record.ready.region.clone(),
        environment: record.ready.environment.clone(),
        init_ms: record.ready.init_ms,
        ready_ms: record.ready_ms,
        start_skew_ms: record.last_word.as_ref().map(|last_word| last_word.start_skew_ms),
    }
}

/// Writes a file whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.tmp")));
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path));
    Ok(written.with_context(|| format!("cannot write `{}`", path.display()))?)
}

/// Sorts by time, and is unlike any other's.
fn run_id(began: Time, seed: u64) -> Result<String, Failure> {
    let at = utc(began)?;
    let (date, clock) = (at.date(), at.time());
    let date = format!("{}{:02}{:02}", date.year(), u8::from(date.month()), date.day());
    let millisecond = u64::from(at.millisecond());
    let tail = (seed ^ millisecond.rotate_left(20)) & 0x00ff_ffff;
    Ok(format!("{date}-{:02}{:02}{:02}-{tail:06x}", clock.hour(), clock.minute(), clock.second()))
}

fn rfc3339(time: Time) -> Result<String, Failure> {
    Ok(utc(time)?.format(&Rfc3339)?)
}

fn utc(time: Time) -> Result<OffsetDateTime, Failure> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000)?)
}
