//! Proxies: those that do what they are there for, and those that do not.

use crate::script::tls::{Certificate, config};
use crate::script::{Act, Script};

use super::{OK, Received, Row};

/// Where requests are to go; only a proxy can lead them there.
const FAR: &str = "far.test";

pub(super) fn rows() -> Vec<Row> {
    [passing(), refusing()].concat()
}

/// The target is the proxy itself.
fn through(id: &'static str, script: Script, outcomes: &'static str) -> Row {
    Row::new(id, script, outcomes).http("proxy", "\"http://127.0.0.1:$PORT\"").alone()
}

fn passing() -> Vec<Row> {
    let plain = |told: &str| {
        Script::new([
            Act::Head,
            Act::told("get http://far.test/a?b=c http/1.1"),
            Act::told(told),
            Act::text(OK),
        ])
    };
    let far = |row: Row| row.steps("{ get: \"http://far.test/a?b=c\" }").allow(FAR).kept();
    // Behind the tunnel there is a target of its own.
    let tunnel = [
        Act::Head,
        Act::told("connect 127.0.0.1:9 http/1.1"),
        Act::text("HTTP/1.1 200 Connection established\r\n\r\n"),
        Act::Secure(config(Certificate::Good, &["http/1.1"])),
    ];
    let inside = [Act::Head, Act::told("get /a http/1.1"), Act::text(OK)];
    vec![
        far(through("proxy-plain", plain("host: far.test"), "200")),
        far(through("proxy-with-credentials", plain("proxy-authorization: basic dxnlcjpwyxnz"), "200")
            .http("proxy", "\"http://user:pass@127.0.0.1:$PORT\"")),
        through("proxy-tunnel", Script::new(inside).opening(tunnel), "200")
            .steps("{ get: \"https://127.0.0.1:9/a\" }")
            .http("roots", "platform")
            .received(Received::Any)
            .kept(),
    ]
}

fn refusing() -> Vec<Row> {
    let connect = |id, acts: Vec<Act>, outcome| {
        let script = Script::new([vec![Act::Head], acts].concat());
        through(id, script, outcome)
            .steps("{ get: \"https://far.test/\" }")
            .allow(FAR)
            .received(Received::Any)
    };
    let says = |id, answer: &str, outcome| connect(id, vec![Act::text(answer), Act::Hold], outcome);
    vec![
        says("proxy-refuses", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused"),
        says("proxy-wants-credentials", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refused"),
        says("proxy-of-garbage", "garbage\r\n\r\n", "refused"),
        says(
            "proxy-without-tls-behind",
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            "tls refused",
        ),
        connect("proxy-closes", vec![Act::Close], "refused reset"),
        connect("proxy-silent", vec![Act::Hold], "timeout").http("timeout", "300ms"),
    ]
}
