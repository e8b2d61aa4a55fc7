//! `squall annotate`: what happened beside a test, on its time axis.
//!
//! While a run goes on, annotations are lines in a file of its folder, which anybody may append to; its report takes
//! them up at the end. What is said later goes into the result.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use squall_fleet::{Clock, Time};
use squall_report::{Annotation, ExitCode, from_json, html};
use squall_seat::SystemClock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::AnnotateArgs;
use crate::failure::Failure;
use crate::run::{RUNS, keep, rfc3339};

/// Where in a run's folder annotations are kept until its report is made.
const ANNOTATIONS: &str = "annotations.jsonl";

/// More lines of the file are not read.
const MOST: usize = 1_000;

/// Of a followed file so much is read at a time, and no line may be longer than this.
const MOST_BYTES: u64 = 64 * 1_024;
const MOST_LINE: usize = 1_024;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// As RFC 3339.
    at: String,
    text: String,
}

/// `squall annotate`
pub(crate) fn command(args: &AnnotateArgs) -> Result<ExitCode, Failure> {
    let folder = folder(&args.run)?;
    let text = args.text.join(" ");
    if text.trim().is_empty() {
        return Err(Failure::wrong(anyhow!("an annotation without a text")));
    }
    let now = SystemClock.now();
    if folder.join("result.json").is_file() {
        return annotate_result(&folder, now, text);
    }
    add(&folder, now, text)?;
    Ok(ExitCode::Passed)
}

/// Adds an annotation to those of a run that goes on.
fn add(folder: &Path, now: Time, text: String) -> Result<(), Failure> {
    let line = serde_json::to_string(&Line { at: rfc3339(now)?, text })?;
    let path = folder.join(ANNOTATIONS);
    let file = OpenOptions::new().append(true).create(true).open(&path);
    // In one piece, so that lines of several writers do not mix.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(())
}

/// A file whose new lines are annotations of a run.
pub(crate) struct Followed {
    file: File,
    /// What has come of a line whose end has not.
    begun: Vec<u8>,
    /// The run's folder.
    folder: PathBuf,
}

impl Followed {
    /// What the file holds already is older than the run.
    pub(crate) fn new(path: &Path, folder: &Path) -> Result<Self, Failure> {
        let opened = File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)).map(|_| file));
        let file = opened.map_err(|error| {
            let what = anyhow!("cannot read `{}`: {error}", path.display());
            Failure::wrong(what).with_hint("it must be there when the run begins, and may be empty")
        })?;
        Ok(Self { file, begun: Vec::new(), folder: folder.to_owned() })
    }

    /// Takes up what has come since the last look. What cannot be read or kept is no reason to stop.
    pub(crate) fn look(&mut self, now: Time) {
        let mut new = Vec::new();
        let _ = Read::by_ref(&mut self.file).take(MOST_BYTES).read_to_end(&mut new);
        self.begun.extend(new);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                let _ = add(&self.folder, now, text.trim().to_owned());
            }
        }
        // A line without an end is not kept for ever.
        self.begun.truncate(MOST_LINE);
    }
}

fn annotate_result(folder: &Path, now: Time, text: String) -> Result<ExitCode, Failure> {
    let path = folder.join("result.json");
    let read = || format!("cannot read result `{}`", path.display());
    let mut result = from_json(&fs::read_to_string(&path).with_context(read)?).with_context(read)?;
    let Some(t_s) = time_of(&result.run.epoch).map(|epoch| seconds_after(epoch, now)) else {
        return Err(Failure::wrong(anyhow!("the load of run `{}` never began", result.run.id)));
    };
    result.annotations.push(Annotation { t_s, text });
    keep(folder, &result, &html(&result))?;
    Ok(ExitCode::Passed)
}

/// What was said of a run while it went on, by the time since its epoch, by the clock of this machine; and what of it cannot be read.
pub(crate) fn annotations(folder: &Path, epoch: Option<Time>) -> (Vec<Annotation>, Vec<String>) {
    let path = folder.join(ANNOTATIONS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return (Vec::new(), Vec::new()),
        Err(error) => return (Vec::new(), vec![format!("`{ANNOTATIONS}`: {error}")]),
    };
    let (mut annotations, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let read = serde_json::from_str::<Line>(line).ok().filter(|_| number < MOST);
        let time = read.as_ref().and_then(|line| time_of(&line.at));
        match (time.zip(epoch).map(|(time, epoch)| seconds_after(epoch, time)), read) {
            (Some(t_s), Some(line)) => annotations.push(Annotation { t_s, text: line.text }),
            _ => problems.push(format!("`{ANNOTATIONS}` has lines that cannot be read")),
        }
    }
    annotations.sort_by(|one, other| one.t_s.total_cmp(&other.t_s));
    (annotations, problems)
}

fn time_of(text: &str) -> Option<Time> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000).ok().map(Time)
}

fn seconds_after(epoch: Time, time: Time) -> f64 {
    (time.0.saturating_sub(epoch.0) / 1_000) as f64 / 1_000.0
}

/// The folder of a run, which must be there.
fn folder(run: &str) -> Result<PathBuf, Failure> {
    let candidates = [PathBuf::from(run), Path::new(RUNS).join(run)];
    candidates.into_iter().find(|path| path.is_dir()).ok_or_else(|| {
        Failure::wrong(anyhow!("there is no run `{run}` under `{RUNS}`"))
            .with_hint("give its id, or the folder of `--out`")
    })
}
