//! Everything that needs an AWS account.

mod bases;
mod checks;
mod deploy;
mod destroy;
mod doctor;
mod guard;
mod missing;
mod run;

pub(crate) use checks::window;
pub(crate) use deploy::command as deploy;
pub(crate) use destroy::command as destroy;
pub(crate) use doctor::command as doctor;
pub(crate) use run::{Look, MADE_ON, MadeOn, attach_on_aws, look, make, run};

use std::future::Future;
use std::num::NonZeroU32;

use anyhow::anyhow;
use squall_aws::operator::{Change, Fleet, Mappings, Progress, Session, StackError, Stacks};
use squall_aws::{S3Store, SqsLanes};
use squall_fleet::{StoreError, StoreErrorKind, regions_of, run_under_way};
use squall_seat::SystemClock;

use crate::args::AwsArgs;
use crate::failure::Failure;

/// The stack of those who do not name theirs.
const STACK: &str = "squall";

/// A clock that is further off makes invitations expire too early or too late.
const MOST_CLOCK_OFFSET_S: f64 = 10.0;

/// The version of this command, of the stack that it deploys, and of the generator in there.
const VERSION: &str = env!("CARGO_PKG_VERSION");

// What mends what, wherever it is found.
const DEPLOY_ONE: &str = "`squall deploy` makes one; for another, give --stack NAME and --region REGION";
const COMPLETE: &str = "`squall deploy` completes it";
const BRING_TO_VERSION: &str = "`squall deploy` brings the stack to this version";
const RAISE_QUOTA: &str = "take fewer --generators, or have the quota `Concurrent executions` of Lambda raised \
                           (Service Quotas, L-B99A9384)";
const SET_CLOCK: &str = "let it be set over the network (NTP)";

/// An account, a region, and the name of a stack in it.
pub(crate) struct Site {
    pub(crate) session: Session,
    pub(crate) stack: String,
}

/// A fleet that is deployed, by its parts.
pub(crate) struct Deployed {
    pub(crate) fleet: Fleet,
    pub(crate) store: S3Store,
    pub(crate) queue: SqsLanes,
    pub(crate) mappings: Mappings,
}

impl Site {
    /// For what is done in one region.
    pub(crate) async fn open(args: &AwsArgs) -> Result<Self, Failure> {
        match &args.region[..] {
            [] => Self::in_region(args, None).await,
            [region] => Self::in_region(args, Some(region.name.clone())).await,
            _ => Err(Failure::wrong(anyhow!("several regions are named, and this is done in one"))
                .with_hint("give one --region at a time")),
        }
    }

    /// For what is done in several, with the weight of each.
    pub(crate) async fn open_all(args: &AwsArgs) -> Result<Vec<(Self, NonZeroU32)>, Failure> {
        if args.region.is_empty() {
            return Ok(vec![(Self::in_region(args, None).await?, NonZeroU32::MIN)]);
        }
        let mut all: Vec<(Self, NonZeroU32)> = Vec::new();
        for region in &args.region {
            if all.iter().any(|(site, _)| site.session.region() == region.name) {
                return Err(Failure::wrong(anyhow!("region {} is named twice", region.name))
                    .with_hint(format!("to make more load there, give it a weight: {}=2", region.name)));
            }
            all.push((Self::in_region(args, Some(region.name.clone())).await?, region.weight));
        }
        Ok(all)
    }

    /// All in which a run is made, or the one that is under way on the first fleet that is named and can be reached.
    pub(crate) async fn open_of_run(args: &AwsArgs, run: Option<&str>) -> Result<Vec<Self>, Failure> {
        let mut named = Self::open_all(args).await?.into_iter().map(|(site, _)| site);
        let mut failure = None;
        for site in named.by_ref() {
            match site.regions_of(run).await {
                Ok(regions) if regions.is_empty() => return Ok(vec![site]),
                Ok(regions) => {
                    let mut all = Vec::new();
                    for region in regions {
                        all.push(Self::in_region(args, Some(region)).await?);
                    }
                    return Ok(all);
                }
                Err(failed) => failure = failure.or(Some(failed)),
            }
        }
        Err(failure.unwrap_or_else(wants_backend))
    }

    async fn regions_of(&self, run: Option<&str>) -> Result<Vec<String>, Failure> {
        let store = self.fleet_of_any_version().await?.store;
        let run = match run {
            Some(run) => Some(run.to_owned()),
            None => run_under_way(&store, &SystemClock).await.map_err(told)?,
        };
        match run {
            Some(run) => regions_of(&store, &run).await.map_err(told),
            None => Ok(Vec::new()),
        }
    }

