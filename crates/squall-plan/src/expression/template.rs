//! Texts with expressions in them: plain text, URLs and JSON bodies.

use std::ops::Range;
use std::sync::Arc;

use minijinja::Value;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::program::{EvalError, Expr, ExpressionError, Program, ProgramBuilder};
use super::scope::Scope;
use super::value::{from_json, push_json, push_json_string, push_text};

/// What stays as it is inside a component of a URL: the unreserved characters of RFC 3986.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text with expressions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Expr(Expr),
}

impl Template {
    /// A text without expressions, whatever it contains.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The text, if it has no expressions.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression, if the text is exactly one.
    #[must_use]
    pub fn as_expression(&self) -> Option<Expr> {
        match self.parts.as_slice() {
            [Part::Expr(expr)] => Some(*expr),
            _ => None,
        }
    }

    /// The expressions in the text.
    pub fn expressions(&self) -> impl Iterator<Item = Expr> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expr(expr) => Some(*expr),
            Part::Text(_) => None,
        })
    }

    /// The literal parts of the text.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Expr(_) => None,
        })
    }

    /// The same behind another text.
    #[must_use]
    pub fn after(mut self, text: &str) -> Self {
        match self.parts.first_mut() {
            Some(Part::Text(first)) => first.insert_str(0, text),
            _ => self.parts.insert(0, Part::Text(text.to_owned())),
        }
        self
    }

    /// An expression whose value is the text.
    #[must_use]
    pub fn to_expression(&self, program: &ProgramBuilder) -> String {
        let parts = self.parts.iter().map(|part| match part {
            // A string of JSON is one of Jinja, too.
            Part::Text(text) => {
                let mut literal = String::new();
                push_json_string(&mut literal, text);
                literal
            }
            Part::Expr(expr) => format!("({})", program.text(*expr)),
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { "''".to_owned() } else { parts.join(" ~ ") }
    }

    /// Appends the text to `out`.
    pub fn render(&self, program: &Program, scope: &Arc<Scope>, out: &mut String) -> Result<(), EvalError> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expr(expr) => push_text(out, &program.eval(*expr, scope)?),
            }
        }
        Ok(())
    }

    /// The text's value: an expression that stands alone keeps its native type.
    pub fn value(&self, program: &Program, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        if let Some(expr) = self.as_expression() {
            return program.eval(expr, scope);
        }
        let mut text = String::new();
        self.render(program, scope, &mut text)?;
        Ok(Value::from(text))
    }
}

impl ProgramBuilder {
    /// Cuts a text at its `{{ }}` and adds the expressions.
    pub fn template(&mut self, text: &str) -> Result<Template, ExpressionError> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Text(range) => Part::Text(text[range].to_owned()),
                Piece::Expression(range) => {
                    Part::Expr(self.value(&text[range.clone()]).map_err(|error| {
                        let leading = text[range.clone()].len() - text[range.clone()].trim_start().len();
                        let offset = range.start + leading;
                        ExpressionError { at: error.at.map(|at| at.start + offset..at.end + offset), ..error }
                    })?)
                }
            });
        }
        Ok(Template { parts })
    }

    /// The same for a URL.
    pub fn url(&mut self, text: &str) -> Result<UrlTemplate, ExpressionError> {
        let template = self.template(text)?;
        let name = template.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Expr(expr) => format!(":{}", short_name(self.text(*expr))),
        });
        let name = path_of(&name.collect::<String>()).to_owned();
        Ok(UrlTemplate { template, name })
    }
}

enum Piece {
    Text(Range<usize>),
    Expression(Range<usize>),
}

