//! The service on a socket, on a thread of its own.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::body::Body;
use crate::chance::delay;
use crate::counts::Counts;
use crate::fault::{Fault, frozen_for};
use crate::model::{self, Answer, Request};
use crate::record::{Record, line};
use crate::state::State;

/// A longer request body is refused.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
const TOO_LARGE: &str = "body is too large";

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

/// The service on a socket. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on an address (port 0 for any free one) and serves on a thread of its own.
    pub fn start(address: SocketAddr, options: ServerOptions) -> io::Result<Self> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        // The runtime belongs to one thread, so it is made there; here it is only tried.
        drop(runtime?);
        let record = options.record.as_deref().map(Record::open).transpose()?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let state = Mutex::new(State::new(options.seed, options.token_lifetime));
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service { counts: Arc::clone(&counts), state, record, options });
        let thread =
            Builder::new().name("target".to_owned()).spawn(move || serve(listener, &service, stopped))?;
        Ok(Self { address, counts, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has received so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it ends, which it does not by itself.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve(listener: StdListener, service: &Arc<Service>, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        tokio::select! {
            () = accept(&listener, service) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: &TcpListener, service: &Arc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spawn_local(converse(stream, Arc::clone(service)));
            }
            // Out of descriptors: those of others will be free soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves one connection to its end; a fault ends it early.
async fn converse(stream: TcpStream, service: Arc<Service>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let is_first = Cell::new(true);
    let respond = service_fn(|request| service.respond(request, is_first.replace(false)));
    // Whoever closes a connection in the middle is no concern of the target.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}

struct Service {
    counts: Arc<Mutex<Counts>>,
    state: Mutex<State>,
    record: Option<Record>,
    options: ServerOptions,
}

type ResponseBody = Either<Full<Bytes>, Broken>;

/// Why a connection is closed instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("connection is to be closed")]
pub(crate) struct Close;

impl Service {
    async fn respond(
        &self,
        request: http::Request<Incoming>,
        is_first: bool,
    ) -> Result<Response<ResponseBody>, Close> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        match (head.method.as_str(), path) {
            ("GET", "/_squall/counts") => {
                let counts = serde_json::to_value(self.counts().clone()).unwrap_or_default();
                return Ok(json_response(200, &counts));
            }
            ("POST", "/_squall/reset") => {
                *self.counts() = Counts::default();
                *self.state() = State::new(self.options.seed, self.options.token_lifetime);
                return Ok(json_response(200, &json!({})));
            }
            _ => {}
        }
        if let Some((fault, route)) = Fault::of(path) {
            self.counts().add(&format!("{} {route}", head.method), now_us(), is_first);
            return misbehave(fault, &head, body).await;
        }
        self.serve(&head, body, is_first).await
    }

    async fn serve(
        &self,
        head: &http::request::Parts,
        body: Incoming,
        is_first: bool,
    ) -> Result<Response<ResponseBody>, Close> {
        let (method, headers) = (head.method.as_str(), &head.headers);
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let route = model::name(method, path, headers);
        let number = {
            let mut counts = self.counts();
            counts.add(route, now_us(), is_first);
            counts.total
        };
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => Body::read(headers, body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                self.counts().add_invalid(route, 413, TOO_LARGE);
                return Ok(json_response(413, &json!({ "error": TOO_LARGE })));
            }
            Err(_) => return Err(Close),
        };
        let request = Request { method, path, query, headers, body: &body };
        self.keep(route, &request);
        let answer = model::answer(&request, &mut self.state(), Duration::from_micros(now_us()));
        if let Some(reason) = answer.invalid() {
            self.counts().add_invalid(route, answer.status, reason);
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
            self.counts().unrecorded += 1;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn misbehave(
    fault: Fault,
    head: &http::request::Parts,
    body: Incoming,
) -> Result<Response<ResponseBody>, Close> {
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
        Fault::ResetMidBody => Response::new(Either::Right(Broken { sent: false })),
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

fn response(answer: &Answer) -> Response<ResponseBody> {
    let mut response = match &answer.body {
        Value::Null => plain_response(answer.status, Bytes::new()),
        body => json_response(answer.status, body),
    };
    if let Some(allow) = answer.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

fn json_response(status: u16, body: &Value) -> Response<ResponseBody> {
    let mut response = plain_response(status, Bytes::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain_response(status: u16, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

pub(crate) fn now_us() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the target has no clock but the wall's")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros().try_into().unwrap_or(u64::MAX)
}

/// A body that promises more than it gives.
#[derive(Debug)]
struct Broken {
    sent: bool,
}

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = Close;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Close>>> {
        if self.sent {
            return Poll::Ready(Some(Err(Close)));
        }
        self.sent = true;
        context.waker().wake_by_ref();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 500])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(1_000)
    }
}
