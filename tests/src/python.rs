//! Others' libraries, which check what Squall writes: scripts of the tests in the gate's Python.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Ran;

/// The exit code of a script that lacks something.
const MISSING: i32 = 77;

/// How it says so.
const PRELUDE: &str = "
import sys
def missing(what):
    print(what, file=sys.stderr)
    sys.exit(77)
";

/// Runs a script on some input. It calls `missing` for what it needs and is not installed: then there is nothing but
/// a note on standard error.
///
/// # Panics
/// If there is no Python, or this is the gate, which has all that is needed.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its check cannot go on")]
pub fn python(script: &str, arguments: &[&str], input: &str) -> Option<Ran> {
    let mut command = Command::new("python3");
    command.arg("-c").arg(format!("{PRELUDE}{script}")).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3 is installed");
    // What it does not read, it does not need.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let ran = Ran::from(child.wait_with_output().expect("Python ends"));
    if ran.code != MISSING {
        return Some(ran);
    }
    assert!(!in_ci(), "the gate lacks what a test needs: {}", ran.stderr);
    eprintln!("not checked: {}", ran.stderr);
    None
}

#[expect(clippy::disallowed_methods, reason = "whether this is CI is in the environment")]
fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}
