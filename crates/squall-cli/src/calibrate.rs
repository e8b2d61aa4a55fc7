//! `squall doctor --calibrate`: what a plan's requests take, by a short run.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use squall_fleet::Clock;
use squall_fleet::sizing::{Calibration, Function, Machine, Measured, UTILISATION, capacity};
use squall_plan::units::Rate;
use squall_plan::{Load, LoadOverride, Plan, compile};
use squall_report::{ExitCode, Outcome, RunResult, count, significant};
use squall_seat::SystemClock;

use crate::args::{AwsArgs, Backend, DoctorArgs, Output, PlanArgs, RequestArgs};
use crate::calibration::{bytes, keep};
use crate::failure::Failure;
use crate::fleet::Wishes;
use crate::live::Watch;
use crate::plan::{self, Loaded};
use crate::run::{Order, rfc3339};
use crate::{aws, local, surroundings};

/// How long load is made: long enough for a mean, short enough to be waited for.
const DURATION: Duration = Duration::from_secs(10);

/// So many requests a second, about, and users who could make them, within what the plan has. With much less, what a generator
/// does anyway would count for requests; with more, it may be too much for what runs beside it.
const REQUESTS_PER_S: f64 = 500.0;
const MOST_USERS: u32 = 500;

/// Users without pauses ask again at once, so it is counted on a target that is fast.
const FAST_RESPONSE_S: f64 = 0.01;

/// What to do where a run is no calibration.
const AGAIN: &str = "calibrate again while nothing else needs the processors, against a target that answers; a plan that is \
                     too slow for 100 requests in 10 s needs no calibration";

pub(crate) fn command(args: &DoctorArgs, file: &Path) -> Result<ExitCode, Failure> {
    let asked = &args.calibration;
    let backend = asked.backend.unwrap_or(Backend::Local);
    if backend == Backend::Local && args.aws.is_given() {
        return Err(aws::wants_backend());
    }
    // Whatever is there must be readable before anything is sent.
    crate::calibration::read()?;
    let loaded = plan::load(&PlanArgs {
        plan: file.to_owned(),
        target: asked.target.clone(),
        users: None,
        rate: None,
        duration: None,
        variables: asked.variables.clone(),
        request: RequestArgs::default(),
    })?;
    let name = loaded.plan.name.clone();
    let calibration = calibrate(loaded, backend, &args.aws)?;
    let place = keep(&name, backend, calibration.clone())?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&calibration)?),
        Output::Text => surroundings::print(&page(&name, backend, &calibration, &place)),
    }
    Ok(ExitCode::Passed)
}

/// Measures what a plan's requests take, by a run with little load.
pub(crate) fn calibrate(loaded: Loaded, backend: Backend, fleet: &AwsArgs) -> Result<Calibration, Failure> {
    let order = Order {
        loaded: with_little_load(loaded)?,
        generators: Some(1),
        sources: Vec::new(),
        wishes: Wishes::default(),
        seed: None,
        out: None,
        watch: Watch::default(),
    };
    let (finished, function) = match backend {
        Backend::Local => (local::run(order)?, None),
        Backend::Aws => {
            let function = aws::look(fleet)?.function;
            let finished = aws::run(order, fleet, None)?;
            (finished.ok_or_else(|| anyhow!("the run was not measured"))?, Some(function))
        }
    };
    measure(&finished.result, function)
}

/// The same plan with a constant load that any generator carries. What is to be said of the plan has been said.
fn with_little_load(loaded: Loaded) -> Result<Loaded, Failure> {
    let mut bundle = loaded.bundle;
    bundle.inputs.load = Some(little_load(&loaded.plan));
    let compiled =
        compile(&bundle).map_err(|problems| Failure::wrong(anyhow!("{}", problems.render(false))))?;
    Ok(Loaded { plan: compiled.plan, bundle })
}

/// By the model of the plan's first load, and no more than the plan has at its peak.
fn little_load(plan: &Plan) -> LoadOverride {
    let requests_per_s: f64 = plan.loads.iter().map(|placed| placed.peak(plan, FAST_RESPONSE_S).least).sum();
    let share = (REQUESTS_PER_S / requests_per_s.max(f64::MIN_POSITIVE)).min(1.0);
    let rates = plan.loads.iter().filter_map(|placed| match &placed.load {
        Load::Open(load) => Some(load.peak().per_second()),
        Load::Closed(_) => None,
    });
    let rate: f64 = rates.sum();
    if rate > 0.0 {
        let rate = Rate::parse(&format!("{:.3}/s", (rate * share).max(0.001)));
        return LoadOverride::Rate {
            rate: rate.unwrap_or(Rate::ZERO),
            duration: DURATION,
            within_users: None,
        };
    }
    let all = u32::try_from(plan.most_users()).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of users"
    )]
    let users = (f64::from(all) * share).ceil() as u32;
    LoadOverride::Users { users: users.clamp(1, MOST_USERS), duration: DURATION }
}

