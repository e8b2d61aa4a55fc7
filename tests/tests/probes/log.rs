//! Cold starts, beside what the function's own log says of them.

#![expect(clippy::disallowed_methods, reason = "a real process is waited for by a real clock")]

use std::time::Duration;

use serde_json::{Value, json};
use squall_tests::Ran;
use squall_tests::aws::{Aws, number};
use squall_tests::proxy::Deed;

use super::{COLD, answered, ended, folder, host, signal, until_told, until_told_more, url};

/// Which part of what a cold start takes is the function's own start, and how long the function works.
const INIT: f64 = 0.7;
const WORK_MS: f64 = 100.0;

const GROUP: &str = "/aws/lambda/checkout";

/// A probe that is short: one request, some after each other, and one more.
const SHORTEST: [&str; 6] = ["--set", "sizes=[1]", "--set", "shortest_gap_s=3", "--set", "longest_gap_s=3"];

fn tell(aws: &Aws, action: &str, body: &Value) {
    let headers = [("X-Amz-Target", action)];
    let (status, answer) = aws.http("logs", "POST", "/", &headers, body.to_string().as_bytes());
    assert_eq!(status, 200, "{action}: {answer}");
}

fn make_group(aws: &Aws) {
    tell(aws, "Logs_20140328.CreateLogGroup", &json!({ "logGroupName": GROUP }));
    let stream = json!({ "logGroupName": GROUP, "logStreamName": "s" });
    tell(aws, "Logs_20140328.CreateLogStream", &stream);
}

/// A report at the end of an invocation, every other one as JSON.
fn report(number: usize, ended_s: f64, init_ms: Option<f64>) -> Value {
    let id = format!("r{number}");
    let message = if number.is_multiple_of(2) {
        let init = init_ms.map_or(String::new(), |ms| format!("Init Duration: {ms:.2} ms\t"));
        format!(
            "REPORT RequestId: {id}\tDuration: {WORK_MS:.2} ms\tBilled Duration: 100 ms\tMemory Size: 128 MB\t{init}"
        )
    } else {
        let mut metrics = json!({ "durationMs": WORK_MS });
        if let Some(init_ms) = init_ms {
            metrics["initDurationMs"] = json!(init_ms);
        }
        let record = json!({ "requestId": id, "metrics": metrics });
        json!({ "time": "2026-11-26T09:00:00Z", "type": "platform.report", "record": record }).to_string()
    };
    #[expect(clippy::cast_possible_truncation, reason = "the time in milliseconds")]
    let timestamp = (ended_s * 1e3) as i64;
    json!({ "timestamp": timestamp, "message": message })
}

/// Writes what the service did into the log: inits as they really were, and as many more invocations as it counted, at the
/// seconds at which they came. How long inits took, ascending.
fn write_log(aws: &Aws, service: &squall_target::Host) -> Vec<f64> {
    let (truth, counts) = (service.truth(), service.counts());
    let times = |name: &str| -> Vec<f64> {
        truth.numbers[name].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    };
    // Times count from the first request, which was a cold start.
    let first_s = counts.first_requests_us[0] as f64 / 1e6;
    let mut inits = Vec::new();
    let mut events = Vec::new();
    let mut seconds = counts.seconds;
    for (at_s, until_s) in times("cold_start_s").into_iter().zip(times("cold_until_s")) {
        let init_ms = INIT * ((until_s - at_s) * 1e3 - WORK_MS);
        events.push(report(events.len(), first_s + until_s, Some(init_ms)));
        inits.push(init_ms);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a second since 1970")]
        let second = (first_s + at_s) as u64;
        *seconds.get_mut(&second).unwrap() -= 1;
    }
    for (second, warm) in seconds {
        for _ in 0..warm {
            events.push(report(events.len(), second as f64 + 0.999 + WORK_MS / 1e3, None));
        }
    }
    events.sort_by_key(|event| event["timestamp"].as_i64());
    let put = json!({ "logGroupName": GROUP, "logStreamName": "s", "logEvents": events });
    tell(aws, "Logs_20140328.PutLogEvents", &put);
    inits.sort_by(f64::total_cmp);
    inits
}

#[test]
fn true_init_times_are_read_once_they_are_in_the_log() {
    let aws = Aws::start();
    make_group(&aws);
    let settings = json!({ "keep_alive_s": 5, "work_ms": WORK_MS, "concurrency": 100, "crowd_ms": 0 });
    let service = host("lambda", 7, &settings);
    let url = url(&service);
    let asked = ["probe", "cold-start", &url, "--lambda", "checkout", "--output", "json"];
    let mut child = aws.spawn(&[&asked[..], &COLD].concat());
    let told = until_told(&mut child, "reading log group `/aws/lambda/checkout`");
    // What a function writes is there a while after all was sent.
    let inits = write_log(&aws, &service);
    let ran = ended(child, told);
    let result = answered(&ran);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let log = &result["answer"]["log"];
    println!("{:#}\n{log:#}", result["findings"]);
    assert_eq!(number(log, "/inits"), inits.len() as u64);
    assert_eq!(number(log, "/invocations"), service.counts().total);
    assert_eq!((number(log, "/missing"), number(log, "/inits_between")), (0, 0));
    let near = |pointer: &str, truth: f64, share: f64| {
        let found = log.pointer(pointer).and_then(Value::as_f64).unwrap();
        println!("{pointer}: {found:.1}, truth {truth:.1}");
        assert!((found / truth - 1.0).abs() <= share, "{pointer}: {found} instead of {truth}: {log:#}");
    };
    let [median, most] = [inits[(inits.len() - 1) / 2], inits[inits.len() - 1]];
    near("/init_ms/p50_ms", median, 0.02);
    near("/init_ms/max_ms", most, 0.001);
    // What the probe has seen is what really was: which answers were cold, and what that added.
    near("/beside/cold", number(log, "/beside/inits") as f64, 0.05);
    near("/added_ms/p50_ms", median / INIT - 18.0, 0.1);
    near("/not_init_ms", median / INIT - 18.0 - median, 0.35);
    for round in result["rounds"].as_array().unwrap() {
        let (cold, inits) = (round["cold"].as_f64(), round["inits"].as_f64().unwrap());
        assert!(cold.is_none_or(|cold| (cold - inits).abs() <= 2.0), "{round}");
    }
    let page = std::fs::read_to_string(folder(&aws.place).join("probe.html")).unwrap();
    assert!(page.contains("Inits") && page.contains("an init takes") && page.contains("init, by the log"));
}

