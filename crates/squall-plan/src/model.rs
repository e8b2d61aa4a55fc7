//! What a valid plan is. Only [`compile`](crate::compile()) makes one, so whoever holds a [`Plan`] holds
//! one without mistakes.

mod allow;
mod auth;
mod events;
mod flow;
mod http;
mod load;
mod request;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use minijinja::Value;
use url::Url;

use crate::data::Feeder;
use crate::expression::Program;
use crate::secrets::Secret;
use crate::threshold::Threshold;

pub use allow::*;
pub use auth::*;
pub use events::*;
pub use flow::*;
pub use http::*;
pub use load::*;
pub use request::*;
pub use telemetry::*;

/// The names under which requests of `setup` and `teardown` are measured, in the place of a scenario.
pub const SETUP: &str = "setup";
/// See [`SETUP`].
pub const TEARDOWN: &str = "teardown";
/// The same for what generators ask to learn their address; and the variable that is to hold it.
pub const SOURCE_ADDRESS: &str = "source_address";

/// How long the end of a run may take for what is still to be undone.
pub const CLEANUP: Duration = Duration::from_secs(10);

/// A validated test: what to send, to whom, how much of it, for how long.
#[derive(Debug)]
pub struct Plan {
    /// The plan's `name`, or the stem of its file.
    pub name: String,
    /// The origin that requests with a relative URL go to.
    pub target: Url,
    /// How connections are made and requests are sent.
    pub http: HttpSettings,
    /// Hosts that requests and redirects may go to, besides the target's.
    pub allow: AllowList,
    /// Data that users take.
    pub data: Arc<[Feeder]>,
    /// How many users or arrivals, and when: side by side. Never empty.
    pub loads: Vec<PlacedLoad>,
    /// The kinds of users, in the order of the file. Never empty.
    pub scenarios: Vec<Scenario>,
    /// Who asks, where that is more than a header; [`Request::auth`] indexes it.
    pub auths: Vec<Auth>,
    /// What the command does once, before the load.
    pub setup: Vec<Step>,
    /// What it does after it.
    pub teardown: Vec<Step>,
    /// What each generator does before its load to learn which address its requests come from.
    pub source_address: Vec<Step>,
    /// What must hold of what is measured.
    pub thresholds: Vec<Threshold>,
    /// What is kept and said of single requests.
    pub events: Option<EventSettings>,
    /// Who is asked what the target's own instruments say.
    pub telemetry: Telemetry,
    /// Every (scenario, request name) that can be recorded; [`Request::series`] indexes it.
    pub series: Vec<SeriesName>,
    /// What else is measured: iterations and groups of each scenario, and metrics of the plan's own.
    pub measures: Vec<Measure>,
    /// Requests that undo what others made.
    pub cleanups: Vec<Request>,
    /// Whether an expression looks at `response`, the last one.
    pub keeps_response: bool,
    /// Constants that every expression sees: `variables`, overridden by `--var`.
    pub variables: Vec<(String, Value)>,
    /// Where the secrets are kept that expressions see as `secret`.
    pub secrets: Vec<Secret>,
    /// The compiled expressions to which [`Expr`]s refer.
    pub program: Program,
    /// The environment variables that the plan's expressions mention and that are set, as `env`.
    pub env: BTreeMap<String, String>,
    /// Those that they mention and that are not set, for which the plan has something else.
    pub unset_env: BTreeSet<String>,
}

/// The name under which requests are measured together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName {
    /// The scenario's name.
    pub scenario: String,
    /// The request's name, `METHOD /path` unless given.
    pub endpoint: String,
    /// The request's tags: requests that differ in one of them are measured apart.
    pub tags: Tags,
    /// What the request is for.
    pub purpose: Purpose,
}

/// What a request is for: what users do again and again is measured apart from what is done once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// What users do again and again.
    #[default]
    Journey,
    /// A user begins.
    Before,
    /// A user ends.
    After,
    /// The run begins.
    Setup,
    /// The run ends.
    Teardown,
    /// Something that was made is undone.
    Cleanup,
}

impl Purpose {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Journey, Self::Before, Self::After, Self::Setup, Self::Teardown, Self::Cleanup];

    /// Its name in thresholds and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Journey => "journey",
            Self::Before => "before",
            Self::After => "after",
            Self::Setup => SETUP,
            Self::Teardown => TEARDOWN,
            Self::Cleanup => "cleanup",
        }
    }
}

/// Words by which requests are told apart.
pub type Tags = BTreeMap<String, String>;

/// Something besides requests that is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Measure {
    /// The scenario; empty for metrics of the plan's own.
    pub scenario: String,
    /// What it is called; empty for iterations.
    pub name: String,
    /// What it is.
    pub kind: MeasureKind,
}

/// What is measured besides requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MeasureKind {
    /// How long iterations take, with all pauses.
    Iteration,
    /// How long they take without them.
    ActiveIteration,
    /// How long a group takes, with all pauses.
    Group,
    /// How long it takes without them.
    ActiveGroup,
    /// A metric of the plan's own.
    Metric,
}

impl Plan {
    /// From the epoch to the end of the last load.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.loads.iter().map(|placed| placed.start + placed.load.duration()).max().unwrap_or_default()
    }

    /// From the epoch to when nothing is sent any more.
    #[must_use]
    pub fn latest_request(&self) -> Duration {
        self.latest_end() + self.cleanup_time()
    }

    /// How long the end of a run may take for what is still to be undone.
    #[must_use]
    pub fn cleanup_time(&self) -> Duration {
        if self.cleanups.is_empty() { Duration::ZERO } else { CLEANUP }
    }

    /// From the epoch to when the last iteration is cut off.
    #[must_use]
    pub fn latest_end(&self) -> Duration {
        self.loads.iter().map(PlacedLoad::latest_end).max().unwrap_or_default()
    }
}
