//! Helpers of the end-to-end tests: the real command, a real target, a real browser, AWS on this machine, a folder
//! that goes away.

pub mod abrupt;
pub mod aws;
pub mod browser;
pub mod diagnosis;
pub mod fire;
pub mod probes;
pub mod proxy;
pub mod python;
pub mod script;
pub mod served;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use squall_target::{Server, ServerOptions};
use tempfile::TempDir;

/// What to do where the command is missing.
const BUILT: &str = "the command is built: `cargo build --package squall-cli`";

/// A folder to run the command in.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Place {
    /// An empty one.
    ///
    /// # Panics
    /// If there is no room for one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a folder cannot go on")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file in it.
    ///
    /// # Panics
    /// If it cannot be written.
    #[expect(clippy::expect_used, reason = "a test without its plan cannot go on")]
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("a file");
    }

    /// The command, to be run here.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(squall());
        command.args(arguments).current_dir(self.path()).env("LANG", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without the command cannot go on")]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect(BUILT))
    }

    /// Starts the command.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without the command cannot go on")]
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect(BUILT)
    }

    /// The `result.json` in a folder in it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a result cannot go on")]
    pub fn result(&self, folder: &str) -> Value {
        let text = fs::read_to_string(self.path().join(folder).join("result.json")).expect("a result");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Ran {
    /// The exit code, but for the saturation of generators: where only counts matter, a busy machine is no failure.
    #[must_use]
    pub fn code_but_for_saturation(&self, result: &Value) -> i32 {
        let reasons = result["verdict"]["reasons"].as_array().map_or(&[][..], Vec::as_slice);
        let saturated =
            |reason: &Value| reason.as_str().is_some_and(|reason| reason.contains("the bottleneck"));
        let is_only_saturated = self.code == 98 && !reasons.is_empty() && reasons.iter().all(saturated);
        if is_only_saturated { 0 } else { self.code }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The simulated service on a free port, which answers at once unless `delays`.
///
/// # Panics
/// If there is no free port.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without a target cannot go on")]
pub fn target(delays: bool) -> Server {
    let options = ServerOptions { delays, ..ServerOptions::default() };
    Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).expect("a free port")
}

/// What must hold of a run that was cut off: what the target counted is reported, and what is reported beyond that
/// was cut off before it arrived, and is told as unfinished.
///
/// # Panics
/// If it does not hold.
pub fn check_cut_off(server: &Server, result: &Value) {
    let requests = result["totals"]["requests"].as_u64().unwrap_or(0);
    let unfinished = result["outcomes"]["unfinished"].as_u64().unwrap_or(0);
    let counted = server.counts().total;
    assert!(
        counted <= requests && requests <= counted + unfinished,
        "{counted} counted, {requests} reported, {unfinished} of them unfinished"
    );
}

/// Where the command was built: two folders above the tests.
fn squall() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new(".")).join("squall")
}
