//! HTTP/1.1: bodies, connections, and time.

use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::script::{Act, Script};

use super::stage::mebibytes;
use super::{OK, Received, Retries, Row, after_request, last_reply, reply};

const SOON: Duration = Duration::from_millis(10);
const AT_ONCE: Duration = Duration::from_millis(1);

pub(super) fn rows() -> Vec<Row> {
    [endless(), broken(), lengths(), chunks(), interim(), kept(), requests(), packed(), phases()].concat()
}

/// A piece of what has no end.
fn much() -> String {
    "x".repeat(64 * 1024)
}

fn endless() -> Vec<Row> {
    let chunk = format!("10000\r\n{}\r\n", much());
    let dripping =
        |head: &str, what: &str, pause| after_request([Act::text(head), Act::endless(what, pause)]);
    let second = Duration::from_secs(1);
    let slowly = Duration::from_millis(20);
    let timeout = |id, script| Row::new(id, script, "timeout").new_connections();
    vec![
        timeout("endless-body", dripping("HTTP/1.1 200 OK\r\n\r\n", &much(), AT_ONCE)),
        timeout(
            "endless-body-in-chunks",
            dripping("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk, AT_ONCE),
        ),
        timeout("byte-a-second", dripping("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", second)),
        timeout("head-byte-by-byte", dripping("HTTP/1.1 200 OK\r\nX-A: ", "x", slowly)),
        timeout("endless-1xx", dripping("", "HTTP/1.1 102 Processing\r\n\r\n", AT_ONCE)),
        timeout(
            "endless-1xx-in-bulk",
            dripping("", &"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500), AT_ONCE),
        ),
        timeout("silent", after_request([Act::Hold])),
        timeout("head-without-end", after_request([Act::text("HTTP/1.1 200 OK\r\nX-A: b\r\n"), Act::Hold])),
        timeout("accepted-and-never-read", Script::new([Act::Idle(second)])).unheard(),
        Row::full("full-backlog"),
    ]
}

/// Connections that end before their time.
fn broken() -> Vec<Row> {
    let reset = |id, acts: Vec<Act>| Row::new(id, after_request(acts), "reset").new_connections();
    let long = || Act::text("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        Row::new("reset-on-accept", Script::new([Act::Reset]), "reset").unheard(),
        Row::new("close-on-accept", Script::new([Act::Close]), "reset").unheard(),
        reset("reset-before-head", vec![Act::Reset]),
        reset("empty-reply", vec![Act::Close]),
        reset("half-closed-reply", vec![Act::HalfClose, Act::Hold]),
        reset("reset-in-head", vec![Act::text("HTTP/1.1 200 OK\r\nContent-"), Act::Idle(SOON), Act::Reset]),
        reset("close-in-head", vec![Act::text("HTTP/1.1 200 OK\r\nContent-"), Act::Close]),
        reset("close-in-status-line", vec![Act::text("HTTP/1."), Act::Close]),
        reset("reset-after-head", vec![long(), Act::Idle(SOON), Act::Reset]),
        reset("body-too-short", vec![long(), Act::Close]),
        reset("close-in-chunk", vec![Act::text(&format!("{chunked}5\r\nab")), Act::Close]),
        reset("close-between-chunks", vec![Act::text(&format!("{chunked}2\r\nok\r\n")), Act::Close]),
        reset("close-before-last-line", vec![Act::text(&format!("{chunked}2\r\nok\r\n0\r\n")), Act::Close]),
        reset(
            "reset-in-endless-body",
            vec![Act::text("HTTP/1.1 200 OK\r\n\r\nabc"), Act::Idle(SOON), Act::Reset],
        ),
        Row::new("body-to-the-close", last_reply("HTTP/1.1 200 OK\r\n\r\nok"), "200").new_connections(),
    ]
}

/// What is said of a body's length.
fn lengths() -> Vec<Row> {
    let said = |length: &str| reply(&format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\nok"));
    let wrong = |id, length| Row::new(id, said(length), "protocol").new_connections();
    let once = |id, answer: &str, outcome| Row::new(id, reply(answer), outcome).new_connections();
    vec![
        Row::new("plain", reply(OK), "200").kept(),
        once("body-too-long", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", "200"),
        once("204-with-body", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", "204"),
        Row::new("304-with-length", reply("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), "304")
            .kept(),
        once("head-with-body", OK, "200").steps("{ head: $URL/ }"),
        Row::new("head-with-length", reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "200")
            .steps("{ head: $URL/ }")
            .kept(),
        wrong("two-lengths", "Content-Length: 2\r\nContent-Length: 5"),
        Row::new("two-lengths-that-agree", said("Content-Length: 2\r\nContent-Length: 2"), "200 protocol"),
        Row::new("list-of-lengths", said("Content-Length: 2, 2"), "200 protocol"),
        wrong("list-of-different-lengths", "Content-Length: 2, 5"),
        wrong("negative-length", "Content-Length: -1"),
        wrong("length-with-sign", "Content-Length: +2"),
        wrong("length-in-hexadecimal", "Content-Length: 0x2"),
        wrong("length-of-nothing", "Content-Length:"),
        wrong("length-beyond-64-bits", "Content-Length: 99999999999999999999"),
        Row::new(
            "length-of-all-64-bits",
            said("Content-Length: 18446744073709551615"),
            "protocol too_large timeout",
        ),
        Row::new(
            "huge-length",
            last_reply("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok"),
            "reset",
        )
        .new_connections(),
        Row::new(
            "length-and-chunks",
            reply(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ),
            "200 protocol",
        ),
    ]
}

fn chunks() -> Vec<Row> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    let chunked = |rest: &str| reply(&format!("{head}{rest}"));
    let wrong = |id, rest: &str| Row::new(id, chunked(rest), "protocol").new_connections();
    let endless = |start: &str, what: &str| {
        after_request([Act::text(&format!("{head}{start}")), Act::endless(what, AT_ONCE)])
    };
    vec![
        Row::new("chunks", chunked("\r\n2\r\nok\r\n0\r\n\r\n"), "200").kept(),
        Row::new(
            "chunks-with-trailers",
            chunked("Trailer: X-A\r\n\r\n2\r\nok\r\n0\r\nX-A: b\r\n\r\n"),
            "200",
        )
        .kept(),
        Row::new("chunk-with-extension", chunked("\r\n2;a=\"b;c\"\r\nok\r\n0;d\r\n\r\n"), "200").kept(),
        wrong("chunk-without-size", "\r\nzz\r\nok\r\n0\r\n\r\n"),
        wrong("chunk-of-negative-size", "\r\n-2\r\nok\r\n0\r\n\r\n"),
        wrong("chunk-beyond-64-bits", "\r\nFFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n"),
        wrong("chunk-too-long", "\r\n2\r\nokay\r\n0\r\n\r\n"),
        wrong("chunk-without-line-end", "\r\n2ok\r\n0\r\n\r\n"),
        Row::new("endless-chunk-size", endless("\r\n", "0"), "protocol timeout"),
        Row::new("endless-chunk-extension", endless("\r\n2;", &much()), "protocol too_large"),
        Row::new("endless-trailers", endless("\r\n0\r\n", &"X-A: b\r\n".repeat(1_000)), "protocol too_large"),
        Row::new("endless-trailer", endless("\r\n0\r\nX-A: ", &much()), "protocol too_large"),
    ]
}

/// Answers before the answer.
fn interim() -> Vec<Row> {
    let before = |interim: &str| reply(&format!("{interim}{OK}"));
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nfoo";
    vec![
        Row::new("100-continue", before("HTTP/1.1 100 Continue\r\n\r\n"), "200").kept(),
        Row::new("103-early-hints", before("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), "200").kept(),
        Row::new("many-1xx", before(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(50)), "200").kept(),
        Row::new("101-not-asked-for", reply(switch), "protocol").new_connections(),
    ]
}

/// Connections between requests.
fn kept() -> Vec<Row> {
    let stale = |ending: Vec<Act>| {
        Script::new([vec![Act::Head, Act::Body], ending].concat()).opening([
            Act::Head,
            Act::Body,
            Act::text(OK),
        ])
    };
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let later = |act| after_request([Act::text(OK), Act::Idle(SOON), act]);
    let twice = reply(&format!("{OK}HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"));
    let unasked = later(Act::text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"));
    let early = Script::new([Act::text(OK), Act::Head, Act::Close]);
    vec![
        Row::new("connection-close", last_reply(closing), "200").new_connections(),
        Row::new("connection-close-left-open", reply(closing), "200").new_connections(),
        Row::new("close-unannounced", last_reply(OK), "200").new_connections(),
        Row::new("http-1.0", last_reply("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), "200")
            .new_connections(),
        Row::new("keep-alive-expires", later(Act::Close), "200").new_connections(),
        Row::new("reset-in-think-time", later(Act::Reset), "200").new_connections(),
        Row::new("stale-close", stale(vec![Act::Close]), "200")
            .received(Received::Retried)
            .retries(Retries::Some),
        Row::new("stale-reset", stale(vec![Act::Reset]), "200")
            .received(Received::Retried)
            .retries(Retries::Some),
        Row::new("stale-after-a-byte", stale(vec![Act::text("H"), Act::Close]), "200 reset")
            .each()
            .retries(Retries::None),
        Row::new("stale-post", stale(vec![Act::Close]), "200 reset")
            .steps("{ post: $URL/, body: once }")
            .each()
            .retries(Retries::None),
        Row::new("second-answer", twice, "200").new_connections(),
        Row::new("answer-in-think-time", unasked, "200").new_connections(),
        Row::new("answer-before-request", early, "200 reset protocol").received(Received::Any),
    ]
}

/// Requests that the target does not want to the end.
fn requests() -> Vec<Row> {
    let body = |times| format!("{{ post: $URL/, body: \"{}\" }}", mebibytes(times));
    let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let early = |rest: Vec<Act>| Script::new([vec![Act::Head], rest].concat());
    vec![
        Row::new("413-and-close", early(vec![Act::text(refusal), Act::Close]), "413 reset").steps(body(1)),
        Row::new("413-and-read-on", early(vec![Act::text(refusal), Act::HalfClose, Act::Hold]), "413")
            .steps(body(1))
            .new_connections(),
        Row::new("reset-while-sending", early(vec![Act::Reset]), "reset").steps(body(1)).new_connections(),
        Row::new("request-never-read", early(vec![Act::Idle(Duration::from_secs(5))]), "timeout")
            .steps(body(8))
            .new_connections(),
    ]
}

/// Bodies that are more than they seem.
fn packed() -> Vec<Row> {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    let bomb = BOMB.get_or_init(bomb);
    let gzip = |bytes: &[u8]| {
        let length = bytes.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
        after_request([Act::Write([head.as_bytes(), bytes].concat())])
    };
    let capture = "{ get: $URL/, capture: { a: $.a } }";
    vec![
        Row::new("gzip-bomb", gzip(bomb), "200").kept(),
        Row::new("gzip-bomb-captured", gzip(bomb), "too_large").steps(capture),
        Row::new("gzip-garbage-captured", gzip(b"no gzip at all"), "protocol expectation").steps(capture),
        Row::new("gzip-cut-off-captured", gzip(&bomb[..bomb.len() / 500]), "protocol expectation")
            .steps(capture),
    ]
}

/// 64 MiB of nothing.
#[expect(clippy::expect_used, reason = "writing to memory cannot fail")]
fn bomb() -> Vec<u8> {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let nothing = vec![b' '; 1024 * 1024];
    (0..64).for_each(|_| bomb.write_all(&nothing).expect("memory"));
    bomb.finish().expect("memory")
}

/// A bound for each phase of a request.
fn phases() -> Vec<Row> {
    let timeout = |id, script| Row::new(id, script, "timeout").new_connections().alone();
    let slow = Act::endless("x", Duration::from_millis(20));
    let body = format!("{{ post: $URL/, body: \"{}\" }}", mebibytes(8));
    vec![
        timeout("timeout-of-send", Script::new([Act::Head, Act::Idle(Duration::from_secs(5))]))
            .http("timeouts", "{ send: 200ms }")
            .steps(body),
        timeout("timeout-of-first-byte", after_request([Act::Hold]))
            .http("timeouts", "{ first_byte: 200ms }"),
        timeout("timeout-of-body", after_request([Act::text("HTTP/1.1 200 OK\r\n\r\n"), slow]))
            .http("timeouts", "{ body: 200ms }"),
        Row::full("timeout-of-connect").http("timeouts", "{ connect: 200ms }").alone(),
    ]
}
