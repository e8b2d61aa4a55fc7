//! Rounds that are sent by a fleet, each as a run of its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use squall_fleet::{Clock, End, RunRecord, Time, sizing};
use squall_probe::{Load, Round};
use squall_seat::{SystemClock, machine_of};

use super::drive::Sender;
use super::history::{Entry, Standing};
use super::observe::{cached, ended_us, observed, outcomes};
use super::subject::Subject;
use crate::args::{AwsArgs, Progress};
use crate::failure::Failure;
use crate::fleet::Wishes;
use crate::live::Watch;
use crate::run::{Made, Order};
use crate::signals::Wish;
use crate::{aws, local, surroundings};

/// Between the beginning of a run on this machine and its load, as long as nobody has measured it.
const LOCAL_LEAD: Duration = Duration::from_millis(1_200);

/// The same of a fleet on AWS.
const AWS_LEAD: Duration = Duration::from_secs(8);

/// Problems that are kept of a round.
const PROBLEMS: usize = 5;

/// Where rounds are sent from.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Threads of this command, which connect from these addresses in turn. Of each connection this process has one end,
    /// or both.
    Local { sources: Vec<IpAddr>, ends: u32 },
    /// A fleet on AWS, each run of which may cost so much.
    Aws { fleet: AwsArgs, max_cost: Option<f64> },
}

/// Sends rounds to a subject.
pub(super) struct FleetSender {
    pub(super) subject: Subject,
    pub(super) place: Place,
    pub(super) folder: PathBuf,
    /// How many generators send a round at least.
    least: u32,
    pub(super) wish: Wish,
    /// How long a run takes until its load begins.
    lead: Duration,
}

impl FleetSender {
    pub(super) fn new(
        subject: Subject,
        (place, least): (Place, u32),
        folder: PathBuf,
    ) -> Result<Self, Failure> {
        surroundings::raise_file_limit();
        let lead = match place {
            Place::Local { .. } => LOCAL_LEAD,
            Place::Aws { .. } => AWS_LEAD,
        };
        Ok(Self { subject, place, folder, least, wish: Wish::watch()?, lead })
    }

    fn make(&self, round: &Round, number: usize) -> Result<Made, Failure> {
        let generators = generators(round, self.least);
        let (each, sources) = match &self.place {
            Place::Local { sources, ends } => {
                ((machine_of(generators).connections / ends).max(1), sources.clone())
            }
            Place::Aws { .. } => (sizing::CONNECTIONS_OF_SEAT, Vec::new()),
        };
        let order = Order {
            loaded: self.subject.loaded(round, (generators, u64::from(generators) * u64::from(each)))?,
            generators: Some(generators),
            sources,
            wishes: Wishes::default(),
            seed: None,
            out: Some(self.folder.join(format!("round-{number}"))),
            watch: Watch {
                progress: Progress::None,
                stopper: Some(self.wish.stopper.clone()),
                ..Watch::default()
            },
        };
        match &self.place {
            Place::Local { .. } => local::make(order),
            Place::Aws { fleet, max_cost } => aws::make(order, fleet, *max_cost)?
                .ok_or_else(|| anyhow!("a round goes on without its orchestrator").into()),
        }
    }
}

impl Sender for FleetSender {
    /// Until a run that begins then makes load after so long a pause.
    fn wait(&self, idle_s: f64, since: Time) -> Result<(), Failure> {
        let idle = Duration::try_from_secs_f64(idle_s.max(0.0)).unwrap_or(Duration::ZERO);
        let rest = idle.saturating_sub(SystemClock.now().since(since)).saturating_sub(self.lead);
        if !rest.is_zero() {
            self.wish.wait(rest)?;
        }
        Ok(())
    }

    fn send(&mut self, round: &Round, number: usize, since: Time) -> Result<Option<Entry>, Failure> {
        let began = SystemClock.now();
        let made = self.make(round, number);
        // All that is of use is in the history.
        let _ = fs::remove_dir_all(self.folder.join(format!("round-{number}")));
        let made = made?;
        let record = &made.record;
        let epoch = match (&record.end, record.epoch) {
            (End::Interrupted, _) => return Ok(None),
            (End::Failed(reason) | End::Aborted(reason), _) => {
                return Err(anyhow!("{reason}").into());
            }
            (End::Finished | End::Detached, None) => {
                return Err(anyhow!("nobody began").into());
            }
            (End::Finished | End::Detached, Some(epoch)) => epoch,
        };
        self.lead = self.lead.min(epoch.since(began));
        let idle_s = epoch.since(since).as_secs_f64();
        let addresses = match self.place {
            // They have one, unless they were given some.
            Place::Local { .. } => addresses(record).max(1),
            Place::Aws { .. } => addresses(record),
        };
        let problems = record.merged.problems().keys().chain(&record.problems).take(PROBLEMS);
        let lasted_us = ended_us(round, &record.merged);
        Ok(Some(Entry {
            round: round.clone(),
            observed: observed(&self.subject, round, (&made.plan, record), (idle_s, addresses)),
            ended_us: epoch.0.saturating_add_unsigned(lasted_us),
            here_us: record.epoch_here.map(|Time(us)| (us, us.saturating_add_unsigned(lasted_us))),
            generators: record.seats.assigned,
            outcomes: outcomes(&record.merged),
            cached: cached(&made.plan, &record.merged),
            cost_usd: made.place.cost.actual_usd.unwrap_or(0.0),
            problems: problems.cloned().collect(),
            standing: Standing::Counts,
        }))
    }

    fn is_interrupted(&self) -> bool {
        self.wish.is_there()
    }
}

/// How many generators can send a round: each needs something to send.
fn generators(round: &Round, least: u32) -> u32 {
    let most = match round.load {
        Load::Burst { requests } => requests,
        Load::Users { users, .. } => users,
        Load::Rate { .. } => u32::MAX,
    };
    round.senders.max(least).clamp(1, most.max(1))
}

/// From how many addresses the service saw them come; 0 if not every generator knows its own.
fn addresses(record: &RunRecord) -> u32 {
    let each = record.generators.iter().map(|generator| generator.ready.source_ip.as_deref());
    let all: Option<BTreeSet<&str>> = each.collect();
    u32::try_from(all.map_or(0, |all| all.len())).unwrap_or(u32::MAX)
}
