//! `result.json`: writing, reading, schema.

use thiserror::Error;

use crate::result::{RunResult, SCHEMA_VERSION};

/// Why a file is no result.
#[derive(Debug, Error)]
pub enum ResultError {
    /// It is no JSON, or was cut off.
    #[error("not JSON, or cut off")]
    Malformed(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("not a result of a run")]
    Foreign(#[source] serde_json::Error),
    /// A later version wrote it.
    #[error("result of form {0}, and this version of squall reads up to {SCHEMA_VERSION}")]
    Newer(u64),
}

/// The result as JSON.
#[must_use]
pub fn to_json(result: &RunResult) -> String {
    // Texts, numbers and maps with text keys always have a JSON form.
    serde_json::to_string_pretty(result).unwrap_or_default()
}

/// Reads what [`to_json`] wrote.
pub fn from_json(text: &str) -> Result<RunResult, ResultError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(ResultError::Malformed)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > u64::from(SCHEMA_VERSION) => Err(ResultError::Newer(version)),
        _ => serde_json::from_value(value).map_err(ResultError::Foreign),
    }
}

/// JSON Schema of `result.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RunResult).to_value()
}