#[test]
fn a_log_that_cannot_be_read_fails_no_probe() {
    let aws = Aws::start();
    make_group(&aws);
    let service = host("lambda", 7, &json!({ "keep_alive_s": 600, "work_ms": 20 }));
    let url = url(&service);
    let check = |more: &[&str], without: &[&str], words: &[&str]| {
        let asked = ["probe", "cold-start", &url, "--output", "json"];
        let mut command = aws.command(&[&asked[..], &SHORTEST, more].concat());
        without.iter().for_each(|name| {
            command.env_remove(name);
        });
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        let result = answered(&ran);
        let warnings = result["warnings"].to_string();
        println!("{warnings}");
        words.iter().for_each(|word| assert!(warnings.contains(word), "{word}: {warnings}"));
        assert!(result["answer"]["warm_ms"]["value"].as_f64().is_some(), "{result:#}");
        result
    };
    let refused = ["logs:FilterLogEvents", "/aws/lambda/nobody", "eu-west-1", "you may do that"];
    let missing = check(&["--lambda", "nobody"], &[], &refused);
    assert_eq!(missing["answer"]["log"], Value::Null);
    // Somewhere else, by its ARN, is another log.
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:checkout";
    check(&["--lambda", arn], &[], &["/aws/lambda/checkout", "us-east-1"]);
    check(&["--lambda", "checkout"], &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], &["credentials"]);
    // It is there, and says nothing yet.
    let late = check(&["--lambda", "checkout", "--log-wait", "6s"], &[], &["have no report in the log"]);
    assert_eq!(number(&late["answer"]["log"], "/invocations"), 0);
    assert_eq!(late["answer"]["log"]["init_ms"], Value::Null);
    // Who does not want to wait for it has the rest at once.
    let asked = ["probe", "cold-start", &url, "--output", "json", "--lambda", "checkout", "--log-wait", "1h"];
    let mut child = aws.spawn(&[&asked[..], &SHORTEST].concat());
    let told = until_told(&mut child, "reading log group");
    signal(&child, "-INT");
    let ran = ended(child, told);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(answered(&ran)["warnings"].to_string().contains("have no report in the log"));
}

#[test]
fn what_was_read_of_a_log_is_kept_if_no_more_can_be_read() {
    let aws = Aws::behind_a_proxy();
    make_group(&aws);
    let service = host("lambda", 7, &json!({ "keep_alive_s": 600, "work_ms": 20 }));
    let url = url(&service);
    let asked = ["probe", "cold-start", &url, "--output", "json", "--lambda", "checkout"];
    let mut child = aws.spawn(&[&asked[..], &SHORTEST].concat());
    let told = until_told(&mut child, "round 3:");
    write_log(&aws, &service);
    let (more, stderr) = until_told_more(told, "reading log group");
    // All but what came after the log was written is known by the first look.
    std::thread::sleep(Duration::from_secs(3));
    aws.proxy().set(|_| Deed::Answer(403));
    let ran = ended(child, (more, stderr));
    let result = answered(&ran);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (log, warnings) = (&result["answer"]["log"], result["warnings"].to_string());
    println!("{warnings}");
    assert!(number(log, "/invocations") > 10 && number(log, "/inits") > 0, "{log:#}");
    for word in ["logs:FilterLogEvents", "have no report in the log"] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
}

#[test]
fn where_a_function_is_must_be_known_before_anything_is_sent() {
    let aws_less = squall_tests::Place::new();
    let service = host("lambda", 7, &Value::Null);
    let url = url(&service);
    let check = |more: &[&str], word: &str| {
        let mut command = aws_less.command(&[&["probe", "cold-start", &url], more].concat());
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "none");
        let ran = Ran::from(command.env("AWS_SHARED_CREDENTIALS_FILE", "none").output().unwrap());
        assert!(ran.code == 104 || ran.code == 2, "{more:?}: {} {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains(word), "{more:?}: {}", ran.stderr);
    };
    check(&["--lambda", "checkout"], "give --region");
    check(&["--lambda", "check out"], "a function has a name");
    check(&["--lambda", "checkout", "--region", "eu-west-1", "--region", "us-east-1"], "ARN");
    check(&["--lambda", "checkout", "--region", "eu-west-1", "--stack", "s"], "--backend aws");
    check(&["--log-wait", "5s"], "--lambda");
    assert_eq!(service.counts().total, 0);
}
