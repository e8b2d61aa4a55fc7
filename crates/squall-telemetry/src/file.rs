//! What instruments write into a file: CSV or JSON lines.

use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::gathered::MOST_SERIES;
use crate::reading::{Flaws, Reading, Said};

/// Of a file so much is read.
pub const MOST_BYTES: u64 = 64 * 1_024 * 1_024;

/// Columns of a CSV and members of a line of JSON; all but the last must be there.
const COLUMNS: [&str; 4] = ["time", "name", "value", "unit"];

/// Why a file says nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FileError {
    /// Its first line is not as it should be.
    #[error("its first line names no column `{0}`; it is `time,name,value,unit`")]
    NoColumn(&'static str),
}

/// A line of a file, as it is written.
struct Line {
    time: Option<f64>,
    name: String,
    value: Option<f64>,
    unit: String,
}

/// The readings in a file: JSON lines if its first line is an object, else CSV. A time is RFC 3339, with its zone, or a
/// number of seconds, milliseconds, microseconds or nanoseconds since 1970.
pub fn lines(bytes: &[u8]) -> Result<Said, FileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut readings = Readings::default();
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.for_each(|line| readings.add(json_line(line)));
    } else if !bytes.trim_ascii().is_empty() {
        csv_lines(bytes, &mut readings)?;
    }
    Ok(Said { readings: readings.all, flaws: readings.flaws, ..Said::default() })
}

#[derive(Default)]
struct Readings {
    all: Vec<Reading>,
    flaws: Flaws,
}

impl Readings {
    fn add(&mut self, line: Option<Line>) {
        let Some(Line { time: Some(time), name, value, unit }) = line.filter(|line| !line.name.is_empty())
        else {
            self.flaws.unreadable += 1;
            return;
        };
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.flaws.no_numbers += 1;
            return;
        };
        let known = self.all.iter_mut().find(|reading| reading.name == name);
        if let Some(reading) = known {
            reading.points.push((time, value));
        } else if self.all.len() < MOST_SERIES {
            self.all.push(Reading { name, unit, points: vec![(time, value)] });
        } else {
            self.flaws.series_beyond += 1;
        }
    }
}

fn csv_lines(bytes: &[u8], readings: &mut Readings) -> Result<(), FileError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header = reader.byte_headers().cloned().unwrap_or_default();
    let place = |wanted: &str| header.iter().position(|name| name.eq_ignore_ascii_case(wanted.as_bytes()));
    let [time, name, value, unit] = COLUMNS.map(place);
    let time = time.ok_or(FileError::NoColumn("time"))?;
    let name = name.ok_or(FileError::NoColumn("name"))?;
    let value = value.ok_or(FileError::NoColumn("value"))?;
    for record in reader.byte_records() {
        let line = record.ok().and_then(|record| {
            let cell =
                |place: usize| record.get(place).map(|cell| String::from_utf8_lossy(cell).into_owned());
            Some(Line {
                time: time_of(&cell(time)?),
                name: cell(name)?,
                value: cell(value)?.parse().ok(),
                unit: unit.and_then(cell).unwrap_or_default(),
            })
        });
        readings.add(line);
    }
    Ok(())
}

fn json_line(line: &[u8]) -> Option<Line> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Line {
        time: match line.get("time")? {
            Value::Number(number) => number.as_f64().and_then(since_1970),
            Value::String(text) => time_of(text),
            _ => None,
        },
        name: text("name")?,
        value: match line.get("value")? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        },
        unit: text("unit").unwrap_or_default(),
    })
}

/// Seconds since 1970 of a time that is written with its zone, or as a number.
fn time_of(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse() {
        return since_1970(number);
    }
    // As databases write it.
    let text = text.replacen(' ', "T", 1);
    let time = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

/// Which unit a number of them since 1970 is in follows from its size: before the year 5138 no two overlap.
fn since_1970(number: f64) -> Option<f64> {
    match number {
        number if !number.is_finite() || number < 0.0 => None,
        number if number < 1e11 => Some(number),
        number if number < 1e14 => Some(number / 1e3),
        number if number < 1e17 => Some(number / 1e6),
        number => Some(number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_zone_and_unit_are_the_same_instant() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(time_of(text), expected, "{text}");
        let instant = Some(1_795_683_600.0);
        check("2026-11-26T09:00:00Z", instant);
        check("2026-11-26T10:00:00+01:00", instant);
        check("2026-11-26 03:30:00.000-05:30", instant);
        check("1795683600", instant);
        check("1795683600000", instant);
        check("1795683600000000", instant);
        check("1795683600000000000", instant);
        // Whose noon that is nobody knows.
        check("2026-11-26T09:00:00", None);
        check("yesterday", None);
        check("-1", None);
        check("NaN", None);
        check("", None);
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = "\u{feff}unit, Time ,value,name\nms,1795683600,12.5,gc\n,2026-11-26T09:00:01Z,3,pods\nms,1795683602,NaN,gc\nms,noon,1,gc\nms\n";
        let json = "{\"time\":1795683600,\"name\":\"gc\",\"value\":\"12.5\",\"unit\":\"ms\"}\n\n{\"time\":\"2026-11-26T09:00:01Z\",\"name\":\"pods\",\"value\":3}\r\n{\"time\":1795683602,\"name\":\"gc\",\"value\":\"NaN\"}\n{\"time\":\"noon\",\"name\":\"gc\",\"value\":1}\n{\"time\"";
        let said = lines(csv.as_bytes()).unwrap();
        assert_eq!(said, lines(json.as_bytes()).unwrap());
        let reading = |name: &str, unit: &str, point| Reading {
            name: name.to_owned(),
            unit: unit.to_owned(),
            points: vec![point],
        };
        assert_eq!(
            said.readings,
            [reading("gc", "ms", (1_795_683_600.0, 12.5)), reading("pods", "", (1_795_683_601.0, 3.0))]
        );
        assert_eq!(said.flaws, Flaws { no_numbers: 1, unreadable: 2, ..Flaws::default() });
    }

    #[test]
    fn what_is_no_such_file_is_told_and_an_empty_one_says_nothing() {
        assert_eq!(lines(b"time,value\n1,2\n").unwrap_err(), FileError::NoColumn("name"));
        assert!(lines(b"\xff\xfe\x00").is_err());
        assert_eq!(lines(b" \n").unwrap(), Said::default());
        assert_eq!(lines(b"time,name,value\n").unwrap(), Said::default());
    }

    #[test]
    fn series_beyond_those_that_are_kept_are_counted() {
        let rows: Vec<String> =
            (0..MOST_SERIES + 5).map(|index| format!("1,s{index},1\n2,s{index},2\n")).collect();
        let said = lines(format!("time,name,value\n{}", rows.concat()).as_bytes()).unwrap();
        assert_eq!(said.readings.len(), MOST_SERIES);
        assert!(said.readings.iter().all(|reading| reading.points.len() == 2));
        assert_eq!(said.flaws.series_beyond, 10);
    }
}