/// Where the literal parts and the expressions of a text are.
fn pieces(text: &str) -> Result<Vec<Piece>, ExpressionError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("{{").map(|found| at + found) {
        if found > at {
            pieces.push(Piece::Text(at..found));
        }
        let start = found + 2;
        let end = end_of_expression(text, start).ok_or_else(|| ExpressionError {
            message: "`{{` is never closed by `}}`".to_owned(),
            at: Some(found..text.len()),
        })?;
        pieces.push(Piece::Expression(start..end));
        at = end + 2;
    }
    if at < text.len() {
        pieces.push(Piece::Text(at..text.len()));
    }
    if let Some(found) = pieces.iter().find_map(|piece| match piece {
        Piece::Text(range) => text[range.clone()].find("{%").map(|found| range.start + found),
        Piece::Expression(_) => None,
    }) {
        let message = "`{% %}` blocks are not part of the language; steps have conditions instead".to_owned();
        return Err(ExpressionError { message, at: Some(found..found + 2) });
    }
    Ok(pieces)
}

/// The byte at which the expression that begins at `start` meets its `}}`: outside quotes and inner braces.
fn end_of_expression(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut quote, mut depth, mut at) = (None, 0_u32, start);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// What an expression is called in a request's default name: its function, or the end of its path.
fn short_name(expression: &str) -> &str {
    let end =
        expression.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(expression.len());
    let path = &expression[..end];
    match path.rsplit('.').next() {
        Some(name) if !name.is_empty() => name,
        _ => "value",
    }
}

/// A URL without scheme, host and query.
fn path_of(url: &str) -> &str {
    let after_host =
        url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    after_host.split_once('?').map_or(after_host, |(path, _)| path)
}

/// A URL with expressions in it: percent-encoded per component, except one that is the whole or leading
/// part (a URL that a response gave), or that says `| raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    template: Template,
    name: String,
}

impl UrlTemplate {
    /// The text.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The path with expressions as `:var`, for the request's default name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the URL to `out`.
    pub fn render(&self, program: &Program, scope: &Arc<Scope>, out: &mut String) -> Result<(), EvalError> {
        for (index, part) in self.template.parts.iter().enumerate() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expr(expr) => {
                    let value = program.eval(*expr, scope)?;
                    let mut text = String::new();
                    push_text(&mut text, &value);
                    if index == 0 || value.is_safe() {
                        out.push_str(&text);
                    } else {
                        out.extend(utf8_percent_encode(&text, COMPONENT));
                    }
                }
            }
        }
        Ok(())
    }
}

impl UrlTemplate {
    /// The same with a query at its end, behind that which it may have.
    #[must_use]
    pub fn with_query(mut self, pairs: &[(String, Template)]) -> Self {
        let has_query = self.template.literals().any(|text| text.contains('?'));
        push_pairs(&mut self.template.parts, pairs, if has_query { "&" } else { "?" });
        self
    }

    /// A form as it is sent: pairs of names and texts, percent-encoded.
    #[must_use]
    pub fn form(pairs: &[(String, Template)]) -> Self {
        let mut parts = Vec::new();
        push_pairs(&mut parts, pairs, "");
        Self { template: Template { parts }, name: String::new() }
    }
}

/// Appends pairs, percent-encoded; what comes before the first one is given.
fn push_pairs(parts: &mut Vec<Part>, pairs: &[(String, Template)], first: &str) {
    for (index, (name, value)) in pairs.iter().enumerate() {
        let before = if index == 0 { first } else { "&" };
        push_literal(parts, &format!("{before}{}=", utf8_percent_encode(name, COMPONENT)));
        for part in &value.parts {
            match part {
                Part::Text(text) => push_literal(parts, &utf8_percent_encode(text, COMPONENT).to_string()),
                Part::Expr(expr) => parts.push(Part::Expr(*expr)),
            }
        }
    }
}

/// Appends a literal to the one at the end, so that a text without expressions stays one.
fn push_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// A JSON value with expressions in its strings.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonNode {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string; where it is exactly one expression, that expression's own value.
    Text(Template),
    /// A list.
    Array(Vec<JsonNode>),
    /// An object; names are literal.
    Object(Vec<(String, JsonNode)>),
}

/// A JSON body, flattened so that what never changes is written at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonTemplate {
    parts: Vec<JsonPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum JsonPart {
    Literal(String),
    /// An expression's own value.
    Value(Expr),
    /// A string made of text and expressions.
    Text(Template),
}

