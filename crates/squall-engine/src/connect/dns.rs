//! From a name to its addresses.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use squall_plan::{DnsSettings, HttpSettings};

/// How long a name server may take, and how often it is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Names that are remembered, at most.
const CACHE_SIZE: u64 = 1_024;
const MAX_TURNS: usize = 1_024;

/// Looks names up, remembers answers for as long as they say, and hands out all addresses of a name in turn.
pub(super) struct Resolver {
    given: BTreeMap<String, Vec<IpAddr>>,
    lookup: Result<TokioResolver, String>,
    /// Whose turn it is among the addresses of each name.
    turns: RefCell<HashMap<String, usize>>,
    first_turn: usize,
}

impl Resolver {
    /// One that begins with another address than those of other slices. Must be called within a runtime.
    pub(super) fn new(settings: &HttpSettings, first_turn: usize) -> Self {
        let lookup = resolver(&settings.dns);
        Self { given: settings.resolve.clone(), lookup, turns: RefCell::default(), first_turn }
    }

    /// The addresses of a host, each time another one first. `None` for a host that is an address itself.
    pub(super) fn known(&self, host: &str) -> Option<Vec<IpAddr>> {
        match self.given.get(&host.to_ascii_lowercase()) {
            Some(addresses) => Some(self.rotated(host, addresses.clone())),
            None => host.parse().ok().map(|address| vec![address]),
        }
    }

    /// The addresses of a name, each time another one first.
    pub(super) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let resolver = self.lookup.as_ref().map_err(|problem| io::Error::other(problem.clone()))?;
        let found = resolver.lookup_ip(name).await.map_err(io::Error::other)?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(self.rotated(name, addresses))
    }

    fn rotated(&self, name: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let mut turns = self.turns.borrow_mut();
        if !turns.contains_key(name) && turns.len() >= MAX_TURNS {
            turns.clear();
        }
        let turn = turns.entry(name.to_owned()).or_insert(self.first_turn);
        let first = *turn % addresses.len().max(1);
        *turn = turn.wrapping_add(1);
        // Answers come in any order, so that turns would repeat some and leave out others.
        addresses.sort_unstable();
        addresses.rotate_left(first);
        addresses
    }
}

fn resolver(settings: &DnsSettings) -> Result<TokioResolver, String> {
    let builder = if settings.servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| format!("name servers of this machine: {error}"))?
    } else {
        let servers = settings.servers.iter().map(|server| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut options = ResolverOpts::default();
    options.timeout = ANSWER_WITHIN;
    options.attempts = ATTEMPTS;
    options.cache_size = CACHE_SIZE;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.positive_max_ttl = settings.max_ttl;
    // A name that could not be looked up is looked up again by the next who wants it.
    options.negative_max_ttl = Some(Duration::ZERO);
    builder.with_options(options).build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_of_a_name_come_first_in_turn() {
        let addresses: Vec<IpAddr> =
            ["127.0.0.3", "127.0.0.1", "127.0.0.2"].map(|a| a.parse().unwrap()).into();
        let resolve = BTreeMap::from([("api.test".to_owned(), addresses)]);
        let resolver = Resolver::new(&HttpSettings { resolve, ..HttpSettings::default() }, 3);
        let first = || resolver.known("API.test").unwrap()[0].to_string();
        assert_eq!(
            [first(), first(), first(), first()],
            ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]
        );
        assert_eq!(resolver.known("::1"), Some(vec!["::1".parse().unwrap()]));
        assert_eq!(resolver.known("other.test"), None);
    }
}
