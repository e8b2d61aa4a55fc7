//! A name server that fails as its names say.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A name that cannot be resolved half of the time: so many questions in a row fail, and so many are answered. One
/// after the other would not do, because who asks again after a failure would never notice.
pub const FLAKY: &str = "flaky.test";
const IN_A_ROW: u64 = 6;

/// A name that does not exist.
pub const MISSING: &str = "missing.test";

/// A name about which there is no word.
pub const SILENT: &str = "silent.test";

/// A name about which there are words that nobody understands.
pub const GARBAGE: &str = "garbage.test";

/// A name that has no address.
pub const EMPTY: &str = "empty.test";

/// A name that leads to where a cloud keeps its metadata.
pub const METADATA: &str = "metadata.test";

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// The server. Every other name is 127.0.0.1, at once and for no time. It ends when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// On a free port.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("an address");
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || serve(&socket, &stopped)
        });
        Self { address, stopped, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // It waits for a question; this is its last.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|own| own.send_to(&[0], self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, stopped: &AtomicBool) {
    let mut buffer = [0; 4096];
    let mut asked = 0;
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        if let Some(answer) = answer(&buffer[..length], &mut asked) {
            // Whoever does not wait for an answer any more gets none.
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// The answer to a question, if there is to be one. `asked` counts the questions about [`FLAKY`].
fn answer(question: &[u8], asked: &mut u64) -> Option<Vec<u8>> {
    let (name, end) = name(question)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let code = match name.as_str() {
        SILENT => return None,
        GARBAGE => return Some([&question[..2], &[0xff; 64]].concat()),
        MISSING => NO_SUCH_NAME,
        FLAKY if kind == TYPE_A => {
            let rows = *asked / IN_A_ROW;
            *asked += 1;
            if rows.is_multiple_of(2) { SERVER_FAILURE } else { NO_ERROR }
        }
        _ => NO_ERROR,
    };
    let has_address = code == NO_ERROR && kind == TYPE_A && name != EMPTY;
    let mut answer = question.get(..end + 4)?.to_vec();
    // An answer, to a question that may ask for recursion, which is there.
    answer[2] = 0x80 | (question[2] & 1);
    answer[3] = 0x80 | code;
    answer[4..HEADER].copy_from_slice(&[0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    if has_address {
        // The name of the question; type A, class IN, no time to live, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        let address = if name == METADATA { Ipv4Addr::new(169, 254, 169, 254) } else { Ipv4Addr::LOCALHOST };
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The name that is asked about, in lower case, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}
