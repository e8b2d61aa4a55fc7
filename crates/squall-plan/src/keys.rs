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
pub const LATER: [&str; 22] = [
    "after",
    "allow",
    "arrivals",
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
    "when_full",
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
        key("http", Shape::Object(&HTTP), "How requests are sent.", "{ timeout: 5s }"),
        required(
            "load",
            Shape::Object(&LOAD),
            "How many users or arrivals, and when.",
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
        key("headers", Shape::Headers, "Headers of every request.", HEADERS_EXAMPLE),
        key(
            "roots",
            Shape::Word(&["built_in", "platform"]),
            "Which certificate authorities are trusted: Mozilla's, compiled in, unless given, or the machine's own.",
            "platform",
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
        key("users", Shape::Count(0, MAX_USERS), "Closed model, short: so many users from the start.", "50"),
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
            "graceful_stop",
            Shape::Duration,
            "How long iterations may go on at the end; 30s unless given.",
            "10s",
        ),
    ],
};

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
        key("think", Shape::Think, "The pause between iterations.", "1s..2s"),
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
