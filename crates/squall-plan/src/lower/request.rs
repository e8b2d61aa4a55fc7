//! Requests.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Uri};
use url::Url;

use crate::expression::{ProgramBuilder, Template, UrlTemplate};
use crate::keys::{self, ACTIONS, VERBS};
use crate::model::{Body, Compression, Headers, LooksAt, OnFailure, Purpose, Request, Retry, SeriesName};
use crate::yaml::{Node, Scalar};

use super::fields::Fields;
use super::steps::Home;
use super::{Lowering, MAX_NAMES, OTHER};

/// The keys of a step that say something about a request.
const BODIES: [&str; 6] = ["json", "form", "multipart", "body", "body_file", "raw"];

impl Lowering<'_> {
    /// Path and query of a URL that is always the same.
    fn fixed_path(&self, url: &UrlTemplate) -> Option<Uri> {
        let path = url.template().as_literal().filter(|path| path.starts_with('/'))?;
        Uri::try_from(format!("{}{path}", self.base.as_ref()?.0)).ok()
    }

    pub(super) fn request(
        &mut self,
        verb: &'static str,
        url: &Node,
        fields: &Fields<'_>,
        home: Home<'_>,
    ) -> Option<Request> {
        let foreign = keys::STEP.keys.iter().map(|key| key.name);
        let foreign =
            foreign.filter(|name| ACTIONS.contains(name) || ["steps", "then", "else"].contains(name));
        for (name, key) in fields.present(&foreign.collect::<Vec<_>>()) {
            self.error(key.span.clone(), "conflict", format!("`{name}` has no place beside `{verb}`"), None);
        }
        let uses = self.uses.len();
        let url = self.within(verb, |this| this.url(url));
        let query =
            self.optional(fields, "query", |this, node| Some(this.templates(node))).unwrap_or_default();
        let own =
            self.optional(fields, "headers", |this, node| Some(this.sent_headers(node))).unwrap_or_default();
        let auth = self.optional(fields, "auth", Self::auth);
        let body = self.request_body(fields);
        let timeout = self.optional(fields, "timeout", Self::positive_duration);
        let follow_redirects =
            self.optional(fields, "follow_redirects", |this, node| this.count(node, 0, 50));
        let retry = self.optional(fields, "retry", Self::retry);
        let expect =
            self.optional(fields, "expect", |this, node| Some(this.expect(node))).unwrap_or_default();
        let captures =
            self.optional(fields, "capture", |this, node| Some(this.captures(node))).unwrap_or_default();
        let on_failure = self.optional(fields, "on_failure", Self::on_failure);
        let cleanup = self.optional(fields, "cleanup", |this, node| this.cleanup(node, home));
        let name = self.optional(fields, "name", Self::name);
        let tags = self.tags(fields, &home.manner.tags);
        let (url, (body, content_type)) = (url?, body?);
        self.check_capture(fields.key("capture"), uses, home.manner);
        let method = verb.to_ascii_uppercase();
        let name = name.unwrap_or_else(|| {
            let purpose = if home.purpose == Purpose::Cleanup { "cleanup " } else { "" };
            format!("{purpose}{method} {}", url.name())
        });
        let url = url.with_query(&query);
        let manner = home.manner.within(auth, own);
        let mut headers = Headers::default();
        if let Some(content_type) = content_type {
            headers.set(&CONTENT_TYPE, &Template::literal(content_type));
        }
        for (name, value) in &manner.headers {
            headers.set(name, value);
        }
        let fixed_path = self.fixed_path(&url);
        let compress = self.compress(fields, &headers, body.is_empty(), home);
        if let Some(compress) = compress {
            headers.set(&CONTENT_ENCODING, &Template::literal(compress.coding()));
        }
        if let Some((_, host)) = self.base.as_ref().filter(|_| fixed_path.is_some() && !headers.has(&HOST)) {
            headers.fixed.insert(HOST, host.clone());
        }
        let own_agent = headers.has(&USER_AGENT);
        let looks_at = LooksAt {
            headers: expect.looks_at_headers() || captures.iter().any(|capture| !capture.source.is_body()),
            body: expect.looks_at_body() || captures.iter().any(|capture| capture.source.is_body()),
        };
        Some(Request {
            series: self.series(
                SeriesName {
                    scenario: home.scenario.to_owned(),
                    endpoint: name,
                    tags,
                    purpose: home.purpose,
                },
                fields,
            ),
            method: Method::from_bytes(method.as_bytes()).ok()?,
            url,
            fixed_path,
            headers,
            own_agent,
            auth: manner.auth,
            body,
            compress,
            timeout,
            follow_redirects,
            retry,
            expect,
            captures,
            looks_at,
            cleanup,
            on_failure: on_failure.unwrap_or_default(),
        })
    }

    /// A request that undoes another one; its index.
    fn cleanup(&mut self, node: &Node, home: Home<'_>) -> Option<usize> {
        let fields = self.fields(node, &keys::CLEANUP)?;
        let found = fields.present(&VERBS);
        let [(verb, _)] = found.as_slice() else {
            let message = "`cleanup` is one request".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, Some("write `delete: /path` or the like".to_owned()));
            return None;
        };
        let url = fields.get(verb)?;
        let mut request = self.request(verb, url, &fields, Home { purpose: Purpose::Cleanup, ..home })?;
        if request.expect.status.is_empty() {
            // What is not there any more has been undone.
            request.expect.status = vec![100..=399, 404..=404, 410..=410];
        }
        self.cleanups.push(request);
        Some(self.cleanups.len() - 1)
    }

    /// The series of a name; when there are too many, that of all others of the scenario.
    pub(super) fn series(&mut self, mut series: SeriesName, fields: &Fields<'_>) -> usize {
        if self.series.len() >= MAX_NAMES && !self.series.contains(&series) {
            let span = fields.present(&VERBS).first().map_or(0..0, |(_, key)| key.span.clone());
            let message = format!("more than {MAX_NAMES} names; this request is measured as `{OTHER}`");
            self.warning(
                span,
                "too-many-names",
                message,
                Some("give requests of a kind the same `name` and `tags`".to_owned()),
            );
            OTHER.clone_into(&mut series.endpoint);
            series.tags.clear();
        }
        let known = self.series.iter().position(|known| *known == series);
        known.unwrap_or_else(|| {
            self.series.push(series);
            self.series.len() - 1
        })
    }

    pub(super) fn name(&mut self, node: &Node) -> Option<String> {
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

    pub(super) fn url(&mut self, node: &Node) -> Option<UrlTemplate> {
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
        self.check_host(node, &url);
        Some(url)
    }

    /// A URL whose host is always the same must lead to one that the plan allows.
    fn check_host(&mut self, node: &Node, url: &UrlTemplate) {
        let start = url.template().literals().next().filter(|start| start.starts_with("http")).unwrap_or("");
        // What follows an expression may still belong to the host.
        let whole = url.template().as_literal().is_some() || start.matches('/').count() > 2;
        let Some(host) =
            Url::parse(start).ok().filter(|_| whole).and_then(|url| url.host_str().map(str::to_owned))
        else {
            return;
        };
        let allowed =
            self.allowed.as_ref().is_none_or(|allowed| allowed.allows(host.trim_matches(['[', ']'])));
        if !allowed {
            let hint = Some(format!("write `allow: [ {host} ]` in the plan"));
            self.error(node.span.clone(), "forbidden-host", format!("host `{host}` is not allowed"), hint);
        }
        self.check_address(node, &host);
    }

    /// The body and its content type; `None` if it is wrong.
    fn request_body(&mut self, fields: &Fields<'_>) -> Option<(Body, Option<String>)> {
        let found = fields.present(&BODIES);
        if let [(first, _), (second, key), ..] = found.as_slice() {
            let message = format!("`{second}` has no place beside `{first}`");
            self.error(key.span.clone(), "conflict", message, Some("leave out one of them".to_owned()));
        }
        let Some((kind, _)) = found.first() else { return Some((Body::Empty, None)) };
        let node = fields.get(kind)?;
        self.within(kind, |this| this.body(kind, node))
    }

    /// How the body is packed: as the request says, or else as the plan does where there is something to pack.
    fn compress(
        &mut self,
        fields: &Fields<'_>,
        headers: &Headers,
        is_empty: bool,
        home: Home<'_>,
    ) -> Option<Compression> {
        let own = self.optional(fields, "compress", Self::compression).map(Compression::of);
        let encoded = headers.has(&CONTENT_ENCODING);
        let Some(own) = own else { return home.manner.compress.filter(|_| !is_empty && !encoded) };
        let conflict = match own {
            Some(_) if is_empty => Some("`compress` has no place where there is no body"),
            Some(_) if encoded => Some("`compress` has no place beside a header `Content-Encoding`"),
            _ => None,
        };
        if let (Some(conflict), Some(key)) = (conflict, fields.key("compress")) {
            self.error(key.span.clone(), "conflict", conflict.to_owned(), None);
        }
        own
    }

    pub(super) fn compression(&mut self, node: &Node) -> Option<&'static str> {
        self.word(node, &keys::COMPRESS)
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let fields = self.fields(node, &keys::RETRY)?;
        let times = self.optional(&fields, "times", |this, node| this.count(node, 1, 100));
        let statuses = self.optional(&fields, "on", |this, node| Some(this.statuses(node)));
        let transport = self.optional(&fields, "transport", Self::switch);
        let wait = self.optional(&fields, "wait", Self::duration);
        let max_wait = self.optional(&fields, "max_wait", Self::duration);
        Some(Retry {
            times: times.unwrap_or(1),
            statuses: statuses.unwrap_or_else(|| vec![429..=429, 502..=504]),
            transport: transport.unwrap_or(true),
            wait: wait.unwrap_or(Duration::from_millis(100)),
            max_wait: max_wait.unwrap_or(Duration::from_secs(10)),
        })
    }

    fn on_failure(&mut self, node: &Node) -> Option<OnFailure> {
        Some(match self.word(node, &OnFailure::WORDS)? {
            "continue" => OnFailure::Continue,
            "stop_user" => OnFailure::StopUser,
            "abort" => OnFailure::Abort,
            _ => OnFailure::StopIteration,
        })
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, node: &Node) -> Option<bool> {
        match node.scalar() {
            Some(Scalar::Bool(value)) => Some(value),
            _ => {
                self.wrong_kind(node, "true or false");
                None
            }
        }
    }

    /// Whether a literal can be the value of a header.
    pub(super) fn is_header_value(template: &Template) -> bool {
        template.literals().all(|literal| HeaderValue::from_str(literal).is_ok())
    }
}
