//! The bytes of a connection on their way: counted, and the instants kept at which they passed.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::connect::Io;

/// Bytes that went over a connection, above TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What is known of the bytes of a connection since the last request on it began.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    sent: Cell<u64>,
    received: Cell<u64>,
    last_sent: Cell<Option<Instant>>,
    first_received: Cell<Option<Instant>>,
    blocked: Cell<bool>,
}

impl Wire {
    /// A request begins.
    pub(crate) fn begin(&self) {
        self.last_sent.set(None);
        self.first_received.set(None);
    }

    /// What went over since the last call.
    pub(crate) fn take_traffic(&self) -> Traffic {
        Traffic { sent: self.sent.take(), received: self.received.take() }
    }

    /// When the last byte of the request left, as far as it has.
    pub(crate) fn last_sent(&self) -> Option<Instant> {
        self.last_sent.get()
    }

    /// When the first byte of the response came.
    pub(crate) fn first_received(&self) -> Option<Instant> {
        self.first_received.get()
    }

    /// Whether the request is still on its way out.
    pub(crate) fn is_sending(&self) -> bool {
        self.blocked.get() || self.last_sent.get().is_none()
    }
}

/// A stream that tells a [`Wire`].
pub(crate) struct Watched {
    pub(crate) io: Box<dyn Io>,
    pub(crate) wire: Rc<Wire>,
}

impl Watched {
    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let wire = &self.wire;
        wire.blocked.set(result.is_pending());
        if let Poll::Ready(Ok(bytes)) = &result {
            wire.sent.set(wire.sent.get() + *bytes as u64);
            wire.last_sent.set(Some(Instant::now()));
        }
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            let wire = &self.wire;
            wire.received.set(wire.received.get() + bytes as u64);
            if wire.first_received.get().is_none() {
                wire.first_received.set(Some(Instant::now()));
            }
        }
        result
    }
}

impl AsyncWrite for Watched {
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
