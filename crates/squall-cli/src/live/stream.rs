//! Frames for programs: one JSON object a line on standard output, the last of which holds the result.

use serde_json::json;
use squall_report::RunResult;

use super::Sink;
use super::frame::{Frame, State};
use crate::surroundings;

/// Prints each frame on standard output.
pub(crate) struct Stream;

impl Sink for Stream {
    fn take(&mut self, frame: &Frame) {
        // The last line is the one with the result.
        if frame.state != State::Done {
            print(&json!(frame));
        }
    }
}

/// Prints the last line.
pub(crate) fn end(result: &RunResult) {
    print(&json!({ "run": result.run.id, "name": result.run.name, "state": State::Done, "result": result }));
}

fn print(line: &serde_json::Value) {
    surroundings::print(&format!("{line}\n"));
}
