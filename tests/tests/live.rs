//! What is seen of a run while it goes on: JSON lines, a page in a browser, annotations that somebody else writes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

use serde_json::Value;
use squall_tests::browser::Browser;
use squall_tests::{Place, Ran, target};

/// A plan whose load lasts as long as a test needs.
fn plan(address: &str, duration: &str) -> String {
    format!(
        "name: shop\ntarget: http://{address}\nload: {{ rate: 50/s, duration: {duration} }}\n\
         thresholds: [ errors < 1%, {{ check: p95 < 5s, over: 2s }} ]\nscenarios:\n  a:\n    tasks:\n      \
         - {{ weight: 3, steps: [ {{ get: /healthz, name: health }} ] }}\n      \
         - {{ steps: [ {{ get: /_fault/status/503, name: broken }} ] }}\n"
    )
}

/// Runs the plan with a page, and says where it is.
fn watched(place: &Place) -> (Child, BufReader<ChildStderr>, String) {
    let mut child = place.start(&["run", "plan.yaml", "--generators", "2", "--out", "out", "--ui"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let url = line.strip_prefix("live page: ").expect(&line).trim().to_owned();
    (child, stderr, url)
}

fn ended(child: Child, mut stderr: BufReader<ChildStderr>) -> Ran {
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    Ran { stderr: text, ..Ran::from(child.wait_with_output().unwrap()) }
}

/// That thresholds failed, as they should; on a busy machine the run may not be valid besides.
fn check_failed(ran: &Ran) {
    assert!(ran.code == 99 || ran.code == 98, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn programs_read_an_object_a_second_and_the_result_in_the_last() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(&server.address().to_string(), "4s"));
    let arguments = ["run", "plan.yaml", "--generators", "2", "--out", "out", "--output", "json"];
    let ran = place.run(&[&arguments[..], &["--progress", "none"]].concat());
    check_failed(&ran);
    assert_eq!(ran.stderr, "");
    let mut frames: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = frames.pop().unwrap();
    assert_eq!(last["state"], "done");
    assert_eq!(last["result"], place.result("out"));
    assert!(frames.len() >= 3, "{} frames", frames.len());
    assert!(
        frames.iter().any(|frame| frame["state"] == "running" && frame["now"]["rps"].as_f64() > Some(20.0))
    );
    // Each second is told once, as it is in the result.
    let told = frames.iter().flat_map(|frame| frame["points"].as_array().unwrap());
    let told: Vec<&Value> = told.filter(|point| point["requests"].as_u64() > Some(0)).collect();
    assert!(told.len() >= 2, "{frames:?}");
    for point in told {
        let same = |other: &&Value| other["t_s"] == point["t_s"];
        let kept = last["result"]["timeline"]["points"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(kept, point);
    }
}

#[test]
fn a_page_is_followed_until_it_is_the_report() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(&server.address().to_string(), "6s"));
    let mut browser = Browser::start().unwrap();
    let (child, stderr, url) = watched(&place);
    browser.open(&url).unwrap();
    browser.wait_until("document.getElementById('state').textContent === 'running'").unwrap();
    browser.wait_until("document.querySelectorAll('#endpoints tbody tr').length === 2").unwrap();
    browser
        .wait_until("document.querySelector('#thresholds .bad').innerText.includes('errors < 1%')")
        .unwrap();
    browser
        .wait_until("document.querySelector('[data-chart=requests] path.c5xx').getAttribute('d') !== ''")
        .unwrap();
    let first = "document.querySelector('#endpoints tbody th').innerText";
    assert_eq!(browser.evaluate(first).unwrap(), "health");
    browser.click("#endpoints th:nth-child(8) button").unwrap();
    assert_eq!(browser.evaluate(first).unwrap(), "broken", "sorted by errors");
    browser.hover("[data-chart=times] .plot", 0.5).unwrap();
    let crosses =
        "[...document.querySelectorAll('.cross')].filter((cross) => cross.style.display === 'block').length";
    assert_eq!(browser.evaluate(crosses).unwrap(), 4);
    browser.resize(400, 900).unwrap();
    let too_wide = "document.documentElement.scrollWidth > innerWidth";
    assert_eq!(browser.evaluate(too_wide).unwrap(), false);
    browser.wait_until("document.getElementById('verdict') !== null").unwrap();
    let ran = ended(child, stderr);
    check_failed(&ran);
    let title = browser.evaluate("document.title").unwrap();
    assert!(title.as_str().unwrap().ends_with(" · shop"), "{title}");
    assert_eq!(browser.warnings(), [""; 0]);
    assert!(
        browser
            .requests()
            .iter()
            .all(|request| request.trim_start_matches("blob:").starts_with("http://127.0.0.1:")),
        "{:?}",
        browser.requests()
    );
}

#[test]
fn a_browser_that_goes_away_or_does_not_know_the_token_changes_nothing() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(&server.address().to_string(), "4s"));
    let (child, stderr, url) = watched(&place);
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let ask = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(authority).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let status = |method: &str, path: &str| {
        let mut line = String::new();
        BufReader::new(ask(method, path)).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("GET", "/"), "404");
    assert_eq!(status("POST", &format!("/{}/stop", "0".repeat(32))), "404");
    assert_eq!(status("GET", &format!("/{path}report")), "404", "there is none yet");
    assert_eq!(status("GET", &format!("/{path}")), "200");
    // Three that look, of which two leave in the midst and one never reads.
    let mut leaving = [0; 64];
    let looking: Vec<TcpStream> = (0..3).map(|_| ask("GET", &format!("/{path}events"))).collect();
    for mut stream in &looking[..2] {
        stream.read_exact(&mut leaving).unwrap();
    }
    let mut looking = looking.into_iter();
    drop((looking.next(), looking.next()));
    let ran = ended(child, stderr);
    check_failed(&ran);
    assert!(ran.stdout.contains(" report "), "{}", ran.stdout);
    drop(looking);
}

