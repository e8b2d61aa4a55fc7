//! The log of the function that is probed, which says how long its instances really took to start.

use std::time::Duration;

use anyhow::anyhow;
use squall_aws::operator::{CloudWatch, Logged, LoggedInvocation, Session};
use squall_fleet::Clock;
use squall_probe::{ColdStart, ColdStartLog, Invocation, RoundTime, Spread};
use squall_report::{Curve, CurveUnit, ProbeFinding, count, duration_ms, duration_s, percent};
use squall_seat::SystemClock;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::history::{Entry, History, Standing};
use super::result::{Starts, axis, finding, series};
use crate::args::{ColdStartArgs, FunctionArg};
use crate::failure::Failure;
use crate::signals::Wish;

/// How long one look at the log may take, and the pause until the next one.
const LOOK: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(5);

/// What is written around the time of the rounds may be of them: an invocation is told when it has ended.
const AROUND_S: f64 = 60.0;

/// The date of an answer has no fractions: a difference of clocks that is smaller is none.
const LEAST_OFFSET_S: f64 = 1.0;

/// Where a function's log is, and how long is waited for what is late.
pub(super) struct FunctionLog {
    runtime: Runtime,
    cloudwatch: CloudWatch,
    group: String,
    region: String,
    wait: Duration,
}

