//! `squall probe throttle`

use serde_json::json;
use squall_probe::{LimitKind, Load, RetryAfter, Scope, Throttle, ThrottleAnswer, ThrottlePoint};
use squall_report::{Curve, CurveMark, CurveUnit, count, duration_s, significant};

use super::result::{Parts, axis, estimate, finding, per_s, series};
use super::{Asking, asked, settings};
use crate::args::ThrottleArgs;
use crate::failure::Failure;

pub(super) fn asking(args: &ThrottleArgs) -> Result<Asking<Throttle>, Failure> {
    let (send, senders) = (&args.send, args.send.generators.get());
    let keys = args.keys.len().max(1);
    let most = send.max_rate.map(|rate| json!(rate.per_second()));
    let options = [("most_per_s", most), ("senders", Some(json!(senders))), ("keys", Some(json!(keys)))];
    let subject = asked(&args.url, send, (args.key_header.clone(), args.keys.clone()))?;
    let probe = settings(&send.talk.settings, options)?;
    let asking = Asking::new("throttle", (probe, subject), send, view)?;
    // Which rounds several send is what tells whether a limit is one of each address.
    Ok(Asking { least: 1, ..asking })
}

fn view(answer: &ThrottleAnswer) -> Parts {
    let mut findings = Vec::new();
    if let Some(refill) = &answer.refill_per_s {
        findings.push(finding("rate", estimate(refill, CurveUnit::PerSecond)));
    }
    if let Some(burst) = &answer.burst {
        findings.push(finding("burst", estimate(burst, CurveUnit::Number)));
    }
    if let (Some(many), Some(window_s)) = (&answer.in_window, &answer.window_s) {
        findings.push(finding("in a window", estimate(many, CurveUnit::Number)));
        findings.push(finding("a window takes", estimate(window_s, CurveUnit::S)));
    }
    if let Some(concurrency) = &answer.concurrency {
        findings.push(finding("at a time", estimate(concurrency, CurveUnit::Number)));
    }
    if let Some(scope) = answer.scope {
        findings.push(finding("shared by", who(scope)));
    }
    findings.extend(retry_after(&answer.retry_after).map(|value| finding("Retry-After", value)));
    if let Some(recovery) = &answer.recovery_s {
        findings.push(finding("one again after", estimate(recovery, CurveUnit::S)));
    }
    if let Some(recovery) = answer.full_recovery_s.filter(|_| answer.kind == Some(LimitKind::Rate)) {
        findings.push(finding("a full burst after", estimate(&recovery, CurveUnit::S)));
    }
    if answer.kind.is_none() {
        findings.extend(answer.kept_per_s.map(|kept| finding("let through", per_s(kept))));
        findings.extend(answer.kept_burst.map(|kept| finding("let through at once", count(u64::from(kept)))));
    }
    findings.push(finding("what to do", answer.advice.clone()));
    let is_known = answer.kind.is_some() || (!is_limited(answer) && answer.kept_per_s.is_some());
    let warnings = answer.untold.clone();
    Parts {
        is_known,
        headline: headline(answer),
        findings,
        warnings,
        curves: curves(answer),
        ..Parts::default()
    }
}

/// Whether any request was turned away.
fn is_limited(answer: &ThrottleAnswer) -> bool {
    answer.curve.iter().any(|point| point.limited > 0)
}

fn headline(answer: &ThrottleAnswer) -> String {
    match (answer.kind, &answer.refill_per_s, &answer.concurrency) {
        (Some(LimitKind::Rate), Some(refill), _) => {
            let burst = answer.burst.map_or(String::new(), |burst| {
                format!(" and bursts of {}", significant(burst.value.round()))
            });
            format!("It lets {}{burst} through.", per_s(refill.value))
        }
        (Some(LimitKind::Window), ..) => {
            let many = answer.in_window.map_or(0.0, |many| many.value.round());
            let window_s = answer.window_s.map_or(0.0, |window_s| window_s.value);
            format!("It lets {} requests through in a window of {}.", significant(many), duration_s(window_s))
        }
        (Some(LimitKind::Concurrency), _, Some(most)) => {
            format!("It takes {} requests at a time.", significant(most.value.round()))
        }
        _ if is_limited(answer) && answer.curve.iter().all(|point| point.good == 0) => {
            "Every request is turned away, from the first one on: no limit was found.".to_owned()
        }
        _ if is_limited(answer) => "It turns requests away, and when is not known.".to_owned(),
        (None, ..) if answer.kept_per_s.is_some() => "No limit was found.".to_owned(),
        _ => "Whether there is a limit is not known.".to_owned(),
    }
}

fn who(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "all",
        Scope::Address => "who comes from the same address",
        Scope::Key => "who has the same key",
        Scope::AddressAndKey => "who comes from the same address with the same key",
        Scope::GlobalOrKey => "all, or who has the same key: only one was tried",
        Scope::GlobalOrAddress => "all, or who comes from the same address: only one was tried",
    }
}

fn retry_after(retry_after: &RetryAfter) -> Option<String> {
    let named = retry_after.named_s.map_or(String::new(), |named| format!(", {} at most", duration_s(named)));
    Some(match (retry_after.is_named?, retry_after.is_honest) {
        (_, None) if retry_after.is_date == Some(true) => {
            "is named as a date; whether it is true was not tried".to_owned()
        }
        (false, _) => "is not named".to_owned(),
        (true, Some(true)) => format!("is named{named}, and true"),
        (true, Some(false)) => format!("is named{named}, and not true"),
        (true, None) => format!("is named{named}; whether it is true was not tried"),
    })
}

fn curves(answer: &ThrottleAnswer) -> Vec<Curve> {
    let point = |point: &ThrottlePoint| -> Option<([f64; 2], bool)> {
        let all = point.good.saturating_add(point.limited) as f64;
        let let_through = point.good as f64 / all.max(1.0);
        match point.load {
            // Several may be let through more.
            _ if point.senders.max(point.keys) > 1 => None,
            Load::Burst { requests } => Some(([f64::from(requests), point.good as f64], true)),
            Load::Rate { per_s, .. } => Some(([per_s, let_through], false)),
            Load::Users { .. } => None,
        }
    };
    let of = |bursts: bool| {
        let points = answer.curve.iter().filter_map(point);
        points.filter(move |(_, is_burst)| *is_burst == bursts).map(|(point, _)| point)
    };
    let mark = |value: Option<f64>, text: &str| {
        value.map(|x| CurveMark { x, text: text.to_owned() }).into_iter().collect::<Vec<_>>()
    };
    let bursts = Curve {
        title: "How many of a burst are let through".to_owned(),
        x: axis("requests at once", CurveUnit::Number, true),
        y: axis("let through", CurveUnit::Number, false),
        series: vec![series("bursts", false, of(true))],
        marks: mark(answer.burst.or(answer.in_window).or(answer.concurrency).map(|most| most.value), "limit"),
    };
    let rates = Curve {
        title: "How many are let through at a rate".to_owned(),
        x: axis("requests a second", CurveUnit::PerSecond, true),
        y: axis("share that was let through", CurveUnit::Ratio, false),
        series: vec![series("rates", false, of(false))],
        marks: mark(answer.refill_per_s.map(|rate| rate.value), "limit"),
    };
    [bursts, rates].into_iter().filter(|curve| !curve.series[0].points.is_empty()).collect()
}
