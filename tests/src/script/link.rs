//! A connection with a peer: bytes with or without TLS, and what is read of HTTP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, Stream};

use super::http2::{self, Header};

/// A head that is longer is none.
const MAX_HEAD: usize = 16 * 1024 * 1024;

pub(super) struct Link {
    stream: Arc<TcpStream>,
    tls: Option<Box<ServerConnection>>,
    /// Read, but not looked at.
    buffer: Vec<u8>,
    /// The head of the latest request, in small letters, and how long its body is.
    head: String,
    body: usize,
    /// HTTP/2: the stream of the latest request, and whether the request has ended.
    stream_id: u32,
    ended: bool,
}

impl Link {
    pub(super) fn new(stream: Arc<TcpStream>, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let (head, buffer) = (String::new(), Vec::new());
        let mut link = Self { stream, tls: None, buffer, head, body: 0, stream_id: 0, ended: false };
        tls.map(|config| link.secure(config)).transpose()?;
        Ok(link)
    }

    /// From here on TLS is spoken.
    pub(super) fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// The head of the latest request, in small letters.
    pub(super) fn latest_head(&self) -> &str {
        &self.head
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// HTTP/2: the stream of the latest request.
    pub(super) fn stream_id(&self) -> u32 {
        self.stream_id
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = &*self.stream;
        match &mut self.tls {
            None => stream.write_all(bytes),
            Some(tls) => {
                let mut tls = Stream::new(tls.as_mut(), &mut stream);
                tls.write_all(bytes)?;
                tls.flush()
            }
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn say_goodbye(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            tls.write_tls(&mut &*self.stream)?;
        }
        Ok(())
    }

    /// Reads more into the buffer; the end of the connection is an error.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        let mut stream = &*self.stream;
        let length = match &mut self.tls {
            None => stream.read(&mut bytes)?,
            Some(tls) => Stream::new(tls.as_mut(), &mut stream).read(&mut bytes)?,
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(())
    }

    /// Reads whatever comes, and forgets it.
    pub(super) fn read_once(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Reads so many bytes.
    pub(super) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads a head to the empty line, and returns its length.
    pub(super) fn head(&mut self) -> io::Result<usize> {
        const END: &[u8] = b"\r\n\r\n";
        let mut seen = 0;
        let length = loop {
            let from = seen.min(self.buffer.len());
            if let Some(at) = self.buffer[from..].windows(END.len()).position(|window| window == END) {
                break from + at + END.len();
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            seen = self.buffer.len().saturating_sub(END.len());
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..length).collect();
        self.head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let said = self.head.lines().find_map(|line| line.strip_prefix("content-length:"));
        self.body = said.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        Ok(length)
    }

    /// Reads what is left of the body whose length the head said.
    pub(super) fn body(&mut self) -> io::Result<()> {
        let length = std::mem::take(&mut self.body);
        self.take(length).map(drop)
    }

    /// HTTP/2: reads to the end of the head of a request, and returns the length of its block.
    pub(super) fn request(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let (header, payload) = self.frame()?;
            if header.is_head() {
                self.stream_id = header.stream;
                self.ended = header.kind == http2::HEADERS && header.ends_stream();
                length += payload.len();
                if header.ends_head() {
                    return Ok(length);
                }
            }
        }
    }

    /// HTTP/2: reads to the end of the latest request.
    pub(super) fn request_end(&mut self) -> io::Result<()> {
        while !self.ended {
            let (header, _) = self.frame()?;
            self.ended = header.stream == self.stream_id && header.ends_stream();
        }
        Ok(())
    }

    /// Reads a frame, and says what the protocol asks to be said to it.
    fn frame(&mut self) -> io::Result<(Header, Vec<u8>)> {
        let header = Header::decode(&self.take(http2::HEADER_LENGTH)?);
        let payload = self.take(header.length)?;
        if let Some(reply) = header.reply(&payload) {
            self.write(&reply.encode(self.stream_id))?;
        }
        Ok((header, payload))
    }
}
