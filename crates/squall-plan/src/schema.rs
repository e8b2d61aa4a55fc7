//! The JSON Schema of plans, made of the same table that lowering uses.

use serde_json::{Map, Value, json};

use crate::include::INCLUDE;
use crate::keys::{CAPTURE, Kind, PLAN, STEP, Shape};

/// JSON Schema (2020-12) of a plan, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let root = object(&PLAN, &mut definitions);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Squall plan",
    });
    if let (Some(schema), Value::Object(root)) = (schema.as_object_mut(), root) {
        schema.extend(root);
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn object(kind: &'static Kind, definitions: &mut Map<String, Value>) -> Value {
    let properties: Map<String, Value> = kind
        .keys
        .iter()
        .map(|key| {
            let mut property = shape(&key.shape, definitions);
            if let Some(property) = property.as_object_mut() {
                property.insert(
                    "description".to_owned(),
                    json!(format!("{} Example: `{}`", key.doc, key.example)),
                );
            }
            (key.name.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> = kind.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut object = json!({
        "type": "object",
        "description": kind.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if kind.keys.iter().any(|key| key.name == INCLUDE) {
        // What is missing may be in a file that is included.
        object["anyOf"] = json!([{ "required": required }, { "required": [INCLUDE] }]);
    } else {
        object["required"] = json!(required);
    }
    object
}

fn reference(kind: &'static Kind, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(kind.name) {
        definitions.insert(kind.name.to_owned(), Value::Null);
        let definition = object(kind, definitions);
        definitions.insert(kind.name.to_owned(), definition);
    }
    json!({ "$ref": format!("#/$defs/{}", kind.name) })
}

fn steps(definitions: &mut Map<String, Value>) -> Value {
    json!({ "type": "array", "minItems": 1, "items": reference(&STEP, definitions) })
}

fn shape(shape: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    let text = json!({ "type": ["string", "number", "boolean"] });
    let span = "[0-9]*\\.?[0-9]+(us|µs|ms|s|m|h|d)";
    match shape {
        Shape::Text | Shape::Template | Shape::Expression => text,
        Shape::Duration => json!({ "type": ["string", "integer"], "pattern": format!("^(0|({span})+)$") }),
        Shape::Think => {
            json!({ "type": ["string", "integer"], "pattern": format!("^(0|({span})+)(\\.\\.({span})+)?$|^(pace|exponential)\\(({span})+\\)$|^normal\\(({span})+, *({span})+\\)$") })
        }
        Shape::Rate => json!({ "type": "string", "pattern": "^[0-9]*\\.?[0-9]+ */ *[smh]$" }),
        Shape::Count(lowest, highest) => json!({ "type": "integer", "minimum": lowest, "maximum": highest }),
        Shape::CountOrWord(lowest, highest, words) => {
            let count = json!({ "type": "integer", "minimum": lowest, "maximum": highest });
            json!({ "anyOf": [count, { "enum": words }] })
        }
        Shape::Json => json!({}),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Statuses => {
            let code = json!({ "type": "integer", "minimum": 100, "maximum": 599 });
            let status = json!({ "anyOf": [code, { "type": "string", "pattern": "^[1-5]xx$" }] });
            json!({ "anyOf": [status, { "type": "array", "items": status, "minItems": 1 }] })
        }
        Shape::Object(kind) => reference(kind, definitions),
        Shape::OneOrMany(kind) => {
            let one = reference(kind, definitions);
            json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
        }
        Shape::Texts => json!({ "type": "array", "minItems": 1, "items": text }),
        Shape::Words(words) => json!({ "type": "array", "minItems": 1, "items": { "enum": words } }),
        Shape::Addresses => {
            let address = json!({ "type": "string" });
            let addresses = json!({ "type": "array", "minItems": 1, "items": address });
            json!({ "type": "object", "additionalProperties": { "anyOf": [address, addresses] } })
        }
        Shape::List(kind) => json!({ "type": "array", "minItems": 1, "items": reference(kind, definitions) }),
        Shape::Named(kind) => {
            json!({ "type": "object", "minProperties": 1, "additionalProperties": reference(kind, definitions) })
        }
        Shape::NamedJson | Shape::Checks => json!({ "type": "object" }),
        Shape::Headers | Shape::Templates | Shape::Tags => {
            json!({ "type": "object", "additionalProperties": text })
        }
        Shape::Captures => {
            let full = reference(&CAPTURE, definitions);
            json!({ "type": "object", "additionalProperties": { "anyOf": [{ "type": "string" }, full] } })
        }
        Shape::NamedOrText(kind) => {
            let full = reference(kind, definitions);
            json!({ "type": "object", "additionalProperties": { "anyOf": [text, full] } })
        }
        Shape::TextsOr(kind) => {
            let full = reference(kind, definitions);
            json!({ "type": "array", "minItems": 1, "items": { "anyOf": [{ "type": "string" }, full] } })
        }
        Shape::Steps => steps(definitions),
        Shape::StepLists => json!({ "type": "array", "minItems": 1, "items": steps(definitions) }),
        Shape::NamedSteps => json!({ "type": "object", "additionalProperties": steps(definitions) }),
        Shape::Items => json!({ "type": ["array", "string"] }),
        Shape::Sizes => json!({ "type": ["string", "integer"], "pattern": "^[0-9]+(\\.\\.[0-9]*)?$" }),
        Shape::Switch => json!({ "type": "boolean" }),
    }
}
