//! What a plan will do, for programs.

use serde_json::{Value, json};
use squall_plan::schedule::Planned;
use squall_plan::{PlacedLoad, SETUP, Share, TEARDOWN};

use super::fleet::OnAws;
use super::{Preview, Slices, model};

pub(super) fn document(preview: &Preview) -> Value {
    let plan = &preview.plan;
    let all = preview.requests();
    json!({
        "name": plan.name,
        "target": plan.target.as_str(),
        "duration_s": plan.duration().as_secs_f64(),
        "latest_end_s": plan.latest_end().as_secs_f64(),
        "generators": preview.generators,
        "generators_needed": {
            "number": preview.sized.size.seats,
            "reason": preview.sized.reason(),
            "calibration": preview.sized.calibration(),
        },
        "aws": preview.on_aws.as_ref().map(OnAws::document),
        "connections_per_generator": {
            "certain": preview.connections.certain,
            "possible": preview.connections.possible,
        },
        "requests": {
            "least": all.least.round(),
            "most": all.most.map(f64::round),
            "assumed_response_ms": preview.assumes_response_time().then(|| preview.response().as_secs_f64() * 1e3),
        },
        "loads": plan.loads.iter().map(|placed| load(preview, placed)).collect::<Vec<_>>(),
        "scenarios": plan.scenarios.iter().map(|scenario| {
            let each = scenario.per_iteration();
            let names = plan.series.iter().filter(|series| series.scenario == scenario.name);
            json!({
                "name": scenario.name,
                "weight": scenario.weight,
                "requests_per_iteration": {
                    "least": each.least.requests,
                    "most": each.most.map(|most| most.requests),
                },
                "request_names": names.map(|series| &series.endpoint).collect::<Vec<_>>(),
            })
        }).collect::<Vec<_>>(),
        "thresholds": plan.thresholds.iter().map(squall_plan::Threshold::in_words).collect::<Vec<_>>(),
        "events": plan.events.as_ref().map(squall_plan::EventSettings::in_words),
        "hosts": preview.hosts(),
        "proxy": plan.http.proxy.as_ref().and_then(|proxy| proxy.host_str()),
        "name_servers": plan.http.dns.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "setup": preview.errand(SETUP).collect::<Vec<_>>(),
        "teardown": preview.errand(TEARDOWN).collect::<Vec<_>>(),
        "secrets": plan.secrets.iter()
            .map(|secret| json!({ "name": secret.name, "source": secret.source.to_string() }))
            .collect::<Vec<_>>(),
        "environment": preview.environment()
            .map(|(name, is_set)| json!({ "name": name, "set": is_set }))
            .collect::<Vec<_>>(),
    })
}

fn load(preview: &Preview, placed: &PlacedLoad) -> Value {
    let requests = preview.requests_of(placed);
    let shares = preview.shares(placed).into_iter();
    json!({
        "model": model(&placed.load),
        "start_s": placed.start.as_secs_f64(),
        "duration_s": placed.load.duration().as_secs_f64(),
        "graceful_stop_s": placed.load.graceful_stop().as_secs_f64(),
        "users": placed.users(),
        "planned": planned(placed.load.planned(Share::WHOLE)),
        "profile": placed.load.profile().into_iter()
            .map(|(at, level)| json!([at.as_secs_f64(), level]))
            .collect::<Vec<_>>(),
        "requests": { "least": requests.least.round(), "most": requests.most.map(f64::round) },
        "scenarios": shares.map(|(name, share)| json!({ "name": name, "share": share })).collect::<Vec<_>>(),
        "slices": preview.slices(placed).iter().map(slices).collect::<Vec<_>>(),
    })
}

/// Slices that are alike, from the first to the last.
fn slices(slices: &Slices) -> Value {
    let each = match slices.planned {
        Planned::Arrivals(arrivals) => json!({ "arrivals": arrivals }),
        Planned::Iterations(iterations) => json!({ "iterations": iterations }),
        Planned::UserMicros(_) => json!({}),
    };
    let mut value = json!({ "first": slices.first, "last": slices.last, "users": slices.users });
    if let (Value::Object(value), Value::Object(each)) = (&mut value, each) {
        value.extend(each);
    }
    value
}

fn planned(planned: Planned) -> Value {
    match planned {
        Planned::Arrivals(arrivals) => json!({ "unit": "arrivals", "value": arrivals }),
        Planned::Iterations(iterations) => json!({ "unit": "iterations", "value": iterations }),
        Planned::UserMicros(us) => json!({ "unit": "user_seconds", "value": us as f64 / 1e6 }),
    }
}
