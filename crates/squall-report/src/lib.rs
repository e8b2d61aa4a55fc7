//! The result of a run, and its views.
//!
//! [`RunResult`] is what `result.json` holds; every view is drawn from it alone, so a report made today and
//! one made from the file next year are the same.
//!
//! **Invariants:** this crate is pure. Percentiles come from merged histograms and nowhere else.

mod build;
mod cost;
mod events;
mod findings;
mod fleet;
mod heat;
mod hlog;
mod html;
mod json;
mod junit;
mod markdown;
mod measures;
mod numbers;
mod plan;
mod probe;
mod result;
mod slow;
mod table;
mod terminal;
mod thresholds;
mod timeline;
mod untold;
mod verdict;

pub use build::{Facts, GeneratorFacts, RegionFacts, build};
pub use cost::{Cost, CostItem, dollars};
pub use events::{EventSample, events};
pub use hlog::hlog;
pub use html::{PAGE_STYLE, html, probe_html};
pub use json::{ResultError, from_json, schema, to_json};
pub use junit::junit;
pub use markdown::markdown;
pub use measures::{Measures, Metric, Span};
pub use numbers::{class, count, duration_ms, duration_s, percent, significant, to_ascii};
pub use plan::{PlanFacts, PlannedStage};
pub use probe::*;
pub use result::*;
pub use slow::{SlowPhases, SlowRequest};
pub use table::csv;
pub use terminal::{Style, terminal};
pub use thresholds::{text as threshold_text, value as threshold_value};
pub use timeline::{EndpointPoint, MeanPhases, Point, Timeline, point};
pub use verdict::{Ending, ExitCode, Outcome, Verdict};
