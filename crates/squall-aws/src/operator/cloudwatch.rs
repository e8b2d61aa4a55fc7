//! CloudWatch: the metrics of what a target is made of, and the log of its functions.

use serde_json::{Value, json};
use squall_fleet::AwsResource;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use tokio::time::{Instant, timeout_at};

use super::metrics::{Metric, PERIOD_S, metrics};
use super::reports::{LoggedInvocation, Reports};
use crate::Connection;
use crate::json::{Answer, Call, ask};

/// Metrics that one question may be about.
const MOST_QUERIES: usize = 500;

/// Answers that are read on, and lines of one log.
const MOST_PAGES: usize = 200;
const MOST_LINES: usize = 100_000;

/// What is looked for in a log, one after the other: reports as text, and as JSON.
const PATTERNS: [&str; 2] = ["\"REPORT RequestId\"", "\"platform.report\""];

/// CloudWatch in one region, and what it is asked about.
#[derive(Debug)]
pub struct CloudWatch {
    connection: Connection,
    resources: Vec<AwsResource>,
}

/// What it said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// One for each metric of which there is any.
    pub series: Vec<ToldSeries>,
    /// What it did not say, and why.
    pub problems: Vec<String>,
    /// What cannot be read.
    pub unreadable: u64,
    /// The last minute, in seconds since 1970, of which there is any metric.
    pub latest_minute_s: Option<f64>,
    /// Its clock minus this machine's, to half a second.
    pub clock_offset_s: Option<f64>,
}

/// A metric over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToldSeries {
    /// What it is.
    pub name: String,
    /// In what.
    pub unit: String,
    /// Seconds since 1970, by the clock of AWS, and the value from then on.
    pub points: Vec<(f64, f64)>,
}

/// What the log of a function says of its invocations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logged {
    /// Those of which there is a report, by when they began.
    pub invocations: Vec<LoggedInvocation>,
    /// Why those are not all that the log has by now, if they are not.
    pub rest: Option<String>,
    /// The clock of AWS minus this machine's, to half a second.
    pub clock_offset_s: Option<f64>,
}

impl CloudWatch {
    /// Of these things.
    #[must_use]
    pub fn new(connection: &Connection, resources: Vec<AwsResource>) -> Self {
        Self { connection: connection.clone(), resources }
    }

    /// What is known of the time between two, in seconds since 1970 on the clock of this machine, which `now` tells.
    /// Whatever has no answer until `deadline` is left out.
    pub async fn read(&self, from_s: f64, until_s: f64, deadline: Instant, now: impl Fn() -> f64) -> Told {
        let mut told = Told::default();
        let all: Vec<Metric> = self.resources.iter().flat_map(metrics).collect();
        for some in all.chunks(MOST_QUERIES) {
            if let Err(problem) = self.metrics(some, (from_s, until_s), (deadline, &now), &mut told).await {
                told.problems.push(format!("cloudwatch:GetMetricData: {problem}"));
                break;
            }
        }
        let times = told.series.iter().flat_map(|series| &series.points).map(|(time_s, _)| *time_s);
        told.latest_minute_s = times.reduce(f64::max);
        for resource in &self.resources {
            let AwsResource::Lambda { function, log_group } = resource else { continue };
            let offset_s = told.clock_offset_s.unwrap_or(0.0);
            let range = (from_s + offset_s, until_s + offset_s);
            match self.reports(log_group, range, (deadline, &now)).await {
                Ok((reports, rest, _)) => {
                    let starts = reports.starts();
                    let series = |name: &str, unit: &str, points| ToldSeries {
                        name: format!("{function}: {name}"),
                        unit: unit.to_owned(),
                        points,
                    };
                    told.series.extend([
                        series("init", "ms", starts.init),
                        series("cold starts", "per second", starts.cold),
                        series("reported", "per second", starts.all),
                    ]);
                    told.problems
                        .extend(rest.map(|why| format!("log group `{log_group}` was not read whole: {why}")));
                }
                Err(problem) => {
                    told.problems.push(format!("logs:FilterLogEvents of log group `{log_group}`: {problem}"));
                }
            }
        }
        told.series.retain(|series| !series.points.is_empty());
        told
    }

