use squall_metrics::{LoadId, Recorder, Sample, Snapshot};
use squall_plan::{Bundle, Inputs, compile};

use super::*;

const MS: i64 = 1_000;
const SECOND: i64 = 1_000_000;

/// The thresholds of a plan with two requests, `a` and `b`, for 60 s.
fn thresholds(written: &str) -> Vec<Threshold> {
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ rate: 10/s, duration: 60s }}\n\
         scenarios: {{ s: {{ before: [ {{ get: /login }} ], steps: [ {{ get: /a, name: a }}, {{ get: /b, name: b }} ] }} }}\n\
         thresholds: [ {written} ]\n"
    );
    let compiled = compile(&Bundle::new("p.yaml", text, Inputs::default()));
    compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan.thresholds.clone()
}

/// All of it in the one region where load is made.
fn here(merged: &Merged) -> Measured {
    Measured::here(merged, "here")
}

fn judge(written: &str) -> Judge {
    Judge::new(thresholds(written), Duration::from_mins(1))
}

/// Requests that end in the second from `at_s` on: so many of a series, with this status and response time.
struct Requests(i64, u16, u64, u16, i64);

fn merged(all: &[Requests], dropped: &[(i64, u64)]) -> Merged {
    let mut merged = Merged::default();
    merged.merge(snapshot("n", all, dropped));
    merged
}

fn snapshot(nonce: &str, all: &[Requests], dropped: &[(i64, u64)]) -> Snapshot {
    let mut recorder = Recorder::new(3);
    for &Requests(at_s, series, number, status, ms) in all {
        for _ in 0..number {
            let end = at_s * SECOND;
            let sample = Sample {
                ended_us: end,
                outcome: Outcome::Status(status),
                failed: status >= 400,
                ..Sample::begun(SeriesId(series), end - ms * MS, end - ms * MS)
            };
            recorder.arrival_scheduled(LoadId(0), end);
            recorder.arrival_started(LoadId(0), end);
            recorder.record(&sample);
        }
    }
    for &(at_s, number) in dropped {
        for _ in 0..number {
            recorder.arrival_scheduled(LoadId(0), at_s * SECOND);
            recorder.arrival_dropped(LoadId(0), at_s * SECOND);
        }
    }
    let interval = recorder.take().into_interval();
    Snapshot { run: "r".to_owned(), nonce: nonce.to_owned(), sequence: 0, interval }
}

/// The series of `before`, of `a` and of `b`.
const LOGIN: u16 = 0;
const A: u16 = 1;
const B: u16 = 2;

fn check(written: &str, merged: &Merged, value: Option<f64>, passed: bool) {
    let judged = judge(written).judge(&here(merged));
    let found = judged[0].value;
    let close = match (found, value) {
        (Some(found), Some(value)) => (found - value).abs() <= value.abs() * 0.01,
        (found, value) => found == value,
    };
    assert!(close && judged[0].passed == passed, "{written}: {:?}, {}", found, judged[0].passed);
}

#[test]
fn a_metric_is_of_what_is_selected() {
    let merged = merged(
        &[
            Requests(5, LOGIN, 10, 200, 900),
            Requests(5, A, 90, 200, 100),
            Requests(5, A, 10, 503, 1),
            Requests(30, B, 95, 200, 200),
            Requests(30, B, 5, 429, 2),
        ],
        &[],
    );
    check("p95 < 300ms", &merged, Some(200.0), true);
    check("p95 < 150ms", &merged, Some(200.0), false);
    check("'p95{name=a} < 150ms'", &merged, Some(100.0), true);
    check("'p99{name=\"GET /login\"} < 150ms'", &merged, Some(900.0), false);
    check("'max{purpose=before} < 1s'", &merged, Some(900.0), true);
    check("p5(all) < 3ms", &merged, Some(1.0), true);
    check("max(failed) < 3ms", &merged, Some(2.0), true);
    check("errors < 10%", &merged, Some(0.075), true);
    check("errors < 10", &merged, Some(15.0), false);
    check("'errors{name=a} <= 10%'", &merged, Some(0.1), true);
    check("status(429) < 3%", &merged, Some(0.025), true);
    check("status(5xx) == 0", &merged, Some(10.0), false);
    check("requests == 200", &merged, Some(200.0), true);
    check("rps > 6", &merged, Some(200.0 / 31.0), true);
    check("dropped == 0", &merged, Some(0.0), true);
    check("checks > 99%", &merged, None, false);
    check("{ check: p95 < 150ms, after: 20s }", &merged, Some(200.0), false);
    check("'p95{region=here} < 300ms'", &merged, Some(200.0), true);
    check("'p95{region=elsewhere} < 300ms'", &merged, None, false);
    check("'p95{stage=1} < 300ms'", &merged, Some(200.0), true);
}

