//! What Prometheus answers, understood.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::gathered::{MOST_SERIES, shortened};
use crate::presets::Query;
use crate::reading::{Flaws, Reading, Said};

/// Why an answer says nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// Prometheus says what is wrong.
    #[error("{0}")]
    Refused(String),
    /// It is something else.
    #[error("the answer is not that of a Prometheus: {0}")]
    Foreign(String),
}

/// An answer of its API.
#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    error: Option<String>,
    data: Option<T>,
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(rename = "resultType")]
    kind: String,
    #[serde(default)]
    result: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Series {
        #[serde(default)]
        metric: BTreeMap<String, String>,
        #[serde(default)]
        values: Vec<Pair>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pair {
    Two(Scalar, Scalar),
    Other(IgnoredAny),
}

/// Numbers come as texts, so that `NaN` and `+Inf` can be said.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

impl Scalar {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Single {
    result: Pair,
}

fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AnswerError> {
    let answer: Answer<T> =
        serde_json::from_slice(body).map_err(|error| AnswerError::Foreign(error.to_string()))?;
    match (answer.status.as_str(), answer.data, answer.error) {
        ("success", Some(data), _) => Ok(data),
        (_, _, Some(error)) => Err(AnswerError::Refused(shortened(&error))),
        (status, ..) => Err(AnswerError::Foreign(format!("status `{}` without data", shortened(status)))),
    }
}

/// The answer to a query over a range of time: a reading for each series, named after the query, and after the labels in
/// which they differ.
pub fn matrix(body: &[u8], query: &Query) -> Result<Said, AnswerError> {
    let Matrix { kind, result } = data(body)?;
    if kind != "matrix" {
        return Err(AnswerError::Foreign(format!("a {} instead of a matrix", shortened(&kind))));
    }
    let (mut flaws, mut rows) = (Flaws::default(), Vec::new());
    for row in result {
        match row {
            Row::Series { metric, values } if rows.len() < MOST_SERIES => rows.push((metric, values)),
            Row::Series { .. } => flaws.series_beyond += 1,
            Row::Other(_) => flaws.unreadable += 1,
        }
    }
    let labels = differing(&rows);
    let mut readings = Vec::new();
    for (metric, values) in rows {
        let mut points = Vec::with_capacity(values.len());
        for pair in values {
            let time = match &pair {
                Pair::Two(time, value) => time.number().map(|time| (time, value.number())),
                Pair::Other(_) => None,
            };
            match time.filter(|(time, _)| time.is_finite()) {
                Some((time, Some(value))) if value.is_finite() => points.push((time, value)),
                Some(_) => flaws.no_numbers += 1,
                None => flaws.unreadable += 1,
            }
        }
        readings.push(Reading {
            name: named(&query.name, &metric, &labels),
            unit: query.unit.clone(),
            points,
        });
    }
    Ok(Said { readings, flaws, ..Said::default() })
}

/// The answer to a query whose result is one number.
pub fn scalar(body: &[u8]) -> Result<f64, AnswerError> {
    let Single { result } = data(body)?;
    match result {
        Pair::Two(_, value) => value.number().filter(|number| number.is_finite()),
        Pair::Other(_) => None,
    }
    .ok_or_else(|| AnswerError::Foreign("it is no number".to_owned()))
}

/// The labels in which series differ.
fn differing(rows: &[(BTreeMap<String, String>, Vec<Pair>)]) -> Vec<String> {
    let names = rows.iter().flat_map(|(metric, _)| metric.keys());
    let mut names: Vec<&String> = names.filter(|name| *name != "__name__").collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&String| {
        let first = rows.first().map(|(metric, _)| metric.get(*name));
        rows.iter().any(|(metric, _)| Some(metric.get(*name)) != first)
    };
    names.into_iter().filter(differs).cloned().collect()
}

fn named(name: &str, metric: &BTreeMap<String, String>, labels: &[String]) -> String {
    let told = labels.iter().filter_map(|label| Some(format!("{label}=\"{}\"", metric.get(label)?)));
    let told: Vec<String> = told.collect();
    if told.is_empty() { name.to_owned() } else { shortened(&format!("{name}{{{}}}", told.join(","))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Query {
        Query::new("pods", "sum(up)", "pods")
    }

    fn matrix_of(result: &str) -> Result<Said, AnswerError> {
        let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#);
        matrix(body.as_bytes(), &query())
    }

    #[test]
    fn series_are_told_apart_by_the_labels_in_which_they_differ() {
        let check = |result: &str, expected: &[&str]| {
            let said = matrix_of(result).unwrap();
            let names: Vec<&str> = said.readings.iter().map(|reading| reading.name.as_str()).collect();
            assert_eq!(names, expected);
        };
        check("[]", &[]);
        check(r#"[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"]]}]"#, &["pods"]);
        check(
            r#"[{"metric":{"__name__":"x","job":"a","pod":"1"}},{"metric":{"__name__":"y","job":"a","pod":"2"}},{"metric":{"job":"a"}}]"#,
            &["pods{pod=\"1\"}", "pods{pod=\"2\"}", "pods"],
        );
    }

    #[test]
    fn what_is_no_number_is_left_out_and_counted() {
        let said = matrix_of(
            r#"[{"values":[[1,"1.5"],[2,"NaN"],[3,"+Inf"],[4,"-Inf"],[5,"many"],[6,null],[7,8],["9","10"],[11],"x",[null,"1"],["NaN","1"],[1e400,"1"]]}]"#,
        );
        // A number that no machine knows makes the whole an answer of somebody else.
        assert!(matches!(said, Err(AnswerError::Foreign(_))), "{said:?}");
        let said = matrix_of(
            r#"[{"values":[[1,"1.5"],[2,"NaN"],[3,"+Inf"],[4,"-Inf"],[5,"many"],[6,null],[7,8],["9","10"],[11],"x",[null,"1"],["NaN","1"]]},7]"#,
        )
        .unwrap();
        assert_eq!(said.readings[0].points, [(1.0, 1.5), (7.0, 8.0), (9.0, 10.0)]);
        assert_eq!(said.flaws, Flaws { no_numbers: 5, unreadable: 5, ..Flaws::default() });
    }

    #[test]
    fn of_ten_thousand_series_as_many_are_kept_as_can_be_looked_at() {
        let rows: Vec<String> =
            (0..10_000).map(|pod| format!(r#"{{"metric":{{"pod":"{pod}"}},"values":[[1,"1"]]}}"#)).collect();
        let said = matrix_of(&format!("[{}]", rows.join(","))).unwrap();
        assert_eq!(said.readings.len(), MOST_SERIES);
        assert_eq!(said.flaws.series_beyond, 10_000 - MOST_SERIES as u64);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let check = |body: &str, expected: &str| {
            let error = matrix(body.as_bytes(), &query()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(r#"{"status":"error","errorType":"bad_data","error":"parse error: no"}"#, "parse error: no");
        check(r#"{"status":"success"}"#, "without data");
        check("<html>", "not that of a Prometheus");
        check("", "not that of a Prometheus");
        check("[1]", "not that of a Prometheus");
        check(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#, "a scalar instead");
        check(
            r#"{"status":"success","data":{"resultType":"matrix","result":7}}"#,
            "not that of a Prometheus",
        );
    }

    #[test]
    fn a_clock_is_a_scalar() {
        let check = |result: &str, expected: Option<f64>| {
            let body =
                format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":{result}}}}}"#);
            assert_eq!(scalar(body.as_bytes()).ok(), expected, "{result}");
        };
        check(r#"[1435781451.781,"1435781451.781"]"#, Some(1_435_781_451.781));
        check(r#"[1,"NaN"]"#, None);
        check("[]", None);
    }
}
