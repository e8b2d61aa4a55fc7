//! What is said of capacity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_diagnose::{Scalability, hinge, scalability};

use super::judge::answered;
use super::{Capacity, Found, Judged};
use crate::estimate::{Estimate, digits, quantile};
use crate::walk::Spent;

/// A service that warms up breaks a threshold first and keeps it then at one rate or two; at so many, it is something else.
const PASSED: usize = 3;

/// How much a service can take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityAnswer {
    /// The highest rate that keeps the threshold.
    pub capacity_per_s: Option<Estimate>,
    /// Where it is not known: so much at least.
    pub at_least_per_s: Option<f64>,
    /// Where it stops to answer more when it is asked for more.
    pub knee: Option<Knee>,
    /// What became of each rate, ascending.
    pub curve: Vec<CapacityPoint>,
    /// What was sent.
    pub spent: Spent,
    /// What a sweep would have sent that goes up in even steps, each as long as those here and as wide as half the
    /// interval, to the first one that breaks the threshold.
    pub sweep_requests: Option<u64>,
    /// What could not be told, and why.
    pub untold: Vec<String>,
    /// What to do about it.
    pub advice: String,
}

/// A rate, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityPoint {
    /// Requests a second that were asked for.
    pub rate_per_s: f64,
    /// Those that succeeded.
    pub good_per_s: f64,
    /// The share of those that did not.
    pub error_rate: f64,
    /// How long the good ones took.
    pub p50_ms: Option<f64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
    /// How likely it is that the threshold is broken here.
    pub broken: f64,
    /// Whether the generators set the pace.
    pub tainted: bool,
}

/// Where throughput stops to grow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knee {
    /// The rate from which on no more is answered.
    pub rate_per_s: Estimate,
    /// How much of what would be answered in parallel waits for what only one can have (Gunther's σ).
    pub contention: Option<f64>,
    /// How much is spent on agreeing with each other (Gunther's κ).
    pub coherency: Option<f64>,
}

impl Capacity {
    pub(super) fn told(&self, found: &Found<'_>, spent: Spent) -> CapacityAnswer {
        let estimate = if found.is_noise {
            None
        } else {
            found.known().filter(|known| known.gain > 0.0).and_then(|known| known.estimate())
        };
        let capacity_per_s = estimate.filter(|estimate| found.kept().is_some() && estimate.width() < 1.2);
        let at_least_per_s = if capacity_per_s.is_none() && !found.is_noise { found.kept() } else { None };
        let mut curve: Vec<CapacityPoint> = found.steps.iter().map(point).collect();
        curve.sort_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
        let untold = self.untold(found, capacity_per_s.as_ref(), at_least_per_s);
        CapacityAnswer {
            capacity_per_s,
            at_least_per_s,
            knee: if found.is_noise { None } else { knee(&found.steps) },
            curve,
            spent,
            sweep_requests: capacity_per_s.map(|capacity| self.sweep(&capacity)),
            untold,
            advice: advice(found, capacity_per_s.as_ref(), at_least_per_s),
        }
    }

    fn untold(&self, found: &Found<'_>, capacity: Option<&Estimate>, at_least: Option<f64>) -> Vec<String> {
        let mut untold: Vec<String> = found.trouble.iter().cloned().collect();
        if found.is_noise {
            untold.push(
                "whether the threshold is broken has little to do with the rate: latency or errors are too noisy for a limit to be told"
                    .to_owned(),
            );
        }
        if let (None, Some(kept)) = (capacity, at_least) {
            let kept = digits(kept);
            if let Some(ceiling) = found.ceiling {
                untold.push(format!(
                    "the limit: it is above {kept} a second, and the generators cannot make {}",
                    digits(ceiling)
                ));
            } else if found.kept().is_some_and(|kept| kept >= self.most_per_s) {
                untold.push(format!(
                    "the limit: the threshold is kept at {kept} a second, the most that may be sent"
                ));
            } else {
                untold.push(format!("the limit: it is above {kept} a second, and more was not tried"));
            }
        }
        let has_broken = found.steps.iter().any(|step| step.counts() && step.is_broken());
        if capacity.is_none() && at_least.is_none() && !found.is_noise && has_broken {
            let counting = found.steps.iter().filter(|step| step.counts());
            let lowest = counting.map(|step| step.done.rate()).fold(f64::INFINITY, f64::min);
            untold.push(format!("the limit: the threshold is broken at {} a second already", digits(lowest)));
        }
        let passed = found.steps.iter().filter(|step| step.is_outdated && step.is_broken()).count();
        if passed >= PASSED && !found.is_noise {
            untold.push(format!(
                "how far it is the rate that decides: in {passed} of {} steps the threshold was broken, and kept when asked again at the same rate: answers vary with time",
                found.steps.len()
            ));
        }
        if found.steps.is_empty() && found.trouble.is_none() {
            untold.push("anything: no step has ended yet".to_owned());
        } else if found.steps.iter().all(|step| step.is_unknown) && found.trouble.is_none() {
            untold.push("anything: no step was long enough for so few requests".to_owned());
        }
        if let Some(capacity) = capacity.filter(|capacity| capacity.width() > 2.5 * self.precision) {
            let tainted = found.steps.last().is_some_and(|step| step.verdict.tainted);
            let why = if tainted { ": the generators set the pace" } else { "" };
            untold.push(format!(
                "the limit more closely than {} to {} a second{why}",
                digits(capacity.low),
                digits(capacity.high)
            ));
        }
        untold
    }

