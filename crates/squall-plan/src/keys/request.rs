//! Keys of what is sent, and of what is made of the response.

use super::{AUTH, HEADERS_EXAMPLE, Kind, Shape, key};

/// An item of `multipart`
pub static MULTIPART_PART: Kind = Kind {
    name: "part",
    doc: "A part of a form.",
    keys: &[
        key("content", Shape::Template, "What is in it.", "\"a,b\""),
        key("file", Shape::Text, "A file that is in it.", "invoice.pdf"),
        key("filename", Shape::Template, "The name of the file that it is.", "a.csv"),
        key("type", Shape::Template, "Its content type.", "text/csv"),
    ],
};

/// `retry`
pub static RETRY: Kind = Kind {
    name: "retry",
    doc: "Whether and when a request that failed is sent again.",
    keys: &[
        key("times", Shape::Count(1, 100), "So often at most; once unless given.", "3"),
        key(
            "on",
            Shape::Statuses,
            "Statuses after which it is; 429, 502, 503 and 504 unless given.",
            "[429, 5xx]",
        ),
        key(
            "transport",
            Shape::Switch,
            "Whether it is after a failure without a response, too; it is unless given.",
            "false",
        ),
        key(
            "wait",
            Shape::Duration,
            "The first pause, of which each is twice the last; 100ms unless given.",
            "1s",
        ),
        key("max_wait", Shape::Duration, "The longest pause; 10s unless given.", "5s"),
    ],
};

/// `expect`
pub static EXPECT: Kind = Kind {
    name: "expect",
    doc: "What makes a response a success: all of this.",
    keys: &[
        key(
            "status",
            Shape::Statuses,
            "The status, or a list of those that are fine; `2xx` is all of a kind.",
            "[200, 429]",
        ),
        key(
            "header",
            Shape::Templates,
            "Headers that are there, and what is in them.",
            "{ Content-Type: application/json }",
        ),
        key(
            "json",
            Shape::Checks,
            "What JSONPaths lead to.",
            "{ $.status: completed, \"$.items[0].quantity\": 2 }",
        ),
        key("text", Shape::Template, "What is in the body.", "Welcome"),
        key("regex", Shape::Text, "A regular expression for something in the body.", "\"order-[0-9]+\""),
        key("latency", Shape::Duration, "The longest response time.", "500ms"),
        key("size", Shape::Sizes, "How many bytes the body has, or from how many to how many.", "1..65536"),
    ],
};

/// A variable of `capture`, in full
pub static CAPTURE: Kind = Kind {
    name: "capture",
    doc: "Where a variable is found in a response: one of `json`, `header`, `cookie`, `regex`, `css`, `status`, `time` and \
          `body`.",
    keys: &[
        key("json", Shape::Text, "A JSONPath into the body.", "$.items[0].id"),
        key("header", Shape::Text, "A header.", "Location"),
        key("cookie", Shape::Text, "A cookie that the response sets.", "session"),
        key("regex", Shape::Text, "A regular expression for the body.", "'value=\"([^\"]+)\"'"),
        key(
            "group",
            Shape::Count(0, 99),
            "Which group of `regex`; the first, or all of it, unless given.",
            "2",
        ),
        key("css", Shape::Text, "A CSS selector of elements of an HTML body.", "\"input[name=csrf]\""),
        key(
            "attribute",
            Shape::Text,
            "Which attribute of the elements that `css` selects; their text unless given.",
            "value",
        ),
        key("status", Shape::Switch, "The status.", "true"),
        key(
            "time",
            Shape::Switch,
            "How many milliseconds it took, from the request's first byte to the response's last: what connecting took is \
             left out.",
            "true",
        ),
        key("body", Shape::Switch, "The whole body, as text.", "true"),
        key(
            "matches",
            Shape::Word(&MATCHES),
            "Whether the first match counts, unless given, or a second one is a failure, or all are taken as a list.",
            "all",
        ),
        key("default", Shape::Json, "What it is if there is none, which is a failure unless given.", "none"),
    ],
};

/// `matches`
pub const MATCHES: [&str; 3] = ["first", "only", "all"];

/// `cleanup`
pub static CLEANUP: Kind = Kind {
    name: "cleanup",
    doc: "A request that undoes something. What its expressions see is what there was when it was made.",
    keys: &[
        key("delete", Shape::Template, "Sends a DELETE request to this URL.", "/cart/{{ cart_id }}"),
        key("post", Shape::Template, "Sends a POST request to this URL.", "/cart/{{ cart_id }}/close"),
        key("put", Shape::Template, "Sends a PUT request to this URL.", "/cart/{{ cart_id }}"),
        key("patch", Shape::Template, "Sends a PATCH request to this URL.", "/cart/{{ cart_id }}"),
        key(
            "name",
            Shape::Text,
            "Under which name it is measured; `cleanup METHOD /path` unless given.",
            "cleanup",
        ),
        key("query", Shape::Templates, "The URL's query.", "{ force: true }"),
        key("headers", Shape::Headers, "Headers of this request.", HEADERS_EXAMPLE),
        key("auth", Shape::Object(&AUTH), "How it says who asks.", "{ bearer: \"{{ token }}\" }"),
        key("json", Shape::Json, "A JSON body.", "{ status: closed }"),
        key("form", Shape::Templates, "A form as a body.", "{ status: closed }"),
        key("body", Shape::Template, "A body of text.", "closed"),
        key("timeout", Shape::Duration, "From its start to the last byte of its response.", "5s"),
        key(
            "expect",
            Shape::Object(&EXPECT),
            "What says that it has been undone; a status below 400, or 404 or 410, unless given.",
            "{ status: 204 }",
        ),
    ],
};
