//! HTTP/2 that fails.

use std::time::Duration;

use crate::script::http2::{Frame, answer, block, code, setting};
use crate::script::tls::{Certificate, config};
use crate::script::{Act, Script};

use super::stage::mebibytes;
use super::{Received, Row};

const AT_ONCE: Duration = Duration::from_millis(1);

pub(super) fn rows() -> Vec<Row> {
    let rows = [answers(), endings(), stalls(), wrong()].concat();
    let by_alpn = script(answer("200", "ok")).within(config(Certificate::Good, &["h2", "http/1.1"]));
    let by_alpn = Row::new("h2-by-alpn", by_alpn, "200")
        .steps("{ get: \"https://127.0.0.1:$PORT/\" }")
        .http("roots", "platform")
        .http("version", "auto")
        .kept();
    rows.into_iter().map(|row| Row { http2: true, ..row }).chain([by_alpn]).collect()
}

/// Begins a connection as one should, and does this to every request.
fn script(acts: Vec<Act>) -> Script {
    with_settings(Vec::new(), acts)
}

fn with_settings(settings: Vec<(u16, u32)>, acts: Vec<Act>) -> Script {
    let opening = [Act::Preface, Act::Frame(Frame::Settings(settings))];
    Script::new([vec![Act::Request, Act::RequestEnd], acts].concat()).opening(opening)
}

/// Does it without waiting for the end of the request.
fn at_head(acts: Vec<Act>) -> Script {
    let opening = [Act::Preface, Act::Frame(Frame::Settings(Vec::new()))];
    Script::new([vec![Act::Request], acts].concat()).opening(opening)
}

fn head(block: Vec<u8>) -> Act {
    Act::Frame(Frame::Headers { block, ends_stream: false, ends_head: true })
}

fn ok() -> Act {
    head(block("200", &[]))
}

fn data(text: &str, ends_stream: bool) -> Act {
    Act::Frame(Frame::Data { bytes: text.as_bytes().to_vec(), ends_stream })
}

fn raw(kind: u8, flags: u8, connection: bool, payload: impl Into<Vec<u8>>) -> Act {
    Act::Frame(Frame::Raw { kind, flags, connection, payload: payload.into() })
}

fn big() -> String {
    format!("{{ post: $URL/, body: \"{}\" }}", mebibytes(1))
}

fn answers() -> Vec<Row> {
    let trailers =
        Act::Frame(Frame::Headers { block: vec![0, 1, b'a', 1, b'b'], ends_stream: true, ends_head: true });
    let goaway = Act::Frame(Frame::GoAway { latest: true, code: code::NO_ERROR });
    let graceful = [answer("200", "ok"), vec![goaway.clone(), Act::Hold]].concat();
    let announced = [vec![goaway], answer("200", "ok"), vec![Act::Hold]].concat();
    let hints = [vec![head(block("103", &[("link", "</a>")]))], answer("200", "ok")].concat();
    let refusal = [answer("413", ""), vec![Act::Frame(Frame::Reset(code::NO_ERROR)), Act::Hold]].concat();
    vec![
        Row::new("h2-plain", script(answer("200", "ok")), "200").kept(),
        Row::new("h2-trailers", script(vec![ok(), data("ok", false), trailers]), "200").kept(),
        Row::new("h2-early-hints", script(hints), "200").kept(),
        Row::new("h2-421", script(answer("421", "")), "421").kept(),
        Row::new("h2-goaway-after-answer", script(graceful), "200").new_connections(),
        Row::new("h2-goaway-before-answer", script(announced), "200").new_connections(),
        // The target opens no window again, so that a connection that has sent a body is of no more use.
        Row::new("h2-413-and-reset", at_head(refusal), "413")
            .steps(big())
            .http("max_requests_per_connection", "1"),
    ]
}

/// Streams and connections that end before their time.
fn endings() -> Vec<Row> {
    let reset = |id, acts| Row::new(id, script(acts), "reset");
    let goaway = |latest, code| vec![Act::Frame(Frame::GoAway { latest, code }), Act::Close];
    let stream = |code| vec![Act::Frame(Frame::Reset(code))];
    let after_head = |acts| [vec![ok(), data("ok", false)], acts].concat();
    vec![
        reset("h2-goaway-unanswered", goaway(true, code::NO_ERROR)).new_connections(),
        // Sent again or not, no request is answered.
        reset("h2-goaway-unprocessed", goaway(false, code::NO_ERROR)).received(Received::Any),
        reset("h2-goaway-calm", goaway(true, code::ENHANCE_YOUR_CALM)).new_connections(),
        reset("h2-goaway-in-body", after_head(goaway(true, code::INTERNAL_ERROR))).new_connections(),
        reset("h2-rst-stream", stream(code::INTERNAL_ERROR)).kept(),
        reset("h2-rst-stream-refused", stream(code::REFUSED_STREAM)).received(Received::Any),
        reset("h2-rst-stream-in-body", after_head(stream(code::INTERNAL_ERROR))).kept(),
        reset("h2-close", vec![Act::Close]).new_connections(),
        reset("h2-close-in-body", after_head(vec![Act::Close])).new_connections(),
        reset("h2-reset", vec![Act::Reset]).new_connections(),
        Row::new("h2-close-on-preface", Script::new([Act::Preface, Act::Close]), "reset").unheard(),
    ]
}