    /// Requests of an even sweep to the same precision.
    fn sweep(&self, capacity: &Estimate) -> u64 {
        let step = ((capacity.high - capacity.low) / 2.0).max(capacity.value * 1e-3);
        let steps = (capacity.value / step).ceil() + 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
        let requests = (step * steps * (steps + 1.0) / 2.0 * self.step_s).clamp(0.0, 1e18) as u64;
        requests
    }
}

fn point(step: &Judged<'_>) -> CapacityPoint {
    let (observed, steady) = (&step.done.observed, answered(step.done, step.takes_s));
    let good: f64 = steady.iter().map(|second| second.good as f64).sum();
    let all: f64 = steady.iter().map(|second| second.answered() as f64).sum();
    let at_ms = |share| quantile(&observed.good_us, share).map(|us| us / 1_000.0);
    CapacityPoint {
        rate_per_s: step.done.rate(),
        good_per_s: good / steady.len().max(1) as f64,
        error_rate: if all > 0.0 { 1.0 - good / all } else { 0.0 },
        p50_ms: at_ms(0.5),
        p90_ms: at_ms(0.9),
        p99_ms: at_ms(0.99),
        broken: if step.is_unknown { 0.5 } else { step.verdict.broken },
        tainted: step.verdict.tainted,
    }
}

/// By segmented regression of answers over requests, second by second; its interval by leaving out each step in turn.
fn knee(steps: &[Judged<'_>]) -> Option<Knee> {
    let steps: Vec<&Judged<'_>> = steps.iter().filter(|step| step.counts()).collect();
    // A knee is seen only by who was asked for more than can be answered.
    steps.iter().find(|step| step.verdict.limit.is_some())?;
    let points = |without: usize| -> Vec<(f64, f64)> {
        let steps = steps.iter().enumerate().filter(|(place, _)| *place != without);
        let seconds = steps.flat_map(|(_, step)| {
            answered(step.done, step.takes_s).iter().map(|second| (second.sent() as f64, second.good as f64))
        });
        seconds.collect()
    };
    let of = |without: usize| hinge(&points(without)).filter(|hinge| hinge.explained > 0.8);
    let found = of(usize::MAX).filter(|hinge| hinge.after.abs() < 0.5 * hinge.before)?;
    let ends: Vec<f64> = (0..steps.len()).filter_map(|without| Some(of(without)?.level)).collect();
    let low = ends.iter().copied().fold(found.level, f64::min);
    let high = ends.iter().copied().fold(found.level, f64::max);
    let law = law(&steps);
    Some(Knee {
        rate_per_s: Estimate::between(low * 0.99, found.level, high * 1.01)?,
        contention: law.map(|law| law.contention),
        coherency: law.map(|law| law.coherency),
    })
}

/// Gunther's law, where it explains what was got through by how many requests were under way.
fn law(steps: &[&Judged<'_>]) -> Option<Scalability> {
    let points = steps.iter().flat_map(|step| {
        let seconds = step.done.observed.seconds.iter().take(step.done.whole_seconds());
        step.done
            .under_way()
            .into_iter()
            .zip(seconds)
            .skip(1)
            .map(|(under_way, second)| (under_way, second.good as f64))
    });
    let points: Vec<(f64, f64)> = points.collect();
    scalability(&points).filter(|law| law.explained > 0.8)
}

fn advice(found: &Found<'_>, capacity: Option<&Estimate>, at_least: Option<f64>) -> String {
    if let Some(why) = &found.trouble {
        return format!("Make it answer first: {why}.");
    }
    let warms_up = if found.warms_up {
        " It was better once it had run at a rate for a while: raise load slowly, or keep it warm."
    } else {
        ""
    };
    match (capacity, at_least) {
        (Some(capacity), _) => {
            let limit = found.steps.iter().any(|step| step.verdict.limit.is_some());
            let beyond = if limit {
                "beyond, requests pile up or fail: shed them early"
            } else {
                "beyond, answers become too slow"
            };
            format!("Plan for no more than {} a second, a tenth below the limit; {beyond}.{warms_up}", digits(capacity.low * 0.9))
        }
        (None, Some(_)) if found.ceiling.is_some() => {
            "Use more generators, or more processors, to find the limit.".to_owned()
        }
        (None, Some(kept)) => format!("Allow more than {} a second to find the limit.{warms_up}", digits(kept)),
        (None, None) if found.is_noise => {
            "Find out what makes answers vary at the same rate, use longer steps, or a threshold farther from what is usual."
                .to_owned()
        }
        (None, None) if found.steps.is_empty() => "Go on: nothing is known yet.".to_owned(),
        (None, None) => "Begin at a lower rate, or with a threshold that is kept when there is no load.".to_owned(),
    }
}