impl FunctionLog {
    /// The one that is asked for, if one is.
    pub(super) fn open(args: &ColdStartArgs) -> Result<Option<Self>, Failure> {
        let Some(FunctionArg { name, region }) = args.lambda.clone() else { return Ok(None) };
        let region = match (region, &args.send.aws.region[..]) {
            (Some(region), _) => Some(region),
            (None, []) => None,
            (None, [region]) => Some(region.name.clone()),
            (None, _) => {
                return Err(Failure::wrong(anyhow!("in which of several regions is function `{name}`?"))
                    .with_hint("name it by its ARN, which has the region in it"));
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let session = runtime.block_on(Session::open(region)).map_err(|error| {
            Failure::wrong(anyhow!("the log of function `{name}` cannot be read: {error}"))
                .with_hint("give --region, set AWS_REGION, or put `region` into your profile")
        })?;
        Ok(Some(Self {
            cloudwatch: CloudWatch::new(session.connection(), Vec::new()),
            group: format!("/aws/lambda/{name}"),
            region: session.region().to_owned(),
            wait: args.log_wait,
            runtime,
        }))
    }

    /// What it says of the rounds that were sent, and what it does not say and why. Reports come late: it is read again
    /// until each answer has one, or that has taken too long, or the user does not want to wait.
    pub(super) fn read(
        &self,
        probe: &ColdStart,
        history: &History,
        wish: &Wish,
    ) -> (Option<ColdStartLog>, Vec<String>) {
        let times = times(history);
        let Some(range) = range(&times) else { return (None, Vec::new()) };
        // Between rounds may be one that was cut off, or the time until somebody went on.
        let was_left = history.entries.iter().any(|entry| entry.standing == Standing::Restores);
        let is_time_unknown = was_left || history.cut_off > 0 || times.len() < history.entries.len();
        eprintln!(
            "reading log group `{}`, for up to {} while reports are late …",
            self.group,
            duration_s(self.wait.as_secs_f64())
        );
        let until = Instant::now() + self.wait;
        let (mut offset_s, mut is_moved) = (0.0, false);
        let mut known: Option<ColdStartLog> = None;
        loop {
            let logged = match self.look(range, offset_s) {
                Ok(logged) => logged,
                Err(problem) => {
                    let doubts = known.iter().flat_map(ColdStartLog::doubts);
                    return (known.clone(), std::iter::once(self.refused(&problem)).chain(doubts).collect());
                }
            };
            offset_s = logged.clock_offset_s.filter(|s| s.abs() > LEAST_OFFSET_S).unwrap_or(0.0);
            let invocations: Vec<Invocation> =
                logged.invocations.iter().map(|one| here(one, offset_s)).collect();
            let mut joined = probe.joined(&history.done, &times, &invocations);
            if is_time_unknown {
                joined.inits_between = 0;
            }
            // Of two looks the one that has more.
            let known = match known.take() {
                Some(before) if before.missing < joined.missing => known.insert(before),
                _ => known.insert(joined),
            };
            if !is_moved && offset_s.abs() > AROUND_S / 2.0 {
                // By its own clock it was another time.
                is_moved = true;
                continue;
            }
            let is_late = known.missing > 0;
            if is_late && Instant::now() < until && wish.wait(PAUSE).is_ok() && !wish.is_there() {
                continue;
            }
            let rest = logged.rest.filter(|_| known.missing > 0);
            let rest = rest
                .map(|why| format!("true init times: log group `{}` was not read whole: {why}", self.group));
            return (Some(known.clone()), rest.into_iter().chain(known.doubts()).collect());
        }
    }

    /// What it says of a time by the clock of this machine, from which its own is so far off.
    fn look(&self, (from_s, until_s): (f64, f64), offset_s: f64) -> Result<Logged, String> {
        let now_s = || SystemClock.now().0 as f64 / 1e6;
        let range = (from_s + offset_s, until_s + offset_s);
        self.runtime.block_on(async {
            self.cloudwatch.invocations(&self.group, range, Instant::now() + LOOK, now_s).await
        })
    }

    fn refused(&self, problem: &str) -> String {
        format!(
            "true init times: logs:FilterLogEvents of log group `{}` in {}: {problem}; see that the function has this name \
             and is in this region, and that you may do that on its log group",
            self.group, self.region
        )
    }
}

/// By the clock of this machine.
fn here(invocation: &LoggedInvocation, offset_s: f64) -> Invocation {
    Invocation { began_s: invocation.began_s - offset_s, init_ms: invocation.init_ms }
}

/// When rounds were sent; those of which that is not known are left out.
fn times(history: &History) -> Vec<RoundTime> {
    let mut place = 0;
    let time = |entry: &Entry| {
        let own = entry.counts().then_some(place);
        place += usize::from(entry.counts());
        let (began_us, ended_us) = entry.here_us?;
        Some(RoundTime { began_s: began_us as f64 / 1e6, ended_s: ended_us as f64 / 1e6, place: own })
    };
    history.entries.iter().filter_map(time).collect()
}

fn range(times: &[RoundTime]) -> Option<(f64, f64)> {
    let from_s = times.iter().map(|time| time.began_s).reduce(f64::min)?;
    let until_s = times.iter().map(|time| time.ended_s).reduce(f64::max)?;
    Some((from_s - AROUND_S, until_s + AROUND_S))
}

/// What it says to people.
pub(super) fn findings(log: &ColdStartLog) -> Vec<ProbeFinding> {
    let mut findings = Vec::new();
    if log.invocations > 0 {
        let share = log.inits as f64 / log.invocations as f64;
        let beside = log.beside.map_or(String::new(), |beside| {
            format!(
                "; {} in {} rounds, where {} answers seemed cold",
                count(beside.inits),
                beside.rounds,
                CurveUnit::Number.write(beside.cold.round())
            )
        });
        findings.push(finding(
            "inits, by the log",
            format!(
                "{} of {} invocations ({}){beside}",
                count(log.inits),
                count(log.invocations),
                percent(share)
            ),
        ));
    }
    findings.extend(log.init_ms.map(|init| finding("an init takes", distribution(&init))));
    findings.extend(log.added_ms.map(|added| finding("a cold start adds", distribution(&added))));
    findings.extend(log.not_init_ms.map(|ms| {
        let what = if ms < 0.0 {
            format!("nothing: inits are {} longer than what is added, as medians", duration_ms(-ms))
        } else {
            format!(
                "{} of what is added, as medians: what comes before the function's own start",
                duration_ms(ms)
            )
        };
        finding("not of the init", what)
    }));
    findings
}

fn distribution(spread: &Spread) -> String {
    let Spread { p50_ms, p90_ms, p99_ms, max_ms, .. } = *spread;
    let [p50, p90, p99, max] = [p50_ms, p90_ms, p99_ms, max_ms].map(duration_ms);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, at most {max}")
}

/// What was counted in each round, by its place.
pub(super) fn starts(log: &ColdStartLog) -> Vec<(usize, Starts)> {
    log.rounds.iter().map(|round| (round.place, Starts { cold: round.cold, inits: round.inits })).collect()
}

/// Inits, and what cold starts add, each by the share that takes no longer.
pub(super) fn curve(log: &ColdStartLog) -> Curve {
    let of = |name: &str, ms: fn(&squall_probe::StartPoint) -> Option<f64>| {
        series(name, true, log.shares.iter().filter_map(|point| Some([ms(point)?, point.share])))
    };
    Curve {
        title: "How long inits take, and how much longer cold answers".to_owned(),
        x: axis("time", CurveUnit::Ms, false),
        y: axis("share that takes no longer", CurveUnit::Ratio, false),
        series: vec![
            of("init, by the log", |point| point.init_ms),
            of("added, as seen", |point| point.added_ms),
        ],
        marks: Vec::new(),
    }
}
