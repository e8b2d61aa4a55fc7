//! Certificates of a plan's own, against a server that wants to see one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use squall_tests::Place;
use squall_tests::script::{Act, Script, Server, tls};

/// A run against a server that speaks to those only who show a certificate; what came of it.
fn run(settings: &str) -> (i32, Value) {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let script = Script::new([Act::Head, Act::text(reply)]).within(tls::config_for_clients());
    let server = Server::start(script, Vec::new());
    let place = Place::new();
    let (certificate, key) = tls::client_pem();
    place.write("authority.pem", &tls::authority_pem());
    place.write("client.pem", &certificate);
    place.write("client.key", &key);
    let plan = format!(
        "target: https://{}\nhttp: {{ tls: {{ {settings} }} }}\nload: {{ users: 2, duration: 1s }}\n\
         scenarios: {{ a: {{ think: 50ms, steps: [ {{ get: / }} ] }} }}",
        server.address()
    );
    place.write("plan.yaml", &plan);
    let mut command = place.command(&["run", "plan.yaml", "--generators", "1", "--out", "out"]);
    let output = command.env("CLIENT_KEY", &key).output().unwrap();
    let code = output.status.code().unwrap();
    assert!([0, 99].contains(&code), "{code}: {}", String::from_utf8_lossy(&output.stderr));
    let result = place.result("out");
    if code == 0 {
        assert_eq!(Some(server.heads()), result["totals"]["requests"].as_u64());
    }
    (code, result["outcomes"].clone())
}

#[test]
fn a_server_that_wants_a_certificate_gets_that_of_the_plan() {
    let (code, outcomes) = run("ca: authority.pem, certificate: client.pem, key: client.key");
    assert!(code == 0 && outcomes.as_object().unwrap().keys().all(|outcome| outcome == "200"), "{outcomes}");
    // Also where the key is no file.
    let (code, _) = run("ca: authority.pem, certificate: client.pem, key: '{{ env.CLIENT_KEY }}'");
    assert_eq!(code, 0);
}

#[test]
fn without_certificates_of_its_own_a_plan_is_turned_away() {
    for settings in ["ca: authority.pem", "certificate: client.pem, key: client.key"] {
        let (code, outcomes) = run(settings);
        assert_eq!((code, outcomes.get("200")), (99, None), "{settings}: {outcomes}");
        assert!(outcomes.get("tls").is_some(), "{settings}: {outcomes}");
    }
}
