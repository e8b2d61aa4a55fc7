//! The shop on a socket, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Either, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::body::Body;
use crate::chance::delay;
use crate::counts::Counts;
use crate::fault::{Broken, Fault, frozen_for};
use crate::model::{self, Request};
use crate::record::{Record, line};
use crate::serving::{
    self, Answer, Close, MAX_BODY_BYTES, Over, Serve, Serving, TOO_LARGE, json_response, now_us,
};
use crate::state::State;

/// How the service behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// What its ids, its tokens and its delays are derived from.
    pub seed: u64,
    /// Whether it takes its time as services do, or answers at once.
    pub delays: bool,
    /// How long an access token is good for.
    pub token_lifetime: Duration,
    /// A file that gets a line of JSON for every request to a known route.
    pub record: Option<PathBuf>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { seed: 1, delays: true, token_lifetime: Duration::from_mins(15), record: None }
    }
}

/// The shop on a socket. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    serving: Serving<Shop>,
}

impl Server {
    /// Listens on an address (port 0 for any free one) and serves on a thread of its own.
    pub fn start(address: SocketAddr, options: ServerOptions) -> io::Result<Self> {
        let record = options.record.as_deref().map(Record::open).transpose()?;
        let state = Mutex::new(State::new(options.seed, options.token_lifetime));
        let shop = Shop { counts: Mutex::default(), state, record, options };
        Ok(Self { serving: Serving::start(address, "target", shop)? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// What it has received so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.serving.served().counts()
    }

    /// Waits until it ends, which it does not by itself.
    pub fn join(self) {
        self.serving.join();
    }
}

struct Shop {
    counts: Mutex<Counts>,
    state: Mutex<State>,
    record: Option<Record>,
    options: ServerOptions,
}

impl Serve for Shop {
    async fn respond(&self, request: http::Request<Incoming>, over: Over) -> Result<Answer, Close> {
        let (head, body) = request.into_parts();
        if let Some((fault, route)) = Fault::of(head.uri.path()) {
            self.counting().add(&format!("{} {route}", head.method), now_us(), over.is_first);
            return misbehave(fault, &head, body).await;
        }
        self.serve(&head, body, over.is_first).await
    }

    fn counts(&self) -> Counts {
        self.counting().clone()
    }

    fn reset(&self) {
        *self.counting() = Counts::default();
        *self.state() = State::new(self.options.seed, self.options.token_lifetime);
    }
}

impl Shop {
    async fn serve(
        &self,
        head: &http::request::Parts,
        body: Incoming,
        is_first: bool,
    ) -> Result<Answer, Close> {
        let (method, headers) = (head.method.as_str(), &head.headers);
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let route = model::name(method, path, headers);
        let number = {
            let mut counts = self.counting();
            counts.add(route, now_us(), is_first);
            counts.total
        };
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => Body::read(headers, body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                self.counting().add_invalid(route, 413, TOO_LARGE);
                return Ok(json_response(413, &json!({ "error": TOO_LARGE })));
            }
            Err(_) => return Err(Close),
        };
        let request = Request { method, path, query, headers, body: &body };
        self.keep(route, &request);
        let answer = model::answer(&request, &mut self.state(), Duration::from_micros(now_us()));
        if let Some(reason) = answer.invalid() {
            self.counting().add_invalid(route, answer.status, reason);
        }
        if self.options.delays {
            tokio::time::sleep(delay(answer.median, self.options.seed, number)).await;
        }
        Ok(response(&answer))
    }

    /// Puts a request on record, if there is one.
    fn keep(&self, route: &str, request: &Request<'_>) {
        let Some(record) = self.record.as_ref().filter(|_| route != model::UNKNOWN) else { return };
        if record.append(&line(route, request)).is_err() {
            self.counting().unrecorded += 1;
        }
    }

    fn counting(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn misbehave(fault: Fault, head: &http::request::Parts, body: Incoming) -> Result<Answer, Close> {
    Ok(match fault {
        Fault::Status(status) => json_response(status, &json!({ "status": status })),
        Fault::StatusFrom(status, from) => {
            let status = if Duration::from_micros(now_us()) < from { 200 } else { status };
            json_response(status, &json!({ "status": status }))
        }
        Fault::Delay(duration) => {
            tokio::time::sleep(duration).await;
            json_response(200, &json!({}))
        }
        Fault::Freeze(freeze, cycle) => {
            let now = Duration::from_micros(now_us());
            tokio::time::sleep(frozen_for(now, freeze, cycle)).await;
            json_response(200, &json!({}))
        }
        Fault::Hang => std::future::pending().await,
        Fault::Reset => return Err(Close),
        Fault::ResetMidBody => Response::new(Either::Right(Broken::default())),
        Fault::Cookie => {
            let mut response = json_response(200, &json!({}));
            response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("session=s3; Path=/"));
            response
        }
        Fault::CookieCheck => {
            let came_back =
                text(&head.headers, COOKIE.as_str()).split("; ").any(|cookie| cookie == "session=s3");
            json_response(if came_back { 200 } else { 400 }, &json!({ "came_back": came_back }))
        }
        Fault::Echo => match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Err(_) => json_response(413, &json!({ "error": TOO_LARGE })),
            Ok(body) => {
                let headers: serde_json::Map<_, _> = head
                    .headers
                    .keys()
                    .map(|name| (name.to_string(), json!(text(&head.headers, name.as_str()))))
                    .collect();
                let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                let path = head.uri.path_and_query().map(ToString::to_string);
                let echo =
                    json!({ "method": head.method.as_str(), "path": path, "headers": headers, "body": body });
                json_response(200, &echo)
            }
        },
    })
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

fn response(answer: &model::Answer) -> Answer {
    let mut response = match &answer.body {
        Value::Null => serving::response(answer.status, None, String::new()),
        body => json_response(answer.status, body),
    };
    if let Some(allow) = answer.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
