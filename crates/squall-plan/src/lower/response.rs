//! What is made of a response: expectations and captures.

use std::ops::RangeInclusive;

use http::HeaderName;
use regex::Regex;
use serde_json_path::JsonPath;

use crate::expression::ValueTemplate;
use crate::html::Selection;
use crate::keys;
use crate::model::{Capture, Check, Expect, Matches, Source};
use crate::yaml::{Node, Scalar, Value};

use super::Lowering;
use super::fields::Fields;

/// Brackets in brackets of a `JSONPath`, at most.
const MAX_NESTING: usize = 32;

impl Lowering<'_> {
    pub(super) fn expect(&mut self, node: &Node) -> Expect {
        let Some(fields) = self.fields(node, &keys::EXPECT) else { return Expect::default() };
        let status = self.optional(&fields, "status", |this, node| Some(this.statuses(node)));
        let mut checks = Vec::new();
        if let Some(node) = fields.get("header") {
            let headers = self.within("header", |this| this.headers(node));
            checks.extend(headers.into_iter().map(|(name, text)| Check::Header(name, text)));
        }
        if let Some(node) = fields.get("json") {
            checks.extend(self.within("json", |this| this.json_checks(node)));
        }
        checks.extend(self.optional(&fields, "text", Self::template).map(Check::Text));
        checks.extend(self.optional(&fields, "regex", Self::regex).map(Check::Regex));
        checks.extend(self.optional(&fields, "latency", Self::positive_duration).map(Check::Latency));
        checks.extend(self.optional(&fields, "size", Self::size).map(Check::Size));
        Expect { status: status.unwrap_or_default(), checks }
    }

    fn json_checks(&mut self, node: &Node) -> Vec<Check> {
        let mut checks = Vec::new();
        for (text, key, value) in self.entries(node) {
            let path = self.json_path(key, text);
            let value = self.within(text, |this| this.json(value));
            if let (Some(path), Some(value)) = (path, value) {
                checks.push(Check::Json(path, ValueTemplate::new(&value)));
            }
        }
        checks
    }

    /// One status, or a list of them.
    pub(super) fn statuses(&mut self, node: &Node) -> Vec<RangeInclusive<u16>> {
        match &node.value {
            Value::Sequence(_) => self.list(node, Self::status),
            _ => self.status(node).into_iter().collect(),
        }
    }

    /// A status, or all of a kind.
    pub(super) fn status(&mut self, node: &Node) -> Option<RangeInclusive<u16>> {
        if let Some(Scalar::Text(text)) = node.scalar() {
            let kind = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
            let Some(kind) = kind.filter(|kind| (1..=5).contains(kind)) else {
                let hint = Some("write a number such as `200`, or `2xx` for all of a kind".to_owned());
                self.error(node.span.clone(), "status", format!("`{text}` is no status"), hint);
                return None;
            };
            return Some(kind * 100..=kind * 100 + 99);
        }
        let status = self.count(node, 100, 599).and_then(|status| u16::try_from(status).ok())?;
        Some(status..=status)
    }

    /// `200`, `1..200` or `1..`
    fn size(&mut self, node: &Node) -> Option<RangeInclusive<u64>> {
        let text = self.text(node)?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let range = match text.split_once("..") {
            None => number(&text).map(|size| size..=size),
            Some((low, "")) => number(low).map(|low| low..=u64::MAX),
            Some((low, high)) => number(low).zip(number(high)).map(|(low, high)| low..=high),
        };
        let range = range.filter(|range| !range.is_empty());
        if range.is_none() {
            let hint =
                Some("write a number of bytes, or from how many to how many: `1..65536`, `1..`".to_owned());
            self.error(node.span.clone(), "wrong-unit", format!("`{text}` is no size"), hint);
        }
        range
    }

    pub(super) fn captures(&mut self, node: &Node) -> Vec<Capture> {
        let mut captures = Vec::new();
        for (name, key, value) in self.entries(node) {
            self.within(name, |this| {
                this.define(key, name);
                captures.extend(this.capture(name, value));
            });
        }
        captures
    }

    fn capture(&mut self, variable: &str, node: &Node) -> Option<Capture> {
        let variable = variable.to_owned();
        if let Value::Mapping(_) = node.value {
            let fields = self.fields(node, &keys::CAPTURE)?;
            let source = self.source(node, &fields);
            let matches = self.optional(&fields, "matches", |this, node| this.word(node, &keys::MATCHES));
            let default = self.optional(&fields, "default", Self::json);
            let matches = match matches {
                Some("only") => Matches::Only,
                Some("all") => Matches::All,
                _ => Matches::First,
            };
            let default = default.map(|default| ValueTemplate::new(&default));
            return Some(Capture { variable, source: source?, matches, default });
        }
        let Some(Scalar::Text(text)) = node.scalar() else {
            self.wrong_kind(node, "a JSONPath");
            return None;
        };
        let source = Source::Json(self.json_path(node, text)?);
        Some(Capture { variable, source, matches: Matches::First, default: None })
    }

    fn source(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Source> {
        let found = fields.present(&["json", "header", "cookie", "regex", "css", "status", "time", "body"]);
        let [(kind, _)] = found.as_slice() else {
            let message =
                "a capture has one of `json`, `header`, `cookie`, `regex`, `css`, `status`, `time` and `body`"
                    .to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, None);
            return None;
        };
        for (part, whole) in [("group", "regex"), ("attribute", "css")] {
            if let (false, Some(key)) = (*kind == whole, fields.key(part)) {
                let message = format!("`{part}` has no place without `{whole}`");
                self.error(key.span.clone(), "conflict", message, None);
            }
        }
        let value = fields.get(kind)?;
        self.within(kind, |this| match *kind {
            "json" => {
                let text = this.text(value)?;
                this.json_path(value, &text).map(Source::Json)
            }
            "header" => {
                let text = this.text(value)?;
                let name = HeaderName::from_bytes(text.as_bytes());
                if name.is_err() {
                    this.error(value.span.clone(), "bad-header", format!("`{text}` is no header name"), None);
                }
                name.ok().map(Source::Header)
            }
            "cookie" => this.text(value).map(Source::Cookie),
            "css" => {
                let text = this.text(value)?;
                let attribute = this.optional(fields, "attribute", Self::text);
                let selection = Selection::parse(&text, attribute);
                if let Err(reason) = &selection {
                    let hint = Some("write a selector such as `\"input[name=csrf]\"`".to_owned());
                    let message = format!("not a CSS selector: {reason}");
                    this.error(value.span.clone(), "css", message, hint);
                }
                selection.ok().map(Source::Css)
            }
            "regex" => {
                let regex = this.regex(value)?;
                let first = usize::from(regex.captures_len() > 1);
                let group = this.optional(fields, "group", |this, node| this.count(node, 0, 99));
                let group = group.map_or(first, |group| usize::try_from(group).unwrap_or(0));
                if group >= regex.captures_len() {
                    let message = format!("the expression has no group {group}");
                    this.error(value.span.clone(), "regex", message, None);
                    return None;
                }
                Some(Source::Regex(regex, group))
            }
            kind => {
                if !this.switch(value)? {
                    this.error(
                        value.span.clone(),
                        "wrong-type",
                        format!("`{kind}` is `true` or left out"),
                        None,
                    );
                    return None;
                }
                Some(match kind {
                    "status" => Source::Status,
                    "time" => Source::Time,
                    _ => Source::Body,
                })
            }
        })
    }

    fn json_path(&mut self, node: &Node, text: &str) -> Option<JsonPath> {
        // Its parser calls itself for each, and the stack has an end.
        if nesting(text) > MAX_NESTING {
            let message = format!("not a JSONPath: brackets are nested more than {MAX_NESTING} deep");
            self.error(node.span.clone(), "json-path", message, None);
            return None;
        }
        match JsonPath::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let at = error.position().min(text.len());
                let span = self.place_in(node, text, Some(&(at..at + 1)));
                let hint = Some("write a path such as `$.items[0].id`".to_owned());
                self.error(span, "json-path", format!("not a JSONPath: {}", error.message()), hint);
                None
            }
        }
    }

    fn regex(&mut self, node: &Node) -> Option<Regex> {
        let text = self.text(node)?;
        let regex = Regex::new(&text);
        if let Err(error) = &regex {
            // The last line says what is wrong; those before draw it.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("not a regular expression: {reason}");
            self.error(node.span.clone(), "regex", message, None);
        }
        regex.ok()
    }
}

/// How deep brackets are nested in a text.
fn nesting(text: &str) -> usize {
    let mut depth = 0_usize;
    let depths = text.bytes().map(|byte| {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    });
    depths.max().unwrap_or(0)
}

impl Expect {
    /// Whether it needs the response's headers.
    pub(super) fn looks_at_headers(&self) -> bool {
        self.checks.iter().any(|check| matches!(check, Check::Header(..)))
    }

    /// Whether it needs the response's body.
    pub(super) fn looks_at_body(&self) -> bool {
        let of_body = |check: &Check| !matches!(check, Check::Header(..) | Check::Latency(_));
        self.checks.iter().any(of_body)
    }
}
