//! Whether a run passed, and what the command says to whoever called it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::result::Threshold;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is well.
    Passed,
    /// Something that was asked for did not hold.
    Failed,
    /// The numbers do not say what the plan wanted to know.
    Invalid,
    /// The plan ended the run.
    Aborted,
    /// The user ended the run.
    Interrupted,
}

/// What the command's exit code says. The first that applies is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// The plan or a setting is wrong; nothing was sent.
    Wrong,
    /// The user ended the run.
    Interrupted,
    /// A threshold or the plan ended the run.
    Aborted,
    /// Less than 98 % of the planned load was delivered, or the generators were the bottleneck.
    Invalid,
    /// A threshold failed, or every request did.
    Failed,
    /// Anything else went wrong.
    Error,
    /// All is well.
    Passed,
}

impl ExitCode {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Wrong => 104,
            Self::Interrupted => 105,
            Self::Aborted => 106,
            Self::Invalid => 98,
            Self::Failed => 99,
            Self::Error => 1,
            Self::Passed => 0,
        }
    }
}

/// What a run came to, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// What the command exits with.
    pub exit_code: u8,
    /// In sentences; empty when all is well.
    pub reasons: Vec<String>,
}

/// How the load ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Finished,
    /// By the user.
    Interrupted,
    /// By the plan, and why.
    Aborted(String),
    /// By a failure of the fleet, and why.
    Broken(String),
}

/// Less coverage than this makes a run invalid.
pub(crate) const LEAST_COVERAGE: f64 = 0.98;

/// So many slice-seconds in which the generators were the bottleneck make a run invalid, whatever they measured.
const MOST_TAINTED: f64 = 0.05;

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Findings<'a> {
    pub(crate) ending: &'a Ending,
    /// Load delivered over load planned.
    pub(crate) coverage: f64,
    pub(crate) missing: &'a [String],
    pub(crate) all: Measured,
    /// The same without the slice-seconds in which the generators were the bottleneck.
    pub(crate) untainted: Measured,
    pub(crate) tainted_ratio: f64,
    pub(crate) thresholds: &'a [Threshold],
}

/// What the target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

impl Measured {
    /// Whether the target did what the plan asks of it.
    fn passes(self) -> bool {
        self.requests == 0 || self.errors < self.requests
    }
}

