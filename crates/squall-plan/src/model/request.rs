//! Requests, and what is made of their responses.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use regex::Regex;
use serde_json_path::JsonPath;
use url::{Position, Url};

use crate::expression::{JsonTemplate, Template, UrlTemplate, ValueTemplate};
use crate::html::Selection;

/// A request, and what is made of its response.
#[derive(Debug)]
pub struct Request {
    /// Index into [`Plan::series`](super::Plan::series).
    pub series: usize,
    /// The method.
    pub method: Method,
    /// The URL: absolute, or relative to [`Plan::target`](super::Plan::target).
    pub url: UrlTemplate,
    /// Path and query at the target, where the URL is relative and has no expressions.
    pub fixed_path: Option<Uri>,
    /// Its headers, with those of scenario and plan that it does not replace.
    pub headers: Headers,
    /// Whether they say what sends it (`User-Agent`); if not, the engine says that it is this tool, and which run.
    pub own_agent: bool,
    /// Who asks, where that is more than one of the headers: an index into [`Plan::auths`](super::Plan::auths).
    pub auth: Option<usize>,
    /// What is sent.
    pub body: Body,
    /// How the body is packed; its headers say so.
    pub compress: Option<Compression>,
    /// How long it may take, where that is not what the plan says.
    pub timeout: Option<Duration>,
    /// How many redirects are followed, where that is not what the plan says.
    pub follow_redirects: Option<u32>,
    /// Whether it is sent again when it fails.
    pub retry: Option<Retry>,
    /// What must hold for the response to count as a success.
    pub expect: Expect,
    /// What later steps may use.
    pub captures: Vec<Capture>,
    /// Whether anybody looks at what the response says: its headers and its body.
    pub looks_at: LooksAt,
    /// What undoes what it made: an index into [`Plan::cleanups`](super::Plan::cleanups).
    pub cleanup: Option<usize>,
    /// What follows a failure.
    pub on_failure: OnFailure,
}

/// What of a response is kept until it has been judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LooksAt {
    /// Its headers.
    pub headers: bool,
    /// Its body.
    pub body: bool,
}

/// The headers of a request, cut into those that are always the same and those with expressions.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// Always the same.
    pub fixed: HeaderMap,
    /// To be evaluated for each request; none is in `fixed`.
    pub dynamic: Vec<(HeaderName, Template)>,
}

impl Headers {
    /// Sets a header, in place of any other of its name. A literal that is no header value is left out.
    pub fn set(&mut self, name: &HeaderName, value: &Template) {
        self.fixed.remove(name);
        self.dynamic.retain(|(known, _)| known != name);
        match value.as_literal().map(HeaderValue::from_str) {
            Some(Ok(literal)) => {
                self.fixed.insert(name, literal);
            }
            Some(Err(_)) => {}
            None => self.dynamic.push((name.clone(), value.clone())),
        }
    }
}

impl Headers {
    /// Whether a header is among them.
    #[must_use]
    pub fn has(&self, name: &HeaderName) -> bool {
        self.fixed.contains_key(name) || self.dynamic.iter().any(|(known, _)| known == name)
    }
}

/// The `Host` header for a URL: the port only where it is not the scheme's own.
#[must_use]
pub fn host_header(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()
}

/// What a request sends.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Text as it stands, after its expressions; no content type is implied.
    Text(Template),
    /// JSON.
    Json(JsonTemplate),
    /// A form, percent-encoded as in a URL.
    Form(UrlTemplate),
    /// A form in parts.
    Multipart(Multipart),
    /// Bytes of a file.
    Bytes(Bytes),
}

impl Body {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Bytes that it has whatever its expressions come to; JSON and forms are small, and taken for nothing.
    #[must_use]
    pub fn least_bytes(&self) -> usize {
        let text = |template: &Template| template.literals().map(str::len).sum::<usize>();
        match self {
            Self::Empty | Self::Json(_) | Self::Form(_) => 0,
            Self::Text(template) => text(template),
            Self::Multipart(multipart) => {
                let contents = multipart.parts.iter().map(|part| match &part.content {
                    Content::Text(template) => text(template),
                    Content::Bytes(bytes) => bytes.len(),
                });
                contents.sum()
            }
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As by gzip.
    Gzip,
    /// In the form of zlib, which HTTP calls deflate (RFC 9110, section 8.4.1.2).
    Deflate,
}

impl Compression {
    /// Of a word; `None` for any that is none.
    #[must_use]
    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Gzip, Self::Deflate].into_iter().find(|compression| compression.coding() == word)
    }

