//! Data: tables of values, and who gets which row.
//!
//! Who gets a row follows from who asks, by arithmetic: generators need not talk about it, and on any number of them a
//! unique row has one owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use minijinja::Value;
use thiserror::Error;

use crate::expression::from_json;
use crate::random::draw_row;

/// Data that a plan's users take.
#[derive(Debug, Clone)]
pub struct Feeder {
    /// Its name in expressions.
    pub name: String,
    /// The rows.
    pub table: Arc<Table>,
    /// Which of them.
    pub pick: Pick,
    /// When another one is taken.
    pub per: Per,
    /// What happens when there are no more.
    pub on_end: OnEnd,
}

/// Which row is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Any; each equally likely.
    Random,
    /// One after the other, and from the first again after the last.
    Sequential,
    /// One after the other, and none twice in the whole fleet.
    Unique,
}

/// When another row is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A user keeps its row.
    User,
    /// Each iteration has one.
    Iteration,
    /// Each time that an expression asks. What a user has taken is taken: one whose `before` failed, or who was away for a
    /// stage, goes on behind it.
    Use,
}

/// What happens when all rows have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEnd {
    /// Who needs one ends, which is no failure.
    Stop,
    /// It begins again.
    Recycle,
    /// What needs one fails.
    Fail,
}

/// Why data cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataError {
    /// There is not a row.
    #[error("there are no rows")]
    Empty,
    /// The text is no table.
    #[error("line {line}: {message}")]
    Line {
        /// Which line.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// The text is no list of rows.
    #[error("{0}")]
    Form(String),
}

/// Rows, kept as they came: a row becomes a value when it is taken.
#[derive(Debug)]
pub struct Table {
    rows: Rows,
    /// How many there are.
    len: u64,
    /// Which of them are kept, ascending; all unless given.
    kept: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Rows {
    Values(Vec<Value>),
    Csv { columns: Vec<String>, lines: Lines },
    JsonLines(Lines),
}

/// A text, and where its rows begin.
#[derive(Debug)]
struct Lines {
    text: Bytes,
    starts: Vec<u32>,
}

impl Lines {
    /// From the beginning of a row to that of the next.
    fn get(&self, index: usize) -> Option<&[u8]> {
        let start = usize::try_from(*self.starts.get(index)?).ok()?;
        let end = self.starts.get(index + 1).and_then(|end| usize::try_from(*end).ok());
        self.text.get(start..end.unwrap_or(self.text.len()))
    }

    /// A text of these rows alone.
    fn only(&self, indices: &[u32]) -> Self {
        let rows = || indices.iter().filter_map(|index| self.get(usize::try_from(*index).ok()?));
        let mut text = Vec::with_capacity(rows().map(<[u8]>::len).sum());
        let mut starts = Vec::with_capacity(indices.len());
        for row in rows() {
            // Not longer than the whole, whose places fit.
            starts.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            text.extend_from_slice(row);
        }
        Self { text: text.into(), starts }
    }
}

impl Table {
    /// Of rows in the plan itself.
    pub fn of_values(rows: Vec<Value>) -> Result<Self, DataError> {
        Self::new(Rows::Values(rows))
    }

    /// Of comma-separated values (RFC 4180), the first line of which names the columns. All values are texts.
    pub fn csv(text: Bytes) -> Result<Self, DataError> {
        let mut reader = csv::ReaderBuilder::new().from_reader(&*text);
        let line = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
        let wrong = |error: csv::Error| DataError::Line { line: line(&error), message: csv_message(&error) };
        let columns: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        for (index, column) in columns.iter().enumerate() {
            let message = if column.is_empty() {
                "a column has no name".to_owned()
            } else if columns[..index].contains(column) {
                format!("column `{column}` is there twice")
            } else {
                continue;
            };
            return Err(DataError::Line { line: 1, message });
        }
        let mut starts = Vec::new();
        let mut record = csv::StringRecord::new();
        loop {
            let start = reader.position().byte();
            if !reader.read_record(&mut record).map_err(wrong)? {
                break;
            }
            starts.push(u32::try_from(start).map_err(|_| DataError::Form("more than 4 GB".to_owned()))?);
        }
        starts.shrink_to_fit();
        Self::new(Rows::Csv { columns, lines: Lines { text, starts } })
    }

