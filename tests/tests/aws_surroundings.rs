//! Whatever is wrong around a fleet on AWS: said before anything is sent, with what to do about it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Cursor, Read, Write};

use squall_tests::aws::{Aws, REGION, template, zip};
use squall_tests::proxy::Deed;
use squall_tests::{Ran, check_cut_off, target};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const PLAN: &str = "target: http://127.0.0.1:1\nload: { users: 2, duration: 1s, graceful_stop: 1s }\nscenarios: { a: { steps: [ { get: / } ] } }\n";

/// The command ends with 104, and says so and so.
fn check_wrong(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code, 104, "{}\n{}", ran.stdout, ran.stderr);
    for text in expected {
        assert!(ran.stderr.contains(text), "`{text}` in: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn who_and_where_is_asked_first() {
    let aws = Aws::start();
    aws.place.write("plan.yaml", PLAN);
    let run = ["run", "plan.yaml", "--backend", "aws"];
    let mut command = aws.command(&run);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    check_wrong(&Ran::from(command.output().unwrap()), &["cannot look at stack `squall`", "aws sso login"]);
    let doctor = Ran::from(aws.command(&["doctor"]).env_remove("AWS_ACCESS_KEY_ID").output().unwrap());
    assert!(doctor.code == 1 && doctor.stdout.contains("✗ credentials"), "{}", doctor.stdout);
    let mut command = aws.command(&run);
    command.env_remove("AWS_REGION");
    check_wrong(&Ran::from(command.output().unwrap()), &["no region is set", "--region"]);
    check_wrong(&aws.run(&run), &["there is no stack `squall` in eu-west-1", "squall deploy"]);
    check_wrong(
        &aws.run(&["run", "plan.yaml", "--backend", "aws", "--stack", "1st"]),
        &["a stack's name is"],
    );
    check_wrong(&aws.run(&["stop", "nobody"]), &["there is no stack"]);
    check_wrong(&aws.run(&["run", "plan.yaml", "--stack", "squall"]), &["add --backend aws"]);
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("`squall deploy` makes one"), "{}", doctor.stdout);
}

#[test]
fn a_profile_is_found_where_users_of_aws_keep_it() {
    let aws = Aws::start();
    aws.place.write(
        "aws-config",
        &format!(
            "[profile load]\nregion = {REGION}\naws_access_key_id = test\naws_secret_access_key = test\n"
        ),
    );
    let mut command = aws.command(&["doctor"]);
    command.env_remove("AWS_REGION").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let ran = Ran::from(command.env("AWS_PROFILE", "load").output().unwrap());
    assert!(ran.stdout.contains(&format!("✓ region       {REGION}")), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("✓ credentials"), "{}", ran.stdout);
}

#[test]
fn a_fleet_in_another_region_or_of_another_version_is_not_run_on() {
    let aws = Aws::start();
    aws.place.write("plan.yaml", PLAN);
    aws.deploy();
    let elsewhere = aws.run(&["run", "plan.yaml", "--backend", "aws", "--region", "us-east-1"]);
    check_wrong(&elsewhere, &["there is no stack `squall` in us-east-1", "--region"]);
    let version = "  Version: { Value: !Ref SquallVersion }";
    aws.place.write("old.yaml", &template(&[(version, "  Version: { Value: 0.0.9 }")]));
    aws.deploy_with(&["--template", "old.yaml"]);
    check_wrong(
        &aws.run(&["run", "plan.yaml", "--backend", "aws"]),
        &["is of version 0.0.9", "`squall deploy` brings the stack"],
    );
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("✗ version"), "{}", doctor.stdout);
    aws.deploy();
    assert_eq!(aws.run(&["doctor"]).code, 0);
}

