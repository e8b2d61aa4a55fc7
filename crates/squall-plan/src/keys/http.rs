//! Keys of how requests are sent.

use super::{AUTH, HEADERS_EXAMPLE, Kind, MAX_USERS, Shape, key};

/// `http`
pub static HTTP: Kind = Kind {
    name: "http",
    doc: "How requests are sent.",
    keys: &[
        key(
            "timeout",
            Shape::Duration,
            "From the start of a request to its last byte; 10s unless given.",
            "10s",
        ),
        key(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "How long single phases of a request may take.",
            "{ connect: 1s, first_byte: 3s }",
        ),
        key(
            "version",
            Shape::Word(&HTTP_VERSIONS),
            "Which HTTP: with TLS what the server chooses, else 1.1, unless given; `http2` without TLS is prior knowledge.",
            "http2",
        ),
        key(
            "connections",
            Shape::Word(&CONNECTIONS),
            "Whose connections are: each user's own unless given.",
            "shared",
        ),
        key(
            "max_connections",
            Shape::Count(1, MAX_USERS),
            "Connections of a shared pool to one origin at most, in the whole fleet.",
            "200",
        ),
        key(
            "max_requests_per_connection",
            Shape::Count(1, u32::MAX),
            "Requests after which a connection is closed.",
            "100",
        ),
        key("max_connection_age", Shape::Duration, "Age at which a connection is closed.", "1m"),
        key(
            "max_streams",
            Shape::Count(1, 1_000_000),
            "Streams open on one HTTP/2 connection at most; 100 unless given.",
            "50",
        ),
        key(
            "follow_redirects",
            Shape::Count(0, 50),
            "Redirects of one request that are followed at most; 10 unless given.",
            "0",
        ),
        key("headers", Shape::Headers, "Headers of every request.", HEADERS_EXAMPLE),
        key(
            "auth",
            Shape::Object(&AUTH),
            "How every request says who asks.",
            "{ api_key: { value: \"{{ env.KEY }}\" } }",
        ),
        key("compress", Shape::Word(&COMPRESS), "How bodies are packed; they are not unless given.", "gzip"),
        key(
            "roots",
            Shape::Word(&["built_in", "platform"]),
            "Which certificate authorities are trusted: Mozilla's, compiled in, unless given, or the machine's own.",
            "platform",
        ),
        key(
            "tls",
            Shape::Object(&TLS),
            "Who is trusted besides, and what the generator shows of itself.",
            "{ ca: authority.pem, certificate: client.pem, key: client.key }",
        ),
        key(
            "server_name",
            Shape::Text,
            "The name that TLS is told and certificates must bear, instead of the URL's host.",
            "api.example.com",
        ),
        key(
            "resolve",
            Shape::Addresses,
            "Addresses of names, instead of what name servers say.",
            "{ api.example.com: 127.0.0.1 }",
        ),
        key("dns", Shape::Object(&DNS), "How names are looked up.", "{ max_ttl: 10s }"),
        key("proxy", Shape::Template, "The HTTP proxy that requests go through.", "http://127.0.0.1:3128"),
    ],
};

/// `http.version`
pub const HTTP_VERSIONS: [&str; 3] = ["auto", "http1", "http2"];

/// `http.connections`
pub const CONNECTIONS: [&str; 3] = ["per_user", "shared", "per_iteration"];

/// `compress`
pub const COMPRESS: [&str; 3] = ["gzip", "deflate", "none"];

/// `http.tls`
pub static TLS: Kind = Kind {
    name: "tls",
    doc: "Certificates in PEM: each a file, or an expression for the text itself.",
    keys: &[
        key("ca", Shape::Template, "Certificates of authorities that are trusted, too.", "authority.pem"),
        key(
            "certificate",
            Shape::Template,
            "What servers are shown that want to know who connects: a certificate, and those between it and an authority.",
            "client.pem",
        ),
        key(
            "key",
            Shape::Template,
            "The private key of `certificate`, without a pass phrase. A file is stored where the plan is.",
            "client.key",
        ),
    ],
};

/// `http.timeouts`
pub static TIMEOUTS: Kind = Kind {
    name: "timeouts",
    doc: "How long single phases of a request may take.",
    keys: &[
        key("dns", Shape::Duration, "Looking the name up.", "2s"),
        key("connect", Shape::Duration, "Making the connection.", "1s"),
        key("tls", Shape::Duration, "The TLS handshake.", "2s"),
        key("send", Shape::Duration, "Writing the request.", "2s"),
        key("first_byte", Shape::Duration, "From the request's last byte to the response's first.", "3s"),
        key("body", Shape::Duration, "From the response's first byte to its last.", "5s"),
    ],
};

/// `http.dns`
pub static DNS: Kind = Kind {
    name: "dns",
    doc: "How names are looked up.",
    keys: &[
        key("servers", Shape::Texts, "Name servers, instead of the machine's own.", "[\"127.0.0.1:53\"]"),
        key(
            "max_ttl",
            Shape::Duration,
            "How long an answer is used at most; as long as it says unless given.",
            "10s",
        ),
    ],
};
