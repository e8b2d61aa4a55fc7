//! What a fleet on AWS may do, and that nobody gets around it; its lanes; and what a run that is over left on.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use squall_target::Server;
use squall_tests::aws::{Aws, number, template};
use squall_tests::{Ran, target};

const RUN: [&str; 6] = ["run", "plan.yaml", "--backend", "aws", "--out", "out"];
const OPEN: &str = "{ rate: 20/s, duration: 2s, max_users: 9, graceful_stop: 1s }";

/// Writes a plan for that URL of the target.
fn plan(aws: &Aws, url: &str, load: &str, more: &str) {
    let steps = "scenarios: { a: { steps: [ { get: /healthz } ] } }";
    aws.place.write("plan.yaml", &format!("target: {url}\nload: {load}\n{more}\n{steps}\n"));
}

fn run(aws: &Aws, generators: &str) -> Ran {
    let ran = aws.run(&[&RUN[..], &["--generators", generators]].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

/// The run was not begun, and that is why.
fn check_refused(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code, 104, "{}\n{}", ran.stdout, ran.stderr);
    for text in expected {
        assert!(ran.stderr.contains(text), "`{text}` in: {}", ran.stderr);
    }
}

/// The run was begun, and the generators refused.
fn check_refused_by_generators(aws: &Aws, server: &Server, ran: &Ran, expected: &str) {
    assert_eq!(ran.code, 98, "{}\n{}", ran.stdout, ran.stderr);
    let result = aws.place.result("out");
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(reasons.contains(expected), "`{expected}` in: {reasons}");
    assert_eq!(server.counts().total, 0);
}

#[test]
fn what_goes_beyond_the_ceilings_of_a_fleet_is_refused_before_anybody_is_invited() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy_with(&["--max-rate", "50", "--max-generators", "2", "--allow", "127.0.0.1"]);
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.stdout.contains("50 iterations/s · 2 generators · hosts 127.0.0.1"), "{}", doctor.stdout);
    let target = url(&server);
    plan(&aws, &target, OPEN, "");
    check_refused(
        &run(&aws, "3"),
        &["the run has 3 generators, and this fleet may have 2", "--generators 2", "--max-generators"],
    );
    plan(&aws, &target, "{ rate: 51/s, duration: 2s, max_users: 9 }", "");
    check_refused(
        &run(&aws, "2"),
        &["up to 51 iterations a second, and this fleet may make 50", "--max-rate"],
    );
    plan(&aws, &target, "{ users: 2, duration: 2s }", "");
    check_refused(&run(&aws, "2"), &["go on as fast as answers come", "think: pace(1s)"]);
    let name = format!("http://localhost:{}", server.address().port());
    plan(&aws, &name, OPEN, "");
    check_refused(
        &run(&aws, "2"),
        &["`localhost` in the plan's `target`", "(127.0.0.1)", "deploy --allow HOST"],
    );
    plan(&aws, &target, OPEN, "allow: [ elsewhere.test ]");
    check_refused(&run(&aws, "2"), &["`elsewhere.test` in the plan's `allow`"]);
    assert!(aws.keys().iter().all(|key| key.starts_with("code/")), "{:?}", aws.keys());
    // What stays within is run, and said before.
    plan(&aws, &target, OPEN, "");
    let ran = run(&aws, "2");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let declared =
        "up to 20 iterations/s (20 requests/s) by up to 9 users, for 3 s, from 2 generators in eu-west-1";
    assert!(ran.stderr.contains(declared) && ran.stderr.contains("to 127.0.0.1 · "), "{}", ran.stderr);
    assert_eq!(server.counts().total, number(&aws.place.result("out"), "/totals/requests"));
    // Ceilings are kept by later deployments, each until it is said anew.
    aws.deploy_with(&["--max-rate", "0", "--allow", "*"]);
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.stdout.contains("✓ ceilings     2 generators"), "{}", doctor.stdout);
    check_refused(&run(&aws, "3"), &["this fleet may have 2"]);
    let own = template(&[("  MaxGenerators:\n", "  Others:\n"), ("!Ref MaxGenerators", "!Ref Others")]);
    aws.place.write("own.yaml", &own);
    let zip = squall_tests::aws::zip();
    let lost = aws.run(&["deploy", "--zip", &zip.to_string_lossy(), "--template", "own.yaml"]);
    check_refused(&lost, &["template has no parameter `MaxGenerators`, which is to be `2`"]);
    aws.deploy_with(&["--template", "own.yaml", "--max-generators", "0"]);
}

