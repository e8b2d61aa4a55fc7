//! How requests get to where they go.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::expression::Template;

/// How connections are made and requests are sent.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// From the start of a request to its last byte.
    pub timeout: Duration,
    /// How long its phases may take, where that is less.
    pub timeouts: Timeouts,
    /// Which protocol is spoken.
    pub version: HttpVersion,
    /// Whose connections are.
    pub connections: Connections,
    /// Connections of a shared pool at most, in the whole fleet.
    pub max_connections: Option<u32>,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: Option<u32>,
    /// Age at which a connection is closed.
    pub max_connection_age: Option<Duration>,
    /// Streams that are open on an HTTP/2 connection at the same time, at most.
    pub max_streams: u32,
    /// Redirects of one request that are followed at most.
    pub follow_redirects: u32,
    /// Where trusted certificate authorities come from.
    pub roots: Roots,
    /// Who else is trusted, and what the generator shows of itself.
    pub tls: TlsSettings,
    /// The name that TLS is told and certificates must bear, in place of the URL's host.
    pub server_name: Option<String>,
    /// Addresses of names, in place of what the name servers say.
    pub resolve: BTreeMap<String, Vec<IpAddr>>,
    /// Who is asked for all other names.
    pub dns: DnsSettings,
    /// What requests go through: the URL of an HTTP proxy.
    pub proxy: Option<Url>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            timeouts: Timeouts::default(),
            version: HttpVersion::Auto,
            connections: Connections::PerUser,
            max_connections: None,
            max_requests_per_connection: None,
            max_connection_age: None,
            max_streams: 100,
            follow_redirects: 10,
            roots: Roots::BuiltIn,
            tls: TlsSettings::default(),
            server_name: None,
            resolve: BTreeMap::new(),
            dns: DnsSettings::default(),
            proxy: None,
        }
    }
}

/// How long each phase of a request may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the name up.
    pub dns: Option<Duration>,
    /// Making the connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Writing the request.
    pub send: Option<Duration>,
    /// From the last byte of the request to the first of the response.
    pub first_byte: Option<Duration>,
    /// From there to the last byte.
    pub body: Option<Duration>,
}

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// With TLS what the server chooses, HTTP/1.1 without.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Whose connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Each user has its own, as long as it lives.
    PerUser,
    /// All users of a generator share a pool.
    Shared,
    /// Each iteration makes its own.
    PerIteration,
}

/// Who is asked for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers; the machine's own if there are none.
    pub servers: Vec<SocketAddr>,
    /// An answer is used for as long as it says, and no longer than this.
    pub max_ttl: Option<Duration>,
}

/// Certificates, besides those that everybody has.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Authorities that are trusted, too.
    pub authorities: Option<Pem>,
    /// What servers are shown that want to know who connects.
    pub client: Option<ClientCertificate>,
}

/// A certificate of a client.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, and those between it and an authority, in this order.
    pub chain: Pem,
    /// Its private key.
    pub key: Pem,
}

/// Certificates or a key, in PEM.
#[derive(Clone)]
pub enum Pem {
    /// What is in a file.
    File(Bytes),
    /// A text that is known to the generator only; its expressions need no user.
    Text(Template),
}

impl fmt::Debug for Pem {
    /// A key is shown to nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("File(..)"),
            Self::Text(template) => f.debug_tuple("Text").field(template).finish(),
        }
    }
}

/// Where trusted certificate authorities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's, compiled in: the same on every machine.
    BuiltIn,
    /// Those of the machine that the generator runs on.
    Platform,
}
