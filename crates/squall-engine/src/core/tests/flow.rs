//! What users do, step by step: the requests that come of it, in order.

use http_body_util::BodyExt;
use squall_metrics::MeasureId;

use super::*;

/// Writes down what it is asked, and answers as it is told.
#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) log: Rc<RefCell<Vec<String>>>,
    pub(super) answer: fn(&str, usize) -> (u16, String),
}

impl Connect for Scripted {
    fn connect(
        &self,
        _: &Origin,
        _: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        let scripted = self.clone();
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn_local(async move {
            let respond = service_fn(|request: Request<Incoming>| {
                let scripted = scripted.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let (head, body) = request.into_parts();
                    let body =
                        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    let path = head.uri.to_string();
                    let body = crate::decode::decode(Some(&head.headers), body.to_vec()).unwrap();
                    let mut line = format!("{} {path} {}", head.method, String::from_utf8_lossy(&body));
                    if let Some(value) = head.headers.get("traceparent") {
                        line = format!("{} traceparent {}", line.trim_end(), value.to_str().unwrap());
                    }
                    let (before, line) = (scripted.log.borrow().len(), line.trim_end().to_owned());
                    scripted.log.borrow_mut().push(line);
                    let (status, answer) = (scripted.answer)(&path, before);
                    let mut response = Response::new(Full::new(Bytes::from(answer)));
                    *response.status_mut() = status.try_into().unwrap();
                    response.headers_mut().insert("x-place", "here".parse().unwrap());
                    if response.status().is_redirection() {
                        response.headers_mut().insert("location", "/there".parse().unwrap());
                    }
                    response.headers_mut().append("set-cookie", "sid=s1; Path=/".parse().unwrap());
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(far), respond).await;
        });
        let dialed = Dialed { io: Box::new(near), http2: false, remote: None, proxy: None };
        Box::pin(async move { Ok(dialed) })
    }
}

/// What one user asks in one iteration, and what was measured.
fn walk(scenario: &str, answer: fn(&str, usize) -> (u16, String)) -> (Vec<String>, Merged) {
    walk_plan(
        &plan("{ users: 1, duration: 60s, iterations_per_user: 1 }", &format!("{{ a: {scenario} }}")),
        answer,
    )
}

fn walk_plan(plan: &Arc<Plan>, answer: fn(&str, usize) -> (u16, String)) -> (Vec<String>, Merged) {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let scripted = Scripted { log: Rc::clone(&log), answer };
    let merged = run_with(plan, Share::WHOLE, |_| scripted);
    let lines = log.borrow().clone();
    (lines, merged)
}

pub(super) fn ok(_: &str, _: usize) -> (u16, String) {
    (200, "{\"n\":1}".to_owned())
}

fn paths(scenario: &str) -> String {
    walk(scenario, ok).0.join(", ")
}

#[test]
fn decisions_lead_where_they_should() {
    let check = |steps: &str, expected: &str| assert_eq!(paths(&format!("{{ steps: {steps} }}")), expected);
    check("[ { set: { n: 2 } }, { if: n > 1, then: [ { get: /a } ], else: [ { get: /b } ] } ]", "GET /a");
    check("[ { if: m is defined, then: [ { get: /a } ], else: [ { get: /b } ] } ]", "GET /b");
    check("[ { repeat: { times: 3 }, steps: [ { get: /a } ] } ]", "GET /a, GET /a, GET /a");
    check(
        "[ { set: { n: 0 } }, { repeat: { while: n < 2 }, steps: [ { set: { n: '{{ n + 1 }}' } }, { get: '/{{ n }}' } ] } ]",
        "GET /1, GET /2",
    );
    check(
        "[ { set: { n: 0 } }, { repeat: { times: 9, until: n == 2 }, steps: [ { set: { n: '{{ n + 1 }}' } }, { get: '/{{ n }}' } ] } ]",
        "GET /1, GET /2",
    );
    check("[ { for_each: { in: [a, b], as: x }, steps: [ { get: '/{{ x }}' } ] } ]", "GET /a, GET /b");
    check(
        "[ { set: { list: [1, 2] } }, { for_each: { in: '{{ list }}', as: x }, steps: [ { get: '/{{ x }}' } ] } ]",
        "GET /1, GET /2",
    );
    check("[ { get: /a }, { stop: iteration }, { get: /b } ]", "GET /a");
    check("[ { get: /a }, { fail: no reason }, { get: /b } ]", "GET /a");
    check("[ { choose: [ { weight: 1, steps: [ { get: /a } ] } ] }, { get: /b } ]", "GET /a, GET /b");
    check("[ { group: both, steps: [ { get: /a }, { get: /b } ] } ]", "GET /a, GET /b");
}

#[test]
fn what_is_side_by_side_takes_no_longer_than_its_longest_part() {
    let steps = "[ { parallel: [ [ { get: /a }, { set: { done: 1 } } ], [ { get: /b } ], [ { think: 1s } ] ] }, \
                 { get: '/after/{{ done }}' } ]";
    let (mut lines, merged) = walk(&format!("{{ steps: {steps} }}"), ok);
    assert_eq!(lines.pop().unwrap(), "GET /after/1");
    lines.sort();
    assert_eq!(lines, ["GET /a", "GET /b"]);
    let iteration = &merged.measures()[&MeasureId(0)];
    let took_ms = iteration.max_us().unwrap() / 1_000;
    assert!((1_000..1_060).contains(&took_ms), "{took_ms}");
}

#[test]
fn the_first_requests_of_all_branches_are_due_with_their_arrival() {
    // One user and an arrival each 10 ms that takes 10 ms and waits for the user: they get later and later.
    let load = "{ rate: 100/s, duration: 1s, max_users: 1, when_full: queue, graceful_stop: 5s }";
    let scenarios =
        "{ a: { steps: [ { parallel: [ [ { get: /a } ], [ { get: /b }, { think: 20ms } ] ] } ] } }";
    let (lines, merged) = walk_plan(&plan(load, scenarios), ok);
    assert_eq!(lines.len(), 200);
    for totals in merged.series().values() {
        let (response, service) = (totals.response.max_us().unwrap(), totals.service.max_us().unwrap());
        // Waiting for the user is none of the service.
        assert!(response > 1_500_000 && service < 11_000, "{response} {service}");
    }
}

#[test]
fn before_after_and_reactions_have_their_places() {
    let scenario = "{ before: [ { post: /login } ], after: [ { post: /logout } ], \
                      on_status: { 401: [ { post: /refresh, on_failure: continue } ] }, \
                      steps: [ { get: /a, on_failure: continue }, { get: /b } ] }";
    let answer = |path: &str, _: usize| (if path == "/a" { 401 } else { 200 }, String::new());
    let (lines, merged) = walk(scenario, answer);
    assert_eq!(lines, ["POST /login", "GET /a", "POST /refresh", "GET /b", "POST /logout"]);
    let failed: u64 = merged.seconds().values().map(|second| second.iterations.failed).sum();
    assert_eq!(failed, 0);
}

#[test]
fn bodies_are_what_their_kind_says() {
    let check = |step: &str, expected: &str| {
        assert_eq!(paths(&format!("{{ steps: [ {step} ] }}")), expected);
    };
    check("{ get: /s, query: { q: a b, n: 1 } }", "GET /s?q=a%20b&n=1");
    check("{ get: /s?x=1, query: { q: ä } }", "GET /s?x=1&q=%C3%A4");
    check("{ post: /f, form: { a: x y, b: '{{ 1 + 1 }}&' } }", "POST /f a=x%20y&b=2%26");
    check("{ post: /j, json: { n: '{{ 2 }}', t: 'v{{ 3 }}' } }", "POST /j {\"n\":2,\"t\":\"v3\"}");
    check("{ post: /r, raw: '{{ as it is }}' }", "POST /r {{ as it is }}");
    let parts = paths(
        "{ steps: [ { post: /m, multipart: { a: '1', f: { content: x, filename: 'n\"{{ 4 }}', type: text/csv } } } ] }",
    );
    let boundary = parts.split("--").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    assert_eq!(
        parts,
        format!(
            "POST /m --{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"f\"; filename=\"n%224\"\r\nContent-Type: text/csv\r\n\r\nx\r\n\
             --{boundary}--"
        )
    );
}

#[test]
fn responses_are_looked_at_from_all_sides() {
    let check = |step: &str, expected: Option<Outcome>| {
        let steps = format!("{{ steps: [ {{ get: /a, {step} }}, {{ get: '/{{{{ v | default(0) }}}}' }} ] }}");
        let answer = |path: &str, _: usize| {
            (200, if path == "/a" { "{\"n\":1,\"l\":[3,4],\"t\":\"x-7-y-8\"}" } else { "" }.to_owned())
        };
        let (lines, merged) = walk(&steps, answer);
        let outcome = merged.outcomes().into_keys().find(|outcome| *outcome != Outcome::Status(200));
        assert_eq!(outcome, expected, "{step}");
        lines.get(1).cloned().unwrap_or_default()
    };
    let captured = |capture: &str| check(&format!("capture: {{ v: {capture} }}"), None);
    assert_eq!(captured("$.n"), "GET /1");
    assert_eq!(captured("{ json: '$.l[*]', matches: all }"), "GET /%5B3%2C4%5D");
    assert_eq!(captured("{ header: X-Place }"), "GET /here");
    assert_eq!(captured("{ cookie: sid }"), "GET /s1");
    assert_eq!(captured("{ regex: 'x-([0-9])' }"), "GET /7");
    assert_eq!(captured("{ regex: '[a-z]-[0-9]', matches: all }"), "GET /%5B%22x-7%22%2C%22y-8%22%5D");
    assert_eq!(captured("{ status: true }"), "GET /200");
    // In virtual time an answer takes ten milliseconds.
    assert!(captured("{ time: true }").starts_with("GET /10"), "{}", captured("{ time: true }"));
    assert_eq!(captured("{ json: $.none, default: 5 }"), "GET /5");
    let failed = Some(Outcome::Expectation);
    check("capture: { v: { json: '$.l[*]', matches: only } }", failed);
    check("capture: { v: $.none }", failed);
    check(
        "expect: { status: 2xx, json: { $.n: 1 }, text: 'x-7', regex: 'y-.', size: 1.., latency: 1s }",
        None,
    );
    check("expect: { header: { X-Place: her } }", None);
    check("expect: { header: { X-Place: there } }", failed);
    check("expect: { json: { $.n: 2 } }", failed);
    check("expect: { text: nowhere }", failed);
    check("expect: { regex: '^z' }", failed);
    check("expect: { size: 1..5 }", failed);
    check("expect: { latency: 5ms }", failed);
    check("expect: { status: 4xx }", failed);
    let last = "capture: { x: $.n } }, { if: \"response.json.n == 1 and response.status == 200 and response.headers['x-place'] == 'here'\", then: [ { set: { v: 9 } } ]";
    assert_eq!(check(last, None), "GET /9");
}

#[test]
fn a_request_that_is_tried_again_is_one_request() {
    let answer = |_: &str, before: usize| (if before < 2 { 503 } else { 200 }, String::new());
    let (lines, merged) = walk("{ steps: [ { get: /a, retry: { times: 3, wait: 100ms } } ] }", answer);
    assert_eq!((lines.len(), merged.requests()), (3, 1));
    assert_eq!(merged.outcomes().into_keys().collect::<Vec<_>>(), [Outcome::Status(200)]);
    // Three times 10 ms, and pauses of 100 and 200.
    let took_ms = times(&merged).0.max_us().unwrap() / 1_000;
    assert!((329..340).contains(&took_ms), "{took_ms}");
    let (lines, merged) = walk("{ steps: [ { get: /a, retry: { times: 1 } } ] }", answer);
    assert_eq!((lines.len(), merged.outcomes()[&Outcome::Status(503)]), (2, 1));
}

#[test]
fn groups_and_metrics_are_measured() {
    let steps =
        "[ { group: g, steps: [ { get: /a }, { think: 500ms } ] }, { record: { size: '{{ 1.5 }}' } } ]";
    let plan = plan(
        "{ users: 1, duration: 60s, iterations_per_user: 2 }",
        &format!("{{ a: {{ steps: {steps} }} }}"),
    );
    let (_, merged) = walk_plan(&plan, ok);
    let values: Vec<(String, u64, u64)> = (0..)
        .zip(&plan.measures)
        .map(|(id, measure)| {
            let values = &merged.measures()[&MeasureId(id)];
            (format!("{:?} {}", measure.kind, measure.name), values.count(), values.max_us().unwrap() / 1_000)
        })
        .collect();
    let near = |value: u64, expected: u64| (expected..=expected + expected / 50 + 4).contains(&value);
    let expected = [
        ("Iteration ", 510),
        ("ActiveIteration ", 10),
        ("Group g", 510),
        ("ActiveGroup g", 10),
        ("Metric size", 1),
    ];
    for ((name, count, ms), (expected, expected_ms)) in values.iter().zip(expected) {
        assert_eq!((name.as_str(), *count), (expected, 2));
        assert!(near(*ms, expected_ms), "{name}: {ms}");
    }
}

#[test]
fn unique_rows_are_taken_once_on_any_number_of_slices() {
    let rows: Vec<String> = (0..40).map(|n| format!("{{ id: r{n} }}")).collect();
    let text = |load: &str, per: &str| {
        format!(
            "target: http://127.0.0.1:1\ndata: {{ d: {{ rows: [ {} ], pick: unique, per: {per} }} }}\nload: {load}\n\
             scenarios: {{ a: {{ steps: [ {{ get: '/{{{{ d.id }}}}' }} ] }} }}",
            rows.join(", ")
        )
    };
    let check = |load: &str, per: &str, slices: u32, expected: usize| {
        let text = text(load, per);
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        let plan = Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan);
        let log = Rc::<RefCell<Vec<String>>>::default();
        for index in 0..slices {
            let scripted = Scripted { log: Rc::clone(&log), answer: ok };
            run_with(&plan, Share::try_new(index, slices).unwrap(), |_| scripted);
        }
        let mut taken = log.borrow().clone();
        let all = taken.len();
        taken.sort();
        taken.dedup();
        assert_eq!((all, taken.len()), (expected, expected), "{load} {per} {slices}");
    };
    for slices in [1, 4, 8] {
        // Each of 8 users takes a row an iteration, until there are none.
        check("{ users: 8, duration: 60s }", "iteration", slices, 40);
        check("{ users: 8, duration: 60s }", "use", slices, 40);
        check("{ users: 8, duration: 60s, iterations_per_user: 1 }", "user", slices, 8);
        check("{ rate: 10/s, duration: 3s, max_users: 16 }", "iteration", slices, 30);
        check("{ rate: 20/s, duration: 3s, max_users: 16 }", "iteration", slices, 40);
    }
}

