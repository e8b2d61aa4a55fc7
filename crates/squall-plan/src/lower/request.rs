//! Steps: requests and pauses.

use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Uri};
use serde_json_path::JsonPath;

use crate::expression::{JsonTemplate, ProgramBuilder, Template, UrlTemplate};
use crate::keys::{self, VERBS};
use crate::model::{Body, Capture, Expect, Headers, OnFailure, Request, SeriesName, Step, Think};
use crate::yaml::{Node, Scalar, Value};

use super::fields::Fields;
use super::values::HeaderList;
use super::{Lowering, MAX_NAMES, OTHER};

impl Lowering<'_> {
    pub(super) fn step(&mut self, node: &Node, scenario: &str, headers: &HeaderList) -> Option<Step> {
        let fields = self.fields(node, &keys::STEP)?;
        let kinds = fields.present(&[&VERBS[..], &["think"]].concat());
        let kind = match kinds.as_slice() {
            [(kind, _)] => *kind,
            [] => {
                let hint = Some("write a verb such as `get: /path`, or `think: 1s`".to_owned());
                self.error(node.span.clone(), "no-verb", "step does nothing".to_owned(), hint);
                return None;
            }
            [(first, _), (second, key), ..] => {
                let message = format!("step has both `{first}` and `{second}`");
                self.error(key.span.clone(), "conflict", message, Some("make them two steps".to_owned()));
                return None;
            }
        };
        let value = fields.get(kind)?;
        if kind != "think" {
            return self
                .request(kind, value, &fields, scenario, headers)
                .map(|request| Step::Request(Box::new(request)));
        }
        let others = keys::STEP.keys.iter().map(|key| key.name).filter(|name| *name != "think");
        for (name, key) in fields.present(&others.collect::<Vec<_>>()) {
            self.error(key.span.clone(), "conflict", format!("`{name}` has no place beside `think`"), None);
        }
        let think = self.within("think", |this| this.think(value))?;
        if matches!(think, Think::Pace(_)) {
            let hint = Some("write it as the `think` of the scenario".to_owned());
            self.error(value.span.clone(), "conflict", "a step has no pace".to_owned(), hint);
            return None;
        }
        Some(Step::Think(think))
    }

    /// Path and query of a URL that is always the same.
    fn fixed_path(&self, url: &UrlTemplate) -> Option<Uri> {
        let path = url.template().as_literal().filter(|path| path.starts_with('/'))?;
        Uri::try_from(format!("{}{path}", self.base.as_ref()?.0)).ok()
    }

    fn request(
        &mut self,
        verb: &'static str,
        url: &Node,
        fields: &Fields<'_>,
        scenario: &str,
        inherited: &HeaderList,
    ) -> Option<Request> {
        let url = self.within(verb, |this| this.url(url));
        let own = fields.get("headers").map(|node| self.within("headers", |this| this.headers(node)));
        let body = self.body(fields);
        let expect = fields.get("expect").map(|node| self.within("expect", |this| this.expect(node)));
        let captures = fields.get("capture").map(|node| self.within("capture", |this| this.captures(node)));
        let on_failure =
            fields.get("on_failure").and_then(|node| self.within("on_failure", |this| this.on_failure(node)));
        let name = fields.get("name").map(|node| self.within("name", |this| this.name(node)));
        let (url, body) = (url?, body?);
        let method = verb.to_ascii_uppercase();
        let name = name.flatten().unwrap_or_else(|| format!("{method} {}", url.name()));
        let mut headers = Headers::default();
        if matches!(body, Body::Json(_)) {
            headers.set(&CONTENT_TYPE, &Template::literal("application/json"));
        }
        for (name, value) in inherited.iter().chain(own.iter().flatten()) {
            headers.set(name, value);
        }
        let fixed_path = self.fixed_path(&url);
        if let Some((_, host)) = self.base.as_ref().filter(|_| fixed_path.is_some() && !headers.has(&HOST)) {
            headers.fixed.insert(HOST, host.clone());
        }
        Some(Request {
            series: self.series(scenario, name, fields),
            method: Method::from_bytes(method.as_bytes()).ok()?,
            url,
            fixed_path,
            headers,
            body,
            expect: expect.unwrap_or_default(),
            captures: captures.unwrap_or_default(),
            on_failure: on_failure.unwrap_or_default(),
        })
    }

    /// The series of a name; when there are too many, that of all others of the scenario.
    fn series(&mut self, scenario: &str, endpoint: String, fields: &Fields<'_>) -> usize {
        let mut series = SeriesName { scenario: scenario.to_owned(), endpoint };
        if self.series.len() >= MAX_NAMES && !self.series.contains(&series) {
            let span = fields.present(&VERBS).first().map_or(0..0, |(_, key)| key.span.clone());
            let message = format!("more than {MAX_NAMES} names; this request is measured as `{OTHER}`");
            self.warning(
                span,
                "too-many-names",
                message,
                Some("give requests of a kind the same `name`".to_owned()),
            );
            OTHER.clone_into(&mut series.endpoint);
        }
        let known = self.series.iter().position(|known| *known == series);
        known.unwrap_or_else(|| {
            self.series.push(series);
            self.series.len() - 1
        })
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if text.contains("{{") {
            let message = "a name groups requests, so it has no expressions".to_owned();
            self.error(
                node.span.clone(),
                "name",
                message,
                Some("write `:id` or the like in their place".to_owned()),
            );
        }
        if text.trim().is_empty() || text.len() > 200 {
            self.error(node.span.clone(), "name", "a name has 1 to 200 characters".to_owned(), None);
        }
        Some(text)
    }

    fn url(&mut self, node: &Node) -> Option<UrlTemplate> {
        let text = self.text(node)?;
        let url = self.compile(node, &text, ProgramBuilder::url)?;
        self.note_uses(node, url.template());
        let literals: String = url.template().literals().collect();
        let wrong = if !["/", "http://", "https://", "{{"].iter().any(|start| text.starts_with(start)) {
            Some(("URL is neither a path nor absolute", "begin it with `/`, `http://` or `https://`"))
        } else if literals.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Some(("URL has a space or control character", "write `%20` or `+`"))
        } else if literals.contains('#') {
            Some(("URL has a fragment, which is never sent", "leave out `#` and what follows"))
        } else {
            None
        };
        if let Some((message, hint)) = wrong {
            self.error(node.span.clone(), "bad-url", message.to_owned(), Some(hint.to_owned()));
            return None;
        }
        Some(url)
    }

    /// The body; `None` if it is wrong, `Body::Empty` if there is none.
    fn body(&mut self, fields: &Fields<'_>) -> Option<Body> {
        if let (Some(_), Some(key)) = (fields.get("json"), fields.key("body")) {
            let message = "`body` has no place beside `json`".to_owned();
            self.error(key.span.clone(), "conflict", message, Some("leave out one of them".to_owned()));
        }
        if let Some(node) = fields.get("json") {
            return self
                .within("json", |this| this.json(node))
                .map(|json| Body::Json(JsonTemplate::new(&json)));
        }
        match fields.get("body") {
            Some(node) => self.within("body", |this| this.template(node)).map(Body::Text),
            None => Some(Body::Empty),
        }
    }

    fn expect(&mut self, node: &Node) -> Expect {
        let Some(fields) = self.fields(node, &keys::EXPECT) else { return Expect::default() };
        let Some(node) = fields.get("status") else { return Expect::default() };
        let status = self.within("status", |this| match &node.value {
            Value::Sequence(_) => this.list(node, Self::status),
            _ => this.status(node).into_iter().collect(),
        });
        Expect { status }
    }

    fn status(&mut self, node: &Node) -> Option<u16> {
        self.count(node, 100, 599).and_then(|status| u16::try_from(status).ok())
    }

    fn captures(&mut self, node: &Node) -> Vec<Capture> {
        let mut captures = Vec::new();
        for (name, key, value) in self.entries(node) {
            self.within(name, |this| {
                this.check_variable(key, name);
                let Some(Scalar::Text(text)) = value.scalar() else {
                    return this.wrong_kind(value, "a JSONPath");
                };
                match JsonPath::parse(text) {
                    Ok(path) => captures.push(Capture { variable: name.to_owned(), path }),
                    Err(error) => {
                        let at = error.position().min(text.len());
                        let span = this.place_in(value, text, Some(&(at..at + 1)));
                        let hint = Some("write a path such as `$.items[0].id`".to_owned());
                        this.error(span, "json-path", format!("not a JSONPath: {}", error.message()), hint);
                    }
                }
            });
        }
        captures
    }

    fn on_failure(&mut self, node: &Node) -> Option<OnFailure> {
        Some(match self.word(node, &["stop_iteration", "continue", "stop_user", "abort"])? {
            "continue" => OnFailure::Continue,
            "stop_user" => OnFailure::StopUser,
            "abort" => OnFailure::Abort,
            _ => OnFailure::StopIteration,
        })
    }
}