    /// As it is called in `Content-Encoding`.
    #[must_use]
    pub fn coding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// A form in parts.
#[derive(Debug)]
pub struct Multipart {
    /// What stands between the parts.
    pub boundary: String,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a form.
#[derive(Debug)]
pub struct Part {
    /// The field.
    pub name: String,
    /// The name of the file that it pretends to be.
    pub filename: Option<Template>,
    /// What is in it.
    pub content_type: Option<Template>,
    /// What is in it.
    pub content: Content,
}

/// What is in a part of a form.
#[derive(Debug)]
pub enum Content {
    /// A text.
    Text(Template),
    /// Bytes of a file.
    Bytes(Bytes),
}

/// Whether and when a request that failed is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// So often at most.
    pub times: u32,
    /// Statuses after which it is.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Whether it is after a failure without a response, too.
    pub transport: bool,
    /// The first pause; each one after it is twice as long.
    pub wait: Duration,
    /// The longest pause.
    pub max_wait: Duration,
}

/// What must hold for a response to count as a success.
#[derive(Debug, Default)]
pub struct Expect {
    /// The acceptable statuses. Empty: every status below 400.
    pub status: Vec<RangeInclusive<u16>>,
    /// What else must hold.
    pub checks: Vec<Check>,
}

impl Expect {
    /// Whether a status is as expected.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        if self.status.is_empty() { status < 400 } else { self.names(status) }
    }

    /// Whether a status is named.
    #[must_use]
    pub fn names(&self, status: u16) -> bool {
        self.status.iter().any(|range| range.contains(&status))
    }
}

/// Something that must hold for a response.
#[derive(Debug)]
pub enum Check {
    /// A header is there, and has this in it.
    Header(HeaderName, Template),
    /// What a path leads to is this.
    Json(JsonPath, ValueTemplate),
    /// The body has this in it.
    Text(Template),
    /// The body has something of this form in it.
    Regex(Regex),
    /// The response time is not longer.
    Latency(Duration),
    /// The body has so many bytes.
    Size(RangeInclusive<u64>),
}

/// A value taken out of a response.
#[derive(Debug)]
pub struct Capture {
    /// The variable that receives it.
    pub variable: String,
    /// Where it is found.
    pub source: Source,
    /// How many there may be.
    pub matches: Matches,
    /// What it is if there is none; without it, none is a failure.
    pub default: Option<ValueTemplate>,
}

/// Where a value is found.
#[derive(Debug)]
pub enum Source {
    /// In the JSON of the body.
    Json(JsonPath),
    /// In a header.
    Header(HeaderName),
    /// In a cookie that the response sets.
    Cookie(String),
    /// In the text of the body: this group of the expression.
    Regex(Regex, usize),
    /// In the HTML of the body.
    Css(Selection),
    /// It is the status.
    Status,
    /// It is how long the answer took, connecting left out, in milliseconds.
    Time,
    /// It is the whole body.
    Body,
}

impl Source {
    /// Whether it is found in the body.
    #[must_use]
    pub fn is_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Regex(..) | Self::Css(_) | Self::Body)
    }
}

/// How many matches of a capture count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Matches {
    /// The first.
    #[default]
    First,
    /// The only one: a second is a failure.
    Only,
    /// All of them, as a list.
    All,
}

/// What follows the failure of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The iteration ends.
    #[default]
    StopIteration,
    /// The next step follows.
    Continue,
    /// The user ends.
    StopUser,
    /// The whole run ends.
    Abort,
}

impl OnFailure {
    /// As they are written in a plan.
    pub const WORDS: [&'static str; 4] = ["stop_iteration", "continue", "stop_user", "abort"];
}
