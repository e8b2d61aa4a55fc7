//! The real command as a service with a known trouble.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::Place;

/// `squall target --profile`. It is ended when this is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Its host and port.
    address: String,
}

impl Served {
    /// Starts a profile with its settings on a free port.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its target cannot go on")]
    pub fn start(place: &Place, profile: &str, seed: u64, settings: &Value) -> Self {
        let seed = seed.to_string();
        let own = ["target", "--listen", "127.0.0.1:0", "--profile", profile, "--seed", &seed];
        let settings = settings.as_object().into_iter().flatten();
        let settings: Vec<String> = settings.map(|(key, value)| format!("{key}={value}")).collect();
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = own.into_iter().chain(settings).collect();
        let mut child = place.command(&arguments).stdout(Stdio::piped()).spawn().expect(crate::BUILT);
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line of a target that has started");
        let address = line.trim().strip_prefix("http://").expect("its address").to_owned();
        Self { child, address }
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What is wrong with it, as it knows itself.
    ///
    /// # Panics
    /// If it does not say.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that does not know the truth cannot go on")]
    pub fn truth(&self) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("a target that listens");
        stream.write_all(b"GET /truth HTTP/1.0\r\nHost: a\r\n\r\n").expect("a target that reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whoever has ended need not be ended.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