#[test]
fn without_data_a_threshold_fails_at_the_end_and_aborts_nothing() {
    let nothing = merged(&[], &[]);
    for written in ["p95 < 1s", "errors < 1%", "rps < 5", "{ check: p95 < 1s, over: 10s, abort: true }"] {
        check(written, &nothing, None.or((written == "rps < 5").then_some(0.0)), false);
        assert_eq!(judge(written).look(&here(&nothing), 60), None, "{written}");
    }
}

#[test]
fn a_dropped_arrival_has_taken_for_ever() {
    let merged = merged(&[Requests(1, A, 90, 200, 100)], &[(1, 10)]);
    let judged = judge("p50 < 200ms, p95 < 200ms, max < 1s, mean < 1s, min < 200ms, p95(failed) > 1ms")
        .judge(&here(&merged));
    let found: Vec<_> = judged.iter().map(|judged| (judged.passed, judged.at_least)).collect();
    assert_eq!(
        found,
        [(true, false), (false, true), (false, true), (false, true), (true, false), (false, false)]
    );
}

#[test]
fn a_stretch_that_breaks_a_threshold_ends_the_run_as_soon_as_it_is_told() {
    let good = (1..20).map(|at_s| Requests(at_s, A, 20, 200, 5));
    let bad = (20..31).map(|at_s| Requests(at_s, A, 20, 503, 5));
    let merged = merged(&good.chain(bad).collect::<Vec<_>>(), &[]);
    let mut judge = judge("{ check: status(5xx) < 5%, over: 10s, abort: true }");
    assert_eq!(judge.look(&here(&merged), 20), None);
    // The second that nearly all have told counts, and none behind it.
    let reason = judge.look(&here(&merged), 21).unwrap();
    assert_eq!(reason, "`status(5xx) < 5%` did not hold over 10 s at 21 s: 10.00 %");
    assert_eq!(judge.look(&here(&merged), 31), Some(reason));
    let judged = &judge.judge(&here(&merged))[0];
    assert_eq!((judged.passed, judged.first_failed_at_s, judged.value), (false, Some(21), Some(0.1)));
    assert_eq!((judged.stretches, judged.failed_stretches), (22, 11));
}

#[test]
fn too_few_samples_end_no_run() {
    // p95 needs 100 samples, and 5 % of errors do, too.
    for written in ["status(5xx) < 5%", "p95 < 1ms"] {
        let broken = |number| merged(&[Requests(1, A, number, 503, 5), Requests(1, A, number, 200, 5)], &[]);
        let mut few = judge(&format!("{{ check: {written}, over: 10s, abort: true }}"));
        let mut enough = few.clone();
        assert_eq!(few.look(&here(&broken(49)), 60), None, "{written}");
        assert_eq!(few.judge(&here(&broken(49)))[0].stretches, 0);
        assert!(enough.look(&here(&broken(100)), 60).is_some(), "{written}");
    }
}

#[test]
fn what_comes_before_it_is_to_count_breaks_nothing() {
    let merged = merged(&[Requests(5, A, 200, 503, 5), Requests(40, A, 200, 200, 5)], &[]);
    let check = |more: &str, passed: bool| {
        let written = format!("{{ check: errors < 10%, abort: true{more} }}");
        let mut judge = judge(&written);
        assert_eq!(judge.look(&here(&merged), 60).is_none(), passed, "{written}");
        assert_eq!(judge.judge(&here(&merged))[0].passed, passed, "{written}");
    };
    check("", false);
    check(", over: 10s", false);
    check(", after: 6s", true);
    check(", after: 10s, over: 10s", true);
}

