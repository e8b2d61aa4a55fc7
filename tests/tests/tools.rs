//! What the command does beside a plan's load: a look at a plan, a load without one, one to begin with.

use std::fs;

use serde_json::Value;
use squall_target::Server;
use squall_tests::{Place, Ran, target};

/// A plan with a login, data that goes from one request to the next, and a decision.
fn journey(server: &Server, last: &str) -> String {
    format!(
        "target: http://{}\nload: {{ users: 50, duration: 5m }}\nscenarios:\n  buyer:\n    think: 1h\n    \
         auth: {{ bearer: \"{{{{ token }}}}\" }}\n    before:\n      - post: /api/v1/auth/login\n        \
         json: {{ email: loadtest.user@example.com, password: \"Str0ngP@ssw0rd!\", client_id: web-frontend }}\n        \
         capture: {{ token: $.access_token }}\n    steps:\n      - set: {{ many: 2 }}\n      \
         - get: /api/v1/catalog/products?limit=2\n        capture: {{ sku: \"$.items[0].sku\" }}\n      - {last}\n",
        server.address()
    )
}

/// That a run did what it should; on a busy machine it may not be valid for all that.
fn check_well(ran: &Ran) {
    assert!(ran.code == 0 || ran.code == 98, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(" no errors "), "{}", ran.stdout);
}

