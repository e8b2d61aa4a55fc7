//! YAML as a tree that knows its places, bounded in every direction.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

/// A longer plan is refused.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// A plan with more values, aliases written out, is refused.
const MAX_NODES: usize = 100_000;

/// A deeper plan is refused.
const MAX_DEPTH: usize = 64;

/// A value and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any scalar; `plain` if it is written without quotes, so that it may be a number or the like.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// What a scalar is by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

/// Why a text is no YAML, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
    pub(crate) span: Range<usize>,
}

impl Node {
    pub(crate) fn scalar(&self) -> Option<Scalar<'_>> {
        let Value::Scalar { text, plain } = &self.value else { return None };
        Some(if *plain { resolve(text) } else { Scalar::Text(text) })
    }

    /// What stands here, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.value, self.scalar()) {
            (Value::Sequence(_), _) => "a list",
            (Value::Mapping(_), _) => "a mapping",
            (_, Some(Scalar::Null) | None) => "nothing",
            (_, Some(Scalar::Bool(_))) => "true or false",
            (_, Some(Scalar::Integer(_) | Scalar::Float(_))) => "a number",
            (_, Some(Scalar::Text(_))) => "a text",
        }
    }

    /// Whether this is `{{ x }}` without quotes, which YAML reads as a mapping in a mapping.
    pub(crate) fn is_unquoted_expression(&self) -> bool {
        match &self.value {
            Value::Mapping(entries) => entries.iter().any(|(key, _)| matches!(key.value, Value::Mapping(_))),
            _ => false,
        }
    }

    /// Moves it to another place among all texts.
    pub(crate) fn shift(&mut self, by: usize) {
        self.span = self.span.start + by..self.span.end + by;
        match &mut self.value {
            Value::Scalar { .. } => {}
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(key, value)| {
                key.shift(by);
                value.shift(by);
            }),
        }
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::Sequence(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Mapping(entries) => {
                1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>()
            }
        }
    }
}

fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Scalar::Text(text);
    }
    if let Ok(integer) = text.parse() {
        return Scalar::Integer(integer);
    }
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>() {
        Ok(float) if is_decimal && float.is_finite() => Scalar::Float(float),
        _ => Scalar::Text(text),
    }
}

/// Reads a text that is one YAML document.
pub(crate) fn parse(text: &str) -> Result<Node, Malformed> {
    if text.len() > MAX_BYTES {
        let message = format!("plan is {} bytes long, more than {MAX_BYTES}", text.len());
        return Err(Malformed { message, hint: Some("keep data in files of its own"), span: 0..0 });
    }
    let mut builder = Builder {
        offsets: Offsets::new(text),
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.malformed(text, &error))?;
        builder.take(event, span)?;
    }
    builder.root.ok_or_else(|| Malformed { message: "plan is empty".to_owned(), hint: None, span: 0..0 })
}

/// From the parser's character offsets to bytes.
struct Offsets(Option<Vec<usize>>);

impl Offsets {
    fn new(text: &str) -> Self {
        Self(
            (!text.is_ascii())
                .then(|| text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect()),
        )
    }

