//! Single values: durations, rates, numbers, words, headers, JSON.

use std::time::Duration;

use http::HeaderName;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::expression::{JsonNode, ProgramBuilder, Template};
use crate::model::{Compression, Tags, Think};
use crate::units::{Rate, UnitError, parse_duration, parse_duration_range};
use crate::yaml::{Node, Scalar, Value};

use super::Lowering;
use super::fields::{Fields, closest};

/// Headers in the order of the text.
pub(super) type HeaderList = Vec<(HeaderName, Template)>;

/// How the requests of a part of a plan are sent, unless they say otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    pub(super) headers: HeaderList,
    pub(super) auth: Option<usize>,
    pub(super) compress: Option<Compression>,
    pub(super) tags: Tags,
}

/// More tags than this tell nothing apart any more.
const MAX_TAGS: usize = 10;

/// The longest name of a tag, and the longest value.
const MAX_TAG: usize = 100;

impl Lowering<'_> {
    pub(super) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node)?;
        self.unit(node, parse_duration(&text))
    }

    pub(super) fn rate(&mut self, node: &Node) -> Option<Rate> {
        let text = self.text(node)?;
        self.unit(node, Rate::parse(&text))
    }

    pub(super) fn think(&mut self, node: &Node) -> Option<Think> {
        let text = self.text(node)?;
        let within = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let think = if let Some(pace) = within("pace") {
            parse_duration(pace.trim()).map(Think::Pace)
        } else if let Some(mean) = within("exponential") {
            parse_duration(mean.trim()).map(|mean| Think::Exponential { mean })
        } else if let Some((mean, deviation)) = within("normal").and_then(|both| both.split_once(',')) {
            parse_duration(mean.trim()).and_then(|mean| {
                parse_duration(deviation.trim()).map(|deviation| Think::Normal { mean, deviation })
            })
        } else if text.contains("..") {
            parse_duration_range(&text).map(|(min, max)| Think::Range { min, max })
        } else {
            parse_duration(&text).map(Think::Fixed)
        };
        self.unit(node, think)
    }

    fn unit<T>(&mut self, node: &Node, parsed: Result<T, UnitError>) -> Option<T> {
        parsed
            .map_err(|error| {
                self.error(node.span.clone(), "wrong-unit", error.to_string(), Some(error.hint()));
            })
            .ok()
    }

    /// A whole number between the two.
    pub(super) fn count(&mut self, node: &Node, lowest: u32, highest: u32) -> Option<u32> {
        let number = match (node.scalar(), &node.value) {
            (Some(Scalar::Integer(number)), _) => number,
            (Some(Scalar::Float(_)), Value::Scalar { text, .. }) => {
                let message = format!("expected a whole number, found {text}");
                self.error(node.span.clone(), "wrong-type", message, None);
                return None;
            }
            _ => {
                self.wrong_kind(node, "a whole number");
                return None;
            }
        };
        let count = u32::try_from(number).ok().filter(|count| (lowest..=highest).contains(count));
        if count.is_none() {
            let message = format!("{number} is not between {lowest} and {highest}");
            self.error(node.span.clone(), "out-of-range", message, None);
        }
        count
    }

    /// One of the words.
    pub(super) fn word(&mut self, node: &Node, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(node)?;
        let word = words.iter().find(|word| **word == text).copied();
        if word.is_none() {
            let hint = match closest(&text, words.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("write one of {}", words.join(", ")),
            };
            self.error(node.span.clone(), "unknown-word", format!("`{text}` is not known here"), Some(hint));
        }
        word
    }

    /// A duration that is not zero.
    pub(super) fn positive_duration(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.error(node.span.clone(), "empty-timeout", "must be longer than zero".to_owned(), None);
            return None;
        }
        Some(duration)
    }

    /// What stands under a key, lowered.
    pub(super) fn optional<T>(
        &mut self,
        fields: &super::fields::Fields<'_>,
        key: &'static str,
        lower: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        let node = fields.get(key)?;
        self.within(key, |this| lower(this, node))
    }

    /// An expression without braces that decides.
    pub(super) fn condition(&mut self, node: &Node) -> Option<crate::expression::Expr> {
        let text = self.text(node)?;
        if text.trim_start().starts_with("{{") {
            let bare = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim().to_owned();
            let hint = Some(format!("write `{bare}`"));
            self.error(node.span.clone(), "braces", "conditions are written without braces".to_owned(), hint);
            return None;
        }
        let expr = self.compile(node, &text, ProgramBuilder::condition)?;
        self.uses.push(super::Use { expr, span: node.span.clone(), path: self.path() });
        Some(expr)
    }

    /// A mapping from header names to texts.
    pub(super) fn headers(&mut self, node: &Node) -> HeaderList {
        let mut headers = HeaderList::new();
        for (name, key, value) in self.entries(node) {
            let value = self.within(name, |this| {
                let template = this.template(value)?;
                // What an expression brings is checked when it is known.
                let legal = Self::is_header_value(&template);
                if !legal {
                    let message = format!("value of header `{name}` has a character that no header may have");
                    this.error(
                        value.span.clone(),
                        "bad-header",
                        message,
                        Some("leave out line breaks and control characters".to_owned()),
                    );
                }
                legal.then_some(template)
            });
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => {
                    self.error(key.span.clone(), "bad-header", format!("`{name}` is no header name"), None);
                }
                Ok(header) if headers.iter().any(|(known, _)| *known == header) => {
                    self.error(
                        key.span.clone(),
                        "repeated-key",
                        format!("header `{name}` is given twice"),
                        None,
                    );
                }
                Ok(header) => headers.extend(value.map(|value| (header, value))),
            }
        }
        headers
    }

    /// The headers of a request: all but those that follow from what is sent.
    pub(super) fn sent_headers(&mut self, node: &Node) -> HeaderList {
        let mut headers = self.headers(node);
        headers.retain(|(name, _)| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name));
        if let Value::Mapping(entries) = &node.value {
            for (key, _) in entries {
                let Value::Scalar { text, .. } = &key.value else { continue };
                if ["content-length", "transfer-encoding"].iter().any(|name| text.eq_ignore_ascii_case(name))
                {
                    let message = format!("header `{text}` follows from the body");
                    self.error(key.span.clone(), "bad-header", message, Some("leave it out".to_owned()));
                }
            }
        }
        headers
    }

    /// Tags of a part of a plan, and those of what is around it that it does not replace.
    pub(super) fn tags(&mut self, fields: &Fields<'_>, around: &Tags) -> Tags {
        let own = self.optional(fields, "tags", |this, node| Some(this.own_tags(node)));
        let mut tags = around.clone();
        tags.extend(own.unwrap_or_default());
        if let (true, Some(key)) = (tags.len() > MAX_TAGS, fields.key("tags")) {
            let message = format!("a request has {MAX_TAGS} tags at most");
            self.error(key.span.clone(), "tags", message, None);
        }
        tags
    }

    fn own_tags(&mut self, node: &Node) -> Tags {
        let mut tags = Tags::new();
        for (name, key, value) in self.entries(node) {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            if name.is_empty() || name.len() > MAX_TAG || !name.bytes().all(is_name) {
                let hint = Some("use letters, digits, `_`, `-` and `.`".to_owned());
                self.error(key.span.clone(), "tags", format!("`{name}` is no name of a tag"), hint);
            }
            let Some(text) = self.within(name, |this| this.text(value)) else { continue };
            if text.contains("{{") {
                let message = "a tag tells requests of a kind apart, so it has no expressions".to_owned();
                self.error(value.span.clone(), "tags", message, None);
            } else if text.is_empty() || text.len() > MAX_TAG || text.chars().any(char::is_control) {
                let message = format!("a tag has 1 to {MAX_TAG} characters");
                self.error(value.span.clone(), "tags", message, None);
            }
            tags.insert(name.to_owned(), text);
        }
        tags
    }

    /// Any JSON, with expressions in its texts.
    pub(super) fn json(&mut self, node: &Node) -> Option<JsonNode> {
        match &node.value {
            Value::Sequence(items) => {
                let items = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.within(&format!("[{index}]"), |this| this.json(item)));
                // All items are lowered before one that is missing ends it.
                items.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(JsonNode::Array)
            }
            Value::Mapping(_) if node.is_unquoted_expression() => {
                self.wrong_kind(node, "a value");
                None
            }
            Value::Mapping(_) => {
                let members = self.entries(node).into_iter().map(|(name, _, value)| {
                    self.within(name, |this| this.json(value)).map(|value| (name.to_owned(), value))
                });
                members.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(JsonNode::Object)
            }
            Value::Scalar { .. } => match node.scalar()? {
                Scalar::Null => Some(JsonNode::Null),
                Scalar::Bool(value) => Some(JsonNode::Bool(value)),
                Scalar::Integer(number) => Some(JsonNode::Number(number.into())),
                Scalar::Float(number) => {
                    Some(serde_json::Number::from_f64(number).map_or(JsonNode::Null, JsonNode::Number))
                }
                Scalar::Text(_) => self.template(node).map(JsonNode::Text),
            },
        }
    }

    /// The items of a list, each lowered; an empty list is reported.
    pub(super) fn list<T>(&mut self, node: &Node, lower: impl Fn(&mut Self, &Node) -> Option<T>) -> Vec<T> {
        let Value::Sequence(items) = &node.value else {
            self.wrong_kind(node, "a list");
            return Vec::new();
        };
        if items.is_empty() {
            self.error(node.span.clone(), "empty-list", "list is empty".to_owned(), None);
        }
        let items = items.iter().enumerate();
        items
            .filter_map(|(index, item)| self.within(&format!("[{index}]"), |this| lower(this, item)))
            .collect()
    }
}
