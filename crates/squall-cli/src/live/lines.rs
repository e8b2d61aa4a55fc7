//! A line a second, where nobody can press keys.

use super::Sink;
use super::frame::{Frame, State};

/// Prints a line for each frame on standard error.
pub(crate) struct Lines;

impl Sink for Lines {
    fn take(&mut self, frame: &Frame) {
        eprintln!("{}", line(frame));
    }
}

fn line(frame: &Frame) -> String {
    let Frame { name, generators, duration_s, now, .. } = frame;
    let ending = match frame.state {
        State::Gathering => {
            return format!("{name}: {} of {} generators ready", generators.ready, generators.wanted);
        }
        State::Waiting => {
            return format!("{name}: load begins in {:.0}s", -frame.t_s.unwrap_or(0.0).floor());
        }
        State::Ending => " · ending",
        State::Running | State::Done => "",
    };
    let t_s = frame.t_s.unwrap_or(0.0).clamp(0.0, *duration_s).floor();
    let failing = frame.thresholds.iter().filter(|threshold| !threshold.passed && threshold.value.is_some());
    let failing: String = failing.map(|threshold| format!(" · fails: {}", threshold.expression)).collect();
    format!(
        "{name}: {t_s}s of {duration_s:.0}s · {} users · {:.0} requests/s · {} requests · {} errors{ending}{failing}",
        now.users, now.rps, frame.requests, frame.errors
    )
}
