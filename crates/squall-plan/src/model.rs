//! What a valid plan is. Only [`compile`](crate::compile()) makes one, so whoever holds a [`Plan`] holds
//! one without mistakes.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use minijinja::Value;
use serde_json_path::JsonPath;

use crate::expression::{Expr, JsonTemplate, Program, Template, UrlTemplate};
use crate::units::Rate;

/// A validated test: what to send, to whom, how much of it, for how long.
#[derive(Debug)]
pub struct Plan {
    /// The plan's `name`, or the stem of its file.
    pub name: String,
    /// The origin that requests with a relative URL go to.
    pub target: url::Url,
    /// How connections are made and requests are sent.
    pub http: HttpSettings,
    /// How many users or arrivals, and when.
    pub load: Load,
    /// The kinds of users, in the order of the file. Never empty.
    pub scenarios: Vec<Scenario>,
    /// Every (scenario, request name) that can be recorded; [`Request::series`] indexes it.
    pub series: Vec<SeriesName>,
    /// Constants that every expression sees: `variables`, overridden by `--var`.
    pub variables: Vec<(String, Value)>,
    /// The compiled expressions to which [`Expr`]s refer.
    pub program: Program,
    /// The environment variables that the plan's expressions mention and that are set, as `env`.
    pub env: BTreeMap<String, String>,
}

/// The name under which requests are measured together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName {
    /// The scenario's name.
    pub scenario: String,
    /// The request's name, `METHOD /path` unless given.
    pub endpoint: String,
}

/// How connections are made and requests are sent.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// From the start of a request to its last byte.
    pub timeout: Duration,
    /// Where trusted certificate authorities come from.
    pub roots: Roots,
}

/// Where trusted certificate authorities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's, compiled in: the same on every machine.
    BuiltIn,
    /// Those of the machine that the generator runs on.
    Platform,
}

/// How much load, and by which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Users decide when their next iteration starts.
    Closed(ClosedLoad),
    /// Arrivals come on schedule, whatever the target does.
    Open(OpenLoad),
}

/// A number of users over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedLoad {
    /// Users at the epoch.
    pub start_users: u32,
    /// Never empty.
    pub stages: Vec<UserStage>,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// The number of users changes linearly to `users` within `duration`; at once when that is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserStage {
    /// How long the stage lasts.
    pub duration: Duration,
    /// Users at its end.
    pub users: u32,
}

/// A rate of arrivals over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLoad {
    /// The rate at the epoch.
    pub start_rate: Rate,
    /// Never empty.
    pub stages: Vec<RateStage>,
    /// Users of the whole fleet at most.
    pub max_users: u32,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// The rate changes linearly to `rate` within `duration`; at once when that is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStage {
    /// How long the stage lasts.
    pub duration: Duration,
    /// Arrivals per second at its end.
    pub rate: Rate,
}

/// A kind of user.
#[derive(Debug)]
pub struct Scenario {
    /// Its key in the plan.
    pub name: String,
    /// Its share of users or arrivals, relative to the other scenarios' weights. Never zero.
    pub weight: u32,
    /// The pause between two iterations.
    pub think: Option<Think>,
    /// Run once, when a user starts.
    pub before: Vec<Step>,
    /// What every iteration does.
    pub flow: Flow,
}

/// What an iteration does.
#[derive(Debug)]
pub enum Flow {
    /// One of these, picked by weight. Never empty.
    Tasks(Vec<Task>),
    /// All of these, in order. Never empty.
    Steps(Vec<Step>),
}

/// A piece of a journey that is picked by weight.
#[derive(Debug)]
pub struct Task {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How often it is picked, relative to its siblings' weights. Never zero.
    pub weight: u32,
    /// When this is false the iteration is empty.
    pub condition: Option<Expr>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One thing a user does.
#[derive(Debug)]
pub enum Step {
    /// Sends a request.
    Request(Box<Request>),
    /// Pauses.
    Think(Think),
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// Always this long.
    Fixed(Duration),
    /// Uniformly between the two, `min < max`.
    Range {
        /// The shortest pause.
        min: Duration,
        /// The longest pause.
        max: Duration,
    },
}

/// A request, and what is made of its response.
#[derive(Debug)]
pub struct Request {
    /// Index into [`Plan::series`].
    pub series: usize,
    /// The method.
    pub method: Method,
    /// The URL: absolute, or relative to [`Plan::target`].
    pub url: UrlTemplate,
    /// Its headers, with those of scenario and plan that it does not replace.
    pub headers: Headers,
    /// What is sent.
    pub body: Body,
    /// What must hold for the response to count as a success.
    pub expect: Expect,
    /// What later steps may use.
    pub captures: Vec<Capture>,
    /// What follows a failure.
    pub on_failure: OnFailure,
}

/// The headers of a request, cut into those that are always the same and those with expressions.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// Always the same.
    pub fixed: HeaderMap,
    /// To be evaluated for each request; none is in `fixed`.
    pub dynamic: Vec<(HeaderName, Template)>,
}

impl Headers {
    /// Sets a header, in place of any other of its name. A literal that is no header value is left out.
    pub fn set(&mut self, name: &HeaderName, value: &Template) {
        self.fixed.remove(name);
        self.dynamic.retain(|(known, _)| known != name);
        match value.as_literal().map(HeaderValue::from_str) {
            Some(Ok(literal)) => {
                self.fixed.insert(name, literal);
            }
            Some(Err(_)) => {}
            None => self.dynamic.push((name.clone(), value.clone())),
        }
    }
}

/// What a request sends.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Text as it stands, after its expressions; no content type is implied.
    Text(Template),
    /// JSON.
    Json(JsonTemplate),
}

/// What must hold for a response to count as a success.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expect {
    /// The acceptable statuses. Empty: every status below 400.
    pub status: Vec<u16>,
}

/// A value taken out of a JSON response.
#[derive(Debug)]
pub struct Capture {
    /// The variable that receives it.
    pub variable: String,
    /// Where it is found: the first match counts, none is a failure.
    pub path: JsonPath,
}

/// What follows the failure of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The iteration ends.
    #[default]
    StopIteration,
    /// The next step follows.
    Continue,
    /// The user ends.
    StopUser,
    /// The whole run ends.
    Abort,
}

impl Load {
    /// How long load is offered: the sum of the stages.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Closed(load) => load.stages.iter().map(|stage| stage.duration).sum(),
            Self::Open(load) => load.stages.iter().map(|stage| stage.duration).sum(),
        }
    }

    /// How long iterations may go on after the last stage.
    #[must_use]
    pub fn graceful_stop(&self) -> Duration {
        match self {
            Self::Closed(load) => load.graceful_stop,
            Self::Open(load) => load.graceful_stop,
        }
    }
}
