//! HTTP/2 by hand (RFC 9113): frames, right and wrong ones.

use super::Act;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Of the header of a frame.
pub(super) const HEADER_LENGTH: usize = 9;

const DATA: u8 = 0;
/// The kind of frame that a head begins with.
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Codes of errors.
pub mod code {
    /// All is well.
    pub const NO_ERROR: u32 = 0;
    /// The server failed.
    pub const INTERNAL_ERROR: u32 = 2;
    /// The request was not begun.
    pub const REFUSED_STREAM: u32 = 7;
    /// The client asks too much.
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Names of settings.
pub mod setting {
    /// How many streams the peer may open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// How much may be sent on a stream before it is asked for.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// A frame to be sent.
#[derive(Debug, Clone)]
pub enum Frame {
    /// What this side wants.
    Settings(Vec<(u16, u32)>),
    /// A head, or a part of one.
    Headers {
        /// Its block of headers, made by [`block`].
        block: Vec<u8>,
        /// Whether nothing follows it on the stream.
        ends_stream: bool,
        /// Whether no continuation follows.
        ends_head: bool,
    },
    /// A part of a body.
    Data {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether it is the last.
        ends_stream: bool,
    },
    /// The stream ends here.
    Reset(u32),
    /// The connection ends here.
    GoAway {
        /// Whether the latest request was taken care of.
        latest: bool,
        /// Why.
        code: u32,
    },
    /// Any kind of frame, on the connection or on the stream of the latest request.
    Raw {
        /// Its type.
        kind: u8,
        /// Its flags.
        flags: u8,
        /// Whether it is about the connection.
        connection: bool,
        /// What is in it.
        payload: Vec<u8>,
    },
}

impl Frame {
    /// A part of a head, after the first.
    #[must_use]
    pub fn continuation(block: Vec<u8>) -> Self {
        Self::Raw { kind: CONTINUATION, flags: 0, connection: false, payload: block }
    }

    /// A question whether somebody is there.
    #[must_use]
    pub fn ping() -> Self {
        Self::Raw { kind: PING, flags: 0, connection: true, payload: vec![0; 8] }
    }

    pub(super) fn encode(&self, latest: u32) -> Vec<u8> {
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        match self {
            Self::Settings(settings) => {
                let entry =
                    |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
                frame(SETTINGS, 0, 0, &settings.iter().flat_map(entry).collect::<Vec<_>>())
            }
            Self::Headers { block, ends_stream, ends_head } => {
                let flags = flag(END_STREAM, *ends_stream) | flag(END_HEADERS, *ends_head);
                frame(HEADERS, flags, latest, block)
            }
            Self::Data { bytes, ends_stream } => frame(DATA, flag(END_STREAM, *ends_stream), latest, bytes),
            Self::Reset(code) => frame(RST_STREAM, 0, latest, &code.to_be_bytes()),
            Self::GoAway { latest: answered, code } => {
                let last = if *answered { latest } else { 0 };
                frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
            }
            Self::Raw { kind, flags, connection, payload } => {
                frame(*kind, *flags, if *connection { 0 } else { latest }, payload)
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of headers (RFC 7541): the status by the index of its name, the others as literals.
#[must_use]
pub fn block(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    const STATUS: u8 = 8;
    let mut block = vec![STATUS];
    literal(&mut block, status);
    for (name, value) in headers {
        block.push(0);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

/// A text after its length, whose first 127 are in the first byte, and the rest in groups of seven bits.
fn literal(block: &mut Vec<u8>, text: &str) {
    const IN_PREFIX: usize = 127;
    if text.len() < IN_PREFIX {
        block.extend(u8::try_from(text.len()));
    } else {
        block.push(0x7f);
        let mut rest = text.len() - IN_PREFIX;
        while rest >= 128 {
            block.extend(u8::try_from(rest % 128 + 128));
            rest /= 128;
        }
        block.extend(u8::try_from(rest));
    }
    block.extend_from_slice(text.as_bytes());
}

/// A complete answer: its head, and its body if there is one.
#[must_use]
pub fn answer(status: &str, body: &str) -> Vec<Act> {
    let head = Frame::Headers { block: block(status, &[]), ends_stream: body.is_empty(), ends_head: true };
    let body = (!body.is_empty()).then(|| Frame::Data { bytes: body.as_bytes().to_vec(), ends_stream: true });
    [Some(head), body].into_iter().flatten().map(Act::Frame).collect()
}

/// The header of a frame that was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl Header {
    /// Of exactly [`HEADER_LENGTH`] bytes.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        let length = usize::try_from(number(0..3)).unwrap_or(usize::MAX);
        Self { length, kind: bytes[3], flags: bytes[4], stream: number(5..9) & 0x7fff_ffff }
    }

    pub(super) fn is_head(&self) -> bool {
        [HEADERS, CONTINUATION].contains(&self.kind)
    }

    pub(super) fn ends_head(&self) -> bool {
        self.is_head() && self.flags & END_HEADERS != 0
    }

    pub(super) fn ends_stream(&self) -> bool {
        [DATA, HEADERS].contains(&self.kind) && self.flags & END_STREAM != 0
    }

    /// What the protocol asks to be said to it.
    pub(super) fn reply(&self, payload: &[u8]) -> Option<Frame> {
        let asks = [SETTINGS, PING].contains(&self.kind) && self.flags & ACK == 0;
        let payload = if self.kind == PING { payload.to_vec() } else { Vec::new() };
        asks.then_some(Frame::Raw { kind: self.kind, flags: ACK, connection: true, payload })
    }
}