/// What the slices of a plan ask for, sorted, and what was noted; a slice may keep only the rows that it can take.
fn asked_of(
    text: &str,
    slices: u32,
    keeps_own: bool,
    answer: fn(&str, usize) -> (u16, String),
) -> Vec<String> {
    let log = Rc::<RefCell<Vec<String>>>::default();
    for index in 0..slices {
        let compiled = compile(&Bundle::new("p.yaml", text, Inputs::default()));
        let mut plan = compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan;
        let share = Share::try_new(index, slices).unwrap();
        if keeps_own {
            plan.keep_rows_of(share);
        }
        run_with(&Arc::new(plan), share, |_| Scripted { log: Rc::clone(&log), answer });
    }
    let mut asked = log.take();
    asked.sort();
    asked
}

fn with_data(load: &str, data: &str, scenarios: &str) -> String {
    let rows: Vec<String> = (0..40).map(|n| format!("{{ id: r{n} }}")).collect();
    let rows = rows.join(", ");
    format!(
        "target: http://127.0.0.1:1\ndata: {{ d: {{ rows: [ {rows} ], {data} }} }}\nload: {load}\nscenarios: {scenarios}"
    )
}

#[test]
fn a_slice_without_the_rows_of_others_asks_for_the_same() {
    let loads = [
        "{ users: 7, duration: 20s }",
        "{ users: 8, duration: 20s, iterations_per_user: 6 }",
        "{ users: 9, duration: 20s, iterations: 50 }",
        "{ rate: 5/s, duration: 10s, max_users: 9 }",
        "[ { users: 3, duration: 10s }, { users: 4, duration: 10s } ]",
        "[ { users: 3, duration: 10s }, { rate: 3/s, duration: 10s, max_users: 9 } ]",
        "{ stages: [ { duration: 5s, users: 6 }, { duration: 5s, users: 0 }, { duration: 5s, users: 6 } ] }",
    ];
    let scenarios = "{ a: { think: 1s, steps: [ { get: '/{{ d.id }}' } ] } }";
    for load in loads {
        for pick in ["unique", "unique, on_end: recycle", "sequential", "random"] {
            for per in ["user", "iteration", "use"] {
                if load.contains("rate") && pick.starts_with("unique") && per == "use" {
                    continue;
                }
                let text = with_data(load, &format!("pick: {pick}, per: {per}"), scenarios);
                let whole = asked_of(&text, 3, false, ok);
                assert!(!whole.is_empty());
                assert_eq!(asked_of(&text, 3, true, ok), whole, "{load} {pick} {per}");
            }
        }
    }
}