#[test]
fn what_hangs_on_seconds_in_which_generators_were_the_bottleneck_is_told() {
    let mut recorder = Recorder::new(3);
    for (at_s, ms) in [(1, 5), (2, 800)] {
        for _ in 0..100 {
            let end = at_s * SECOND;
            let begun = Sample::begun(SeriesId(A), end - ms * MS, end - ms * MS);
            recorder.record(&Sample { ended_us: end, outcome: Outcome::Status(200), ..begun });
        }
    }
    let observation =
        squall_metrics::Observation { stolen_us: 500_000, observed_us: 1_000_000, ..Default::default() };
    recorder.observe(2..3, observation);
    let mut merged = Merged::default();
    let interval = recorder.take().into_interval();
    merged.merge(Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 0, interval });
    let judged = judge("p95 < 100ms, p95 < 1s, 'p95{name=b} < 1s'").judge(&here(&merged));
    let hangs: Vec<_> = judged.iter().map(|judged| (judged.passed, judged.hangs_on_tainted)).collect();
    assert_eq!(hangs, [(false, true), (true, false), (false, false)]);
}

/// Live, a stretch is judged by what nearly all have told; in the end by what all have.
#[test]
fn what_comes_late_is_judged_at_the_end() {
    let most: Vec<_> = (0..60).map(|at_s| Requests(at_s, A, 30, 200, 20)).collect();
    let mut merged = merged(&most, &[]);
    let written = "{ check: p95 < 100ms, over: 10s }, p95 < 100ms, { check: p95 < 100ms, after: 5s }";
    let mut judge = judge(written);
    assert_eq!(judge.look(&here(&merged), 60), None);
    assert!(judge.standing(&here(&merged)).iter().all(|judged| judged.passed));
    let late: Vec<_> = (20..60).map(|at_s| Requests(at_s, A, 5, 200, 500)).collect();
    merged.merge(snapshot("late", &late, &[]));
    let judged = judge.judge(&here(&merged));
    assert_eq!(judged.iter().map(|judged| judged.passed).collect::<Vec<_>>(), [false; 3]);
    // From 20 s on, 5 of 35 are slow: 23 s is the end of the first stretch with more than one in twenty.
    let first = &judged[0];
    assert_eq!((first.first_failed_at_s, first.stretches, first.failed_stretches), (Some(24), 51, 37));
}

/// However long a run is, what comes a few minutes late counts.
#[test]
fn what_comes_late_is_judged_at_the_end_of_a_long_run() {
    let lasts_s = 4_000;
    for over_s in [10, 1_000, 3_600] {
        let written = format!("{{ check: p95 < 100ms, over: {over_s}s }}");
        let mut judge = Judge::new(thresholds(&written), Duration::from_secs(4_000));
        let most: Vec<_> = (0..lasts_s).map(|at_s| Requests(at_s, A, 20, 200, 20)).collect();
        let mut merged = merged(&most, &[]);
        for told_until in (0..lasts_s).step_by(50) {
            assert_eq!(judge.look(&here(&merged), i32::try_from(told_until).unwrap()), None);
            if told_until == 1_400 {
                let late: Vec<_> = (1_000..1_400).map(|at_s| Requests(at_s, A, 20, 200, 500)).collect();
                merged.merge(snapshot("late", &late, &[]));
            }
        }
        let judged = &judge.judge(&here(&merged))[0];
        let whole = lasts_s + 1 - i64::from(over_s);
        assert_eq!((judged.passed, i64::from(judged.stretches)), (false, whole), "{over_s}");
        if over_s == 10 {
            // 409 stretches touch a slow second; the first of them has less than one in twenty.
            assert_eq!((judged.first_failed_at_s, judged.failed_stretches), (Some(1_001), 409));
        }
    }
}

#[test]
fn what_stands_is_what_would_be_judged() {
    let seconds = (0..40).map(|at_s| Requests(at_s, A, 10, if at_s < 30 { 200 } else { 503 }, 20 + at_s));
    let merged = merged(&seconds.collect::<Vec<_>>(), &[(35, 2)]);
    for written in [
        "p95 < 40ms",
        "{ check: errors < 20%, after: 20s }",
        "{ check: \"p50 < 35ms\", after: 10s }",
        "{ check: status(503) < 5%, over: 5s }",
        "'requests{stage=1} > 100'",
        "'p95{region=elsewhere} < 1s'",
    ] {
        let mut judge = judge(written);
        judge.look(&here(&merged), 20);
        judge.look(&here(&merged), 40);
        let (stands, judged) =
            (judge.standing(&here(&merged)).remove(0), judge.judge(&here(&merged)).remove(0));
        assert_eq!(
            (stands.passed, stands.value.is_some()),
            (judged.passed, judged.value.is_some()),
            "{written}"
        );
        let difference = stands.value.unwrap_or(0.0) - judged.value.unwrap_or(0.0);
        assert!(difference.abs() < 1e-9, "{written}: {stands:?} {judged:?}");
    }
}
