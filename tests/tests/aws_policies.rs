//! With policies enforced: the function's role and the operator's policy allow what is needed, and no less would do.

#![expect(clippy::disallowed_methods, reason = "a real process is timed by a real clock")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use squall_tests::aws::{Aws, encode, number, root, tag, template};
use squall_tests::proxy::Seen;
use squall_tests::target;

/// Statements whose actions the emulator does not check; tests of the template stand for them.
const UNCHECKED: [&str; 4] = ["ReadParameters", "ReadSecrets", "ReceiveSeats", "WriteLogs"];

const RUN: &str = "a run measures what the target counted";
const FOREIGN: &str = "what is no seat goes to the dead letters at once";

/// An account with policies, in which the secrets are that `exercise` needs.
fn account() -> Aws {
    let aws = Aws::with_policies();
    aws.keep_secret("/squall/one", "1");
    aws.keep_secret("squall/other", "2");
    aws
}

/// The two things that a generator needs permissions for, done once. Says which did not work, and why.
fn exercise(aws: &Aws) -> Result<(), (&'static str, String)> {
    let server = target(false);
    let steps = "{ get: '/healthz?{{ secret.one }}{{ secret.other }}' }, { think: 100ms }";
    let secrets = "{ one: { ssm: /squall/one }, other: { secrets_manager: squall/other } }";
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nsecrets: {secrets}\nload: {{ users: 4, duration: 6s, graceful_stop: 1s }}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}",
            server.address()
        ),
    );
    let dead = aws.output("DeadLetterQueueUrl");
    let before = aws.backlog(&dead);
    aws.send(&aws.output("QueueUrl"), "no seat");
    let run =
        ["run", "plan.yaml", "--backend", "aws", "--generators", "2", "--out", "out", "--ready-within", "6s"];
    let ran = aws.run(&run);
    let result = aws.place.result("out");
    if ran.code_but_for_saturation(&result) != 0 {
        let reasons = result["verdict"]["reasons"].as_array().unwrap();
        let texts: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
        return Err((RUN, texts.join("; ")));
    }
    let (counted, reported) = (server.counts().total, number(&result, "/totals/requests"));
    if counted != reported {
        return Err((RUN, format!("{counted} counted, {reported} reported")));
    }
    let begin = Instant::now();
    while aws.backlog(&dead) == before {
        if begin.elapsed() > Duration::from_secs(3) {
            return Err((FOREIGN, "it is not there".to_owned()));
        }
    }
    Ok(())
}

/// The statements of the function's role: their names, and their texts in the template.
fn statements() -> Vec<(String, String)> {
    let template = template(&[]);
    let (_, role) = template.split_once("  Role:\n").unwrap();
    let (role, _) = role.split_once("\n\n").unwrap();
    let (_, policy) = role.split_once("PolicyName: generator").unwrap();
    let mark = "              - Sid: ";
    let texts = policy.split(mark).skip(1);
    texts.map(|text| (text.lines().next().unwrap().to_owned(), format!("{mark}{text}"))).collect()
}

/// Whether a generator asks for what a statement allows.
fn is_of(statement: &str, seen: &Seen) -> bool {
    let by_a_generator = seen.access_key.starts_with("ASIA");
    by_a_generator
        && match statement {
            "ReadRuns" => seen.service == "s3" && seen.method == "GET",
            "WriteReady" => seen.writes("/ready/"),
            "WriteSnapshots" => seen.writes("/snapshots/"),
            "WriteFinal" => seen.writes("/final/"),
            _ => seen.operation == "ChangeMessageVisibility",
        }
}

#[test]
fn each_statement_of_the_functions_role_is_needed() {
    let aws = account();
    aws.deploy();
    exercise(&aws).unwrap();
    let all = statements();
    assert_eq!(all.len(), 9);
    for (name, text) in all {
        if UNCHECKED.contains(&name.as_str()) {
            println!("{name} → not checked here; see the tests of the template");
            continue;
        }
        aws.place.write("without.yaml", &template(&[(text.trim_end_matches('\n'), "")]));
        aws.deploy_with(&["--template", "without.yaml"]);
        let before = aws.proxy().seen().len();
        let (failing, why) = exercise(&aws).expect_err(&name);
        let denied =
            aws.proxy().seen().into_iter().skip(before).find(|seen| seen.status == 403 && is_of(&name, seen));
        assert!(denied.is_some(), "{name}: nothing of the kind was denied to a generator");
        println!("{name} → {failing}: {why}");
        let expected = if name == "GiveBackSeats" { FOREIGN } else { RUN };
        assert_eq!(failing, expected, "{why}");
    }
    aws.deploy();
    exercise(&aws).unwrap();
}

