//! The tables of keys in the reference, which are made of those that the compiler uses; and which keys examples have.

use std::collections::BTreeSet;

use serde_json::Value;
use squall_plan::keys::{CAPTURE, Key, Kind, PLAN, STEP, Shape};

/// Every kind of mapping, each once.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    let mut kinds = Vec::new();
    let mut left = vec![&PLAN];
    while let Some(kind) = left.pop() {
        if kinds.iter().all(|known: &&Kind| known.name != kind.name) {
            kinds.push(kind);
            left.extend(kind.keys.iter().filter_map(|key| below(&key.shape)));
        }
    }
    kinds
}

/// The mapping that belongs under a key, directly or in a list or under names.
fn below(shape: &'static Shape) -> Option<&'static Kind> {
    match shape {
        Shape::Object(kind)
        | Shape::OneOrMany(kind)
        | Shape::List(kind)
        | Shape::Named(kind)
        | Shape::NamedOrText(kind)
        | Shape::TextsOr(kind) => Some(kind),
        Shape::Captures => Some(&CAPTURE),
        Shape::Steps | Shape::StepLists | Shape::NamedSteps => Some(&STEP),
        _ => None,
    }
}

/// The keys that a plan has, with the kinds that they are of.
pub(crate) fn used(plan: &Value) -> BTreeSet<(&'static str, &'static str)> {
    let mut used = BTreeSet::new();
    look(&PLAN, plan, &mut used);
    used
}

fn look(kind: &'static Kind, value: &Value, used: &mut BTreeSet<(&'static str, &'static str)>) {
    let Value::Object(members) = value else { return };
    for key in kind.keys {
        let Some(value) = members.get(key.name) else { continue };
        used.insert((kind.name, key.name));
        let Some(inner) = below(&key.shape) else { continue };
        match key.shape {
            Shape::Named(_) | Shape::NamedOrText(_) | Shape::Captures | Shape::NamedSteps => {
                let values = value.as_object().into_iter().flat_map(|names| names.values());
                values.for_each(|value| each(inner, value, used));
            }
            _ => each(inner, value, used),
        }
    }
}

/// A mapping, or those of a list, or of a list of lists.
fn each(kind: &'static Kind, value: &Value, used: &mut BTreeSet<(&'static str, &'static str)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each(kind, item, used)),
        value => look(kind, value, used),
    }
}

/// A page with its tables of keys as they should be. They stand between `<!-- keys: KIND -->` (or `<!-- keys: KIND KEY
/// KEY… -->`, if it is about some of them) and `<!-- end -->`.
pub(crate) fn with_tables(text: &str) -> String {
    let mut out = String::new();
    let mut in_table = false;
    for line in text.split_inclusive('\n') {
        if let Some(wanted) = line.trim().strip_prefix("<!-- keys:").and_then(|rest| rest.strip_suffix("-->"))
        {
            out.push_str(line);
            out.push_str(&table(wanted.trim()));
            in_table = true;
        } else if line.trim() == "<!-- end -->" {
            in_table = false;
        }
        if !in_table {
            out.push_str(line);
        }
    }
    out
}

/// Which keys of which kinds the tables of a page are about.
pub(crate) fn told(text: &str) -> Vec<(&'static str, &'static str)> {
    let wanted = text.lines().filter_map(|line| line.trim().strip_prefix("<!-- keys:")?.strip_suffix("-->"));
    wanted.flat_map(|wanted| chosen(wanted.trim())).map(|(kind, key)| (kind.name, key.name)).collect()
}

fn chosen(wanted: &str) -> Vec<(&'static Kind, &'static Key)> {
    let mut words = wanted.split_whitespace();
    let name = words.next().unwrap_or_default();
    let kind = kinds().into_iter().find(|kind| kind.name == name);
    let kind = kind.unwrap_or_else(|| panic!("there is no kind of mapping `{name}`"));
    let names: Vec<&str> = words.collect();
    if names.is_empty() {
        return kind.keys.iter().map(|key| (kind, key)).collect();
    }
    let key = |name: &str| {
        let key = kind.keys.iter().find(|key| key.name == name);
        (kind, key.unwrap_or_else(|| panic!("`{}` has no key `{name}`", kind.name)))
    };
    names.into_iter().map(key).collect()
}

fn table(wanted: &str) -> String {
    let rows = chosen(wanted).into_iter().map(|(_, key)| {
        let required = if key.required { " Required." } else { "" };
        let cells = [
            format!("`{}`", key.name),
            form(&key.shape),
            format!("{}{required}", key.doc),
            format!("`{}`", key.example),
        ];
        format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
    });
    format!("\n| key | value | says | such as |\n| --- | --- | --- | --- |\n{}\n", rows.collect::<String>())
}

/// What belongs under a key, in words.
fn form(shape: &Shape) -> String {
    let words = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    let count = |lowest: u32, highest: u32| match highest {
        u32::MAX => format!("whole number from {lowest}"),
        highest => format!("whole number, {lowest} to {}", with_commas(highest)),
    };
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Template => "text with expressions".to_owned(),
        Shape::Expression => "condition".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Think => "pause".to_owned(),
        Shape::Rate => "rate".to_owned(),
        Shape::CountOrWord(lowest, highest, known) => {
            format!("{}; or {}", count(*lowest, *highest), words(known))
        }
        Shape::Count(lowest, highest) => count(*lowest, *highest),
        Shape::Json => "any value".to_owned(),
        Shape::Word(known) => words(known),
        Shape::Statuses => "status, or a list".to_owned(),
        Shape::Object(kind) => format!("mapping: {}", kind.name),
        Shape::OneOrMany(kind) => format!("mapping, or a list: {}", kind.name),
        Shape::Texts => "list of texts".to_owned(),
        Shape::Words(known) => format!("list of {}", words(known)),
        Shape::Addresses => "names and their addresses".to_owned(),
        Shape::List(kind) => format!("list: {}", kind.name),
        Shape::Named(kind) => format!("names, each with a mapping: {}", kind.name),
        Shape::NamedJson => "names and any values".to_owned(),
        Shape::Headers => "headers".to_owned(),
        Shape::Captures => "variables, each with a JSONPath or a mapping: capture".to_owned(),
        Shape::Templates => "names and texts with expressions".to_owned(),
        Shape::NamedOrText(kind) => format!("names, each with a text or a mapping: {}", kind.name),
        Shape::TextsOr(kind) => format!("list of texts or mappings: {}", kind.name),
        Shape::Checks => "JSONPaths and values".to_owned(),
        Shape::Steps => "list of steps".to_owned(),
        Shape::StepLists => "list of lists of steps".to_owned(),
        Shape::NamedSteps => "names, each with a list of steps".to_owned(),
        Shape::Items => "list, or an expression".to_owned(),
        Shape::Sizes => "bytes, or a range".to_owned(),
        Shape::Tags => "names and texts".to_owned(),
        Shape::Switch => "`true`, `false`".to_owned(),
    }
}

fn with_commas(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
