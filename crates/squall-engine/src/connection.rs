//! One HTTP/1.1 connection, driven by the user who owns it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connect::Io;

/// Bytes that went over a connection, above TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// hyper's side of a connection; `None` once it has ended.
type Driver = Option<Pin<Box<http1::Connection<TokioIo<Counted>, Full<Bytes>>>>>;

/// An open connection. hyper splits one into a handle and a driver that wants to be polled; here the
/// user's own task polls both, which saves a task and two wake-ups for every request.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    traffic: Rc<Cell<Traffic>>,
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Not a byte of it was sent; it can be sent again elsewhere.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It was sent, at least in part.
    Broken(hyper::Error),
}

impl Connection {
    pub(crate) async fn open(io: Box<dyn Io>) -> Result<Self, hyper::Error> {
        let traffic = Rc::new(Cell::default());
        let io = TokioIo::new(Counted { io, traffic: Rc::clone(&traffic) });
        let (sender, driver) = http1::Builder::new().handshake(io).await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), traffic })
    }

    /// Waits until a request can be sent; false if the connection has ended.
    pub(crate) async fn ready(&mut self) -> bool {
        let (sender, driver) = (&mut self.sender, &mut self.driver);
        drive(driver, poll_fn(|context| sender.poll_ready(context))).await.is_ok() && self.driver.is_some()
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendError> {
        let response = self.sender.try_send_request(request);
        drive(&mut self.driver, response).await.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request)),
            None => SendError::Broken(error.into_error()),
        })
    }

    /// Waits for what comes over this connection, such as a part of a body.
    pub(crate) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        drive(&mut self.driver, future).await
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.get()
    }
}

/// Polls the driver, which moves the bytes, and then the future that waits for them.
async fn drive<F: Future>(driver: &mut Driver, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        // How the driver ended is told to the future, too.
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
            *driver = None;
        }
        future.as_mut().poll(context)
    })
    .await
}

/// Counts the bytes that pass.
struct Counted {
    io: Box<dyn Io>,
    traffic: Rc<Cell<Traffic>>,
}

impl Counted {
    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &result {
            let traffic = self.traffic.get();
            self.traffic.set(Traffic { sent: traffic.sent + *bytes as u64, ..traffic });
        }
        result
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        let traffic = self.traffic.get();
        let received = traffic.received + (buffer.filled().len() - before) as u64;
        self.traffic.set(Traffic { received, ..traffic });
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(context, bytes);
        self.sent(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.sent(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
