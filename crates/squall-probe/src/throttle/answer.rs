//! What is said of a limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Throttle;
use super::limit::Found;
use crate::estimate::{Estimate, digits, mean};
use crate::probe::Step;
use crate::round::Load;
use crate::walk::Spent;

/// When a service turns requests away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottleAnswer {
    /// What is limited.
    pub kind: Option<LimitKind>,
    /// Of a rate: how many requests a second are let through for long.
    pub refill_per_s: Option<Estimate>,
    /// Of a rate: how many are let through at once after a pause.
    pub burst: Option<Estimate>,
    /// Of a window: how many are let through in each.
    pub in_window: Option<Estimate>,
    /// Of a window: how many seconds it takes.
    pub window_s: Option<Estimate>,
    /// Of a number at a time: how many.
    pub concurrency: Option<Estimate>,
    /// Who shares it.
    pub scope: Option<Scope>,
    /// From how many addresses requests came when that was tried; null if it was not, or not every generator knows its own.
    pub addresses: Option<u32>,
    /// What `Retry-After` is worth.
    pub retry_after: RetryAfter,
    /// After how many seconds without requests one is let through again.
    pub recovery_s: Option<Estimate>,
    /// After how many a full burst is.
    pub full_recovery_s: Option<Estimate>,
    /// The highest rate of which none was turned away for as long as it was tried.
    pub kept_per_s: Option<f64>,
    /// The largest burst of which none was turned away.
    pub kept_burst: Option<u32>,
    /// What became of each burst and each rate, as it came.
    pub curve: Vec<ThrottlePoint>,
    /// What was sent.
    pub spent: Spent,
    /// What could not be told, and why.
    pub untold: Vec<String>,
    /// What to do about it.
    pub advice: String,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Requests a second, with a burst beyond.
    Rate,
    /// Requests in a window of time: none until it is over, or until those that were let through are so long ago.
    Window,
    /// Requests at a time.
    Concurrency,
}

/// Who shares a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All.
    Global,
    /// Whoever comes from the same address.
    Address,
    /// Whoever has the same key.
    Key,
    /// Whoever comes from the same address with the same key.
    AddressAndKey,
    /// All, or whoever has the same key: only one was tried.
    GlobalOrKey,
    /// All, or whoever comes from the same address: only one was tried.
    GlobalOrAddress,
}

/// What `Retry-After` is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetryAfter {
    /// Whether refusals name it; `None` if there were none.
    pub is_named: Option<bool>,
    /// Whether it names a time of day, which is not tried.
    pub is_date: Option<bool>,
    /// The most seconds that it named when that was tried.
    pub named_s: Option<f64>,
    /// Whether a request that waited so long was let through; `None` if that was not tried.
    pub is_honest: Option<bool>,
}

/// A burst or a rate, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottlePoint {
    /// What was sent.
    pub load: Load,
    /// By how many generators.
    pub senders: u32,
    /// With how many keys.
    pub keys: u32,
    /// After how many seconds without requests.
    pub idle_s: f64,
    /// How many were let through.
    pub good: u64,
    /// How many were turned away.
    pub limited: u64,
    /// How long those took that were let through, as a mean.
    pub good_ms: Option<f64>,
}

impl Throttle {
    pub(super) fn told(found: &Found<'_>, step: &Step, spent: Spent) -> ThrottleAnswer {
        let curve = found.rounds.iter().map(|done| ThrottlePoint {
            load: done.round.load,
            senders: done.round.senders,
            keys: done.round.keys,
            idle_s: done.observed.rested_s(),
            good: done.observed.good(),
            limited: done.observed.limited(),
            good_ms: mean(&done.observed.good_us).map(|us| us / 1_000.0),
        });
        let mut untold = found.untold.clone();
        if let Step::Stop(why) = step {
            untold.insert(0, why.clone());
        }
        untold.extend(found.unsteady.clone());
        if found.rounds.is_empty() {
            untold.push("anything: no round has ended yet".to_owned());
        }
        let (burst, refill) = (found.burst, found.refill);
        let full_recovery_s = burst.zip(refill).and_then(|(burst, refill)| {
            Estimate::between(
                burst.low / refill.high,
                burst.value / refill.value,
                burst.high / refill.low.max(1e-9),
            )
        });
        ThrottleAnswer {
            kind: found.kind,
            refill_per_s: refill,
            burst,
            in_window: found.in_window,
            window_s: found.window_s,
            concurrency: found.concurrency,
            scope: found.scope,
            addresses: found.addresses,
            retry_after: found.retry_after,
            recovery_s: found.recovery,
            full_recovery_s: full_recovery_s.or(found.window_s),
            kept_per_s: found.kept_per_s,
            kept_burst: found.kept_burst,
            curve: curve.collect(),
            spent,
            untold,
            advice: advice(found, step),
        }
    }
}

fn advice(found: &Found<'_>, step: &Step) -> String {
    if let Step::Stop(why) = step {
        return format!("Look at this first: {why}.");
    }
    let patience = match found.retry_after.is_honest {
        Some(true) => " Wait as long as `Retry-After` says.",
        Some(false) => " Do not trust `Retry-After`: wait longer than it says.",
        None => "",
    };
    let whose = match found.scope {
        Some(Scope::Address) => " from each address",
        Some(Scope::Key) => " with each key",
        Some(Scope::AddressAndKey) => " with each key from each address",
        Some(Scope::Global) => ", all clients together,",
        _ => "",
    };
    match (found.kind, found.refill, found.concurrency) {
        (Some(LimitKind::Rate), Some(refill), _) => {
            let rate = digits(refill.low);
            format!("Send no more than {rate} requests a second{whose} for long.{patience}")
        }
        (Some(LimitKind::Window), ..) => {
            let number = found.in_window.map_or(0.0, |many| many.low);
            let window_s = found.window_s.map_or(f64::INFINITY, |window_s| window_s.high);
            format!(
                "Send no more than {} requests in {} s{whose}, or {} a second for long.{patience}",
                digits(number.floor()),
                digits(window_s),
                digits(number / window_s)
            )
        }
        (Some(LimitKind::Concurrency), _, Some(at_a_time)) => {
            let number = digits(at_a_time.low.floor());
            format!("Have no more than {number} requests{whose} under way at a time.{patience}")
        }
        _ if found.was_limited() => format!("Some requests are turned away; go on to know when.{patience}"),
        _ => match found.kept_per_s {
            Some(kept) => format!(
                "{} requests a second are let through; allow more to find a limit, if there is one.",
                digits(kept)
            ),
            None => "Go on: nothing is known yet.".to_owned(),
        },
    }
}
