//! What Lambda writes at the end of each invocation into the function's log, and what follows from it about cold starts.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

/// An invocation that a report was read of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedInvocation {
    /// When it began, its environment's start included, in seconds since 1970 by the clock of AWS.
    pub began_s: f64,
    /// How many milliseconds the environment took to start, if one was started for it.
    pub init_ms: Option<f64>,
}

/// What is known of an invocation, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
struct Report {
    /// When it ended, since 1970.
    ended_ms: f64,
    duration_ms: f64,
    /// How long the environment took to start, if one was started for it.
    init_ms: Option<f64>,
}

impl Report {
    /// When the invocation began, its environment's start included.
    fn began_ms(&self) -> f64 {
        self.ended_ms - self.duration_ms - self.init_ms.unwrap_or(0.0)
    }
}

/// The invocations that reports have been read of, each request id once.
#[derive(Debug, Default)]
pub(super) struct Reports {
    by_request: HashMap<String, Report>,
}

/// The three series that come of them: seconds since 1970, and the value.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Starts {
    /// How many milliseconds each start took, at the time at which it began.
    pub(super) init: Vec<(f64, f64)>,
    /// How many there were in each second in which an invocation began.
    pub(super) cold: Vec<(f64, f64)>,
    /// How many invocations began in it, of which there are reports.
    pub(super) all: Vec<(f64, f64)>,
}

impl Reports {
    /// Takes up a line of the log; whether it is a report. A line that comes twice, or in both forms, counts once; what
    /// one of them knows of the start counts.
    pub(super) fn add(&mut self, timestamp_ms: f64, message: &str) -> bool {
        let Some((request, duration_ms, init_ms)) = text(message).or_else(|| json(message)) else {
            return false;
        };
        let new = Report { ended_ms: timestamp_ms, duration_ms, init_ms };
        let known = self.by_request.entry(request).or_insert(new);
        if known.init_ms.is_none() && new.init_ms.is_some() {
            *known = new;
        }
        true
    }

    /// Each of them, by when it began.
    pub(super) fn invocations(&self) -> Vec<LoggedInvocation> {
        let of =
            |report: &Report| LoggedInvocation { began_s: report.began_ms() / 1e3, init_ms: report.init_ms };
        let mut all: Vec<LoggedInvocation> = self.by_request.values().map(of).collect();
        all.sort_by(|one, other| one.began_s.total_cmp(&other.began_s));
        all
    }

    pub(super) fn starts(&self) -> Starts {
        let mut starts = Starts::default();
        let mut seconds: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        for report in self.by_request.values() {
            let began_ms = report.began_ms();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "times of a log are far from the ends of time"
            )]
            let (cold, all) = seconds.entry((began_ms / 1e3).floor() as i64).or_default();
            *all += 1;
            if let Some(init_ms) = report.init_ms {
                *cold += 1;
                starts.init.push((began_ms.round() / 1e3, init_ms));
            }
        }
        starts.init.sort_by(|one, other| one.0.total_cmp(&other.0));
        // Those that begin together are kept apart by a millisecond, for a time has one value.
        let mut last_s = f64::NEG_INFINITY;
        for (time_s, _) in &mut starts.init {
            if *time_s <= last_s {
                *time_s = ((last_s * 1e3).round() + 1.0) / 1e3;
            }
            last_s = *time_s;
        }
        for (second, (cold, all)) in seconds {
            starts.cold.push((second as f64, f64::from(cold)));
            starts.all.push((second as f64, f64::from(all)));
        }
        starts
    }
}

/// `REPORT RequestId: …`, and between tabs `Duration: … ms`, `Billed Duration: … ms` and so on to `Init Duration: … ms`;
/// environments that are restored from a snapshot say `Restore Duration` instead.
fn text(message: &str) -> Option<(String, f64, Option<f64>)> {
    let rest = message.trim_start().strip_prefix("REPORT RequestId:")?;
    let mut fields = rest.split('\t').map(str::trim);
    let request = fields.next().filter(|request| !request.is_empty() && !request.contains(' '))?;
    let (mut duration, mut init) = (None, None);
    for field in fields {
        let Some((name, value)) = field.split_once(':') else { continue };
        let value =
            value.trim().strip_suffix("ms").and_then(|number| milliseconds(number.trim().parse().ok()));
        match name {
            "Duration" => duration = value,
            "Init Duration" | "Restore Duration" => init = value,
            _ => {}
        }
    }
    Some((request.to_owned(), duration?, init))
}

