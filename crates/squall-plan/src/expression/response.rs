//! The last response, as conditions see it: `response.status`, `.headers`, `.text` and `.json`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use minijinja::Value;
use minijinja::value::Object;

use super::value::from_json;

/// A response. What its body means is found out only if somebody asks.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Value,
    body: Vec<u8>,
    json: OnceLock<Value>,
}

impl Response {
    /// The value that is a response of these parts.
    #[must_use]
    pub fn value(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Value {
        let headers: BTreeMap<&str, String> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Value::from_object(Self { status, headers: Value::from(headers), body, json: OnceLock::new() })
    }
}

impl Object for Response {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "status" => Value::from(self.status),
            "headers" => self.headers.clone(),
            "text" => Value::from(String::from_utf8_lossy(&self.body).into_owned()),
            "json" => self.json.get_or_init(|| self.parsed()).clone(),
            _ => return None,
        })
    }
}

impl Response {
    /// What is no JSON is undefined.
    fn parsed(&self) -> Value {
        serde_json::from_slice(&self.body).map_or(Value::UNDEFINED, |json| from_json(&json))
    }
}
