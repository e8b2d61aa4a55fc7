//! Runs steps, and says in the end which of them failed.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    failed: Vec<String>,
}

impl Steps {
    /// Runs a step; a failure is told and kept for the end.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        eprintln!("── {name}");
        if let Err(error) = run() {
            eprintln!("{name}: {error:#}");
            self.failed.push(name.to_owned());
        }
    }

    /// Runs a program as a step.
    pub(crate) fn command(&mut self, name: &str, program: &str, arguments: &[&str]) {
        self.step(name, || {
            let status = Command::new(program).args(arguments).status()?;
            if status.success() {
                Ok(())
            } else {
                bail!("`{program} {}` ended with {status}", arguments.join(" "))
            }
        });
    }

    /// Runs cargo as a step.
    pub(crate) fn cargo(&mut self, name: &str, arguments: &[&str]) {
        self.command(name, "cargo", arguments);
    }

    pub(crate) fn finish(self) -> ExitCode {
        if self.failed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("failed: {}", self.failed.join(", "));
        ExitCode::FAILURE
    }
}

/// Whether a program is there.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Where cargo builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(cargo_metadata::MetadataCommand::new().no_deps().exec()?.target_directory.into())
}