    fn byte(&self, character: usize) -> usize {
        match &self.0 {
            None => character,
            Some(bytes) => bytes.get(character).or(bytes.last()).copied().unwrap_or(0),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}

/// A sequence or mapping that has begun and not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// Of a mapping: the key that waits for its value.
    key: Option<Node>,
}

struct Builder {
    offsets: Offsets,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Malformed> {
        let range = self.offsets.range(span);
        if let Event::Scalar(.., Some(tag))
        | Event::SequenceStart(.., Some(tag))
        | Event::MappingStart(.., Some(tag)) = &event
        {
            return refuse_tag(tag, range);
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: Cow::into_owned(text), plain };
                self.finish(Node { span: range, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Value::Sequence(Vec::new()), range, anchor),
            Event::MappingStart(anchor, _) => self.begin(Value::Mapping(Vec::new()), range, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(mut open) => {
                    open.node.span.end = last_end(&open.node).unwrap_or(range.end);
                    self.finish(open.node, open.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return refuse("alias refers to what contains it", range);
                };
                self.nodes += node.size();
                self.finish(Node { span: range, ..node }, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                refuse("file holds more than one document", range)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, span: Range<usize>, anchor: usize) -> Result<(), Malformed> {
        if self.open.len() >= MAX_DEPTH {
            return refuse(&format!("values are nested more than {MAX_DEPTH} deep"), span);
        }
        self.open.push(Open { node: Node { span, value }, anchor, key: None });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return refuse(&format!("plan has more than {MAX_NODES} values"), node.span);
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Sequence(items), _) => items.push(node),
            (Value::Mapping(entries), Some(key)) => entries.push((key, node)),
            (Value::Mapping(_) | Value::Scalar { .. }, _) => open.key = Some(node),
        }
        Ok(())
    }

    fn malformed(&self, text: &str, error: &ScanError) -> Malformed {
        let at = text.floor_char_boundary(self.offsets.byte(error.marker().index()).min(text.len()));
        let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let line = &text[line_start..line_end];
        let hint = if line.contains("{{") && !line.contains(['"', '\'']) {
            Some("quote the expression, such as `\"{{ name }}\"`")
        } else if line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t') {
            Some("indent with spaces, not with tabs")
        } else {
            None
        };
        let end = (at + 1).min(line_end.max(at));
        // The parser's own limit is beyond ours, but it looks ahead.
        let message = if error.info().contains("recursion limit") {
            format!("values are nested more than {MAX_DEPTH} deep")
        } else {
            format!("not valid YAML: {}", error.info())
        };
        Malformed { message, hint, span: at..end }
    }
}

/// A block's own end mark stands on the next line; its last value's end says more.
fn last_end(node: &Node) -> Option<usize> {
    match &node.value {
        Value::Sequence(items) => items.last().map(|item| item.span.end),
        Value::Mapping(entries) => entries.last().map(|(_, value)| value.span.end),
        Value::Scalar { .. } => None,
    }
}

/// What a tag asks for, such as another file, would not be done.
fn refuse_tag(tag: &Tag, span: Range<usize>) -> Result<(), Malformed> {
    let handle = if tag.is_yaml_core_schema() { "!!" } else { tag.handle.as_str() };
    let message = format!("tag `{handle}{}` has no meaning here", tag.suffix);
    Err(Malformed { message, hint: Some("leave it out; quotes make a text of anything"), span })
}

fn refuse<T>(message: &str, span: Range<usize>) -> Result<T, Malformed> {
    Err(Malformed { message: message.to_owned(), hint: None, span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_the_core_schema() {
        let check = |text: &str, expected: Scalar<'_>| assert_eq!(resolve(text), expected, "{text}");
        check("", Scalar::Null);
        check("~", Scalar::Null);
        check("true", Scalar::Bool(true));
        check("yes", Scalar::Text("yes"));
        check("-12", Scalar::Integer(-12));
        check("1.5", Scalar::Float(1.5));
        check("1e3", Scalar::Float(1_000.0));
        check("1s", Scalar::Text("1s"));
        check("1s..2s", Scalar::Text("1s..2s"));
        check("nan", Scalar::Text("nan"));
        check("99999999999999999999", Scalar::Float(1e20));
    }

    #[test]
    fn places_are_in_bytes_whatever_the_characters() {
        let text = "a: é\nb: [x, ü]\n";
        let root = parse(text).unwrap();
        let Value::Mapping(entries) = &root.value else { panic!("not a mapping") };
        let Value::Sequence(items) = &entries[1].1.value else { panic!("not a list") };
        assert_eq!(&text[items[1].span.clone()], "ü");
    }

    #[test]
    fn what_would_not_end_is_refused() {
        let check = |text: &str, expected: &str| {
            let message = parse(text).unwrap_err().message;
            assert!(message.contains(expected), "{message}");
        };
        let laughs: String = (1..12)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(",")))
            .collect();
        check(&format!("a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n{laughs}"), "more than 100000 values");
        check(&"[".repeat(100), "nested more than 64 deep");
        check(&"x".repeat(MAX_BYTES + 1), "more than 1048576");
        check("a: 1\n---\nb: 2\n", "more than one document");
        check("", "empty");
        check("a: &x [*x]", "contains it");
        check("a: *missing", "not valid YAML");
        check("a: !include b.yaml", "tag `!include` has no meaning");
        check("a: !!str 5", "tag `!!str` has no meaning");
        check("a: !x [1]", "tag `!x` has no meaning");
    }
}