impl JsonTemplate {
    /// Flattens the tree.
    #[must_use]
    pub fn new(node: &JsonNode) -> Self {
        let mut template = Self { parts: Vec::new() };
        template.push(node);
        template
    }

    /// The expressions in the body.
    pub fn expressions(&self) -> impl Iterator<Item = Expr> {
        self.parts.iter().flat_map(|part| match part {
            JsonPart::Literal(_) => Vec::new(),
            JsonPart::Value(expr) => vec![*expr],
            JsonPart::Text(template) => template.expressions().collect(),
        })
    }

    /// Appends the JSON to `out`.
    pub fn render(&self, program: &Program, scope: &Arc<Scope>, out: &mut String) -> Result<(), EvalError> {
        for part in &self.parts {
            match part {
                JsonPart::Literal(json) => out.push_str(json),
                JsonPart::Value(expr) => push_json(out, &program.eval(*expr, scope)?, 0),
                JsonPart::Text(template) => {
                    let mut text = String::new();
                    template.render(program, scope, &mut text)?;
                    push_json_string(out, &text);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, node: &JsonNode) {
        match node {
            JsonNode::Null => self.literal("null"),
            JsonNode::Bool(value) => self.literal(if *value { "true" } else { "false" }),
            JsonNode::Number(number) => self.literal(&number.to_string()),
            JsonNode::Text(template) => match (template.as_literal(), template.as_expression()) {
                (Some(text), _) => self.write_literal(|json| push_json_string(json, text)),
                (None, Some(expr)) => self.parts.push(JsonPart::Value(expr)),
                (None, None) => self.parts.push(JsonPart::Text(template.clone())),
            },
            JsonNode::Array(items) => self.push_list("[", "]", items, Self::push),
            JsonNode::Object(members) => self.push_list("{", "}", members, |template, (name, value)| {
                template.write_literal(|json| push_json_string(json, name));
                template.literal(":");
                template.push(value);
            }),
        }
    }

    fn push_list<T>(&mut self, open: &str, close: &str, items: &[T], push: impl Fn(&mut Self, &T)) {
        self.literal(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.literal(",");
            }
            push(self, item);
        }
        self.literal(close);
    }

    fn literal(&mut self, json: &str) {
        self.write_literal(|end| end.push_str(json));
    }

    /// Appends to the literal at the end, beginning one after an expression.
    fn write_literal(&mut self, write: impl FnOnce(&mut String)) {
        if let Some(JsonPart::Literal(json)) = self.parts.last_mut() {
            return write(json);
        }
        let mut json = String::new();
        write(&mut json);
        self.parts.push(JsonPart::Literal(json));
    }
}

/// A value with expressions in its texts: where it is exactly one expression, that expression's own value.
#[derive(Debug, Clone)]
pub enum ValueTemplate {
    /// Always the same.
    Constant(Value),
    /// A text.
    Text(Template),
    /// A list or mapping.
    Json(JsonTemplate),
}

impl ValueTemplate {
    /// Of a tree.
    #[must_use]
    pub fn new(node: &JsonNode) -> Self {
        if let JsonNode::Text(template) = node {
            return match template.as_literal() {
                Some(text) => Self::Constant(Value::from(text)),
                None => Self::Text(template.clone()),
            };
        }
        let json = JsonTemplate::new(node);
        match json.parts.as_slice() {
            [JsonPart::Literal(text)] => Self::Constant(parsed(text)),
            _ => Self::Json(json),
        }
    }

    /// The value, if it is always the same.
    #[must_use]
    pub fn as_constant(&self) -> Option<&Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Text(_) | Self::Json(_) => None,
        }
    }

    /// The value.
    pub fn value(&self, program: &Program, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Text(template) => template.value(program, scope),
            Self::Json(json) => {
                let mut text = String::new();
                json.render(program, scope, &mut text)?;
                Ok(parsed(&text))
            }
        }
    }
}

/// The value of JSON that was written here.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).map(|json| from_json(&json)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