#[test]
fn rows_for_each_use_are_taken_once_whatever_becomes_of_their_user() {
    let check = |load: &str, scenario: &str, answer: fn(&str, usize) -> (u16, String), expected: usize| {
        let text = with_data(load, "pick: unique, per: use", &format!("{{ a: {scenario} }}"));
        let mut asked = asked_of(&text, 1, true, answer);
        asked.dedup();
        assert_eq!(asked.len(), expected, "{asked:?}");
    };
    // Three logins fail, and each was somebody's.
    let login = "{ before: [ { get: '/{{ d.id }}' } ], steps: [ { get: '/{{ d.id }}' } ] }";
    let fails = |_: &str, before: usize| (if before < 3 { 503 } else { 200 }, String::new());
    check("{ users: 2, duration: 60s, iterations_per_user: 4 }", login, fails, 3 + 2 + 8);
    // Users who go, and come back later.
    let stages = "{ stages: [ { duration: 0s, users: 2 }, { duration: 2s, users: 2 }, { duration: 0s, users: 0 }, \
                    { duration: 2s, users: 0 }, { duration: 0s, users: 2 }, { duration: 2s, users: 2 } ] }";
    check(stages, "{ think: 500ms, steps: [ { get: '/{{ d.id }}' } ] }", ok, 16);
    // Side by side.
    let parallel = "{ steps: [ { parallel: [ [ { get: '/{{ d.id }}' } ], [ { get: '/{{ d.id }}' } ] ] } ] }";
    check("{ users: 2, duration: 60s, iterations_per_user: 3 }", parallel, ok, 12);
}

