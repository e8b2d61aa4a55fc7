//! Keys of what must hold.

use super::{Kind, Shape, key, required};

/// An item of `thresholds`
pub static THRESHOLD: Kind = Kind {
    name: "threshold",
    doc: "What must hold of what is measured; a text alone is its `check`.",
    keys: &[
        required("check", Shape::Text, "A metric, a comparison, a limit.", "\"status(5xx) < 5%\""),
        key(
            "over",
            Shape::Duration,
            "It must hold in every stretch of so many seconds, instead of in the whole.",
            "10s",
        ),
        key("after", Shape::Duration, "What comes before does not count.", "30s"),
        key("abort", Shape::Switch, "Whether the run ends as soon as it does not hold.", "true"),
    ],
};