#[test]
fn a_denied_write_is_told_with_its_action_and_its_object() {
    let aws = account();
    let all = statements();
    let (_, snapshots) = all.iter().find(|(name, _)| name == "WriteSnapshots").unwrap();
    aws.place.write("without.yaml", &template(&[(snapshots.trim_end_matches('\n'), "")]));
    aws.deploy_with(&["--template", "without.yaml"]);
    let (_, why) = exercise(&aws).unwrap_err();
    assert!(why.contains("s3:PutObject") && why.contains("/snapshots/"), "{why}");
}

/// A user with the policy of `infra/operator-policy.json`, which `change` may alter.
fn operator(aws: &mut Aws, change: impl Fn(&mut Value)) {
    let text = fs::read_to_string(root().join("infra/operator-policy.json")).unwrap();
    let mut policy: Value = serde_json::from_str(&text).unwrap();
    change(&mut policy);
    // On AWS `sqs:SendMessage` allows batches, too; the emulator asks for an action of its own.
    let statements = policy["Statement"].as_array_mut().unwrap();
    if let Some(invite) = statements.iter_mut().find(|own| own["Sid"] == "Invite") {
        invite["Action"].as_array_mut().unwrap().push(json!("sqs:SendMessageBatch"));
    }
    // And for another one than AWS where it is asked how many invocations are reserved.
    if let Some(look) = statements.iter_mut().find(|own| own["Sid"] == "LookForMissing") {
        look["Action"].as_array_mut().unwrap().push(json!("lambda:PutFunctionConcurrency"));
    }
    let iam = |form: &str| aws.ask("iam", &format!("{form}&Version=2010-05-08&UserName=operator"));
    let _ = iam("Action=CreateUser");
    let document = encode(&policy.to_string());
    let put = iam(&format!("Action=PutUserPolicy&PolicyName=squall&PolicyDocument={document}"));
    assert!(put.contains("PutUserPolicyResponse"), "{put}");
    let key = iam("Action=CreateAccessKey");
    let (access_key, secret_key) = (tag(&key, "AccessKeyId").unwrap(), tag(&key, "SecretAccessKey").unwrap());
    aws.become_user(&access_key, &secret_key);
}

