//! The habits of this repository, one verb each.

mod architecture;
mod check;
mod dist;
mod facts;
mod steps;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use crate::steps::Steps;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The habits of this repository, one verb each.")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
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
    /// What is generated in the documentation, made anew: tables of keys, and what is printed of mistakes.
    Docs,
    /// The command and the generator, built for others.
    Dist,
    /// Only the generator.
    Generator {
        /// A binary that was built elsewhere, such as for arm64; it is only zipped.
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let mut steps = Steps::default();
    match Args::parse().verb {
        Verb::Check => check::run(&mut steps),
        Verb::Architecture => check::architecture(&mut steps),
        Verb::Test => test(&mut steps),
        Verb::E2e => {
            made(&mut steps);
            run_tests(&mut steps, Some("squall-tests"));
        }
        Verb::Bench => {
            steps.cargo("criterion", &["bench", "--package", "squall-metrics", "--bench", "measure"]);
            steps.command("scripts/bench", "scripts/bench", &[]);
        }
        Verb::Demo => steps.cargo("demo", &["run", "--release", "--package", "squall-cli", "--", "demo"]),
        Verb::Docs => docs(&mut steps),
        Verb::Dist => dist::all(&mut steps),
        Verb::Generator { binary: Some(binary) } => dist::zip_of(&mut steps, &binary),
        Verb::Generator { binary: None } => dist::generator(&mut steps),
    }
    steps.finish()
}

/// What the end-to-end tests need besides the command: the generator as Lambda takes it, AWS on this machine, a browser.
fn made(steps: &mut Steps) {
    dist::generator(steps);
    steps.command("a browser", "scripts/browser", &[]);
    steps.command("a Prometheus", "scripts/prometheus", &[]);
    steps.command("the emulator", "scripts/aws-local", &["install"]);
}

/// The documentation's examples first: the last thing printed is the summary of the tests.
fn test(steps: &mut Steps) {
    made(steps);
    steps.cargo("documentation", &["test", "--workspace", "--doc", "--quiet"]);
    run_tests(steps, None);
}

/// The tests of the documentation write what they find to be old.
fn docs(steps: &mut Steps) {
    steps.step("documentation", || {
        let tests = ["test", "--workspace", "--test", "docs", "--quiet"];
        let status = Command::new("cargo").args(tests).env("INSTA_UPDATE", "always").status()?;
        anyhow::ensure!(status.success(), "the documentation has mistakes that only people can mend");
        Ok(())
    });
}

/// Tests that wait for most of their time, and only count.
const WAITING: &str = "(package(squall-tests) & (binary(/^(fire|attach|regions|missing|aws_policies|probes)/) - test(/^this_machine/)))";

/// All tests, or those of a package. Built is always everything: a part would have other features of its
/// dependencies, which would have to be built again.
fn run_tests(steps: &mut Steps, package: Option<&str>) {
    if steps::is_installed("cargo-nextest") {
        let filter = package.map_or_else(|| "all()".to_owned(), |package| format!("package({package})"));
        let run = ["nextest", "run", "--workspace", "--all-targets", "-E"];
        let (waiting, others) = (format!("({filter}) & {WAITING}"), format!("({filter}) - {WAITING}"));
        let side_by_side = ["--profile", "fire", "--no-tests", "pass"];
        steps.cargo("tests side by side", &[&run[..], &[&waiting], &side_by_side].concat());
        steps.cargo("tests", &[&run[..], &[&others]].concat());
    } else {
        steps.cargo("the command", &["build", "--workspace", "--all-targets"]);
        let which = package.map_or_else(|| vec!["--workspace"], |package| vec!["--package", package]);
        steps.cargo("tests", &[&["test", "--all-targets"], which.as_slice()].concat());
    }
}
