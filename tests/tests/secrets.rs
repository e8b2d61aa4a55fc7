//! Secrets: requests carry them, and nothing else that a run writes does.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use squall_tests::aws::{Aws, encode};
use squall_tests::{Place, target};

const SECRET: &str = "Tr0ub4dor \"&3\" <é>";

/// The secret in every form in which it is sent.
fn forms() -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let json = Value::from(SECRET).to_string();
    let user = STANDARD.encode(format!("ada:{SECRET}"));
    let alone = STANDARD.encode(SECRET);
    let forms = [
        SECRET,
        json.trim_matches('"'),
        &encode(SECRET),
        user.trim_end_matches('='),
        alone.trim_end_matches('='),
    ];
    forms.iter().map(ToString::to_string).collect()
}

/// Fails if bytes that were written anywhere have the secret.
fn check(written: &[u8], place: &str) {
    let text = String::from_utf8_lossy(written);
    for form in forms() {
        assert!(!text.contains(&form), "{place} has the secret as `{form}`:\n{text}");
    }
}

fn check_folder(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += check_folder(&path);
        } else if let Ok(bytes) = fs::read(&path) {
            check(&bytes, &path.display().to_string());
            files += 1;
        }
    }
    files
}

/// A plan that does with its secret whatever could show it. `end` is a step at its end.
fn plan(address: impl std::fmt::Display, source: &str, end: &str) -> String {
    format!(
        r#"target: http://{address}
secrets: {{ password: {source} }}
load: {{ users: 2, duration: 3s, graceful_stop: 1s }}
scenarios:
  a:
    steps:
      - get: "/healthz?password={{{{ secret.password }}}}"
        name: GET /healthz
        headers: {{ x-password: "{{{{ secret.password | urlencode }}}}" }}
        auth: {{ basic: {{ user: ada, password: "{{{{ secret.password }}}}" }} }}
      - post: /api/v1/auth/login
        json: {{ email: "{{{{ secret.password }}}}", password: "{{{{ secret.password }}}}" }}
        capture: {{ missing: $.nothing.here }}
        on_failure: continue
      - log: "the password is {{{{ secret.password }}}}, packed {{{{ secret.password | base64 }}}}"
      - get: "{{{{ secret.password }}}}"
        name: GET nowhere
        on_failure: continue
      - think: 200ms
      {end}
"#
    )
}

#[test]
fn a_local_run_sends_a_secret_and_writes_it_nowhere() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(server.address(), "{ env: SHOP_PASSWORD }", ""));
    let output =
        place.command(&["run", "plan.yaml", "--out", "out"]).env("SHOP_PASSWORD", SECRET).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(server.counts().total > 10, "{stdout}\n{stderr}");
    check(&output.stdout, "standard output");
    check(&output.stderr, "standard error");
    assert!(check_folder(place.path()) >= 3);
    let notes = fs::read_to_string(place.path().join("out/result.json")).unwrap();
    assert!(notes.contains("the password is ***, packed ***"), "{notes}");
}

#[test]
fn a_run_that_dies_leaves_no_secret_behind() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(server.address(), "{ env: SHOP_PASSWORD }", ""));
    let mut command = place.command(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    let mut child =
        command.env("SHOP_PASSWORD", SECRET).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(3_500));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(server.counts().total > 0);
    // Bundle, manifest, control, assignment, and of each generator that it is ready and what it measured.
    let files = check_folder(place.path());
    assert!(files >= 8, "{files} files");
}

#[test]
fn a_plan_that_ends_the_run_does_not_say_why_in_clear() {
    let (place, server) = (Place::new(), target(false));
    let end = "- fail: \"no {{ secret.password }}\"";
    place.write("plan.yaml", &plan(server.address(), "{ env: SHOP_PASSWORD }", end));
    for more in [&["--once"][..], &["--once", "--output", "json"], &["--output", "json"]] {
        let arguments = [&["run", "plan.yaml"], more].concat();
        let output = place.command(&arguments).env("SHOP_PASSWORD", SECRET).output().unwrap();
        check(&output.stdout, "standard output");
        check(&output.stderr, "standard error");
        assert!(String::from_utf8_lossy(&output.stdout).contains("***"));
    }
}

#[test]
fn a_secret_that_is_not_there_is_named_at_its_place() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(server.address(), "{ env: SHOP_PASSWORD }", ""));
    let ran = place.run(&["validate", "plan.yaml"]);
    assert_eq!(ran.code, 104);
    assert!(ran.stderr.contains("environment variable `SHOP_PASSWORD` is not set"), "{}", ran.stderr);
    assert!(ran.stderr.contains("plan.yaml:2:"), "{}", ran.stderr);
}

#[test]
fn generators_on_aws_fetch_secrets_and_write_them_nowhere() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    aws.keep_secret("/squall/one", SECRET);
    aws.keep_secret("squall/other", &json!({ "password": SECRET }).to_string());
    for source in ["{ ssm: /squall/one }", "{ secrets_manager: 'squall/other#password' }"] {
        aws.place.write("plan.yaml", &plan(server.address(), source, ""));
        let before = server.counts().total;
        let ran = aws.run(&["run", "plan.yaml", "--backend", "aws", "--generators", "2", "--out", "out"]);
        assert!(server.counts().total > before + 10, "{}\n{}", ran.stdout, ran.stderr);
        check(ran.stdout.as_bytes(), "standard output");
        check(ran.stderr.as_bytes(), "standard error");
        check_folder(aws.place.path());
    }
    let (bucket, keys) = (aws.output("Bucket"), aws.keys());
    assert!(keys.len() > 15, "{keys:?}");
    for key in keys {
        let (status, object) = aws.http("s3", "GET", &format!("/{bucket}/{key}"), &[], b"");
        assert_eq!(status, 200);
        check(object.as_bytes(), &key);
    }
    let groups = logs(&aws, "DescribeLogGroups", &json!({}));
    let group = &groups["logGroups"][0]["logGroupName"];
    let streams = logs(&aws, "DescribeLogStreams", &json!({ "logGroupName": group }));
    let streams = streams["logStreams"].as_array().unwrap();
    assert!(!streams.is_empty());
    for stream in streams {
        let which = json!({ "logGroupName": group, "logStreamName": stream["logStreamName"] });
        check(logs(&aws, "GetLogEvents", &which).to_string().as_bytes(), "a log");
    }
    aws.place.write("plan.yaml", &plan(server.address(), "{ ssm: /squall/none }", ""));
    let ran = aws.run(&["run", "plan.yaml", "--backend", "aws", "--generators", "2", "--out", "none"]);
    assert_eq!(ran.code, 98, "{}", ran.stderr);
    let reasons = aws.place.result("none")["verdict"]["reasons"].to_string();
    assert!(
        reasons.contains("SSM parameter `/squall/none`") && reasons.contains("ParameterNotFound"),
        "{reasons}"
    );
    aws.place.write("plan.yaml", &plan(server.address(), "{ env: HOME }", ""));
    let ran = aws.run(&["run", "plan.yaml", "--backend", "aws", "--out", "none"]);
    assert_eq!(ran.code, 104);
    assert!(ran.stderr.contains("which only this machine has"), "{}", ran.stderr);
}

/// Asks about the fleet's logs.
fn logs(aws: &Aws, action: &str, what: &Value) -> Value {
    let target = format!("Logs_20140328.{action}");
    let answer = aws.http("logs", "POST", "/", &[("X-Amz-Target", &target)], what.to_string().as_bytes());
    serde_json::from_str(&answer.1).unwrap()
}
