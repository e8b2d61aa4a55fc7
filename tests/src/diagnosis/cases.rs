//! Which services are asked what: parameters are drawn for each seed, within ranges for development and outside them for
//! what is reported. Whoever has looked at held-out seeds draws new ones.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of things")]

use serde_json::{Value, json};
use squall_plan::Arrivals;
use squall_target::service::Profile;

use super::pairs::{PAIRS, pair};
use super::{Case, Chance, Course};

/// Where seeds and parameters come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What thresholds were chosen by.
    Development,
    /// Other seeds, and parameters outside those ranges.
    HeldOut,
}

/// Both.
pub const SETS: [Set; 2] = [Set::Development, Set::HeldOut];

impl Set {
    /// A number within the inner range, or outside it and within the outer one.
    pub(super) fn draw(self, chance: &mut Chance, inner: (f64, f64), outer: (f64, f64)) -> f64 {
        match self {
            Self::Development => chance.scaled(inner.0, inner.1),
            Self::HeldOut if outer.0 < inner.0 && chance.uniform() < 0.5 || outer.1 <= inner.1 => {
                chance.scaled(outer.0, inner.0)
            }
            Self::HeldOut => chance.scaled(inner.1, outer.1),
        }
    }

    fn seed(self, number: u64) -> u64 {
        match self {
            Self::Development => number,
            Self::HeldOut => number + 18_000_000,
        }
    }
}

/// What is evaluated, by name: the profiles, those that are asked in several ways, and pairs of them.
#[must_use]
pub fn cases() -> Vec<&'static str> {
    let profiles = Profile::ALL.iter().map(|profile| profile.name);
    let pairs = PAIRS.iter().map(|(name, _, _)| *name);
    let ways = ["lambda, few at a time", "lambda, few connections", "healthy, few connections"];
    profiles.chain(ways).chain(pairs).collect()
}

/// What cases are called whose requests share connections.
const SHARING: &str = ", few connections";

/// One of them; `None` if there is no such profile.
#[must_use]
pub fn case(name: &str, number: u64, set: Set) -> Option<Case> {
    let seed = set.seed(number);
    let chance =
        &mut Chance::new(name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())));
    let known = PAIRS.iter().find(|(pair, _, _)| *pair == name);
    let profile = known.map_or(name.split(',').next()?, |(_, _, back)| back);
    let profile = Profile::named(profile).ok()?;
    let noise = set.draw(chance, (0.08, 0.15), (0.05, 0.2));
    let length_s = set.draw(chance, (150.0, 300.0), (120.0, 600.0));
    let rate = set.draw(chance, (40.0, 90.0), (25.0, 150.0));
    let arrivals = chance.one_of(&[Arrivals::Even, Arrivals::Poisson]);
    let draw = Draw { set, noise, length_s, rate };
    if let Some((_, front, _)) = known {
        let (before, settings, course) = pair(name, draw, chance)?;
        let course = Course { arrivals, ..course };
        let before = Some((*front, before));
        return Some(Case {
            profile: profile.name,
            settings,
            before,
            course,
            shares_connections: false,
            seed,
        });
    }
    let (settings, course) = functions(name, draw, chance)
        .or_else(|| capacities(name, draw, chance))
        .or_else(|| troubles(name, draw, chance))
        .unwrap_or_else(|| (json!({}), rising(chance, rate, length_s)));
    let settings = if profile.parameters(&settings).is_ok() { settings } else { Value::Null };
    let course = Course { arrivals, ..course };
    let shares_connections = name.ends_with(SHARING);
    Some(Case { profile: profile.name, settings, before: None, course, shares_connections, seed })
}

/// What is drawn for every case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    pub set: Set,
    pub noise: f64,
    pub length_s: f64,
    pub rate: f64,
}

