//! Expressions: Jinja inside `{{ }}`, compiled once, evaluated for a user.
//!
//! A plan's texts are cut into literal parts and expressions here, so that an expression keeps its
//! native type where it stands alone and is percent-encoded where it stands in a URL. The expressions
//! themselves are minijinja's.

mod fake;
mod functions;
mod program;
mod response;
mod scope;
mod template;
mod value;
mod words;

pub use program::{EvalError, Expr, ExpressionError, Program, ProgramBuilder};
pub use response::Response;
pub use scope::{Constants, Scope, Turn};
pub use template::{JsonNode, JsonTemplate, Template, UrlTemplate, ValueTemplate};
pub use value::{from_json, is_true, to_text};
pub use words::Word;

/// Names that every expression may use, besides variables, captures and functions.
pub const GLOBALS: [&str; 8] = ["env", "fake", "iteration", "response", "run", "secret", "slice", "vu"];

/// Those of them that have a value only where there is a user.
pub const OF_USERS: [&str; 6] = ["fake", "iteration", "response", "run", "slice", "vu"];

/// What `run` has: which run it is, and when its load began, in milliseconds since 1970.
pub const RUN: [&str; 4] = ["id", "name", "seed", "started"];

/// What `slice` has. A journey that depends on it depends on how many slices there are.
pub const SLICE: [&str; 2] = ["count", "index"];

/// Names of the functions that every expression may call.
pub const FUNCTIONS: [&str; 8] = functions::NAMES;

/// What `fake` makes up, as in `fake.name()`.
pub fn fakes() -> impl Iterator<Item = &'static str> + Clone {
    fake::MAKERS.iter().map(|(name, _)| *name)
}

/// Those of them that need no user.
pub const CONSTANT_FUNCTIONS: [&str; 1] = functions::CONSTANT;
