//! Keys of data.

use super::{Kind, Shape, key};

/// An item of `data`
pub static DATA: Kind = Kind {
    name: "data",
    doc: "A table of values: from one of `csv`, `json`, `jsonl` and `rows`.",
    keys: &[
        key(
            "csv",
            Shape::Text,
            "A file of comma-separated values, whose first line names the columns.",
            "accounts.csv",
        ),
        key("json", Shape::Text, "A file that is a JSON list.", "accounts.json"),
        key("jsonl", Shape::Text, "A file of which each line is JSON.", "accounts.jsonl"),
        key("rows", Shape::Items, "The rows themselves.", "[ { sku: SKU-1 }, { sku: SKU-2 } ]"),
        key(
            "pick",
            Shape::Word(&PICK),
            "Which row: any, one after the other, unless given, or none twice in the whole fleet.",
            "unique",
        ),
        key(
            "per",
            Shape::Word(&PER),
            "Who gets another row: each user, each iteration, unless given, or each use in an expression.",
            "user",
        ),
        key(
            "on_end",
            Shape::Word(&ON_END),
            "When all rows have been taken: whoever needs one ends, unless given, begins again or fails.",
            "recycle",
        ),
    ],
};

/// An item of `secrets`
pub static SECRET: Kind = Kind {
    name: "secret",
    doc: "Where a secret is kept: in one of `env`, `ssm` and `secrets_manager`.",
    keys: &[
        key("env", Shape::Text, "An environment variable, for local runs only.", "SHOP_PASSWORD"),
        key("ssm", Shape::Text, "A parameter of AWS Systems Manager.", "/squall/shop"),
        key(
            "secrets_manager",
            Shape::Text,
            "A secret of AWS Secrets Manager; behind `#` the member of one that is JSON.",
            "squall/shop#password",
        ),
    ],
};

/// `pick`
pub const PICK: [&str; 3] = ["random", "sequential", "unique"];

/// `per`
pub const PER: [&str; 3] = ["user", "iteration", "use"];

/// `on_end`
pub const ON_END: [&str; 3] = ["stop", "recycle", "fail"];
