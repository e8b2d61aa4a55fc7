//! Chromium as a process, which ends with the test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::{Result, now};

/// What Chromium writes before the address that it can be led at.
const LISTENING: &str = "DevTools listening on ";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Chromium and what it starts, in a group of processes of its own.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts it, and says where it can be led.
    pub(super) fn start(folder: &Path) -> Result<(Self, String)> {
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-breakpad", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg("about:blank")
            .envs(["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, folder)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|error| {
            format!(
                "cannot start `chromium`, with which pages are tested (`apt-get install chromium`): {error}"
            )
        })?;
        let stderr = child.stderr.take();
        let process = Self(child);
        let lines = lines(stderr.ok_or("no standard error")?);
        let (until, mut said) = (now() + START_TIMEOUT, String::new());
        loop {
            let left = until.saturating_duration_since(now());
            let Ok(line) = lines.recv_timeout(left) else {
                return Err(format!("Chromium does not start; it says:\n{said}").into());
            };
            if let Some(address) = line.strip_prefix(LISTENING) {
                return Ok((process, address.trim().to_owned()));
            }
            said += &line;
            said.push('\n');
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
        let _ = self.0.wait();
    }
}

/// The lines of a pipe, which is read to its end whoever listens.
fn lines(pipe: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(std::io::Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
