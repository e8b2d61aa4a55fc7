//! A [`Service`] on a socket, on a thread of its own.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::chance::seed_of;
use crate::counts::Counts;
use crate::exposition;
use crate::server::{Close, now_us};
use crate::service::{Answer, Ask, Outcome, Profile, Service, SettingError, Truth, seconds};

/// A longer request body is refused.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Why a service is not on its socket.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It cannot be made as it was asked for.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Its socket or its thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A service on a socket. It ends when this is dropped.
///
/// Beside its endpoints it answers `GET /metrics` (for Prometheus), `GET /truth`, `GET /_squall/counts` and
/// `POST /_squall/reset`, after which it is as it was at first. Its time begins with the first request.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Listens on an address (port 0 for any free one) and serves on a thread of its own.
    pub fn start(
        address: SocketAddr,
        profile: &'static Profile,
        seed: u64,
        settings: &Value,
    ) -> Result<Self, HostError> {
        let state = State::new(profile, seed, settings)?;
        let parameters = profile.parameters(settings)?;
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let settings = settings.clone();
        let shared =
            Shared { profile, seed, settings, parameters, state: Mutex::new(state), has_room: Notify::new() };
        let shared = Arc::new(shared);
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = Builder::new()
            .name("service".to_owned())
            .spawn(move || serve(listener, address, &serving, stopped))?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has received so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    /// What was wrong with it so far.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.shared.state().service.truth()
    }

    /// Waits until it ends, which it does not by itself.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    profile: &'static Profile,
    seed: u64,
    settings: Value,
    parameters: Value,
    state: Mutex<State>,
    /// Rings when a connection was closed.
    has_room: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    service: Box<dyn Service>,
    counts: Counts,
    /// When the first request came, by the monotonic clock and by the wall's.
    first: Option<(Instant, u64)>,
}

impl State {
    fn new(profile: &Profile, seed: u64, settings: &Value) -> Result<Self, SettingError> {
        Ok(Self { service: profile.service(seed, settings)?, counts: Counts::default(), first: None })
    }

    /// Microseconds since the first request. Whoever holds the state gets instants that never go back.
    fn at_us(&self) -> u64 {
        let passed = self.first.map_or(Duration::ZERO, |(first, _)| first.elapsed());
        passed.as_micros().try_into().unwrap_or(u64::MAX)
    }

    fn ask(&mut self, ask: &Ask, is_first: bool) -> (Answer, Instant) {
        let wall_us = now_us();
        let (first, _) = *self.first.get_or_insert_with(|| (Instant::now(), wall_us));
        let name = self.service.endpoints().get(ask.endpoint).map_or("other", |endpoint| endpoint.name);
        self.counts.add(name, wall_us, is_first);
        let at_us = self.at_us();
        let answer = self.service.ask(at_us, ask);
        (answer, first + Duration::from_micros(answer.done_at_us))
    }
}

fn serve(listener: StdListener, address: SocketAddr, shared: &Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        tokio::select! {
            () = accept(listener, address, shared) => {}
            _ = stopped => {}
        }
    });
}

