//! `squall attach`: a run whose orchestrator is gone, or is to go, gets another one.

use std::path::PathBuf;

use anyhow::anyhow;
use squall_fleet::{
    AttachError, Attached, Fleet, Lasts, Resumed, RunOrder, Settings, Store, attach, orchestrate,
};
use squall_local::{LocalQueue, LocalStore};
use squall_plan::compile;
use squall_report::{Cost, ExitCode};
use squall_seat::SystemClock;

use crate::args::AttachArgs;
use crate::aws::{attach_on_aws, block_on};
use crate::failure::Failure;
use crate::live::{Live, Watch};
use crate::local::LOCAL;
use crate::place::{self, Place};
use crate::plan::Loaded;
use crate::run::{self, Begun, Finished, Made, RUNS, judge_of, tell};
use crate::setup::Errands;
use crate::telemetry;

pub(crate) fn command(args: &AttachArgs) -> Result<ExitCode, Failure> {
    let watch = Watch {
        progress: args.progress,
        output: args.output,
        ui: args.ui,
        annotations: args.annotations.clone(),
        stopper: None,
    };
    let finished = match place::find(&args.run, &args.aws)? {
        Place::Local(store) => block_on(attach_locally(&args.run, store, args.out.clone(), &watch))?,
        Place::Aws { run, fleet } => block_on(attach_on_aws(&run, &fleet, args.out.clone(), &watch))?,
    };
    tell(finished, args.output)
}

/// A run that was taken over, ready to be driven on.
pub(crate) struct Taken {
    pub(crate) begun: Begun,
    pub(crate) errands: Errands,
    pub(crate) live: Live,
    pub(crate) loaded: Loaded,
    pub(crate) order: RunOrder,
    /// One for each region in which it is driven.
    pub(crate) parts: Vec<Part>,
}

/// What a run is in a region.
pub(crate) struct Part {
    pub(crate) settings: Settings,
    pub(crate) resumed: Option<Resumed>,
}

/// Takes a run over in the store of a region; there may be others.
pub(crate) async fn take_over(
    store: &impl Store,
    run: &str,
    out: Option<PathBuf>,
    watch: &Watch,
) -> Result<Taken, Failure> {
    let Attached { manifest, bundle, resumed } = attach(store, &SystemClock, run).await.map_err(told)?;
    let compiled =
        compile(&bundle).map_err(|problems| Failure::wrong(anyhow!("{}", problems.render(false))))?;
    let plan = compiled.plan;
    let folder = out.unwrap_or_else(|| PathBuf::from(RUNS).join(run));
    let begun = Begun {
        id: run.to_owned(),
        seed: manifest.seed,
        folder,
        plan: bundle.text.clone(),
        telemetry: telemetry::begin(&plan, &bundle),
    };
    begun.make_folder()?;
    eprintln!("run {run}: taken over");
    let seats = manifest.all_seats();
    let live = Live::begin(&begun, &plan, seats, watch)?;
    let errands = Errands::again(&plan, run, begun.seed)?;
    let (judge, all_regions) = (judge_of(&plan), manifest.all_regions);
    let order = RunOrder { bundle: bundle.clone(), judge, all_regions, lost: Vec::new() };
    let part = Part { settings: manifest.settings(Lasts::of(&plan, seats)), resumed: Some(resumed) };
    Ok(Taken { begun, errands, live, loaded: Loaded { plan, bundle }, order, parts: vec![part] })
}

fn told(error: AttachError) -> Failure {
    match error {
        AttachError::Store(error) => crate::aws::told(error),
        AttachError::Unknown(_) => Failure::wrong(error).with_hint(
            "run ids are the folders under .squall/runs; on AWS give --stack and --region, too: `squall status` \
             says which run is under way there",
        ),
        AttachError::Unreadable { .. } => {
            Failure::wrong(error).with_hint("it may be of another version of squall; take that one")
        }
    }
}

/// The generators of a local fleet were threads of the command that is gone: what they have told is added up.
async fn attach_locally(
    run: &str,
    folder: PathBuf,
    out: Option<PathBuf>,
    watch: &Watch,
) -> Result<Finished, Failure> {
    let store = LocalStore::open(folder.clone())?;
    let id = place::only_run(&store).await?.unwrap_or_else(|| run.to_owned());
    let out = out.or_else(|| folder.parent().map(PathBuf::from));
    let Taken { begun, errands, mut live, loaded, order, parts } = take_over(&store, &id, out, watch).await?;
    let plan_sha256 = loaded.bundle.sha256();
    // Nobody answers invitations, and nobody is there who could go on.
    let stop = std::future::ready(());
    let queue = LocalQueue::default();
    let fleet = |Part { settings, resumed }| Fleet {
        region: LOCAL.to_owned(),
        queue: &queue,
        store: &store,
        settings,
        resumed,
    };
    let fleets = parts.into_iter().map(fleet).collect();
    let mut record = orchestrate(fleets, &SystemClock, order, &mut live, stop).await?;
    let page = live.close();
    let plan = errands.end(loaded.plan, &mut record)?;
    let place = run::Place { backend: "local", regions: vec![LOCAL.to_owned()], cost: Cost::free() };
    Made { begun, plan, plan_sha256, place, record, page }.finish()
}
