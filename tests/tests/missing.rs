//! Seats that nobody takes on AWS: the report names each with its cause.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use squall_target::Server;
use squall_tests::aws::{Aws, template};
use squall_tests::proxy::Deed;
use squall_tests::{Ran, target};

/// Runs two users for two seconds on so many generators, which have a few seconds to come.
fn run(aws: &Aws, server: &Server, generators: &str, more: &[&str]) -> (Ran, Vec<String>) {
    let steps = "{ get: /healthz }, { think: 100ms }";
    let load = "{ users: 8, duration: 2s }";
    aws.place.write(
        "plan.yaml",
        &format!(
            "target: http://{}\nload: {load}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}\n",
            server.address()
        ),
    );
    let arguments = ["run", "plan.yaml", "--backend", "aws", "--generators", generators, "--out", "out"];
    let ran = aws.run(&[&arguments[..], &["--ready-within", "5s"], more].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let result = aws.place.result("out");
    let missing = result["coverage"]["missing"].as_array().unwrap();
    let missing: Vec<String> = missing.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for line in &missing {
        assert!(ran.stderr.contains(&format!("missing: {line}")), "{}", ran.stderr);
        assert!(ran.stdout.contains(&format!(" missing: {line}")), "{}", ran.stdout);
    }
    assert_eq!(result["problems"], serde_json::json!({}), "all could be asked");
    (ran, missing)
}

/// A run that did not begin, for which one cause is named.
fn check_one(aws: &Aws, server: &Server, words: &[&str]) {
    let (ran, missing) = run(aws, server, "4", &[]);
    assert_eq!((ran.code, server.counts().total), (98, 0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(missing.len(), 1, "{missing:?}");
    println!("{}", missing[0]);
    for word in words {
        assert!(missing[0].contains(word), "`{word}` in {}", missing[0]);
    }
}

#[test]
fn seats_of_a_function_that_may_not_be_invoked_so_often_are_throttled() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy();
    aws.reserve(2);
    // Four, a spare, and two of them sit.
    let limit =
        "throttled (ReservedFunctionConcurrentInvocationLimitExceeded): raise the reserved concurrency of";
    check_one(&aws, &server, &["3 seats: ", limit, "which is 2, to 5 at least"]);
    // Those that sit make the whole load, if they are enough.
    let code = |ran: &Ran| ran.code_but_for_saturation(&aws.place.result("out"));
    let (ran, missing) = run(&aws, &server, "4", &["--start-with", "50%"]);
    assert_eq!(code(&ran), 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(missing.len() == 1 && missing[0].starts_with("3 seats: throttled ("), "{missing:?}");
    // Where only the spare is kept out nobody misses it, and the limit is told all the same.
    aws.reserve(4);
    let (ran, missing) = run(&aws, &server, "4", &[]);
    assert_eq!((code(&ran), missing.len()), (0, 0), "{}\n{}", ran.stdout, ran.stderr);
    let told = aws.place.result("out")["coverage"]["throttled"].to_string();
    println!("{told}");
    assert!(told.contains("1 seat: not taken, and not needed: ") && told.contains(limit), "{told}");
    assert!(
        told.contains("which is 4, to 5 at least") && ran.stdout.contains(" offered in vain: 1 seat"),
        "{told}"
    );
    assert!(ran.stdout.contains(" fleet: ") && ran.stdout.contains(" reused"), "{}", ran.stdout);
    // Nobody looks where nobody is missing.
    aws.reserve(10);
    let (ran, missing) = run(&aws, &server, "4", &[]);
    assert_eq!((code(&ran), missing.len()), (0, 0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(aws.place.result("out")["coverage"]["throttled"], serde_json::json!([]));
}

#[test]
fn seats_of_the_lane_that_is_in_the_way_are_told_from_others() {
    let (aws, server) = (Aws::start(), target(false));
    aws.deploy_with(&["--lanes", "2"]);
    // Seats 0, 2 and 4 are dealt to the first, 1 and 3 to the second.
    aws.reserve(0);
    let function = format!("function `{}`, which is 0, to 3 at least", aws.output("Function"));
    check_one(&aws, &server, &["3 seats: throttled (Reserved", &function]);
}

#[test]
fn seats_of_a_function_that_does_not_start_have_failed_in_init() {
    let (aws, server) = (Aws::start(), target(false));
    // Its settings are missing, so it says so and ends before it takes anything.
    aws.place.write("template.yaml", &template(&[("          SQUALL_BUCKET: !Ref Bucket\n", "")]));
    aws.deploy_with(&["--template", "template.yaml"]);
    check_one(&aws, &server, &["5 seats: failed in init: function `squall-", "(Runtime."]);
}

#[test]
fn seats_behind_a_mapping_that_somebody_closes_are_not_invoked() {
    let (aws, server) = (Aws::behind_a_proxy(), target(false));
    aws.deploy();
    // Whatever is asked of it, it is closed.
    aws.proxy().set(|seen| {
        let opens = seen.method == "PUT" && seen.path.contains("/event-source-mappings/");
        if opens { Deed::Rewrite(r#"{"Enabled":false}"#.to_owned()) } else { Deed::Pass }
    });
    check_one(&aws, &server, &["5 seats: not invoked, as the mapping of function `squall-", "is Disabled"]);
}

#[test]
fn seats_that_were_tried_in_vain_are_among_the_dead_letters() {
    let (aws, server) = (Aws::with_policies(), target(false));
    // A generator that may not read the run gives its seat back, each time that it is tried.
    let read = "              - Sid: ReadRuns\n                Effect: Allow\n                Action: s3:GetObject\n";
    let plans_only = template(&[(read, &read.replace("s3:GetObject", "s3:GetObjectTagging"))]);
    aws.place.write("template.yaml", &plans_only);
    aws.deploy_with(&["--template", "template.yaml"]);
    let dead = aws.output("DeadLetterQueueUrl");
    let words =
        ["5 seats: tried in vain", "among the dead letters (0, 1, 2, 3, 4)", "log of function `squall-"];
    check_one(&aws, &server, &words);
    assert_eq!(aws.backlog(&dead), 5, "they stay there");
    assert!(!aws.receive(&dead).is_empty(), "for everybody to see");
}
