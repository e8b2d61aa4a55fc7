//! Every key of the plan language, once: lowering refuses what is not here, the schema is made of it, and
//! messages take their hints from it.

/// A mapping with a fixed set of keys.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in the schema.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Its keys, in the order in which people write them.
    pub keys: &'static [Key],
}

/// A key and what belongs under it.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What belongs under it.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it says, in a sentence.
    pub doc: &'static str,
    /// A value as YAML.
    pub example: &'static str,
}

/// What belongs under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text; expressions are not evaluated.
    Text,
    /// A text with expressions.
    Template,
    /// An expression without braces.
    Expression,
    /// `30s`, `1h30m`.
    Duration,
    /// A duration or a range of them.
    Think,
    /// `200/s`.
    Rate,
    /// A whole number, from the first to the last, or one of these words.
    CountOrWord(u32, u32, &'static [&'static str]),
    /// A whole number, from the first to the last.
    Count(u32, u32),
    /// Any JSON, with expressions in its texts.
    Json,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One HTTP status or a list of them.
    Statuses,
    /// A mapping with these keys.
    Object(&'static Kind),
    /// A mapping with these keys, or a list of such.
    OneOrMany(&'static Kind),
    /// A list of texts.
    Texts,
    /// A mapping from names to an address or a list of them.
    Addresses,
    /// A list of these.
    List(&'static Kind),
    /// A mapping from names to these.
    Named(&'static Kind),
    /// A mapping from names to any JSON.
    NamedJson,
    /// A mapping from header names to texts with expressions.
    Headers,
    /// A mapping from variables to `JSONPath`.
    Captures,
}

const fn key(name: &'static str, shape: Shape, doc: &'static str, example: &'static str) -> Key {
    Key { name, shape, required: false, doc, example }
}

const fn required(name: &'static str, shape: Shape, doc: &'static str, example: &'static str) -> Key {
    Key { name, shape, required: true, doc, example }
}

/// More users than this are surely a mistake.
pub const MAX_USERS: u32 = 10_000_000;

/// The request verbs, in the order of their use.
pub const VERBS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// Keys of the language that this version does not know yet.
pub const LATER: [&str; 19] = [
    "after",
    "choose",
    "cleanup",
    "data",
    "for_each",
    "form",
    "fragments",
    "group",
    "include",
    "log",
    "multipart",
    "on_status",
    "parallel",
    "raw",
    "repeat",
    "secrets",
    "set",
    "telemetry",
    "thresholds",
];

const HEADERS_EXAMPLE: &str = "{ Accept: application/json }";

/// The whole plan.
pub static PLAN: Kind = Kind {
    name: "plan",
    doc: "A load test: what to send, to whom, how much of it, for how long.",
    keys: &[
        key("name", Shape::Text, "What the test is called; the file's name unless given.", "shop"),
        required(
            "target",
            Shape::Template,
            "Where requests with a relative URL go.",
            "http://127.0.0.1:8080",
        ),
        key(
            "variables",
            Shape::NamedJson,
            "Constants that every expression sees; `--var` overrides them.",
            "{ currency: USD }",
        ),
        key(
            "allow",
            Shape::Texts,
            "Hosts that requests and redirects may go to, besides the target's; `*.example.com` is all below.",
            "[uploads.example.com]",
        ),
        key("http", Shape::Object(&HTTP), "How requests are sent.", "{ timeout: 5s }"),
        required(
            "load",
            Shape::OneOrMany(&LOAD),
            "How many users or arrivals, and when; several loads go on side by side.",
            "{ users: 50, duration: 1m }",
        ),
        required(
            "scenarios",
            Shape::Named(&SCENARIO),
            "The kinds of users, by name.",
            "{ visitor: { steps: [ { get: / } ] } }",
        ),
    ],
};

/// `http`
pub static HTTP: Kind = Kind {
    name: "http",
    doc: "How requests are sent.",
    keys: &[
        key(
            "timeout",
            Shape::Duration,
            "From the start of a request to its last byte; 10s unless given.",
            "10s",
        ),
        key(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "How long single phases of a request may take.",
            "{ connect: 1s, first_byte: 3s }",
        ),
        key(
            "version",
            Shape::Word(&HTTP_VERSIONS),
            "Which HTTP: with TLS what the server chooses, else 1.1, unless given; `http2` without TLS is prior knowledge.",
            "http2",
        ),
        key(
            "connections",
            Shape::Word(&CONNECTIONS),
            "Whose connections are: each user's own unless given.",
            "shared",
        ),
        key(
            "max_connections",
            Shape::Count(1, MAX_USERS),
            "Connections of a shared pool to one origin at most, in the whole fleet.",
            "200",
        ),
        key(
            "max_requests_per_connection",
            Shape::Count(1, u32::MAX),
            "Requests after which a connection is closed.",
            "100",
        ),
        key("max_connection_age", Shape::Duration, "Age at which a connection is closed.", "1m"),
        key(
            "max_streams",
            Shape::Count(1, 1_000_000),
            "Streams open on one HTTP/2 connection at most; 100 unless given.",
            "50",
        ),
        key(
            "follow_redirects",
            Shape::Count(0, 50),
            "Redirects of one request that are followed at most; 10 unless given.",
            "0",
        ),
        key("headers", Shape::Headers, "Headers of every request.", HEADERS_EXAMPLE),
        key(
            "roots",
            Shape::Word(&["built_in", "platform"]),
            "Which certificate authorities are trusted: Mozilla's, compiled in, unless given, or the machine's own.",
            "platform",
        ),
        key(
            "server_name",
            Shape::Text,
            "The name that TLS is told and certificates must bear, instead of the URL's host.",
            "api.example.com",
        ),
        key(
            "resolve",
            Shape::Addresses,
            "Addresses of names, instead of what name servers say.",
            "{ api.example.com: 127.0.0.1 }",
        ),
        key("dns", Shape::Object(&DNS), "How names are looked up.", "{ max_ttl: 10s }"),
        key("proxy", Shape::Template, "The HTTP proxy that requests go through.", "http://127.0.0.1:3128"),
    ],
};

/// `http.version`
pub const HTTP_VERSIONS: [&str; 3] = ["auto", "http1", "http2"];

/// `http.connections`
pub const CONNECTIONS: [&str; 3] = ["per_user", "shared", "per_iteration"];

/// `http.timeouts`
pub static TIMEOUTS: Kind = Kind {
    name: "timeouts",
    doc: "How long single phases of a request may take.",
    keys: &[
        key("dns", Shape::Duration, "Looking the name up.", "2s"),
        key("connect", Shape::Duration, "Making the connection.", "1s"),
        key("tls", Shape::Duration, "The TLS handshake.", "2s"),
        key("send", Shape::Duration, "Writing the request.", "2s"),
        key("first_byte", Shape::Duration, "From the request's last byte to the response's first.", "3s"),
        key("body", Shape::Duration, "From the response's first byte to its last.", "5s"),
    ],
};

/// `http.dns`
pub static DNS: Kind = Kind {
    name: "dns",
    doc: "How names are looked up.",
    keys: &[
        key("servers", Shape::Texts, "Name servers, instead of the machine's own.", "[\"127.0.0.1:53\"]"),
        key(
            "max_ttl",
            Shape::Duration,
            "How long an answer is used at most; as long as it says unless given.",
            "10s",
        ),
    ],
};

/// `load`
pub static LOAD: Kind = Kind {
    name: "load",
    doc: "How many users or arrivals, and when.",
    keys: &[
        key(
            "model",
            Shape::Word(&["closed", "open"]),
            "Whether users decide when their next iteration starts, or arrivals come on schedule. `users` and `rate` tell, too.",
            "open",
        ),
        key(
            "users",
            Shape::CountOrWord(0, MAX_USERS, &USERS),
            "Closed model, short: so many users from the start. Open model: whether an arrival takes the user freed last, unless given, or a new one.",
            "50",
        ),
        key("rate", Shape::Rate, "Open model, short: so many arrivals from the start.", "100/s"),
        key("duration", Shape::Duration, "How long, in the short form.", "1m"),
        key(
            "start_users",
            Shape::Count(0, MAX_USERS),
            "Closed model: users at the start; 0 unless given.",
            "10",
        ),
        key("start_rate", Shape::Rate, "Open model: the rate at the start; 0 unless given.", "10/s"),
        key(
            "stages",
            Shape::List(&STAGE),
            "The profile, piece by piece.",
            "[ { duration: 30s, users: 50 } ]",
        ),
        key(
            "max_users",
            Shape::Count(1, MAX_USERS),
            "Open model: users at most; enough for 10 s of arrivals at the peak unless given.",
            "2000",
        ),
        key(
            "arrivals",
            Shape::Word(&ARRIVALS),
            "Open model: how arrivals are spread; at even distances unless given.",
            "poisson",
        ),
        key(
            "when_full",
            Shape::Word(&WHEN_FULL),
            "Open model: what becomes of an arrival for which no user is free; it is dropped unless given.",
            "queue",
        ),
        key(
            "iterations",
            Shape::Count(1, u32::MAX),
            "Closed model: so many iterations of all users together end the load.",
            "1000",
        ),
        key(
            "iterations_per_user",
            Shape::Count(1, u32::MAX),
            "Closed model: so many iterations of each user end the load.",
            "10",
        ),
        key("start", Shape::Duration, "When it begins, after the other loads; at once unless given.", "30s"),
        key("scenarios", Shape::Texts, "The scenarios that its users run; all unless given.", "[buyer]"),
        key(
            "graceful_stop",
            Shape::Duration,
            "How long iterations may go on at the end; 30s unless given.",
            "10s",
        ),
    ],
};

/// `load.users`, of the open model
pub const USERS: [&str; 2] = ["reuse", "fresh"];

/// `load.arrivals`
pub const ARRIVALS: [&str; 2] = ["even", "poisson"];

/// `load.when_full`
pub const WHEN_FULL: [&str; 2] = ["drop", "queue"];

/// An item of `load.stages`
pub static STAGE: Kind = Kind {
    name: "stage",
    doc: "A piece of the profile: the users or the rate change linearly to what it says; at once if it takes no time.",
    keys: &[
        required("duration", Shape::Duration, "How long it lasts.", "30s"),
        key("users", Shape::Count(0, MAX_USERS), "Closed model: users at its end.", "50"),
        key("rate", Shape::Rate, "Open model: arrivals at its end.", "200/s"),
    ],
};

/// An item of `scenarios`
pub static SCENARIO: Kind = Kind {
    name: "scenario",
    doc: "A kind of user: `before` once, then `tasks`, picked by weight, or `steps`, in order, again and again.",
    keys: &[
        key("weight", Shape::Count(1, 1_000_000), "Its share of the users or arrivals; 1 unless given.", "3"),
        key(
            "think",
            Shape::Think,
            "The pause between iterations; `pace(5s)` begins one every 5 s.",
            "1s..2s",
        ),
        key(
            "headers",
            Shape::Headers,
            "Headers of its tasks and steps, but not of `before`.",
            "{ Authorization: \"Bearer {{ token }}\" }",
        ),
        key("before", Shape::List(&STEP), "Done once, when a user starts.", "[ { post: /login } ]"),
        key(
            "tasks",
            Shape::List(&TASK),
            "Each iteration does one of these, picked by weight.",
            "[ { weight: 3, steps: [ { get: / } ] } ]",
        ),
        key("steps", Shape::List(&STEP), "Each iteration does all of these, in order.", "[ { get: / } ]"),
    ],
};

/// An item of `tasks`
pub static TASK: Kind = Kind {
    name: "task",
    doc: "A piece of a journey that is picked by weight.",
    keys: &[
        key("name", Shape::Text, "What it is called.", "browse"),
        key(
            "weight",
            Shape::Count(1, 1_000_000),
            "How often it is picked, relative to the others; 1 unless given.",
            "4",
        ),
        key("if", Shape::Expression, "When this is false, the iteration is empty.", "cart_id is defined"),
        required("steps", Shape::List(&STEP), "What it does, in order.", "[ { get: / } ]"),
    ],
};

/// An item of `steps` or `before`
pub static STEP: Kind = Kind {
    name: "step",
    doc: "One thing a user does: a request, or a pause.",
    keys: &[
        key(
            "get",
            Shape::Template,
            "Sends a GET request to this URL.",
            "/products?page={{ random_int(1, 9) }}",
        ),
        key("post", Shape::Template, "Sends a POST request to this URL.", "/orders"),
        key("put", Shape::Template, "Sends a PUT request to this URL.", "/cart/{{ cart_id }}"),
        key("patch", Shape::Template, "Sends a PATCH request to this URL.", "/cart/{{ cart_id }}"),
        key("delete", Shape::Template, "Sends a DELETE request to this URL.", "/cart/{{ cart_id }}"),
        key("head", Shape::Template, "Sends a HEAD request to this URL.", "/"),
        key("options", Shape::Template, "Sends an OPTIONS request to this URL.", "/"),
        key("think", Shape::Think, "Pauses.", "500ms"),
        key(
            "name",
            Shape::Text,
            "Under which name the request is measured; `METHOD /path` unless given.",
            "GET /products/:id",
        ),
        key("headers", Shape::Headers, "Headers of this request.", HEADERS_EXAMPLE),
        key("json", Shape::Json, "A JSON body.", "{ sku: SKU-1, quantity: 2 }"),
        key("body", Shape::Template, "A body of text.", "plain text"),
        key(
            "expect",
            Shape::Object(&EXPECT),
            "What makes the response a success; a status below 400 unless given.",
            "{ status: 201 }",
        ),
        key(
            "capture",
            Shape::Captures,
            "Variables for later steps, taken out of the JSON response by JSONPath.",
            "{ cart_id: $.cart_id }",
        ),
        key(
            "on_failure",
            Shape::Word(&["stop_iteration", "continue", "stop_user", "abort"]),
            "What follows when it fails; the iteration ends unless given.",
            "continue",
        ),
    ],
};

/// `expect`
pub static EXPECT: Kind = Kind {
    name: "expect",
    doc: "What makes a response a success.",
    keys: &[key("status", Shape::Statuses, "The status, or a list of those that are fine.", "[200, 429]")],
};