/// Functions and what stands before them.
fn functions(name: &str, draw: Draw, chance: &mut Chance) -> Option<(Value, Course)> {
    let Draw { set, noise, length_s, rate } = draw;
    Some(match name.strip_suffix(SHARING).unwrap_or(name) {
        "healthy" => {
            let read_ms = set.draw(chance, (10.0, 60.0), (4.0, 200.0));
            let settings = json!({ "noise": noise, "read_ms": read_ms, "write_ms": read_ms * 2.0 });
            (settings, any(chance, rate, length_s))
        }
        "lambda" | "google-function" | "azure-function" => {
            let work_ms = set.draw(chance, (100.0, 300.0), (60.0, 800.0));
            // Azure starts one instance in five seconds. Where half of the run does not suffice to start all that are needed,
            // nearly every request runs out of time, and nobody can say of what.
            let most_ms = if name == "azure-function" { 100.0 * length_s / rate - 30.0 } else { work_ms };
            let work_ms = work_ms.min(most_ms).max(20.0);
            (json!({ "noise": noise, "work_ms": work_ms }), steps(chance, rate, length_s))
        }
        "lambda, few at a time" => {
            let work_ms = set.draw(chance, (150.0, 400.0), (100.0, 800.0));
            let share = chance.between(0.4, 0.7);
            let at_once = (rate * work_ms / 1e3 * share).ceil().max(3.0);
            let settings = json!({ "noise": noise, "work_ms": work_ms, "concurrency": at_once as u32 });
            (settings, rising(chance, rate, length_s))
        }
        "gateway" => {
            let refill = rate * chance.between(0.4, 0.75);
            let burst = (refill * set.draw(chance, (1.0, 6.0), (0.6, 12.0))).round();
            let settings = json!({ "noise": noise, "refill_per_s": refill, "burst": burst as u32 });
            (settings, rising(chance, rate, length_s))
        }
        _ => return None,
    })
}

/// Services of which more is asked than they can do, or nearly.
fn capacities(name: &str, draw: Draw, chance: &mut Chance) -> Option<(Value, Course)> {
    let Draw { set, noise, length_s, rate } = draw;
    Some(match name {
        "pods" => {
            let (workers, pods) = (chance.one_of(&[2, 3, 4]), chance.one_of(&[2, 3]));
            let over = chance.between(1.35, 2.2);
            let work_ms = f64::from(workers * pods) * 1e3 * over / rate;
            let settings = json!({
                "noise": noise, "workers": workers, "pods": pods, "work_ms": work_ms,
                "queue": set.draw(chance, (40.0, 120.0), (20.0, 200.0)).round() as u32,
                "lag_s": set.draw(chance, (10.0, 20.0), (5.0, 30.0)),
                "startup_s": set.draw(chance, (6.0, 15.0), (3.0, 30.0)),
            });
            let at_s = chance.between(0.2, 0.3) * length_s;
            let low = 0.5 * rate / over;
            let points = vec![(0.0, low), (at_s, low), (at_s + 1.0, rate)];
            (settings, course(length_s + 120.0, points))
        }
        "fixed" => {
            let workers = chance.one_of(&[4, 8, 12]);
            let work_ms = f64::from(workers) * 1e3 / (rate * chance.between(0.5, 0.75));
            (
                json!({ "noise": noise, "workers": workers, "work_ms": work_ms }),
                rising(chance, rate, length_s),
            )
        }
        "retry-storm" => {
            let workers = chance.one_of(&[4, 8, 12]);
            let work_ms = f64::from(workers) * 1e3 / (rate * chance.between(1.2, 1.4));
            let settings = json!({
                "noise": noise, "workers": workers, "work_ms": work_ms, "timeout_ms": work_ms * 5.0,
                "blip_s": length_s * 0.35, "blip_for_s": set.draw(chance, (3.0, 6.0), (2.0, 8.0)),
            });
            (settings, course(length_s, vec![(0.0, rate)]))
        }
        "database" => {
            let write_ms = 2.0 * 1e3 / (0.25 * rate) * chance.between(0.6, 0.85);
            (json!({ "noise": noise, "write_ms": write_ms }), rising(chance, rate, length_s))
        }
        "connection-limit" => {
            let work_ms = set.draw(chance, (150.0, 400.0), (100.0, 800.0));
            let limit = (rate * work_ms / 1e3 * chance.between(0.45, 0.75)).max(3.0).round() as u32;
            (json!({ "noise": noise, "work_ms": work_ms, "limit": limit }), rising(chance, rate, length_s))
        }
        _ => return None,
    })
}

