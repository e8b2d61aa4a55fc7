//! Redirects, and names that lead nowhere.

use std::time::Duration;

use crate::script::{Act, Script, dns};

use super::{OK, Received, Row, after_request, last_reply, reply};

/// Redirects that are followed unless the plan says otherwise.
const FOLLOWED: u64 = 10;

/// Names of hosts to which redirects lead.
const RESOLVE: &str = "{ \"allowed.test\": 127.0.0.1, \"forbidden.test\": 127.0.0.1 }";

pub(super) fn rows() -> Vec<Row> {
    [loops(), hosts(), locations(), names()].concat()
}

fn to(location: &str) -> Script {
    reply(&redirect("302 Found", location))
}

fn redirect(status: &str, location: &str) -> String {
    format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn loops() -> Vec<Row> {
    let endless = |id, location| {
        Row::new(id, to(location), "redirect").received(Received::Each(FOLLOWED + 1)).redirects(FOLLOWED)
    };
    vec![
        endless("redirect-loop", "/"),
        endless("redirect-without-end", "/$N"),
        endless("redirect-loop-of-urls", "http://127.0.0.1:$PORT/"),
        endless("redirect-by-query", "?page=$N"),
        Row::new("redirect-not-followed", to("/"), "302")
            .http("follow_redirects", "0")
            .redirects(0)
            .kept()
            .alone(),
        Row::new("redirect-followed-twice", to("/"), "redirect")
            .http("follow_redirects", "2")
            .received(Received::Each(3))
            .redirects(2)
            .alone(),
    ]
}

fn hosts() -> Vec<Row> {
    let allowed = |id, status| {
        Row::new(id, reply(&redirect(status, "http://allowed.test:$OTHER/")), "200")
            .http("resolve", RESOLVE)
            .allow("allowed.test")
            .other(reply(OK), 1)
            .redirects(1)
    };
    let forbidden =
        |id, location| Row::new(id, to(location), "forbidden").http("resolve", RESOLVE).other(reply(OK), 0);
    let computed = |id, url: &str| {
        let steps =
            format!("{{ set: {{ h: '{{{{ env.NOBODY | default(2852039166) }}}}' }} }}, {{ get: \"{url}\" }}");
        Row::new(id, reply(OK), "forbidden").steps(steps).unheard().unconnected()
    };
    vec![
        computed("computed-url-of-metadata", "{{ 'http://' ~ h ~ '/latest' }}"),
        computed("computed-host-of-metadata", "http://{{ h }}/latest"),
        computed("computed-user-at-metadata", "http://127.0.0.1@{{ h }}/latest"),
        allowed("redirect-to-allowed-host", "301 Moved Permanently"),
        allowed("redirect-of-post-303", "303 See Other").steps("{ post: $URL/, body: once }"),
        allowed("redirect-of-post-307", "307 Temporary Redirect").steps("{ post: $URL/, body: again }"),
        allowed("redirect-of-post-308", "308 Permanent Redirect").steps("{ post: $URL/, body: again }"),
        forbidden("redirect-to-other-host", "http://forbidden.test:$OTHER/"),
        forbidden("redirect-to-user-at-other-host", "http://127.0.0.1@forbidden.test:$OTHER/"),
        forbidden("redirect-without-scheme", "//forbidden.test:$OTHER/"),
        forbidden("redirect-to-host-below", "http://127.0.0.1.forbidden.test:$OTHER/"),
        forbidden("redirect-to-metadata", "http://169.254.169.254/latest/meta-data/"),
        forbidden("redirect-to-metadata-as-number", "http://2852039166/latest/meta-data/"),
        forbidden("redirect-to-metadata-in-octal", "http://0251.0376.0251.0376/"),
        forbidden("redirect-to-metadata-mapped", "http://[::ffff:169.254.169.254]/"),
        forbidden("redirect-to-capitals-elsewhere", "HTTP://FORBIDDEN.TEST.:$OTHER/"),
        Row::new("redirect-to-allowed-host-in-capitals", to("HTTP://ALLOWED.TEST:$OTHER/"), "200")
            .http("resolve", RESOLVE)
            .allow("allowed.test")
            .other(reply(OK), 1)
            .redirects(1),
        Row::new("redirect-to-name-of-metadata", to("http://metadata.test/latest/"), "forbidden")
            .http("dns", "{ servers: [ \"$DNS\" ], max_ttl: 0s }")
            .allow(dns::METADATA)
            .redirects(1),
    ]
}

fn locations() -> Vec<Row> {
    let wrong = |id, location| Row::new(id, to(location), "redirect").redirects(0);
    let either = |id, location| Row::new(id, to(location), "redirect forbidden").redirects(0);
    let body = Act::endless(&"x".repeat(64 * 1024), Duration::from_millis(1));
    vec![
        wrong("location-that-is-no-url", "http://[:::1/"),
        wrong("location-without-host", "http://"),
        either("location-of-a-file", "file:///etc/passwd"),
        either("location-of-ftp", "ftp://127.0.0.1/"),
        either("location-of-script", "javascript:alert(1)"),
        Row::new("no-location", reply("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "302").kept(),
        Row::new(
            "location-beyond-ascii",
            after_request([Act::Write(
                b"HTTP/1.1 302 Found\r\nLocation: /\xff\xfe\r\nContent-Length: 0\r\n\r\n".to_vec(),
            )]),
            "redirect",
        )
        .received(Received::Any),
        Row::new(
            "redirect-with-endless-body",
            after_request([Act::text("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), body]),
            "timeout redirect",
        )
        .received(Received::Any),
    ]
}

/// Names, which are looked up for every request because no connection is kept.
fn names() -> Vec<Row> {
    let row = |id, host: &'static str, outcomes| {
        Row::new(
            id,
            last_reply("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
            outcomes,
        )
        .steps(format!("{{ get: \"http://{host}:$PORT/\" }}"))
        .http("dns", "{ servers: [ \"$DNS\" ], max_ttl: 0s }")
        .allow(host)
    };
    vec![
        row("dns-fails-half-the-time", dns::FLAKY, "dns 200").each().received(Received::Answered),
        row("dns-without-such-name", dns::MISSING, "dns").unheard().unconnected(),
        row("dns-without-address", dns::EMPTY, "dns").unheard().unconnected(),
        row("dns-to-metadata", dns::METADATA, "forbidden").unheard().unconnected(),
        row("dns-silent", dns::SILENT, "dns timeout").unheard().unconnected(),
        row("dns-garbage", dns::GARBAGE, "dns timeout").unheard().unconnected(),
        row("timeout-of-dns", dns::SILENT, "dns timeout")
            .http("timeouts", "{ dns: 200ms }")
            .unheard()
            .unconnected()
            .alone(),
    ]
}