/// What a run has measured, if it can be believed.
fn measure(result: &RunResult, function: Option<Function>) -> Result<Calibration, Failure> {
    if matches!(result.verdict.outcome, Outcome::Aborted | Outcome::Interrupted) {
        let reasons = result.verdict.reasons.join("; ");
        return Err(Failure::wrong(anyhow!("the run is no calibration: it was cut short: {reasons}")));
    }
    let totals = &result.totals;
    let measured = Measured {
        requests: totals.requests,
        errors: totals.errors,
        iterations: totals.iterations,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
        cpu_s: result.generators.iter().map(|generator| generator.cpu_s).sum(),
        tainted_ratio: totals.tainted_ratio,
        response_ms: totals.response_time_ms.mean,
    };
    let architecture = function.map_or(std::env::consts::ARCH, |function| function.architecture.name());
    let memory_mb = function.map(|function| function.memory_mb);
    Calibration::of(&measured, rfc3339(SystemClock.now())?, memory_mb, architecture.to_owned())
        .map_err(|unfit| Failure::wrong(anyhow!("the run is no calibration: {unfit}")).with_hint(AGAIN))
}

fn page(name: &str, backend: Backend, calibration: &Calibration, place: &str) -> String {
    let Calibration { requests, iterations, response_ms, .. } = *calibration;
    let function = match calibration.memory_mb {
        Some(memory_mb) => Function { memory_mb, ..Function::DEFAULT },
        None => Function::DEFAULT,
    };
    let whose = match backend {
        Backend::Aws => "on AWS",
        Backend::Local => "on this machine",
    };
    let mut lines = vec![
        format!("`{name}` {whose}: {} requests of {} iterations", count(requests), count(iterations)),
        format!("  {} µs of a processor a request", significant(calibration.cpu_us_per_request)),
        format!("  {} requests an iteration", significant(calibration.requests_per_iteration)),
        format!(
            "  {} sent and {} received a request",
            bytes(calibration.bytes_sent_per_request),
            bytes(calibration.bytes_received_per_request)
        ),
        format!("  {} ms until the last byte of a response, on average", significant(response_ms)),
    ];
    let busy = UTILISATION * 100.0;
    if backend == Backend::Local {
        let own = capacity(Machine::Own, Some(calibration));
        lines.push(format!(
            "a processor of this machine carries {} requests/s if it is busy for {busy:.0} % of its time",
            significant(own)
        ));
    }
    let lambda = capacity(Machine::Lambda(function), Some(calibration));
    let memory_mb = count(u64::from(function.memory_mb));
    let half = if backend == Backend::Local { ", taken to be half as fast" } else { "" };
    lines.push(format!(
        "a generator of {memory_mb} MB on AWS carries {} requests/s{half}",
        significant(lambda)
    ));
    lines.push(format!("kept in {place}; `squall plan` and `squall run` of this plan go by it"));
    format!("{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs};

    use super::*;

    #[test]
    fn the_load_is_little_whatever_the_plan_asks_for() {
        let check = |load: &str, steps: &str, expected: LoadOverride| {
            let text =
                format!("target: http://x\nload: {load}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}");
            let plan = compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan;
            assert_eq!(little_load(&plan), expected, "{load} {steps}");
        };
        let rate = |text| LoadOverride::Rate {
            rate: Rate::parse(text).unwrap(),
            duration: DURATION,
            within_users: None,
        };
        let users = |users| LoadOverride::Users { users, duration: DURATION };
        let one = "{ get: / }";
        check("{ rate: 5000/s, duration: 1h }", one, rate("500/s"));
        check("{ rate: 5000/s, duration: 1h }", "{ get: / }, { get: / }", rate("250/s"));
        check("{ rate: 7/s, duration: 1h }", one, rate("7/s"));
        // Users without pauses may make a hundred requests a second each.
        check("{ users: 5000, duration: 1h }", one, users(5));
        check("{ users: 5000, duration: 1h }", "{ get: / }, { think: 990ms }", users(500));
        check("{ users: 5000, duration: 1h }", "{ get: / }, { think: 190ms }", users(100));
        check("{ users: 5000, duration: 1h }", "{ get: / }, { think: 1m }", users(500));
        check("{ users: 3, duration: 1h }", one, users(3));
    }
}
