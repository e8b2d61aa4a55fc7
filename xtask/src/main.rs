//! The habits of this repository, one verb each.

mod architecture;
mod check;
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
    /// The command, built for others.
    Dist,
}

fn main() -> ExitCode {
    let mut steps = Steps::default();
    match Args::parse().verb {
        Verb::Check => check::run(&mut steps),
        Verb::Architecture => check::architecture(&mut steps),
        Verb::Test => test(&mut steps),
        Verb::E2e => {
            steps.cargo("the command", &["build", "--package", "squall-cli"]);
            steps.cargo("end-to-end tests", &["test", "--package", "squall-tests"]);
        }
        Verb::Bench => {
            steps.cargo("criterion", &["bench", "--package", "squall-metrics", "--bench", "measure"]);
            steps.command("scripts/bench", "scripts/bench", &[]);
        }
        Verb::Demo => steps.cargo("demo", &["run", "--release", "--package", "squall-cli", "--", "demo"]),
        Verb::Dist => dist(&mut steps),
    }
    steps.finish()
}

/// The documentation's examples first: the last thing printed is the summary of the tests.
fn test(steps: &mut Steps) {
    steps.cargo("documentation", &["test", "--workspace", "--doc", "--quiet"]);
    if steps::is_installed("cargo-nextest") {
        steps.cargo("tests", &["nextest", "run", "--workspace", "--all-targets"]);
    } else {
        steps.cargo("tests", &["test", "--workspace", "--all-targets"]);
    }
}

fn dist(steps: &mut Steps) {
    steps.cargo("release build", &["build", "--release", "--package", "squall-cli"]);
    steps.step("dist/squall", || {
        let built = steps::target_dir()?.join("release/squall");
        std::fs::create_dir_all("dist")?;
        let bytes = std::fs::copy(built, "dist/squall")?;
        println!("dist/squall: {:.1} MB", bytes as f64 / 1e6);
        Ok(())
    });
}
