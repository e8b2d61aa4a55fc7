//! A request with its expressions evaluated: what is sent, as often as it takes.

use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
};
use http::header::{LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use squall_plan::expression::{EvalError, Template};
use squall_plan::{Body, Content, Multipart, Plan, Request, host_header};
use thiserror::Error;
use url::{Position, Url};

use crate::auth::Credentials;
use crate::connect::Origin;
use crate::connection::Connection;
use crate::encode::encode;
use crate::user::User;

/// What is sent.
#[derive(Clone)]
pub(crate) struct Message<'a> {
    pub(crate) origin: Rc<Origin>,
    pub(crate) method: Method,
    /// Path and query.
    uri: Cow<'a, Uri>,
    /// What `Host` says, unless the fixed headers say it.
    host: Option<HeaderValue>,
    /// Headers without expressions.
    fixed: &'a HeaderMap,
    /// Headers with them.
    dynamic: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// What it says of who asks, besides its headers.
    credentials: Option<Rc<Credentials>>,
    /// What a redirect took away: the body, and what must not be told to another host.
    without_body: bool,
    without_credentials: bool,
}

/// Why a request cannot be built.
#[derive(Debug, Error)]
pub(crate) enum MessageError {
    #[error(transparent)]
    Expression(#[from] EvalError),
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("value of header `{0}` has a character that no header may have")]
    Header(HeaderName),
    #[error("there is no token: {0}")]
    NoToken(String),
}

/// Where a redirect leads.
#[derive(Debug, Error)]
#[error("redirect to `{0}` leads nowhere")]
pub(crate) struct BadRedirect(String);

