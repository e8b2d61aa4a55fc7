//! One connection to an origin, over which requests go.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use squall_metrics::RemoteId;
use tokio::task::{AbortHandle, unconstrained};
use tokio::time::Instant;

use crate::connect::{Dialed, ProxyForm};
use crate::pool::Tenancy;
use crate::wire::{Watched, Wire};

/// hyper's side of a connection; `None` once it has ended.
pub(crate) type Driver = Option<Pin<Box<http1::Connection<TokioIo<Watched>, Full<Bytes>>>>>;

/// An open connection, in use by one user; of one that speaks HTTP/2 this is a place for one stream.
pub(crate) struct Connection {
    link: Link,
    pub(crate) wire: Rc<Wire>,
    pub(crate) remote: Option<RemoteId>,
    pub(crate) proxy: Option<ProxyForm>,
    made: Instant,
    requests: u32,
    /// Counts as an open connection until it is gone.
    _open: Option<Counted>,
    /// Its place in a pool while it is in use.
    pub(crate) tenancy: Option<Tenancy>,
}

/// The head of a response, or why there is none.
pub(crate) type Answered = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>;

/// hyper splits a connection into a handle and a driver that wants to be polled.
enum Link {
    /// The user's own task polls both, which saves a task and two wake-ups for every request.
    Http1 { sender: http1::SendRequest<Full<Bytes>>, driver: Driver },
    /// Several users share the connection, so its driver is a task.
    Http2(Rc<Multiplexed>),
}

