//! A server that does to every connection what a script says, down to the byte, and counts what it receives.

pub mod dns;
pub mod http2;
mod link;
pub mod tls;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, SockRef, Socket, Type};

use http2::Frame;
use link::Link;

/// One thing that is done to a connection. Where the peer has closed it, what would read or write ends the script.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reads a request's head to the empty line, and counts it.
    Head,
    /// Goes on if the latest head has this in it, in small letters.
    Told(String),
    /// Reads the body whose length the head said.
    Body,
    /// Reads whatever comes next, once.
    Read,
    /// Writes these bytes, with the placeholders of [`Server::start`] replaced.
    Write(Vec<u8>),
    /// Does something over and over, with a pause after each time.
    Repeat(Box<Act>, Duration),
    /// Does nothing for a while.
    Idle(Duration),
    /// Reads and forgets until the peer closes the connection.
    Hold,
    /// Closes the direction to the peer.
    HalfClose,
    /// Closes the connection as one does; with TLS after saying so.
    Close,
    /// Closes the connection below TLS, without a word of it.
    Cut,
    /// Resets the connection.
    Reset,
    /// From here on within TLS.
    Secure(Arc<ServerConfig>),
    /// HTTP/2: reads the peer's preface.
    Preface,
    /// HTTP/2: reads frames to the end of a request's head, and counts it; acknowledges settings and pings.
    Request,
    /// HTTP/2: reads frames to the end of the request.
    RequestEnd,
    /// HTTP/2: writes a frame, on the stream of the latest request.
    Frame(Frame),
}

impl Act {
    /// Writes a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Write(text.as_bytes().to_vec())
    }

    /// Goes on if the latest head has this in it.
    #[must_use]
    pub fn told(text: &str) -> Self {
        Self::Told(text.to_ascii_lowercase())
    }

    /// Writes it over and over, with a pause after each time.
    #[must_use]
    pub fn endless(text: &str, pause: Duration) -> Self {
        Self::Repeat(Box::new(Self::text(text)), pause)
    }
}

/// What is done to each connection.
#[derive(Debug, Clone, Default)]
pub struct Script {
    opening: Vec<Act>,
    each: Vec<Act>,
    tls: Option<Arc<ServerConfig>>,
}

impl Script {
    /// Does these in order, again and again, until the connection is closed.
    #[must_use]
    pub fn new(each: impl Into<Vec<Act>>) -> Self {
        Self { each: each.into(), ..Self::default() }
    }

    /// Does these first, once for each connection.
    #[must_use]
    pub fn opening(mut self, opening: impl Into<Vec<Act>>) -> Self {
        self.opening = opening.into();
        self
    }

    /// Does all of it within TLS.
    #[must_use]
    pub fn within(mut self, tls: Arc<ServerConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether it is done within TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

/// What a server counted.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    heads: AtomicU64,
    longest_head: AtomicUsize,
}

/// A server under way. Dropped, it closes its connections and ends all of its threads.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What the threads of a server have in common.
struct Shared {
    script: Script,
    /// What stands for what in the bytes of the script.
    names: Vec<(&'static str, String)>,
    counts: Counts,
    stopped: Mutex<bool>,
    stop: Condvar,
    open: Mutex<Open>,
}

/// The connections that are open, and the threads that serve them.
#[derive(Default)]
struct Open {
    next: u64,
    streams: HashMap<u64, Weak<TcpStream>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("script", &self.script)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on a free port. In what the script writes, `$PORT` becomes that port, `$N` the number of heads
    /// received so far, and each of `names` its text.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn start(script: Script, mut names: Vec<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        names.push(("$PORT", address.port().to_string()));
        let shared = Arc::new(Shared {
            script,
            names,
            counts: Counts::default(),
            stopped: Mutex::default(),
            stop: Condvar::new(),
            open: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.shared.script.is_secure()
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.counts.connections.load(Ordering::Relaxed)
    }

    /// How many complete heads of requests were received.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.shared.counts.heads.load(Ordering::Relaxed)
    }