#[test]
fn the_operators_policy_is_enough_for_everything() {
    let mut aws = account();
    operator(&mut aws, |_| ());
    aws.deploy();
    exercise(&aws).unwrap();
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.stdout.contains("user/operator"), "{}", doctor.stdout);
    assert_eq!(doctor.stdout.matches('✗').count(), 1, "only the dead letter is found: {}", doctor.stdout);
    assert_eq!(aws.run(&["stop", "nobody"]).code, 104);
    // Why seats are not taken is found, too, and a run is the same for whoever may not look.
    aws.reserve(1);
    let run =
        ["run", "plan.yaml", "--backend", "aws", "--generators", "2", "--out", "out", "--ready-within", "4s"];
    let ran = aws.run(&run);
    assert_eq!(ran.code, 98, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("missing: 2 seats: throttled ("), "{}", ran.stderr);
    assert_eq!(aws.place.result("out")["problems"], json!({}), "{}", ran.stdout);
    operator(&mut aws, |policy| {
        let statements = policy["Statement"].as_array_mut().unwrap();
        statements.retain(|own| own["Sid"] != "LookForMissing" && own["Sid"] != "LookAtDeadLetters");
    });
    let ran = aws.run(&run);
    assert_eq!(ran.code, 98, "{}\n{}", ran.stdout, ran.stderr);
    let problems = aws.place.result("out")["problems"].to_string();
    for action in ["lambda:InvokeFunction", "lambda:GetFunctionConcurrency", "sqs:ReceiveMessage"] {
        assert!(problems.contains(action), "{action} in {problems}");
    }
    operator(&mut aws, |_| ());
    let destroyed = aws.run(&["destroy"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
}

#[test]
fn an_operator_who_may_not_is_told_which_action_on_what() {
    let mut aws = account();
    aws.deploy();
    aws.place.write("plan.yaml", "target: http://127.0.0.1:1\nload: { users: 2, duration: 1s }\nscenarios: { a: { steps: [ { get: / } ] } }");
    let check = |aws: &mut Aws, statement: &str, expected: &[&str]| {
        operator(aws, |policy| {
            policy["Statement"].as_array_mut().unwrap().retain(|own| own["Sid"] != statement);
        });
        let ran =
            aws.run(&["run", "plan.yaml", "--backend", "aws", "--generators", "2", "--ready-within", "5s"]);
        assert_eq!(ran.code, 104, "{statement}: {}\n{}", ran.stdout, ran.stderr);
        for text in expected.iter().chain(&["operator-policy.json"]) {
            assert!(ran.stderr.contains(text), "`{text}` in: {}", ran.stderr);
        }
        println!(
            "{statement} → {}",
            ran.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default()
        );
    };
    check(&mut aws, "LookAtStack", &["stack `squall`", "cloudformation:DescribeStacks"]);
    check(&mut aws, "Runs", &["s3://squall-bucket-", "s3:GetObject"]);
    check(&mut aws, "Invite", &["send to `http", "sqs:SendMessage"]);
    check(&mut aws, "ListRuns", &["list `s3://squall-bucket-", "s3:ListBucket"]);
}

#[test]
fn credentials_that_have_expired_are_told_apart() {
    let mut aws = account();
    aws.deploy();
    aws.become_user("AKIAIOSFODNN7EXAMPLE", "nobody's");
    aws.place.write("plan.yaml", "target: http://127.0.0.1:1\nload: { users: 2, duration: 1s }\nscenarios: { a: { steps: [ { get: / } ] } }");
    let ran = aws.run(&["run", "plan.yaml", "--backend", "aws"]);
    assert_eq!(ran.code, 104, "{}", ran.stderr);
    assert!(ran.stderr.contains("aws sso login"), "{}", ran.stderr);
    // A session of one second.
    let trust = encode(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#,
    );
    let role = aws.ask(
        "iam",
        &format!("Action=CreateRole&Version=2010-05-08&RoleName=short&AssumeRolePolicyDocument={trust}"),
    );
    let arn = encode(&tag(&role, "Arn").unwrap());
    let session = aws.ask(
        "sts",
        &format!("Action=AssumeRole&Version=2011-06-15&RoleArn={arn}&RoleSessionName=s&DurationSeconds=1"),
    );
    let (key, secret) = (tag(&session, "AccessKeyId").unwrap(), tag(&session, "SecretAccessKey").unwrap());
    let token = tag(&session, "SessionToken").unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2_200) {
        std::thread::yield_now();
    }
    aws.become_user(&key, &secret);
    let mut command = aws.command(&["run", "plan.yaml", "--backend", "aws"]);
    let ran = squall_tests::Ran::from(command.env("AWS_SESSION_TOKEN", token).output().unwrap());
    assert_eq!(ran.code, 104, "{}", ran.stderr);
    assert!(ran.stderr.contains("Expired") && ran.stderr.contains("aws sso login"), "{}", ran.stderr);
}

#[test]
fn an_operator_may_read_what_cloudwatch_knows() {
    let mut aws = account();
    let server = target(false);
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nload: {{ users: 1, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {{ get: /healthz }} ] }} }}\n\
             telemetry: [ {{ cloudwatch: {{ lambda: checkout }} }} ]",
            server.address()
        ),
    );
    let problems = |aws: &Aws| -> Vec<String> {
        let ran = aws.run(&["run", "plan.yaml", "--out", "out"]);
        let result = aws.place.result("out");
        assert_eq!(ran.code_but_for_saturation(&result), 0, "{}", ran.stderr);
        result["problems"].as_object().unwrap().keys().cloned().collect()
    };
    operator(&mut aws, |_| ());
    let allowed = problems(&aws);
    assert!(allowed.iter().all(|problem| !problem.contains("AccessDenied")), "{allowed:?}");
    operator(&mut aws, |policy| {
        policy["Statement"].as_array_mut().unwrap().retain(|own| own["Sid"] != "ReadTelemetry");
    });
    let denied = problems(&aws);
    for action in ["cloudwatch:GetMetricData", "logs:FilterLogEvents"] {
        let told = denied.iter().any(|problem| problem.contains(action) && problem.contains("AccessDenied"));
        assert!(told, "{action} in {denied:?}");
    }
}
