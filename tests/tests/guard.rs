//! What requests say of who sends them, and templates that others would deploy.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use squall_target::{Server, ServerOptions};
use squall_tests::Place;
use squall_tests::python::python;

/// The `User-Agent` of all requests of a run, and its id.
fn agents(plan: &str) -> (BTreeSet<String>, String) {
    let place = Place::new();
    let record = place.path().join("record.jsonl");
    let options = ServerOptions { delays: false, record: Some(record.clone()), ..ServerOptions::default() };
    let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap();
    let address = server.address();
    place.write(
        "plan.yaml",
        &format!("target: http://{address}\nload: {{ users: 2, duration: 1s, iterations: 4 }}\n{plan}"),
    );
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let id = place.result("out")["run"]["id"].as_str().unwrap().to_owned();
    let requests = server.counts().total;
    drop(server);
    let lines = fs::read_to_string(record).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, requests);
    let agent = |line: &Value| line["headers"]["user-agent"].as_str().unwrap_or("nothing").to_owned();
    (lines.iter().map(agent).collect(), id)
}

#[test]
fn every_request_says_which_tool_and_which_run_sends_it_unless_the_plan_says_something_else() {
    let get = "{ get: /healthz }";
    let errands = format!("setup: [ {get} ]\nteardown: [ {get} ]\n");
    let own = |id: &str| format!("squall/{} (run {id})", env!("CARGO_PKG_VERSION"));
    let check = |plan: &str, expected: &[&str], and_own: bool| {
        let (agents, id) = agents(&format!("{errands}{plan}"));
        let expected: BTreeSet<String> =
            expected.iter().map(|agent| (*agent).to_owned()).chain(and_own.then(|| own(&id))).collect();
        assert_eq!(agents, expected, "{plan}");
    };
    let a = |more: &str| {
        format!("scenarios: {{ a: {{ {more} before: [ {get} ], steps: [ {get} ], after: [ {get} ] }} }}")
    };
    check(&a(""), &[], true);
    check(&format!("http: {{ headers: {{ User-Agent: theirs }} }}\n{}", a("")), &["theirs"], false);
    check(&a("headers: { user-agent: mine },"), &["mine"], true);
    check(&a("headers: { User-Agent: \"{{ 'computed' }}\" },"), &["computed"], true);
    check(
        "scenarios: { a: { steps: [ { get: /healthz, headers: { User-Agent: one } }, { get: /healthz } ] } }",
        &["one"],
        true,
    );
}

/// A reader of what the emulator does not look at.
const LINT: &str = "
try:
    from cfnlint.api import lint_all
except ImportError:
    missing('cfn-lint')
problems = [problem for problem in lint_all(sys.stdin.read()) if not problem.rule.id.startswith('I')]
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
";

#[test]
fn the_template_has_no_mistake_with_any_number_of_lanes() {
    let place = Place::new();
    for lanes in ["1", "2", "10"] {
        let printed = place.run(&["deploy", "--print-template", "--lanes", lanes]);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        let queues = printed.stdout.matches("VisibilityTimeout: !Ref TimeoutS").count();
        assert_eq!(queues.to_string(), lanes);
        assert!(printed.stdout.len() < 51_200, "CloudFormation takes no more: {}", printed.stdout.len());
        if let Some(linted) = python(LINT, &[], &printed.stdout) {
            assert_eq!(linted.code, 0, "{lanes} lanes: {}{}", linted.stdout, linted.stderr);
        }
    }
    let wrong = place.run(&["deploy", "--print-template", "--lanes", "11"]);
    assert_eq!(wrong.code, 104, "{}", wrong.stderr);
}
