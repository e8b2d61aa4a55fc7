//! From an origin to a byte stream.

mod dial;
mod dns;
mod guard;
mod network;
mod proxy;
mod tls;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use http::HeaderValue;
use squall_metrics::Phases;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

pub use guard::Guard;
pub use network::NetworkConnector;
pub use tls::{TlsError, client_config};

/// Where a connection leads: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port, given or the scheme's own.
    pub port: u16,
}

impl Origin {
    /// The origin of an `http` or `https` URL; `None` for any other.
    #[must_use]
    pub fn of(url: &url::Url) -> Option<Self> {
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { secure, host, port: url.port_or_known_default()? })
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and port, as in `CONNECT`.
    pub(crate) fn authority(&self) -> String {
        let v6 = self.host.contains(':');
        if v6 { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

/// A stream of bytes to an origin.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A connection that was made.
pub struct Dialed {
    /// Its bytes.
    pub io: Box<dyn Io>,
    /// Whether HTTP/2 is spoken over it.
    pub http2: bool,
    /// Where it leads, if that is an address.
    pub remote: Option<IpAddr>,
    /// Whether it leads to a proxy that wants whole URLs, and what it wants to see besides.
    pub proxy: Option<ProxyForm>,
}

/// How requests through a proxy without a tunnel are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyForm {
    /// `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("name cannot be resolved")]
    Dns(#[source] io::Error),
    /// No address accepted the connection.
    #[error("connection cannot be made")]
    Tcp(#[source] io::Error),
    /// The proxy refuses, and how.
    #[error("proxy refuses with {0}")]
    Proxy(String),
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// It leads to where no load is ever to go, and where that is.
    #[error("`{0}` is an address that no load may go to")]
    Forbidden(SocketAddr),
    /// The server does not speak what it should.
    #[error("server does not speak HTTP/2")]
    NoHttp2,
}

/// The port through which the engine reaches the outside.
pub trait Connect {
    /// Makes a connection to `origin`, ready for HTTP. `phases` is told what takes how long, while it does.
    fn connect(
        &self,
        origin: &Origin,
        phases: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>>;

    /// Does ahead of time what connections to `origin` will need.
    fn warm_up(&self, _origin: &Origin) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
