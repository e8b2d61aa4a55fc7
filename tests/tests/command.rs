//! The command: demo, report, schemas, forms of output, TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use squall_target::Host;
use squall_target::service::Profile;
use squall_tests::{Place, target};

#[test]
fn the_demo_ends_with_what_was_wrong_and_counts_what_the_shop_counted() {
    let place = Place::new();
    let mut ran = place.run(&["demo", "--out", "out"]);
    // Generators that did not get their processors say so first.
    if ran.stdout.contains(" generator saturated (") {
        ran = place.run(&["demo", "--out", "out"]);
    }
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let result = place.result("out");
    let requests = result["totals"]["requests"].as_u64().unwrap();
    assert_eq!(requests, 3_440, "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("the shop itself counted {requests} requests")), "{}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    assert!(place.path().join("out/plan.yaml").is_file() && !place.path().join("out/fleet").exists());
    // What is printed as found is what the shop says of itself.
    let said: Vec<&str> =
        ran.stdout.lines().filter_map(|line| line.strip_prefix("   autoscaling lag from ")).collect();
    let [truth, found] = said[..] else { unreachable!("{}", ran.stdout) };
    let at_s =
        |line: &str| line.rsplit_once(" at ").unwrap().1.split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((at_s(truth) - at_s(found)).abs() <= 2.0, "{}", ran.stdout);
    assert_eq!(result["findings"][0]["kind"], "autoscaling_lag", "{}", result["findings"]);
}

#[test]
fn a_report_can_be_printed_again_and_damaged_ones_are_refused() {
    let (place, server) = (Place::new(), target(false));
    let plan = format!(
        "target: http://{}\nload: {{ users: 1, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {{ get: /healthz }} , {{ think: 10ms }} ] }} }}",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let first = place.run(&["run", "plan.yaml"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let again = place.run(&["report"]);
    assert!(first.stdout.starts_with(again.stdout.trim_end()), "{}\n{}", first.stdout, again.stdout);
    let json: Value = serde_json::from_str(&place.run(&["report", "--output", "json"]).stdout).unwrap();
    let text = json.to_string();
    place.write("cut.json", &text[..text.len() / 2]);
    place.write("newer.json", &text.replace("\"schema_version\":1", "\"schema_version\":9"));
    place.write("other.json", "{}");
    for (file, expected) in
        [("cut.json", "cut off"), ("newer.json", "form 9"), ("other.json", "not a result")]
    {
        let ran = place.run(&["report", file]);
        assert_eq!(ran.code, 104);
        assert!(ran.stderr.contains(expected), "{file}: {}", ran.stderr);
    }
}

#[test]
fn data_goes_to_standard_output_and_the_rest_elsewhere() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", "target: '{{ env.SHOP }}'\nload: { users: 1, duration: 9m }\nscenarios: { a: { think: 10ms, steps: [ { get: '/{{ path }}' } ] } }\nvariables: { path: x }");
    let mut command = place.command(&[
        "run",
        "plan.yaml",
        "--rate",
        "20/s",
        "--duration",
        "1s",
        "--var",
        "path=healthz",
        "--output",
        "json",
    ]);
    let output = command.env("SHOP", format!("http://{}", server.address())).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let result = &last["result"];
    assert_eq!((result["totals"]["requests"].as_u64(), server.counts().total), (Some(20), 20));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("does not apply in the open model") && stderr.contains("20 requests"),
        "{stderr}"
    );
}

#[test]
fn more_generators_than_users_are_refused() {
    let place = Place::new();
    place.write("plan.yaml", "target: http://127.0.0.1:1\nload: { rate: 9/s, duration: 1s, max_users: 2 }\nscenarios: { a: { steps: [ { get: / } ] } }");
    let ran = place.run(&["run", "plan.yaml", "--generators", "3"]);
    assert_eq!(ran.code, 104, "{}", ran.stderr);
    assert!(ran.stderr.contains("3 generators cannot share 2 users"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--generators 2"), "{}", ran.stderr);
}

#[test]
fn problems_of_a_plan_can_be_read_by_programs() {
    let place = Place::new();
    place.write("plan.yaml", "target: http://127.0.0.1:1\nload: { users: 1, duration: 1s }\nscenarios: { a: { step: 1, steps: [ { get: x } ] } }");
    let ran = place.run(&["validate", "plan.yaml", "--output", "json"]);
    let problems: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, 104);
    let first = &problems["problems"][0];
    assert_eq!(
        (&first["code"], &first["path"], &first["from"]["line"]),
        (&"unknown-key".into(), &"scenarios.a".into(), &3.into())
    );
    assert_eq!(problems["problems"][1]["path"], "scenarios.a.steps[0].get");
}

#[test]
fn the_committed_schemas_are_current() {
    let place = Place::new();
    for of in ["plan", "result", "probe"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schemas/{of}.schema.json"));
        let printed = place.run(&["schema", of]).stdout;
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            printed,
            "run `squall schema {of} > docs/schemas/{of}.schema.json`"
        );
    }
}

/// Answers one request on each connection over TLS, with a certificate of its own authority.
fn tls_target() -> (u16, String) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = issued.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream.unwrap());
            let mut head = [0; 2_048];
            if matches!(tls.read(&mut head), Ok(1..)) {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    (port, pem)
}

#[test]
fn tls_is_spoken_to_whom_the_roots_vouch_for_and_to_nobody_else() {
    let place = Place::new();
    let (port, pem) = tls_target();
    place.write("authority.pem", &pem);
    let run = |host: &str, roots: &str, out: &str| {
        let plan = format!(
            "target: https://{host}:{port}\nhttp: {{ roots: {roots} }}\nload: {{ rate: 10/s, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}"
        );
        place.write("plan.yaml", &plan);
        let mut command = place.command(&["run", "plan.yaml", "--generators", "1", "--out", out]);
        command
            .env("SSL_CERT_FILE", place.path().join("authority.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        place.result(out)["outcomes"].clone()
    };
    assert_eq!(run("localhost", "platform", "trusted"), serde_json::json!({ "200": 10 }));
    assert_eq!(run("localhost", "built_in", "untrusted"), serde_json::json!({ "tls": 10 }));
    assert_eq!(run("127.0.0.1", "platform", "wrong-host"), serde_json::json!({ "tls": 10 }));
}

#[test]
fn generators_connect_from_the_addresses_that_are_given_in_turn() {
    let place = Place::new();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = json!({ "per": "address", "burst": 1, "refill_per_s": 0 });
    let gateway = Host::start(any, Profile::named("gateway").unwrap(), 1, &settings).unwrap();
    let url = format!("http://{}/", gateway.address());
    let load = ["run", &url, "--rate", "60", "--duration", "1s", "--generators", "3", "--out", "out"];
    let ran = place.run(&[&load[..], &["--local-ips", "127.0.0.5,127.0.0.8/30"]].concat());
    assert!(place.path().join("out").exists(), "{}", ran.stderr);
    let result = place.result("out");
    let generators = result["generators"].as_array().unwrap();
    let mut sources: Vec<&str> = generators.iter().filter_map(|own| own["source_ip"].as_str()).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["127.0.0.10", "127.0.0.5", "127.0.0.9"]);
    let truth = gateway.truth();
    assert_eq!(truth.numbers["buckets"], 3);
    assert_eq!(truth.numbers["passed"], 3, "one for each address");
}
