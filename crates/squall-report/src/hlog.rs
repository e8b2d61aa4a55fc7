//! The run as an interval log of HdrHistogram, which its tools read in any language.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use squall_metrics::{Distribution, Merged, Second, SeriesId, Sparse};
use squall_plan::Plan;

/// Lines of single names at most: where there are more, several seconds of a name have one line.
const MAX_TAGGED: usize = 60_000;

/// Characters of a tag at most.
const MAX_TAG_CHARS: usize = 200;

const HEAD: &str = "\
#[Squall: response times of successes and timeouts, in microseconds; the largest of an interval in milliseconds]
#[Histogram log format version 1.3]
";

const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Response times as an interval log: for each second that was kept (or what older seconds were put together to) a
/// line without a tag for all requests, and lines tagged with a request's name for those.
///
/// `epoch_unix_s` is when the load began, in seconds since 1970. Commas, white space and control characters in names
/// are `_`, for tags may not hold them; names that then are the same have one line.
#[must_use]
pub fn hlog(plan: &Plan, merged: &Merged, epoch_unix_s: f64) -> String {
    let seconds = merged.seconds();
    let first_s = seconds.first_key_value().map_or(0, |(second, _)| *second);
    // Times in a log are never negative, and readers leave out what is before its start.
    let epoch = epoch_unix_s.max(0.0).max(f64::from(first_s.saturating_neg()));
    let start = epoch + f64::from(first_s);
    let mut log = HEAD.to_owned();
    // Writing to a `String` does not fail.
    let _ = writeln!(log, "#[StartTime: {start:.3} (seconds since epoch)]");
    log.push_str(LEGEND);
    let tags: BTreeMap<SeriesId, String> =
        (0..=u16::MAX).map(SeriesId).zip(&plan.series).map(|(id, name)| (id, tag(&name.endpoint))).collect();
    let together = (merged.series().len() * seconds.len()).div_ceil(MAX_TAGGED).max(1);
    let all: Vec<(&i32, &Second)> = seconds.iter().collect();
    for chunk in all.chunks(together) {
        let Some(((first, _), (last, _))) = chunk.first().zip(chunk.last()) else { continue };
        let until = last.saturating_add(length_of(merged, **last));
        // Lines are in the order of their begin, so those of names come with the first second.
        for (index, (second, content)) in chunk.iter().enumerate() {
            let mut whole = Sparse::default();
            content.series.values().for_each(|series| whole.merge(&series.response));
            let begin = epoch + f64::from(**second);
            line(&mut log, None, begin, length_of(merged, **second), &whole);
            if index == 0 {
                for (tag, times) in by_tag(chunk, &tags) {
                    line(&mut log, Some(tag), begin, until.saturating_sub(**first), &times);
                }
            }
        }
    }
    log
}

/// How many seconds stand at one.
fn length_of(merged: &Merged, second: i32) -> i32 {
    let next = merged.seconds().range(second.saturating_add(1)..).next().map(|(next, _)| *next);
    let gap = next.map_or(1, |next| next.saturating_sub(second));
    // Only what was put together is longer than a second; a gap is not.
    merged.step_s().min(gap).max(1)
}

fn by_tag<'a>(
    seconds: &[(&i32, &Second)],
    tags: &'a BTreeMap<SeriesId, String>,
) -> BTreeMap<&'a str, Sparse> {
    let mut by_tag: BTreeMap<&str, Sparse> = BTreeMap::new();
    for (id, series) in seconds.iter().flat_map(|(_, content)| &content.series) {
        if let Some(tag) = tags.get(id) {
            by_tag.entry(tag).or_default().merge(&series.response);
        }
    }
    by_tag
}

fn line(log: &mut String, tag: Option<&str>, begin_s: f64, length_s: i32, times: &Sparse) {
    let Some(max_us) = times.max_us() else { return };
    let mut histogram = Distribution::coarse();
    histogram.merge(times);
    if let Some(tag) = tag {
        let _ = write!(log, "Tag={tag},");
    }
    let max_ms = max_us as f64 / 1_000.0;
    let _ = writeln!(log, "{begin_s:.3},{length_s}.000,{max_ms:.3},{}", histogram.to_base64());
}

fn tag(name: &str) -> String {
    let allowed = |c: char| if c == ',' || c.is_whitespace() || c.is_control() { '_' } else { c };
    name.chars().take(MAX_TAG_CHARS).map(allowed).collect()
}
