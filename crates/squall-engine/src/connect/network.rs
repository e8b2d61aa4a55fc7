//! Connections over the network: names, TCP, a proxy where there is one, TLS.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use squall_metrics::{Phase, Phases};
use squall_plan::{HttpSettings, HttpVersion, Timeouts};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::clock::in_micros;

use super::dial::dial;
use super::dns::Resolver;
use super::proxy::{Proxy, tunnel};
use super::{Connect, ConnectError, Dialed, Io, Origin, ProxyForm};

/// Where AWS keeps an instance's metadata, in IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// What ALPN calls HTTP/2.
const H2: &[u8] = b"h2";

/// TCP and TLS.
pub struct NetworkConnector {
    way: Rc<Way>,
}

/// What all connections have in common.
struct Way {
    tls: TlsConnector,
    resolver: Resolver,
    timeouts: Timeouts,
    version: HttpVersion,
    server_name: Option<String>,
    proxy: Option<Proxy>,
}

impl NetworkConnector {
    /// With the TLS configuration of the whole slice. Slices with different turns begin with different addresses of a
    /// name. Must be called within a runtime.
    #[must_use]
    pub fn new(settings: &HttpSettings, tls: Arc<ClientConfig>, first_turn: usize) -> Self {
        let way = Way {
            tls: TlsConnector::from(tls),
            resolver: Resolver::new(settings, first_turn),
            timeouts: settings.timeouts,
            version: settings.version,
            server_name: settings.server_name.clone(),
            proxy: settings.proxy.as_ref().and_then(Proxy::of),
        };
        Self { way: Rc::new(way) }
    }
}

impl Connect for NetworkConnector {
    fn connect(
        &self,
        origin: &Origin,
        phases: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        let (way, origin) = (Rc::clone(&self.way), origin.clone());
        Box::pin(async move { way.connect(&origin, &phases).await })
    }

    fn warm_up(&self, origin: &Origin) -> LocalBoxFuture<'static, ()> {
        let (way, origin) = (Rc::clone(&self.way), origin.clone());
        Box::pin(async move {
            let host = way.next_hop(&origin).0;
            if way.resolver.known(host).is_none() {
                // Whether there is an address is told by the first request.
                let _ = way.resolver.resolve(host).await;
            }
        })
    }
}

impl Way {
    /// Whom to connect to: the origin, or the proxy before it.
    fn next_hop<'a>(&'a self, origin: &'a Origin) -> (&'a str, u16) {
        match &self.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&origin.host, origin.port),
        }
    }

    /// Boxed is what few connections need: many are made at the same time.
    async fn connect(&self, origin: &Origin, phases: &Cell<Phases>) -> Result<Dialed, ConnectError> {
        let (host, port) = self.next_hop(origin);
        let addresses = match self.resolver.known(host) {
            Some(addresses) => addresses,
            None => {
                let found = Box::pin(self.resolver.resolve(host));
                timed(phases, Phase::Dns, self.timeouts.dns, found).await.map_err(ConnectError::Dns)?
            }
        };
        if let Some(forbidden) = addresses.iter().find(|address| is_never_a_target(**address)) {
            return Err(ConnectError::Forbidden(*forbidden));
        }
        let connected = timed(phases, Phase::Connect, self.timeouts.connect, dial(addresses, port)).await;
        let (mut stream, remote) = connected.map_err(ConnectError::Tcp)?;
        let mut form = None;
        if let Some(proxy) = &self.proxy {
            if origin.secure {
                stream = Box::pin(self.through(stream, proxy, origin, phases)).await?;
            } else {
                form = Some(ProxyForm { authorization: proxy.authorization.clone() });
            }
        }
        let dialed = |io, http2| Dialed { io, http2, remote: Some(remote), proxy: form };
        if !origin.secure {
            // Without TLS nobody asks which protocol it shall be.
            return Ok(dialed(Box::new(stream), self.version == HttpVersion::Http2));
        }
        let (io, http2) = Box::pin(self.secure(stream, origin, phases)).await?;
        Ok(dialed(io, http2))
    }

    /// A tunnel is a part of making the connection.
    async fn through(
        &self,
        stream: TcpStream,
        proxy: &Proxy,
        origin: &Origin,
        phases: &Cell<Phases>,
    ) -> Result<TcpStream, ConnectError> {
        let asked = async { Ok(tunnel(stream, proxy, origin).await) };
        timed(phases, Phase::Connect, self.timeouts.connect, asked).await.map_err(ConnectError::Tcp)?
    }

    async fn secure(
        &self,
        stream: TcpStream,
        origin: &Origin,
        phases: &Cell<Phases>,
    ) -> Result<(Box<dyn Io>, bool), ConnectError> {
        let name = self.server_name.clone().unwrap_or_else(|| origin.host.clone());
        let name = ServerName::try_from(name)
            .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let handshake = self.tls.connect(name, stream);
        let stream = timed(phases, Phase::Tls, self.timeouts.tls, handshake).await.map_err(|error| {
            match error.get_ref() {
                Some(inner) if inner.is::<rustls::Error>() => ConnectError::Tls(error),
                // Without a word of TLS it is the connection that broke.
                _ => ConnectError::Tcp(error),
            }
        })?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        if self.version == HttpVersion::Http2 && !http2 {
            return Err(ConnectError::NoHttp2);
        }
        Ok((Box::new(stream), http2))
    }
}

/// Link-local addresses, where clouds keep their metadata, and addresses that stand for none.
fn is_never_a_target(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6 == METADATA_V6,
    }
}

/// Does a phase's work within its limit, and keeps how long it took, also where it is given up.
async fn timed<T>(
    phases: &Cell<Phases>,
    phase: Phase,
    limit: Option<Duration>,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    struct Stopwatch<'a> {
        phases: &'a Cell<Phases>,
        phase: Phase,
        begin: Instant,
    }
    impl Drop for Stopwatch<'_> {
        fn drop(&mut self) {
            let mut phases = self.phases.get();
            phases.add(self.phase, in_micros(self.begin.elapsed()));
            self.phases.set(phases);
        }
    }
    let _stopwatch = Stopwatch { phases, phase, begin: Instant::now() };
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_never_a_target_in_whatever_notation() {
        let check = |address: &str, never| {
            assert_eq!(is_never_a_target(address.parse().unwrap()), never, "{address}");
        };
        for address in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "::", "fd00:ec2::254"]
        {
            check(address, true);
        }
        for address in ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.1", "2001:db8::1"] {
            check(address, false);
        }
    }
}