    async fn in_region(args: &AwsArgs, region: Option<String>) -> Result<Self, Failure> {
        let session = Session::open(region).await.map_err(|error| {
            Failure::wrong(error)
                .with_hint("give --region, set AWS_REGION, or put `region` into your profile")
        })?;
        Ok(Self { session, stack: args.stack.clone().unwrap_or_else(|| STACK.to_owned()) })
    }

    pub(crate) fn stacks(&self) -> Stacks {
        Stacks::new(self.session.connection())
    }

    /// The fleet in the stack, which must be of this command's version.
    pub(crate) async fn fleet(&self) -> Result<Deployed, Failure> {
        let deployed = self.fleet_of_any_version().await?;
        if deployed.fleet.version == VERSION {
            return Ok(deployed);
        }
        let (stack, version) = (&self.stack, &deployed.fleet.version);
        let what = anyhow!("stack `{stack}` is of version {version}, and this command of {VERSION}");
        Err(Failure::wrong(what).with_hint(BRING_TO_VERSION))
    }

    /// The fleet in the stack, for those who only want to stop something.
    pub(crate) async fn fleet_of_any_version(&self) -> Result<Deployed, Failure> {
        let (stack, region) = (&self.stack, self.session.region());
        let Some(found) = self.stacks().find(stack).await.map_err(told)? else {
            return Err(
                Failure::wrong(anyhow!("there is no stack `{stack}` in {region}")).with_hint(DEPLOY_ONE)
            );
        };
        if found.is_changing() {
            let what = anyhow!("stack `{stack}` in {region} is being changed by somebody ({})", found.status);
            return Err(Failure::wrong(what).with_hint("wait until that has ended"));
        }
        let Some(fleet) = found.fleet() else {
            let what = anyhow!("stack `{stack}` in {region} is no whole fleet ({})", found.status);
            return Err(Failure::wrong(what).with_hint(COMPLETE));
        };
        Ok(self.deployed(fleet))
    }

    /// That a run has the stack, and what can be done instead.
    pub(crate) fn under_way(&self, run: &str, hint: impl Into<String>) -> Failure {
        Failure::wrong(anyhow!("run {run} is under way on stack `{}`", self.stack)).with_hint(hint)
    }

    pub(crate) fn deployed(&self, fleet: Fleet) -> Deployed {
        let connection = self.session.connection();
        Deployed {
            store: S3Store::new(connection, fleet.bucket.clone()),
            queue: SqsLanes::new(connection, fleet.lanes.iter().map(|lane| lane.queue_url.clone())),
            mappings: Mappings::new(connection, fleet.lanes.iter().map(|lane| lane.mapping.clone())),
            fleet,
        }
    }
}

/// That a fleet on AWS is named, and none is asked for.
pub(crate) fn wants_backend() -> Failure {
    Failure::wrong(anyhow!("--stack and --region name a fleet on AWS"))
        .with_hint("add --backend aws, or leave them out")
}

/// Runs what talks to AWS.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What AWS refused, with what to do about it.
pub(crate) fn told(error: StoreError) -> Failure {
    match error.kind {
        StoreErrorKind::Unauthenticated => Failure::wrong(error).with_hint(
            "sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; \
             whoever is signed in looks at this machine's clock",
        ),
        StoreErrorKind::Denied => Failure::wrong(error)
            .with_hint("allow the action in brackets; infra/operator-policy.json holds all that are needed"),
        StoreErrorKind::Gone => Failure::wrong(error).with_hint(
            "a part of the stack was removed by somebody: `squall destroy`, then `squall deploy`",
        ),
        StoreErrorKind::Unavailable => Failure::from(error).with_hint("try again; `squall doctor` says what ails"),
        StoreErrorKind::ConditionFailed | StoreErrorKind::Full | StoreErrorKind::Other => error.into(),
    }
}

/// The same for a stack.
fn told_of_stack(error: StackError) -> Failure {
    match error {
        StackError::Call(error) => told(error),
        foreign @ StackError::Foreign(_) => Failure::wrong(foreign)
            .with_hint("give another name with --stack; what is there is left as it is"),
        busy @ StackError::Busy { .. } => Failure::from(busy).with_hint("wait until that has ended"),
        broken @ StackError::Broken { .. } => Failure::from(broken)
            .with_hint("`squall destroy --force` removes it, `squall deploy` makes a new one"),
        failed @ StackError::Failed { .. } => failed.into(),
    }
}

/// Tells each change of a stack on standard error.
struct Told;

impl Progress for Told {
    fn change(&mut self, change: &Change) {
        let reason = change.reason.as_ref().map(|reason| format!(" · {reason}")).unwrap_or_default();
        eprintln!("  {:<16} {}{reason}", change.resource, change.status);
    }
}
