//! Targets that misbehave: one table, which the suite checks row by row, and the soak all at once.

mod bodies;
mod heads;
mod http2;
mod proxies;
mod redirects;
mod stage;
mod tls;
mod verdict;

use crate::script::{Act, Script};

pub use stage::Stage;
pub use verdict::{Verdict, counted};

/// How much load a row sees: enough for a connection to be used again, by more than one user.
pub const LOAD: &str = "{ users: 2, duration: 500ms, graceful_stop: 3s }";

/// The answer to which nothing can be objected.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A target, what is asked of it, and what must come of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name: that of the scenario, too.
    pub id: &'static str,
    target: Target,
    other: Option<Other>,
    steps: String,
    settings: Vec<(&'static str, String)>,
    allow: Vec<&'static str>,
    outcomes: Vec<&'static str>,
    /// Whether each of the outcomes must be seen, and not only nothing else.
    each: bool,
    connections: Connections,
    received: Received,
    retries: Retries,
    /// How many redirects each request is to follow.
    redirects: Option<u64>,
    alone: bool,
    http2: bool,
}

#[derive(Debug, Clone)]
enum Target {
    Script(Script),
    /// Whose queue of connections is full.
    Full,
}

/// Another server, for redirects.
#[derive(Debug, Clone)]
struct Other {
    script: Script,
    /// How many heads of each request it is to receive.
    heads: u64,
}

/// What must hold for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connections {
    Any,
    /// Every request has a new one.
    New,
    /// They are used again, and the target sees as many as are reported.
    Kept,
    /// There are none.
    None,
}

/// How many heads of requests the target must have received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Any,
    /// So many of each request.
    Each(u64),
    /// One of each request, and one of each stale retry.
    Retried,
    /// One of each request that was answered with 200.
    Answered,
}

/// What must hold for requests that were sent again, because their connection had been closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retries {
    Any,
    Some,
    None,
}

impl Row {
    /// A target that follows a script; every request to it ends in one of these ways, given in one text.
    fn new(id: &'static str, script: Script, outcomes: &'static str) -> Self {
        Self {
            id,
            target: Target::Script(script),
            other: None,
            steps: "{ get: $URL/ }".to_owned(),
            settings: Vec::new(),
            allow: Vec::new(),
            outcomes: outcomes.split(' ').collect(),
            each: false,
            connections: Connections::Any,
            received: Received::Each(1),
            retries: Retries::Any,
            redirects: None,
            alone: false,
            http2: false,
        }
    }

    /// A target that accepts no connection.
    fn full(id: &'static str) -> Self {
        Self { target: Target::Full, ..Self::new(id, Script::default(), "timeout") }.unheard().unconnected()
    }

    fn steps(self, steps: impl Into<String>) -> Self {
        Self { steps: steps.into(), ..self }
    }

    /// A key of `http` in the plan.
    fn http(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    fn allow(mut self, host: &'static str) -> Self {
        self.allow.push(host);
        self
    }

    fn other(self, script: Script, heads: u64) -> Self {
        Self { other: Some(Other { script, heads }), ..self }
    }

    /// Each of the outcomes is seen.
    fn each(self) -> Self {
        Self { each: true, ..self }
    }

    fn new_connections(self) -> Self {
        Self { connections: Connections::New, ..self }
    }

    fn kept(self) -> Self {
        Self { connections: Connections::Kept, ..self }
    }

    fn unconnected(self) -> Self {
        Self { connections: Connections::None, ..self }
    }

    fn received(self, received: Received) -> Self {
        Self { received, ..self }
    }

    /// The target never receives a request.
    fn unheard(self) -> Self {
        self.received(Received::Each(0))
    }

    fn retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    fn redirects(self, each: u64) -> Self {
        Self { redirects: Some(each), ..self }
    }

    /// Its settings are for nobody else, so it has no place in a plan with others.
    fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// All rows.
#[must_use]
pub fn table() -> Vec<Row> {
    [bodies::rows(), heads::rows(), redirects::rows(), tls::rows(), http2::rows(), proxies::rows()].concat()
}

/// Reads a request and does the rest.
fn after_request(acts: impl IntoIterator<Item = Act>) -> Script {
    let rest: Vec<Act> = acts.into_iter().collect();
    Script::new([vec![Act::Head, Act::Body], rest].concat())
}

/// Answers every request with this.
fn reply(answer: &str) -> Script {
    after_request([Act::text(answer)])
}

/// Answers the first request with this, and closes the connection.
fn last_reply(answer: &str) -> Script {
    after_request([Act::text(answer), Act::Close])
}
