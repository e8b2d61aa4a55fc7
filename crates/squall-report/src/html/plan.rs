//! What was asked for, and what was found.

use serde_json::Value;

use super::charts::seconds;
use super::markup::Html;
use super::tables::{list, table};
use crate::result::RunResult;

/// Findings that are shown at most.
const MAX_FINDINGS: usize = 50;

/// The plan, and its stages.
pub(super) fn plan(html: &mut Html, result: &RunResult) {
    let plan = &result.plan;
    if plan.stages.len() > 1 {
        let rows = plan
            .stages
            .iter()
            .map(|stage| vec![stage.name.clone(), at(Some(stage.from_s)), at(Some(stage.until_s))]);
        table(html, &["Stage", "From", "Until"], rows);
    }
    if plan.text.is_empty() {
        html.leaf("p", &[("class", "muted")], "Its text is not kept in this result.");
    } else {
        html.element("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
            html.element("pre", &[], |html| html.leaf("code", &[], &plan.text));
        });
    }
}

/// Named causes, in the order of the result.
pub(super) fn findings(html: &mut Html, result: &RunResult) {
    for finding in result.findings.iter().take(MAX_FINDINGS) {
        html.element("div", &[("class", "finding-text")], |html| one(html, finding));
    }
    let rest = result.findings.len().saturating_sub(MAX_FINDINGS);
    if rest > 0 {
        html.leaf("p", &[("class", "muted")], &format!("{rest} more are in result.json."));
    }
}

fn one(html: &mut Html, finding: &Value) {
    let text = |key: &str| finding.get(key).map(words).unwrap_or_default();
    let kind = text("kind").replace('_', " ");
    let confidence = text("confidence");
    let confidence = if confidence.is_empty() { confidence } else { format!(" ({confidence})") };
    html.leaf("h3", &[], &format!("{kind}{confidence}"));
    let number = |key: &str| finding.get(key).and_then(Value::as_f64);
    let mut where_to: Vec<String> = Vec::new();
    if let Some(from_s) = number("from_s") {
        where_to.push(format!("{} to {}", at(Some(from_s)), at(number("until_s"))));
    }
    let endpoints = text("endpoints");
    if !endpoints.is_empty() {
        where_to.push(endpoints);
    }
    html.leaf("p", &[("class", "muted")], &where_to.join(" · "));
    html.leaf("p", &[], &text("summary"));
    match finding.get("evidence") {
        Some(Value::Array(evidence)) => list(html, &evidence.iter().map(words).collect::<Vec<_>>()),
        Some(Value::Object(evidence)) => {
            let pairs =
                evidence.iter().map(|(key, value)| format!("{}: {}", key.replace('_', " "), words(value)));
            list(html, &pairs.collect::<Vec<_>>());
        }
        Some(evidence) => list(html, &[words(evidence)]),
        None => {}
    }
    let advice = text("advice");
    if !advice.is_empty() {
        html.element("p", &[], |html| {
            html.leaf("b", &[], "Advice: ");
            html.text(&advice);
        });
    }
}

/// A value as a text: whatever a later version writes has one.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(values) => {
            let pairs =
                values.iter().map(|(key, value)| format!("{}: {}", key.replace('_', " "), words(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
    }
}

fn at(t_s: Option<f64>) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a time that is cut to what fits is far off anyway")]
    t_s.map_or("its end".to_owned(), |t_s| seconds(t_s.round() as i64))
}