#[test]
fn what_the_account_or_a_generator_cannot_do_is_said_before() {
    let aws = Aws::start();
    aws.place.write("plan.yaml", PLAN);
    aws.deploy_with(&["--timeout", "1m", "--memory", "512"]);
    let run = |more: &[&str]| aws.run(&[&["run", "plan.yaml", "--backend", "aws"], more].concat());
    check_wrong(&run(&["--generators", "1001"]), &["runs 1000 functions at a time", "L-B99A9384"]);
    check_wrong(
        &run(&["--users", "2", "--duration", "50s"]),
        &["a generator lives 60 s", "squall deploy --timeout 15m"],
    );
    check_wrong(&aws.run(&["deploy", "--timeout", "20m"]), &["1 to 15 minutes"]);
    check_wrong(
        &run(&["--generators", "4", "--max-cost", "0.0001"]),
        &["is estimated to cost $", "--max-cost is $0.00010", "GB-s × $0.0000166667", "fewer --generators"],
    );
    assert!(aws.keys().iter().all(|key| key.starts_with("code/")), "nothing was begun");
    let plan = aws.run(&["plan", "plan.yaml", "--backend", "aws", "--stack", "squall", "--generators", "4"]);
    assert!(plan.stdout.contains("and 1 spare of 512 MB over 1s"), "{}\n{}", plan.stdout, plan.stderr);
    assert!(plan.stdout.contains("the account runs 1,000 at a time"), "{}", plan.stdout);
    let doctor = aws.run(&["doctor", "--generators", "2000"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("✗ concurrency"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("512 MB, lives 60 s"), "{}", doctor.stdout);
    // What was asked for once is kept.
    aws.deploy();
    assert!(aws.run(&["doctor"]).stdout.contains("512 MB, lives 60 s"));
}

#[test]
fn a_clock_that_is_off_is_said_before_anything_begins() {
    let aws = Aws::behind_a_proxy();
    aws.place.write("plan.yaml", PLAN);
    aws.deploy();
    aws.proxy().set(|seen| match seen.service.as_str() {
        "sts" => Deed::PassWithDate("Tue, 24 Nov 2020 12:00:00 GMT"),
        _ => Deed::Pass,
    });
    check_wrong(&aws.run(&["run", "plan.yaml", "--backend", "aws"]), &["s off AWS's", "NTP"]);
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("s ahead of AWS's"), "{}", doctor.stdout);
    assert!(aws.keys().iter().all(|key| key.starts_with("code/")), "nothing was begun");
}

#[test]
fn a_part_of_the_fleet_that_somebody_removed_is_named() {
    let (aws, server) = (Aws::start(), target(false));
    aws.place.write("plan.yaml", &PLAN.replace("127.0.0.1:1", &server.address().to_string()));
    aws.deploy();
    let url = squall_tests::aws::encode(&aws.output("QueueUrl"));
    let _ = aws.ask("sqs", &format!("Action=DeleteQueue&Version=2012-11-05&QueueUrl={url}"));
    let run = ["run", "plan.yaml", "--backend", "aws", "--generators", "2"];
    // A run that did not begin is in nobody's way.
    for _ in 0..2 {
        check_wrong(&aws.run(&run), &["cannot send to", "sqs:SendMessage", "squall destroy"]);
    }
    let doctor = aws.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("✗ queue"), "{}", doctor.stdout);
    let bucket = aws.output("Bucket");
    for key in aws.keys() {
        let _ = aws.http("s3", "DELETE", &format!("/{bucket}/{key}"), &[], b"");
    }
    assert_eq!(aws.http("s3", "DELETE", &format!("/{bucket}"), &[], b"").0, 204);
    check_wrong(&aws.run(&run), &["cannot read", &bucket, "s3:GetObject", "squall destroy"]);
    assert_eq!(server.counts().total, 0);
    assert_eq!(aws.run(&["destroy"]).code, 0, "what is left can be removed");
}

/// The zip with another binary, or the same one changed.
fn rezipped(mode: u32, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(fs::read(zip()).unwrap())).unwrap();
    let comment = String::from_utf8(archive.comment().to_vec()).unwrap();
    let mut binary = Vec::new();
    archive.by_name("bootstrap").unwrap().read_to_end(&mut binary).unwrap();
    change(&mut binary);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(mode)).unwrap();
    writer.write_all(&binary).unwrap();
    writer.set_comment(comment).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_zip_that_lambda_could_not_start_is_refused_before_anything_is_deployed() {
    let aws = Aws::start();
    let check = |bytes: Vec<u8>, expected: &str| {
        fs::write(aws.place.path().join("b.zip"), bytes).unwrap();
        check_wrong(&aws.run(&["deploy", "--zip", "b.zip"]), &[expected, "cargo xtask dist"]);
    };
    check(b"nothing".to_vec(), "no zip archive");
    check(rezipped(0o644, |_| ()), "mode 644");
    // An ELF file of PowerPC; then what macOS would start.
    check(rezipped(0o755, |binary| binary[18] = 21), "another processor (ELF machine 21)");
    check(rezipped(0o755, |binary| binary[..4].copy_from_slice(b"\xcf\xfa\xed\xfe")), "no Linux program");
    check_wrong(&aws.run(&["deploy"]), &["neither beside this command nor under `dist`", "--zip"]);
    check_wrong(&aws.run(&["deploy", "--zip", "missing.zip"]), &["cannot read `missing.zip`"]);
    check_wrong(&aws.run(&["doctor", "--generators", "0"]), &["--generators"]);
    assert!(aws.run(&["doctor"]).stdout.contains("there is no `squall`"), "nothing was deployed");
}

