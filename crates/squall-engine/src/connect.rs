//! From an origin to a byte stream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// How long the addresses of a name are used before it is looked up again.
const ADDRESSES_LIVE: Duration = Duration::from_secs(30);

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
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A stream of bytes to an origin.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("name cannot be resolved")]
    Dns(#[source] io::Error),
    /// No address accepted the connection.
    #[error("connection cannot be made")]
    Tcp(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
}

/// The port through which the engine reaches the outside.
pub trait Connect {
    /// Makes a connection to `origin`, ready for HTTP.
    fn connect(&self, origin: &Origin) -> LocalBoxFuture<'static, Result<Box<dyn Io>, ConnectError>>;
}

/// TCP and TLS.
pub struct NetworkConnector {
    tls: TlsConnector,
    addresses: Rc<RefCell<HashMap<String, Addresses>>>,
}

struct Addresses {
    list: Vec<IpAddr>,
    until: Instant,
}

impl NetworkConnector {
    /// With the TLS configuration of the whole slice.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls: TlsConnector::from(tls), addresses: Rc::default() }
    }
}

impl Connect for NetworkConnector {
    fn connect(&self, origin: &Origin) -> LocalBoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let (origin, tls, known) = (origin.clone(), self.tls.clone(), Rc::clone(&self.addresses));
        Box::pin(async move {
            let addresses = resolve(&origin, &known).await.map_err(ConnectError::Dns)?;
            let stream = dial(&addresses, origin.port).await.map_err(ConnectError::Tcp)?;
            if !origin.secure {
                return Ok(Box::new(stream) as Box<dyn Io>);
            }
            let name = ServerName::try_from(origin.host)
                .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let stream = tls.connect(name, stream).await.map_err(|error| match error.get_ref() {
                Some(inner) if inner.is::<rustls::Error>() => ConnectError::Tls(error),
                // Without a word of TLS it is the connection that broke.
                _ => ConnectError::Tcp(error),
            })?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

async fn resolve(origin: &Origin, known: &RefCell<HashMap<String, Addresses>>) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = origin.host.parse() {
        return Ok(vec![address]);
    }
    let now = Instant::now();
    if let Some(addresses) = known.borrow().get(&origin.host).filter(|addresses| addresses.until > now) {
        return Ok(addresses.list.clone());
    }
    let list: Vec<IpAddr> =
        lookup_host((origin.host.as_str(), origin.port)).await?.map(|found| found.ip()).collect();
    if list.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let addresses = Addresses { list: list.clone(), until: now + ADDRESSES_LIVE };
    known.borrow_mut().insert(origin.host.clone(), addresses);
    Ok(list)
}

/// Tries the addresses in turn; the last failure is the one that is told.
async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
