//! TLS that fails, and TLS that ends without a word.

use std::time::Duration;

use crate::script::tls::{Certificate, HANDSHAKE_FAILURE, config};
use crate::script::{Act, Script};

use super::{OK, Row, after_request, last_reply, reply};

const HTTP_1: [&str; 1] = ["http/1.1"];

pub(super) fn rows() -> Vec<Row> {
    [certificates(), handshakes(), endings()].concat()
}

/// A target that speaks TLS, or pretends to.
fn secure(id: &'static str, script: Script, outcomes: &'static str) -> Row {
    Row::new(id, script, outcomes).steps("{ get: \"https://127.0.0.1:$PORT/\" }").http("roots", "platform")
}

fn certificates() -> Vec<Row> {
    let shows = |certificate| reply(OK).within(config(certificate, &HTTP_1));
    let refused = |id, certificate| secure(id, shows(certificate), "tls").unheard();
    vec![
        secure("tls-good", shows(Certificate::Good), "200").kept(),
        secure("tls-without-alpn", reply(OK).within(config(Certificate::Good, &[])), "200").kept(),
        refused("tls-expired", Certificate::Expired),
        refused("tls-not-yet-valid", Certificate::NotYet),
        refused("tls-wrong-host", Certificate::Elsewhere),
        refused("tls-unknown-authority", Certificate::Unknown),
        secure("tls-server-name", shows(Certificate::Elsewhere), "200")
            .http("server_name", "elsewhere.test")
            .kept()
            .alone(),
        refused("tls-other-server-name", Certificate::Good).http("server_name", "elsewhere.test").alone(),
    ]
}

fn handshakes() -> Vec<Row> {
    let says = |id, bytes: &[u8], outcome| {
        secure(id, Script::new([Act::Read, Act::Write(bytes.to_vec()), Act::Close]), outcome).unheard()
    };
    let does = |id, acts: Vec<Act>, outcome| secure(id, Script::new(acts), outcome).unheard();
    // A record that is said to be a handshake of 16 kB, and ends early.
    let cut = [&[22, 3, 3, 0x40, 0][..], &[2; 100]].concat();
    let endless = Act::Repeat(Box::new(Act::Write(vec![22, 3, 3, 0, 1, 2])), Duration::from_millis(1));
    vec![
        says("tls-alert", &HANDSHAKE_FAILURE, "tls"),
        says("tls-garbage", &[0xff; 64], "tls"),
        says("tls-answered-in-http", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "tls"),
        says("tls-cut-off", &cut, "reset tls"),
        does("tls-close-in-handshake", vec![Act::Read, Act::Close], "reset tls"),
        does("tls-reset-in-handshake", vec![Act::Read, Act::Reset], "reset"),
        does("tls-silent", vec![Act::Hold], "timeout"),
        does("tls-endless-handshake", vec![Act::Read, endless], "timeout tls"),
        does("timeout-of-tls", vec![Act::Hold], "timeout").http("timeouts", "{ tls: 200ms }").alone(),
        Row::new(
            "http-to-port-of-tls",
            reply(OK).within(config(Certificate::Good, &HTTP_1)),
            "protocol reset",
        )
        .steps("{ get: \"http://127.0.0.1:$PORT/\" }")
        .unheard(),
    ]
}

fn endings() -> Vec<Row> {
    let within = |script: Script| script.within(config(Certificate::Good, &HTTP_1));
    let cut = |answer: &str| within(after_request([Act::text(answer), Act::Cut]));
    vec![
        // Without a close of TLS nobody knows whether it is all of the body.
        secure("tls-body-cut-off", cut("HTTP/1.1 200 OK\r\n\r\nok"), "reset").new_connections(),
        secure("tls-body-to-the-close", within(last_reply("HTTP/1.1 200 OK\r\n\r\nok")), "200")
            .new_connections(),
        secure("tls-cut-off-after-answer", cut(OK), "200").new_connections(),
        secure("tls-empty-reply", within(after_request([Act::Close])), "reset").new_connections(),
        secure("tls-reset-in-body", cut("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), "reset")
            .new_connections(),
        secure("tls-keep-alive-expires", within(last_reply(OK)), "200").new_connections(),
    ]
}
