//! Keys of how much load there is, and when.

use super::{Kind, MAX_USERS, Shape, key, required};

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
