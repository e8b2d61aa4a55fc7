//! A service that answers from a script, and keeps what it was asked. For tests of what the emulator does not know.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::{Connection, Credentials};

/// The service at work.
pub(crate) struct Scripted {
    pub(crate) connection: Connection,
    thread: JoinHandle<Vec<String>>,
}

impl Scripted {
    /// Answers as many requests as there are answers, in their order: status and JSON.
    pub(crate) fn start(answers: Vec<(u16, &'static str)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let credentials =
            Credentials { access_key: "a".to_owned(), secret_key: "s".to_owned(), session_token: None };
        let connection = Connection::new("eu-west-1".to_owned(), credentials, Some(endpoint));
        let thread = std::thread::spawn(move || {
            let one = |(status, body)| answer(listener.accept().unwrap().0, status, body);
            answers.into_iter().map(one).collect()
        });
        Self { connection, thread }
    }

    /// What it was asked: the line of each request, and its body.
    pub(crate) fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn answer(mut stream: TcpStream, status: u16, body: &str) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    let (head, length) = loop {
        let read = stream.read(&mut buffer).unwrap();
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
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
    let body = String::from_utf8_lossy(&request[head.len() + 4..]).into_owned();
    format!("{} {body}", head.lines().next().unwrap())
}
