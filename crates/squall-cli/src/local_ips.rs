//! `--local-ips`: the addresses of this machine that generators connect from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};

use anyhow::anyhow;
use squall_plan::Plan;

use crate::args::Backend;
use crate::failure::Failure;

/// So many addresses are taken at most.
const MOST: usize = 1_000;

/// The name of the option.
const OPTION: &str = "--local-ips";

/// An address, or all of a network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    /// How many of its bits all addresses have in common.
    prefix: u32,
}

impl Network {
    /// As it is said on the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is neither an address such as 10.0.0.7 nor a network such as 10.0.0.0/28");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(one, other)| (one, Some(other)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let bits = bits(address);
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix.trim().parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(wrong)?,
        };
        Ok(Self { address, prefix })
    }

    /// Its addresses, without that of the network itself and the last one where there are more than two.
    fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let own = match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let free = bits(self.address) - self.prefix;
        let rest = 1_u128.checked_shl(free).map_or(u128::MAX, |count| count - 1);
        let (first, last) = (own & !rest, own | rest);
        let inner = u128::from(free > 1);
        let is_v4 = self.address.is_ipv4();
        (first + inner..=last - inner).map(move |number| match u32::try_from(number) {
            Ok(number) if is_v4 => IpAddr::V4(Ipv4Addr::from_bits(number)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(number)),
        })
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS }
}

/// All addresses that are given, each of which must be one of this machine.
pub(crate) fn addresses(networks: &[Network], backend: Backend) -> Result<Vec<IpAddr>, Failure> {
    if backend != Backend::Local && !networks.is_empty() {
        let what =
            anyhow!("{OPTION} is for generators on this machine, and those on AWS have their own addresses");
        return Err(Failure::wrong(what).with_hint(format!("leave out {OPTION}, or --backend aws")));
    }
    let addresses: Vec<IpAddr> = networks.iter().flat_map(|network| network.addresses()).take(MOST).collect();
    match addresses.iter().find(|address| !is_own(**address)) {
        None => Ok(addresses),
        Some(address) => Err(Failure::wrong(anyhow!("{OPTION}: `{address}` is no address of this machine"))
            .with_hint(
                "`ip address` lists those that are; 127.0.0.0/8 always are, for targets on this machine",
            )),
    }
}

fn is_own(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_one = !address.is_unspecified() && !address.is_multicast() && !is_broadcast;
    is_one && UdpSocket::bind((address, 0)).is_ok()
}

/// Refuses addresses that the plan's target cannot be reached from, as far as that is known before.
pub(crate) fn check_family(sources: &[IpAddr], plan: &Plan) -> Result<(), Failure> {
    let next = plan.http.proxy.as_ref().unwrap_or(&plan.target);
    let Some(host) = next.host_str().filter(|_| !sources.is_empty()) else { return Ok(()) };
    let host = host.trim_matches(['[', ']']);
    let there: Vec<IpAddr> = match plan.http.resolve.get(&host.to_ascii_lowercase()) {
        Some(given) => given.clone(),
        // What is not found is told by the requests.
        None => (host, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect(),
    };
    let is_reached = |source: &&IpAddr| there.iter().any(|address| address.is_ipv4() == source.is_ipv4());
    match sources.iter().find(|source| !is_reached(source)) {
        Some(source) if !there.is_empty() => {
            let family = |is_v4: bool| if is_v4 { "IPv4" } else { "IPv6" };
            let (own, other) = (family(source.is_ipv4()), family(!source.is_ipv4()));
            let what = anyhow!(
                "{OPTION}: from `{source}`, which is {own}, nothing reaches `{host}`, which is {other}"
            );
            Err(Failure::wrong(what).with_hint(format!("give {OPTION} of {other}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let network = Network::parse(text).unwrap();
        network.addresses().take(MOST).map(|address| address.to_string()).collect()
    }

    #[test]
    fn a_network_has_all_its_addresses_but_the_first_and_the_last() {
        assert_eq!(all("127.0.0.9"), ["127.0.0.9"]);
        assert_eq!(all("10.0.0.7/30"), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(all("10.0.0.7/31"), ["10.0.0.6", "10.0.0.7"]);
        assert_eq!(all("10.0.0.7/32"), ["10.0.0.7"]);
        assert_eq!(all("fd00::5/127"), ["fd00::4", "fd00::5"]);
        assert_eq!((all("0.0.0.0/0").len(), all("::/0").len()), (MOST, MOST));
        assert_eq!(all("fd00::/64")[..2], ["fd00::1", "fd00::2"]);
        for wrong in ["", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129", "10.0.0.1/-1", "[::1]"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_taken() {
        let given = |texts: &[&str], backend| {
            let networks: Vec<Network> = texts.iter().map(|text| Network::parse(text).unwrap()).collect();
            addresses(&networks, backend).map_err(|failure| failure.words())
        };
        assert_eq!(given(&["127.0.0.0/8"], Backend::Local).unwrap().len(), MOST);
        assert_eq!(given(&["127.0.0.2", "127.0.0.4/31"], Backend::Local).unwrap().len(), 3);
        assert_eq!(given(&[], Backend::Aws), Ok(Vec::new()));
        for (text, backend, word) in [
            ("192.0.2.1", Backend::Local, "`192.0.2.1` is no address of this machine"),
            ("0.0.0.0", Backend::Local, "no address"),
            ("255.255.255.255", Backend::Local, "no address"),
            ("224.0.0.1", Backend::Local, "no address"),
            ("127.0.0.2", Backend::Aws, "on AWS"),
        ] {
            let problem = given(&[text], backend).unwrap_err();
            assert!(problem.contains(word), "{text}: {problem}");
        }
    }
}