/// Takes connections while there is room for more. Otherwise nobody listens, so that whoever connects is refused.
async fn accept(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    let mut connections = 0;
    loop {
        let is_full = {
            let state = shared.state();
            state.service.is_full(state.at_us())
        };
        if is_full {
            drop(listener.take());
            shared.has_room.notified().await;
            continue;
        }
        let Some(open) = listener.take() else {
            match TcpListener::bind(address).await {
                Ok(open) => listener = Some(open),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            continue;
        };
        match open.accept().await {
            Ok((stream, peer)) => {
                connections += 1;
                let at_us = shared.state().at_us();
                shared.state().service.opened(at_us, connections);
                spawn_local(converse(stream, peer.ip(), connections, Arc::clone(shared)));
            }
            // Out of descriptors: those of others will be free soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        listener = Some(open);
    }
}

/// Serves one connection to its end.
async fn converse(stream: TcpStream, peer: IpAddr, connection: u64, shared: Arc<Shared>) {
    let is_first = Cell::new(true);
    if stream.set_nodelay(true).is_ok() {
        let respond = service_fn(|request| {
            let shared = Arc::clone(&shared);
            let is_first = is_first.replace(false);
            async move { shared.respond(request, peer, connection, is_first).await }
        });
        // Whoever closes a connection in the middle is no concern of the service.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
    }
    {
        let mut state = shared.state();
        let at_us = state.at_us();
        state.service.closed(at_us, connection);
    }
    shared.has_room.notify_one();
}

impl Shared {
    async fn respond(
        &self,
        request: http::Request<Incoming>,
        peer: IpAddr,
        connection: u64,
        is_first: bool,
    ) -> Result<Response<Full<Bytes>>, Close> {
        let (head, body) = request.into_parts();
        if let Some(response) = self.about(&head) {
            return Ok(response);
        }
        if Limited::new(body, MAX_BODY_BYTES).collect().await.is_err() {
            return Ok(json_response(413, &json!({ "error": "body is too large" })));
        }
        let (endpoint, is_write) = endpoint(&head.method, head.uri.path());
        let (key, address) = (key(&head.headers), number(&peer.to_string()));
        let ask = Ask { endpoint, is_write, key, address, connection };
        let (answer, done_at) = self.state().ask(&ask, is_first);
        tokio::time::sleep_until(done_at).await;
        response(&answer)
    }

    /// What it says of itself, if that is asked for.
    fn about(&self, head: &http::request::Parts) -> Option<Response<Full<Bytes>>> {
        let mut state = self.state();
        let at_us = state.at_us();
        Some(match (head.method.as_str(), head.uri.path()) {
            ("GET", "/metrics") => {
                let text = exposition::text(&state.service.metrics(at_us));
                plain_response(200, exposition::CONTENT_TYPE, text)
            }
            ("GET", "/truth") => {
                let truth = serde_json::to_value(state.service.truth()).unwrap_or_default();
                let mut about = json!({
                    "profile": self.profile.name,
                    "seed": self.seed,
                    "parameters": self.parameters,
                    "started_at_s": state.first.map(|(_, wall_us)| seconds(wall_us)),
                    "now_s": seconds(at_us),
                });
                if let (Some(about), Value::Object(truth)) = (about.as_object_mut(), truth) {
                    about.extend(truth);
                }
                json_response(200, &about)
            }
            ("GET", "/_squall/counts") => {
                json_response(200, &serde_json::to_value(&state.counts).unwrap_or_default())
            }
            ("POST", "/_squall/reset") => {
                // What could be made once can be made again.
                if let Ok(fresh) = State::new(self.profile, self.seed, &self.settings) {
                    *state = fresh;
                }
                json_response(200, &json!({}))
            }
            _ => return None,
        })
    }
}

/// Which endpoint a request is for: by its method and the end of its path, so that the guide's plans fit too.
fn endpoint(method: &Method, path: &str) -> (usize, bool) {
    if *method != Method::GET && *method != Method::HEAD {
        return (2, true);
    }
    let is_one = path.split_once("/products/").is_some_and(|(_, which)| !which.is_empty());
    (usize::from(is_one), false)
}

fn key(headers: &http::HeaderMap) -> u32 {
    let key = headers.get("x-api-key").or_else(|| headers.get(AUTHORIZATION));
    key.map_or(0, |key| number(&String::from_utf8_lossy(key.as_bytes())))
}

/// Another number for every text, nearly.
fn number(text: &str) -> u32 {
    u32::try_from(seed_of(0, text) >> 32).unwrap_or_default()
}

fn response(answer: &Answer) -> Result<Response<Full<Bytes>>, Close> {
    let Outcome::Status(status) = answer.outcome else { return Err(Close) };
    let body = answer.error.map_or_else(|| json!({ "ok": true }), |error| json!({ "error": error }));
    let mut response = json_response(status, &body);
    if let Some(retry_after_s) = answer.retry_after_s {
        // The header takes whole seconds: who comes too early is refused again.
        let whole = format!("{:.0}", retry_after_s.ceil().max(1.0));
        if let Ok(value) = HeaderValue::from_str(&whole) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
    }
    Ok(response)
}

fn json_response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    plain_response(status, "application/json", body.to_string())
}

fn plain_response(status: u16, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
