//! A service with a known trouble, over a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use squall_target::Host;
use squall_target::service::{Kind, Profile};

fn start(profile: &str, settings: &Value) -> Host {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Host::start(address, Profile::named(profile).unwrap(), 1, settings).unwrap()
}

/// The whole answer to a request over a connection of its own.
fn send(host: &Host, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_gateway_says_when_to_come_back_and_tells_the_truth_and_its_metrics() {
    let host = start("gateway", &json!({ "burst": 2, "refill_per_s": 0.0001 }));
    let status = |answer: &str| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(&send(&host, "GET", "/api/v1/catalog/products?limit=1")), "200");
    assert_eq!(status(&send(&host, "GET", "/products/SKU-1")), "200");
    let limited = send(&host, "POST", "/orders").to_ascii_lowercase();
    assert_eq!(status(&limited), "429");
    assert!(limited.contains("\r\nretry-after: "), "{limited}");

    let truth = json(&send(&host, "GET", "/truth"));
    assert_eq!(
        (&truth["profile"], &truth["findings"][0]["kind"]),
        (&json!("gateway"), &json!("rate_limited"))
    );
    assert_eq!((&truth["parameters"]["burst"], &truth["numbers"]["limited"]), (&json!(2), &json!(1)));
    assert!(truth["started_at_s"].as_f64().unwrap() > 0.0, "{truth}");
    let metrics = send(&host, "GET", "/metrics");
    assert!(metrics.contains("http_requests_total{endpoint=\"POST /orders\",code=\"429\"} 1\n"), "{metrics}");
    let counts = json(&send(&host, "GET", "/_squall/counts"));
    assert_eq!((&counts["total"], &counts["routes"]["GET /products/:id"]), (&json!(3), &json!(1)));

    send(&host, "POST", "/_squall/reset");
    assert_eq!(host.truth().findings[0].kind, Kind::Healthy);
    assert_eq!(status(&send(&host, "GET", "/products")), "200");
}

#[test]
fn connections_beyond_the_limit_are_really_refused() {
    let host = start("connection-limit", &json!({ "limit": 1 }));
    let mut first = TcpStream::connect(host.address()).unwrap();
    first.write_all(b"GET /products HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut status = [0; 12];
    first.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    // It stopped listening before it answered, or it answers from the queue of the socket that it then closes.
    let error = TcpStream::connect(host.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(host.truth().findings[0].kind, Kind::ConnectionLimit);
    drop(first);
    // It hears of the end, and listens again.
    let again = (0..1_000_000).find_map(|_| TcpStream::connect(host.address()).ok());
    assert!(again.is_some());
}

#[test]
fn what_is_cut_by_the_network_gets_no_answer() {
    let host = start("network", &json!({ "from_s": 0, "dns_share": 1.0 }));
    assert_eq!(send(&host, "GET", "/products"), "");
    assert_eq!(host.truth().findings[0].kind, Kind::Network);
}
