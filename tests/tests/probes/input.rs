//! What a probe says of services and machines that do not tell what it asks.

#![expect(clippy::disallowed_methods, reason = "a real process is waited for by a real clock")]

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use squall_tests::aws::Aws;
use squall_tests::proxy::Deed;
use squall_tests::python::python;
use squall_tests::script::tls::{Certificate, config};
use squall_tests::script::{Act, Script, Server};
use squall_tests::{Place, Ran};

use super::{COLD, LIMIT, SHORT, answered, check_near, end_in_round, folder, host, number, probe, url};

/// Probes that are short.
const CALM: [&str; 6] = ["--max-rate", "40", "--set", "step_s=4", "--set", "start_per_s=20"];
const FEW: [&str; 6] = ["--max-rate", "40", "--set", "most_burst=20", "--set", "longest_idle_s=2"];
const PAUSE: [&str; 6] = ["--set", "sizes=[1]", "--set", "shortest_gap_s=3", "--set", "longest_gap_s=3"];

fn warnings(result: &Value) -> String {
    result["warnings"].to_string()
}

/// One that was stopped before it knew anything.
fn check_stopped(ran: &Ran, result: &Value, words: &[&str]) {
    let reason = result["ending"]["reason"].to_string();
    println!("{}: {reason}", result["probe"]["kind"]);
    assert_eq!((ran.code, &result["ending"]["outcome"]), (98, &json!("stopped")), "{}", ran.stderr);
    words.iter().for_each(|word| assert!(reason.contains(word), "{word}: {reason}"));
}

