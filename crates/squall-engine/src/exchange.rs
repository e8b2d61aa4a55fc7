//! One request, from the moment it was due to its record.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full};
use squall_metrics::{ConnectionUse, Outcome, Sample, SeriesId};
use squall_plan::expression::{EvalError, from_json};
use squall_plan::{Body, Capture, Expect, Plan, Request};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::connect::Origin;
use crate::connection::{Connection, SendError, Traffic};
use crate::outcome;
use crate::user::User;
use crate::worker::Worker;

/// A longer body is not captured from.
const MAX_CAPTURED_BYTES: usize = 16 * 1024 * 1024;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) failed: bool,
}

impl Ended {
    fn failed(outcome: Outcome) -> Self {
        Self { outcome, failed: true }
    }
}

/// A request under way. Dropped before its end, it is recorded as unfinished: a user who is cut off
/// leaves no request behind that nobody counted.
struct InFlight {
    worker: Rc<Worker>,
    sample: Sample,
    recorded: bool,
}

impl InFlight {
    fn begin(worker: &Rc<Worker>, request: &Request, scheduled: Instant) -> Self {
        worker.in_flight.set(worker.in_flight.get() + 1);
        let started = worker.clock.now();
        let sample = Sample {
            series: SeriesId(u16::try_from(request.series).unwrap_or(u16::MAX)),
            scheduled_us: worker.offset_us(scheduled),
            started_us: worker.offset_us(started),
            ended_us: 0,
            outcome: Outcome::Unfinished,
            failed: true,
            bytes_sent: 0,
            bytes_received: 0,
            connection: ConnectionUse::None,
            checks_passed: 0,
            checks_failed: 0,
        };
        Self { worker: Rc::clone(worker), sample, recorded: false }
    }

    fn end(mut self, ended: Ended) {
        self.sample.outcome = ended.outcome;
        self.sample.failed = ended.failed;
        self.record();
    }

    fn record(&mut self) {
        self.recorded = true;
        self.sample.ended_us = self.worker.now_us();
        self.worker.in_flight.set(self.worker.in_flight.get().saturating_sub(1));
        self.worker.recorder.borrow_mut().record(&self.sample);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.recorded {
            self.record();
        }
    }
}

/// A request with its expressions evaluated.
struct Message {
    origin: Origin,
    request: http::Request<Full<Bytes>>,
}

/// What came back, as far as the plan wants to know it.
struct Answer {
    status: u16,
    /// Empty unless something is captured.
    body: Vec<u8>,
}

impl User {
    /// Sends a request and records it. `scheduled` is when it was due, where that is not now.
    pub(crate) async fn send(&mut self, request: &Request, scheduled: Option<Instant>) -> Ended {
        let scheduled = scheduled.unwrap_or_else(|| self.worker.clock.now());
        let mut flight = InFlight::begin(&self.worker, request, scheduled);
        let ended = match self.message(request) {
            Err(error) => {
                self.worker.note(format!("`{}`: {error}", self.worker.plan.series[request.series].endpoint));
                Ended::failed(Outcome::Expression)
            }
            Ok(message) => {
                let deadline = self.worker.clock.now() + self.worker.plan.http.timeout;
                let exchange = self.exchange(request, message, &mut flight.sample);
                match timeout_at(deadline, exchange).await {
                    Ok(Ok(answer)) => self.judge(request, &answer, &mut flight.sample),
                    Ok(Err(outcome)) => Ended::failed(outcome),
                    Err(_) => Ended::failed(Outcome::Timeout),
                }
            }
        };
        flight.end(ended);
        ended
    }

    /// Evaluates the request's expressions.
    fn message(&mut self, request: &Request) -> Result<Message, MessageError> {
        let plan = Arc::clone(&self.worker.plan);
        self.text.clear();
        request.url.render(&plan.program, &self.scope, &mut self.text)?;
        let (origin, uri, host) = self.destination()?;
        let mut headers = request.headers.fixed.clone();
        for (name, template) in &request.headers.dynamic {
            self.text.clear();
            template.render(&plan.program, &self.scope, &mut self.text)?;
            let value = HeaderValue::from_str(&self.text).map_err(|_| MessageError::Header(name.clone()))?;
            headers.insert(name, value);
        }
        if !headers.contains_key(HOST) {
            headers.insert(HOST, host);
        }
        if let Some(url) = self.cookie_url(&origin, &uri)
            && let Some(cookies) = self.cookies.header(&url)
        {
            headers.insert(COOKIE, cookies);
        }
        let body = self.body(&plan, &request.body)?;
        let mut message = http::Request::new(Full::new(body));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = uri;
        *message.headers_mut() = headers;
        Ok(Message { origin, request: message })
    }