    async fn metrics(
        &self,
        some: &[Metric],
        (from_s, until_s): (f64, f64),
        (deadline, now): (Instant, &impl Fn() -> f64),
        told: &mut Told,
    ) -> Result<(), String> {
        let period_s = f64::from(PERIOD_S);
        let queries: Vec<Value> =
            some.iter().enumerate().map(|(index, metric)| metric.query(&format!("m{index}"))).collect();
        let mut body = json!({
            "MetricDataQueries": queries,
            "StartTime": (from_s / period_s).floor() * period_s,
            "EndTime": (until_s / period_s).ceil() * period_s,
            "ScanBy": "TimestampAscending",
        });
        let first = told.series.len();
        let series = |metric: &Metric| ToldSeries {
            name: metric.name.clone(),
            unit: metric.unit.to_owned(),
            points: Vec::new(),
        };
        told.series.extend(some.iter().map(series));
        for _ in 0..MOST_PAGES {
            let asked_s = now();
            let call = Call {
                service: "monitoring",
                action: "GraniteServiceVersion20100801.GetMetricData",
                version: "1.0",
                body: body.clone(),
            };
            let answer = self.ask(&call, deadline).await?;
            told.clock_offset_s = offset_s(&answer, asked_s, now()).or(told.clock_offset_s);
            let results = answer.body.get("MetricDataResults").and_then(Value::as_array);
            for result in results.ok_or("the answer has no results")? {
                take(result, first, told);
            }
            match answer.body.get("NextToken").and_then(Value::as_str) {
                Some(token) => body["NextToken"] = token.into(),
                None => return Ok(()),
            }
        }
        Err("there is more than could be read".to_owned())
    }

    /// The invocations that a log has reports of which were written between two times, in seconds since 1970. Whatever has no
    /// answer until `deadline` is left out.
    pub async fn invocations(
        &self,
        log_group: &str,
        range: (f64, f64),
        deadline: Instant,
        now: impl Fn() -> f64,
    ) -> Result<Logged, String> {
        let (reports, rest, clock_offset_s) = self.reports(log_group, range, (deadline, &now)).await?;
        Ok(Logged { invocations: reports.invocations(), rest, clock_offset_s })
    }

    /// The reports in a log, why those are not all if they are not, and how its clock is set.
    async fn reports(
        &self,
        log_group: &str,
        range: (f64, f64),
        time: (Instant, &impl Fn() -> f64),
    ) -> Result<(Reports, Option<String>, Option<f64>), String> {
        let (mut reports, mut rest, mut offset_s) = (Reports::default(), None, None);
        for pattern in PATTERNS {
            let seen = (&mut reports, &mut offset_s);
            match self.lines((log_group, pattern), range, time, seen).await {
                Ok(()) => {}
                // What was read is as true without the rest.
                Err(problem) if !reports.invocations().is_empty() => rest = Some(problem),
                Err(problem) => return Err(problem),
            }
        }
        Ok((reports, rest, offset_s))
    }

    /// Takes up the lines of one form; says why those are not all.
    async fn lines(
        &self,
        (log_group, pattern): (&str, &str),
        (from_s, until_s): (f64, f64),
        (deadline, now): (Instant, &impl Fn() -> f64),
        (reports, clock_offset_s): (&mut Reports, &mut Option<f64>),
    ) -> Result<(), String> {
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is cut")]
        let [start_ms, end_ms] = [from_s, until_s].map(|time_s| (time_s * 1e3) as i64);
        let mut body = json!({
            "logGroupName": log_group,
            "startTime": start_ms.max(0),
            "endTime": end_ms.max(0),
            "filterPattern": pattern,
        });
        let mut lines = 0;
        for _ in 0..MOST_PAGES {
            let call = Call {
                service: "logs",
                action: "Logs_20140328.FilterLogEvents",
                version: "1.1",
                body: body.clone(),
            };
            let asked_s = now();
            let answer = self.ask(&call, deadline).await?;
            *clock_offset_s = offset_s(&answer, asked_s, now()).or(*clock_offset_s);
            let events = answer.body.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for event in events {
                let message = event.get("message").and_then(Value::as_str);
                let time_ms = event.get("timestamp").and_then(Value::as_f64);
                if let (Some(message), Some(time_ms)) = (message, time_ms) {
                    reports.add(time_ms, message);
                }
            }
            lines += events.len();
            match answer.body.get("nextToken").and_then(Value::as_str) {
                Some(token) if lines < MOST_LINES => body["nextToken"] = token.into(),
                Some(_) => break,
                None => return Ok(()),
            }
        }
        Err("there is more than could be read".to_owned())
    }