#[test]
fn generators_believe_what_they_were_deployed_with_and_no_manifest_or_invitation() {
    let (aws, server) = (Aws::start(), target(false));
    // The stack says that anything goes, and so does the command.
    aws.place.write(
        "template.yaml",
        &template(&[
            ("SQUALL_ALLOWED_HOSTS: !Ref AllowedHosts", "SQUALL_ALLOWED_HOSTS: 127.0.0.1"),
            ("SQUALL_MAX_RATE: !Ref MaxRate", "SQUALL_MAX_RATE: \"50\""),
            ("SQUALL_MAX_GENERATORS: !Ref MaxGenerators", "SQUALL_MAX_GENERATORS: \"2\""),
        ]),
    );
    aws.deploy_with(&["--template", "template.yaml"]);
    let target = url(&server);
    let refused = |generators: &str, expected: &str| {
        check_refused_by_generators(&aws, &server, &run(&aws, generators), expected);
    };
    plan(&aws, &target, "{ rate: 51/s, duration: 2s, max_users: 9 }", "");
    refused("2", "the plan makes up to 51 iterations a second, and this fleet may make 50");
    plan(&aws, &target, OPEN, "");
    refused("3", "the run has 3 generators, and this fleet may have 2");
    plan(&aws, &format!("http://localhost:{}", server.address().port()), OPEN, "");
    refused("2", "`localhost` in the plan's `target` is not among the hosts of this fleet");
    plan(&aws, &target, OPEN, "");
    let ran = run(&aws, "2");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let counted = server.counts().total;

    // By hand: a manifest that was good, changed, and an invitation to it.
    let (bucket, result) = (aws.output("Bucket"), aws.place.result("out"));
    let id = result["run"]["id"].as_str().unwrap();
    let (status, manifest) = aws.http("s3", "GET", &format!("/{bucket}/runs/{id}/manifest"), &[], b"");
    assert_eq!(status, 200, "{manifest}");
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    (manifest["run"], manifest["seats"]) = (json!("mine"), json!(50));
    let key = format!("/{bucket}/runs/mine/manifest");
    assert_eq!(aws.http("s3", "PUT", &key, &[], manifest.to_string().as_bytes()).0, 200);
    open_mapping(&aws, "Mapping");
    let invitation =
        json!({ "version": manifest["version"], "run": "mine", "seat": 0, "expires_at": i64::MAX });
    aws.send(&aws.output("QueueUrl"), &invitation.to_string());
    let begin = Instant::now();
    let ready = loop {
        let ready = aws.keys().into_iter().find(|key| key.starts_with("runs/mine/ready/"));
        if let Some(ready) = ready {
            break ready;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody took the seat");
    };
    let (_, ready) = aws.http("s3", "GET", &format!("/{bucket}/{ready}"), &[], b"");
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready["problem"], "the run has 50 generators, and this fleet may have 2");
    assert_eq!(server.counts().total, counted);
}

