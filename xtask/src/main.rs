//! The habits of this repository, one verb each.

mod architecture;
mod check;
mod dist;
mod facts;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Steps;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The habits of this repository, one verb each.")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Formatting, clippy, architecture, dependencies, spelling.
    Check,
    /// Only the architecture: arrows and purity of the crates.
    Architecture,
    /// Every test.
    Test,
    /// Only the end-to-end tests.
    E2e,
    /// The benchmarks.
    Bench,
    /// The demo.
    Demo,
    /// The command and the generator, built for others.
    Dist,
}

fn main() -> ExitCode {
    let mut steps = Steps::default();
    match Args::parse().verb {
        Verb::Check => check::run(&mut steps),
        Verb::Architecture => check::architecture(&mut steps),
        Verb::Test => test(&mut steps),
        Verb::E2e => {
            made(&mut steps);
            steps.cargo("end-to-end tests", &["test", "--package", "squall-tests"]);
        }
        Verb::Bench => {
            steps.cargo("criterion", &["bench", "--package", "squall-metrics", "--bench", "measure"]);
            steps.command("scripts/bench", "scripts/bench", &[]);
        }
        Verb::Demo => steps.cargo("demo", &["run", "--release", "--package", "squall-cli", "--", "demo"]),
        Verb::Dist => dist::all(&mut steps),
    }
    steps.finish()
}

/// What the end-to-end tests run: the command, the generator as Lambda takes it, and AWS on this machine.
fn made(steps: &mut Steps) {
    steps.cargo("the command", &["build", "--package", "squall-cli"]);
    dist::generator(steps);
    steps.command("the emulator", "scripts/aws-local", &["install"]);
}

/// The documentation's examples first: the last thing printed is the summary of the tests.
fn test(steps: &mut Steps) {
    made(steps);
    steps.cargo("documentation", &["test", "--workspace", "--doc", "--quiet"]);
    if steps::is_installed("cargo-nextest") {
        steps.cargo("tests", &["nextest", "run", "--workspace", "--all-targets"]);
    } else {
        steps.cargo("tests", &["test", "--workspace", "--all-targets"]);
    }
}