/// Judges a run.
pub(crate) fn judge(findings: &Findings<'_>) -> Verdict {
    let Findings { ending, coverage, missing, all, untainted, tainted_ratio, thresholds } = *findings;
    let mut reasons = Vec::new();
    let mut verdict = None;
    let mut find = |outcome, exit: ExitCode, reason: String| {
        verdict.get_or_insert((outcome, exit));
        reasons.push(reason);
    };
    match ending {
        Ending::Interrupted => {
            find(Outcome::Interrupted, ExitCode::Interrupted, "interrupted by the user".to_owned());
        }
        Ending::Aborted(reason) => find(Outcome::Aborted, ExitCode::Aborted, reason.clone()),
        Ending::Broken(reason) => find(Outcome::Invalid, ExitCode::Invalid, reason.clone()),
        Ending::Finished => {}
    }
    if *ending == Ending::Finished {
        if coverage < LEAST_COVERAGE {
            let percent = coverage * 100.0;
            find(
                Outcome::Invalid,
                ExitCode::Invalid,
                format!("only {percent:.1} % of the planned load was delivered"),
            );
        }
        if !missing.is_empty() {
            find(
                Outcome::Invalid,
                ExitCode::Invalid,
                format!("not all was measured: {}", missing.join("; ")),
            );
        }
        if all.requests == 0 {
            find(Outcome::Invalid, ExitCode::Invalid, "no request was made".to_owned());
        }
        let percent = tainted_ratio * 100.0;
        if tainted_ratio > MOST_TAINTED {
            let reason = format!("generators were the bottleneck in {percent:.1} % of their time");
            find(Outcome::Invalid, ExitCode::Invalid, reason);
        } else if untainted.passes() != all.passes()
            || thresholds.iter().any(|threshold| threshold.hangs_on_tainted)
        {
            let reason = format!(
                "the verdict hangs on the {percent:.1} % of time in which generators were the bottleneck"
            );
            find(Outcome::Invalid, ExitCode::Invalid, reason);
        }
        if !all.passes() {
            find(Outcome::Failed, ExitCode::Failed, "every request failed".to_owned());
        }
        let failed = thresholds.iter().filter(|threshold| !threshold.passed).count();
        if failed > 0 {
            let plural = if thresholds.len() == 1 { "" } else { "s" };
            let reason = format!("{failed} of {} threshold{plural} failed", thresholds.len());
            find(Outcome::Failed, ExitCode::Failed, reason);
        }
    }
    let (outcome, exit) = verdict.unwrap_or((Outcome::Passed, ExitCode::Passed));
    Verdict { outcome, exit_code: exit.code(), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_that_applies_is_the_verdict() {
        let check =
            |ending: Ending, coverage: f64, (requests, errors): (u64, u64), missing: &[String], code: u8| {
                let all = Measured { requests, errors };
                let verdict = judge(&Findings {
                    ending: &ending,
                    coverage,
                    missing,
                    all,
                    untainted: all,
                    tainted_ratio: 0.05,
                    thresholds: &[],
                });
                assert_eq!(verdict.exit_code, code, "{verdict:?}");
                assert_eq!(verdict.reasons.is_empty(), code == 0);
            };
        let lost = ["slice 3: not heard of".to_owned()];
        check(Ending::Finished, 1.0, (10, 0), &[], 0);
        check(Ending::Finished, 0.98, (10, 9), &[], 0);
        check(Ending::Finished, 0.979, (10, 0), &[], 98);
        check(Ending::Finished, 1.0, (10, 0), &lost, 98);
        check(Ending::Finished, 1.0, (0, 0), &[], 98);
        check(Ending::Finished, 1.0, (10, 10), &[], 99);
        check(Ending::Finished, 0.5, (10, 10), &[], 98);
        check(Ending::Aborted("x".to_owned()), 0.1, (10, 10), &[], 106);
        check(Ending::Interrupted, 0.1, (0, 0), &lost, 105);
        check(Ending::Broken("x".to_owned()), 0.0, (0, 0), &[], 98);
    }

    #[test]
    fn a_threshold_that_failed_fails_the_run() {
        let check = |ending: Ending, coverage: f64, passed: bool, hangs_on_tainted: bool, code: u8| {
            let all = Measured { requests: 10, errors: 0 };
            let held = Threshold { passed: true, ..Threshold::default() };
            let thresholds = [held, Threshold { passed, hangs_on_tainted, ..Threshold::default() }];
            let verdict = judge(&Findings {
                ending: &ending,
                coverage,
                missing: &[],
                all,
                untainted: all,
                tainted_ratio: 0.01,
                thresholds: &thresholds,
            });
            assert_eq!(verdict.exit_code, code, "{verdict:?}");
        };
        check(Ending::Finished, 1.0, true, false, 0);
        check(Ending::Finished, 1.0, false, false, 99);
        check(Ending::Finished, 1.0, false, true, 98);
        check(Ending::Finished, 0.5, false, false, 98);
        check(Ending::Aborted("x".to_owned()), 0.5, false, false, 106);
        check(Ending::Interrupted, 0.5, false, false, 105);
    }

    #[test]
    fn what_generators_could_not_measure_is_no_verdict() {
        let check = |tainted_ratio: f64, all: (u64, u64), untainted: (u64, u64), code: u8| {
            let measured = |(requests, errors)| Measured { requests, errors };
            let verdict = judge(&Findings {
                ending: &Ending::Finished,
                coverage: 1.0,
                missing: &[],
                all: measured(all),
                untainted: measured(untainted),
                tainted_ratio,
                thresholds: &[],
            });
            assert_eq!(verdict.exit_code, code, "{verdict:?}");
        };
        check(0.0, (100, 0), (100, 0), 0);
        check(0.04, (100, 0), (96, 0), 0);
        check(0.06, (100, 0), (94, 0), 98);
        check(0.04, (100, 100), (96, 96), 99);
        check(0.04, (100, 96), (96, 96), 98);
        check(0.06, (100, 100), (94, 94), 98);
    }
}
