//! Every key of the plan language, once: lowering refuses what is not here, the schema is made of it, and
//! messages take their hints from it.

mod auth;
mod data;
mod events;
mod flow;
mod http;
mod load;
mod request;
mod telemetry;
mod threshold;

pub use auth::*;
pub use data::*;
pub use events::*;
pub use flow::*;
pub use http::*;
pub use load::*;
pub use request::*;
pub use telemetry::*;
pub use threshold::*;

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
    /// A list of some of these words.
    Words(&'static [&'static str]),
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
    /// A mapping from variables to where they are found.
    Captures,
    /// A mapping from names to texts with expressions.
    Templates,
    /// A mapping from names to texts, or mappings with these keys.
    NamedOrText(&'static Kind),
    /// A list of texts, or mappings with these keys.
    TextsOr(&'static Kind),
    /// A mapping from names to texts.
    Tags,
    /// A mapping from texts to any JSON.
    Checks,
    /// A list of steps.
    Steps,
    /// A list of lists of steps.
    StepLists,
    /// A mapping from names to lists of steps.
    NamedSteps,
    /// Any JSON that is a list, or an expression that gives one.
    Items,
    /// A duration or a number of bytes, or a range of them.
    Sizes,
    /// `true` or `false`.
    Switch,
}

pub(super) const fn key(name: &'static str, shape: Shape, doc: &'static str, example: &'static str) -> Key {
    Key { name, shape, required: false, doc, example }
}

pub(super) const fn required(
    name: &'static str,
    shape: Shape,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, shape, required: true, doc, example }
}

/// More users than this are surely a mistake.
pub const MAX_USERS: u32 = 10_000_000;

/// The request verbs, in the order of their use.
pub const VERBS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

pub(super) const HEADERS_EXAMPLE: &str = "{ Accept: application/json }";

/// The whole plan.
pub static PLAN: Kind = Kind {
    name: "plan",
    doc: "A load test: what to send, to whom, how much of it, for how long.",
    keys: &[
        key("name", Shape::Text, "What the test is called; the file's name unless given.", "shop"),
        key(
            "include",
            Shape::Texts,
            "Files that say a part of the plan; where both say something, the plan counts. Paths begin in its folder.",
            "[common.yaml]",
        ),
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
            "secrets",
            Shape::Named(&SECRET),
            "Texts that nobody may read, by name: `{{ secret.password }}`. Generators fetch them; they are written nowhere.",
            "{ password: { ssm: /squall/password } }",
        ),
        key(
            "allow",
            Shape::Texts,
            "Hosts that requests and redirects may go to, besides the target's; `*.example.com` is all below.",
            "[uploads.example.com]",
        ),
        key(
            "data",
            Shape::Named(&DATA),
            "Tables of values, by name: `{{ accounts.email }}` is a column of the row that one has.",
            "{ accounts: { csv: accounts.csv, pick: unique, per: user } }",
        ),
        key(
            "tags",
            Shape::Tags,
            "Words for every request: those that differ in one of them are measured apart.",
            "{ release: v2 }",
        ),
        key("http", Shape::Object(&HTTP), "How requests are sent.", "{ timeout: 5s }"),
        key(
            "fragments",
            Shape::NamedSteps,
            "Steps by name, which others `call`.",
            "{ login: [ { post: /login } ] }",
        ),
        key(
            "setup",
            Shape::Steps,
            "Done once in a run, by the command, before the load. What it captures and sets every user knows.",
            "[ { post: /tenants, capture: { tenant: $.id } } ]",
        ),
        key(
            "teardown",
            Shape::Steps,
            "Done once in a run, by the command, after the load.",
            "[ { delete: \"/tenants/{{ tenant }}\" } ]",
        ),
        key(
            "source_address",
            Shape::Steps,
            "Done once by each generator before its load, to learn which address its requests come from: asks somebody, and \
             captures `source_address`.",
            "[ { get: https://ip.example.com, capture: { source_address: $.ip } } ]",
        ),
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
        key(
            "thresholds",
            Shape::TextsOr(&THRESHOLD),
            "What must hold of what is measured, else the run fails.",
            "[ p95 < 500ms, errors < 1% ]",
        ),
        key(
            "events",
            Shape::Object(&EVENTS),
            "A sample of requests that is kept whole, and ids by which others know them.",
            "{ one_in: 100, traceparent: true }",
        ),
        key(
            "telemetry",
            Shape::List(&TELEMETRY),
            "Who is asked what the target's own instruments say, while there is load and after it.",
            "[ { prometheus: \"http://127.0.0.1:9090\", presets: [hpa, pods] } ]",
        ),
    ],
};