/// As somebody does who was interrupted before it was closed.
fn open_mapping(aws: &Aws, output: &str) {
    let path = format!("/2015-03-31/event-source-mappings/{}", aws.output(output));
    let headers = [("Content-Type", "application/json")];
    let (status, answer) = aws.http("lambda", "PUT", &path, &headers, br#"{"Enabled":true}"#);
    assert!(status == 200 || status == 202, "{status} {answer}");
}

#[test]
fn a_fleet_with_two_lanes_has_generators_from_both_and_is_tidied_up_after_a_run_that_died() {
    let (aws, server) = (Aws::behind_a_proxy(), target(false));
    aws.deploy_with(&["--lanes", "2"]);
    let queues = [aws.output("QueueUrl"), aws.output("QueueUrl2")];
    assert_ne!(queues[0], queues[1]);
    plan(&aws, &url(&server), "{ users: 8, duration: 4s }", "");
    let ran = run(&aws, "4");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let result = aws.place.result("out");
    assert_eq!(server.counts().total, number(&result, "/totals/requests"));
    assert_eq!(number(&result, "/coverage/seats/assigned"), 4);
    assert!(ran.stderr.contains("from 4 generators over 2 lanes"), "{}", ran.stderr);
    // Four seats and a spare, in turn: no lane alone has four.
    let sent = |queue: &str| {
        let sent = aws.proxy().seen().into_iter().filter(|seen| seen.operation == "SendMessageBatch");
        let of_queue = sent.filter(|seen| seen.body.contains(&format!("\"{queue}\"")));
        of_queue.map(|seen| seen.body.matches("\"MessageBody\"").count()).sum::<usize>()
    };
    assert_eq!([sent(&queues[0]), sent(&queues[1])], [3, 2]);
    let doctor = aws.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("lives 900 s, 2 lanes"), "{}", doctor.stdout);

    // A run died, and left a lane open.
    open_mapping(&aws, "Mapping2");
    let doctor = aws.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    let finding = "1 of 2 mappings are open, although no run is under way";
    assert!(doctor.stdout.contains(finding), "{}", doctor.stdout);
    let ran = run(&aws, "1");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let said = "a run that is over was not tidied up: 1 of 2 mappings are open; switching that off";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(aws.run(&["doctor"]).code, 0);

    // Fewer lanes, and more again; what was given once is kept.
    aws.deploy_with(&["--lanes", "1"]);
    let queues = aws.ask("sqs", "Action=ListQueues&Version=2012-11-05");
    assert_eq!(queues.matches("<QueueUrl>").count(), 2, "{queues}");
    assert_eq!(run(&aws, "3").code, 0);
    aws.deploy_with(&["--lanes", "3"]);
    aws.deploy();
    let ran = run(&aws, "6");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(number(&aws.place.result("out"), "/coverage/seats/assigned"), 6);
    open_mapping(&aws, "Mapping3");
    let destroyed = aws.run(&["destroy"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
    assert!(
        destroyed.stderr.contains("1 of 3 mappings are open; switching that off"),
        "{}",
        destroyed.stderr
    );
    let queues = aws.ask("sqs", "Action=ListQueues&Version=2012-11-05");
    assert!(!queues.contains("<QueueUrl>"), "{queues}");
}

/// What mappings were asked to become, by the id of each, in the order of the questions.
fn changes(aws: &Aws) -> BTreeMap<String, Vec<Value>> {
    let mut changes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for seen in aws.proxy().seen() {
        let id = seen.path.split_once("/event-source-mappings/").map(|(_, id)| id.to_owned());
        if let Some(id) = id.filter(|_| seen.method == "PUT") {
            changes.entry(id).or_default().push(serde_json::from_str(&seen.body).unwrap_or_default());
        }
    }
    changes
}

#[test]
fn pollers_are_asked_for_in_each_lane_and_a_run_that_fails_or_is_interrupted_closes_all() {
    let (aws, server) = (Aws::behind_a_proxy(), target(false));
    aws.deploy_with(&["--lanes", "2"]);
    let deployed = changes(&aws).values().map(Vec::len).max().unwrap_or(0);
    let users = "{ users: 240, duration: 5s }";
    plan(&aws, &url(&server), users, "");
    // Two lanes of 118 and 117 seats; the emulator has no pollers and takes five at a time.
    let many = [&RUN[..], &["--generators", "230", "--ready-within", "2s"]].concat();
    let failed = aws.run(&many);
    assert_eq!(failed.code, 98, "{}\n{}", failed.stdout, failed.stderr);
    let mut child = aws.spawn(&[&RUN[..], &["--generators", "230"]].concat());
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(progress.any(|line| line.unwrap().contains("of 230 generators ready")), "it never began");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    // Whoever writes to nobody would fail.
    let rest = std::thread::spawn(move || progress.count());
    assert_eq!(child.wait().unwrap().code(), Some(105));
    rest.join().unwrap();
    let open =
        json!({ "Enabled": true, "ProvisionedPollerConfig": { "MinimumPollers": 12, "MaximumPollers": 12 } });
    let close = json!({ "Enabled": false });
    let changes = changes(&aws);
    assert_eq!(changes.len(), 2);
    for changes in changes.values() {
        assert_eq!(changes[deployed..], [open.clone(), close.clone(), open.clone(), close.clone()]);
    }
    assert_eq!(server.counts().total, 0);
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.stdout.contains("✓ mapping      closed, as between runs"), "{}", doctor.stdout);
}

#[test]
fn setup_is_done_on_a_fleet_that_was_taken_and_a_failed_one_gives_it_back() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    let setup = |steps: &str| format!("setup: [ {{ get: /healthz }}, {steps} ]");
    plan(&aws, &url(&server), OPEN, &setup("{ think: 4s }"));
    let child = aws.spawn(&[&RUN[..], &["--generators", "2"]].concat());
    let begin = Instant::now();
    while server.counts().total == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "the setup never began");
        std::thread::yield_now();
    }
    let second = aws.run(&["run", "plan.yaml", "--backend", "aws", "--generators", "2"]);
    check_refused(&second, &["is under way on stack `squall`"]);
    assert_eq!(server.counts().total, 1, "who has no fleet does no setup");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    plan(&aws, &url(&server), OPEN, &setup("{ get: /nowhere }"));
    let failed = run(&aws, "2");
    assert_eq!(failed.code, 1, "{}\n{}", failed.stdout, failed.stderr);
    assert!(failed.stderr.contains("setup failed, and no load was made"), "{}", failed.stderr);
    plan(&aws, &url(&server), OPEN, "");
    let ran = run(&aws, "2");
    assert_eq!(ran.code, 0, "the fleet is free at once: {}", ran.stderr);
}