#[test]
fn a_plan_can_be_looked_at_once_without_load() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &journey(&server, "get: \"/api/v1/catalog/products/{{ sku }}\""));
    let ran = place.run(&["run", "plan.yaml", "--once"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(server.counts().total, 3);
    for expected in [
        "── buyer · before ──",
        &format!("POST http://{}/api/v1/auth/login\n", server.address()),
        "    \"email\": \"loadtest.user@example.com\",\n",
        "  content-type: application/json\n",
        "200 OK · HTTP/1.1 · new connection to 127.0.0.1 · ",
        "  = token: access.",
        "── buyer · steps ──",
        "  · set: many = 2\n",
        "  authorization: Bearer access.",
        "200 OK · HTTP/1.1 · kept connection to 127.0.0.1 · ",
        "\n PASSED  3 requests, none failed · seed ",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\n{}", ran.stdout);
    }
    assert!(!place.path().join(".squall").exists(), "a look at a plan leaves nothing behind");
}

#[test]
fn what_goes_wrong_once_is_said_where_it_does() {
    let (place, server) = (Place::new(), target(false));
    let check = |last: &str, code: i32, expected: &[&str]| {
        place.write("plan.yaml", &journey(&server, last));
        let ran = place.run(&["run", "plan.yaml", "--once"]);
        assert_eq!(ran.code, code, "{last}\n{}\n{}", ran.stdout, ran.stderr);
        for expected in expected {
            assert!(ran.stdout.contains(expected), "{expected}\n{}", ran.stdout);
        }
    };
    check("get: /none", 99, &["404 Not Found", "✗ FAILED: status 404", "FAILED  1 of 3 requests failed"]);
    check(
        "{ get: /healthz, expect: { status: 404 } }",
        99,
        &["✗ status 404 – found 200", "✗ FAILED: expectation"],
    );
    check("{ get: /healthz, expect: { text: nope } }", 99, &["✗ text: nope"]);
    check("{ get: \"/{{ many.none }}\" }", 99, &["was not sent", "variable `many.none` is undefined"]);
    check("{ fail: \"no {{ sku }}\" }", 99, &["✗ fail: no SKU-"]);
    // One that is fine all the same does not pass if it failed.
    check("{ get: /none, on_failure: continue }", 99, &["status 404"]);
    let refused = "{ get: \"http://127.0.0.1:1/\" }";
    check(refused, 99, &["no response", "Connection refused", "✗ FAILED: refused"]);
    place.write("plan.yaml", &journey(&server, "get: \"/{{ skuu }}\""));
    let ran = place.run(&["run", "plan.yaml", "--once"]);
    assert_eq!(ran.code, 104);
    assert!(ran.stderr.contains("did you mean `sku`?") && ran.stdout.is_empty(), "{}", ran.stderr);
}

#[test]
fn exchanges_can_be_read_by_programs() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &journey(&server, "{ fail: over }"));
    let ran = place.run(&["run", "plan.yaml", "--once", "--output", "json", "--seed", "5"]);
    assert_eq!(ran.code, 99);
    let exchanges: Value = serde_json::from_str(&ran.stdout).unwrap();
    let (login, list, rest) = (&exchanges[0], &exchanges[1], &exchanges[2]);
    assert_eq!((&login["scenario"], &login["part"]), (&"buyer".into(), &"before".into()));
    assert_eq!(login["request"]["method"], "POST");
    let sent: Value = serde_json::from_str(login["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["client_id"], "web-frontend");
    assert_eq!((&login["response"]["status"], &login["failed"]), (&200.into(), &false.into()));
    assert_eq!(login["captures"][0]["name"], "token");
    assert!(login["took_ms"].as_f64() > Some(0.0) && login["phases_ms"]["connect"].is_number(), "{login}");
    assert_eq!(list["flow"][0], "set: many = 2");
    assert_eq!((&rest["request"], &rest["problems"][0]), (&Value::Null, &"fail: over".into()));
    assert_eq!(exchanges.as_array().map(Vec::len), Some(3));
    assert!(ran.stderr.contains("and 1 step · seed 5"), "{}", ran.stderr);
}

#[test]
fn bodies_are_printed_as_far_as_people_read_and_never_command_the_terminal() {
    let (place, server) = (Place::new(), target(false));
    let plan = |step: &str| {
        format!(
            "target: http://{}\nload: {{ users: 1, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {step} ] }} }}",
            server.address()
        )
    };
    place.write("long.txt", &"0123456789".repeat(10_000));
    fs::write(place.path().join("bytes.bin"), [0, 159, 146, 150]).unwrap();
    place.write("plan.yaml", &plan("{ post: /x, body_file: long.txt, on_failure: continue }, { post: /x, body_file: bytes.bin, on_failure: continue }, { post: /x, body: \"a\\eb\" }"));
    let out = place.run(&["run", "plan.yaml", "--once"]).stdout;
    assert!(out.contains("… 100000 bytes in all") && out.contains("4 bytes that are no text"), "{out}");
    assert!(out.contains("a\\u{1b}b") && !out.contains('\u{1b}'), "{out}");
    assert!(out.len() < 80_000);
}

#[test]
fn a_url_is_a_load_without_a_plan() {
    let (place, server) = (Place::new(), target(false));
    let url = format!("http://{}/healthz?a=1", server.address());
    for (index, form) in [
        vec![url.as_str(), "--rate", "50", "--duration", "1s"],
        vec!["run", url.as_str(), "--rate", "50/s", "--duration", "1s"],
        vec!["--rate", "50", "--duration", "1s", url.as_str()],
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out{index}");
        let ran = place.run(&[form, vec!["--out", &out]].concat());
        check_well(&ran);
        assert!(ran.stdout.contains("GET /healthz"), "{}", ran.stdout);
        assert_eq!(place.result(&out)["totals"]["requests"], 50);
    }
    assert_eq!(server.counts().total, 150);
    // What is kept is a plan that does the same.
    let again = place.run(&["run", "out0/plan.yaml", "--out", "again"]);
    check_well(&again);
    assert_eq!(
        (place.result("again")["totals"]["requests"].as_u64(), server.counts().total),
        (Some(50), 200)
    );
}

#[test]
fn what_is_sent_to_a_url_can_be_said() {
    let (place, server) = (Place::new(), target(false));
    let url = format!("http://{}/x?q='%22#fragment", server.address());
    let ran = place.run(&[
        &url,
        "--once",
        "--header",
        "X-One: a: b",
        "--header",
        "X-Two: {{ 1 + 1 }}",
        "--body",
        "# \"x\": {{ 'y' }}\n",
        "--output",
        "json",
    ]);
    let sent = &serde_json::from_str::<Value>(&ran.stdout).unwrap()[0]["request"];
    assert_eq!((&sent["method"], &sent["body"]), (&"POST".into(), &"# \"x\": y\n".into()));
    assert!(
        sent["url"].as_str().is_some_and(|url| url.contains("/x?q=") && !url.contains("fragment")),
        "{sent}"
    );
    let header = |name: &str| {
        let headers = sent["headers"].as_array().unwrap().iter();
        headers
            .filter(|header| header["name"] == name)
            .map(|header| header["value"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!((header("x-one"), header("x-two")), (vec!["a: b".into()], vec!["2".into()]));
    let put = place.run(&[&url, "--once", "--method", "put", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&put.stdout).unwrap()[0]["request"]["method"], "PUT");
}

#[test]
fn what_cannot_be_meant_is_told_from_what_is_mistyped() {
    let place = Place::new();
    place.write("plan.yaml", "target: http://127.0.0.1:1\nload: { users: 1, duration: 1s }\nscenarios: { a: { steps: [ { get: / } ] } }");
    let check = |arguments: &[&str], expected: &[&str]| {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 104, "{arguments:?}");
        for expected in expected {
            assert!(ran.stderr.contains(expected), "{arguments:?}: {expected}\n{}", ran.stderr);
        }
    };
    check(&["rnu", "plan.yaml"], &["unrecognized subcommand 'rnu'", "hint: did you mean `squall run`?"]);
    check(&["validates", "plan.yaml"], &["tip: a similar subcommand exists: 'validate'"]);
    check(&["plan.yaml"], &["hint: to run a plan, write `squall run plan.yaml`"]);
    check(&["127.0.0.1:8080/x"], &["hint: a URL begins with its scheme: `squall http://127.0.0.1:8080/x`"]);
    check(&["http://127.0.0.1:1/"], &["nothing says how much load", "--rate 100 --duration 30s", "--once"]);
    check(&["http://127.0.0.1:1/", "--rate", "5"], &["--duration"]);
    check(&["http://127.0.0.1:1/", "--once", "--method", "brew"], &["method `BREW`", "GET, POST"]);
    check(&["http://127.0.0.1:1/a b", "--once"], &["command line", "write `%20` or `+`"]);
    check(&["run", "plan.yaml", "--body", "x"], &["belong to a URL"]);
    check(&["run", "plan.yaml", "--once", "--generators", "2"], &["--once"]);
    check(&["run", "ftp://127.0.0.1/x"], &["cannot read plan `ftp://127.0.0.1/x`"]);
}

#[test]
fn what_a_plan_will_do_can_be_read_by_programs() {
    let place = Place::new();
    let plan = "target: http://127.0.0.1:1\nallow: [ \"*.example.com\" ]\nload:\n  - { rate: 10/s, duration: 10s, max_users: 9 }\n  - { users: 5, duration: 20s, start: 5s, iterations: 8, scenarios: [b] }\nscenarios:\n  a: { weight: 3, steps: [ { get: /a }, { if: vu.id > 1, then: [ { get: \"/{{ env.X | default(1) }}\" } ] } ] }\n  b: { before: [ { post: /login } ], steps: [ { get: /b } ] }";
    place.write("plan.yaml", plan);
    let ran = place.run(&["plan", "plan.yaml", "--generators", "4", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let will: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&will["duration_s"], &will["latest_end_s"]), (&25.0.into(), &55.0.into()));
    let (open, closed) = (&will["loads"][0], &will["loads"][1]);
    assert_eq!(open["planned"], serde_json::json!({ "unit": "arrivals", "value": 100 }));
    assert_eq!(
        open["scenarios"],
        serde_json::json!([{ "name": "a", "share": 0.75 }, { "name": "b", "share": 0.25 }])
    );
    assert_eq!(
        open["slices"],
        serde_json::json!([
            { "first": 0, "last": 0, "users": 3, "arrivals": 25 },
            { "first": 1, "last": 3, "users": 2, "arrivals": 25 }
        ])
    );
    assert_eq!(
        closed["slices"][0],
        serde_json::json!({ "first": 0, "last": 0, "users": 2, "iterations": 2 })
    );
    // 75 arrivals of a with one or two requests, 25 of b with one; up to 9 users of whom some log in; 8 and 5 of the other.
    assert_eq!(closed["requests"], serde_json::json!({ "least": 13.0, "most": 13.0 }));
    assert_eq!(open["requests"], serde_json::json!({ "least": 100.0, "most": 184.0 }));
    assert_eq!(will["hosts"], serde_json::json!(["127.0.0.1", "*.example.com"]));
    assert_eq!(will["environment"], serde_json::json!([{ "name": "X", "set": false }]));
    assert_eq!(will["scenarios"][1]["request_names"], serde_json::json!(["POST /login", "GET /b"]));
    let refused = place.run(&["plan", "plan.yaml", "--generators", "10"]);
    assert_eq!(refused.code, 104);
    assert!(refused.stderr.contains("10 generators cannot share 9 users"), "{}", refused.stderr);
}

#[test]
fn a_plan_to_begin_with_is_written_once_and_can_be_run() {
    let (place, server) = (Place::new(), target(false));
    let address = format!("http://{}", server.address());
    let ran = place.run(&["init"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("wrote plan.yaml\n") && ran.stdout.contains("squall target"),
        "{}",
        ran.stdout
    );
    let refused = place.run(&["init"]);
    assert_eq!(refused.code, 104);
    assert!(refused.stderr.contains("`plan.yaml` is there already") && refused.stderr.contains("--force"));
    assert_eq!(place.run(&["validate", "plan.yaml"]).stderr, "");
    let once = place.run(&["run", "plan.yaml", "--once", "--target", &address]);
    assert_eq!(once.code, 0, "{}", once.stdout);
    assert_eq!(server.counts().total, 5, "every task does something");

    let healthz = format!("{address}/healthz");
    assert_eq!(place.run(&["init", &healthz, "own.yaml"]).code, 0);
    let validated = place.run(&["validate", "own.yaml"]);
    assert_eq!((validated.code, validated.stderr.as_str()), (0, ""));
    let run = place.run(&["run", "own.yaml", "--users", "2", "--duration", "1s", "--out", "out"]);
    check_well(&run);
    assert!(run.stdout.contains("GET /healthz"), "{}", run.stdout);

    let before = fs::read_to_string(place.path().join("plan.yaml")).unwrap();
    assert_eq!(place.run(&["init", &healthz, "--force"]).code, 0);
    assert_ne!(fs::read_to_string(place.path().join("plan.yaml")).unwrap(), before);
    let file = place.run(&["init", "other.yaml"]);
    assert!(file.stdout.starts_with("wrote other.yaml\n"), "{}", file.stdout);
    for (arguments, expected) in [
        (vec!["init", "ftp://x"], "no URL of a service"),
        (vec!["init", "x", "y.yaml"], "no URL of a service"),
        (vec!["init", &healthz, "no/such/folder.yaml"], "cannot write `no/such/folder.yaml`"),
    ] {
        let ran = place.run(&arguments);
        assert_eq!(ran.code, 104, "{arguments:?}");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}
