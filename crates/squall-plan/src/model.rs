//! What a valid plan is. Only [`compile`](crate::compile()) makes one, so whoever holds a [`Plan`] holds
//! one without mistakes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use minijinja::Value;
use serde_json_path::JsonPath;
use url::{Position, Url};

use crate::expression::{Expr, JsonTemplate, Program, Template, UrlTemplate};
use crate::units::Rate;

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
    /// How many users or arrivals, and when: side by side. Never empty.
    pub loads: Vec<PlacedLoad>,
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
    /// How long its phases may take, where that is less.
    pub timeouts: Timeouts,
    /// Which protocol is spoken.
    pub version: HttpVersion,
    /// Whose connections are.
    pub connections: Connections,
    /// Connections of a shared pool at most, in the whole fleet.
    pub max_connections: Option<u32>,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: Option<u32>,
    /// Age at which a connection is closed.
    pub max_connection_age: Option<Duration>,
    /// Streams that are open on an HTTP/2 connection at the same time, at most.
    pub max_streams: u32,
    /// Redirects of one request that are followed at most.
    pub follow_redirects: u32,
    /// Where trusted certificate authorities come from.
    pub roots: Roots,
    /// The name that TLS is told and certificates must bear, in place of the URL's host.
    pub server_name: Option<String>,
    /// Addresses of names, in place of what the name servers say.
    pub resolve: BTreeMap<String, Vec<IpAddr>>,
    /// Who is asked for all other names.
    pub dns: DnsSettings,
    /// What requests go through: the URL of an HTTP proxy.
    pub proxy: Option<Url>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            timeouts: Timeouts::default(),
            version: HttpVersion::Auto,
            connections: Connections::PerUser,
            max_connections: None,
            max_requests_per_connection: None,
            max_connection_age: None,
            max_streams: 100,
            follow_redirects: 10,
            roots: Roots::BuiltIn,
            server_name: None,
            resolve: BTreeMap::new(),
            dns: DnsSettings::default(),
            proxy: None,
        }
    }
}

/// How long each phase of a request may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the name up.
    pub dns: Option<Duration>,
    /// Making the connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Writing the request.
    pub send: Option<Duration>,
    /// From the last byte of the request to the first of the response.
    pub first_byte: Option<Duration>,
    /// From there to the last byte.
    pub body: Option<Duration>,
}

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// With TLS what the server chooses, HTTP/1.1 without.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Whose connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Each user has its own, as long as it lives.
    PerUser,
    /// All users of a generator share a pool.
    Shared,
    /// Each iteration makes its own.
    PerIteration,
}

/// Who is asked for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers; the machine's own if there are none.
    pub servers: Vec<SocketAddr>,
    /// An answer is used for as long as it says, and no longer than this.
    pub max_ttl: Option<Duration>,
}

/// The hosts that requests may go to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    hosts: Vec<String>,
}

impl AllowList {
    /// Of these hosts; `*.example.com` stands for all names below that one.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Whether requests may go to a host: a name, or an address without brackets.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == *allowed,
        })
    }
}

/// Where trusted certificate authorities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's, compiled in: the same on every machine.
    BuiltIn,
    /// Those of the machine that the generator runs on.
    Platform,
}

/// A load and its place beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLoad {
    /// When it begins, after the epoch.
    pub start: Duration,
    /// The scenarios that its users run, as indices. Never empty.
    pub scenarios: Vec<usize>,
    /// How much, and by which model.
    pub load: Load,
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
    /// How many iterations there are, if that ends the load before its stages do.
    pub iterations: Option<Iterations>,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// A number of iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iterations {
    /// Of all users together.
    Shared(u64),
    /// Of each user.
    PerUser(u64),
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
    /// How arrivals are spread.
    pub arrivals: Arrivals,
    /// Users of the whole fleet at most.
    pub max_users: u32,
    /// What becomes of an arrival for which no user is free.
    pub when_full: WhenFull,
    /// Who takes an arrival.
    pub users: Users,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// At even distances.
    Even,
    /// At random, as those of many independent users.
    Poisson,
}

/// What becomes of an arrival for which no user is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is counted as dropped.
    Drop,
    /// It waits for a user.
    Queue,
}

/// Who takes an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// The user freed last.
    Reuse,
    /// A new one, with its `before`.
    Fresh,
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
    /// As long as is left of this since the iteration began: only between iterations.
    Pace(Duration),
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
    /// Path and query at the target, where the URL is relative and has no expressions.
    pub fixed_path: Option<Uri>,
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

impl Headers {
    /// Whether a header is among them.
    #[must_use]
    pub fn has(&self, name: &HeaderName) -> bool {
        self.fixed.contains_key(name) || self.dynamic.iter().any(|(known, _)| known == name)
    }
}

/// The `Host` header for a URL: the port only where it is not the scheme's own.
#[must_use]
pub fn host_header(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()
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

impl Plan {
    /// From the epoch to the end of the last load.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.loads.iter().map(|placed| placed.start + placed.load.duration()).max().unwrap_or_default()
    }

    /// From the epoch to when the last iteration is cut off.
    #[must_use]
    pub fn latest_end(&self) -> Duration {
        self.loads.iter().map(PlacedLoad::latest_end).max().unwrap_or_default()
    }
}

impl PlacedLoad {
    /// From the epoch to when its last iteration is cut off.
    #[must_use]
    pub fn latest_end(&self) -> Duration {
        self.start + self.load.duration() + self.load.graceful_stop()
    }
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
