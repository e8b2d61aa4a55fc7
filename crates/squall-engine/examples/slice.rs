//! Runs a slice of a plan, without orchestrator, store and report: what is left is the engine. For profiles, and for the
//! memory of data.
//!
//! ```sh
//! cargo run --release --package squall-engine --example slice -- plan.yaml        # all of it
//! cargo run --release --package squall-engine --example slice -- plan.yaml 0 8    # the first of eight slices
//! ```

#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use squall_engine::{Guard, Machine, RunFacts, SliceOrder, prepare, start};
use squall_plan::{Bundle, Inputs, SecretValues, Share, compile};
use tokio::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which plan?")?;
    let (index, count) = match (arguments.next(), arguments.next()) {
        (Some(index), Some(count)) => (index.parse()?, count.parse()?),
        _ => (0, 1),
    };
    let share = Share::try_new(index, count).ok_or("there is no such slice")?;
    // As generators get it.
    let bytes = read(Path::new(&file))?.to_bytes();
    let bundle = Bundle::from_bytes(&bytes)?;
    drop(bytes);
    let compiled = compile(&bundle).map_err(|problems| problems.render(false))?;
    drop(bundle);
    let mut plan = compiled.plan;
    plan.keep_rows_of(share);
    let machine = Machine { cores: NonZeroU32::MIN, connections: 20_000 };
    let prepared = prepare(&plan, machine, Guard::default(), SecretValues::default())?;
    let order = SliceOrder {
        plan: Arc::new(plan),
        share,
        seed: 1,
        run: RunFacts::default(),
        epoch: Instant::now() + Duration::from_millis(100),
        from: Duration::ZERO,
        rounds: 0,
        interval: Duration::from_secs(1),
    };
    let running = start(&order, &prepared)?;
    drop(order);
    println!("memory when ready: {} now, {} at most", memory("VmRSS"), memory("VmHWM"));
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

fn read(file: &Path) -> std::io::Result<Bundle> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let bundle = Bundle::new(file.display().to_string(), std::fs::read_to_string(file)?, Inputs::default());
    Ok(bundle.with_files(|name| std::fs::read(folder.join(name)).map_err(|error| error.to_string())))
}

/// A figure of the kernel's about this process; nothing where it has none.
fn memory(of: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(':'));
    line.unwrap_or("?").trim().to_owned()
}
