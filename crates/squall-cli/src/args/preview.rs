//! What can be said to `squall plan`.

use std::num::NonZeroU32;

use super::{AwsArgs, Backend, Output, PlanArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct PreviewArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Where generators are to run; on AWS it is said when they will be ready, and what the run will cost. Nobody is asked
    /// for that: what `squall deploy` makes is assumed, unless --stack or --region names a fleet that is there.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) backend: Backend,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    /// Over how many queues generators are spread.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) lanes: u32,
    /// Divide the load over so many generators; unless given, as many as a fleet on AWS would have.
    #[arg(long, value_name = "N")]
    pub(crate) generators: Option<NonZeroU32>,
    /// In which form it is printed.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}
