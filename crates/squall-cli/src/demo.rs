//! `squall demo`: everything once, on this machine, against a service whose trouble is known.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use serde_json::{Value, json};
use squall_plan::{Bundle, Inputs};
use squall_report::{ExitCode, RunResult};
use squall_target::Host;
use squall_target::service::{Profile, Truth};

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::fleet::Wishes;
use crate::live::Watch;
use crate::run::Order;
use crate::{local, plan, run};

const PLAN: &str = include_str!("../../../docs/examples/demo.yaml");
const GENERATORS: u32 = 4;
const SEED: u64 = 1;

/// Two pods behind an autoscaler that is late, but not so late that a demo would take long.
fn settings() -> Value {
    json!({
        "workers": 4, "work_ms": 80.0, "queue": 200, "interval_s": 5.0, "lag_s": 3.0, "window_s": 4.0,
        "startup_s": 3.0, "readiness_s": 2.0,
    })
}

pub(crate) fn command(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let profile = Profile::named("pods").context("cannot make the simulated shop")?;
    let host = Host::start(address, profile, SEED, &settings()).context("cannot start the simulated shop")?;
    eprintln!("a simulated shop on two pods listens on http://{}", host.address());
    let inputs = Inputs { target: Some(format!("http://{}", host.address())), ..Inputs::default() };
    let loaded = plan::from_bundle(Bundle::new("demo.yaml", PLAN, inputs))?;
    let finished = local::run(Order {
        loaded,
        generators: Some(GENERATORS),
        sources: Vec::new(),
        wishes: Wishes::default(),
        seed: None,
        out: args.out.clone(),
        watch: Watch { ui: args.ui, ..Watch::default() },
    })?;
    run::print(&finished);
    let (truth, counts) = (host.truth(), host.counts());
    println!("\n the shop itself counted {} requests, and says what was wrong with it:", counts.total);
    println!("   {}", trouble(&truth));
    println!(" Squall found, without being told:\n   {}", found(&finished.result));
    finished.unkept.map_or_else(|| run::exit_code(&finished.result), Err)
}

/// What was wrong with the service, as it knows itself.
fn trouble(truth: &Truth) -> String {
    let Some(finding) = truth.findings.first() else { return "nothing".to_owned() };
    let kind = serde_json::to_value(finding.kind).unwrap_or_default();
    let first = truth.numbers.get("first_scale_event_s").and_then(Value::as_f64);
    let first = first.map_or(String::new(), |at_s| format!(", first new pods at {at_s:.1} s"));
    format!("{} from {:.1} s on{first}", words(&kind), finding.from_s)
}

/// What Squall says of it.
fn found(result: &RunResult) -> String {
    let Some(finding) = result.findings.first() else { return "nothing".to_owned() };
    let from_s = finding["from_s"].as_f64().unwrap_or(0.0);
    let first = finding["evidence"]["first_scale_event_at_s"].as_f64();
    let first = first.map_or(String::new(), |at_s| format!(", capacity grew at {at_s:.1} s"));
    let confidence = finding["confidence"].as_str().unwrap_or("no");
    format!("{} from {from_s:.1} s on{first} ({confidence} confidence)", words(&finding["kind"]))
}

/// A kind's name as words.
fn words(kind: &Value) -> String {
    kind.as_str().unwrap_or("something").replace('_', " ")
}
