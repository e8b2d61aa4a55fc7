//! What can be said to `squall doctor`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::{AwsArgs, Backend, Output, variable};

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// How many generators a run is to have.
    #[arg(long, value_name = "N", default_value = "16", conflicts_with = "calibrate")]
    pub(crate) generators: NonZeroU32,
    /// Run this plan for 10 seconds on one generator, with little load, and keep what its requests take: later `plan` and
    /// `run` say by it how many generators it needs.
    #[arg(long, value_name = "PLAN")]
    pub(crate) calibrate: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArgs,
    /// In which form the findings are printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

/// How a plan is calibrated.
#[derive(Debug, clap::Args)]
pub(crate) struct CalibrationArgs {
    /// Where the generator runs.
    #[arg(long, value_enum, requires = "calibrate", help_heading = "With --calibrate")]
    pub(crate) backend: Option<Backend>,
    /// Send requests there, whatever the plan says.
    #[arg(long, value_name = "URL", requires = "calibrate", help_heading = "With --calibrate")]
    pub(crate) target: Option<String>,
    /// Set a variable of the plan; can be given more than once.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable, requires = "calibrate",
          help_heading = "With --calibrate")]
    pub(crate) variables: Vec<(String, String)>,
}