/// A connection that speaks HTTP/2.
pub(crate) struct Multiplexed {
    sender: http2::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    wire: Rc<Wire>,
    remote: Option<RemoteId>,
    proxy: Option<ProxyForm>,
    made: Instant,
    requests: Cell<u32>,
    _open: Counted,
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A count that goes down when this goes away.
pub(crate) struct Open(Rc<Cell<u32>>);

impl Open {
    /// One more, unless there are `limit` already.
    pub(crate) fn try_new(count: &Rc<Cell<u32>>, limit: u32) -> Option<Self> {
        (count.get() < limit).then(|| {
            count.set(count.get() + 1);
            Self(Rc::clone(count))
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// What an open connection counts as: one of the generator's, and one of a pool's if it has one.
pub(crate) struct Counted {
    pub(crate) _of_generator: Open,
    pub(crate) _of_pool: Option<Open>,
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Not a byte of it was sent; it can be sent again elsewhere.
    Unsent,
    /// It was sent, at least in part.
    Broken(hyper::Error),
}

/// Spawns the tasks of HTTP/2 on the thread of the user.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Connection {
    pub(crate) async fn open(
        dialed: Dialed,
        remote: Option<RemoteId>,
        open: Counted,
        max_streams: u32,
    ) -> Result<Self, hyper::Error> {
        let wire = Rc::new(Wire::default());
        let io = TokioIo::new(Watched { io: dialed.io, wire: Rc::clone(&wire) });
        let made = Instant::now();
        if !dialed.http2 {
            let (sender, driver) = http1::Builder::new().writev(false).handshake(io).await?;
            let link = Link::Http1 { sender, driver: Some(Box::pin(driver)) };
            let proxy = dialed.proxy;
            let open = Some(open);
            return Ok(Self { link, wire, remote, proxy, made, requests: 0, _open: open, tenancy: None });
        }
        let mut builder = http2::Builder::new(LocalExecutor);
        builder.initial_max_send_streams(usize::try_from(max_streams).unwrap_or(usize::MAX));
        // A load generator takes what comes: windows must not be what limits it.
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (sender, connection) = Box::pin(builder.handshake(io)).await?;
        let driver = tokio::task::spawn_local(async move {
            // How it ended is told to the requests on it.
            let _ = connection.await;
        });
        let (driver, requests, proxy) = (driver.abort_handle(), Cell::new(0), dialed.proxy);
        let shared = Multiplexed { sender, driver, wire, remote, proxy, made, requests, _open: open };
        Ok(Self::on(Rc::new(shared)))
    }

    /// A place on a connection that speaks HTTP/2.
    pub(crate) fn on(shared: Rc<Multiplexed>) -> Self {
        Self {
            wire: Rc::clone(&shared.wire),
            remote: shared.remote,
            proxy: shared.proxy.clone(),
            made: shared.made,
            requests: shared.requests.get(),
            link: Link::Http2(shared),
            _open: None,
            tenancy: None,
        }
    }

    /// The connection that this is a place on, if it speaks HTTP/2.
    pub(crate) fn multiplexed(&self) -> Option<&Rc<Multiplexed>> {
        match &self.link {
            Link::Http1 { .. } => None,
            Link::Http2(shared) => Some(shared),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.link, Link::Http2(_))
    }

    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// How many requests went over it.
    pub(crate) fn requests(&self) -> u32 {
        match &self.link {
            Link::Http1 { .. } => self.requests,
            Link::Http2(shared) => shared.requests.get(),
        }
    }

    /// Whether it is known to be of no more use.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.link {
            Link::Http1 { driver, .. } => driver.is_none(),
            Link::Http2(shared) => !shared.is_alive(),
        }
    }

    /// Whether a request can be sent, as far as was known when the last one ended.
    pub(crate) fn was_ready(&self) -> bool {
        match &self.link {
            Link::Http1 { sender, driver } => sender.is_ready() && driver.is_some(),
            Link::Http2(shared) => shared.is_alive(),
        }
    }

    /// Waits until a request can be sent; false if the connection has ended.
    pub(crate) async fn ready(&mut self) -> bool {
        match &mut self.link {
            Link::Http1 { sender, driver } => {
                // Only the driver sees whether the server has closed the connection.
                let ended = poll_fn(|context| {
                    Poll::Ready(driver.as_mut().is_none_or(|driver| driver.as_mut().poll(context).is_ready()))
                });
                if ended.await {
                    *driver = None;
                    return false;
                }
                let ready = drive(Some(driver), pin!(poll_fn(|context| sender.poll_ready(context)))).await;
                ready.is_ok() && driver.is_some()
            }
            Link::Http2(shared) => {
                let mut sender = shared.sender.clone();
                shared.is_alive() && poll_fn(|context| sender.poll_ready(context)).await.is_ok()
            }
        }
    }

    /// Sends a request. What comes is the head of its response, once it is driven.
    pub(crate) fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> (Option<&mut Driver>, impl Future<Output = Answered> + use<>) {
        self.wire.begin();
        match &mut self.link {
            Link::Http1 { sender, driver } => {
                self.requests += 1;
                (Some(driver), Either::Left(sender.try_send_request(request)))
            }
            Link::Http2(shared) => {
                shared.requests.set(shared.requests.get() + 1);
                // Boxed, so that requests over HTTP/1.1 need no room for it.
                (None, Either::Right(Box::pin(shared.sender.clone().try_send_request(request))))
            }
        }
    }

    /// Waits for what comes over this connection, such as a part of a body.
    pub(crate) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(unconstrained(future));
        let driver = match &mut self.link {
            Link::Http1 { driver, .. } => Some(driver),
            Link::Http2(_) => None,
        };
        // The driver is a little ahead: nearly always it is there already.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => drive(driver, future).await,
        }
    }
}

impl Multiplexed {
    pub(crate) fn requests(&self) -> u32 {
        self.requests.get()
    }

    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// Whether streams can still be opened on it.
    pub(crate) fn is_alive(&self) -> bool {
        !self.sender.is_closed() && !self.driver.is_finished()
    }
}

impl From<TrySendError<Request<Full<Bytes>>>> for SendError {
    fn from(mut error: TrySendError<Request<Full<Bytes>>>) -> Self {
        match error.take_message() {
            Some(_) => Self::Unsent,
            None => Self::Broken(error.into_error()),
        }
    }
}

/// Polls the driver, which moves the bytes, and then the future that waits for what comes of it.
///
/// Only the driver brings the future on, and the future is looked at each time after it: were the future to wake the
/// task as well, each request would have the task polled once more, for nothing. So it gets a waker that wakes nobody,
/// and no budget, for whose end it would want to be woken. Without a driver here, it is an ordinary future.
pub(crate) async fn drive<F: Future>(driver: Option<&mut Driver>, future: Pin<&mut F>) -> F::Output {
    let Some(driver) = driver else { return future.await };
    let mut future = unconstrained(future);
    let mut silent = Context::from_waker(Waker::noop());
    poll_fn(|context| {
        // How the driver ended is told to the future, too.
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
            *driver = None;
        }
        Pin::new(&mut future).poll(&mut silent)
    })
    .await
}