    /// Of a JSON list.
    pub fn json(text: &[u8]) -> Result<Self, DataError> {
        let rows: Vec<serde_json::Value> =
            serde_json::from_slice(text).map_err(|error| json_error(&error, 0))?;
        Self::new(Rows::Values(rows.iter().map(from_json).collect()))
    }

    /// Of lines that are JSON each.
    pub fn json_lines(text: Bytes) -> Result<Self, DataError> {
        let (mut starts, mut at) = (Vec::new(), 0);
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(line);
                parsed.map_err(|error| json_error(&error, index as u64))?;
                starts.push(u32::try_from(at).map_err(|_| DataError::Form("more than 4 GB".to_owned()))?);
            }
            at += line.len() + 1;
        }
        starts.shrink_to_fit();
        Self::new(Rows::JsonLines(Lines { text, starts }))
    }

    fn new(rows: Rows) -> Result<Self, DataError> {
        let len = match &rows {
            Rows::Values(rows) => rows.len(),
            Rows::Csv { lines, .. } | Rows::JsonLines(lines) => lines.starts.len(),
        };
        if len == 0 { Err(DataError::Empty) } else { Ok(Self { rows, len: len as u64, kept: None }) }
    }

    /// The same table without the rows that nobody here will ask for: their memory is free, and they are as if they
    /// were not there. Only of a table that has all of its rows.
    #[must_use]
    pub fn keep(&self, wanted: impl Fn(u64) -> bool) -> Option<Self> {
        let len = u32::try_from(self.len).ok().filter(|_| self.kept.is_none())?;
        let kept: Vec<u32> = (0..len).filter(|row| wanted(u64::from(*row))).collect();
        let rows = match &self.rows {
            Rows::Values(rows) => {
                let rows = kept.iter().filter_map(|row| rows.get(usize::try_from(*row).ok()?));
                Rows::Values(rows.cloned().collect())
            }
            Rows::Csv { columns, lines } => Rows::Csv { columns: columns.clone(), lines: lines.only(&kept) },
            Rows::JsonLines(lines) => Rows::JsonLines(lines.only(&kept)),
        };
        Some(Self { rows, len: self.len, kept: Some(kept) })
    }

    /// How many rows there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// A row, if there are so many, and it is kept.
    #[must_use]
    pub fn row(&self, index: u64) -> Option<Value> {
        let index = match &self.kept {
            None => usize::try_from(index).ok()?,
            Some(kept) => kept.binary_search(&u32::try_from(index).ok()?).ok()?,
        };
        match &self.rows {
            Rows::Values(rows) => rows.get(index).cloned(),
            Rows::Csv { columns, lines } => {
                let text = lines.get(index)?;
                let mut reader = csv::ReaderBuilder::new();
                let reader = reader.has_headers(false).buffer_capacity(text.len().max(1));
                let mut reader = reader.from_reader(text);
                let mut record = csv::StringRecord::new();
                // It was read once already.
                reader.read_record(&mut record).ok()?;
                let row: BTreeMap<String, String> =
                    columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
                Some(Value::from(row))
            }
            Rows::JsonLines(lines) => {
                serde_json::from_slice(lines.get(index)?).ok().map(|json| from_json(&json))
            }
        }
    }

    /// The columns of a CSV, which are all that its rows have.
    #[must_use]
    pub fn columns(&self) -> Option<&[String]> {
        match &self.rows {
            Rows::Csv { columns, .. } => Some(columns),
            _ => None,
        }
    }
}

fn csv_message(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values where there are {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => "not comma-separated values".to_owned(),
    }
}

fn json_error(error: &serde_json::Error, lines_before: u64) -> DataError {
    DataError::Line { line: error.line() as u64 + lines_before, message: format!("not JSON: {error}") }
}

