//! A proxy that stands between everybody and the emulator: it sees what is said, and misbehaves on demand.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// So much of a body is kept.
const KEPT: usize = 64 * 1_024;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The region that the request was signed for.
    pub region: String,
    /// The service.
    pub service: String,
    /// Which operation of it, where a header says so.
    pub operation: String,
    /// The access key of whoever asks.
    pub access_key: String,
    /// The body, as far as it is text; a rule sees all of it, and kept are its first 64 KiB.
    pub body: String,
    /// The status of the answer; 0 for none.
    pub status: u16,
}

impl Seen {
    /// Whether an object under that part of a key is written.
    #[must_use]
    pub fn writes(&self, part: &str) -> bool {
        self.service == "s3" && self.method == "PUT" && self.path.contains(part)
    }
}

/// What the proxy does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Passes it on.
    Pass,
    /// Passes it on twice; the second answer counts.
    PassTwice,
    /// Answers with a status, without asking anybody.
    Answer(u16),
    /// Passes it on, and closes the connection without an answer.
    LoseTheAnswer,
    /// Passes it on so much later.
    Delay(Duration),
    /// Closes the connection, without asking anybody.
    Cut,
    /// Passes it on with this body in place of its own.
    Rewrite(String),
    /// Passes it on, and pretends that it was answered at another time.
    PassWithDate(&'static str),
}

type Rule = Arc<Mutex<Box<dyn FnMut(&Seen) -> Deed + Send>>>;

/// The proxy. It ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    rule: Rule,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Stands before the emulator that listens, or will listen, on a port of this machine.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its proxy cannot go on")]
    pub fn start(upstream: u16) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("an address");
        let rule: Rule = Arc::new(Mutex::new(Box::new(|_| Deed::Pass)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let relay = Arc::new(Relay { upstream, rule: Arc::clone(&rule), seen: Arc::clone(&seen) });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(&listener, &relay) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, rule, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does what the rule says from now on.
    pub fn set(&self, rule: impl FnMut(&Seen) -> Deed + Send + 'static) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }

    /// Everything that was asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A proxy that panicked has said so.
            let _ = thread.join();
        }
    }
}

struct Relay {
    upstream: u16,
    rule: Rule,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn accept(listener: &TcpListener, relay: &Arc<Relay>) {
    while let Ok((stream, _)) = listener.accept().await {
        let relay = Arc::clone(relay);
        spawn_local(async move {
            let serve = service_fn(|request| relay.answer(request));
            // Whoever closes a connection in the middle is no concern of the proxy.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), serve)
                .await;
        });
    }
}

impl Relay {
    /// An error closes the connection.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Ok(status(400));
        };
        let seen = seen(&head, &body);
        let deed = (self.rule.lock().unwrap_or_else(PoisonError::into_inner))(&seen);
        let answer = match deed {
            Deed::Answer(code) => Some(status(code)),
            Deed::Pass => Some(self.pass(&head, body).await),
            Deed::PassTwice => {
                self.pass(&head, body.clone()).await;
                Some(self.pass(&head, body).await)
            }
            Deed::LoseTheAnswer => {
                self.pass(&head, body).await;
                None
            }
            Deed::Delay(delay) => {
                tokio::time::sleep(delay).await;
                Some(self.pass(&head, body).await)
            }
            Deed::Cut => None,
            Deed::Rewrite(other) => Some(self.pass(&unsigned(head), other.into()).await),
            Deed::PassWithDate(date) => {
                let mut answer = self.pass(&head, body).await;
                answer.headers_mut().insert("date", HeaderValue::from_static(date));
                Some(answer)
            }
        };
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let seen = Seen { status, body: beginning(seen.body), ..seen };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        answer.ok_or_else(|| Error::from(ErrorKind::ConnectionReset))
    }

    /// An emulator that cannot be reached is a bad gateway.
    async fn pass(&self, head: &http::request::Parts, body: Bytes) -> Response<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        // The body may have become another one.
        request.headers_mut().remove("content-length");
        // In AWS everything is TLS; policies that insist on it are to be content.
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        self.try_pass(request).await.unwrap_or_else(|_| status(502))
    }

    async fn try_pass(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream)).await else {
            return Ok(status(502));
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

/// Without what says which body it was signed with.
fn unsigned(mut head: http::request::Parts) -> http::request::Parts {
    let is_of_body = |name: &str| name.contains("checksum") || name == "content-md5";
    let names: Vec<_> = head.headers.keys().filter(|name| is_of_body(name.as_str())).cloned().collect();
    names.into_iter().for_each(|name| drop(head.headers.remove(name)));
    head.headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    head
}

/// What is kept of a body.
fn beginning(mut body: String) -> String {
    let whole = (0..=KEPT.min(body.len())).rev().find(|at| body.is_char_boundary(*at));
    body.truncate(whole.unwrap_or(0));
    body.shrink_to_fit();
    body
}

fn status(code: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}

/// `AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …` says who asks which service.
fn seen(head: &http::request::Parts, body: &Bytes) -> Seen {
    let text = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let authorization = text("authorization");
    let credential = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    let scope: Vec<&str> = credential.split([',', ' ']).next().unwrap_or_default().split('/').collect();
    let of_scope = |index: usize| scope.get(index).copied().unwrap_or_default().to_owned();
    Seen {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        region: of_scope(2),
        service: of_scope(3),
        operation: text("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned(),
        access_key: of_scope(0),
        body: String::from_utf8_lossy(body).into_owned(),
        status: 0,
    }
}
