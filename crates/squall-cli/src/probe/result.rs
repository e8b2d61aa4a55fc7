//! What is told of a probe in the end.

use std::collections::BTreeMap;

use serde_json::Value;
use squall_fleet::{Clock, Time};
use squall_probe::Estimate;
use squall_report::{
    Curve, CurveAxis, CurveSeries, CurveUnit, ExitCode, PROBE_SCHEMA_VERSION, ProbeEnding, ProbeFacts,
    ProbeFinding, ProbeOutcome, ProbeResult, ProbeRound, ProbeSent, count, percent, significant,
};
use squall_seat::SystemClock;

use super::drive::Ending;
use super::history::{Entry, History};
use super::told::{Seen, quantile_ms};
use crate::failure::Failure;
use crate::run::rfc3339;

/// With a larger share of answers out of a cache it is the cache that was probed.
const MOST_CACHED: f64 = 0.1;

/// What an answer says to people.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parts {
    /// Whether anything of what was asked is known.
    pub(super) is_known: bool,
    pub(super) headline: String,
    pub(super) findings: Vec<ProbeFinding>,
    pub(super) warnings: Vec<String>,
    pub(super) curves: Vec<Curve>,
    /// What was counted of starts in rounds, by their places among those that count.
    pub(super) starts: Vec<(usize, Starts)>,
}

/// Starts in a round: answers that seemed cold, and inits by the function's log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Starts {
    pub(super) cold: Option<f64>,
    pub(super) inits: u64,
}

/// Whose result it is.
pub(super) struct Whose<'a> {
    pub(super) kind: &'static str,
    /// The probe's id, and when it began.
    pub(super) order: (&'a str, Time),
    pub(super) target: String,
    pub(super) aws: bool,
}

/// The result of a probe that has ended.
pub(super) fn of(
    whose: &Whose<'_>,
    ending: &Ending,
    history: &History,
    (answer, parts): (Value, Parts),
) -> Result<ProbeResult, Failure> {
    let (id, started) = whose.order;
    let mut warnings = parts.warnings;
    warnings.extend(cached(history));
    if history.cut_off > 0 {
        warnings.push(format!(
            "how much was sent: rounds that were cut off have sent up to {} requests more",
            count(history.cut_off)
        ));
    }
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for (outcome, number) in history.entries.iter().flat_map(|entry| &entry.outcomes) {
        let sum = outcomes.entry(outcome.clone()).or_default();
        *sum = sum.saturating_add(*number);
    }
    let most = |of: fn(&Entry) -> u32| history.entries.iter().map(of).max().unwrap_or(0);
    Ok(ProbeResult {
        schema_version: PROBE_SCHEMA_VERSION,
        squall_version: env!("CARGO_PKG_VERSION").to_owned(),
        probe: ProbeFacts {
            id: id.to_owned(),
            kind: whose.kind.to_owned(),
            target: whose.target.clone(),
            started_at: rfc3339(started)?,
            took_s: SystemClock.now().since(started).as_secs_f64(),
            backend: if whose.aws { "aws" } else { "local" }.to_owned(),
            generators: most(|entry| entry.generators),
            addresses: most(|entry| entry.observed.addresses),
        },
        ending: ProbeEnding {
            outcome: match ending {
                Ending::Enough => ProbeOutcome::Answered,
                Ending::Stopped(_) => ProbeOutcome::Stopped,
                Ending::Interrupted => ProbeOutcome::Interrupted,
                Ending::Failed { .. } => ProbeOutcome::Failed,
            },
            reason: match ending {
                Ending::Enough => None,
                Ending::Stopped(reason) => Some(reason.clone()),
                Ending::Interrupted => Some(format!("interrupted; `squall probe resume {id}` goes on")),
                Ending::Failed { reason, .. } => {
                    Some(format!("{reason}; `squall probe resume {id}` goes on"))
                }
            },
            exit_code: exit_code(ending).code(),
        },
        headline: parts.headline,
        findings: parts.findings,
        warnings,
        answer,
        curves: parts.curves,
        sent: ProbeSent {
            rounds: u32::try_from(history.entries.len()).unwrap_or(u32::MAX),
            requests: history.requests(),
            outcomes,
            cost_usd: history.cost_usd(),
        },
        rounds: rounds(history, &parts.starts),
    })
}

/// The exit code that an ending asks for.
pub(super) fn exit_code(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Enough => ExitCode::Passed,
        Ending::Stopped(_) => ExitCode::Invalid,
        Ending::Interrupted => ExitCode::Interrupted,
        Ending::Failed { exit, .. } => *exit,
    }
}

fn rounds(history: &History, starts: &[(usize, Starts)]) -> Vec<ProbeRound> {
    let mut place = 0;
    let mut told = |entry: &Entry| {
        let own = starts.iter().find(|(at, _)| entry.counts() && *at == place).map(|(_, starts)| *starts);
        place += usize::from(entry.counts());
        ProbeRound { cold: own.and_then(|own| own.cold), inits: own.map(|own| own.inits), ..round(entry) }
    };
    history.entries.iter().map(&mut told).collect()
}

fn round(entry: &Entry) -> ProbeRound {
    let Seen { good, limited, unavailable, failed, dropped } = Seen::of(entry);
    ProbeRound {
        purpose: entry.round.purpose.clone(),
        idle_s: entry.observed.idle_s,
        good,
        limited,
        unavailable,
        failed: failed - unavailable,
        dropped,
        p50_ms: quantile_ms(&entry.observed.good_us, 0.5),
        p99_ms: quantile_ms(&entry.observed.good_us, 0.99),
        tainted: entry.observed.tainted,
        cold: None,
        inits: None,
    }
}

fn cached(history: &History) -> Option<String> {
    let total = |sum: u64, number: u64| sum.saturating_add(number);
    let cached = history.entries.iter().map(|entry| entry.cached).fold(0, total);
    // Of those that were looked at: not while it warmed up.
    let looked_at = history.entries.iter().flat_map(|entry| &entry.observed.good_us);
    let good = looked_at.map(|(_, number)| *number).fold(0, total);
    let share = cached as f64 / good.max(1) as f64;
    (share > MOST_CACHED).then(|| {
        format!(
            "{} of the answers came out of a cache (`Age`, `X-Cache`): what was probed is the cache; ask for something \
             that is not kept, such as with `?{{{{ uuid() }}}}` behind the URL",
            percent(share)
        )
    })
}

/// One thing that was found out.
pub(super) fn finding(name: &str, value: impl Into<String>) -> ProbeFinding {
    ProbeFinding { name: name.to_owned(), value: value.into() }
}

/// A number with the interval that holds it.
pub(super) fn estimate(estimate: &Estimate, unit: CurveUnit) -> String {
    let Estimate { value, low, high } = *estimate;
    format!("{} ({} to {})", unit.write(value), unit.write(low), unit.write(high))
}

/// `40 requests a second`
pub(super) fn per_s(value: f64) -> String {
    format!("{} requests a second", significant(value))
}

pub(super) fn axis(name: &str, unit: CurveUnit, logarithmic: bool) -> CurveAxis {
    CurveAxis { name: name.to_owned(), unit, logarithmic }
}

/// Points that belong together, by their first number.
pub(super) fn series(name: &str, joined: bool, points: impl IntoIterator<Item = [f64; 2]>) -> CurveSeries {
    let mut points: Vec<[f64; 2]> =
        points.into_iter().filter(|point| point.iter().all(|value| value.is_finite())).collect();
    points.sort_by(|one, other| one[0].total_cmp(&other[0]));
    CurveSeries { name: name.to_owned(), points, joined }
}
