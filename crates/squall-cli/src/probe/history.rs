//! What a probe has sent so far, in a file that a probe which was interrupted goes on from.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use squall_probe::Done;

use crate::failure::Failure;

/// The file's name in the probe's folder.
pub(super) const FILE: &str = "history.jsonl";

/// A larger file is none of ours.
const MOST_BYTES: u64 = 256 * 1_024 * 1_024;

/// A round, what became of it, and what else is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) round: squall_probe::Round,
    pub(super) observed: squall_probe::Observed,
    /// When the last request of it had ended, in microseconds since 1970.
    pub(super) ended_us: i64,
    /// When its first request was sent and its last one had ended, by the clock of this machine; if that is known.
    #[serde(default)]
    pub(super) here_us: Option<(i64, i64)>,
    /// How many generators sent it.
    pub(super) generators: u32,
    /// How many requests ended in which way.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// How many answers a cache has given.
    pub(super) cached: u64,
    /// What it cost, in US dollars.
    pub(super) cost_usd: f64,
    /// What went wrong, in words.
    pub(super) problems: Vec<String>,
    /// Whether it was sent again, because the generators had set the pace: then it says nothing.
    #[serde(default)]
    pub(super) again: bool,
}

/// What has been sent, in memory and on disk.
pub(super) struct History {
    path: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// The same as probes see it.
    pub(super) done: Vec<Done>,
}

impl History {
    /// The one in this folder, or an empty one. A line that was cut off is as if it had not been.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let mut text = String::new();
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => {
                opened
                    .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
                    .with_context(|| format!("cannot read `{}`", path.display()))
                    .map_err(Failure::wrong)?;
            }
        }
        let mut history = Self { path, entries: Vec::new(), done: Vec::new() };
        let mut good = String::new();
        for line in text.split_inclusive('\n') {
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) if line.ends_with('\n') => {
                    good.push_str(line);
                    history.take(entry);
                }
                _ => break,
            }
        }
        if good.len() < text.len() {
            fs::write(&history.path, good)
                .with_context(|| format!("cannot write `{}`", history.path.display()))?;
        }
        Ok(history)
    }

    /// Keeps one more round.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        let line = format!("{}\n", serde_json::to_string(&entry)?);
        self.take(entry);
        let opened = OpenOptions::new().create(true).append(true).open(&self.path);
        let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
        Ok(written.with_context(|| format!("cannot write `{}`", self.path.display()))?)
    }

    /// How many requests have been sent.
    pub(super) fn requests(&self) -> u64 {
        self.entries.iter().flat_map(|entry| entry.outcomes.values()).sum()
    }

    /// How often the round that comes next was sent already.
    pub(super) fn tries(&self) -> usize {
        self.entries.iter().rev().take_while(|entry| entry.again).count()
    }

    fn take(&mut self, entry: Entry) {
        if !entry.again {
            self.done.push(Done { round: entry.round.clone(), observed: entry.observed.clone() });
        }
        self.entries.push(entry);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use squall_probe::{Connections, Load, Observed, Round};

    use super::*;

    pub(in crate::probe) fn entry(purpose: &str) -> Entry {
        Entry {
            round: Round {
                purpose: purpose.to_owned(),
                idle_s: 0.1,
                warm_s: 0.0,
                load: Load::Rate { per_s: 1.0 / 3.0, seconds: 2.0 },
                connections: Connections::Kept,
                senders: 1,
                keys: 0,
            },
            observed: Observed { idle_s: 0.1 + 0.2, good_us: vec![(1, 2)], ..Observed::default() },
            ended_us: 5,
            here_us: Some((3, 5)),
            generators: 1,
            outcomes: BTreeMap::from([("200".to_owned(), 2)]),
            cached: 0,
            cost_usd: 0.0,
            problems: Vec::new(),
            again: false,
        }
    }

    #[test]
    fn a_history_is_read_again_as_it_was_but_for_a_line_that_was_cut_off() {
        let folder = std::env::temp_dir().join(format!("squall-history-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut history = History::open(&folder).unwrap();
        history.add(entry("a")).unwrap();
        history.add(entry("b")).unwrap();
        let whole = fs::read_to_string(folder.join(FILE)).unwrap();
        for cut in 0..=whole.len() {
            fs::write(folder.join(FILE), &whole[..cut]).unwrap();
            let mut again = History::open(&folder).unwrap();
            let lines = whole[..cut].matches('\n').count();
            assert_eq!(again.entries, history.entries[..lines], "{cut}");
            assert_eq!(again.requests(), 2 * lines as u64);
            again.add(entry("c")).unwrap();
            assert_eq!(History::open(&folder).unwrap().entries.len(), lines + 1, "{cut}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
