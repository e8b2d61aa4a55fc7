//! Certificates of a plan's own, against a server that wants to see one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use squall_tests::Place;
use squall_tests::script::{Act, Script, Server, tls};

/// A run against a server that speaks to those only who show a certificate; how requests ended.
fn run(settings: &str) -> Value {
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
    // On a machine that is busy with other things the generator may have been the bottleneck.
    let code = output.status.code().unwrap();
    assert!([0, 98, 99].contains(&code), "{code}: {}", String::from_utf8_lossy(&output.stderr));
    let outcomes = place.result("out")["outcomes"].clone();
    assert_eq!(server.heads(), outcomes["200"].as_u64().unwrap_or(0), "{outcomes}");
    outcomes
}

#[test]
fn a_server_that_wants_a_certificate_gets_that_of_the_plan() {
    // Also where the key is no file.
    for key in ["client.key", "'{{ env.CLIENT_KEY }}'"] {
        let outcomes = run(&format!("ca: authority.pem, certificate: client.pem, key: {key}"));
        let all_good = outcomes.as_object().unwrap().keys().all(|outcome| outcome == "200");
        assert!(all_good && outcomes["200"].as_u64() > Some(0), "{key}: {outcomes}");
    }
}

#[test]
fn without_certificates_of_its_own_a_plan_is_turned_away() {
    for settings in ["ca: authority.pem", "certificate: client.pem, key: client.key"] {
        let outcomes = run(settings);
        assert!(
            outcomes["tls"].as_u64() > Some(0) && outcomes.get("200").is_none(),
            "{settings}: {outcomes}"
        );
    }
}
