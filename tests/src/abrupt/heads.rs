//! HTTP/1.1: heads that are too much, or wrong, or no heads at all.

use std::time::Duration;

use crate::script::{Act, Script};

use super::{OK, Row, after_request, last_reply, reply};

pub(super) fn rows() -> Vec<Row> {
    [large(), wrong(), status_lines(), foreign(), cookies()].concat()
}

/// A good answer with these lines in its head.
fn with(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 2\r\n\r\nok")
}

fn large() -> Vec<Row> {
    let large = |id, lines: &str| Row::new(id, reply(&with(lines)), "too_large").new_connections();
    let endless = |id, start: &str, what: &str| {
        let endless = Act::endless(what, Duration::from_millis(1));
        Row::new(id, after_request([Act::text(start), endless]), "too_large").new_connections()
    };
    let mebibyte = "x".repeat(1024 * 1024);
    let many: String = (0..5_000).map(|n| format!("X-{n}: value\r\n")).collect();
    vec![
        large("header-of-1-mb", &format!("X-A: {mebibyte}")),
        large("name-of-1-mb", &format!("{mebibyte}: a")),
        large("5000-headers", many.trim_end()),
        endless("endless-header", "HTTP/1.1 200 OK\r\nX-A: ", &"x".repeat(64 * 1024)),
        endless("endless-headers", "HTTP/1.1 200 OK\r\n", &"X-A: b\r\n".repeat(1_000)),
        endless("endless-reason", "HTTP/1.1 200 ", &"x".repeat(64 * 1024)),
    ]
}

fn wrong() -> Vec<Row> {
    let wrong = |id, lines: &str| Row::new(id, reply(&with(lines)), "protocol").new_connections();
    let either = |id, answer: &str| Row::new(id, reply(answer), "200 protocol");
    vec![
        wrong("nul-in-header", "X-A: a\0b"),
        wrong("nul-in-name", "X\0A: b"),
        wrong("header-without-colon", "no header"),
        wrong("header-without-name", ": b"),
        wrong("space-before-colon", "X-A : b"),
        wrong("bare-cr-in-header", "X-A: a\rb"),
        either("folded-header", &with("X-A: a\r\n b")),
        either("bare-line-feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        Row::new(
            "header-beyond-ascii",
            after_request([Act::Write(
                b"HTTP/1.1 200 \xffk\r\nX-A: \xe4\xf6\xfc\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            )]),
            "200",
        )
        .kept(),
    ]
}

fn status_lines() -> Vec<Row> {
    let line = |line: &str| reply(&format!("{line}\r\nContent-Length: 2\r\n\r\nok"));
    let wrong = |id, text| Row::new(id, line(text), "protocol").new_connections();
    vec![
        wrong("status-line-in-lower-case", "http/1.1 200 ok"),
        wrong("status-of-two-digits", "HTTP/1.1 20 OK"),
        wrong("status-of-four-digits", "HTTP/1.1 2000 OK"),
        wrong("status-below-100", "HTTP/1.1 099 Low"),
        wrong("status-of-letters", "HTTP/1.1 abc OK"),
        wrong("no-status", "HTTP/1.1"),
        wrong("http-2.0-in-text", "HTTP/2.0 200 OK"),
        wrong("http-9.9", "HTTP/9.9 200 OK"),
        Row::new("status-999", line("HTTP/1.1 999 Odd"), "999").kept(),
        Row::new("status-600", line("HTTP/1.1 600 Odd"), "600").kept(),
        Row::new("status-without-reason", line("HTTP/1.1 200"), "200").kept(),
        Row::new("misdirected-421", line("HTTP/1.1 421 Misdirected Request"), "421").kept(),
        Row::new("empty-lines-first", reply(&format!("\r\n\r\n{OK}")), "200 protocol"),
    ]
}

/// What is no HTTP/1.1 at all.
fn foreign() -> Vec<Row> {
    let foreign = |id, text: &str| Row::new(id, last_reply(text), "protocol").new_connections();
    let bytes = |id, bytes: &[u8]| {
        Row::new(id, after_request([Act::Write(bytes.to_vec()), Act::Close]), "protocol").new_connections()
    };
    vec![
        foreign("garbage", "this is not the protocol you are looking for\r\n\r\n"),
        foreign("http-0.9", "<html><body>hello</body></html>\r\n"),
        foreign("ssh", "SSH-2.0-OpenSSH_9.9\r\n"),
        foreign("smtp", "220 mail.test ESMTP\r\n"),
        bytes("zeros", &[0; 64]),
        bytes("high-bytes", &[0xff; 64]),
        bytes("tls-alert-instead-of-http", &[21, 3, 3, 0, 2, 2, 40]),
        bytes("http2-instead-of-http", b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0"),
    ]
}

fn cookies() -> Vec<Row> {
    let cookies = |count: usize, cookie: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = (0..count).map(|n| format!("Set-Cookie: {}", cookie(n))).collect();
        reply(&with(&lines.join("\r\n")))
    };
    let value = "v".repeat(1024);
    let set = with("Set-Cookie: theirs=2");
    let first = [Act::Head, Act::told("cookie: own=1"), Act::text(&set)];
    let joined = [Act::Head, Act::told("cookie: own=1; theirs=2\r"), Act::text(&set)];
    vec![
        Row::new("2000-cookies-at-once", cookies(2_000, &|n| format!("c{n}=value")), "200 too_large"),
        // Others in every response; what goes back must not grow for ever.
        Row::new("ever-more-cookies", cookies(40, &|n| format!("c$N-{n}={value}")), "200").kept(),
        Row::new("cookies-of-plan-and-target", Script::new(joined).opening(first), "200")
            .steps("{ get: $URL/, headers: { Cookie: own=1 } }")
            .kept(),
        Row::new("cookie-for-another-host", cookies(1, &|_| "a=b; Domain=other.test".to_owned()), "200")
            .kept(),
        Row::new(
            "cookie-of-nonsense",
            cookies(1, &|_| "=;;; \u{1}=\u{fffd}; Max-Age=x".to_owned()),
            "200 protocol",
        ),
    ]
}
