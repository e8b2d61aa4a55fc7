//! From a plan's text to a validated [`Plan`]: the language, its diagnostics and its JSON Schema, the
//! expressions, and the arithmetic of load (who runs when, and which slice runs it).
//!
//! **Invariant:** this crate is pure. It reads no clock, file, socket or environment variable; what a
//! plan may know of the outside comes in as [`Inputs`]. The same text and the same inputs give the same
//! plan on every machine, which is why a generator compiles the bundle that the command compiled.
//!
//! ```
//! use squall_plan::{Bundle, Inputs, compile};
//!
//! let text = "
//! target: http://127.0.0.1:8080
//! load: { rate: 20/s, duration: 1m }
//! scenarios: { visitor: { steps: [ { get: /products } ] } }
//! ";
//! let compiled = compile(&Bundle::new("plan.yaml", text, Inputs::default())).expect("a plan");
//! assert_eq!(compiled.plan.duration().as_secs(), 60);
//!
//! let text = text.replace("20/s", "20 per second");
//! let mistakes = compile(&Bundle::new("plan.yaml", text, Inputs::default())).expect_err("no rate");
//! assert!(mistakes.has_errors());
//! ```

pub mod addresses;
pub mod compile;
pub mod data;
mod dealing;
pub mod diagnostics;
pub mod estimate;
pub mod expression;
pub mod handover;
pub mod html;
mod include;
pub mod keys;
mod lower;
pub mod masks;
pub mod model;
pub mod random;
pub mod schedule;
pub mod schema;
pub mod secrets;
pub mod share;
mod sources;
pub mod threshold;
pub mod units;
mod yaml;

pub use compile::{Bundle, Compiled, Inputs, LoadOverride, compile};
pub use diagnostics::{Diagnostic, Diagnostics, Position, Severity};
pub use masks::{MASK, Masks};
pub use model::*;
pub use secrets::{Secret, SecretSource, SecretValues};
pub use share::Share;
pub use threshold::Threshold;
