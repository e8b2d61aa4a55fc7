//! A thread that serves on a socket: what the shop and the services with a known trouble have in common.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;

use crate::counts::Counts;
use crate::fault::Broken;

/// A longer request body is refused.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
pub(crate) const TOO_LARGE: &str = "body is too large";

/// How long nobody is accepted after that has failed: descriptors of others will be free soon.
const PAUSE: Duration = Duration::from_millis(10);

/// An answer.
pub(crate) type Answer = Response<Either<Full<Bytes>, Broken>>;

/// Why a connection is closed instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("connection is to be closed")]
pub(crate) struct Close;

/// Over which connection a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over {
    /// Its number, from 1.
    pub(crate) connection: u64,
    /// From where it comes.
    pub(crate) peer: IpAddr,
    /// Whether the request is the first over it.
    pub(crate) is_first: bool,
}

/// What is served.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Answers a request.
    fn respond(
        &self,
        request: http::Request<Incoming>,
        over: Over,
    ) -> impl Future<Output = Result<Answer, Close>>;

    /// What it has received so far.
    fn counts(&self) -> Counts;

    /// Is as it was at first.
    fn reset(&self);

    /// Hears of a connection before the first request over it.
    fn opened(&self, _connection: u64) {}

    /// Hears of the end of a connection.
    fn closed(&self, _connection: u64) {}

    /// Whether new connections are to be refused.
    fn is_full(&self) -> bool {
        false
    }
}

/// Something on a socket, on a thread of its own. It ends when this is dropped.
///
/// Whatever it is, it answers `GET /_squall/counts` and `POST /_squall/reset`.
pub(crate) struct Serving<S> {
    address: SocketAddr,
    served: Arc<S>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<S> fmt::Debug for Serving<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Serving").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<S: Serve> Serving<S> {
    /// Listens on an address (port 0 for any free one), and serves on a thread of this name.
    pub(crate) fn start(address: SocketAddr, name: &str, served: S) -> io::Result<Self> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // The runtime belongs to one thread, so it is made there; here it is only tried.
        drop(runtime()?);
        let served = Arc::new(served);
        let (stop, stopped) = oneshot::channel();
        let own = Arc::clone(&served);
        let thread =
            Builder::new().name(name.to_owned()).spawn(move || serve(listener, address, &own, stopped))?;
        Ok(Self { address, served, stop: Some(stop), thread: Some(thread) })
    }
}

impl<S> Serving<S> {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is served.
    pub(crate) fn served(&self) -> &S {
        &self.served
    }

    /// Waits until it ends, which it does not by itself.
    pub(crate) fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl<S> Drop for Serving<S> {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.wait();
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

fn serve<S: Serve>(
    listener: StdListener,
    address: SocketAddr,
    served: &Arc<S>,
    stopped: oneshot::Receiver<()>,
) {
    let Ok(runtime) = runtime() else { return };
    runtime.block_on(async {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        tokio::select! {
            () = accept(listener, address, served) => {}
            _ = stopped => {}
        }
    });
}

/// Takes connections while there is room for more. Otherwise nobody listens, so that whoever connects is refused.
async fn accept<S: Serve>(listener: TcpListener, address: SocketAddr, served: &Arc<S>) {
    let (mut listener, mut connections) = (Some(listener), 0);
    let has_room = Rc::new(Notify::new());
    loop {
        if served.is_full() {
            drop(listener.take());
            has_room.notified().await;
            continue;
        }
        let Some(open) = listener.take() else {
            match TcpListener::bind(address).await {
                Ok(open) => listener = Some(open),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            continue;
        };
        match open.accept().await {
            Ok((stream, peer)) => {
                connections += 1;
                served.opened(connections);
                let (served, has_room) = (Arc::clone(served), Rc::clone(&has_room));
                spawn_local(async move {
                    converse(stream, peer.ip(), connections, &served).await;
                    served.closed(connections);
                    has_room.notify_one();
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        listener = Some(open);
    }
}

/// Serves one connection to its end; a fault ends it early.
async fn converse<S: Serve>(stream: TcpStream, peer: IpAddr, connection: u64, served: &Arc<S>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let is_first = Cell::new(true);
    let respond = service_fn(|request: http::Request<Incoming>| {
        let over = Over { connection, peer, is_first: is_first.replace(false) };
        let served = Arc::clone(served);
        async move {
            match (request.method().as_str(), request.uri().path()) {
                ("GET", "/_squall/counts") => {
                    let counts = serde_json::to_value(served.counts()).unwrap_or_default();
                    Ok(json_response(200, &counts))
                }
                ("POST", "/_squall/reset") => {
                    served.reset();
                    Ok(json_response(200, &json!({})))
                }
                _ => served.respond(request, over).await,
            }
        }
    });
    // Whoever closes a connection in the middle is no concern of whoever serves it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}

pub(crate) fn json_response(status: u16, body: &Value) -> Answer {
    response(status, Some("application/json"), body.to_string())
}

/// An answer of a type, or without a body's.
pub(crate) fn response(status: u16, content_type: Option<&'static str>, body: String) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

pub(crate) fn now_us() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the target has no clock but the wall's")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros().try_into().unwrap_or(u64::MAX)
}
