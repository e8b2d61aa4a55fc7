//! A service that answers from a script, and keeps what it was asked. For tests of what the emulator does not know.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::{Connection, Credentials};

/// The service at work.
pub(crate) struct Scripted {
    pub(crate) connection: Connection,
    address: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

impl Scripted {
    /// Answers as many requests as there are answers, in their order: status and JSON.
    pub(crate) fn start(answers: Vec<(u16, &'static str)>) -> Self {
        let mut answers = answers.into_iter();
        Self::serve(move |_| answers.next().map(|(status, body)| (status, body.to_owned())))
    }

    /// Answers each request as the script says, until it says nothing more.
    pub(crate) fn serve(mut script: impl FnMut(&str) -> Option<(u16, String)> + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let credentials =
            Credentials { access_key: "a".to_owned(), secret_key: "s".to_owned(), session_token: None };
        let connection =
            Connection::new("eu-west-1".to_owned(), credentials, Some(format!("http://{address}")));
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            loop {
                let mut stream = listener.accept().unwrap().0;
                // Who says nothing wants to know what was asked.
                let Some(request) = read(&mut stream) else { return asked };
                let Some((status, body)) = script(&request) else { return asked };
                write(&mut stream, status, &body);
                asked.push(request);
            }
        });
        Self { connection, address, thread }
    }

    /// What it was asked: the line of each request, and its body.
    pub(crate) fn asked(self) -> Vec<String> {
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap()
    }
}

/// The line of a request, and its body.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    let (head, length) = loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            return None;
        }
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
            });
            break (head.to_owned(), length.unwrap_or(0));
        }
    };
    while request.len() < head.len() + 4 + length {
        let read = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
    }
    let body = String::from_utf8_lossy(&request[head.len() + 4..]).into_owned();
    Some(format!("{} {body}", head.lines().next().unwrap()))
}

fn write(stream: &mut TcpStream, status: u16, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
}
