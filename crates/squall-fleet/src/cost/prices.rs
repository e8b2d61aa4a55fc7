//! What AWS asks: the one place with prices.
//!
//! List prices without free tiers, discounts and taxes. Other regions have others, mostly higher ones. What is stored (a few
//! megabytes for two weeks) and what is logged (half a kilobyte a seat, at $0.50/GB) comes to less than a thousandth of a
//! run, and is left out.

use crate::sizing::Architecture;

/// The region whose prices these are.
pub const REGION: &str = "us-east-1";

/// The month whose prices these are.
#[must_use]
pub const fn date() -> &'static str {
    "November 2026"
}

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billed {
    /// Memory of functions, for as long as they run.
    GeneratorTime(Architecture),
    /// Functions that were started.
    Invocations,
    /// What SQS is asked: messages sent, received and deleted, and looks at an empty queue.
    QueueRequests,
    /// Provisioned pollers of the event source mapping.
    Pollers,
    /// Objects written to S3, and listings.
    Writes,
    /// Objects read from S3.
    Reads,
    /// What requests to the target send, taken to leave AWS.
    RequestData,
    /// What the command reads from S3, taken to leave AWS.
    CommandData,
}

/// A price: so many dollars for so many units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Dollars.
    pub usd: f64,
    /// For so many.
    pub per: u32,
    /// Of these.
    pub unit: &'static str,
}

impl Billed {
    /// What it costs, on [`date`] in [`REGION`].
    #[must_use]
    pub const fn price(self) -> Price {
        let (usd, per, unit) = match self {
            Self::GeneratorTime(Architecture::X86) => (0.000_016_666_7, 1, "GB-s"),
            Self::GeneratorTime(Architecture::Arm) => (0.000_013_333_4, 1, "GB-s"),
            Self::Invocations => (0.20, 1_000_000, "starts"),
            Self::QueueRequests => (0.40, 1_000_000, "requests"),
            Self::Pollers => (0.009_25, 1, "unit-hours"),
            Self::Writes => (0.005, 1_000, "requests"),
            Self::Reads => (0.000_4, 1_000, "requests"),
            Self::RequestData | Self::CommandData => (0.09, 1, "GB"),
        };
        Price { usd, per, unit }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GeneratorTime(_) => "generators",
            Self::Invocations => "invocations",
            Self::QueueRequests => "queue",
            Self::Pollers => "pollers",
            Self::Writes => "bucket writes",
            Self::Reads => "bucket reads",
            Self::RequestData => "request data",
            Self::CommandData => "command data",
        }
    }
}
