//! Expressions: Jinja inside `{{ }}`, compiled once, evaluated for a user.
//!
//! A plan's texts are cut into literal parts and expressions here, so that an expression keeps its
//! native type where it stands alone and is percent-encoded where it stands in a URL. The expressions
//! themselves are minijinja's.

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
pub const GLOBALS: [&str; 4] = ["env", "vu", "iteration", "response"];

/// Names of the functions that every expression may call.
pub const FUNCTIONS: [&str; 8] = functions::NAMES;

/// Those of them that need no user.
pub const CONSTANT_FUNCTIONS: [&str; 1] = functions::CONSTANT;
