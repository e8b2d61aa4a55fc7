//! Every scenario once: what is told of it.

use squall_plan::Masks;

use super::flow::{Scripted, ok};
use super::*;
use crate::once::walk;
use crate::trace::{Event, Exchange, Trace, Tracer};

#[derive(Default)]
struct List(RefCell<Vec<Event>>);

impl Trace for List {
    fn tell(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

/// What is told of a walk through a plan's scenarios, and how long that takes in virtual time.
fn told(scenarios: &str, masks: Masks, answer: fn(&str, usize) -> (u16, String)) -> (Vec<Event>, Duration) {
    let plan = plan("{ users: 50, duration: 60s }", scenarios);
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let machine = Machine { cores: NonZeroU32::MIN, connections: 1_000 };
        let stopper = Stopper::new(epoch(), NonZeroU32::MIN);
        let core = core_of(&plan, Share::WHOLE, machine, stopper, mpsc::unbounded().0);
        let scripted = Scripted { log: Rc::default(), answer };
        let mut worker = core.worker(Box::new(TokioClock), Box::new(scripted)).unwrap();
        let list = Rc::new(List::default());
        worker.masks = Arc::new(masks);
        worker.tracer = Some(Tracer::new(Rc::clone(&list) as Rc<dyn Trace>, Arc::clone(&worker.masks)));
        let begin = Instant::now();
        walk(&Rc::new(worker)).await;
        (list.0.take(), Instant::now() - begin)
    })
}

/// One line for each event.
fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::Part { scenario, part } => format!("[{scenario} {part}]"),
        Event::Flow(text) => format!(". {text}"),
        Event::Failed(text) => format!("! {text}"),
        Event::Exchange(exchange) => format!("{} {}", exchange.name, exchange.outcome),
    };
    events.iter().map(line).collect()
}

fn exchanges(events: Vec<Event>) -> Vec<Exchange> {
    let exchange = |event| if let Event::Exchange(exchange) = event { Some(*exchange) } else { None };
    events.into_iter().filter_map(exchange).collect()
}

#[test]
fn every_part_of_every_scenario_is_done_once_and_in_order() {
    let scenarios = "{ a: { weight: 9, before: [ { post: /in } ], after: [ { post: /out } ], tasks: [ \
                       { name: first, weight: 9, steps: [ { get: /a, capture: { n: $.n } } ] }, \
                       { if: m is defined, steps: [ { get: /no } ] }, { if: n == 1, steps: [ { get: /b } ] } ] }, \
                       b: { steps: [ { set: { x: 5 } }, { get: '/{{ x }}' } ] } }";
    let (events, _) = told(scenarios, Masks::default(), ok);
    assert_eq!(
        lines(&events),
        [
            "[a before]",
            "POST /in 200",
            "[a task first]",
            "GET /a 200",
            "[a task 2 of 3]",
            ". `if` of the task does not hold: nothing is done",
            "[a task 3 of 3]",
            "GET /b 200",
            "[a after]",
            "POST /out 200",
            "[b steps]",
            ". set: x = 5",
            "GET /:x 200",
        ]
    );
}

#[test]
fn an_exchange_is_told_in_full() {
    let step = "{ post: /a?x=1, headers: { X-Own: mine }, json: { k: [1, 2] }, expect: { status: 200, json: { $.n: 2 } } }";
    let (events, _) = told(&format!("{{ a: {{ steps: [ {step} ] }} }}"), Masks::default(), ok);
    let exchange = exchanges(events).remove(0);
    assert_eq!((exchange.outcome.as_str(), exchange.failed), ("expectation", true));
    let checks =
        exchange.checks.iter().map(|check| (check.what.as_str(), check.found.as_deref(), check.passed));
    assert_eq!(
        checks.collect::<Vec<_>>(),
        [("status 200", Some("200"), true), ("json $.n: 2", Some("1"), false)]
    );
    let hop = &exchange.hops[0];
    assert_eq!(
        (hop.method.as_str(), hop.url.as_str(), hop.status),
        ("POST", "http://127.0.0.1:1/a?x=1", Some(200))
    );
    let (sent, received) = (hop.sent.as_ref().unwrap(), hop.received.as_ref().unwrap());
    let has = |headers: &[(String, String)], name: &str, value: &str| {
        assert!(headers.iter().any(|header| *header == (name.to_owned(), value.to_owned())), "{headers:?}");
    };
    has(&sent.headers, "x-own", "mine");
    has(&sent.headers, "content-length", "11");
    has(&received.headers, "x-place", "here");
    assert_eq!(sent.content.text.as_deref(), Some("{\"k\":[1,2]}"));
    assert_eq!(received.content.text.as_deref(), Some("{\"n\":1}"));
    assert!(sent.content.json && received.content.json);
    assert!(hop.phases.iter().any(|(name, us)| *name == "first_byte" && *us >= 10_000), "{:?}", hop.phases);
}