#[test]
fn who_takes_no_rows_needs_none() {
    let scenarios = "{ a: { steps: [ { get: '/{{ d.id }}' } ] }, b: { weight: 4, steps: [ { get: /b } ] } }";
    let text = with_data(
        "{ users: 100, duration: 60s, iterations_per_user: 1 }",
        "pick: unique, per: user",
        scenarios,
    );
    let asked = asked_of(&text, 1, true, ok);
    assert_eq!(asked.iter().filter(|line| *line == "GET /b").count(), 80);
}

#[test]
fn who_finds_no_row_for_its_login_ends_without_a_failure() {
    let text = with_data(
        "{ users: 50, duration: 60s, iterations_per_user: 1 }",
        "pick: unique, per: user",
        "{ a: { before: [ { get: '/login/{{ d.id }}' } ], steps: [ { get: /b } ] } }",
    );
    let plan = Arc::new(compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default())).unwrap().plan);
    let (lines, merged) = walk_plan(&plan, ok);
    assert_eq!(lines.len(), 80);
    assert_eq!(merged.outcomes().keys().collect::<Vec<_>>(), [&Outcome::Status(200)]);
}

#[test]
fn data_that_has_run_out_is_told_as_that() {
    let text = with_data(
        "{ users: 1, duration: 60s, iterations_per_user: 41 }",
        "pick: unique, on_end: fail",
        "{ a: { steps: [ { get: '/{{ d.id }}' } ] } }",
    );
    let plan = Arc::new(compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default())).unwrap().plan);
    let (lines, merged) = walk_plan(&plan, ok);
    assert_eq!((lines.len(), merged.outcomes()[&Outcome::Expression]), (40, 1));
    let notes: Vec<&String> = merged.problems().keys().collect();
    assert!(notes.iter().any(|note| note.contains("no row of `d` is left")), "{notes:?}");
}