#[test]
fn the_page_stops_the_load_and_the_report_is_made() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(&server.address().to_string(), "5m"));
    let (child, stderr, url) = watched(&place);
    let mut browser = Browser::start().unwrap();
    browser.open(&url).unwrap();
    browser.wait_until("document.getElementById('state').textContent === 'running'").unwrap();
    browser.evaluate("window.confirm = () => true").unwrap();
    browser.click("#stop").unwrap();
    browser.wait_until("document.getElementById('verdict') !== null").unwrap();
    let ran = ended(child, stderr);
    assert_eq!(ran.code, 105, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn lines_of_a_followed_file_are_annotations() {
    let (place, server) = (Place::new(), target(false));
    place.write("plan.yaml", &plan(&server.address().to_string(), "4s"));
    place.write("deploy.log", "older than the run\n");
    let (mut child, mut line) =
        (place.start(&["run", "plan.yaml", "--out", "out", "--annotations", "deploy.log"]), String::new());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !line.contains(" requests/s") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "no line of progress");
    }
    let path = place.path().join("deploy.log");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"deployed <b>42</b>\n\nhalf a ").unwrap();
    file.write_all(b"line\nnever ended").unwrap();
    let ran = ended(child, stderr);
    check_failed(&ran);
    let annotations = place.result("out")["annotations"].as_array().unwrap().clone();
    let texts: Vec<&str> = annotations.iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["deployed <b>42</b>", "half a line"]);
    assert!(
        annotations.iter().all(|one| (0.0..5.0).contains(&one["t_s"].as_f64().unwrap())),
        "{annotations:?}"
    );
    let missing = place.run(&["run", "plan.yaml", "--annotations", "nothing.log"]);
    assert_eq!(missing.code, 104);
    assert!(missing.stderr.contains("cannot read `nothing.log`"), "{}", missing.stderr);
    assert!(!place.path().join(".squall").exists(), "nothing was begun");
}
