//! The report as `JUnit` XML, for pipelines: each threshold is a test case, and so is the validity of the run.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::result::{RunResult, Threshold};
use crate::thresholds;
use crate::verdict::Outcome;

/// The name of the case that fails where the numbers do not answer the question.
const VALID: &str = "the run is valid";

/// The report as `JUnit` XML.
#[must_use]
pub fn junit(result: &RunResult) -> String {
    let mut suite = TestSuite::new(result.run.name.as_str());
    suite.add_test_case(validity(result));
    suite.add_test_cases(result.thresholds.iter().map(|threshold| case(result, threshold)));
    suite.set_time(duration(result));
    let mut report = Report::new("squall");
    report.set_time(duration(result));
    report.add_test_suite(suite);
    // Writing to memory cannot fail. Jenkins's schema knows no `skipped` of all suites together, and nothing is.
    report.to_string().unwrap_or_default().replacen(" skipped=\"0\"", "", 1)
}

fn duration(result: &RunResult) -> Duration {
    Duration::try_from_secs_f64(result.run.duration_s).unwrap_or_default()
}

/// Fails where the run was ended, or its numbers are not valid, or nothing was asked for and every request failed.
fn validity(result: &RunResult) -> TestCase {
    let verdict = &result.verdict;
    let asked = !result.thresholds.is_empty();
    let status = match verdict.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed if asked => TestCaseStatus::success(),
        Outcome::Failed => failure(&verdict.reasons.join("; ")),
        Outcome::Invalid | Outcome::Aborted | Outcome::Interrupted => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(verdict.reasons.join("; "));
            status
        }
    };
    let mut case = TestCase::new(VALID, status);
    case.set_classname(result.run.name.as_str());
    case
}

fn case(result: &RunResult, threshold: &Threshold) -> TestCase {
    let status = if threshold.passed {
        TestCaseStatus::success()
    } else {
        let value = threshold.value.map(|_| thresholds::value(threshold));
        let told: Vec<String> = value.into_iter().chain(thresholds::since(threshold)).collect();
        failure(&told.join(", "))
    };
    let mut case = TestCase::new(thresholds::text(threshold), status);
    case.set_classname(result.run.name.as_str());
    case
}

fn failure(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    status
}
