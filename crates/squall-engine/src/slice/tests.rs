//! Slices in virtual time, over connections in memory: what is measured can be computed by hand.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use squall_metrics::{Interval, Merged, Outcome, Snapshot};
use squall_plan::{Bundle, Inputs, compile};
use tokio::task::spawn_local;

use super::*;
use crate::clock::TokioClock;
use crate::connect::{ConnectError, Io};

/// Answers everything after the same time; may close each connection after its first answer, unannounced.
#[derive(Debug, Clone, Copy)]
struct Service {
    takes: Duration,
    closes: bool,
}

impl Connect for Service {
    fn connect(&self, _: &Origin) -> LocalBoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let service = *self;
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn_local(async move {
            let answered = std::rc::Rc::new(Notify::new());
            let done = std::rc::Rc::clone(&answered);
            let respond = service_fn(move |_: Request<Incoming>| {
                let done = std::rc::Rc::clone(&done);
                async move {
                    tokio::time::sleep(service.takes).await;
                    done.notify_one();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{\"id\":7}"))))
                }
            });
            let conversation = http1::Builder::new().serve_connection(TokioIo::new(far), respond);
            let closing = async {
                answered.notified().await;
                // Long enough for the answer to be written, too short for the next request.
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            tokio::select! {
                _ = conversation => {}
                () = closing, if service.closes => {}
            }
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

fn plan(load: &str, scenarios: &str) -> Arc<Plan> {
    let text = format!("target: http://127.0.0.1:1\nload: {load}\nscenarios: {scenarios}");
    let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
    Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(&text, false))).plan)
}

/// Runs a share of a plan in virtual time, and adds up what was measured.
fn run(plan: &Arc<Plan>, share: Share, service: Service) -> Merged {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let order = SliceOrder {
            plan: Arc::clone(plan),
            share,
            seed: 5,
            epoch: Instant::now() + Duration::from_millis(500),
            interval: Duration::from_secs(1),
        };
        let target = Origin::of(&order.plan.target).unwrap();
        let worker = Rc::new(worker(&order, target, Box::new(TokioClock), Box::new(service)).unwrap());
        let (sender, recordings) = mpsc::unbounded();
        offer(&worker, order.interval, &Notify::new(), &sender).await;
        drop(sender);
        // The task that hands over holds the other end until it is gone.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let intervals: Vec<Interval> = recordings.map(Recording::into_interval).collect().await;
        let mut merged = Merged::default();
        for (sequence, interval) in (0..).zip(intervals) {
            let (run, nonce) = ("r".to_owned(), format!("{}", share.index()));
            merged.merge(Snapshot { run, nonce, sequence, interval });
        }
        merged
    })
}

fn arrivals(merged: &Merged) -> (u64, u64, u64) {
    merged.seconds().values().map(|second| second.arrivals).fold((0, 0, 0), |sum, arrivals| {
        (sum.0 + arrivals.scheduled, sum.1 + arrivals.started, sum.2 + arrivals.dropped)
    })
}

const GOOD: Service = Service { takes: Duration::from_millis(100), closes: false };

#[test]
fn an_open_load_starts_every_arrival_on_time_whatever_the_target_takes() {
    let plan = plan("{ rate: 10/s, duration: 5s }", "{ a: { steps: [ { get: / } ] } }");
    for count in [1, 3] {
        let merged: Vec<Merged> =
            (0..count).map(|index| run(&plan, Share::try_new(index, count).unwrap(), GOOD)).collect();
        let scheduled: u64 = merged.iter().map(|merged| arrivals(merged).0).sum();
        let requests: u64 = merged.iter().map(Merged::requests).sum();
        assert_eq!((scheduled, requests), (50, 50), "{count} slices");
        for totals in merged.iter().flat_map(|merged| merged.series().values()) {
            // tokio's virtual time has steps of a millisecond.
            let (min, max) = (totals.response.min_us().unwrap(), totals.response.max_us().unwrap());
            assert!(min >= 99_900 && max <= 102_100, "{min} to {max}");
        }
    }
}