/// The same where logs are JSON.
fn json(message: &str) -> Option<(String, f64, Option<f64>)> {
    if !message.contains("platform.report") {
        return None;
    }
    let line: Value = serde_json::from_str(message).ok()?;
    if line.get("type")?.as_str()? != "platform.report" {
        return None;
    }
    let record = line.get("record")?;
    let metric = |name: &str| milliseconds(record.get("metrics")?.get(name)?.as_f64());
    let request = record.get("requestId")?.as_str()?.to_owned();
    let init = metric("initDurationMs").or_else(|| metric("restoreDurationMs"));
    Some((request, metric("durationMs")?, init))
}

/// What can be a time that something took.
fn milliseconds(number: Option<f64>) -> Option<f64> {
    number.filter(|number| (0.0..=1e9).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLD: &str = "REPORT RequestId: r1\tDuration: 30.50 ms\tBilled Duration: 31 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 120.25 ms\t\n";
    const WARM: &str = "REPORT RequestId: r2\tDuration: 3.00 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n";
    const JSON: &str = r#"{"time":"2026-11-26T09:00:00.000Z","type":"platform.report","record":{"requestId":"r3","metrics":{"durationMs":10.0,"billedDurationMs":11,"memorySizeMB":128,"maxMemoryUsedMB":36,"initDurationMs":90.0},"status":"success"}}"#;

    #[test]
    fn a_start_is_where_it_began_and_each_request_counts_once() {
        let mut reports = Reports::default();
        for (time_ms, message) in [(10_150.75, COLD), (10_500.0, WARM), (10_600.0, JSON), (10_150.75, COLD)] {
            assert!(reports.add(time_ms, message));
        }
        // The same request in the other form, and without what is known already.
        assert!(reports.add(10_600.0, "REPORT RequestId: r3\tDuration: 10.00 ms\tBilled Duration: 11 ms\t"));
        let starts = reports.starts();
        assert_eq!(starts.init, [(10.0, 120.25), (10.5, 90.0)]);
        assert_eq!(starts.cold, [(10.0, 2.0)]);
        assert_eq!(starts.all, [(10.0, 3.0)]);
        let each: Vec<(f64, Option<f64>)> =
            reports.invocations().iter().map(|one| (one.began_s, one.init_ms)).collect();
        assert_eq!(each, [(10.0, Some(120.25)), (10.497, None), (10.5, Some(90.0))]);
    }

    #[test]
    fn seconds_without_a_cold_start_have_none_and_silent_ones_are_gaps() {
        let mut reports = Reports::default();
        reports.add(1_003.0, WARM);
        reports.add(5_150.0, JSON);
        let starts = reports.starts();
        assert_eq!(starts.cold, [(1.0, 0.0), (5.0, 1.0)]);
        assert_eq!(starts.all, [(1.0, 1.0), (5.0, 1.0)]);
    }

    #[test]
    fn starts_at_the_same_time_are_all_there() {
        let mut reports = Reports::default();
        for request in 0..100 {
            let line = format!("REPORT RequestId: r{request}\tDuration: 5.00 ms\tInit Duration: 95.00 ms");
            reports.add(2_100.0, &line);
        }
        let starts = reports.starts();
        assert_eq!(starts.init.len(), 100);
        assert!(starts.init.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(starts.cold, [(2.0, 100.0)]);
    }

    #[test]
    fn a_restored_environment_was_started_too() {
        let mut reports = Reports::default();
        reports.add(1_300.0, "REPORT RequestId: r\tDuration: 50.00 ms\tRestore Duration: 250.00 ms\t");
        assert_eq!(reports.starts().init, [(1.0, 250.0)]);
    }

    #[test]
    fn what_is_no_report_is_none() {
        let mut reports = Reports::default();
        for line in [
            "",
            "START RequestId: r1 Version: $LATEST",
            "REPORT RequestId: ",
            "REPORT RequestId: r1",
            "REPORT RequestId: r1\tDuration: many ms",
            "REPORT RequestId: r1\tDuration: NaN ms",
            "REPORT RequestId: r1\tDuration: -3 ms",
            "{\"type\":\"platform.report\"}",
            "{\"type\":\"platform.report\",\"record\":{\"requestId\":7,\"metrics\":{}}}",
            "{\"type\":\"platform.start\",\"record\":\"platform.report\"}",
            "a user prints platform.report",
        ] {
            assert!(!reports.add(1.0, line), "{line}");
        }
        assert_eq!(reports.starts(), Starts::default());
    }
}