    async fn ask(&self, call: &Call, deadline: Instant) -> Result<Answer, String> {
        timeout_at(deadline, ask(&self.connection, call))
            .await
            .map_err(|_| "no answer in the time there is".to_owned())?
    }
}

/// Takes up what an answer says of a metric.
fn take(result: &Value, first: usize, told: &mut Told) {
    let id =
        result.get("Id").and_then(Value::as_str).and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
    let Some(series) = id.and_then(|id| told.series.get_mut(first + id)) else { return };
    let list = |name: &str| result.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (time, value) in list("Timestamps").iter().zip(list("Values")) {
        match (seconds(time), value.as_f64()) {
            (Some(time_s), Some(value)) => series.points.push((time_s, value)),
            _ => told.unreadable += 1,
        }
    }
    let status = result.get("StatusCode").and_then(Value::as_str).unwrap_or("Complete");
    if !["Complete", "PartialData"].contains(&status) {
        told.problems.push(format!("`{}`: {status}", series.name));
    }
}

/// A time as JSON has it: seconds since 1970, or a text.
fn seconds(time: &Value) -> Option<f64> {
    match time {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            Some(time.unix_timestamp_nanos() as f64 / 1e9)
        }
        _ => None,
    }
}

/// How far the clock of a service is ahead. A date without fractions is half a second later on average than it says.
fn offset_s(answer: &Answer, asked_s: f64, answered_s: f64) -> Option<f64> {
    let date = OffsetDateTime::parse(answer.date.as_deref()?, &Rfc2822).ok()?;
    Some(date.unix_timestamp() as f64 + 0.5 - f64::midpoint(asked_s, answered_s))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scripted::Scripted;

    const EMPTY: &str = r#"{"events":[]}"#;

    fn lambda() -> Vec<AwsResource> {
        vec![AwsResource::Lambda { function: "f".to_owned(), log_group: "/aws/lambda/f".to_owned() }]
    }

    async fn read(answers: Vec<(u16, &'static str)>, within: Duration) -> (Told, Vec<String>) {
        let server = Scripted::start(answers);
        let cloudwatch = CloudWatch::new(&server.connection, lambda());
        let told = cloudwatch.read(90.0, 130.0, Instant::now() + within, || 100.0).await;
        (told, server.asked())
    }

    #[tokio::test]
    async fn metrics_and_reports_are_read_page_by_page() {
        let first = r#"{"MetricDataResults":[{"Id":"m0","Timestamps":[60,"1970-01-01T01:02:00+01:00",null],"Values":[5,7.5,1],"StatusCode":"PartialData"},{"Id":"m9","Timestamps":[1],"Values":[1]},{"Id":"x"},7],"NextToken":"t1"}"#;
        let second = r#"{"MetricDataResults":[{"Id":"m0","Timestamps":[180],"Values":[8]},{"Id":"m3","Timestamps":[60],"Values":["many"],"StatusCode":"Forbidden"}]}"#;
        let logs = r#"{"events":[{"timestamp":100150,"message":"REPORT RequestId: a\tDuration: 50 ms\tInit Duration: 100 ms"},{"message":"REPORT"}],"nextToken":"t2"}"#;
        let more = r#"{"events":[{"timestamp":101000,"message":"REPORT RequestId: b\tDuration: 50 ms\t"}]}"#;
        let (told, asked) = read(
            vec![(200, first), (200, second), (200, logs), (200, more), (200, EMPTY)],
            Duration::from_secs(5),
        )
        .await;
        let series = |name: &str, unit: &str, points: &[(f64, f64)]| ToldSeries {
            name: name.to_owned(),
            unit: unit.to_owned(),
            points: points.to_vec(),
        };
        let expected = [
            series("f: invocations", "per minute", &[(60.0, 5.0), (120.0, 7.5), (180.0, 8.0)]),
            series("f: init", "ms", &[(100.0, 100.0)]),
            series("f: cold starts", "per second", &[(100.0, 1.0)]),
            series("f: reported", "per second", &[(100.0, 2.0)]),
        ];
        assert_eq!(told.series, expected);
        assert_eq!((told.unreadable, told.clock_offset_s, told.latest_minute_s), (2, None, Some(180.0)));
        assert_eq!(told.problems, ["`f: duration p50`: Forbidden"]);
        assert!(asked[0].contains(r#""StartTime":60.0,"EndTime":180.0"#), "{}", asked[0]);
        assert!(asked[1].contains(r#""NextToken":"t1""#), "{}", asked[1]);
        assert!(asked[2].contains(r#""startTime":90000,"endTime":130000"#), "{}", asked[2]);
        assert!(asked[3].contains(r#""nextToken":"t2""#), "{}", asked[3]);
    }

    #[tokio::test]
    async fn invocations_are_read_of_the_log_alone() {
        let logs = r#"{"events":[{"timestamp":100150,"message":"REPORT RequestId: a\tDuration: 50 ms\tInit Duration: 100 ms"}]}"#;
        let server = Scripted::start(vec![(200, logs), (200, EMPTY)]);
        let cloudwatch = CloudWatch::new(&server.connection, Vec::new());
        let deadline = Instant::now() + Duration::from_secs(5);
        let logged =
            cloudwatch.invocations("/aws/lambda/f", (90.0, 130.0), deadline, || 100.0).await.unwrap();
        let expected = [LoggedInvocation { began_s: 100.0, init_ms: Some(100.0) }];
        assert_eq!((&logged.invocations[..], logged.rest), (&expected[..], None));
        assert!(server.asked()[0].contains("/aws/lambda/f"));
        // Lines of the other form cannot be read: those of this one are there all the same.
        let server = Scripted::start(vec![(200, logs), (400, "{}")]);
        let cloudwatch = CloudWatch::new(&server.connection, Vec::new());
        let logged =
            cloudwatch.invocations("/aws/lambda/f", (90.0, 130.0), deadline, || 100.0).await.unwrap();
        assert!(logged.invocations == expected && logged.rest.is_some(), "{logged:?}");
    }

    #[tokio::test]
    async fn what_aws_refuses_is_told_with_the_action_that_it_takes() {
        let denied = r#"{"__type":"AccessDeniedException","Message":"not authorized"}"#;
        let gone =
            r#"{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#;
        let (told, _) = read(vec![(400, denied), (400, gone)], Duration::from_secs(5)).await;
        let expected = [
            "cloudwatch:GetMetricData: not authorized (AccessDeniedException)",
            "logs:FilterLogEvents of log group `/aws/lambda/f`: The specified log group does not exist. \
             (ResourceNotFoundException)",
        ];
        assert_eq!(told.problems, expected);
        assert!(told.series.is_empty());
    }

    #[tokio::test]
    async fn who_answers_nonsense_is_told() {
        let (told, _) = read(vec![(200, "<html>"), (200, EMPTY), (200, EMPTY)], Duration::from_secs(5)).await;
        assert_eq!(told.problems, ["cloudwatch:GetMetricData: the answer has no results"]);
    }

    #[tokio::test]
    async fn nobody_is_waited_for_beyond_the_deadline() {
        let begin = Instant::now();
        let (told, _) = read(vec![(500, "{}"); 2], Duration::from_millis(300)).await;
        assert_eq!(told.problems.len(), 2, "{:?}", told.problems);
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    }

    #[test]
    fn the_date_of_an_answer_says_how_the_clock_is_set() {
        let answer = |date: Option<&str>| Answer {
            status: reqwest::StatusCode::OK,
            body: Value::Null,
            date: date.map(str::to_owned),
        };
        let date = answer(Some("Thu, 01 Jan 1970 00:02:00 GMT"));
        assert_eq!(offset_s(&date, 100.0, 101.0), Some(20.0));
        assert_eq!(offset_s(&answer(Some("today")), 0.0, 0.0), None);
        assert_eq!(offset_s(&answer(None), 0.0, 0.0), None);
    }
}