#[test]
fn broken_tls_is_told_with_what_may_mend_it() {
    let plain = host("healthy", 1, &Value::Null);
    let strange = Script::new([Act::Head, Act::text("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]);
    let strange = Server::start(strange.within(config(Certificate::Unknown, &["http/1.1"])), Vec::new());
    let urls = [format!("https://{}/", plain.address()), format!("https://{}/", strange.address())];
    for (url, what) in urls.iter().zip(["InvalidContentType", "UnknownIssuer"]) {
        for kind in ["capacity", "throttle", "cold-start"] {
            let (ran, result) = probe(&Place::new(), &[kind, url]);
            check_stopped(&ran, &result, &["tls", what, "see that it speaks TLS"]);
            assert_eq!(number(&result, "/sent/rounds"), 1, "{result:#}");
        }
    }
    assert_eq!((plain.counts().total, strange.heads()), (0, 0));
}

#[test]
fn answers_out_of_a_cache_are_told() {
    let reply = |headers: &str| {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok");
        let pause = Act::Idle(Duration::from_millis(20));
        Server::start(Script::new([Act::Head, pause, Act::text(&answer)]), Vec::new())
    };
    let of = |server: &Server| format!("http://{}/", server.address());
    let servers = [reply("X-Cache: Hit from cloudfront\r\n"), reply("Age: 12\r\n"), reply("Age: 0\r\n")];
    let check = |kind: &str, more: [&str; 6], server: &Server, words: &[&str]| {
        let (ran, result) = probe(&Place::new(), &[&[kind, &of(server)], &more[..]].concat());
        println!("{kind}: {}", warnings(&result));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        words.iter().for_each(|word| assert!(warnings(&result).contains(word), "{word}: {result:#}"));
    };
    std::thread::scope(|scope| {
        for (kind, more) in [("capacity", CALM), ("throttle", FEW), ("cold-start", PAUSE)] {
            let servers = &servers;
            scope.spawn(move || {
                for server in &servers[..2] {
                    check(kind, more, server, &["100 % of the answers came out of a cache"]);
                }
            });
        }
    });
    // An age of none is that of an answer which came just now. What is as quick as ever may be a cache, and what is too quick to be the function is none.
    let quick = &servers[2];
    check("cold-start", PAUSE, quick, &["or answers come from a cache"]);
    check("throttle", FEW, quick, &["answers from a cache never are"]);
    let (ran, result) = probe(&Place::new(), &["cold-start", &of(quick), "--set", "expected_ms=100"]);
    check_stopped(&ran, &result, &["they come from a cache"]);
}

#[test]
fn who_turns_everything_away_has_no_limit_to_be_found() {
    let closed = host("gateway", 1, &json!({ "burst": 0, "refill_per_s": 0 }));
    let (ran, result) = probe(&Place::new(), &[&["throttle", &url(&closed)], &FEW[..]].concat());
    check_stopped(&ran, &result, &["every request is turned away", "2 s"]);
    let headline = result["headline"].as_str().unwrap();
    assert!(headline.contains("from the first one on: no limit was found"), "{headline}");
    assert!(number(&result, "/sent/requests") <= 5, "{result:#}");
}

#[test]
fn noise_that_hides_the_limit_is_told() {
    // By turns all answers are quick or slow, whatever the rate.
    let settings = json!({ "quiet_s": 4, "noisy_s": 4, "share": 1, "factor": 30, "work_ms": 10 });
    let noisy = host("noisy-neighbour", 1, &settings);
    let asked =
        ["--until", "p90 < 100ms", "--max-rate", "400", "--set", "step_s=4", "--set", "start_per_s=20"];
    let (ran, result) = probe(&Place::new(), &[&["capacity", &url(&noisy)], &asked[..]].concat());
    println!("{}: {}", result["headline"], warnings(&result));
    assert_eq!(result["answer"]["capacity_per_s"], Value::Null, "{}", ran.stderr);
    // It never broke, broke each time at first, or broke by chance: each is said.
    let doubts = ["too noisy for a limit to be told", "answers vary with time", "is broken at"];
    assert!(doubts.iter().any(|doubt| warnings(&result).contains(doubt)), "{result:#}\n{}", ran.stderr);
}

/// With so few files that a generator has some two hundred connections.
fn with_few_files(place: &Place, arguments: &[&str]) -> (Ran, Value) {
    let command = place.command(&[&["probe"], arguments, &["--output", "json"]].concat());
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -n 300; exec "$0" "$@""#]).arg(command.get_program());
    limited.args(command.get_args()).current_dir(place.path()).stdin(Stdio::null());
    let ran = Ran::from(limited.output().unwrap());
    let result = answered(&ran);
    (ran, result)
}

#[test]
fn a_limit_above_what_generators_can_make_is_told() {
    // It answers after a second, however many ask.
    let patient = host("fixed", 1, &json!({ "workers": 100_000, "work_ms": 1_000 }));
    let url = url(&patient);
    let rates = ["--max-rate", "2000", "--set", "step_s=4", "--set", "start_per_s=40", "--until", "p90 < 5s"];
    let (ran, result) = with_few_files(&Place::new(), &[&["capacity", &url], &rates[..]].concat());
    println!("{}", warnings(&result));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(warnings(&result).contains("the generators cannot make"), "{result:#}");
    let least = result["answer"]["at_least_per_s"].as_f64().unwrap();
    assert!((150.0..260.0).contains(&least), "{least}");
    let rounds = ["--max-rate", "2000", "--set", "longest_round_s=6"];
    let (ran, result) = with_few_files(&Place::new(), &[&["throttle", &url], &rounds[..]].concat());
    println!("{}", warnings(&result));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for word in ["the generators cannot send 324 at once", "the generators cannot make"] {
        assert!(warnings(&result).contains(word), "{word}: {result:#}");
    }
    assert_eq!(result["answer"]["kind"], Value::Null);
    let bursts = ["--set", "sizes=[400]", "--set", "longest_gap_s=3", "--set", "shortest_gap_s=3"];
    let (_, result) = with_few_files(&Place::new(), &[&["cold-start", &url], &bursts[..]].concat());
    println!("{}", warnings(&result));
    assert!(warnings(&result).contains("bursts of 400: the generators cannot send more than"), "{result:#}");
}

/// Runs a command on a terminal, and writes something once it asks.
const TERMINAL: &str = r#"
import os, pty
folder, written, command = sys.argv[1], sys.argv[2].encode().decode("unicode_escape").encode(), sys.argv[3:]
child, terminal = pty.fork()
if child == 0:
    os.chdir(folder)
    os.execv(command[0], command)
seen = b""
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    seen += more
    if b"[y/N]" in seen and written:
        os.write(terminal, written)
        written = b""
_, status = os.waitpid(child, 0)
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(status))
"#;

#[test]
fn nothing_is_sent_before_somebody_has_agreed() {
    let service = host("healthy", 1, &json!({ "error_share": 0.0 }));
    let url = url(&service);
    let ask = |written: &str, more: &[&str]| {
        let place = Place::new();
        let command = place.command(&[&["probe", "throttle", &url], &FEW[..], more].concat());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        let folder = place.path().to_str().unwrap();
        python(TERMINAL, &[&[folder, written], &words[..]].concat(), "").unwrap()
    };
    // No, nothing, the end of the input, what is no answer, and Ctrl-C.
    for written in ["n\\n", "\\n", "\\x04", "yesterday\\n", "\\x03"] {
        let ran = ask(written, &[]);
        assert_eq!(ran.code, 105, "{written}: {}", ran.stdout);
        assert!(ran.stdout.contains("nothing was sent"), "{written}: {}", ran.stdout);
    }
    assert_eq!(service.counts().total, 0);
    let ran = ask("yes\\n", &[]);
    assert!(ran.code == 0 && ran.stdout.contains("ANSWERED"), "{}", ran.stdout);
    assert!(service.counts().total > 10);
    let ran = ask("", &["--yes"]);
    assert!(ran.code == 0 && !ran.stdout.contains("[y/N]"), "{}", ran.stdout);
    // Nobody can be asked: who writes no terminal has agreed by that, as all other tests do.
    let ran = Place::new().run(&[&["probe", "throttle", &url], &FEW[..]].concat());
    assert!(ran.code == 0 && !ran.stderr.contains("[y/N]"), "{}", ran.stderr);
}

#[test]
fn a_round_that_fails_is_sent_again_by_who_resumes() {
    let place = Place::new();
    let service = host("fixed", 3, &json!({ "workers": 3, "work_ms": 30, "noise": 0.05, "queue": 500 }));
    let url = url(&service);
    let mut child = place.start(&[&["probe", "capacity", &url, "--output", "json"], &SHORT[..]].concat());
    let told = super::until_round(&mut child, 1);
    // Where its third round would keep what it measures, there is something else.
    let obstacle = folder(&place).join("round-3");
    std::fs::write(&obstacle, "").unwrap();
    let ran = super::ended(child, told);
    let result = answered(&ran);
    println!("{}\n{}", result["ending"], ran.stderr);
    assert_eq!((ran.code, &result["ending"]["outcome"]), (1, &json!("failed")), "{}", ran.stderr);
    let reason = result["ending"]["reason"].as_str().unwrap();
    assert!(reason.contains("round 3 failed") && reason.contains("squall probe resume"), "{reason}");
    assert!(ran.stderr.contains("error: round 3 failed"), "{}", ran.stderr);
    assert_eq!(number(&result, "/sent/rounds"), 2);
    assert!(folder(&place).join("probe.html").is_file());
    std::fs::remove_file(obstacle).unwrap();
    let ran = place.run(&["probe", "resume", result["probe"]["id"].as_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let text = std::fs::read_to_string(folder(&place).join("probe.json")).unwrap();
    check_near(&serde_json::from_str(&text).unwrap(), "capacity_per_s", 100.0, 0.1);
}

#[test]
fn an_answer_that_cannot_be_kept_is_told_all_the_same() {
    let place = Place::new();
    let service = host("healthy", 1, &json!({ "error_share": 0.0 }));
    let asked = ["probe", "throttle", &url(&service), "--output", "json"];
    let mut child = place.start(&[&asked[..], &FEW].concat());
    let told = super::until_round(&mut child, 1);
    // Where it would be kept, there is something else.
    std::fs::create_dir_all(folder(&place).join("probe.json/x")).unwrap();
    let ran = super::ended(child, told);
    let result = answered(&ran);
    assert_eq!((ran.code, &result["ending"]["outcome"]), (1, &json!("answered")), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write") && ran.stderr.contains("probe.json"), "{}", ran.stderr);
}

#[test]
fn a_history_that_is_damaged_or_of_other_rounds_is_begun_anew() {
    let place = Place::new();
    let service = host("healthy", 1, &json!({ "error_share": 0.0 }));
    let (_, result) = probe(&place, &[&["throttle", &url(&service)], &FEW[..]].concat());
    let (id, history) =
        (result["probe"]["id"].as_str().unwrap().to_owned(), folder(&place).join("history.jsonl"));
    let whole = std::fs::read_to_string(&history).unwrap();
    let sent = service.counts().total;
    let resume = |text: &str| {
        std::fs::write(&history, text).unwrap();
        let ran = place.run(&["probe", "resume", &id]);
        println!("{}", ran.stderr);
        (ran.code, ran.stderr)
    };
    let (code, told) = resume(&whole.replacen("\"ended\"", "\"ended", 1));
    assert!(code == 104 && told.contains("line 2 of") && told.contains("begin anew"), "{told}");
    // As if its first burst had been of five.
    assert!(whole.contains("{\"requests\":4}"), "{whole}");
    let (code, _) = resume(&whole.replace("{\"requests\":4}", "{\"requests\":5}"));
    let told = std::fs::read_to_string(folder(&place).join("probe.json")).unwrap();
    assert!(code == 98 && told.contains("round 2 was another one") && told.contains("begin anew"), "{told}");
    assert_eq!(service.counts().total, sent, "nothing more was sent");
}

#[test]
fn a_fleet_that_is_lost_in_a_round_is_asked_again_by_who_resumes() {
    let aws = Aws::behind_a_proxy();
    aws.deploy();
    let service = host("fixed", 3, &json!({ "workers": 3, "work_ms": 30, "noise": 0.05, "queue": 500 }));
    let url = url(&service);
    let asked = ["probe", "capacity", &url, "--backend", "aws", "--generators", "2", "--output", "json"];
    let mut child = aws.spawn(&[&asked[..], &SHORT].concat());
    let told = super::until_round(&mut child, 3);
    let before = service.counts().total;
    while service.counts().total < before + 5 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // In the middle of its load nothing of it can be reached any more.
    aws.proxy().set(|_| Deed::Answer(403));
    let ran = super::ended(child, told);
    let result = answered(&ran);
    println!("{}", result["ending"]);
    assert_eq!(result["ending"]["outcome"], "failed", "{}", ran.stderr);
    assert_eq!(ran.code, number_of(&result["ending"]["exit_code"]));
    assert!(result["ending"]["reason"].as_str().unwrap().starts_with("round 3 failed: "), "{result:#}");
    assert_eq!(number(&result, "/sent/rounds"), 2);
    aws.proxy().set(|_| Deed::Pass);
    let id = result["probe"]["id"].as_str().unwrap();
    // The run that was lost is over once its lease has run out; who comes before that is told so, and comes again.
    let mut ran = aws.run(&["probe", "resume", id]);
    let mut tries = 0;
    while ran.stderr.contains("is under way on stack") && tries < 30 {
        tries += 1;
        std::thread::sleep(Duration::from_secs(2));
        ran = aws.run(&["probe", "resume", id]);
    }
    println!("{tries} tries before");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("2 of these rounds were sent before"));
    let text = std::fs::read_to_string(folder(&aws.place).join("probe.json")).unwrap();
    check_near(&serde_json::from_str(&text).unwrap(), "capacity_per_s", 100.0, 0.1);
}

fn number_of(code: &Value) -> i32 {
    code.as_i64().and_then(|code| i32::try_from(code).ok()).unwrap()
}

/// Interrupts a probe in one round, kills it in a later one, and goes on to its end.
fn interrupted_twice(arguments: &[&str], (interrupted, killed): (usize, usize)) -> Value {
    let place = Place::new();
    let child = place.start(&[&["probe"], arguments, &["--output", "json"]].concat());
    let ran = end_in_round(child, interrupted, "-INT");
    assert_eq!(ran.code, 105, "{}", ran.stderr);
    let result = answered(&ran);
    assert_eq!(result["ending"]["outcome"], "interrupted");
    let id = result["probe"]["id"].as_str().unwrap();
    let ran = end_in_round(place.start(&["probe", "resume", id]), killed, "-KILL");
    assert_eq!(ran.code, -1, "{}", ran.stderr);
    let ran = place.run(&["probe", "resume", id]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let text = std::fs::read_to_string(folder(&place).join("probe.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_limit_is_found_by_who_was_interrupted_on_the_way() {
    let service = host("gateway", 5, &json!({ "burst": 20, "refill_per_s": 15, "work_ms": 5 }));
    // In a burst that grows, and while what flows in is measured.
    let result = interrupted_twice(&[&["throttle", &url(&service)], &LIMIT[..]].concat(), (4, 7));
    check_near(&result, "refill_per_s", 15.0, 0.07);
    check_near(&result, "burst", 20.0, 0.12);
}

#[test]
fn cold_starts_are_found_by_who_was_interrupted_on_the_way() {
    let settings = json!({ "keep_alive_s": 5, "work_ms": 100, "concurrency": 100, "crowd_ms": 0 });
    let service = host("lambda", 7, &settings);
    // Among warm ones, and in a pause, which is over by then.
    let result = interrupted_twice(&[&["cold-start", &url(&service)], &COLD[..]].concat(), (2, 8));
    check_near(&result, "keep_alive_s", 5.0, 0.1);
    check_near(&result, "added_ms", 430.0, 0.1);
}