/// Services that have their trouble whatever is asked of them.
fn troubles(name: &str, draw: Draw, chance: &mut Chance) -> Option<(Value, Course)> {
    let Draw { set, noise, length_s, rate } = draw;
    let level = || course(length_s, vec![(0.0, rate)]);
    let from_s = length_s * chance.between(0.25, 0.45);
    Some(match name {
        "slow-dependency" => {
            let settings = json!({
                "noise": noise, "from_s": from_s, "ramp_s": length_s * chance.between(0.05, 0.4),
                "share": set.draw(chance, (0.05, 0.15), (0.03, 0.25)),
                "slow_ms": set.draw(chance, (300.0, 1_000.0), (150.0, 3_000.0)),
            });
            (settings, any(chance, rate, length_s))
        }
        "cache" => {
            let items = (0.75 * rate * set.draw(chance, (15.0, 40.0), (10.0, 60.0))).round() as u32;
            (json!({ "noise": noise, "items": items }), level())
        }
        "noisy-neighbour" => (json!({ "noise": noise }), any(chance, rate, length_s)),
        "deployment" => {
            let pods = chance.one_of(&[3, 4, 5, 6]);
            let step_s = set.draw(chance, (10.0, 15.0), (8.0, 20.0));
            (json!({ "noise": noise, "from_s": from_s, "pods": pods, "step_s": step_s }), level())
        }
        "network" => (json!({ "noise": noise, "from_s": from_s }), any(chance, rate, length_s)),
        "leak" => {
            let growth = 1e3 * set.draw(chance, (0.6, 1.5), (0.4, 2.5)) / (rate * length_s);
            (json!({ "noise": noise, "growth": growth }), level())
        }
        _ => return None,
    })
}

pub(super) fn course(length_s: f64, points: Vec<(f64, f64)>) -> Course {
    Course { length_s, points, think_s: None, arrivals: Arrivals::Even }
}

/// A ramp, a step, or steps.
pub(super) fn rising(chance: &mut Chance, rate: f64, length_s: f64) -> Course {
    match chance.one_of(&[0, 1, 2]) {
        0 => course(length_s, vec![(0.0, 0.05 * rate), (0.7 * length_s, rate)]),
        1 => {
            let at_s = chance.between(0.25, 0.4) * length_s;
            course(length_s, vec![(0.0, 0.35 * rate), (at_s, 0.35 * rate), (at_s + 1.0, rate)])
        }
        _ => steps(chance, rate, length_s),
    }
}

fn steps(chance: &mut Chance, rate: f64, length_s: f64) -> Course {
    let count = chance.one_of(&[3.0, 4.0, 5.0]);
    let mut points = Vec::new();
    let mut step = 0.0;
    while step < count {
        let level = rate * (step + 1.0) / count;
        points.extend([(length_s * step / count + 0.5, level), (length_s * (step + 1.0) / count, level)]);
        step += 1.0;
    }
    course(length_s, points)
}

/// Any load at all, of users too.
fn any(chance: &mut Chance, rate: f64, length_s: f64) -> Course {
    match chance.one_of(&[0, 1, 2]) {
        0 => course(length_s, vec![(0.0, rate)]),
        1 => rising(chance, rate, length_s),
        _ => Course { think_s: Some(chance.between(0.3, 1.5)), ..rising(chance, rate, length_s) },
    }
}
