//! What the result says of time: the plan's stages, and what each second was made of.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use squall_metrics::{Merged, Outcome, Phase, Phases, Recorder, Sample, SeriesId, Snapshot};
use squall_plan::{Bundle, Inputs, Plan, compile};
use squall_report::{Ending, Facts, PlannedStage, Run, RunResult, SeatCoverage, build, from_json, to_json};

fn plan(load: &str) -> Plan {
    let text = format!(
        "target: http://127.0.0.1:1\n{load}\nscenarios: {{ a: {{ steps: [ {{ get: /x }}, {{ get: /y }} ] }} }}"
    );
    compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan
}

fn result(plan: &Plan, merged: &Merged, plan_text: &str) -> RunResult {
    let run = Run {
        id: "r".to_owned(),
        name: String::new(),
        seed: "1".to_owned(),
        started_at: String::new(),
        epoch: String::new(),
        duration_s: 0.0,
        backend: "local".to_owned(),
        regions: vec!["local".to_owned()],
        plan_sha256: String::new(),
    };
    let facts = Facts {
        run,
        plan_text: plan_text.to_owned(),
        ending: Ending::Finished,
        seats: SeatCoverage::default(),
        missing: Vec::new(),
        absent: Vec::new(),
        throttled: Vec::new(),
        unknown_requests: Some(0),
        generators: Vec::new(),
        thresholds: Vec::new(),
        telemetry: Vec::new(),
        annotations: Vec::new(),
        problems: Vec::new(),
        regions: Vec::new(),
        cost: squall_report::Cost::free(),
    };
    build(plan, merged, facts)
}

fn check_stages(load: &str, expected: &[(&str, f64, f64)]) {
    let stages = result(&plan(load), &Merged::default(), "").plan.stages;
    let expected = expected.iter().map(|(name, from_s, until_s)| PlannedStage {
        name: (*name).to_owned(),
        from_s: *from_s,
        until_s: *until_s,
    });
    assert_eq!(stages, expected.collect::<Vec<_>>(), "{load}");
}

#[test]
fn stages_are_named_by_number_and_by_what_they_do() {
    check_stages("load: { rate: 60/s, duration: 10s }", &[("stage 1 (60/s)", 0.0, 10.0)]);
    check_stages(
        "load: { stages: [ { duration: 20s, users: 5 }, { duration: 0s, users: 8 }, { duration: 1m, users: 8 } ] }",
        &[("stage 1 (0 to 5 users)", 0.0, 20.0), ("stage 3 (8 users)", 20.0, 80.0)],
    );
}

#[test]
fn a_second_says_how_long_requests_took_and_what_for() {
    let mut recorder = Recorder::new(2);
    for (series, us) in [(0, 50), (0, 12_000), (1, 12_500), (1, 900_000)] {
        let mut phases = Phases::default();
        phases.add(Phase::Send, 20);
        phases.add(Phase::FirstByte, us);
        let sample =
            Sample { phases, outcome: Outcome::Status(200), ..Sample::begun(SeriesId(series), 0, 0) };
        recorder.record(&Sample { ended_us: i64::try_from(us).unwrap(), ..sample });
    }
    let failed = Sample { outcome: Outcome::Status(503), failed: true, ..Sample::begun(SeriesId(0), 0, 0) };
    recorder.record(&Sample { ended_us: 70_000, ..failed });
    let mut merged = Merged::default();
    let interval = recorder.take().into_interval();
    merged.merge(Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence: 0, interval });
    let result = result(&plan("load: { users: 1, duration: 5s }"), &merged, "name: x # ü");
    let point = &result.timeline.points[0];
    // 50 µs; twice 10 to 14.7 ms; 681 ms to 1 s. The failure that was no timeout is in none of them.
    assert_eq!(point.heat, BTreeMap::from([(0, 1), (13, 2), (24, 1)]));
    let mean_ms = (50.0 + 12_000.0 + 12_500.0 + 900_000.0) / 1_000.0 / 5.0;
    assert!((point.phases_ms.first_byte - mean_ms).abs() < 0.001, "{:?}", point.phases_ms);
    assert!((point.phases_ms.send - 0.016).abs() < 0.001 && point.phases_ms.body.abs() < f64::EPSILON);
    assert_eq!(result.plan.text, "name: x # ü");
    assert_eq!(from_json(&to_json(&result)).unwrap(), result);
}

#[test]
fn results_of_earlier_versions_are_read() {
    let merged = Merged::default();
    let result = result(&plan("load: { users: 1, duration: 5s }"), &merged, "");
    let mut json = serde_json::to_value(&result).unwrap();
    json.as_object_mut().unwrap().remove("plan");
    let read = from_json(&json.to_string()).unwrap();
    assert!(read.plan.stages.is_empty());
}

#[test]
fn the_text_of_a_plan_has_an_end() {
    let text =
        result(&plan("load: { users: 1, duration: 5s }"), &Merged::default(), &"ü".repeat(150_000)).plan.text;
    assert!(text.len() < 201_000 && text.ends_with("# … cut off here"));
}
