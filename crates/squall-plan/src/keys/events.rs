//! Keys of what is kept and said of single requests.

use super::{Kind, Shape, key};

/// `events`
pub static EVENTS: Kind = Kind {
    name: "events",
    doc: "Single requests: a sample of them that is kept whole, and ids by which others know them.",
    keys: &[
        key(
            "one_in",
            Shape::Count(1, 1_000_000),
            "One in so many requests is kept whole, as a line of `events.jsonl` beside the report.",
            "100",
        ),
        key(
            "traceparent",
            Shape::Switch,
            "Whether each request carries an id of its own in `traceparent`, marked as sampled where it is kept.",
            "true",
        ),
    ],
};
