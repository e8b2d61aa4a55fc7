//! The keys of a mapping, checked against the table.

use crate::keys::Kind;
use crate::yaml::{Node, Scalar, Value};

use super::Lowering;

/// The known keys of a mapping and what stands under them.
pub(super) struct Fields<'n> {
    entries: Vec<(&'static str, &'n Node, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// What stands under a key.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(known, ..)| *known == name).map(|(.., value)| *value)
    }

    /// The key itself, for messages about it.
    pub(super) fn key(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(known, ..)| *known == name).map(|(_, key, _)| *key)
    }

    /// Those of the names that are there, in the order of the text.
    pub(super) fn present(&self, names: &[&str]) -> Vec<(&'static str, &'n Node)> {
        let entries = self.entries.iter().filter(|(known, ..)| names.contains(known));
        entries.map(|(known, key, _)| (*known, *key)).collect()
    }
}

impl Lowering<'_> {
    /// Reads a mapping of a kind; unknown, repeated and missing keys are reported.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, kind: &'static Kind) -> Option<Fields<'n>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_kind(node, "a mapping");
            return None;
        };
        if node.is_unquoted_expression() {
            self.wrong_kind(node, "a mapping");
            return None;
        }
        let mut fields = Fields { entries: Vec::new() };
        for (key, value) in entries {
            let Some(name) = self.key_name(key) else { continue };
            match kind.keys.iter().find(|known| known.name == name) {
                None => self.unknown_key(key, name, kind),
                Some(known) if fields.get(known.name).is_some() => self.repeated_key(key, name),
                Some(known) => fields.entries.push((known.name, key, value)),
            }
        }
        for key in kind.keys.iter().filter(|key| key.required && fields.get(key.name).is_none()) {
            let hint = Some(format!("write `{}: {}`", key.name, key.example));
            let message = format!("{} has no `{}`", kind.name, key.name);
            self.error(first_line(node), "missing-key", message, hint);
        }
        Some(fields)
    }

    /// Reads a mapping with names of the user's choice; repeated ones are reported.
    pub(super) fn entries<'n>(&mut self, node: &'n Node) -> Vec<(&'n str, &'n Node, &'n Node)> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_kind(node, "a mapping");
            return Vec::new();
        };
        let mut found: Vec<(&str, &Node, &Node)> = Vec::new();
        for (key, value) in entries {
            let Some(name) = self.key_name(key) else { continue };
            if found.iter().any(|(known, ..)| *known == name) {
                self.repeated_key(key, name);
            } else {
                found.push((name, key, value));
            }
        }
        found
    }

    fn key_name<'n>(&mut self, key: &'n Node) -> Option<&'n str> {
        match (&key.value, key.scalar()) {
            (Value::Scalar { text, .. }, Some(scalar)) if scalar != Scalar::Null => Some(text),
            (Value::Mapping(_), _) => {
                let hint = Some("write it in quotes, such as `\"{{ name }}\"`".to_owned());
                self.error(
                    key.span.clone(),
                    "unquoted-expression",
                    "expression is not quoted".to_owned(),
                    hint,
                );
                None
            }
            _ => {
                self.error(
                    key.span.clone(),
                    "wrong-type",
                    format!("expected a key, found {}", key.kind()),
                    None,
                );
                None
            }
        }
    }

    fn repeated_key(&mut self, key: &Node, name: &str) {
        self.error(key.span.clone(), "repeated-key", format!("key `{name}` is given twice"), None);
    }

    fn unknown_key(&mut self, key: &Node, name: &str, kind: &Kind) {
        let known = kind.keys.iter().map(|key| key.name);
        let hint = match closest(name, known.clone()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("the keys of {} are {}", kind.name, known.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("unknown key `{name}` in {}", kind.name);
        self.error(key.span.clone(), "unknown-key", message, Some(hint));
    }
}

/// The name that a slip of a finger or two would turn into this one.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(name, other);
    known.filter(|other| distance(other) <= 1 + other.len() / 4).min_by_key(|other| distance(other))
}

/// A mapping may span the whole file; its first line is enough to say where it is.
fn first_line(node: &Node) -> std::ops::Range<usize> {
    match &node.value {
        Value::Mapping(entries) => entries.first().map_or(node.span.clone(), |(key, _)| key.span.clone()),
        _ => node.span.clone(),
    }
}
