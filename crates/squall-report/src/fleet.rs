//! How the fleet itself came to be: what started, what was there before, and how long that took.

use crate::numbers::{count, duration_ms};
use crate::result::{Generator, RunResult};

/// The fleet's own start, in a line; `None` for threads, which are there at once.
pub(crate) fn line(result: &RunResult) -> Option<String> {
    if result.run.backend == "local" || result.generators.is_empty() {
        return None;
    }
    let mut parts = vec![environments(&result.generators)];
    let of = |value: fn(&Generator) -> Option<f64>| spread(&result.generators, value);
    parts.extend(of(|generator| generator.queued_ms).map(|[median, _]| format!("queued {median}")));
    parts.extend(of(|generator| Some(generator.ready_ms)).map(|[_, longest]| format!("all ready {longest}")));
    let skew = of(|generator| generator.start_skew_ms.map(f64::abs));
    parts.extend(skew.map(|[_, most]| format!("start skew {most}")));
    Some(format!(" fleet: {}", parts.join(" · ")))
}

/// How many environments had to start, how long that took, and how many were there before.
pub(crate) fn environments(generators: &[Generator]) -> String {
    let reused = generators.iter().filter(|generator| generator.init_ms <= 0.0).count();
    let started = generators.len() - reused;
    let inits = spread(generators, |generator| Some(generator.init_ms).filter(|ms| *ms > 0.0));
    let started = match inits {
        Some([median, longest]) => format!("{} started in {median} to {longest}", count(started as u64)),
        None => "none started".to_owned(),
    };
    format!("{started}, {} reused", count(reused as u64))
}

/// The median and the largest of a value.
fn spread(generators: &[Generator], value: fn(&Generator) -> Option<f64>) -> Option<[String; 2]> {
    let mut values: Vec<f64> = generators.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    Some([values.get(values.len() / 2)?, values.last()?].map(|ms| duration_ms(*ms)))
}