#[test]
fn expressions_know_the_run_and_the_slice() {
    let steps = "[ { get: '/{{ run.id }}/{{ run.seed }}/{{ run.name }}/{{ run.started }}' }, \
                 { get: '/{{ slice.index }}/{{ slice.count }}' } ]";
    let plan = plan(
        "{ users: 2, duration: 60s, iterations_per_user: 1 }",
        &format!("{{ a: {{ steps: {steps} }} }}"),
    );
    let log = Rc::<RefCell<Vec<String>>>::default();
    let scripted = Scripted { log: Rc::clone(&log), answer: ok };
    run_with(&plan, Share::try_new(1, 2).unwrap(), |_| scripted);
    assert_eq!(*log.borrow(), ["GET /r-1/5/p/1440938160000", "GET /1/2"]);
}

#[test]
fn made_up_people_are_the_same_on_any_number_of_slices() {
    let plan = plan(
        "{ users: 6, duration: 60s, iterations_per_user: 2 }",
        "{ a: { steps: [ { post: /, json: { name: '{{ fake.name() }}', mail: '{{ fake.email() }}' } } ] } }",
    );
    let on = |count| {
        let log = Rc::<RefCell<Vec<String>>>::default();
        for index in 0..count {
            let scripted = Scripted { log: Rc::clone(&log), answer: ok };
            run_with(&plan, Share::try_new(index, count).unwrap(), |_| scripted);
        }
        let mut lines = log.borrow().clone();
        lines.sort();
        lines
    };
    let one = on(1);
    assert_eq!(one.len(), 12);
    assert_eq!(one, on(3));
}

