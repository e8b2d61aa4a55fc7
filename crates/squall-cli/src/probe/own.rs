//! `squall probe self`: a target in this process, of which it is known how long it takes.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use serde_json::json;
use squall_plan::{Bundle, Inputs};
use squall_probe::{Own, OwnAnswer, OwnPoint};
use squall_report::{Curve, CurveMark, CurveUnit, count, significant};
use squall_target::{Server, ServerOptions};

use super::drive::Limits;
use super::fleet::Place;
use super::result::{Parts, axis, estimate, finding, per_s, series};
use super::subject::Subject;
use super::{Asking, settings};
use crate::args::{AwsArgs, Backend, OwnArgs};
use crate::calibrate::calibrate;
use crate::calibration::keep;
use crate::failure::Failure;
use crate::plan;

/// What its plan is called, under which it is calibrated, too.
pub(super) const NAME: &str = "self";

/// How long the target takes: nothing, for a timer of its own would be as coarse as what is to be measured.
const TRUTH_MS: f64 = 0.0;

/// The target, and what is asked of it.
pub(super) fn asking(args: &OwnArgs) -> Result<(Server, Asking<Own>), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = ServerOptions { delays: false, ..ServerOptions::default() };
    let target = Server::start(address, options).context("cannot start a target")?;
    let text = json!({
        "name": NAME,
        "target": format!("http://{}", target.address()),
        "load": { "rate": "500/s", "duration": "1s" },
        "scenarios": { "probe": { "steps": [ { "get": "/healthz" } ] } },
    });
    let bundle = Bundle::new(NAME, text.to_string(), Inputs::default());
    let probe = settings(&args.talk.settings, [("truth_us", Some(json!(TRUTH_MS * 1_000.0)))])?;
    let asking = Asking {
        kind: NAME,
        probe,
        subject: Subject::Plan(Box::new(bundle)),
        // The target is in this process.
        place: Place::Local { sources: Vec::new(), ends: 2 },
        senders: 1,
        least: 1,
        // Where they set the pace is what is looked for.
        limits: Limits { per_s: None, requests: None, cost_usd: None, tries: 0 },
        join: None,
        view,
    };
    Ok((target, asking))
}

/// Keeps what a request takes, as `squall doctor --calibrate` does.
pub(super) fn calibrated(subject: &Subject) -> Result<(), Failure> {
    let Subject::Plan(bundle) = subject else { return Ok(()) };
    let loaded = plan::from_bundle((**bundle).clone())?;
    let fleet = AwsArgs { stack: None, region: Vec::new() };
    let calibration = calibrate(loaded, Backend::Local, &fleet)?;
    let cpu_us = significant(calibration.cpu_us_per_request);
    let place = keep(NAME, Backend::Local, calibration)?;
    eprintln!("a plain request takes {cpu_us} µs of a processor at little load; kept in {place}");
    Ok(())
}

fn view(answer: &OwnAnswer) -> Parts {
    let headline = match (&answer.per_core_per_s, answer.at_least_per_s) {
        (Some(rate), _) => format!("One processor makes {}.", per_s(rate.value)),
        (None, Some(least)) => format!("One processor makes {} at least.", per_s(least)),
        (None, None) => "What one processor makes is not known.".to_owned(),
    };
    let mut findings = Vec::new();
    if let Some(error) = &answer.error_us {
        let us = |us: f64| format!("{us:.0} µs");
        findings.push(finding(
            "too long by",
            format!(
                "{} at most ({} to {}), for what the target and the network take is in it",
                us(error.value),
                us(error.low),
                us(error.high)
            ),
        ));
    }
    let calm = answer
        .curve
        .iter()
        .filter(|point| !point.is_too_much)
        .max_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
    if let Some((rate, late)) = calm.and_then(|point| Some((point.rate_per_s, point.p99_lag_us?))) {
        findings
            .push(finding("late by", format!("{late:.0} µs at most in 99 of 100 cases, at {}", per_s(rate))));
    }
    if let Some(rate) = &answer.per_core_per_s {
        findings.push(finding("a processor", estimate(rate, CurveUnit::PerSecond)));
    }
    if let Some(cpu_us) = &answer.cpu_us {
        findings.push(finding("a request", format!("{} µs of a processor", significant(cpu_us.value))));
    }
    findings.push(finding("requests", count(answer.spent.requests)));
    findings.push(finding("what to do", answer.advice.clone()));
    let is_known = answer.per_core_per_s.is_some() || answer.at_least_per_s.is_some();
    Parts {
        is_known,
        headline,
        findings,
        warnings: answer.untold.clone(),
        curves: curves(answer),
        ..Parts::default()
    }
}

fn curves(answer: &OwnAnswer) -> Vec<Curve> {
    let points = |of: fn(&OwnPoint) -> Option<f64>| {
        let points = answer.curve.iter();
        points.filter_map(move |point| Some([point.rate_per_s, (of(point)? / 1_000.0).max(0.001)]))
    };
    let mark = answer.capacity_per_s.map(|most| CurveMark { x: most.value, text: "capacity".to_owned() });
    let curve = Curve {
        title: "How late requests begin, and how much too long they seem to take".to_owned(),
        x: axis("requests a second that were asked for", CurveUnit::PerSecond, true),
        y: axis("time", CurveUnit::Ms, true),
        series: vec![
            series("late, p99", true, points(|point| point.p99_lag_us)),
            series("late, p50", true, points(|point| point.p50_lag_us)),
            series("too long, p99", true, points(|point| point.p99_error_us)),
            series("too long, p50", true, points(|point| point.p50_error_us)),
        ],
        marks: mark.into_iter().collect(),
    };
    if answer.curve.is_empty() { Vec::new() } else { vec![curve] }
}
