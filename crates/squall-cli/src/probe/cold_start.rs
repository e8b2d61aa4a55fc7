//! `squall probe cold-start`

use serde_json::json;
use squall_probe::{ColdPoint, ColdStart, ColdStartAnswer, Queueing, Spread, When};
use squall_report::{Curve, CurveMark, CurveUnit, duration_ms, duration_s, percent, significant};

use super::log::{self, FunctionLog};
use super::result::{Parts, axis, estimate, finding, series};
use super::{Asking, Join, asked, settings};
use crate::args::{Backend, ColdStartArgs};
use crate::failure::Failure;

pub(super) fn asking(args: &ColdStartArgs) -> Result<Asking<ColdStart>, Failure> {
    let mut send = args.send.clone();
    let log = FunctionLog::open(args)?;
    if log.is_some() && send.backend == Backend::Local {
        // It is where the function is.
        send.aws.region.clear();
    }
    let subject = asked(&args.url, &send, (String::new(), Vec::new()))?;
    let most = send.max_rate.map(|rate| json!(rate.per_second()));
    let probe = settings(&send.talk.settings, [("most_per_s", most)])?;
    let asking = Asking::new("cold-start", (probe, subject), &send, view)?;
    Ok(Asking { join: log.map(joining), ..asking })
}

fn joining(log: FunctionLog) -> Join<ColdStart> {
    Box::new(move |probe, history, wish, answer| {
        let (joined, problems) = log.read(probe, history, wish);
        answer.log = joined;
        answer.untold.extend(problems);
    })
}

fn view(answer: &ColdStartAnswer) -> Parts {
    let mut findings = Vec::new();
    match (&answer.keep_alive_s, answer.warm_after_s) {
        (Some(kept), _) => findings.push(finding("kept for", estimate(kept, CurveUnit::S))),
        (None, Some(least)) => findings.push(finding("kept for", format!("{} at least", duration_s(least)))),
        (None, None) => {}
    }
    for (name, value) in [("warm", &answer.warm_ms), ("cold", &answer.cold_ms), ("adds", &answer.added_ms)] {
        findings.extend(value.map(|value| finding(name, estimate(&value, CurveUnit::Ms))));
    }
    findings.extend(answer.queueing.map(|queueing| finding("who finds none free", policy(queueing))));
    if let Some(most) = &answer.per_instance {
        findings.push(finding("at an instance", estimate(most, CurveUnit::Number)));
    }
    if let Some(at_once) = &answer.started_at_once {
        findings.push(finding("started at once", estimate(at_once, CurveUnit::Number)));
    }
    if let Some(rate) = &answer.started_per_s {
        findings.push(finding("started after that", estimate(rate, CurveUnit::PerSecond)));
    }
    findings.extend(answer.bursts.iter().filter_map(|point| Some(finding(&burst(point), took(point)?))));
    findings.extend(answer.log.iter().flat_map(log::findings));
    findings.push(finding("what to do", answer.advice.clone()));
    let is_known = answer.warm_ms.is_some() || answer.cold_ms.is_some() || answer.keep_alive_s.is_some();
    let warnings = answer.untold.clone();
    let starts = answer.log.as_ref().map(log::starts).unwrap_or_default();
    Parts { is_known, headline: headline(answer), findings, warnings, curves: curves(answer), starts }
}

fn headline(answer: &ColdStartAnswer) -> String {
    let kept = answer
        .keep_alive_s
        .map(|kept| format!("an instance is kept for {}", duration_s((kept.value * 10.0).round() / 10.0)));
    let added = answer.added_ms.map(|added| format!("a cold start adds {}", duration_ms(added.value)));
    match (added, kept) {
        (Some(added), Some(kept)) => format!("{}, and {kept}.", upper(&added)),
        (Some(one), None) | (None, Some(one)) => format!("{}.", upper(&one)),
        (None, None) if answer.warm_ms.is_none() => "Whether there are cold starts is not known.".to_owned(),
        (None, None) => "No cold start was seen.".to_owned(),
    }
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn policy(queueing: Queueing) -> &'static str {
    match queueing {
        Queueing::None => "gets an instance of its own",
        Queueing::Bounded => "waits at an instance, if few do",
        Queueing::Unlimited => "waits, however many do; instances are added slowly",
    }
}

/// `burst of 100, after a pause`
fn burst(point: &ColdPoint) -> String {
    let when = match point.when {
        When::First => "first",
        When::Short => "soon after",
        When::Gap => "after gaps",
        When::Long => "none there",
        When::Count => "after that",
    };
    match point.size {
        1 => format!("single, {when}"),
        size => format!("burst of {size}, {when}"),
    }
}

fn took(point: &ColdPoint) -> Option<String> {
    let Spread { p50_ms, p99_ms, tail_to_median, .. } = point.took?;
    let cold = point.cold_share.map_or(String::new(), |share| {
        format!(", {} cold", percent(if share.value < 1e-9 { 0.0 } else { share.value }))
    });
    Some(format!(
        "p50 {}, p99 {}, tail to median {}{cold}",
        duration_ms(p50_ms),
        duration_ms(p99_ms),
        significant(tail_to_median)
    ))
}

fn curves(answer: &ColdStartAnswer) -> Vec<Curve> {
    let mark = answer.keep_alive_s.map(|kept| CurveMark { x: kept.value, text: "kept for".to_owned() });
    let gaps = Curve {
        title: "How many instances are gone after a pause".to_owned(),
        x: axis("pause", CurveUnit::S, false),
        y: axis("share that was gone", CurveUnit::Ratio, false),
        series: vec![series("pauses", false, answer.gaps.iter().map(|gap| [gap.gap_s, gap.cold_share]))],
        marks: mark.into_iter().collect(),
    };
    let of = |when: When, name: &str, share: fn(&Spread) -> f64| {
        let points = answer.bursts.iter().filter(move |point| point.when == when);
        series(name, true, points.filter_map(move |point| Some([f64::from(point.size), share(&point.took?)])))
    };
    let bursts = Curve {
        title: "How long answers to a burst take".to_owned(),
        x: axis("requests at once", CurveUnit::Number, true),
        y: axis("time until the answer", CurveUnit::Ms, true),
        series: vec![
            of(When::Short, "soon after, p50", |took| took.p50_ms),
            of(When::Short, "soon after, p99", |took| took.p99_ms),
            of(When::Long, "none there, p50", |took| took.p50_ms),
            of(When::Long, "none there, p99", |took| took.p99_ms),
        ],
        marks: Vec::new(),
    };
    let has_points = |curve: &Curve| curve.series.iter().any(|series| !series.points.is_empty());
    let log = answer.log.as_ref().map(log::curve);
    [gaps, bursts].into_iter().chain(log).filter(has_points).collect()
}
