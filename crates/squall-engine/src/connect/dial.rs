//! From addresses to a TCP connection, by Happy Eyeballs (RFC 8305): addresses of both families are tried in
//! turn, each a little after the one before, and the first that answers is taken.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long an address has for itself before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers, from an address of this machine if one is given; the last failure is
/// the one that is told.
pub(super) async fn dial(
    mut addresses: Vec<IpAddr>,
    port: u16,
    source: Option<IpAddr>,
) -> io::Result<(TcpStream, IpAddr)> {
    if let Some(source) = source {
        addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
    }
    if let [address] = addresses.as_slice() {
        return connect(*address, port, source).await;
    }
    Box::pin(race(addresses, port, source)).await
}

async fn race(addresses: Vec<IpAddr>, port: u16, source: Option<IpAddr>) -> io::Result<(TcpStream, IpAddr)> {
    let mut waiting = by_turns(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let more = match waiting.next() {
            Some(address) => {
                attempts.push(connect(address, port, source));
                waiting.len() > 0
            }
            None if attempts.is_empty() => return Err(failure),
            None => false,
        };
        tokio::select! {
            ended = attempts.next() => match ended {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => failure = error,
                None => {}
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

async fn connect(address: IpAddr, port: u16, source: Option<IpAddr>) -> io::Result<(TcpStream, IpAddr)> {
    let remote = SocketAddr::new(address, port);
    let stream = match source {
        None => TcpStream::connect(remote).await?,
        Some(source) => Box::pin(connect_from(source, remote)).await?,
    };
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

async fn connect_from(source: IpAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(remote).await
}

/// The families alternating, beginning with that of the first address; the order within each is kept.
fn by_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (own, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut own, mut other) = (own.into_iter(), other.into_iter());
    std::iter::from_fn(move || {
        let next = own.next();
        std::mem::swap(&mut own, &mut other);
        next.or_else(|| own.next())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_nobody_is_left_out() {
        let check = |given: &[&str], expected: &[&str]| {
            assert_eq!(by_turns(addresses(given)), addresses(expected));
        };
        check(&["1.1.1.1", "2.2.2.2", "::1", "3.3.3.3"], &["1.1.1.1", "::1", "2.2.2.2", "3.3.3.3"]);
        check(&["::1", "::2", "::3", "1.1.1.1"], &["::1", "1.1.1.1", "::2", "::3"]);
        check(&["::1"], &["::1"]);
        check(&[], &[]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_, address) = dial(addresses(&["127.0.0.2", "::1", "127.0.0.1"]), port, None).await.unwrap();
        assert_eq!(address.to_string(), "127.0.0.1");
        drop(listener);
        let refused = dial(addresses(&["127.0.0.2", "127.0.0.1"]), port, None).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(dial(Vec::new(), port, None).await.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_address_it_was_told_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let from = async |source: &str, to: &[&str]| {
            let (stream, _) = dial(addresses(to), port, Some(source.parse().unwrap())).await?;
            let seen = listener.accept().await?.1;
            assert_eq!(seen, stream.local_addr()?);
            Ok::<_, io::Error>(seen.ip().to_string())
        };
        assert_eq!(from("127.0.0.7", &["127.0.0.1"]).await.unwrap(), "127.0.0.7");
        // Whoever comes from the one family cannot go to the other.
        assert_eq!(from("127.0.0.8", &["::1", "127.0.0.1"]).await.unwrap(), "127.0.0.8");
        for (source, to) in [("127.0.0.8", "::1"), ("192.0.2.1", "127.0.0.1")] {
            let refused = from(source, &[to]).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable, "{source} {to}");
        }
    }
}