impl User {
    /// Evaluates the request's expressions.
    pub(crate) fn message<'a>(
        &mut self,
        request: &'a Request,
        credentials: Option<Rc<Credentials>>,
    ) -> Result<Message<'a>, MessageError> {
        let worker = Rc::clone(&self.worker);
        let plan = &*worker.plan;
        let (origin, uri, host) = match &request.fixed_path {
            Some(path) => (Rc::clone(&self.worker.target), Cow::Borrowed(path), None),
            None => {
                self.text.clear();
                request.url.render(&plan.program, &self.scope, &mut self.text)?;
                let (origin, uri, host) = self.destination()?;
                (origin, Cow::Owned(uri), Some(host).filter(|_| !request.headers.has(&HOST)))
            }
        };
        let mut dynamic = Vec::with_capacity(request.headers.dynamic.len());
        for (name, template) in &request.headers.dynamic {
            self.text.clear();
            template.render(&plan.program, &self.scope, &mut self.text)?;
            let value = HeaderValue::from_str(&self.text).map_err(|_| MessageError::Header(name.clone()))?;
            dynamic.push((name.clone(), value));
        }
        let body = self.body(plan, &request.body)?;
        let body = match request.compress {
            None => body,
            Some(compression) => encode(compression, &body),
        };
        let (method, fixed) = (request.method.clone(), &request.headers.fixed);
        let (without_body, without_credentials) = (false, false);
        Ok(Message {
            origin,
            method,
            uri,
            host,
            fixed,
            dynamic,
            body,
            credentials,
            without_body,
            without_credentials,
        })
    }

    /// Where the URL in `self.text` leads: origin, path with query, and `Host`.
    fn destination(&self) -> Result<(Rc<Origin>, Uri, HeaderValue), MessageError> {
        let worker = &self.worker;
        let no_url = || MessageError::Url(self.text.clone());
        if self.text.starts_with('/') {
            let base = worker.plan.target.path().trim_end_matches('/');
            let uri = if base.is_empty() {
                Uri::try_from(&self.text)
            } else {
                Uri::try_from(format!("{base}{}", self.text))
            };
            return Ok((Rc::clone(&worker.target), uri.map_err(|_| no_url())?, worker.target_host.clone()));
        }
        let url = Url::parse(&self.text).map_err(|_| no_url())?;
        parts_of(&url).ok_or_else(no_url)
    }

    fn body(&self, plan: &Plan, body: &Body) -> Result<Bytes, MessageError> {
        let mut text = String::new();
        match body {
            Body::Empty => return Ok(Bytes::new()),
            Body::Text(template) => template.render(&plan.program, &self.scope, &mut text)?,
            Body::Json(template) => template.render(&plan.program, &self.scope, &mut text)?,
            Body::Form(form) => form.render(&plan.program, &self.scope, &mut text)?,
            Body::Bytes(bytes) => return Ok(bytes.clone()),
            Body::Multipart(multipart) => return self.multipart(plan, multipart),
        }
        Ok(Bytes::from(text))
    }

    /// A form in parts (RFC 7578).
    fn multipart(&self, plan: &Plan, multipart: &Multipart) -> Result<Bytes, MessageError> {
        let mut out = Vec::new();
        for part in &multipart.parts {
            let mut head =
                format!("--{}\r\nContent-Disposition: form-data; name=\"{}\"", multipart.boundary, part.name);
            if let Some(filename) = &part.filename {
                let filename = self.header_text(plan, filename)?;
                // As browsers do, what would end the text is written in another way.
                let _ = write!(head, "; filename=\"{}\"", filename.replace('"', "%22"));
            }
            if let Some(content_type) = &part.content_type {
                let _ = write!(head, "\r\nContent-Type: {}", self.header_text(plan, content_type)?);
            }
            head.push_str("\r\n\r\n");
            out.extend_from_slice(head.as_bytes());
            match &part.content {
                Content::Text(text) => {
                    let mut content = String::new();
                    text.render(&plan.program, &self.scope, &mut content)?;
                    out.extend_from_slice(content.as_bytes());
                }
                Content::Bytes(bytes) => out.extend_from_slice(bytes),
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{}--\r\n", multipart.boundary).as_bytes());
        Ok(Bytes::from(out))
    }

    /// A text that goes into a head, and so must not end it.
    fn header_text(&self, plan: &Plan, template: &Template) -> Result<String, MessageError> {
        let mut text = String::new();
        template.render(&plan.program, &self.scope, &mut text)?;
        let legal = HeaderValue::from_str(&text).is_ok();
        if legal { Ok(text) } else { Err(MessageError::Header(CONTENT_DISPOSITION)) }
    }
}

impl Message<'_> {
    /// The request as it goes over a connection. Its headers are put into a map that is empty, but may have room.
    pub(crate) fn to_http(
        &self,
        mut headers: HeaderMap,
        agent: Option<&HeaderValue>,
        cookies: Option<HeaderValue>,
        connection: &Connection,
    ) -> http::Request<Full<Bytes>> {
        if let Some(agent) = agent {
            headers.append(USER_AGENT, agent.clone());
        }
        for (name, value) in self.fixed {
            headers.append(name, value.clone());
        }
        for (name, value) in &self.dynamic {
            headers.insert(name, value.clone());
        }
        if self.without_body {
            [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING]
                .iter()
                .for_each(|name| drop(headers.remove(name)));
        }
        if self.without_credentials {
            [AUTHORIZATION, COOKIE, HOST].iter().for_each(|name| drop(headers.remove(name)));
        }
        if let Some(cookies) = cookies {
            let both = headers.get(COOKIE).and_then(|own| joined(own, &cookies));
            headers.insert(COOKIE, both.unwrap_or(cookies));
        }
        let mut uri = Uri::clone(&self.uri);
        if connection.is_http2() {
            // What HTTP/1.1 says in `Host` is a part of the URL here.
            let authority = headers.remove(HOST).or_else(|| self.host.clone());
            uri = authority.and_then(|authority| self.absolute(authority.as_bytes())).unwrap_or(uri);
        } else {
            if let Some(host) = &self.host {
                headers.insert(HOST, host.clone());
            }
            if let Some(proxy) = &connection.proxy {
                let authority = self.origin.authority();
                // As usual, the port is not said where it is that of plain HTTP.
                let authority = authority.strip_suffix(":80").unwrap_or(&authority);
                uri = self.absolute(authority.as_bytes()).unwrap_or(uri);
                proxy.authorization.iter().for_each(|value| {
                    headers.insert(PROXY_AUTHORIZATION, value.clone());
                });
            }
        }
        let mut message = http::Request::new(Full::new(self.body.clone()));
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = uri;
        *message.headers_mut() = headers;
        message
    }

    /// One more header, which the plan does not know.
    pub(crate) fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.dynamic.push((name, value));
    }

    /// Lets the request say who asks, where its headers do not say all of it.
    pub(crate) fn identify(
        &self,
        outgoing: &mut http::Request<Full<Bytes>>,
        unix_ms: impl FnOnce() -> i64,
    ) -> Result<(), String> {
        match self.credentials.as_deref() {
            None => {}
            Some(Credentials::Token(token)) => {
                outgoing.headers_mut().insert(AUTHORIZATION, token.clone());
            }
            Some(Credentials::Aws(keys)) => {
                let host = outgoing.headers().get(HOST).map(HeaderValue::as_bytes);
                let authority = self.origin.authority();
                let url = match outgoing.uri().authority() {
                    Some(_) => outgoing.uri().to_string(),
                    None => self
                        .absolute(host.unwrap_or(authority.as_bytes()))
                        .map(|uri| uri.to_string())
                        .unwrap_or_default(),
                };
                let signed = keys.sign(outgoing, &url, &self.body, unix_ms());
                signed.map_err(|error| format!("request cannot be signed: {error}"))?;
            }
        }
        Ok(())
    }

    /// What is sent in it.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    fn absolute(&self, authority: &[u8]) -> Option<Uri> {
        let path = self.uri.path_and_query()?.clone();
        let builder = Uri::builder().scheme(self.origin.scheme());
        builder.authority(authority).path_and_query(path).build().ok()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> Option<Url> {
        Url::parse(&format!("{}{}", self.origin, self.uri)).ok()
    }

    /// Whether sending it twice does what sending it once does (RFC 9110, section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(&self.method)
    }

    /// What to send when the answer leads elsewhere; `None` if it does not (RFC 9110, section 15.4).
    pub(crate) fn redirected(
        &self,
        status: StatusCode,
        headers: Option<&HeaderMap>,
    ) -> Option<Result<Self, BadRedirect>> {
        let keeps_method = match status.as_u16() {
            301 | 302 => self.method != Method::POST,
            303 => self.method == Method::HEAD,
            307 | 308 => true,
            _ => return None,
        };
        let location = String::from_utf8_lossy(headers?.get(LOCATION)?.as_bytes()).into_owned();
        let next = self.url().and_then(|url| url.join(&location).ok()).and_then(|url| parts_of(&url));
        let Some((origin, uri, host)) = next else { return Some(Err(BadRedirect(location))) };
        let elsewhere = origin != self.origin;
        Some(Ok(Self {
            method: if keeps_method { self.method.clone() } else { Method::GET },
            uri: Cow::Owned(uri),
            // Its own `Host` goes on with a request that stays where it is.
            host: if elsewhere { Some(host) } else { self.host.clone() },
            fixed: self.fixed,
            dynamic: self.dynamic.clone(),
            body: if keeps_method { self.body.clone() } else { Bytes::new() },
            credentials: self.credentials.clone().filter(|_| !elsewhere),
            without_body: self.without_body || !keeps_method,
            without_credentials: self.without_credentials || elsewhere,
            origin,
        }))
    }
}

/// The plan's own cookies and those that responses have set.
fn joined(own: &HeaderValue, set: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&[own.as_bytes(), b"; ", set.as_bytes()].concat()).ok()
}

/// Origin, path with query, and `Host` of a URL.
fn parts_of(url: &Url) -> Option<(Rc<Origin>, Uri, HeaderValue)> {
    let uri = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).ok()?;
    Some((Rc::new(Origin::of(url)?), uri, host_header(url)?))
}
