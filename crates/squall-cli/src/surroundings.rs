//! What the command reads of its surroundings: environment, terminal, randomness. Nobody else does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit, setrlimit};
use squall_report::Style;

/// The environment variables whose names and values are text.
#[expect(clippy::disallowed_methods, reason = "the command is where the environment is read")]
pub(crate) fn environment() -> BTreeMap<String, String> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// How to write on standard output.
pub(crate) fn style() -> Style {
    let environment = environment();
    let colour = std::io::stdout().is_terminal() && !is_set(&environment, "NO_COLOR");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| environment.get(name).filter(|v| !v.is_empty()));
    // No locale at all is a script or a bare container, whose output lands where UTF-8 is understood.
    let ascii = locale.is_some_and(|locale| !locale.to_ascii_uppercase().replace('-', "").contains("UTF8"));
    Style { colour, ascii }
}

/// Whether to write in colours on standard error.
pub(crate) fn colour_errors() -> bool {
    std::io::stderr().is_terminal() && !is_set(&environment(), "NO_COLOR")
}

/// Whether a terminal knows how to draw a screen, and is meant to.
pub(crate) fn can_draw() -> bool {
    let environment = environment();
    environment.get("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
        && !is_set(&environment, "CI")
}

fn is_set(environment: &BTreeMap<String, String>, name: &str) -> bool {
    environment.get(name).is_some_and(|value| !value.is_empty())
}

/// Writes on standard output. Whoever reads there may have read enough, which is no mistake.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Allows this process as many open files as the machine lets it have: each user has a connection.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without more, users who find none are counted as the generator's own failures.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Where this command is installed.
pub(crate) fn own_folder() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

/// A seed that nobody chose: 32 bits are enough to be unlike others and short enough to be typed.
pub(crate) fn random_seed() -> Result<u64, getrandom::Error> {
    getrandom::u32().map(u64::from)
}
