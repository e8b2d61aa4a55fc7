//! Connections over the network: names, TCP, a proxy where there is one, TLS.

use std::cell::Cell;
use std::future::Future;
use std::io;
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
use super::guard::Guard;
use super::proxy::{Proxy, tunnel};
use super::{Connect, ConnectError, Dialed, Io, Origin, ProxyForm};

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
    guard: Arc<Guard>,
}

impl NetworkConnector {
    /// With the TLS configuration of the whole slice. Slices with different turns begin with different addresses of a
    /// name. Must be called within a runtime.
    #[must_use]
    pub fn new(
        settings: &HttpSettings,
        tls: Arc<ClientConfig>,
        guard: Arc<Guard>,
        first_turn: usize,
    ) -> Self {
        let way = Way {
            tls: TlsConnector::from(tls),
            resolver: Resolver::new(settings, first_turn),
            timeouts: settings.timeouts,
            version: settings.version,
            server_name: settings.server_name.clone(),
            proxy: settings.proxy.as_ref().and_then(Proxy::of),
            guard,
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
        if self.proxy.is_some() {
            self.guard.check_behind_proxy(origin)?;
        }
        let addresses = match self.resolver.known(host) {
            Some(addresses) => addresses,
            None => {
                let found = Box::pin(self.resolver.resolve(host));
                timed(phases, Phase::Dns, self.timeouts.dns, found).await.map_err(ConnectError::Dns)?
            }
        };
        // Each of them may be dialled, and nothing else is.
        addresses.iter().try_for_each(|address| self.guard.check(*address, port))?;
        let dialling = dial(addresses, port, self.guard.source);
        let connected = timed(phases, Phase::Connect, self.timeouts.connect, dialling).await;
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
    use std::net::SocketAddr;

    use squall_plan::{Bundle, Inputs, compile};
    use tokio::net::TcpListener;
    use url::Url;

    use super::*;
    use crate::connect::client_config;

    /// Connects to a URL as a plan with those settings does.
    async fn connect(http: &str, guard: Guard, url: &str) -> Result<Dialed, ConnectError> {
        let text = format!(
            "target: http://127.0.0.1:1\nhttp: {{ {http} }}\nload: {{ users: 1, duration: 1s }}\n\
             scenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}"
        );
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        let plan = compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan;
        let tls = client_config(&plan, &squall_plan::SecretValues::default()).unwrap();
        let connector = NetworkConnector::new(&plan.http, tls, Arc::new(guard), 0);
        let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
        connector.connect(&origin, Rc::default()).await
    }

    async fn check_forbidden(http: &str, guard: Guard, url: &str, expected: &str) {
        match connect(http, guard, url).await {
            Err(ConnectError::Forbidden(address)) => {
                assert_eq!(address, expected.parse::<SocketAddr>().unwrap(), "{url}");
            }
            other => panic!("{url}: {:?}", other.err()),
        }
    }

    #[tokio::test]
    async fn what_no_load_may_go_to_is_not_dialled_however_its_url_is_written() {
        let forbidden =
            async |url: &str, expected: &str| check_forbidden("", Guard::default(), url, expected).await;
        for host in ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"] {
            forbidden(&format!("http://{host}/latest/meta-data/"), "169.254.169.254:80").await;
            forbidden(&format!("https://{host}/"), "169.254.169.254:443").await;
        }
        forbidden("http://[::ffff:169.254.169.254]:8/", "[::ffff:a9fe:a9fe]:8").await;
        forbidden("http://[64:ff9b::a9fe:a9fe]/", "[64:ff9b::a9fe:a9fe]:80").await;
        forbidden("http://[fd00:ec2::254]/", "[fd00:ec2::254]:80").await;
        forbidden("http://0/", "0.0.0.0:80").await;
        forbidden("http://[::]/", "[::]:80").await;
    }

    #[tokio::test]
    async fn a_proxy_is_no_way_around() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let http = format!("proxy: \"http://{proxy}\"");
        for url in ["http://169.254.169.254/", "https://2852039166/", "http://[::ffff:a9fe:a9fe]/"] {
            assert!(matches!(connect(&http, Guard::default(), url).await, Err(ConnectError::Forbidden(_))));
        }
        // Nor is the proxy itself where nobody may go.
        let closed = Guard { closed: vec![proxy], ..Guard::default() };
        check_forbidden(&http, closed, "http://192.0.2.1/", &proxy.to_string()).await;
        assert!(connect(&http, Guard::default(), "http://192.0.2.1/").await.is_ok());
    }

    #[tokio::test]
    async fn services_of_the_environment_are_not_dialled_and_their_neighbours_are() {
        let (runtime, target) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let guard = || Guard { closed: vec![runtime], ..Guard::default() };
        check_forbidden("", guard(), &format!("http://{runtime}/"), &runtime.to_string()).await;
        let http = "resolve: { \"api.test\": 127.0.0.1 }";
        let port = runtime.port();
        check_forbidden(http, guard(), &format!("http://api.test:{port}/"), &runtime.to_string()).await;
        let target = target.local_addr().unwrap();
        assert!(connect("", guard(), &format!("http://{target}/")).await.is_ok());
    }
}
