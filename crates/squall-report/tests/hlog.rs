//! The interval log, read back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use squall_metrics::{Merged, Outcome, Recorder, Sample, SeriesId, Snapshot};
use squall_plan::{Bundle, Inputs, Plan, compile};
use squall_report::hlog;

fn plan(names: &[&str]) -> Plan {
    let steps: Vec<String> = names.iter().map(|name| format!("{{ get: /x, name: '{name}' }}")).collect();
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ users: 1, duration: 9s }}\nscenarios: {{ s: {{ steps: [ {} ] }} }}",
        steps.join(", "),
    );
    compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan
}

/// Three requests of each series in each of these seconds, of 2, 4 and 6 ms.
fn merged(series: u16, seconds: std::ops::Range<i64>) -> Merged {
    let mut recorder = Recorder::new(usize::from(series));
    for (series, second) in (0..series).flat_map(|series| seconds.clone().map(move |second| (series, second)))
    {
        for us in [2_000, 4_000, 6_000] {
            let at = second * 1_000_000;
            let sample = Sample::begun(SeriesId(series), at, at);
            recorder.record(&Sample { ended_us: at + us, outcome: Outcome::Status(200), ..sample });
        }
    }
    let mut merged = Merged::default();
    let interval = recorder.take().into_interval();
    merged.merge(Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 0, interval });
    merged
}

/// Tag, begin, length and times of each line.
fn read(log: &str) -> Vec<(Option<String>, f64, f64, Histogram<u64>)> {
    let entries = IntervalLogIterator::new(log.as_bytes()).map(Result::unwrap);
    let lines = entries.filter_map(|entry| match entry {
        LogEntry::Interval(line) => Some(line),
        _ => None,
    });
    lines
        .map(|line| {
            let bytes = STANDARD.decode(line.encoded_histogram()).unwrap();
            let histogram = Deserializer::new().deserialize(&mut Cursor::new(bytes)).unwrap();
            let tag = line.tag().map(|tag| tag.as_str().to_owned());
            (tag, line.start_timestamp().as_secs_f64(), line.duration().as_secs_f64(), histogram)
        })
        .collect()
}

#[test]
fn each_second_has_a_line_for_all_and_one_for_each_name() {
    let lines = read(&hlog(&plan(&["GET /a,b", "POST /c"]), &merged(2, -1..3), 1_700_000_000.5));
    let tags: Vec<Option<&str>> = lines.iter().map(|(tag, ..)| tag.as_deref()).collect();
    assert_eq!(tags, [None, Some("GET_/a_b"), Some("POST_/c")].repeat(4));
    for (index, line) in lines.chunks(3).enumerate() {
        for (tag, begin_s, length_s, times) in line {
            let expected = 1_700_000_000.5 - 1.0 + index as f64;
            assert!((begin_s - expected).abs() < 0.001 && (length_s - 1.0).abs() < 0.001);
            assert_eq!(times.len(), if tag.is_none() { 6 } else { 3 });
            assert!(times.value_at_quantile(0.5).abs_diff(4_000) < 40 && times.max().abs_diff(6_000) < 60);
        }
    }
}

#[test]
fn times_without_an_epoch_are_not_negative() {
    let log = hlog(&plan(&["a"]), &merged(1, -3..0), 0.0);
    let begins: Vec<f64> = read(&log).iter().map(|(_, begin_s, ..)| *begin_s).collect();
    assert_eq!(begins, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(read(&hlog(&plan(&["a"]), &Merged::default(), f64::NAN)).len(), 0);
}

#[test]
fn many_names_make_no_endless_log_and_lose_nothing() {
    let names: Vec<String> = (0..100).map(|name| format!("n{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lines = read(&hlog(&plan(&names), &merged(100, 0..1_000), 1e9));
    let tagged = || lines.iter().filter(|(tag, ..)| tag.is_some());
    assert!(tagged().count() <= 60_000);
    assert_eq!(tagged().map(|(.., times)| times.len()).sum::<u64>(), 300_000);
    assert_eq!(lines.iter().filter(|(tag, ..)| tag.is_none()).count(), 1_000);
    assert!(lines.is_sorted_by(|a, b| a.1 <= b.1));
}