impl Feeder {
    /// The row of whoever has this number among those who take rows; `None` if there are no more.
    #[must_use]
    pub fn row(&self, seed: u64, number: u64) -> Option<Value> {
        let rows = self.table.len();
        let index = match self.pick {
            Pick::Random => draw_row(seed, &self.name, number) % rows,
            Pick::Sequential => number % rows,
            Pick::Unique if self.on_end == OnEnd::Recycle => number % rows,
            Pick::Unique => number,
        };
        self.table.row(index)
    }

    /// Whether there is no row for this number.
    #[must_use]
    pub fn is_exhausted(&self, number: u64) -> bool {
        self.pick == Pick::Unique && self.on_end != OnEnd::Recycle && number >= self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &'static str) -> Result<Table, DataError> {
        Table::csv(Bytes::from_static(text.as_bytes()))
    }

    fn texts(table: &Table) -> Vec<String> {
        (0..table.len()).map(|index| crate::expression::to_text(&table.row(index).unwrap())).collect()
    }

    #[test]
    fn rows_come_as_they_were_written() {
        let table = csv("name,age\r\nada,36\n\"al\"\"an, b\",41\n").unwrap();
        assert_eq!(table.columns().unwrap(), ["name", "age"]);
        assert_eq!(texts(&table), [r#"{"age":"36","name":"ada"}"#, r#"{"age":"41","name":"al\"an, b"}"#]);
        let lines = Table::json_lines(Bytes::from_static(b"{\"a\":1}\n\n[2]\n\"x\"")).unwrap();
        assert_eq!(texts(&lines), ["{\"a\":1}", "[2]", "x"]);
        assert_eq!(texts(&Table::json(b"[1, {\"b\": null}]").unwrap()), ["1", "{\"b\":null}"]);
        assert!(table.row(2).is_none() && lines.row(3).is_none());
    }

    #[test]
    fn what_is_no_table_is_refused_at_its_line() {
        let check = |found: Result<Table, DataError>, expected: &str| {
            assert_eq!(found.map(|_| ()).unwrap_err().to_string(), expected);
        };
        check(csv(""), "there are no rows");
        check(csv("a,b\n"), "there are no rows");
        check(csv("a,b\n1,2\n3\n"), "line 3: 1 values where there are 2 columns");
        check(csv("a,b,a\n1,2,3\n"), "line 1: column `a` is there twice");
        check(csv("a,\n1,2\n"), "line 1: a column has no name");
        check(Table::csv(Bytes::from_static(b"a\n\xff\n")), "line 2: not UTF-8");
        check(Table::json(b"[]"), "there are no rows");
        assert!(Table::json(b"{}").unwrap_err().to_string().starts_with("line 1: not JSON"));
        let lines = Table::json_lines(Bytes::from_static(b"1\n{\n"));
        assert!(lines.unwrap_err().to_string().starts_with("line 2: not JSON"));
    }

    #[test]
    fn unique_rows_have_one_owner_and_an_end() {
        let feeder = |pick, on_end| Feeder {
            name: "d".to_owned(),
            table: Arc::new(Table::of_values((0..5).map(Value::from).collect()).unwrap()),
            pick,
            per: Per::User,
            on_end,
        };
        let rows = |feeder: Feeder| -> Vec<Option<String>> {
            (0..7).map(|number| feeder.row(1, number).map(|row| row.to_string())).collect()
        };
        let texts = |list: [i32; 7]| list.map(|n| (n >= 0).then(|| n.to_string())).to_vec();
        assert_eq!(rows(feeder(Pick::Unique, OnEnd::Fail)), texts([0, 1, 2, 3, 4, -1, -1]));
        assert_eq!(rows(feeder(Pick::Unique, OnEnd::Recycle)), texts([0, 1, 2, 3, 4, 0, 1]));
        assert_eq!(rows(feeder(Pick::Sequential, OnEnd::Fail)), texts([0, 1, 2, 3, 4, 0, 1]));
        assert!(rows(feeder(Pick::Random, OnEnd::Fail)).iter().all(Option::is_some));
        assert!(feeder(Pick::Unique, OnEnd::Stop).is_exhausted(5));
    }
}
