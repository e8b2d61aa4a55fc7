//! `squall plan`: what a plan will do before it does it.

mod chart;
mod fleet;
mod json;
mod text;

use std::time::Duration;

use squall_fleet::sizing::{self, ASSUMED_RESPONSE, Calibration, ConnectionsNeeded, Function};
use squall_plan::estimate::Requests;
use squall_plan::schedule::Planned;
use squall_plan::{Load, PlacedLoad, Plan, Share};
use squall_report::ExitCode;

use crate::args::{Backend, Output, PreviewArgs};
use crate::failure::Failure;
use crate::preview::fleet::OnAws;
use crate::size::Sized;
use crate::{aws, plan, run, surroundings};

/// What a plan will do.
struct Preview {
    plan: Plan,
    /// How many generators, and whether somebody said so.
    generators: u32,
    given: bool,
    sized: Sized,
    on_aws: Option<OnAws>,
    connections: ConnectionsNeeded,
}

/// What the slices from one number to another have in common: all but the last users and arrivals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slices {
    first: u32,
    last: u32,
    users: u64,
    planned: Planned,
}

/// `squall plan`
pub(crate) fn command(args: &PreviewArgs) -> Result<ExitCode, Failure> {
    let plan = plan::load(&args.plan)?.plan;
    let most = plan.most_slices();
    let given = args.generators.map(std::num::NonZero::get);
    let look = match args.backend {
        Backend::Aws if args.aws.is_given() => Some(aws::look(&args.aws)?),
        Backend::Local if args.aws.is_given() => return Err(aws::wants_backend()),
        Backend::Aws | Backend::Local => None,
    };
    let function = look.as_ref().map_or(Function::DEFAULT, |look| look.function);
    let sized = Sized::of(&plan, function, given)?;
    let generators = sized.generators;
    run::check_slices(generators, most)?;
    let connections = sizing::connections(&plan, generators);
    let on_aws =
        (args.backend == Backend::Aws).then(|| OnAws::new(&plan, &sized, args.lanes, look)).transpose()?;
    let preview = Preview { plan, generators, given: given.is_some(), sized, on_aws, connections };
    match args.output {
        Output::Text => surroundings::print(&format!("{}\n", text::page(&preview, surroundings::style()))),
        Output::Json => {
            surroundings::print(&format!("{}\n", serde_json::to_string_pretty(&json::document(&preview))?));
        }
    }
    Ok(ExitCode::Passed)
}

impl Preview {
    /// About how many requests all loads make.
    fn requests(&self) -> Requests {
        let none = Requests { least: 0.0, most: Some(0.0) };
        self.plan.loads.iter().map(|placed| self.requests_of(placed)).fold(none, Requests::plus)
    }

    fn requests_of(&self, placed: &PlacedLoad) -> Requests {
        placed.requests(&self.plan, self.response().as_secs_f64())
    }

    /// How long responses are taken to last: as was measured, or as is assumed.
    fn response(&self) -> Duration {
        let measured = self.sized.calibration().map(Calibration::response_s);
        measured.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(ASSUMED_RESPONSE)
    }

    /// Whether the number of requests hangs on how long responses take.
    fn assumes_response_time(&self) -> bool {
        self.plan
            .loads
            .iter()
            .any(|placed| matches!(placed.load.planned(Share::WHOLE), Planned::UserMicros(_)))
    }

    /// The slices of a load. Only neighbours are compared: shares differ by one at the most.
    fn slices(&self, placed: &PlacedLoad) -> Vec<Slices> {
        let of = |index: u32| {
            let share = Share::try_new(index, self.generators)?;
            let planned = match placed.load.planned(share) {
                // Of users who come and go each has another time.
                Planned::UserMicros(_) => Planned::UserMicros(0),
                planned => planned,
            };
            Some(Slices {
                first: index,
                last: index,
                users: share.size_of(u64::from(placed.users())),
                planned,
            })
        };
        let mut all: Vec<Slices> = Vec::new();
        for slice in (0..self.generators).filter_map(of) {
            match all.last_mut() {
                Some(last) if (last.users, last.planned) == (slice.users, slice.planned) => {
                    last.last = slice.last;
                }
                _ => all.push(slice),
            }
        }
        all
    }

    /// Whether conditions decide how many requests an iteration has.
    fn hangs_on_conditions(&self) -> bool {
        self.plan.scenarios.iter().any(|scenario| {
            let (each, once) = (scenario.per_iteration(), scenario.per_user());
            Some(each.least) != each.most || Some(once.least) != once.most
        })
    }

    /// The hosts that requests and redirects may go to, the target's first.
    fn hosts(&self) -> Vec<&str> {
        let own = self.plan.target.host_str().map(|host| host.trim_matches(['[', ']']));
        let mut hosts: Vec<&str> = own.into_iter().collect();
        for host in self.plan.allow.hosts() {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// The names of the requests of `setup` or `teardown`.
    fn errand(&self, errand: &str) -> impl Iterator<Item = &str> {
        let own = self.plan.series.iter().filter(move |series| series.scenario == errand);
        own.map(|series| series.endpoint.as_str())
    }

    /// The names of the environment variables that the plan mentions, and whether they are set.
    fn environment(&self) -> impl Iterator<Item = (&str, bool)> {
        let set = self.plan.env.keys().map(|name| (name.as_str(), true));
        set.chain(self.plan.unset_env.iter().map(|name| (name.as_str(), false)))
    }

    /// The scenarios of a load with their shares of its users or arrivals.
    fn shares(&self, placed: &PlacedLoad) -> Vec<(&str, f64)> {
        let scenarios = placed.scenarios.iter().filter_map(|&index| self.plan.scenarios.get(index));
        let weights: f64 = scenarios.clone().map(|scenario| f64::from(scenario.weight)).sum();
        scenarios
            .map(|scenario| (scenario.name.as_str(), f64::from(scenario.weight) / weights.max(1.0)))
            .collect()
    }
}

/// Which model a load is of.
fn model(load: &Load) -> &'static str {
    match load {
        Load::Open(_) => "open",
        Load::Closed(_) => "closed",
    }
}
