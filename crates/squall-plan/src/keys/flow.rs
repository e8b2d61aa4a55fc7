//! Keys of what users do.

use super::{
    AUTH, CLEANUP, COMPRESS, EXPECT, HEADERS_EXAMPLE, Kind, MULTIPART_PART, RETRY, Shape, key, required,
};
use crate::model::OnFailure;

/// An item of `scenarios`
pub static SCENARIO: Kind = Kind {
    name: "scenario",
    doc: "A kind of user: `before` once, then `tasks`, picked by weight, or `steps`, in order, again and again; `after` at its end.",
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
            "Headers of its tasks, steps and `after`, but not of `before`.",
            "{ Authorization: \"Bearer {{ token }}\" }",
        ),
        key(
            "auth",
            Shape::Object(&AUTH),
            "How its tasks, steps and `after` say who asks.",
            "{ bearer: \"{{ token }}\" }",
        ),
        key("tags", Shape::Tags, "Words for its requests, besides those of the plan.", "{ tier: gold }"),
        key("before", Shape::Steps, "Done once, when a user starts.", "[ { post: /login } ]"),
        key(
            "tasks",
            Shape::List(&TASK),
            "Each iteration does one of these, picked by weight.",
            "[ { weight: 3, steps: [ { get: / } ] } ]",
        ),
        key("steps", Shape::Steps, "Each iteration does all of these, in order.", "[ { get: / } ]"),
        key("after", Shape::Steps, "Done once, when a user ends.", "[ { post: /logout } ]"),
        key(
            "on_status",
            Shape::NamedSteps,
            "Done when a response of its tasks or steps has this status.",
            "{ 401: [ { post: /login } ] }",
        ),
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
        required("steps", Shape::Steps, "What it does, in order.", "[ { get: / } ]"),
    ],
};

