//! Which hosts requests may go to.

use std::net::IpAddr;

use url::Host;

/// The hosts that requests may go to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    hosts: Vec<String>,
}

impl AllowList {
    /// Of these hosts; `*.example.com` stands for all names below that one.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().map(|host| normal(&host)).collect() }
    }

    /// A host as it may stand in the list, written as URLs have it: a name, an address with or without brackets, or
    /// `*.` and a name. `None` for anything else.
    #[must_use]
    pub fn entry(text: &str) -> Option<String> {
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text);
        let address = name.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| address.to_string());
        let host = address.or_else(|| match Host::parse(name).ok()? {
            Host::Domain(name) => Some(name).filter(|name| name.chars().all(is_of_names)),
            Host::Ipv4(address) => Some(address.to_string()),
            Host::Ipv6(address) => Some(address.to_string()),
        })?;
        match below {
            // Nothing is below an address.
            Some(_) if host.parse::<IpAddr>().is_ok() => None,
            Some(_) => Some(format!("*.{host}")),
            None => Some(host),
        }
    }

    /// The hosts, as they were given.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    /// Whether requests may go to a host: a name, or an address without brackets.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = normal(host);
        self.hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == *allowed,
        })
    }

    /// Whether all that an entry of another list allows is allowed by this one, too.
    #[must_use]
    pub fn covers(&self, entry: &str) -> bool {
        let entry = normal(entry);
        match entry.strip_prefix('*') {
            None => self.allows(&entry),
            Some(below) => {
                let suffixes = self.hosts.iter().filter_map(|allowed| allowed.strip_prefix('*'));
                suffixes.into_iter().any(|suffix| below.ends_with(suffix))
            }
        }
    }
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c)
}

/// In small letters, and without the dot that may end a name.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::new(entries.iter().map(|entry| AllowList::entry(entry).unwrap()))
    }

    #[test]
    fn hosts_are_compared_as_urls_have_them() {
        let check = |entry: &str, host: &str, allowed| {
            // As the engine sees the host of a URL.
            let url = url::Url::parse(&format!("http://{host}/")).unwrap();
            let host = url.host_str().unwrap().trim_matches(['[', ']']);
            assert_eq!(list(&[entry]).allows(host), allowed, "{entry} {host}");
        };
        check("shop.example.com", "shop.example.com", true);
        check("shop.example.com", "SHOP.Example.Com", true);
        check("Shop.Example.COM", "shop.example.com", true);
        check("shop.example.com", "shop.example.com.", true);
        check("shop.example.com.", "shop.example.com", true);
        check("shop.example.com", "shop.example.com:8443", true);
        check("shop.example.com", "evil.shop.example.com", false);
        check("shop.example.com", "shop.example.com.evil.test", false);
        check("shop.example.com", "evilshop.example.com", false);
        check("*.example.com", "a.b.example.com", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", "evilexample.com", false);
        check("*.example.com", "a.example.com.evil.test", false);
        check("b\u{fc}cher.example", "b\u{fc}cher.example", true);
        check("b\u{fc}cher.example", "xn--bcher-kva.example", true);
        check("xn--bcher-kva.example", "B\u{dc}CHER.example", true);
        check("bucher.example", "b\u{fc}cher.example", false);
        // What comes before the @ is no host.
        check("shop.example.com", "shop.example.com@evil.test", false);
        check("shop.example.com", "shop.example.com:80@evil.test", false);
        check("evil.test", "shop.example.com@evil.test", true);
        check("127.0.0.1", "2130706433", true);
        check("0x7f000001", "127.0.0.1", true);
        check("[::1]", "[0:0:0:0:0:0:0:1]", true);
        check("::1", "[::1]", true);
        check("127.0.0.1", "[::ffff:127.0.0.1]", false);
    }

    #[test]
    fn what_is_no_host_is_no_entry() {
        for text in [
            "",
            "*",
            "*.",
            "a*b.example",
            "*evil.test",
            "*.*.test",
            "http://x.test",
            "x.test:80",
            "a/b",
            "u@h",
            "a,b",
            "*.127.0.0.1",
        ] {
            assert_eq!(AllowList::entry(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_covers_what_it_allows_and_no_more() {
        let check = |own: &[&str], entry: &str, covered| {
            assert_eq!(list(own).covers(&AllowList::entry(entry).unwrap()), covered, "{own:?} {entry}");
        };
        check(&["shop.test"], "shop.test", true);
        check(&["shop.test"], "SHOP.test.", true);
        check(&["shop.test"], "*.shop.test", false);
        check(&["*.shop.test"], "a.shop.test", true);
        check(&["*.shop.test"], "shop.test", false);
        check(&["*.shop.test"], "*.shop.test", true);
        check(&["*.shop.test"], "*.a.shop.test", true);
        check(&["*.a.shop.test"], "*.shop.test", false);
        check(&["*.shop.test"], "*.evilshop.test", false);
        check(&["10.0.0.1"], "10.0.0.1", true);
        check(&["10.0.0.1"], "10.0.0.2", false);
        check(&[], "shop.test", false);
    }
}