/// Where Lambda talks to the generators that this emulator has started.
fn runtime_apis(aws: &Aws) -> Vec<String> {
    let endpoint = format!("AWS_ENDPOINT_URL={}", aws.endpoint());
    let processes = fs::read_dir("/proc").map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let variables = processes.iter().filter_map(|process| fs::read(process.path().join("environ")).ok());
    let own = variables.filter_map(|variables| {
        let variables = String::from_utf8_lossy(&variables).into_owned();
        let has_endpoint = variables.split('\0').any(|variable| variable == endpoint);
        let api = variables.split('\0').find_map(|variable| variable.strip_prefix("AWS_LAMBDA_RUNTIME_API="));
        api.filter(|_| has_endpoint).map(str::to_owned)
    });
    own.collect()
}

/// Sends everybody who asks to where Lambda talks to one of the generators, until it is asked for the last time.
fn redirect_to_runtime(listener: &TcpListener, aws: &Aws) {
    for turn in 0.. {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut head = [0; 4_096];
        let read = stream.read(&mut head).unwrap_or(0);
        if read == 0 {
            return;
        }
        let apis = runtime_apis(aws);
        let location = apis.get(turn % apis.len().max(1)).map_or("", String::as_str);
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{location}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        // Who has left does not want to know.
        let _ = stream.write_all(answer.as_bytes());
    }
}

#[test]
fn no_load_goes_to_where_lambda_talks_to_its_generator() {
    let aws = Aws::start();
    aws.deploy();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    plan(&aws, &format!("http://{address}"), "{ rate: 10/s, duration: 4s, max_users: 9 }", "");
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| redirect_to_runtime(&listener, &aws));
        let ran = run(&aws, "1");
        drop(TcpStream::connect(address));
        ran
    });
    let result = aws.place.result("out");
    // Another generator's is as good as any service of this machine here; on Lambda it is on another machine.
    assert!(number(&result, "/outcomes/forbidden") > 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(result["outcomes"]["200"].is_null(), "{}", result["outcomes"]);
    let problems = result["problems"].to_string();
    assert!(problems.contains("is an address that no load may go to"), "{problems}");
}