/// A step: exactly one of these says what it does, the others how.
pub static STEP: Kind = Kind {
    name: "step",
    doc: "One thing a user does: a request, a pause, or what decides about other steps.",
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
        key(
            "think",
            Shape::Think,
            "Pauses; `\"normal(2s, 500ms)\"` and `exponential(2s)` are distributions.",
            "500ms",
        ),
        key(
            "if",
            Shape::Expression,
            "Does what is under `then` when this holds, else what is under `else`.",
            "job.status == 'completed'",
        ),
        key(
            "repeat",
            Shape::Object(&REPEAT),
            "Does its `steps` again and again.",
            "{ times: 5, until: \"job.status == 'completed'\", think: 1s..2s }",
        ),
        key(
            "for_each",
            Shape::Object(&FOR_EACH),
            "Does its `steps` for each item of a list.",
            "{ in: \"{{ items }}\", as: item }",
        ),
        key(
            "choose",
            Shape::List(&CHOICE),
            "Does one of these, picked by weight.",
            "[ { weight: 3, steps: [ { get: /a } ] }, { weight: 1 } ]",
        ),
        key(
            "parallel",
            Shape::StepLists,
            "Does these lists of steps side by side, and waits for all.",
            "[ [ { get: /a } ], [ { get: /b } ] ]",
        ),
        key("group", Shape::Text, "Measures how long its `steps` take together.", "checkout"),
        key("call", Shape::Text, "Does the steps of a fragment.", "login"),
        key("set", Shape::NamedJson, "Gives variables values.", "{ page: \"{{ random_int(1, 9) }}\" }"),
        key(
            "record",
            Shape::Templates,
            "Takes numbers into metrics of the plan's own.",
            "{ queue_ms: \"{{ job.queued_ms }}\" }",
        ),
        key("log", Shape::Template, "Writes a line into the report.", "\"job {{ job_id }} takes long\""),
        key(
            "stop",
            Shape::Word(&STOP),
            "Ends the iteration, the user or the whole run, which is no failure.",
            "iteration",
        ),
        key("fail", Shape::Template, "Ends the iteration as failed, and says why.", "no price"),
        key("steps", Shape::Steps, "The steps of `repeat`, `for_each` and `group`.", "[ { get: / } ]"),
        key("then", Shape::Steps, "Done when `if` holds.", "[ { get: / } ]"),
        key("else", Shape::Steps, "Done when `if` does not hold.", "[ { get: / } ]"),
        key(
            "name",
            Shape::Text,
            "Under which name the request is measured; `METHOD /path` unless given.",
            "GET /products/:id",
        ),
        key(
            "tags",
            Shape::Tags,
            "Words for it, besides those of its scenario: requests that differ in one are measured apart.",
            "{ page: first }",
        ),
        key(
            "query",
            Shape::Templates,
            "The URL's query: names and values, which are percent-encoded.",
            "{ q: wireless headphones, page: \"{{ page }}\" }",
        ),
        key("headers", Shape::Headers, "Headers of this request.", HEADERS_EXAMPLE),
        key("auth", Shape::Object(&AUTH), "How it says who asks.", "{ bearer: \"{{ token }}\" }"),
        key("json", Shape::Json, "A JSON body.", "{ sku: SKU-1, quantity: 2 }"),
        key("form", Shape::Templates, "A form as a body.", "{ user: ada, remember: true }"),
        key(
            "multipart",
            Shape::NamedOrText(&MULTIPART_PART),
            "A form in parts, with files, as a body.",
            "{ file: { content: \"a,b\", filename: a.csv, type: text/csv } }",
        ),
        key("body", Shape::Template, "A body of text.", "plain text"),
        key("body_file", Shape::Text, "A file that is the body.", "order.json"),
        key("raw", Shape::Text, "A body of text in which nothing is an expression.", "\"{{ as it is }}\""),
        key(
            "compress",
            Shape::Word(&COMPRESS),
            "How the body is packed; as `http` says unless given.",
            "gzip",
        ),
        key("timeout", Shape::Duration, "From its start to the last byte of its response.", "30s"),
        key("follow_redirects", Shape::Count(0, 50), "Redirects that are followed at most.", "0"),
        key(
            "retry",
            Shape::Object(&RETRY),
            "Sends it again when it fails; it stays one request, which took so long.",
            "{ times: 3, on: [503], wait: 100ms }",
        ),
        key(
            "expect",
            Shape::Object(&EXPECT),
            "What makes the response a success; a status below 400 unless given.",
            "{ status: 201 }",
        ),
        key(
            "capture",
            Shape::Captures,
            "Variables for later steps, taken out of the response: by JSONPath, or as said.",
            "{ cart_id: $.cart_id, next: { header: Location } }",
        ),
        key(
            "cleanup",
            Shape::Object(&CLEANUP),
            "The request that undoes what this one made: sent when the user ends, or else at the end of the run.",
            "{ delete: \"/cart/{{ cart_id }}\" }",
        ),
        key(
            "on_failure",
            Shape::Word(&OnFailure::WORDS),
            "What follows when it fails; the iteration ends unless given.",
            "continue",
        ),
    ],
};

/// What a step does: one of these, or a verb.
pub const ACTIONS: [&str; 13] = [
    "think", "if", "repeat", "for_each", "choose", "parallel", "group", "call", "set", "record", "log",
    "stop", "fail",
];

/// `stop`
pub const STOP: [&str; 3] = ["iteration", "user", "run"];

/// `repeat`
pub static REPEAT: Kind = Kind {
    name: "repeat",
    doc: "How often steps are done.",
    keys: &[
        key("times", Shape::Template, "So many rounds at most.", "5"),
        key("while", Shape::Expression, "Ends it before a round in which this does not hold.", "page < 9"),
        key(
            "until",
            Shape::Expression,
            "Ends it after a round after which this holds.",
            "job.status == 'done'",
        ),
        key("think", Shape::Think, "The pause between two rounds.", "1s..2s"),
    ],
};

/// `for_each`
pub static FOR_EACH: Kind = Kind {
    name: "for_each",
    doc: "A list, and what its items are called.",
    keys: &[
        required("in", Shape::Items, "The list.", "\"{{ items }}\""),
        required("as", Shape::Text, "The variable that is the item.", "item"),
    ],
};

/// An item of `choose`
pub static CHOICE: Kind = Kind {
    name: "choice",
    doc: "A way that may be taken.",
    keys: &[
        key(
            "weight",
            Shape::Count(1, 1_000_000),
            "How often it is taken, relative to the others; 1 unless given.",
            "3",
        ),
        key("steps", Shape::Steps, "What is done; nothing unless given.", "[ { get: / } ]"),
    ],
};
