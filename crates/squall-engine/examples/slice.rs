//! Runs a plan as one slice, without orchestrator, store and report: what is left is the engine. For profiles.
//!
//! ```sh
//! cargo run --release --package squall-engine --example slice -- plan.yaml
//! ```

#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use squall_engine::{Machine, RunFacts, SliceOrder, prepare, start};
use squall_plan::{Bundle, Inputs, SecretValues, Share, compile};
use tokio::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("which plan?")?;
    let bundle = Bundle::new(file.clone(), std::fs::read_to_string(&file)?, Inputs::default());
    let compiled = compile(&bundle).map_err(|problems| problems.render(false))?;
    let machine = Machine { cores: NonZeroU32::MIN, connections: 20_000 };
    let prepared = prepare(&compiled.plan, machine, SecretValues::default())?;
    let order = SliceOrder {
        plan: Arc::new(compiled.plan),
        share: Share::WHOLE,
        seed: 1,
        run: RunFacts::default(),
        epoch: Instant::now() + Duration::from_millis(100),
        interval: Duration::from_secs(1),
    };
    let running = start(&order, &prepared)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let intervals: Vec<_> =
        runtime.block_on(running.recordings.map(squall_metrics::Recording::into_interval).collect());
    let series = || intervals.iter().flat_map(|interval| interval.series.values());
    let requests: u64 = series().map(|series| series.requests).sum();
    let errors: u64 = series().map(|series| series.errors).sum();
    let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    let each_us = cpu.as_secs_f64() * 1e6 / (requests.max(1)) as f64;
    println!("{requests} requests, {errors} errors, {each_us:.2} µs of processor time each");
    Ok(())
}
