//! Targets that misbehave: however they do it, each request ends as one of the outcomes that its row allows, the report
//! says what the target counted, and the command lives on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use squall_tests::Place;
use squall_tests::abrupt::{LOAD, Row, Stage, Verdict, table};

/// Rows that are run at once: most of them wait most of the time.
const AT_ONCE: usize = 12;

#[test]
fn every_abrupt_target_ends_in_the_outcome_of_its_row() {
    let rows = table();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    // Where output is not captured, the name of the test stands on the line.
    println!();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = catch_unwind(AssertUnwindSafe(|| check(row.clone())));
                    let verdict = verdict.unwrap_or_else(|_| Verdict {
                        id: row.id,
                        line: format!("{:<36} could not be run", row.id),
                        problems: vec!["it panicked".to_owned()],
                    });
                    println!("{}", verdict.line);
                    if !verdict.problems.is_empty() {
                        wrong.lock().unwrap().push(verdict);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let list: String =
        wrong.iter().map(|verdict| format!("\n{}: {}", verdict.id, verdict.problems.join("; "))).collect();
    assert!(wrong.is_empty(), "{} of {} rows are wrong:{list}", wrong.len(), rows.len());
}

/// Runs the command against the target of a row.
fn check(row: Row) -> Verdict {
    let (place, id, stage) = (Place::new(), row.id, Stage::alone(row));
    stage.write(&place, LOAD);
    let mut command = place.command(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    let output = command.env("SSL_CERT_FILE", place.path().join("authority.pem")).output().unwrap();
    let (code, stderr) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    if ![Some(0), Some(98), Some(99)].contains(&code) {
        let line = format!("{id:<36} exit code {code:?}");
        return Verdict { id, line, problems: vec![stderr] };
    }
    let result: Value = place.result("out");
    let mut verdict = stage.verdict(&result);
    let all_failed = result["totals"]["errors"] == result["totals"]["requests"];
    if code != Some(if all_failed { 99 } else { 0 }) {
        verdict.problems.push(format!("exit code {code:?}: {}", result["verdict"]));
    }
    if stderr.contains("panicked") {
        verdict.problems.push(stderr);
    }
    verdict
}

#[test]
fn ids_of_rows_are_unlike_each_other() {
    let mut ids: Vec<&str> = table().iter().map(|row| row.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(count > 100, "{count} rows");
}