    /// Where the URL in `self.text` leads: origin, path with query, and `Host`.
    fn destination(&self) -> Result<(Origin, Uri, HeaderValue), MessageError> {
        let worker = &self.worker;
        let no_url = || MessageError::Url(self.text.clone());
        if self.text.starts_with('/') {
            let base = worker.plan.target.path().trim_end_matches('/');
            let uri = if base.is_empty() {
                Uri::try_from(&self.text)
            } else {
                Uri::try_from(format!("{base}{}", self.text))
            };
            return Ok((worker.target.clone(), uri.map_err(|_| no_url())?, worker.target_host.clone()));
        }
        let url = Url::parse(&self.text).map_err(|_| no_url())?;
        let origin = Origin::of(&url).ok_or_else(no_url)?;
        let uri = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).map_err(|_| no_url())?;
        Ok((origin, uri, host_header(&url).map_err(|_| no_url())?))
    }

    fn body(&self, plan: &Plan, body: &Body) -> Result<Bytes, MessageError> {
        let mut text = String::new();
        match body {
            Body::Empty => return Ok(Bytes::new()),
            Body::Text(template) => template.render(&plan.program, &self.scope, &mut text)?,
            Body::Json(template) => template.render(&plan.program, &self.scope, &mut text)?,
        }
        Ok(Bytes::from(text))
    }

    /// The URL by which cookies are chosen; `None` while there are none, which saves making it.
    fn cookie_url(&self, origin: &Origin, uri: &Uri) -> Option<Url> {
        if self.cookies.is_empty() { None } else { url_of(origin, uri) }
    }

    /// Sends the message and reads the answer to its last byte.
    async fn exchange(
        &mut self,
        request: &Request,
        message: Message,
        sample: &mut Sample,
    ) -> Result<Answer, Outcome> {
        let Message { origin, request: mut message } = message;
        loop {
            let (mut connection, reused) = self.connection(&origin).await?;
            sample.connection = if reused { ConnectionUse::Reused } else { ConnectionUse::New };
            let before = connection.traffic();
            // Only a reused connection may have been closed by the server while it was idle.
            let copy = (reused && is_idempotent(&message)).then(|| message.clone());
            let uri = message.uri().clone();
            match connection.send(message).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    if head.headers.contains_key(SET_COOKIE)
                        && let Some(url) = url_of(&origin, &uri)
                    {
                        self.cookies.keep(&head.headers, &url);
                    }
                    let result = read(&mut connection, body, !request.captures.is_empty()).await;
                    count(sample, before, connection.traffic());
                    let body = result?;
                    self.connections.push((origin, connection));
                    return Ok(Answer { status: head.status.as_u16(), body });
                }
                Err(SendError::Unsent(unsent)) if reused => message = *unsent,
                Err(SendError::Unsent(_)) => return Err(Outcome::Reset),
                Err(SendError::Broken(error)) => {
                    count(sample, before, connection.traffic());
                    match copy {
                        Some(copy) if connection.traffic().received == before.received => message = copy,
                        _ => return Err(outcome::of_exchange(&error)),
                    }
                }
            }
        }
    }

    /// The user's connection to `origin`, or a new one; and whether it was used before.
    async fn connection(&mut self, origin: &Origin) -> Result<(Connection, bool), Outcome> {
        while let Some(at) = self.connections.iter().position(|(known, _)| known == origin) {
            let (_, mut connection) = self.connections.swap_remove(at);
            if connection.ready().await {
                return Ok((connection, true));
            }
        }
        let io = self.worker.connect.connect(origin).await.map_err(|error| outcome::of_connect(&error))?;
        let mut connection = Connection::open(io).await.map_err(|error| outcome::of_exchange(&error))?;
        if connection.ready().await { Ok((connection, false)) } else { Err(Outcome::Reset) }
    }

    /// Whether the answer is what the plan expects, and what it gives to later steps.
    fn judge(&self, request: &Request, answer: &Answer, sample: &mut Sample) -> Ended {
        let status = Outcome::Status(answer.status);
        let as_expected = is_expected(&request.expect, answer.status);
        if !request.expect.status.is_empty() {
            sample.checks_passed += u32::from(as_expected);
            sample.checks_failed += u32::from(!as_expected);
        }
        if !as_expected {
            return Ended::failed(if answer.status >= 400 { status } else { Outcome::Expectation });
        }
        if self.capture(&request.captures, &answer.body) {
            Ended { outcome: status, failed: false }
        } else {
            Ended::failed(Outcome::Expectation)
        }
    }

    /// Keeps what is captured; false if something is missing, which keeps every old value.
    fn capture(&self, captures: &[Capture], body: &[u8]) -> bool {
        if captures.is_empty() {
            return true;
        }
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
        let found: Option<Vec<_>> = captures
            .iter()
            .map(|capture| {
                capture.path.query(&json).first().map(|value| (&capture.variable, from_json(value)))
            })
            .collect();
        let complete = found.is_some();
        for (variable, value) in found.into_iter().flatten() {
            self.scope.set(variable, value);
        }
        complete
    }
}

/// Why a request cannot be built.
#[derive(Debug, Error)]
enum MessageError {
    #[error(transparent)]
    Expression(#[from] EvalError),
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("value of header `{0}` has a character that no header may have")]
    Header(HeaderName),
}

/// Reads a body to its end; its bytes are kept only if something is to be captured from them.
async fn read(
    connection: &mut Connection,
    mut body: hyper::body::Incoming,
    keep: bool,
) -> Result<Vec<u8>, Outcome> {
    let mut kept = Vec::new();
    while let Some(frame) = connection.drive(body.frame()).await {
        let frame = frame.map_err(|error| outcome::of_exchange(&error))?;
        if let Some(data) = frame.data_ref().filter(|_| keep) {
            if kept.len() + data.len() > MAX_CAPTURED_BYTES {
                return Err(Outcome::TooLarge);
            }
            kept.extend_from_slice(data);
        }
    }
    Ok(kept)
}

fn count(sample: &mut Sample, before: Traffic, after: Traffic) {
    sample.bytes_sent += after.sent - before.sent;
    sample.bytes_received += after.received - before.received;
}

fn is_expected(expect: &Expect, status: u16) -> bool {
    if expect.status.is_empty() { status < 400 } else { expect.status.contains(&status) }
}

/// Whether sending the request twice does what sending it once does (RFC 9110, section 9.2.2).
fn is_idempotent(message: &http::Request<Full<Bytes>>) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(message.method())
}

fn url_of(origin: &Origin, uri: &Uri) -> Option<Url> {
    Url::parse(&format!("{origin}{uri}")).ok()
}

/// The `Host` header for a URL: the port only where it is not the scheme's own.
pub(crate) fn host_header(url: &Url) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])
}
