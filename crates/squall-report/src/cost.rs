//! What a run cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What it cost, in US dollars; null where that is not known, as for a run on AWS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Before the run.
    pub estimated_usd: Option<f64>,
    /// After it.
    pub actual_usd: Option<f64>,
    /// Per million requests.
    pub per_million_requests_usd: Option<f64>,
    /// What for.
    pub items: Vec<serde_json::Value>,
}

impl Cost {
    /// Of threads of one's own machine.
    pub(crate) fn free() -> Self {
        let nothing = Some(0.0);
        Self {
            estimated_usd: nothing,
            actual_usd: nothing,
            per_million_requests_usd: nothing,
            items: Vec::new(),
        }
    }
}
