//! Where connections must not lead, and where from they come, whatever a plan says.

use std::net::{IpAddr, SocketAddr};

use squall_plan::AllowList;
use squall_plan::addresses::{never_a_target, notations};

use super::{ConnectError, Origin};

/// Where a generator may send load and from where, as far as whoever set it up says: a plan can narrow it down, and not
/// widen it.
/// Besides, there are [addresses that no load may go to](squall_plan::addresses).
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// The hosts; all if `None`.
    pub hosts: Option<AllowList>,
    /// Services of the generator's own environment, which are nobody's target. A loopback address stands for all
    /// of them.
    pub closed: Vec<SocketAddr>,
    /// The address of its machine that its connections come from; whichever the system takes if `None`.
    pub source: Option<IpAddr>,
}

impl Guard {
    /// Whether requests may go to a host: a name, or an address without brackets.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.allows(host))
    }

    /// Refuses an address that is about to be dialled.
    pub(super) fn check(&self, address: IpAddr, port: u16) -> Result<(), ConnectError> {
        if never_a_target(address).is_some() || self.is_closed(address, port) {
            Err(ConnectError::Forbidden(SocketAddr::new(address, port)))
        } else {
            Ok(())
        }
    }

    /// Refuses an origin that a proxy is asked for, as far as it is an address: what the proxy makes of a name, only
    /// the proxy knows.
    pub(super) fn check_behind_proxy(&self, origin: &Origin) -> Result<(), ConnectError> {
        origin.host.parse().map_or(Ok(()), |address| self.check(address, origin.port))
    }

    fn is_closed(&self, address: IpAddr, port: u16) -> bool {
        let mut closed = self.closed.iter().filter(|closed| closed.port() == port).peekable();
        if closed.peek().is_none() {
            return false;
        }
        let notations = notations(address);
        closed.any(|closed| {
            notations
                .iter()
                .any(|address| *address == closed.ip() || address.is_loopback() && closed.ip().is_loopback())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_environment_are_closed_in_whatever_notation_and_nothing_else_is() {
        let guard = |closed: &str| Guard { closed: vec![closed.parse().unwrap()], ..Guard::default() };
        let check = |guard: &Guard, address: &str, port, open| {
            assert_eq!(guard.check(address.parse().unwrap(), port).is_ok(), open, "{address} {port}");
        };
        let runtime = guard("127.0.0.1:9001");
        for address in [
            "127.0.0.1",
            "127.0.0.2",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
        ] {
            check(&runtime, address, 9001, false);
            check(&runtime, address, 9002, true);
            check(&Guard::default(), address, 9001, true);
        }
        check(&runtime, "10.0.0.1", 9001, true);
        check(&runtime, "0.0.0.0", 9001, false);
        let elsewhere = guard("10.0.0.1:80");
        check(&elsewhere, "10.0.0.1", 80, false);
        check(&elsewhere, "::ffff:10.0.0.1", 80, false);
        check(&elsewhere, "10.0.0.2", 80, true);
        check(&elsewhere, "127.0.0.1", 80, true);
        // Whatever is set up, metadata is not.
        check(&Guard::default(), "169.254.169.254", 80, false);
    }

    #[test]
    fn without_a_list_all_hosts_are_allowed() {
        assert!(Guard::default().allows("shop.test"));
        let hosts = Some(AllowList::new(["shop.test".to_owned()]));
        let guard = Guard { hosts, ..Guard::default() };
        assert!(guard.allows("SHOP.test.") && !guard.allows("evil.test"));
        let nobody = Guard { hosts: Some(AllowList::default()), ..Guard::default() };
        assert!(!nobody.allows("shop.test"));
    }
}
