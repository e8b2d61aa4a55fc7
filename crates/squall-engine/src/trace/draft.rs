//! What will be told of a request, while it is under way.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use squall_metrics::{Phase, Phases, Sample};
use squall_plan::expression::to_text;
use squall_plan::{Capture, Check, Source};

use crate::decode::decode;

use super::{Checked, Content, Exchange, Hop, Link, Parts};

/// What is known so far.
#[derive(Default)]
pub(crate) struct Draft {
    exchange: Exchange,
    /// What all hops before the last one took.
    before: Phases,
}

impl Draft {
    /// The whole, once the request has ended.
    pub(crate) fn finish(self, name: &str, outcome: String, failed: bool, took_us: u64) -> Exchange {
        Exchange { name: name.to_owned(), outcome, failed, took_us, ..self.exchange }
    }

    /// A message is to be sent.
    pub(crate) fn begin(&mut self, method: &http::Method, url: String) {
        self.exchange.hops.push(Hop { method: method.to_string(), url, ..Hop::default() });
    }

    /// It is on its way.
    pub(crate) fn sent<B>(&mut self, message: &Request<B>, body: &[u8], connection: Link) {
        let Some(hop) = self.exchange.hops.last_mut() else { return };
        let mut parts = parts(message.headers(), body);
        // What is added last.
        if !body.is_empty() && !message.headers().contains_key(CONTENT_LENGTH) {
            parts.headers.push((CONTENT_LENGTH.to_string(), body.len().to_string()));
        }
        hop.sent = Some(parts);
        hop.connection = Some(connection);
    }

    /// Its answer has come, with as much of its body as is known.
    pub(crate) fn received(&mut self, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        let Some(hop) = self.exchange.hops.last_mut() else { return };
        hop.status = Some(status.as_u16());
        hop.reason = status.canonical_reason().unwrap_or_default();
        hop.received = Some(parts(headers, body));
    }

    /// What the attempt took is known.
    pub(crate) fn closed(&mut self, sample: &Sample) {
        let Some(hop) = self.exchange.hops.last_mut() else { return };
        for phase in Phase::ALL {
            let Some(all) = sample.phases.get(phase) else { continue };
            let own = all - self.before.get(phase).unwrap_or(0);
            if own > 0 || self.before.get(phase).is_none() {
                hop.phases.push((name_of(phase), own));
            }
        }
        self.before = sample.phases;
    }

    /// Another message follows, for this reason.
    pub(crate) fn then(&mut self, why: impl Into<String>) {
        if let Some(hop) = self.exchange.hops.last_mut() {
            hop.then = Some(why.into());
        }
    }

    pub(crate) fn problem(&mut self, problem: &str) {
        self.exchange.problems.push(problem.to_owned());
    }

    pub(crate) fn check(&mut self, what: String, found: Option<String>, passed: bool) {
        self.exchange.checks.push(Checked { what, found, passed });
    }

    pub(crate) fn captured(&mut self, variable: &str, value: &minijinja::Value) {
        self.exchange.captures.push((variable.to_owned(), to_text(value)));
    }

    pub(crate) fn not_captured(&mut self, capture: &Capture) {
        let place = match &capture.source {
            Source::Json(path) => format!("`{path}` leads to nothing in the body"),
            Source::Header(name) => format!("there is no header `{name}`"),
            Source::Cookie(name) => format!("no cookie `{name}` is set"),
            Source::Regex(regex, _) => format!("`{regex}` matches nothing in the body"),
            _ => "the response has no such place".to_owned(),
        };
        let only = if capture.matches == squall_plan::Matches::Only { ", or to several" } else { "" };
        self.problem(&format!("nothing to capture for `{}`: {place}{only}", capture.variable));
    }
}

/// What a check is about, in words.
pub(crate) fn in_words(check: &Check) -> String {
    match check {
        Check::Header(name, _) => format!("header {name}"),
        Check::Json(path, _) => format!("json {path}"),
        Check::Text(_) => "text".to_owned(),
        Check::Regex(regex) => format!("regex {regex}"),
        Check::Latency(most) => format!("latency up to {}", super::in_words(*most)),
        Check::Size(sizes) if sizes.start() == sizes.end() => format!("size {}", sizes.start()),
        Check::Size(sizes) if *sizes.end() == u64::MAX => format!("size from {}", sizes.start()),
        Check::Size(sizes) => format!("size {} to {}", sizes.start(), sizes.end()),
    }
}

/// How phases are called in results.
fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns => "dns",
        Phase::Connect => "connect",
        Phase::Tls => "tls",
        Phase::Send => "send",
        Phase::FirstByte => "first_byte",
        Phase::Body => "body",
    }
}

fn parts(headers: &HeaderMap, body: &[u8]) -> Parts {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let pairs = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Parts { headers: pairs.collect(), content: content(headers, body) }
}

fn content(headers: &HeaderMap, body: &[u8]) -> Content {
    let unpacked = decode(Some(headers), body.to_vec()).unwrap_or_else(|_| body.to_vec());
    let is_text = |text: &String| !text.chars().any(|c| c == '\0' || c == char::REPLACEMENT_CHARACTER);
    let text = String::from_utf8(unpacked).ok().filter(is_text).filter(|text| !text.is_empty());
    let says_json = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase().contains("json"));
    let is_json = |text: &String| {
        (says_json || text.trim_start().starts_with(['{', '[']))
            && serde_json::from_str::<serde_json::Value>(text).is_ok()
    };
    let json = text.as_ref().is_some_and(is_json);
    Content { bytes: body.len() as u64, text, cut: false, json }
}
