//! `squall probe capacity`

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;
use squall_plan::threshold::{Metric, Of, Statistic, Unit};
use squall_plan::{Bundle, Inputs, compile};
use squall_probe::{Capacity, CapacityAnswer, CapacityPoint, LatencyLimit, Threshold};
use squall_report::{Curve, CurveMark, CurveUnit};

use super::result::{Parts, axis, estimate, finding, per_s, series};
use super::subject::Subject;
use super::{Asking, asked, settings};
use crate::args::{CapacityArgs, PlanArgs};
use crate::failure::Failure;
use crate::{plan, surroundings, url};

pub(super) fn asking(args: &CapacityArgs) -> Result<Asking<Capacity>, Failure> {
    let send = &args.send;
    let threshold = serde_json::to_value(threshold(&args.until)?)?;
    let most = send.max_rate.map(|rate| json!(rate.per_second()));
    let probe: Capacity =
        settings(&send.talk.settings, [("threshold", Some(threshold)), ("most_per_s", most)])?;
    Asking::new("capacity", (probe, subject(args)?), send, view)
}

fn subject(args: &CapacityArgs) -> Result<Subject, Failure> {
    if url::is_url(&args.subject) {
        return asked(&args.subject, &args.send, (String::new(), Vec::new()));
    }
    let loaded = plan::load(&PlanArgs {
        plan: PathBuf::from(&args.subject),
        target: args.target.clone(),
        users: None,
        rate: None,
        duration: None,
        variables: args.variables.clone(),
        request: args.send.request.clone(),
    })?;
    Ok(Subject::Plan(Box::new(loaded.bundle)))
}

/// What is to be kept, as plans say it.
fn threshold(until: &[String]) -> Result<Threshold, Failure> {
    let text = json!({
        "target": "http://127.0.0.1",
        "load": { "rate": "1/s", "duration": "1s" },
        "scenarios": { "a": { "steps": [ { "get": "/" } ] } },
        "thresholds": until,
    });
    let compiled = compile(&Bundle::new("--until", text.to_string(), Inputs::default()))
        .map_err(|problems| Failure::wrong(anyhow!("{}", problems.render(surroundings::colour_errors()))))?;
    let mut found = Threshold { latency: None, ..Threshold::default() };
    for asked in &compiled.plan.thresholds {
        match (asked.metric, asked.unit) {
            (Metric::Time(Statistic::Percentile(share), Of::Good | Of::All), Unit::Ms) => {
                found.latency = Some(LatencyLimit { share, within_ms: asked.limit });
            }
            (Metric::Errors, Unit::Ratio) => found.error_rate = asked.limit,
            _ => {
                let what = anyhow!("`{}` is nothing that capacity is looked for by", asked.expression);
                return Err(Failure::wrong(what)
                    .with_hint("take a percentile such as 'p99 < 500ms', or 'errors < 1%', or both"));
            }
        }
    }
    Ok(found)
}

fn view(answer: &CapacityAnswer) -> Parts {
    let headline = match (&answer.capacity_per_s, answer.at_least_per_s) {
        (Some(capacity), _) => format!("It takes {}.", per_s(capacity.value)),
        (None, Some(least)) => format!("It takes {} at least.", per_s(least)),
        (None, None) => "How much it takes is not known.".to_owned(),
    };
    let mut findings = Vec::new();
    if let Some(capacity) = &answer.capacity_per_s {
        findings.push(finding("capacity", estimate(capacity, CurveUnit::PerSecond)));
    }
    if let Some(knee) = &answer.knee {
        let law = match (knee.contention, knee.coherency) {
            (Some(contention), Some(coherency)) => format!("; σ {contention:.3}, κ {coherency:.5}"),
            _ => String::new(),
        };
        findings.push(finding("knee", format!("{}{law}", estimate(&knee.rate_per_s, CurveUnit::PerSecond))));
    }
    if let Some(sweep) = answer.sweep_requests {
        let share = answer.spent.requests as f64 / sweep.max(1) as f64;
        findings.push(finding(
            "requests",
            format!("{} of the {sweep} of an even sweep ({:.0} %)", answer.spent.requests, share * 100.0),
        ));
    }
    findings.push(finding("what to do", answer.advice.clone()));
    let is_known = answer.capacity_per_s.is_some() || answer.at_least_per_s.is_some();
    Parts {
        is_known,
        headline,
        findings,
        warnings: answer.untold.clone(),
        curves: curves(answer),
        ..Parts::default()
    }
}

fn curves(answer: &CapacityAnswer) -> Vec<Curve> {
    if answer.curve.is_empty() {
        return Vec::new();
    }
    let points = |of: fn(&CapacityPoint) -> Option<f64>| {
        answer.curve.iter().filter_map(move |point| Some([point.rate_per_s, of(point)?]))
    };
    let mut marks = Vec::new();
    if let Some(capacity) = &answer.capacity_per_s {
        marks.push(CurveMark { x: capacity.value, text: "capacity".to_owned() });
    }
    if let Some(knee) = &answer.knee {
        marks.push(CurveMark { x: knee.rate_per_s.value, text: "knee".to_owned() });
    }
    let rate = || axis("requests a second that were asked for", CurveUnit::PerSecond, false);
    vec![
        Curve {
            title: "How long answers take at a rate".to_owned(),
            x: rate(),
            y: axis("time until the answer", CurveUnit::Ms, true),
            series: vec![
                series("p99", true, points(|point| point.p99_ms)),
                series("p90", true, points(|point| point.p90_ms)),
                series("p50", true, points(|point| point.p50_ms)),
            ],
            marks: marks.clone(),
        },
        Curve {
            title: "How much is answered at a rate".to_owned(),
            x: rate(),
            y: axis("good answers a second", CurveUnit::PerSecond, false),
            series: vec![series("good answers", true, points(|point| Some(point.good_per_s)))],
            marks,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_kept_is_said_as_in_plans() {
        let of = |until: &[&str]| {
            let until: Vec<String> = until.iter().map(|until| (*until).to_owned()).collect();
            threshold(&until)
                .map(|found| (found.latency.map(|limit| (limit.share, limit.within_ms)), found.error_rate))
                .ok()
        };
        assert_eq!(of(&["p95 < 200ms"]), Some((Some((0.95, 200.0)), 0.01)));
        assert_eq!(of(&["p99 < 1s", "errors < 5%"]), Some((Some((0.99, 1_000.0)), 0.05)));
        assert_eq!(of(&["errors < 2%"]), Some((None, 0.02)));
        for wrong in ["mean < 5ms", "p99", "requests > 5", "nonsense"] {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
    }
}