    /// How many bytes the longest of them has.
    #[must_use]
    pub fn longest_head(&self) -> usize {
        self.shared.counts.longest_head.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *lock(&self.shared.stopped) = true;
        self.shared.stop.notify_all();
        // It waits for a connection; this is its last.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        let mut open = lock(&self.shared.open);
        for stream in open.streams.values().filter_map(Weak::upgrade) {
            // One that is closed already needs no closing.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let threads = std::mem::take(&mut open.threads);
        drop(open);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if *lock(&shared.stopped) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.counts.connections.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(stream);
        let mut open = lock(&shared.open);
        let id = open.next;
        open.next += 1;
        open.streams.insert(id, Arc::downgrade(&stream));
        open.threads.retain(|thread| !thread.is_finished());
        open.threads.push(std::thread::spawn({
            let shared = Arc::clone(shared);
            move || {
                // How a connection ends is up to the script and to the peer.
                let _ = shared.serve(stream);
                lock(&shared.open).streams.remove(&id);
            }
        }));
    }
}

/// Whether the script goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Act,
    End,
}

impl Shared {
    fn serve(&self, stream: Arc<TcpStream>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut link = Link::new(stream, self.script.tls.as_ref())?;
        for act in &self.script.opening {
            if self.act(act, &mut link)? == Next::End {
                return Ok(());
            }
        }
        loop {
            for act in &self.script.each {
                if self.act(act, &mut link)? == Next::End {
                    return Ok(());
                }
            }
        }
    }

    fn act(&self, act: &Act, link: &mut Link) -> io::Result<Next> {
        match act {
            Act::Head => self.count(link.head()?),
            Act::Told(text) => {
                if !link.latest_head().contains(text) {
                    return Ok(Next::End);
                }
            }
            Act::Body => link.body()?,
            Act::Read => link.read_once()?,
            Act::Write(bytes) => link.write(&self.named(bytes))?,
            Act::Repeat(act, pause) => loop {
                if self.act(act, link)? == Next::End || !self.wait(*pause) {
                    return Ok(Next::End);
                }
            },
            Act::Idle(pause) => {
                if !self.wait(*pause) {
                    return Ok(Next::End);
                }
            }
            Act::Hold => loop {
                link.read_once()?;
            },
            Act::HalfClose => link.stream().shutdown(std::net::Shutdown::Write)?,
            Act::Close => {
                link.say_goodbye()?;
                return Ok(Next::End);
            }
            Act::Cut => return Ok(Next::End),
            Act::Reset => {
                SockRef::from(link.stream()).set_linger(Some(Duration::ZERO))?;
                return Ok(Next::End);
            }
            Act::Secure(config) => link.secure(config)?,
            Act::Preface => link.take(http2::PREFACE.len()).map(drop)?,
            Act::Request => self.count(link.request()?),
            Act::RequestEnd => link.request_end()?,
            Act::Frame(frame) => link.write(&frame.encode(link.stream_id()))?,
        }
        Ok(Next::Act)
    }

    fn count(&self, length: usize) {
        self.counts.heads.fetch_add(1, Ordering::Relaxed);
        self.counts.longest_head.fetch_max(length, Ordering::Relaxed);
    }

    /// Puts in what the placeholders stand for. Bytes without any are as they are, whatever they mean.
    fn named(&self, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains('$') => {
                let text = text.replace("$N", &self.counts.heads.load(Ordering::Relaxed).to_string());
                self.names.iter().fold(text, |text, (name, value)| text.replace(name, value)).into_bytes()
            }
            _ => bytes.to_vec(),
        }
    }

    /// Waits, unless the server stops: false then.
    fn wait(&self, pause: Duration) -> bool {
        let stopped = lock(&self.stopped);
        let waited = self.stop.wait_timeout_while(stopped, pause, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A listener whose queue is full: whoever wants to connect is neither let in nor turned away.
#[derive(Debug)]
pub struct FullListener {
    address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl FullListener {
    /// On a free port.
    ///
    /// # Panics
    /// If there is no free port, or the queue has no end.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn start() -> Self {
        const ENOUGH: usize = 64;
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queue: Vec<TcpStream> = (0..ENOUGH).map_while(connect).collect();
        assert!(queue.len() < ENOUGH, "a queue that is never full");
        Self { address, _listener: listener, _queue: queue }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