fn stalls() -> Vec<Row> {
    let timeout = |id, script| Row::new(id, script, "timeout");
    let frames = |frame| Act::Repeat(Box::new(Act::Frame(frame)), Duration::from_millis(20));
    let drip = frames(Frame::Data { bytes: vec![b'x'], ends_stream: false });
    let empty =
        Act::Repeat(Box::new(Act::Frame(Frame::Data { bytes: Vec::new(), ends_stream: false })), AT_ONCE);
    let sixteen = Frame::Data { bytes: vec![b'x'; 16 * 1024], ends_stream: false };
    let endless = Act::Repeat(Box::new(Act::Frame(sixteen)), AT_ONCE);
    let pings = Act::Repeat(Box::new(Act::Frame(Frame::ping())), AT_ONCE);
    let settings = Act::Repeat(Box::new(Act::Frame(Frame::Settings(Vec::new()))), AT_ONCE);
    let window = with_settings(vec![(setting::INITIAL_WINDOW_SIZE, 0)], Vec::new());
    let streams = with_settings(vec![(setting::MAX_CONCURRENT_STREAMS, 0)], vec![Act::Hold]);
    vec![
        timeout("h2-silent", script(vec![Act::Hold])),
        timeout("timeout-of-h2-first-byte", script(vec![Act::Hold]))
            .http("timeouts", "{ first_byte: 200ms }")
            .alone(),
        timeout("h2-no-settings", Script::new([Act::Preface, Act::Hold])).unheard(),
        timeout("h2-flow-control-stall", at_head(vec![Act::Hold])).steps(big()),
        timeout("h2-window-of-nothing", window).steps("{ post: $URL/, body: text }"),
        timeout("h2-no-streams", streams).received(Received::Any),
        timeout("h2-byte-by-byte", script(vec![ok(), drip])),
        // More than the window, or just as much as it opens.
        Row::new("h2-endless-body", script(vec![ok(), endless]), "timeout protocol reset"),
        Row::new("h2-endless-empty-data", script(vec![ok(), empty]), "timeout protocol reset"),
        Row::new("h2-endless-pings", script(vec![pings]), "timeout protocol reset"),
        Row::new("h2-endless-settings", script(vec![settings]), "timeout protocol reset"),
    ]
}

fn wrong() -> Vec<Row> {
    let wrong = |id, acts| Row::new(id, script(acts), "protocol");
    let flood = Act::Repeat(Box::new(Act::Frame(Frame::continuation(vec![0, 1, b'a', 1, b'b']))), AT_ONCE);
    let begun = Act::Frame(Frame::Headers { block: block("200", &[]), ends_stream: false, ends_head: false });
    vec![
        // What was sent to it unread is answered with a reset, which may be seen first.
        Row::new(
            "h2-answered-in-http-1",
            Script::new([Act::Preface, Act::text("HTTP/1.1 400 Bad Request\r\n\r\n"), Act::Close]),
            "protocol reset",
        )
        .unheard(),
        wrong("h2-data-before-head", vec![data("ok", true)]),
        wrong("h2-bad-block", vec![head(vec![0xff; 16])]),
        wrong("h2-no-status", vec![head(vec![0, 1, b'a', 1, b'b'])]),
        wrong("h2-status-of-letters", answer("abc", "")),
        wrong("h2-upper-case-header", vec![head(block("200", &[("X-A", "b")]))]),
        wrong("h2-body-too-short", vec![head(block("200", &[("content-length", "9")])), data("ok", true)]),
        wrong("h2-body-too-long", vec![head(block("200", &[("content-length", "1")])), data("okay", true)]),
        wrong("h2-push", vec![raw(5, 4, false, [&[0, 0, 0, 2][..], &block("200", &[])].concat())]),
        wrong("h2-frame-too-large", vec![raw(0, 0, false, vec![0; 0x00ff_fff0])]),
        wrong("h2-settings-of-odd-length", vec![raw(4, 0, true, [0; 5])]),
        wrong("h2-window-beyond-31-bits", vec![raw(8, 0, true, [0x7f, 0xff, 0xff, 0xff])]),
        Row::new(
            "h2-header-of-1-mb",
            script([long_head(), vec![Act::Hold]].concat()),
            "too_large protocol reset",
        ),
        Row::new("h2-endless-continuation", script(vec![begun, flood]), "too_large protocol reset"),
        Row::new(
            "h2-unknown-frame",
            script([vec![raw(0xee, 0, false, [1, 2, 3])], answer("200", "ok")].concat()),
            "200",
        )
        .kept(),
    ]
}

/// A head of a mebibyte, which is larger than a frame may be and comes in parts.
fn long_head() -> Vec<Act> {
    let block = block("200", &[("x-a", &"x".repeat(1024 * 1024))]);
    let (first, rest) = block.split_at(16 * 1024);
    let first = Frame::Headers { block: first.to_vec(), ends_stream: true, ends_head: false };
    let rest = rest.chunks(16 * 1024).map(|part| Frame::continuation(part.to_vec()));
    [first].into_iter().chain(rest).map(Act::Frame).collect()
}
