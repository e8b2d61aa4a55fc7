//! `squall status`: where a run stands.

use anyhow::anyhow;
use serde::Serialize;
use squall_fleet::{Clock, State, Status, Store, Time, run_under_way, status};
use squall_local::LocalStore;
use squall_report::{ExitCode, duration_s};
use squall_seat::SystemClock;

use crate::args::{AwsArgs, Output, StatusArgs};
use crate::aws::{Site, block_on, told};
use crate::failure::Failure;
use crate::place::{self, Place};
use crate::run::rfc3339;
use crate::surroundings;

pub(crate) fn command(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let told = match &args.run {
        Some(run) => match place::find(run, &args.aws)? {
            Place::Local(store) => block_on(async {
                let store = LocalStore::open(store)?;
                let run = place::only_run(&store).await?.unwrap_or_else(|| run.to_owned());
                Ok(vec![look(&store, &run).await?.ok_or_else(|| unknown(&run))?])
            })?,
            Place::Aws { run, fleet } => block_on(look_on_aws(Some(&run), &fleet))?,
        },
        None => block_on(look_on_aws(None, &args.aws))?,
    };
    match (&told[..], args.output) {
        ([], Output::Text) => surroundings::print("no run is under way\n"),
        ([], Output::Json) => surroundings::print("null\n"),
        (told, Output::Text) => told.iter().for_each(|told| surroundings::print(&in_words(told))),
        ([told], Output::Json) => {
            surroundings::print(&format!("{}\n", serde_json::to_string_pretty(told)?));
        }
        (told, Output::Json) => {
            surroundings::print(&format!("{}\n", serde_json::to_string_pretty(told)?));
        }
    }
    Ok(ExitCode::Passed)
}

/// The run that is named, or the one that has the fleet: in each region in which it is made.
async fn look_on_aws(run: Option<&str>, fleet: &AwsArgs) -> Result<Vec<Told>, Failure> {
    let sites = Site::open_of_run(fleet, run).await?;
    let mut all = Vec::new();
    for site in &sites {
        let store = site.fleet_of_any_version().await?.store;
        let under_way = match run {
            Some(run) => Some(run.to_owned()),
            None => run_under_way(&store, &SystemClock).await.map_err(told)?,
        };
        let Some(under_way) = under_way else { continue };
        let region = (sites.len() > 1).then(|| site.session.region().to_owned());
        match look(&store, &under_way).await? {
            Some(told) => all.push(Told { region, ..told }),
            None if run.is_some() => return Err(unknown(&under_way)),
            // It has taken the fleet, and nothing is written down yet.
            None => eprintln!("run {under_way} is about to begin"),
        }
    }
    Ok(all)
}

async fn look(store: &impl Store, run: &str) -> Result<Option<Told>, Failure> {
    status(store, run).await.map_err(told)?.map(|status| Told::of(&status)).transpose()
}

fn unknown(run: &str) -> Failure {
    Failure::wrong(anyhow!("there is no run {run}"))
        .with_hint("run ids are the folders under .squall/runs; on AWS give --stack and --region, too")
}

const EXPIRED: &str = "its orchestrator has not been heard of in time, so load has ended by itself: `squall attach` \
                       adds it up\n";

/// What is told of a run.
#[derive(Debug, Serialize)]
struct Told {
    run: String,
    name: String,
    /// Where, if the run is made in several regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    state: &'static str,
    began_at: String,
    epoch: Option<String>,
    /// Since the epoch; negative before it.
    elapsed_s: Option<f64>,
    /// Without a newer word of the orchestrator load ends then.
    lease_until: Option<String>,
    lease_has_expired: bool,
    generators: Generators,
}

#[derive(Debug, Serialize)]
struct Generators {
    wanted: u32,
    ready: usize,
    slices: usize,
    given_a_slice: usize,
    given_up: usize,
    ended: usize,
}

impl Told {
    fn of(status: &Status) -> Result<Self, Failure> {
        let now = SystemClock.now();
        let control = status.control.as_ref();
        let elapsed_s = |epoch: Time| (now.0 - epoch.0) as f64 / 1e6;
        Ok(Self {
            run: status.manifest.run.clone(),
            name: status.manifest.name.clone(),
            region: None,
            state: match status.state() {
                State::Waiting => "waiting",
                State::Running => "running",
                State::Aborting => "ending",
                State::Done => "done",
            },
            began_at: rfc3339(status.manifest.began_at)?,
            epoch: status.epoch().map(rfc3339).transpose()?,
            elapsed_s: status.epoch().map(elapsed_s),
            lease_until: control.map(|control| rfc3339(control.lease_until)).transpose()?,
            lease_has_expired: status.state() < State::Done
                && control.is_some_and(|control| now >= control.lease_until),
            generators: Generators {
                wanted: status.manifest.seats,
                ready: status.ready,
                slices: status.slices,
                given_a_slice: status.posted,
                given_up: status.given_up,
                ended: status.ended,
            },
        })
    }
}

fn in_words(told: &Told) -> String {
    let Generators { wanted, ready, slices, given_a_slice, given_up, ended } = &told.generators;
    let since = told.elapsed_s.map(|elapsed_s| {
        let time = duration_s(elapsed_s.abs().round());
        if elapsed_s < 0.0 {
            format!(" · load begins in {time}")
        } else {
            format!(" · load began {time} ago")
        }
    });
    let region = told.region.as_ref().map(|region| format!(" · {region}")).unwrap_or_default();
    let since = since.unwrap_or_default();
    let begun = format!("run {} · {}{region} · {}{since}\n", told.run, told.name, told.state);
    let mut parts = vec![format!("{ready} of {wanted} have been ready")];
    if *given_a_slice > 0 {
        parts.push(format!("{given_a_slice} were given one of {slices} slices"));
        parts.push(format!("{ended} have ended"));
    }
    if *given_up > 0 {
        parts.push(format!("{given_up} were lost"));
    }
    let expired = if told.lease_has_expired { EXPIRED } else { "" };
    format!("{begun}generators: {}\n{expired}", parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_words() {
        let generators =
            Generators { wanted: 4, ready: 5, slices: 4, given_a_slice: 5, given_up: 1, ended: 2 };
        let mut told = Told {
            run: "r".to_owned(),
            name: "shop".to_owned(),
            region: None,
            state: "running",
            began_at: String::new(),
            epoch: None,
            elapsed_s: Some(90.0),
            lease_until: None,
            lease_has_expired: false,
            generators,
        };
        assert_eq!(
            in_words(&told),
            "run r · shop · running · load began 1m30s ago\ngenerators: 5 of 4 have been ready · 5 were given one of \
             4 slices · 2 have ended · 1 were lost\n"
        );
        (told.elapsed_s, told.lease_has_expired) = (Some(-2.0), true);
        assert!(in_words(&told).starts_with("run r · shop · running · load begins in 2s\n"));
        assert!(in_words(&told).ends_with("`squall attach` adds it up\n"));
    }
}
