//! What must hold before anything is tested.

use std::path::Path;

use anyhow::bail;

use crate::architecture::violations;
use crate::facts;
use crate::steps::{Steps, is_installed};

pub(crate) fn run(steps: &mut Steps) {
    steps.cargo("formatting", &["fmt", "--all", "--check"]);
    steps.cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    architecture(steps);
    tool(steps, "cargo-deny", "cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"]);
    tool(steps, "typos", "typos", &[]);
    tool(steps, "cfn-lint", "cfn-lint", &["infra/squall.yaml"]);
    tool(
        steps,
        "checkov",
        "checkov",
        &["--skip-download", "--quiet", "--compact", "-f", "infra/squall.yaml"],
    );
}

/// Runs a tool that comes from elsewhere. On a developer's machine it may be missing; in CI it may not.
fn tool(steps: &mut Steps, name: &str, program: &str, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "whether this is CI is in the environment")]
    let in_ci = std::env::var_os("CI").is_some();
    if !is_installed(name) && !in_ci {
        eprintln!("── {name}: skipped, for it is not installed (CONTRIBUTING.md says how)");
    } else {
        steps.command(name, program, arguments);
    }
}

pub(crate) fn architecture(steps: &mut Steps) {
    steps.step("architecture", || {
        let violations = violations(&facts::gather(Path::new("."))?);
        if violations.is_empty() {
            return Ok(());
        }
        bail!("the house is not as ARCHITECTURE.md says:\n  {}", violations.join("\n  "))
    });
}