#[test]
fn arrivals_that_find_no_user_are_dropped_and_counted() {
    let load = "{ rate: 20/s, duration: 3s, max_users: 1 }";
    let merged = run(&plan(load, "{ a: { steps: [ { get: / } ] } }"), Share::WHOLE, GOOD);
    let (scheduled, started, dropped) = arrivals(&merged);
    assert_eq!((scheduled, started + dropped, merged.requests()), (60, 60, started));
    // One user that takes 100 ms, and arrivals every 50 ms: every third finds it free, or every second.
    assert!((20..=30).contains(&started), "{started}");
}

#[test]
fn users_that_log_in_do_so_before_the_epoch_and_never_within_an_arrival() {
    let scenarios = "{ a: { before: [ { post: /login, capture: { id: $.id } } ], steps: [ { get: '/{{ id }}' } ] }, \
                       b: { before: [ { post: /other } ], steps: [ { get: /b } ] } }";
    let plan = plan("{ rate: 10/s, duration: 3s, max_users: 12 }", scenarios);
    let merged = run(&plan, Share::WHOLE, GOOD);
    assert_eq!(arrivals(&merged), (30, 30, 0));
    let logins: u64 = plan
        .series
        .iter()
        .zip(merged.series().values())
        .filter(|(name, _)| name.endpoint.starts_with("POST"))
        .map(|(_, totals)| totals.counts.requests)
        .sum();
    assert!((10..=12).contains(&logins), "{logins}");
    assert!(
        merged.seconds().keys().any(|second| *second < 0),
        "logins belong to the seconds before the epoch"
    );
    assert!(merged.series().values().all(|totals| totals.response.max_us() <= Some(102_100)));
}

#[test]
fn a_closed_load_does_what_its_users_have_time_for() {
    let plan = plan("{ users: 3, duration: 4s }", "{ a: { think: 150ms, steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    // 100 ms of service and 150 ms of thinking: four a second, give or take the virtual clock's steps.
    assert!((42..=48).contains(&merged.requests()), "{}", merged.requests());
    let lived: u64 = merged.seconds().values().map(|second| second.user_us).sum();
    assert_eq!(lived, 12_000_000);
}

#[test]
fn a_connection_closed_while_it_was_idle_costs_no_request() {
    let plan = plan("{ users: 2, duration: 3s }", "{ a: { think: 200ms, steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, Service { closes: true, ..GOOD });
    let counts = &merged.series().values().next().unwrap().counts;
    assert_eq!((counts.errors, counts.new_connections), (0, counts.requests));
    assert_eq!(merged.outcomes().keys().collect::<Vec<_>>(), [&Outcome::Status(200)]);
}

#[test]
fn what_the_end_cuts_off_is_unfinished_and_not_forgotten() {
    let load = "{ rate: 2/s, duration: 2s, graceful_stop: 1s }";
    let slow = Service { takes: Duration::from_secs(5), closes: false };
    let merged = run(&plan(load, "{ a: { steps: [ { get: / } ] } }"), Share::WHOLE, slow);
    assert_eq!(merged.outcomes().into_iter().collect::<Vec<_>>(), [(Outcome::Unfinished, 4)]);
    let interrupted: u64 = merged.seconds().values().map(|second| second.iterations.interrupted).sum();
    assert_eq!(interrupted, 4);
}

#[test]
fn an_iteration_without_a_request_is_no_busy_loop() {
    let scenarios = "{ a: { tasks: [ { if: nothing is defined, steps: [ { get: / } ] } ] } }";
    let merged = run(&plan("{ users: 1, duration: 1s }", scenarios), Share::WHOLE, GOOD);
    let started: u64 = merged.seconds().values().map(|second| second.iterations.started).sum();
    assert!((50..=100).contains(&started) && merged.requests() == 0, "{started}");
}