#[test]
fn what_is_sent_again_or_redirected_is_told_hop_by_hop() {
    let answer = |_: &str, before: usize| (if before < 1 { 503 } else { 200 }, String::new());
    let (events, _) =
        told("{ a: { steps: [ { get: /a, retry: { times: 2, wait: 100ms } } ] } }", Masks::default(), answer);
    let exchange = exchanges(events).remove(0);
    let hops: Vec<_> = exchange.hops.iter().map(|hop| (hop.status, hop.then.as_deref())).collect();
    assert_eq!(hops, [(Some(503), Some("sent again after 100 ms")), (Some(200), None)]);
    let first_byte = |hop: usize| {
        exchange.hops[hop]
            .phases
            .iter()
            .filter(|(name, _)| *name == "first_byte")
            .map(|(_, us)| *us)
            .sum::<u64>()
    };
    assert!((10_000..15_000).contains(&first_byte(0)) && (10_000..15_000).contains(&first_byte(1)));
}

#[test]
fn failures_say_why_and_end_what_they_end() {
    let check = |steps: &str, expected: &[&str]| {
        let (events, _) = told(&format!("{{ a: {{ steps: {steps} }} }}"), Masks::default(), ok);
        assert_eq!(lines(&events)[1..], *expected, "{steps}");
        exchanges(events)
    };
    let end = ". the iteration ends here because of that failure";
    let missing =
        check("[ { get: /a, capture: { t: $.token } }, { get: /b } ]", &["GET /a expectation", end]);
    assert_eq!(missing[0].problems, ["nothing to capture for `t`: `$.token` leads to nothing in the body"]);
    let undefined = check(
        "[ { if: false, then: [ { set: { x: 1 } } ] }, { get: '/{{ x }}' } ]",
        &[". if: `false` does not hold", "GET /:x expression", end],
    );
    assert_eq!(
        (undefined[0].hops.len(), undefined[0].problems.as_slice()),
        (0, &["variable `x` is undefined".to_owned()][..])
    );
    check("[ { fail: no stock }, { get: /b } ]", &["! fail: no stock", end]);
    check("[ { stop: iteration }, { get: /b } ]", &[". the iteration ends here"]);
}

#[test]
fn what_the_flow_decides_is_told_and_ends_what_it_ends() {
    let scenarios = "{ a: { on_status: { 404: [ { log: gone } ] }, after: [ { get: /out } ], steps: [ \
                       { parallel: [ [ { get: /x, on_failure: continue } ], [ { set: { y: 1 } } ] ] }, \
                       { for_each: { in: [7], as: z }, steps: [ { choose: [ { weight: 1, steps: [ { stop: run } ] } ] } ] } ] }, \
                       b: { steps: [ { get: /never } ] } }";
    let answer = |path: &str, _: usize| (if path == "/x" { 404 } else { 200 }, String::new());
    let (events, _) = told(scenarios, Masks::default(), answer);
    let mut lines = lines(&events);
    // Of what is side by side, either may be first.
    lines[2..6].sort();
    assert_eq!(
        lines,
        [
            "[a steps]",
            ". parallel: 2 branches",
            ". log: gone",
            ". on_status 404",
            ". set: y = 1",
            "GET /x 404",
            ". for_each: z = 7",
            ". choose: 1 of 1",
            ". the user ends here",
            "[a after]",
            "GET /out 200",
            ". the whole run ends: plan says so",
        ]
    );
}

#[test]
fn long_pauses_are_shortened_and_those_of_polling_are_kept() {
    let once = |steps: &str| told(&format!("{{ a: {{ think: 1h, steps: {steps} }} }}"), Masks::default(), ok);
    let (events, took) = once("[ { think: 30s }, { get: /a } ]");
    assert_eq!(lines(&events)[1], ". think: 30.0 s, shortened to 1.0 s");
    assert!((1_000..1_100).contains(&took.as_millis()), "{took:?}");
    let (_, took) =
        once("[ { repeat: { times: 3, think: 5s }, steps: [ { get: /a } ] }, { think: 2s }, { get: /a } ]");
    assert!((11_000..11_200).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn no_secret_is_told() {
    let secret = "s3/c \"r";
    let scenarios = "{ a: { steps: [ { set: { p: 's3/c \"r' } }, { log: 'p is {{ p }}' }, \
                       { post: '/a/{{ p }}', headers: { X-P: '{{ p }}' }, form: { p: '{{ p }}' }, expect: { text: '{{ p }}' } }, \
                       { post: /b, json: { p: '{{ p }}' }, capture: { q: $.p } } ] } }";
    let answer = |_: &str, _: usize| (200, "{\"p\":\"s3/c \\\"r\"}".to_owned());
    let (events, _) = told(scenarios, Masks::new([secret.to_owned()]), answer);
    let all = format!("{events:?}");
    assert!(all.contains("***") && all.contains("x-p"), "{all}");
    assert!(!all.contains("s3"), "{all}");
    let (events, _) = told(scenarios, Masks::default(), answer);
    assert!(format!("{events:?}").contains("s3"), "without masks it would be told");
}
