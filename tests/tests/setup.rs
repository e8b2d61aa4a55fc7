//! What a run does once, and what it undoes: setup before the load, cleanup and teardown after it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use squall_tests::{Place, check_cut_off, target};

const LOGIN: &str = "post: /api/v1/auth/login, json: { email: loadtest.user@example.com, password: \"Str0ngP@ssw0rd!\", client_id: web }, \
                     capture: { token: $.access_token }";

/// A plan whose users make carts with the token that `setup` got.
fn plan(address: impl std::fmt::Display, load: &str, more: &str) -> String {
    format!(
        r#"target: http://{address}
load: {load}
setup:
  - {{ {LOGIN} }}
  - log: "logged in for {{{{ run.id }}}}"
scenarios:
  buyer:
    auth: {{ bearer: "{{{{ token }}}}" }}
    steps:
      - post: /api/v1/cart
        json: {{ currency: USD }}
        capture: {{ cart: $.cart_id }}
        cleanup: {{ delete: "/api/v1/cart/{{{{ cart }}}}" }}
      - think: 100ms
teardown:
  - get: /api/v1/catalog/products
    auth: {{ bearer: "{{{{ token }}}}" }}
{more}"#
    )
}

fn endpoint<'r>(result: &'r Value, scenario: &str, name: &str) -> &'r Value {
    let endpoints = result["endpoints"].as_array().unwrap();
    let found = endpoints.iter().find(|own| own["scenario"] == scenario && own["name"] == name);
    assert!(found.is_some(), "no {scenario}/{name} in {endpoints:#?}");
    found.unwrap()
}

#[test]
fn what_is_made_is_undone_and_setup_is_done_once_for_all_generators() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(server.address(), "{ users: 8, duration: 2s, graceful_stop: 1s }", ""));
    let ran = place.run(&["run", "plan.yaml", "--generators", "4", "--out", "out"]);
    // On a busy machine the generators say that they were the bottleneck.
    assert!([0, 98].contains(&ran.code), "{}\n{}", ran.stdout, ran.stderr);
    let (result, counts) = (place.result("out"), server.counts());
    assert_eq!(result["totals"]["requests"], counts.total, "{}", ran.stdout);
    assert!(counts.invalid.is_empty(), "{:?}", counts.reasons);
    assert_eq!(endpoint(&result, "setup", "POST /api/v1/auth/login")["requests"], 1);
    assert_eq!(endpoint(&result, "teardown", "GET /api/v1/catalog/products")["requests"], 1);
    let made = &endpoint(&result, "buyer", "POST /api/v1/cart")["requests"];
    let undone = &endpoint(&result, "buyer", "cleanup DELETE /api/v1/cart/:cart")["requests"];
    assert!(made.as_u64().unwrap() > 50 && made == undone, "{made} made, {undone} undone");
    let cleanup = &result["cleanup"];
    assert_eq!(
        (&cleanup["created"], &cleanup["undone"], &cleanup["left"]),
        (made, made, &serde_json::json!([]))
    );
    assert!(ran.stdout.contains("made, "), "{}", ran.stdout);
}

#[test]
fn a_run_that_is_stopped_undoes_what_it_made() {
    let (place, server) = (Place::new(), target(false));
    let more = "allow: [ 127.0.0.1 ]\n";
    let load = "{ users: 4, duration: 60s }";
    let text = plan(server.address(), load, more).replace(
        "- think: 100ms",
        "- think: 100ms\n      - if: iteration > 5\n        then: [ { stop: run } ]",
    );
    place.write("plan.yaml", &text);
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    assert_eq!(ran.code, 106, "{}\n{}", ran.stdout, ran.stderr);
    let result = place.result("out");
    assert_eq!(result["cleanup"]["created"], result["cleanup"]["undone"], "{}", result["cleanup"]);
    assert_eq!(endpoint(&result, "teardown", "GET /api/v1/catalog/products")["requests"], 1);
    check_cut_off(&server, &result);
}

#[test]
fn without_its_setup_a_run_makes_no_load() {
    let (place, server) = (Place::new(), target(false));
    let text = plan(server.address(), "{ users: 8, duration: 2s }", "").replace("Str0ngP@ssw0rd!", "wrong");
    place.write("plan.yaml", &text);
    let ran = place.run(&["run", "plan.yaml", "--out", "out"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("setup failed, and no load was made: `POST /api/v1/auth/login` ended with 401"),
        "{}",
        ran.stderr
    );
    assert_eq!(server.counts().total, 1);
}

#[test]
fn once_shows_setup_and_teardown_too() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(server.address(), "{ users: 8, duration: 2s }", ""));
    let ran = place.run(&["run", "plan.yaml", "--once"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let places: Vec<usize> = ["POST http", "/api/v1/cart\n", "DELETE http", "/api/v1/catalog/products"]
        .iter()
        .map(|text| ran.stdout.find(text).unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(server.counts().total, 4);
}

/// Tells everybody the same address, and how often it was asked.
fn echo() -> (std::net::SocketAddr, std::sync::Arc<std::sync::atomic::AtomicU64>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) =
        (listener.local_addr().unwrap(), std::sync::Arc::<std::sync::atomic::AtomicU64>::default());
    let count = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if stream.read(&mut [0; 1_024]).is_ok_and(|read| read > 0) {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let body = r#"{"ip":"203.0.113.7"}"#;
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        }
    });
    (address, asked)
}

#[test]
fn each_generator_learns_its_address_once_and_that_is_no_load() {
    let (place, server, (echo, asked)) = (Place::new(), target(false), echo());
    let run = |steps: &str| {
        place.write(
            "plan.yaml",
            &format!(
                "target: http://{}\nload: {{ rate: 30/s, duration: 2s }}\nsource_address: {steps}\n\
                 scenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n",
                server.address()
            ),
        );
        place.run(&["run", "plan.yaml", "--generators", "3", "--out", "out"])
    };
    let ran = run(&format!("[ {{ get: 'http://{echo}/', capture: {{ source_address: $.ip }} }} ]"));
    assert!([0, 98].contains(&ran.code), "{}\n{}", ran.stdout, ran.stderr);
    let result = place.result("out");
    assert_eq!(
        (asked.load(std::sync::atomic::Ordering::SeqCst), &result["totals"]["requests"]),
        (3, &60.into())
    );
    let generators = result["generators"].as_array().unwrap();
    assert!(generators.iter().all(|own| own["source_ip"] == "203.0.113.7"), "{generators:#?}");
    assert_eq!(result["endpoints"].as_array().unwrap().len(), 1, "{}", result["endpoints"]);
    assert!(ran.stdout.contains("3 generators, one address"), "{}", ran.stdout);
    // Who cannot be asked, or does not say it, ends nothing.
    let ran = run(&format!(
        "[ {{ get: 'http://{echo}/', capture: {{ source_address: {{ header: date, default: '?' }} }} }} ]"
    ));
    assert!([0, 98].contains(&ran.code), "{}\n{}", ran.stdout, ran.stderr);
    assert!(place.result("out")["problems"].to_string().contains("`source_address`: "), "{}", ran.stdout);
    // Nobody is asked who is not allowed; and what is asked must be captured.
    let ran = run("[ { get: 'http://192.0.2.1/', capture: { source_address: $.ip } } ]");
    assert_eq!(ran.code, 104, "{}", ran.stderr);
    let ran = run(&format!("[ {{ get: 'http://{echo}/' }} ]"));
    assert_eq!(ran.code, 104, "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing captures `source_address`"), "{}", ran.stderr);
}
