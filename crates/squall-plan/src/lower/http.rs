//! `http` and `allow`: how requests are sent, and to whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderValue;
use url::{Host, Url};

use crate::addresses::never_a_target;
use crate::keys;
use crate::model::{
    AllowList, Compression, Connections, DnsSettings, HttpSettings, HttpVersion, Roots, Timeouts,
};
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::Fields;
use super::values::Manner;

/// The port of name servers.
const DNS_PORT: u16 = 53;

impl Lowering<'_> {
    pub(super) fn http(&mut self, fields: &Fields<'_>) -> (HttpSettings, Manner) {
        let Some(node) = fields.get("http") else { return <_>::default() };
        self.within("http", |this| {
            let Some(fields) = this.fields(node, &keys::HTTP) else { return <_>::default() };
            let auth = this.optional(&fields, "auth", Self::auth);
            let headers = this.optional(&fields, "headers", |this, node| Some(this.sent_headers(node)));
            let manner = Manner::default().within(auth, headers.unwrap_or_default());
            let compress = this.optional(&fields, "compress", Self::compression).and_then(Compression::of);
            let settings = this.settings(&fields);
            this.check_names();
            (settings, Manner { compress, ..manner })
        })
    }

    fn settings(&mut self, fields: &Fields<'_>) -> HttpSettings {
        let default = HttpSettings::default();
        let version = self.optional(fields, "version", |this, node| this.word(node, &keys::HTTP_VERSIONS));
        let connections =
            self.optional(fields, "connections", |this, node| this.word(node, &keys::CONNECTIONS));
        let roots = self.optional(fields, "roots", |this, node| this.word(node, &["built_in", "platform"]));
        let count = |this: &mut Self, key, lowest, highest| {
            this.optional(fields, key, |this, node| this.count(node, lowest, highest))
        };
        let settings = HttpSettings {
            timeout: self.optional(fields, "timeout", Self::positive_duration).unwrap_or(default.timeout),
            timeouts: self.optional(fields, "timeouts", Self::timeouts).unwrap_or_default(),
            version: match version {
                Some("http1") => HttpVersion::Http1,
                Some("http2") => HttpVersion::Http2,
                _ => HttpVersion::Auto,
            },
            connections: match connections {
                Some("shared") => Connections::Shared,
                Some("per_iteration") => Connections::PerIteration,
                _ => Connections::PerUser,
            },
            max_connections: count(self, "max_connections", 1, keys::MAX_USERS),
            max_requests_per_connection: count(self, "max_requests_per_connection", 1, u32::MAX),
            max_connection_age: self.optional(fields, "max_connection_age", Self::positive_duration),
            max_streams: count(self, "max_streams", 1, 1_000_000).unwrap_or(default.max_streams),
            follow_redirects: count(self, "follow_redirects", 0, 50).unwrap_or(default.follow_redirects),
            roots: if roots == Some("platform") { Roots::Platform } else { Roots::BuiltIn },
            tls: self.optional(fields, "tls", Self::tls).unwrap_or_default(),
            server_name: self.optional(fields, "server_name", Self::server_name),
            resolve: self
                .optional(fields, "resolve", |this, node| Some(this.resolve(node)))
                .unwrap_or_default(),
            dns: self.optional(fields, "dns", Self::dns).unwrap_or_default(),
            proxy: self.optional(fields, "proxy", Self::proxy),
        };
        if let Some(key) = fields.key("max_connections")
            && settings.connections != Connections::Shared
        {
            let message = "`max_connections` is for a shared pool".to_owned();
            let hint =
                "add `connections: shared`, or leave it out: each user has one connection to an origin";
            self.error(key.span.clone(), "conflict", message, Some(hint.to_owned()));
        }
        settings
    }

    fn timeouts(&mut self, node: &Node) -> Option<Timeouts> {
        let fields = self.fields(node, &keys::TIMEOUTS)?;
        let mut phase = |key| -> Option<Duration> { self.optional(&fields, key, Self::positive_duration) };
        Some(Timeouts {
            dns: phase("dns"),
            connect: phase("connect"),
            tls: phase("tls"),
            send: phase("send"),
            first_byte: phase("first_byte"),
            body: phase("body"),
        })
    }

    fn dns(&mut self, node: &Node) -> Option<DnsSettings> {
        let fields = self.fields(node, &keys::DNS)?;
        let servers = self.optional(&fields, "servers", |this, node| {
            Some(this.list(node, |this, node| {
                let text = this.text(node)?;
                let address =
                    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, DNS_PORT)));
                if address.is_none() {
                    this.no_address(node, &text);
                }
                address
            }))
        });
        let max_ttl = self.optional(&fields, "max_ttl", Self::duration);
        Some(DnsSettings { servers: servers.unwrap_or_default(), max_ttl })
    }

    /// Names and their addresses.
    fn resolve(&mut self, node: &Node) -> BTreeMap<String, Vec<IpAddr>> {
        let mut names = BTreeMap::new();
        for (name, _, value) in self.entries(node) {
            let addresses = self.within(name, |this| match &value.value {
                Value::Sequence(_) => this.list(value, Self::address),
                _ => this.address(value).into_iter().collect(),
            });
            names.insert(name.to_ascii_lowercase(), addresses);
        }
        names
    }

    fn address(&mut self, node: &Node) -> Option<IpAddr> {
        let text = self.text(node)?;
        let address = text.parse().ok();
        if address.is_none() {
            self.no_address(node, &text);
        }
        self.check_address(node, &text);
        address
    }

    /// An address that no load may go to is told before there is any.
    pub(super) fn check_address(&mut self, node: &Node, host: &str) {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if let Some((address, kind)) = address.and_then(|address| Some((address, never_a_target(address)?))) {
            let message = format!("`{address}` is an address that no load may go to: {kind}");
            self.error(node.span.clone(), "never-a-target", message, None);
        }
    }

    fn no_address(&mut self, node: &Node, text: &str) {
        let hint = Some("write an address such as `127.0.0.1` or `\"::1\"`".to_owned());
        self.error(node.span.clone(), "bad-address", format!("`{text}` is no address"), hint);
    }

    fn server_name(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let is_name = matches!(Host::parse(&text), Ok(Host::Domain(_)));
        if !is_name {
            self.error(node.span.clone(), "bad-name", format!("`{text}` is no host name"), None);
        }
        is_name.then_some(text)
    }

    /// Its credentials are those of the URL.
    fn proxy(&mut self, node: &Node) -> Option<Url> {
        let text = self.constant_text(node)?;
        let url = Url::parse(&text).ok().filter(|url| url.scheme() == "http" && url.has_host());
        let credentials = url.as_ref().is_none_or(|url| {
            HeaderValue::from_str(url.username()).is_ok()
                && HeaderValue::from_str(url.password().unwrap_or_default()).is_ok()
        });
        if url.is_none() || !credentials {
            let hint = Some("write it as `http://host:port`".to_owned());
            self.error(node.span.clone(), "bad-proxy", "not the URL of an HTTP proxy".to_owned(), hint);
            return None;
        }
        if let Some(host) = url.as_ref().and_then(Url::host_str) {
            self.check_address(node, host);
        }
        url
    }

    /// The hosts that requests may go to: the target's and those of `allow`.
    pub(super) fn allow(&mut self, fields: &Fields<'_>, target: &Url) -> AllowList {
        let hosts = self.optional(fields, "allow", |this, node| {
            Some(this.list(node, |this, node| {
                let text = this.text(node)?;
                let entry = AllowList::entry(&text);
                match &entry {
                    Some(host) => this.check_address(node, host),
                    None => {
                        let hint = Some("write a name or an address, without scheme and port".to_owned());
                        this.error(node.span.clone(), "bad-name", format!("`{text}` is no host"), hint);
                    }
                }
                entry
            }))
        });
        let own = target.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        AllowList::new(hosts.unwrap_or_default().into_iter().chain(own))
    }
}
