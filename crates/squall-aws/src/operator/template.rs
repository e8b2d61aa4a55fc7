//! The template that a fleet is deployed from.

use std::num::NonZeroU32;

use thiserror::Error;

/// `infra/squall.yaml`, as it was when the command was built: a fleet with one lane.
pub const TEMPLATE: &str = include_str!("../../../../infra/squall.yaml");

/// Lanes that a fleet can have.
pub const MOST_LANES: u32 = 10;

/// What stands before and behind what each lane has of its own.
const BEGIN: &str = "# lane:begin";
const END: &str = "# lane:end";

/// The names of a lane's parts. Those of the first lane are as they are, so that a stack keeps it.
const NAMES: [&str; 4] = ["Queue", "Function", "Mapping", "QueueUrl"];

/// Why a template has no form with several lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LaneError {
    /// It does not say what a lane is.
    #[error("template does not mark what a lane has of its own with `{BEGIN}` and `{END}`")]
    NoMarks,
    /// A lane begins within another, or does not end.
    #[error("marks `{BEGIN}` and `{END}` of the template do not stand in turn")]
    Order,
}

/// How a part of a lane is called: by its name in the template, with the lane's number behind it from the second on.
#[must_use]
pub(crate) fn name_in_lane(name: &str, lane: u32) -> String {
    if lane <= 1 { name.to_owned() } else { format!("{name}{lane}") }
}

/// The template with so many lanes. With one it is as it was.
pub fn with_lanes(template: &str, lanes: NonZeroU32) -> Result<String, LaneError> {
    if lanes == NonZeroU32::MIN {
        return Ok(template.to_owned());
    }
    let mut out = String::with_capacity(template.len() * 2);
    let mut lane: Option<String> = None;
    let mut has_lane = false;
    for line in template.split_inclusive('\n') {
        match (line.trim(), lane.take()) {
            (BEGIN, None) => lane = Some(String::new()),
            (END, Some(own)) => {
                has_lane = true;
                out.push_str(&own);
                for number in 2..=lanes.get() {
                    out.push_str(&numbered(&own, number));
                }
            }
            (BEGIN, Some(_)) | (END, None) => return Err(LaneError::Order),
            (_, Some(mut own)) => {
                own.push_str(line);
                lane = Some(own);
            }
            (_, None) => out.push_str(line),
        }
    }
    match (lane, has_lane) {
        (Some(_), _) => Err(LaneError::Order),
        (None, false) => Err(LaneError::NoMarks),
        (None, true) => Ok(out),
    }
}

/// What a lane has of its own, as that of another one. What was said of the first need not be said again: a template
/// has a size.
fn numbered(own: &str, lane: u32) -> String {
    let lines = own.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| numbered_line(line, lane)).collect()
}

fn numbered_line(line: &str, lane: u32) -> String {
    // A word is a name where nothing of a type (`AWS::SQS::Queue`) or of a longer word is before it.
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut out = String::with_capacity(line.len() + 8);
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (word, after) = rest.split_at(end);
        let stands_alone = !out.ends_with(is_part) && !after.starts_with("::");
        if stands_alone && NAMES.contains(&word) {
            out.push_str(&name_in_lane(word, lane));
        } else {
            out.push_str(word);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests;
