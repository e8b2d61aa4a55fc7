//! What can be said of runs: to begin one, to look at it, to take it over, to end it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::{AwsArgs, Backend, LocalIpArgs, Output, PlanArgs, Progress, dollars, duration, percent, seed};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Where generators run.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) backend: Backend,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// Divide the load over so many generators; unless given, one for each processor, and on AWS as many as
    /// the plan's users or arrivals need.
    #[arg(long, value_name = "N")]
    pub(crate) generators: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) sources: LocalIpArgs,
    /// Give up if they are not all ready by then; unless given, what a fleet of their number takes at most.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) ready_within: Option<Duration>,
    /// When that time is over, begin with those that are ready if they are so many of all, and divide the load over them.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) start_with: Option<f64>,
    /// Let a generator run a slice for so long, and then another one; unless given, as long as it can live.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) window: Option<Duration>,
    /// Where load is made in several regions, end it in all of them when one fails; unless given, the others go on.
    #[arg(long)]
    pub(crate) all_regions: bool,
    /// Leave as soon as load is certain to begin; `squall attach` makes the report. On AWS, and within one window.
    #[arg(long, conflicts_with = "once")]
    pub(crate) detach: bool,
    /// Refuse a run on AWS that is estimated to cost more dollars than these; `squall plan --backend aws` says how much.
    #[arg(long, value_name = "USD", value_parser = dollars, conflicts_with = "once")]
    pub(crate) max_cost: Option<f64>,
    /// No load: one user goes through every scenario once, and every exchange is printed in full.
    #[arg(long, conflicts_with_all = ["backend", "stack", "region", "generators", "local_ips", "ready_within", "start_with",
                                    "window", "out"])]
    pub(crate) once: bool,
    /// Repeat the journeys of the run that had this seed.
    #[arg(long, value_name = "HEX", value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// Keep the results there instead of under .squall/runs.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// In which form data goes to standard output: the report at the end, or a JSON object each second and the
    /// result in the last one.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// How the run is shown while it goes on, on standard error.
    #[arg(long, value_enum, default_value = "auto", conflicts_with = "once")]
    pub(crate) progress: Progress,
    /// Show it in a browser, too: serve a page on this loopback port, or on any.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0",
          conflicts_with = "once")]
    pub(crate) ui: Option<u16>,
    /// Make each line that is added to this file while the run goes on an annotation: what a deployment says, for one.
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    pub(crate) annotations: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// The run's id, or its folder.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The run's id, or its folder; on AWS the one that is under way unless given.
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// In which form it is printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AttachArgs {
    /// The run's id, or its folder.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// Keep the results there instead of under .squall/runs.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// In which form data goes to standard output: the report at the end, or a JSON object each second and the
    /// result in the last one.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// How the run is shown while it goes on, on standard error.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) progress: Progress,
    /// Show it in a browser, too: serve a page on this loopback port, or on any.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) ui: Option<u16>,
    /// Make each line that is added to this file while the run goes on an annotation: what a deployment says, for one.
    #[arg(long, value_name = "FILE")]
    pub(crate) annotations: Option<PathBuf>,
}