#[test]
fn a_deployment_that_fails_is_explained_by_what_failed_first() {
    let aws = Aws::start();
    let retention = "MessageRetentionPeriod: 345600";
    aws.place.write("bad.yaml", &template(&[(retention, "VisibilityTimeout: 99999")]));
    let zip = zip();
    let ran = aws.run(&["deploy", "--zip", &zip.to_string_lossy(), "--template", "bad.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("`DeadLetterQueue`: ") && ran.stderr.contains("VisibilityTimeout"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("ended in ROLLBACK_COMPLETE"), "{}", ran.stderr);
    // What is left of it is no obstacle.
    aws.deploy();
    assert_eq!(aws.run(&["doctor"]).code, 0);
    let again = aws.run(&["deploy", "--zip", &zip.to_string_lossy()]);
    assert!(again.code == 0 && again.stderr.contains("is there already"), "{}", again.stderr);
}

#[test]
fn a_stack_of_somebody_else_is_left_alone() {
    let aws = Aws::start();
    let body = squall_tests::aws::encode("Resources: { Bucket: { Type: AWS::S3::Bucket } }");
    let form = format!("Action=CreateStack&Version=2010-05-15&StackName=theirs&TemplateBody={body}");
    assert!(aws.ask("cloudformation", &form).contains("StackId"));
    let zip = zip();
    let deploy = aws.run(&["deploy", "--stack", "theirs", "--zip", &zip.to_string_lossy()]);
    check_wrong(&deploy, &["`theirs` is no fleet of Squall", "--stack"]);
    check_wrong(&aws.run(&["destroy", "--stack", "theirs", "--force"]), &["`theirs` is no fleet of Squall"]);
    let stacks = aws.ask("cloudformation", "Action=DescribeStacks&Version=2010-05-15&StackName=theirs");
    assert!(stacks.contains("CREATE_COMPLETE"), "{stacks}");
}

#[test]
fn a_template_of_ones_own_may_ask_for_more_and_is_deployed_again() {
    let aws = Aws::start();
    let more = "  CodeKey:\n    Type: String\n";
    let own = "  Team:\n    Type: String\n    Default: load\n";
    aws.place.write("own.yaml", &template(&[(more, &format!("{own}{more}"))]));
    for _ in 0..2 {
        aws.deploy_with(&["--template", "own.yaml"]);
    }
    aws.deploy_with(&["--template", "own.yaml", "--memory", "256"]);
    assert!(aws.run(&["doctor"]).stdout.contains("256 MB"));
}

#[test]
fn a_bucket_with_versions_is_emptied_of_all_of_them() {
    let aws = Aws::start();
    aws.deploy();
    let bucket = aws.output("Bucket");
    let on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(aws.http("s3", "PUT", &format!("/{bucket}?versioning"), &[], on).0, 200);
    for body in ["1", "2", "3"] {
        assert_eq!(aws.http("s3", "PUT", &format!("/{bucket}/runs/x"), &[], body.as_bytes()).0, 200);
    }
    assert_eq!(aws.http("s3", "DELETE", &format!("/{bucket}/runs/x"), &[], b"").0, 204);
    let destroyed = aws.run(&["destroy"]);
    assert_eq!(destroyed.code, 0, "{}", destroyed.stderr);
    // The generator's code, three versions, and the mark that they are deleted.
    assert!(destroyed.stderr.contains("5 objects deleted"), "{}", destroyed.stderr);
}

#[test]
fn a_run_on_the_local_fleet_can_be_stopped_from_elsewhere_too() {
    let (place, server) = (squall_tests::Place::new(), target(false));
    place.write(
        "plan.yaml",
        &PLAN.replace("127.0.0.1:1", &server.address().to_string()).replace("duration: 1s", "duration: 5m"),
    );
    let child = place.start(&["run", "plan.yaml", "--out", "out"]);
    while server.counts().total < 20 {
        std::thread::yield_now();
    }
    let stopped = place.run(&["stop", "out"]);
    assert!(stopped.code == 0 && stopped.stderr.is_empty(), "{}{}", stopped.stdout, stopped.stderr);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 105, "{}\n{}", ran.stdout, ran.stderr);
    check_cut_off(&server, &place.result("out"));
}
