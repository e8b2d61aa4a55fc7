//! `squall report`: an earlier run, again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use squall_report::{ExitCode, csv, from_json, html, junit, markdown, terminal, to_json};

use crate::args::{ReportArgs, ReportOutput};
use crate::failure::Failure;
use crate::run::RUNS;
use crate::surroundings;

pub(crate) fn command(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let path = match &args.run {
        Some(run) => find(run),
        None => latest()?,
    };
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read result `{}`", path.display()))
        .map_err(Failure::wrong)?;
    let result = from_json(&text)
        .with_context(|| format!("cannot read result `{}`", path.display()))
        .map_err(Failure::wrong)?;
    match args.output {
        ReportOutput::Text => surroundings::print(&format!("{}\n", terminal(&result, surroundings::style()))),
        ReportOutput::Json => surroundings::print(&format!("{}\n", to_json(&result))),
        ReportOutput::Junit => surroundings::print(&junit(&result)),
        ReportOutput::Markdown => surroundings::print(&markdown(&result)),
        ReportOutput::Html => surroundings::print(&html(&result)),
        ReportOutput::Csv => surroundings::print(&csv(&result)),
    }
    Ok(ExitCode::Passed)
}

/// A file, a folder, or the id of a run.
fn find(run: &str) -> PathBuf {
    let path = PathBuf::from(run);
    if path.is_file() {
        path
    } else if path.is_dir() {
        path.join("result.json")
    } else {
        Path::new(RUNS).join(run).join("result.json")
    }
}

/// Ids sort by time.
fn latest() -> Result<PathBuf, Failure> {
    let folders = fs::read_dir(RUNS)
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let results = folders.map(|folder| folder.join("result.json")).filter(|path| path.is_file());
    results.max().ok_or_else(|| {
        Failure::wrong(anyhow!("no run has been kept under `{RUNS}`"))
            .with_hint("run one with `squall demo` or `squall run PLAN`")
    })
}
