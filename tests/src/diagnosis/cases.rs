//! Which services are asked what: parameters are drawn for each seed, within ranges for development and outside them for
//! what nobody has tuned anything to.

use serde_json::{Value, json};
use squall_target::service::Profile;

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
    fn draw(self, chance: &mut Chance, inner: (f64, f64), outer: (f64, f64)) -> f64 {
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
            Self::HeldOut => number + 1_000_000,
        }
    }
}

/// What is evaluated, by name: the profiles, and those that are asked in several ways.
#[must_use]
pub fn cases() -> Vec<&'static str> {
    let profiles = Profile::ALL.iter().map(|profile| profile.name);
    profiles.chain(["lambda, few at a time"]).collect()
}

/// One of them; `None` if there is no such profile.
#[must_use]
pub fn case(name: &str, number: u64, set: Set) -> Option<Case> {
    let seed = set.seed(number);
    let chance =
        &mut Chance::new(name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())));
    let profile = Profile::named(name.split(',').next()?).ok()?;
    let noise = set.draw(chance, (0.08, 0.15), (0.05, 0.2));
    let length_s = set.draw(chance, (150.0, 300.0), (120.0, 600.0));
    let rate = set.draw(chance, (40.0, 90.0), (25.0, 150.0));
    let (settings, course) = match name {
        "healthy" => {
            let read_ms = set.draw(chance, (10.0, 60.0), (4.0, 200.0));
            let settings = json!({ "noise": noise, "read_ms": read_ms, "write_ms": read_ms * 2.0 });
            (settings, any(chance, rate, length_s))
        }
        "lambda" | "google-function" | "azure-function" => {
            let work_ms = set.draw(chance, (100.0, 300.0), (60.0, 800.0));
            (json!({ "noise": noise, "work_ms": work_ms }), steps(chance, rate, length_s))
        }
        "lambda, few at a time" => {
            let work_ms = set.draw(chance, (150.0, 400.0), (100.0, 800.0));
            let share = chance.between(0.4, 0.7);
            let at_once = (rate * work_ms / 1e3 * share).ceil().max(3.0);
            #[expect(clippy::cast_possible_truncation, reason = "a number of requests at a time")]
            let settings = json!({ "noise": noise, "work_ms": work_ms, "concurrency": at_once as i64 });
            (settings, rising(chance, rate, length_s))
        }
        "gateway" => {
            let refill = rate * chance.between(0.4, 0.75);
            let burst = (refill * set.draw(chance, (1.0, 6.0), (0.6, 12.0))).round();
            #[expect(clippy::cast_possible_truncation, reason = "a number of requests")]
            let settings = json!({ "noise": noise, "refill_per_s": refill, "burst": burst as i64 });
            (settings, rising(chance, rate, length_s))
        }
        _ => (json!({}), rising(chance, rate, length_s)),
    };
    let settings = if profile.parameters(&settings).is_ok() { settings } else { Value::Null };
    Some(Case { profile: profile.name, settings, course, seed })
}

fn course(length_s: f64, points: Vec<(f64, f64)>) -> Course {
    Course { length_s, points, think_s: None }
}

/// A ramp, a step, or steps.
fn rising(chance: &mut Chance, rate: f64, length_s: f64) -> Course {
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