#[test]
fn elements_of_a_page_are_captured() {
    fn page(path: &str, _: usize) -> (u16, String) {
        let deep = "<div>".repeat(5_000);
        let page = "<form><input name=csrf value=t1><a href=/x>one</a><a href=/y>two</a></form>";
        (200, if path == "/deep" { deep } else { page.to_owned() })
    }
    let check = |capture: &str, path: &str, expected: Option<&str>| {
        let steps =
            format!("[ {{ get: {path}, capture: {{ v: {capture} }} }}, {{ post: /, body: '{{{{ v }}}}' }} ]");
        let (lines, merged) = walk(&format!("{{ steps: {steps} }}"), page);
        assert_eq!(lines.get(1).map(String::as_str), expected, "{capture}");
        let failed = merged.outcomes().get(&Outcome::Expectation).copied().unwrap_or(0);
        assert_eq!(failed == 0, expected.is_some(), "{capture}");
    };
    check("{ css: 'input[name=csrf]', attribute: value }", "/", Some("POST / t1"));
    check("{ css: a }", "/", Some("POST / one"));
    check("{ css: a, matches: only }", "/", None);
    check("{ css: 'form > a', attribute: href, matches: all }", "/", Some("POST / [\"/x\",\"/y\"]"));
    check("{ css: img }", "/", None);
    check("{ css: img, attribute: src, default: none }", "/", Some("POST / none"));
    check("{ css: div }", "/deep", None);
}

#[test]
fn bodies_are_packed_where_the_plan_says_so() {
    // What is written down has been unpacked as its `Content-Encoding` says.
    let check = |request: &str, expected: &str, least: u64, most: u64| {
        let (lines, merged) = walk(&format!("{{ steps: [ {request} ] }}"), ok);
        assert_eq!(lines, [expected]);
        let sent = merged.series()[&SeriesId(0)].counts.bytes_sent;
        assert!((least..most).contains(&sent), "{request}: {sent} bytes");
    };
    let long = "x".repeat(4_000);
    let expected = format!("POST / {long}");
    check(&format!("{{ post: /, body: {long} }}"), &expected, 4_000, 5_000);
    check(&format!("{{ post: /, body: {long}, compress: gzip }}"), &expected, 50, 400);
    check(&format!("{{ post: /, body: {long}, compress: deflate }}"), &expected, 50, 400);
    check(&format!("{{ post: /, body: {long}, compress: none }}"), &expected, 4_000, 5_000);
}
