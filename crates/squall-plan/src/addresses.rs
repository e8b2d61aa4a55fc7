//! Addresses that no load may go to: where clouds keep what machines know of themselves, and those that stand for
//! nobody or for everybody. In every notation in which IPv6 writes one of IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds keep metadata and credentials of their machines, besides link-local addresses: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// The same in IPv6: all services of AWS's instances are under `fd00:ec2::/32`; then that of Google.
const AWS_V6: [u16; 2] = [0xfd00, 0xec2];
const GOOGLE_V6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// What an address is that no load may go to; `None` for all others.
#[must_use]
pub fn never_a_target(address: IpAddr) -> Option<&'static str> {
    notations(address).into_iter().find_map(|address| match address {
        IpAddr::V4(v4) => never_v4(v4),
        IpAddr::V6(v6) => never_v6(v6),
    })
}

/// The address, and each of IPv4 that it is another notation of.
#[must_use]
pub fn notations(address: IpAddr) -> Vec<IpAddr> {
    let mut all = vec![address];
    if let IpAddr::V6(v6) = address {
        all.extend(embedded(v6).into_iter().map(IpAddr::V4));
    }
    all
}

fn never_v4(v4: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&v4) {
        Some("a cloud's metadata")
    } else if v4.is_link_local() {
        Some("link-local, as clouds' metadata is")
    } else if v4.octets()[0] == 0 {
        Some("unspecified")
    } else if v4.is_multicast() {
        Some("multicast")
    } else {
        v4.is_broadcast().then_some("broadcast")
    }
}

fn never_v6(v6: Ipv6Addr) -> Option<&'static str> {
    if v6.segments()[..2] == AWS_V6 || v6 == GOOGLE_V6 {
        Some("a cloud's metadata")
    } else if v6.is_unicast_link_local() {
        Some("link-local, as clouds' metadata is")
    } else if v6.is_unspecified() {
        Some("unspecified")
    } else {
        v6.is_multicast().then_some("multicast")
    }
}

/// The addresses of IPv4 that are written in one of IPv6.
fn embedded(v6: Ipv6Addr) -> Vec<Ipv4Addr> {
    match v6.segments() {
        _ if v6.is_loopback() || v6.is_unspecified() => Vec::new(),
        // Compatible (RFC 4291, section 2.5.5.1), mapped (2.5.5.2), translated (RFC 2765), NAT64 (RFC 6052), and
        // 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => vec![v4(high, low)],
        // Local NAT64 (RFC 8215): how long its prefix is, nobody else knows, so all places count (RFC 6052,
        // section 2.2). In most of them there is nothing.
        [0x64, 0xff9b, 1, ..] => {
            let octets = v6.octets();
            let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
            let places = places.map(|place| Ipv4Addr::from(place.map(|at: usize| octets[at])));
            places.into_iter().filter(|place| place.octets()[0] != 0).collect()
        }
        // Teredo (RFC 4380, section 4): the server, and the client with all bits turned over.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            vec![v4(high, low), v4(!client_high, !client_low)]
        }
        _ => Vec::new(),
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn check(address: &str, never: bool) {
        assert_eq!(never_a_target(address.parse().unwrap()).is_some(), never, "{address}");
    }

    #[test]
    fn metadata_and_what_is_nobodys_are_never_a_target_in_whatever_notation() {
        for address in [
            // Metadata, link-local, unspecified, multicast, broadcast.
            "169.254.169.254",
            "169.254.0.1",
            "169.254.255.255",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "239.255.255.250",
            "ff02::1",
            "ff0e::1",
            "255.255.255.255",
            // Mapped, compatible, translated.
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
            "::ffff:255.255.255.255",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            // NAT64; of the local one the prefixes of 96, 48, 56 and 64 bits.
            "64:ff9b::169.254.169.254",
            "64:ff9b::0.0.0.0",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            // 6to4; Teredo, the server and the client.
            "2002:a9fe:a9fe::",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::",
            "2001:0:102:304:0:0:5601:5601",
        ] {
            check(address, true);
        }
    }

    #[test]
    fn everybody_else_may_be_a_target_in_whatever_notation() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.2.1",
            "169.253.255.255",
            "169.255.0.0",
            "223.255.255.255",
            "240.0.0.1",
            "100.100.100.201",
            "1.0.0.0",
            "::1",
            "2001:db8::1",
            "fd00:ec3::254",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::198.51.100.1",
            "64:ff9b:1::198.51.100.1",
            "64:ff9b:1:c633:64:100::",
            "2002:c633:6401::",
            "2001:0:c633:6401::39cc:9bfe",
        ] {
            check(address, false);
        }
    }

    /// What hosts of URLs are written in: whatever a browser takes, the parser takes too, and says in four numbers.
    #[test]
    fn a_host_in_other_numbers_is_the_same_host() {
        for host in [
            "2852039166",
            "0xa9fea9fe",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "0xa9.0xfe.0xa9.0xfe",
            "169.254.43518",
            "169.16689662",
            "0251.254.0xa9fe",
            "169.254.169.254.",
            "%31%36%39.254.169.254",
            "１６９.254.169.254",
            "169。254。169。254",
            "[::ffff:169.254.169.254]",
            "[0:0:0:0:0:FFFF:A9FE:A9FE]",
        ] {
            for scheme in ["http", "https"] {
                let url = Url::parse(&format!("{scheme}://{host}/latest")).unwrap();
                let address: IpAddr = url.host_str().unwrap().trim_matches(['[', ']']).parse().unwrap();
                assert!(never_a_target(address).is_some(), "{host} is {address}");
            }
        }
        // Too many or too large numbers are no host at all.
        for host in ["4294967296", "169.254.169.254.1", "1.2.3.256", "[::ffff:169.254.169.254%25eth0]"] {
            assert!(Url::parse(&format!("http://{host}/")).is_err(), "{host}");
        }
    }
}
