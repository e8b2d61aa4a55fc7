//! What deploys a fleet, opens it for a run, and says what ails it.

mod absent;
mod bucket;
mod cloudwatch;
mod facts;
mod lanes;
mod mapping;
mod metrics;
mod package;
mod reports;
mod session;
mod stack;
mod template;

pub use absent::{look_at_limits, look_for_absent};
pub use bucket::{empty, upload};
pub use cloudwatch::{CloudWatch, Logged, Told, ToldSeries};
pub use facts::{Account, Backlog, Identity, account, backlog, identity};
pub use lanes::{Left, Mappings};
pub use mapping::Mapping;
pub use package::{Package, PackageError, read_package};
pub use reports::LoggedInvocation;
pub use session::{Session, SessionError};
pub use stack::{Change, Fleet, Lane, Progress, Stack, StackError, Stacks};
pub use template::{LaneError, MOST_LANES, TEMPLATE, with_lanes};
