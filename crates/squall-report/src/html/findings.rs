//! Named causes, with what supports them.

use serde_json::{Map, Value};

use super::markup::Html;
use super::plan::at;
use super::tables::{list, table};
use crate::numbers::{duration_ms, percent, significant};
use crate::result::RunResult;

/// Findings that are shown at most.
const MAX_FINDINGS: usize = 50;

/// What the name of an interval has more than that of the number it is about.
const INTERVAL: &str = "_90_percent";

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
        Some(Value::Object(evidence)) => numbers(html, evidence),
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

/// The numbers that support a finding, each with the interval that it is within.
fn numbers(html: &mut Html, evidence: &Map<String, Value>) {
    let (texts, numbers): (Vec<_>, Vec<_>) = evidence.iter().partition(|(_, value)| value.is_string());
    let numbers = numbers
        .into_iter()
        .filter(|(name, _)| !name.strip_suffix(INTERVAL).is_some_and(|number| evidence.contains_key(number)));
    let rows = numbers.map(|(name, value)| {
        let (what, unit) = named(name);
        let interval = match evidence.get(&format!("{name}{INTERVAL}")) {
            Some(Value::Array(bounds)) => {
                bounds.iter().map(|bound| measured(bound, unit)).collect::<Vec<_>>().join(" to ")
            }
            _ => String::new(),
        };
        vec![what, measured(value, unit), interval]
    });
    let mut rows: Vec<_> = rows.collect();
    let has_intervals = rows.iter().any(|row| row.last().is_some_and(|interval| !interval.is_empty()));
    let columns = if has_intervals { 3 } else { 2 };
    rows.iter_mut().for_each(|row| row.truncate(columns));
    if !rows.is_empty() {
        table(html, &["Evidence", "Value", "Within (90 %)"][..columns], rows);
    }
    for (name, text) in texts {
        html.element("p", &[], |html| {
            html.leaf("b", &[], &sentence(&name.replace('_', " ")));
            html.text(&format!(": {}", words(text)));
        });
    }
}

/// What a number is, and its unit, of the name that it has in the result.
fn named(name: &str) -> (String, &'static str) {
    let units = [("_per_s", "/s"), ("_at_s", "at"), ("_ms", "ms"), ("_s", "s")];
    let unit = units.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, *unit)));
    let (what, unit) = match unit {
        Some((what, "at")) => (format!("{what} at"), "s"),
        Some((what, unit)) => (what.to_owned(), unit),
        None if name.contains("share") => (name.to_owned(), "%"),
        None => (name.to_owned(), ""),
    };
    (sentence(&what.replace('_', " ")), unit)
}

/// With its first letter as sentences have it.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn measured(value: &Value, unit: &str) -> String {
    match (value.as_f64(), unit) {
        (Some(number), "%") => percent(number),
        (Some(number), "ms") if number >= 0.0 => duration_ms(number),
        (Some(number), "s") if number >= 0.0 => duration_ms(number * 1_000.0),
        (Some(number), "/s") if number >= 0.0 => format!("{}/s", significant(number)),
        _ => words(value),
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
