//! From minijinja's values to text and JSON, and back.

use std::fmt::Write;

use minijinja::Value;
use minijinja::value::{Serde, ValueKind};

/// Deeper values are cut off with `null`; nothing that came out of JSON is that deep.
const MAX_DEPTH: usize = 128;

/// The value inside a longer text: as JSON spells it (`null`, `true`, no stray `.0`), strings bare.
#[must_use]
pub fn to_text(value: &Value) -> String {
    let mut text = String::new();
    push_text(&mut text, value);
    text
}

/// Appends [`to_text`] to `text`.
pub(super) fn push_text(text: &mut String, value: &Value) {
    match value.as_str() {
        Some(string) => text.push_str(string),
        None => push_json(text, value, 0),
    }
}

/// Appends the value as JSON.
pub(super) fn push_json(json: &mut String, value: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        json.push_str("null");
        return;
    }
    match value.kind() {
        ValueKind::Bool => json.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => push_number(json, value),
        ValueKind::String => push_json_string(json, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => push_sequence(json, value, depth),
        ValueKind::Map => push_mapping(json, value, depth),
        ValueKind::Undefined | ValueKind::None => json.push_str("null"),
        // Bytes and whatever minijinja may add have no JSON form; their display is the closest.
        _ => push_json_string(json, &value.to_string()),
    }
}

fn push_number(json: &mut String, value: &Value) {
    let text = value.to_string();
    let text = text.strip_suffix(".0").unwrap_or(&text);
    // JSON has no NaN or infinity.
    let is_json = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    json.push_str(if is_json { text } else { "null" });
}

fn push_sequence(json: &mut String, value: &Value, depth: usize) {
    json.push('[');
    if let Ok(items) = value.try_iter() {
        for (index, item) in items.enumerate() {
            if index > 0 {
                json.push(',');
            }
            push_json(json, &item, depth + 1);
        }
    }
    json.push(']');
}

fn push_mapping(json: &mut String, value: &Value, depth: usize) {
    json.push('{');
    if let Ok(keys) = value.try_iter() {
        for (index, key) in keys.enumerate() {
            if index > 0 {
                json.push(',');
            }
            push_json_string(json, &to_text(&key));
            json.push(':');
            push_json(json, &value.get_item(&key).unwrap_or_default(), depth + 1);
        }
    }
    json.push('}');
}

/// Appends a JSON string with its quotes.
pub(super) fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    push_json_escaped(json, text);
    json.push('"');
}

/// Appends what stands between the quotes of a JSON string.
fn push_json_escaped(json: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
}

/// A JSON value as an expression sees it.
#[must_use]
pub fn from_json(json: &serde_json::Value) -> Value {
    Value::from(Serde(json))
}

/// Whether a condition's value counts as true.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    value.is_true()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_as_json_spells_it() {
        let check = |value: Value, expected: &str| assert_eq!(to_text(&value), expected);
        check(Value::from(()), "null");
        check(Value::from(true), "true");
        check(Value::from(3), "3");
        check(Value::from(3.0), "3");
        check(Value::from(1.5), "1.5");
        check(Value::from(f64::NAN), "null");
        check(Value::from("a \"b\""), "a \"b\"");
        check(Value::from(vec![1, 2]), "[1,2]");
        check(from_json(&serde_json::json!({"a": ["b\n", null, 1e3]})), "{\"a\":[\"b\\n\",null,1000]}");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::hash_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_through_an_expression(json in any_json()) {
            let mut text = String::new();
            push_json(&mut text, &from_json(&json), 0);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json);
        }
    }
}
