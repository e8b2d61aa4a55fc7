//! What a probe has sent so far, in a file that a probe which was interrupted goes on from.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use squall_fleet::Time;
use squall_metrics::Outcome;
use squall_probe::Done;

use super::told::Seen;
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
    /// What it is there for.
    pub(super) standing: Standing,
}

/// What a round is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// The probe has asked for it.
    Counts,
    /// It did, but the generators set the pace: it was sent again, and this one says nothing.
    Again,
    /// It was sent once more by who went on, so that the service is as it was.
    Restores,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A round is about to be sent, of so many requests at most.
    Begun { requests: u64 },
    /// It has ended.
    Ended(Box<Entry>),
}

/// What has been sent, in memory and on disk.
pub(super) struct History {
    path: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// The same as probes see it.
    pub(super) done: Vec<Done>,
    /// When the last request had ended, or when this was opened if there is none or nobody knows.
    pub(super) since: Time,
    /// Requests, at most, of the round that was begun and has not ended.
    begun: Option<u64>,
    /// Requests, at most, of rounds that never ended.
    pub(super) cut_off: u64,
    /// How long the file is without a line that was cut off.
    length: u64,
}

impl History {
    /// The one in this folder, or an empty one. A last line that was cut off is as if it had not been.
    pub(super) fn open(folder: &Path, now: Time) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => {
                opened
                    .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
                    .with_context(|| format!("cannot read `{}`", path.display()))
                    .map_err(Failure::wrong)?;
            }
        }
        let mut history = Self {
            path,
            entries: Vec::new(),
            done: Vec::new(),
            since: now,
            begun: None,
            cut_off: 0,
            length: 0,
        };
        for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if line.last() != Some(&b'\n') {
                break;
            }
            let read = serde_json::from_slice(line).map_err(|error| {
                let path = history.path.display();
                Failure::wrong(anyhow!("line {} of `{path}` says nothing that was sent: {error}", at + 1))
                    .with_hint("begin anew: what follows from a round that is unknown is none of its own")
            })?;
            history.take(read);
            history.length += line.len() as u64;
        }
        if history.begun.is_some() {
            // It has sent something until nobody knows when.
            history.since = now;
            history.cut_off_last();
        }
        Ok(history)
    }

    /// A round of so many requests at most is about to be sent.
    pub(super) fn begin(&mut self, requests: u64) -> Result<(), Failure> {
        self.keep(Line::Begun { requests })
    }

    /// Keeps one more round.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        self.keep(Line::Ended(Box::new(entry)))
    }

    /// The round that was begun will not end.
    pub(super) fn cut_off_last(&mut self) {
        self.cut_off = self.cut_off.saturating_add(self.begun.take().unwrap_or(0));
    }

    /// How many requests have been sent by rounds that have ended.
    pub(super) fn requests(&self) -> u64 {
        self.entries.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.requests()))
    }

    /// How many requests there are at most for each that a probe counts: a plan's users send several in an iteration.
    pub(super) fn requests_each(&self) -> f64 {
        let each = self.entries.iter().filter_map(|entry| {
            let Seen { good, limited, failed, .. } = Seen::of(entry);
            let counted = good.saturating_add(limited).saturating_add(failed);
            (counted > 0).then(|| entry.requests() as f64 / counted as f64)
        });
        each.fold(1.0, f64::max)
    }

    /// What all of it has cost, in US dollars.
    pub(super) fn cost_usd(&self) -> f64 {
        self.entries.iter().map(|entry| entry.cost_usd).sum()
    }

    /// How often the round that comes next was sent already.
    pub(super) fn tries(&self) -> usize {
        let since = self.entries.iter().rev().take_while(|entry| !entry.counts());
        since.filter(|entry| entry.standing == Standing::Again).count()
    }

    fn keep(&mut self, line: Line) -> Result<(), Failure> {
        let text = format!("{}\n", serde_json::to_string(&line)?);
        self.take(line);
        let written = self.append(&text);
        Ok(written.with_context(|| format!("cannot write `{}`", self.path.display()))?)
    }

    /// Behind what is whole.
    fn append(&mut self, text: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.set_len(self.length)?;
        file.write_all(text.as_bytes())?;
        self.length += text.len() as u64;
        Ok(())
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Begun { requests } => {
                self.cut_off_last();
                self.begun = Some(requests);
            }
            Line::Ended(entry) => {
                self.begun = None;
                self.since = Time(entry.ended_us);
                if entry.counts() {
                    self.done.push(Done { round: entry.round.clone(), observed: entry.observed.clone() });
                }
                self.entries.push(*entry);
            }
        }
    }
}

impl Entry {
    /// Whether it says something.
    pub(super) fn counts(&self) -> bool {
        self.standing == Standing::Counts
    }

    /// How many requests it has sent: those that failed in the generators were not.
    fn requests(&self) -> u64 {
        let own = Outcome::Generator.to_string();
        let sent = self.outcomes.iter().filter(|(outcome, _)| **outcome != own);
        sent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

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
            standing: Standing::Counts,
        }
    }

    const NOW: Time = Time(1_000);

    #[test]
    fn a_history_is_read_again_as_it_was_but_for_a_line_that_was_cut_off() {
        let folder = std::env::temp_dir().join(format!("squall-history-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut history = History::open(&folder, NOW).unwrap();
        for purpose in ["a", "b"] {
            history.begin(7).unwrap();
            history.add(entry(purpose)).unwrap();
        }
        let whole = fs::read_to_string(folder.join(FILE)).unwrap();
        for cut in 0..=whole.len() {
            fs::write(folder.join(FILE), &whole[..cut]).unwrap();
            let mut again = History::open(&folder, NOW).unwrap();
            assert_eq!(
                fs::read_to_string(folder.join(FILE)).unwrap(),
                whole[..cut],
                "reading changes nothing"
            );
            let lines = whole[..cut].matches('\n').count();
            assert_eq!(again.entries, history.entries[..lines / 2], "{cut}");
            assert_eq!((again.requests(), again.cut_off), (2 * (lines as u64 / 2), 7 * (lines as u64 % 2)));
            assert_eq!(
                again.since,
                if lines > 0 && lines.is_multiple_of(2) { Time(5) } else { NOW },
                "{cut}"
            );
            again.begin(1).unwrap();
            again.add(entry("c")).unwrap();
            let after = History::open(&folder, NOW).unwrap();
            assert_eq!((after.entries.len(), after.cut_off), (lines / 2 + 1, again.cut_off), "{cut}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_said_and_left_as_it_is() {
        let folder = std::env::temp_dir().join(format!("squall-damaged-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut history = History::open(&folder, NOW).unwrap();
        ["a", "b", "c"].iter().for_each(|purpose| history.add(entry(purpose)).unwrap());
        let damaged = fs::read_to_string(folder.join(FILE)).unwrap().replacen("\"b\"", "\"b", 1);
        fs::write(folder.join(FILE), &damaged).unwrap();
        let failure = History::open(&folder, NOW).err().unwrap();
        assert!(failure.words().starts_with("line 2 of "), "{}", failure.words());
        assert!(failure.hint().unwrap().starts_with("begin anew"));
        assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), damaged);
        fs::remove_dir_all(folder).unwrap();
    }
}
