//! What the user sees while a run goes on: one line a second.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use squall_fleet::{Observer, Orchestrator, Phase, Time, View};
use squall_metrics::Merged;

/// Prints a line a second on standard error; on a terminal it stays the same line.
pub(crate) struct Progress {
    name: String,
    duration: Duration,
    generators: u32,
    terminal: bool,
    last: Option<Time>,
}

impl Progress {
    pub(crate) fn new(name: &str, duration: Duration, generators: u32) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { name: name.to_owned(), duration, generators, terminal, last: None }
    }

    fn line(&self, orchestrator: &Orchestrator, merged: &Merged, now: Time) -> String {
        match (orchestrator.phase(), orchestrator.epoch()) {
            (Phase::Inviting | Phase::Gathering, _) | (_, None) => {
                format!(
                    "{}: {} of {} generators ready",
                    self.name,
                    orchestrator.seats().ready,
                    self.generators
                )
            }
            (_, Some(epoch)) if now < epoch => {
                let left = epoch.since(now).as_secs_f64().ceil();
                format!("{}: load begins in {left}s", self.name)
            }
            (phase, Some(epoch)) => {
                let elapsed = now.since(epoch).min(self.duration);
                let errors: u64 = merged.series().values().map(|series| series.counts.errors).sum();
                // The newest second is not complete: some generators have not told it yet.
                let last = merged.seconds().iter().rev().nth(1).map(|(_, second)| second);
                let rps: u64 =
                    last.map_or(0, |second| second.series.values().map(|series| series.requests).sum());
                let users = last.map_or(0, |second| second.users);
                let ending = if phase == Phase::Ending { " · ending" } else { "" };
                format!(
                    "{}: {}s of {}s · {users} users · {rps} requests/s · {} requests · {errors} errors{ending}",
                    self.name,
                    elapsed.as_secs(),
                    self.duration.as_secs(),
                    merged.requests(),
                )
            }
        }
    }
}

impl Observer for Progress {
    fn look(&mut self, view: &View<'_>) {
        let View { orchestrator, merged, now, .. } = *view;
        let is_over = orchestrator.phase() == Phase::Done;
        if !is_over && self.last.is_some_and(|last| now.since(last) < Duration::from_secs(1)) {
            return;
        }
        self.last = Some(now);
        let line = self.line(orchestrator, merged, now);
        // Progress that cannot be shown is no reason to stop.
        let _ = match (self.terminal, is_over) {
            (true, false) => write!(std::io::stderr(), "\r\u{1b}[K{line}"),
            (true, true) => write!(std::io::stderr(), "\r\u{1b}[K"),
            (false, _) => writeln!(std::io::stderr(), "{line}"),
        };
        let _ = std::io::stderr().flush();
    }
}
