//! Slices in virtual time, over connections in memory: what is measured can be computed by hand.

use std::convert::Infallible;
use std::num::NonZeroU32;

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use squall_metrics::{
    Distribution, Interval, LoadId, Merged, Outcome, Phase, Phases, Recording, Second, Series, SeriesId,
    Snapshot, Sparse,
};
use squall_plan::{Bundle, Inputs, Plan, SecretValues, compile};
use tokio::time::Instant;

use super::*;
use crate::clock::TokioClock;
use crate::connect::{ConnectError, Dialed, Guard, Origin};
use crate::slice::{Finished, Machine, RunFacts, prepare, start};
use crate::worker::Life;

mod auth;
mod cleanup;
mod events;
mod fence;
mod flow;
mod handover;
mod mix;
mod once;

/// Answers everything after the same time; may close each connection after its first answer, unannounced; may not
/// answer at all for some time at the end of each cycle.
#[derive(Debug, Clone, Copy)]
struct Service {
    takes: Duration,
    closes: bool,
    freezes: Option<Freeze>,
}

#[derive(Debug, Clone, Copy)]
struct Freeze {
    begin: Instant,
    cycle: Duration,
    lasts: Duration,
}

impl Freeze {
    /// How long a request that comes at this instant is kept waiting.
    fn wait(self, now: Instant) -> Duration {
        let cycle_us = self.cycle.as_micros();
        let into = Duration::from_micros(u64::try_from((now - self.begin).as_micros() % cycle_us).unwrap());
        if into + self.lasts >= self.cycle { self.cycle.saturating_sub(into) } else { Duration::ZERO }
    }
}

impl Connect for Service {
    fn connect(
        &self,
        _: &Origin,
        _: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        let service = *self;
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn_local(async move {
            let answered = std::rc::Rc::new(Notify::new());
            let done = std::rc::Rc::clone(&answered);
            let respond = service_fn(move |_: Request<Incoming>| {
                let done = std::rc::Rc::clone(&done);
                async move {
                    let frozen = service.freezes.map_or(Duration::ZERO, |freeze| freeze.wait(Instant::now()));
                    tokio::time::sleep(frozen + service.takes).await;
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
        let dialed = Dialed { io: Box::new(near), http2: false, remote: None, proxy: None };
        Box::pin(async move { Ok(dialed) })
    }
}

/// Virtual time, on a day on which AWS signed its examples.
struct Virtual;

impl Clock for Virtual {
    fn now(&self) -> Instant {
        TokioClock.now()
    }

    fn sleep_until(&self, deadline: Instant) -> LocalBoxFuture<'static, ()> {
        TokioClock.sleep_until(deadline)
    }

    fn unix_ms(&self) -> i64 {
        1_440_938_160_000
    }
}

fn plan(load: &str, scenarios: &str) -> Arc<Plan> {
    let text = format!("target: http://127.0.0.1:1\nload: {load}\nscenarios: {scenarios}");
    let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
    Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan)
}

/// Runs a share of a plan in virtual time, and adds up what was measured.
fn run(plan: &Arc<Plan>, share: Share, service: Service) -> Merged {
    run_with(plan, share, |_| service)
}

/// The same with a service that knows when the load begins.
fn run_with<C: Connect + 'static>(
    plan: &Arc<Plan>,
    share: Share,
    service: impl FnOnce(Instant) -> C,
) -> Merged {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let (sender, recordings) = mpsc::unbounded();
        let machine = Machine { cores: NonZeroU32::MIN, connections: 1_000 };
        let stopper = Stopper::new(epoch(), NonZeroU32::MIN);
        let core = core_of(plan, share, machine, stopper, sender);
        let worker = core.worker(Box::new(Virtual), Box::new(service(core.order.epoch))).unwrap();
        core.offer(&Rc::new(worker)).await;
        let intervals: Vec<Interval> = recordings.map(Recording::into_interval).collect().await;
        let mut merged = Merged::default();
        for (sequence, interval) in (0..).zip(intervals) {
            let (run, nonce) = ("r".to_owned(), format!("{}", share.index()));
            merged.merge(Snapshot { run, nonce, sequence, interval });
        }
        merged
    })
}

/// When the load begins, in tests: as soon as everything is ready.
fn epoch() -> Instant {
    Instant::now() + Duration::from_millis(500)
}

/// The first thread of a slice.
fn core_of(
    plan: &Arc<Plan>,
    share: Share,
    machine: Machine,
    stopper: Stopper,
    sender: mpsc::UnboundedSender<Recording>,
) -> Core {
    Core {
        order: SliceOrder {
            plan: Arc::clone(plan),
            share,
            seed: 5,
            run: RunFacts { id: "r-1".to_owned(), nonce: "n-1".to_owned(), started_ms: 1_440_938_160_000 },
            epoch: epoch(),
            from: Duration::ZERO,
            rounds: 0,
            interval: Duration::from_mins(1),
        },
        slice: share,
        part: 0,
        // Virtual time would be spent on little else.
        probe: Duration::from_secs(1),
        prepared: prepare(plan, machine, Guard::default(), SecretValues::default()).unwrap(),
        stopper,
        gatherer: Arc::new(Gatherer::new(1, sender, oneshot::channel().0)),
    }
}

fn arrivals(merged: &Merged) -> (u64, u64, u64) {
    merged.seconds().values().map(|second| second.arrivals).fold((0, 0, 0), |sum, arrivals| {
        (sum.0 + arrivals.scheduled, sum.1 + arrivals.started, sum.2 + arrivals.dropped)
    })
}

const GOOD: Service = Service { takes: Duration::from_millis(100), closes: false, freezes: None };

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
fn users_who_begin_with_the_load_are_none_of_the_second_before_it() {
    let plan = plan("{ users: 3, duration: 4s }", "{ a: { steps: [ { get: / } ] } }");
    // Of a user whose life began then: how many the second before the epoch had, as seen just after it.
    let seen = |from_us: i64| {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let machine = Machine { cores: NonZeroU32::MIN, connections: 10 };
            let stopper = Stopper::new(epoch(), NonZeroU32::MIN);
            let core = core_of(&plan, Share::WHOLE, machine, stopper, mpsc::unbounded().0);
            let worker = Rc::new(core.worker(Box::new(Virtual), Box::new(GOOD)).unwrap());
            let mut look = Look::start(&worker);
            worker.clock.sleep_until(worker.instant(1_000)).await;
            let _life = Life::begin(&worker, LoadId(0), (from_us, i64::MAX), i64::MAX);
            look.look(&worker, 0);
            let recording = worker.recorder.borrow_mut().take();
            recording.into_interval().seconds.get(&-1).map(|second| second.users)
        })
    };
    assert_eq!(seen(0), None, "before the load there is nothing");
    assert_eq!(seen(-300_000), Some(1), "of those that are made ready there is");
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
    let slow = Service { takes: Duration::from_secs(5), ..GOOD };
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

fn requests_of(plan: &Plan, merged: &Merged, name: &str) -> u64 {
    let series = (0..).map(SeriesId).zip(&plan.series);
    let named = series.filter(|(_, series)| series.endpoint == name || series.scenario == name);
    named.filter_map(|(id, _)| merged.series().get(&id)).map(|totals| totals.counts.requests).sum()
}

/// Response and service times of everything.
fn times(merged: &Merged) -> (Distribution, Distribution) {
    let (mut response, mut service) = (Distribution::fine(), Distribution::fine());
    for totals in merged.series().values() {
        response.merge(&totals.response);
        service.merge(&totals.service);
    }
    (response, service)
}

#[test]
fn a_day_of_arrivals_does_not_drift() {
    let plan = plan("{ rate: 6/m, duration: 24h }", "{ a: { steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    assert_eq!((arrivals(&merged), merged.requests()), ((8_640, 8_640, 0), 8_640));
    let generator = &merged.generators()["0"];
    // tokio's virtual time has steps of a millisecond.
    assert!(generator.send_lag.max_us().unwrap() <= 1_010, "{:?}", generator.send_lag.max_us());
    let last = merged.seconds().iter().rfind(|(_, second)| second.arrivals.started > 0).unwrap();
    assert_eq!(*last.0, 86_390);
}

/// A server that answers at once but is frozen for 1 s in every 10 s makes one request in ten wait, evenly up to
/// 1 s: so p95 is 500 ms, p99 900 ms, p99.9 990 ms. Whoever waits for an answer before asking again does not see it.
#[test]
fn a_frozen_server_is_measured_as_its_users_see_it() {
    let freezing = |begin| Service {
        takes: Duration::from_millis(1),
        closes: false,
        freezes: Some(Freeze { begin, cycle: Duration::from_secs(10), lasts: Duration::from_secs(1) }),
    };
    let scenario = "{ a: { steps: [ { get: / } ] } }";
    let over = |load: &str, slices: u32| {
        let plan = plan(load, scenario);
        let mut merged = Merged::default();
        for index in 0..slices {
            let own = run_with(&plan, Share::try_new(index, slices).unwrap(), freezing);
            let nonce = format!("n{index}");
            merged.merge(Snapshot { run: "r".to_owned(), nonce, sequence: 0, interval: interval_of(&own) });
        }
        merged
    };
    let near = |distribution: &Distribution, quantile, expected_ms: f64| {
        let ms = distribution.quantile_us(quantile).unwrap() as f64 / 1_000.0;
        assert!((ms - expected_ms).abs() <= expected_ms * 0.02, "{quantile}: {ms} ms, not {expected_ms}");
    };
    let expected = [(0.95, 501.0), (0.99, 901.0), (0.999, 991.0)];
    for slices in [1, 8] {
        let ample = over("{ rate: 200/s, duration: 60s, max_users: 2000 }", slices);
        let (response, service) = times(&ample);
        assert_eq!(response.count(), 12_000);
        for (quantile, ms) in expected {
            near(&response, quantile, ms);
            near(&service, quantile, ms);
        }
    }
    // Few users: the queue is part of the response, and the service time shows where it comes from.
    let queued = over("{ rate: 200/s, duration: 60s, max_users: 20, when_full: queue }", 1);
    let (response, service) = times(&queued);
    assert_eq!((arrivals(&queued), response.count()), ((12_000, 12_000, 0), 12_000));
    for (quantile, ms) in expected {
        // Twenty users work the queue off within some milliseconds.
        let found = response.quantile_us(quantile).unwrap() as f64 / 1_000.0;
        assert!(found >= ms * 0.98 && found <= ms * 1.02 + 12.0, "{quantile}: {found} ms, not {ms}");
    }
    assert!(service.quantile_us(0.98).unwrap() < 10_000, "{:?}", service.quantile_us(0.98));
    let lag = queued.generators()["n0"].send_lag.quantile_us(0.99).unwrap();
    assert!(lag <= 1_010, "waiting for a user is the plan's wish, and no lag of the generator: {lag}");
    let dropping = over("{ rate: 200/s, duration: 60s, max_users: 20 }", 1);
    let (scheduled, started, dropped) = arrivals(&dropping);
    assert_eq!((scheduled, started + dropped), (12_000, 12_000));
    // 180 arrivals in each freeze find all twenty users waiting.
    assert!((1_000..=1_100).contains(&dropped), "{dropped}");
    // The closed model: each user that asks waits for the answer, and nine tenths of what it would have seen is lost.
    let closed = over("{ users: 20, duration: 60s }", 1);
    assert!(times(&closed).0.quantile_us(0.99).unwrap() < 10_000);
}

/// What was measured, as one slice would send it.
fn interval_of(merged: &Merged) -> Interval {
    let series = merged.series().iter().map(|(id, totals)| {
        let series = Series {
            response: totals.response.clone(),
            service: totals.service.clone(),
            ..totals.counts.clone()
        };
        (*id, series)
    });
    let send_lag = merged.generators().values().next().unwrap().send_lag.clone();
    Interval { series: series.collect(), seconds: merged.seconds().clone(), send_lag, ..Interval::default() }
}

#[test]
fn a_fresh_user_logs_in_for_each_arrival() {
    let scenarios = "{ a: { before: [ { post: /login } ], steps: [ { get: / } ] } }";
    let plan = plan("{ rate: 10/s, duration: 3s, users: fresh }", scenarios);
    let merged = run(&plan, Share::WHOLE, GOOD);
    assert_eq!(arrivals(&merged), (30, 30, 0));
    assert_eq!(["POST /login", "GET /"].map(|name| requests_of(&plan, &merged, name)), [30, 30]);
    let new: u64 = merged.series().values().map(|totals| totals.counts.new_connections).sum();
    assert_eq!(new, 30, "each with a connection of its own");
    let early = merged.seconds().range(..0).find(|(_, second)| !second.series.is_empty());
    assert_eq!(early, None, "nobody logs in ahead of time");
}

#[test]
fn fresh_users_wait_for_a_place_where_they_are_few() {
    let scenarios = "{ a: { before: [ { post: /login } ], steps: [ { get: / } ] } }";
    let load = "{ rate: 10/s, duration: 3s, users: fresh, max_users: 1, when_full: queue }";
    let merged = run(&plan(load, scenarios), Share::WHOLE, GOOD);
    // Each takes 200 ms, so two thirds are late, and all are served within the graceful stop.
    assert_eq!((arrivals(&merged), merged.requests()), ((30, 30, 0), 60));
    let (response, service) = times(&merged);
    assert!(response.max_us().unwrap() > 2_500_000 && service.max_us().unwrap() < 110_000);
}

#[test]
fn arrivals_that_are_still_queued_at_the_end_are_dropped() {
    let load = "{ rate: 10/s, duration: 3s, max_users: 1, when_full: queue, graceful_stop: 1s }";
    let slow = Service { takes: Duration::from_secs(1), ..GOOD };
    let merged = run(&plan(load, "{ a: { steps: [ { get: / } ] } }"), Share::WHOLE, slow);
    let (scheduled, started, dropped) = arrivals(&merged);
    assert_eq!((scheduled, started + dropped), (30, 30));
    assert!((3..=5).contains(&started), "{started}");
}

#[test]
fn a_queue_is_served_across_scenarios() {
    let scenarios = "{ a: { steps: [ { get: /a } ] }, b: { steps: [ { get: /b } ] } }";
    let load = "{ rate: 20/s, duration: 3s, max_users: 2, when_full: queue }";
    let merged = run(&plan(load, scenarios), Share::WHOLE, GOOD);
    assert_eq!((arrivals(&merged), merged.requests()), ((60, 60, 0), 60));
}

#[test]
fn a_number_of_iterations_ends_the_load() {
    let scenario = "{ a: { steps: [ { get: / } ] } }";
    let check = |load: &str, expected: u64| {
        let plan = plan(load, scenario);
        let requests = (0..2).map(|index| run(&plan, Share::try_new(index, 2).unwrap(), GOOD).requests());
        assert_eq!(requests.sum::<u64>(), expected, "{load}");
    };
    check("{ users: 3, duration: 1m, iterations: 20 }", 20);
    check("{ users: 3, duration: 1m, iterations_per_user: 4 }", 12);
    check("{ users: 3, duration: 1m, iterations: 2 }", 2);
    // A slice without a user has no iterations, either.
    check("{ users: 1, duration: 1m, iterations: 20 }", 20);
}

#[test]
fn a_pace_is_from_begin_to_begin() {
    let plan = plan("{ users: 1, duration: 10s }", "{ a: { think: pace(1s), steps: [ { get: / } ] } }");
    assert_eq!(run(&plan, Share::WHOLE, GOOD).requests(), 10);
    // Slower than the pace, there is no pause.
    let slow = Service { takes: Duration::from_millis(2_500), ..GOOD };
    assert_eq!(run(&plan, Share::WHOLE, slow).requests(), 4);
}

#[test]
fn users_of_a_ramp_down_end_after_their_iteration_or_are_cut_off() {
    let ramp_down = "{ start_users: 4, stages: [ { duration: 1s, users: 4 }, { duration: 0s, users: 1 }, \
                         { duration: 20s, users: 1 } ], graceful_stop: GRACE }";
    let slow = Service { takes: Duration::from_secs(5), ..GOOD };
    let unfinished = |grace: &str| {
        let plan = plan(&ramp_down.replace("GRACE", grace), "{ a: { steps: [ { get: / } ] } }");
        let merged = run(&plan, Share::WHOLE, slow);
        merged.outcomes().get(&Outcome::Unfinished).copied().unwrap_or(0)
    };
    assert_eq!(unfinished("30s"), 0, "they have time to end");
    // Three users of the ramp, and the last one at the end.
    assert_eq!(unfinished("2s"), 4);
    let load = "{ start_users: 4, stages: [ { duration: 0s, users: 1 }, { duration: 20s, users: 1 } ] }";
    let plan = plan(load, "{ a: { steps: [ { get: / } ] } }");
    assert_eq!(run(&plan, Share::WHOLE, GOOD).requests(), 200);
}

#[test]
fn loads_go_on_side_by_side_each_at_its_time() {
    let load = "[ { rate: 10/s, duration: 2s, scenarios: [a] }, \
                  { users: 2, duration: 1s, start: 5s, scenarios: [b] } ]";
    let plan = plan(load, "{ a: { steps: [ { get: /a } ] }, b: { think: 100ms, steps: [ { get: /b } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    assert_eq!(requests_of(&plan, &merged, "a"), 20);
    assert!((8..=12).contains(&requests_of(&plan, &merged, "b")));
    let seconds_with = |id: u16| -> Vec<i32> {
        let has = |second: &&Second| second.series.contains_key(&SeriesId(id));
        merged.seconds().iter().filter(|(_, second)| has(second)).map(|(second, _)| *second).collect()
    };
    assert!(
        seconds_with(0).iter().all(|second| *second <= 2)
            && seconds_with(1).iter().all(|second| *second >= 5)
    );
    assert_eq!(merged.loads()[&LoadId(0)].arrivals.started, 20);
    assert_eq!(merged.loads()[&LoadId(1)].user_us, 2_000_000);
}

fn plan_with(http: &str, load: &str, scenarios: &str) -> Arc<Plan> {
    let text = format!("target: http://127.0.0.1:1\nhttp: {http}\nload: {load}\nscenarios: {scenarios}");
    let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
    Arc::new(compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan)
}

#[test]
fn connections_are_whose_the_plan_says() {
    let check = |http: &str, new: u64, requests: u64| {
        let load = "{ users: 4, duration: 2s, iterations_per_user: 5 }";
        let plan = plan_with(http, load, "{ a: { steps: [ { get: / }, { get: / } ] } }");
        let merged = run(&plan, Share::WHOLE, GOOD);
        let counts = &merged.series().values().next().unwrap().counts;
        assert_eq!((counts.new_connections, counts.requests, counts.errors), (new, requests, 0), "{http}");
    };
    check("{}", 4, 40);
    check("{ connections: per_iteration }", 20, 40);
    check("{ connections: shared }", 4, 40);
    check("{ max_requests_per_connection: 3 }", 16, 40);
    check("{ connections: shared, max_requests_per_connection: 5 }", 8, 40);
    check("{ max_connection_age: 550ms }", 8, 40);
}

#[test]
fn waiting_for_a_connection_of_the_pool_is_in_the_response_and_not_in_the_service() {
    let load = "{ rate: 20/s, duration: 4s }";
    let plan =
        plan_with("{ connections: shared, max_connections: 1 }", load, "{ a: { steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    let counts = &merged.series().values().next().unwrap().counts;
    assert_eq!((counts.requests, counts.errors, counts.new_connections), (80, 0, 1));
    let (response, service) = times(&merged);
    // One request at a time, each of 100 ms, and one more every 50 ms.
    let (response_s, service_s) =
        (response.max_us().unwrap() as f64 / 1e6, service.max_us().unwrap() as f64 / 1e6);
    assert!(
        (3.8..=4.3).contains(&response_s) && (0.099..=0.103).contains(&service_s),
        "{response_s} {service_s}"
    );
    assert!(merged.generators()["0"].send_lag.max_us().unwrap() <= 1_010);
}

#[test]
fn waiting_again_for_a_connection_is_no_more_the_targets_than_waiting_once() {
    let load = "{ users: 3, duration: 4s }";
    let http = "{ connections: shared, max_connections: 1 }";
    let plan = plan_with(http, load, "{ a: { steps: [ { get: / } ] } }");
    // Whoever has waited finds a connection that the server has closed, and may have to wait again.
    let merged = run(&plan, Share::WHOLE, Service { closes: true, ..GOOD });
    let (response, service) = times(&merged);
    assert!(response.max_us().unwrap() >= 299_000, "{:?}", response.max_us());
    assert!(service.max_us().unwrap() <= 103_000, "{:?}", service.max_us());
    assert!(merged.generators()["0"].send_lag.max_us().unwrap() <= 1_010);
}

#[test]
fn connections_are_divided_among_the_threads_that_there_are() {
    let plan = plan("{ users: 2, duration: 1s }", "{ a: { steps: [ { get: / } ] } }");
    let machine = Machine { cores: NonZeroU32::new(8).unwrap(), connections: 800 };
    let core = |threads| {
        let stopper = Stopper::new(epoch(), NonZeroU32::new(threads).unwrap());
        core_of(&plan, Share::WHOLE, machine, stopper, mpsc::unbounded().0)
    };
    let most = |threads| {
        let worker = core(threads).worker(Box::new(TokioClock), Box::new(GOOD)).unwrap();
        worker.max_connections
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { assert_eq!((most(2), most(8)), (400, 100)) });
}

#[test]
fn more_users_than_connections_are_the_generators_own_failures() {
    let plan =
        plan("{ users: 1003, duration: 1s, iterations_per_user: 1 }", "{ a: { steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    assert_eq!(merged.outcomes().get(&Outcome::Generator), Some(&3), "{:?}", merged.outcomes());
    assert!(
        merged.problems().keys().any(|problem| problem.contains("1000 connections")),
        "{:?}",
        merged.problems()
    );
}

#[test]
fn phases_are_what_service_times_are_made_of() {
    let plan = plan("{ users: 2, duration: 3s, iterations_per_user: 5 }", "{ a: { steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    let totals = merged.series().values().next().unwrap();
    let counts = totals.phases.each_ref().map(Sparse::count);
    // Names, TCP and TLS are the connector's to tell, and there is none here.
    assert_eq!(counts, [0, 0, 0, 10, 10, 10]);
    let p50 = |phase: Phase| totals.phases[phase as usize].quantile_us(0.5).unwrap();
    assert!(
        p50(Phase::Send) < 2_000
            && (99_000..=102_500).contains(&p50(Phase::FirstByte))
            && p50(Phase::Body) < 2_000
    );
}

#[test]
fn every_second_is_looked_at_also_the_last_and_broken_one() {
    let plan = plan("{ users: 2, duration: 2500ms }", "{ a: { think: 50ms, steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    let looked: Vec<i32> = merged
        .seconds()
        .iter()
        .filter(|(_, second)| second.health.slice_seconds == 1)
        .map(|(s, _)| *s)
        .collect();
    assert_eq!(looked, [0, 1, 2]);
    assert_eq!(merged.seconds()[&1].health.connections, 2);
}

#[test]
fn a_pause_before_the_first_request_of_an_arrival_is_not_lateness() {
    let scenario = "{ a: { steps: [ { think: 2s }, { get: / } ] } }";
    let merged = run(&plan("{ rate: 10/s, duration: 3s }", scenario), Share::WHOLE, GOOD);
    let (response, _) = times(&merged);
    assert_eq!((merged.requests(), arrivals(&merged)), (30, (30, 30, 0)));
    assert!(response.max_us().unwrap() <= 103_000, "{:?}", response.max_us());
    assert!(merged.generators()["0"].send_lag.max_us().unwrap() <= 1_010);
}

#[test]
fn a_login_that_fails_is_not_tried_again_with_every_arrival() {
    let scenarios = "{ a: { before: [ { post: /login, expect: { status: 201 } } ], steps: [ { get: / } ] } }";
    let plan = plan("{ rate: 1000/s, duration: 10s, max_users: 500 }", scenarios);
    let merged = run(&plan, Share::WHOLE, GOOD);
    let (scheduled, started, dropped) = arrivals(&merged);
    assert_eq!((scheduled, started, dropped), (10_000, 0, 10_000));
    // 32 at a time, after 1, 2, 4 and 8 s.
    let logins = requests_of(&plan, &merged, "POST /login");
    assert!((32..=6 * 32).contains(&logins), "{logins}");
}

#[test]
fn an_open_load_ends_when_its_own_time_is_over_whatever_others_do() {
    let load = "[ { rate: 10/s, duration: 2s, max_users: 1, when_full: queue, graceful_stop: 1s, scenarios: [a] }, \
                  { users: 1, duration: 20s, scenarios: [b] } ]";
    let plan = plan(load, "{ a: { steps: [ { get: /a } ] }, b: { think: 1s, steps: [ { get: /b } ] } }");
    let slow = Service { takes: Duration::from_secs(1), ..GOOD };
    let merged = run(&plan, Share::WHOLE, slow);
    let late = merged.seconds().range(4..).any(|(_, second)| second.series.contains_key(&SeriesId(0)));
    assert!(!late && requests_of(&plan, &merged, "b") >= 9);
    let counts = merged.loads()[&LoadId(0)].arrivals;
    assert_eq!((counts.scheduled, counts.started + counts.dropped), (20, 20));
}

#[test]
fn a_request_that_never_had_a_connection_says_nothing_of_the_target() {
    let http = "{ connections: shared, max_connections: 1, timeout: 1s }";
    let plan = plan_with(http, "{ rate: 20/s, duration: 4s }", "{ a: { steps: [ { get: / } ] } }");
    let merged = run(&plan, Share::WHOLE, GOOD);
    let (response, service) = times(&merged);
    assert!(merged.outcomes()[&Outcome::Timeout] > 10, "{:?}", merged.outcomes());
    assert!(response.max_us().unwrap() >= 999_000 && service.max_us().unwrap() <= 103_000);
}

/// The slice as it is started in a generator: on real threads, over the loopback.
#[test]
fn a_slice_on_three_processors_is_one_slice() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "target: http://{}\nload: {{ rate: 90/s, duration: 2s }}\nscenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}",
        listener.local_addr().unwrap()
    );
    std::thread::spawn(move || serve_each(&listener));
    let plan = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default())).unwrap().plan;
    let machine = Machine { cores: NonZeroU32::new(3).unwrap(), connections: 300 };
    let prepared = prepare(&plan, machine, Guard::default(), SecretValues::default()).unwrap();
    let epoch = Instant::now() + Duration::from_millis(100);
    let (plan, interval) = (Arc::new(plan), Duration::from_secs(1));
    let (share, run) = (Share::try_new(1, 2).unwrap(), RunFacts::default());
    let order = SliceOrder { plan, share, seed: 1, run, epoch, from: Duration::ZERO, rounds: 0, interval };
    let running = start(&order, &prepared).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let recordings: Vec<Recording> = runtime.block_on(running.recordings.collect());
    let finished = runtime.block_on(running.finished);
    assert_eq!(finished, Ok(Finished { abort: None }));
    // One for each whole second, and what the threads had left, each by itself.
    assert!((3..=6).contains(&recordings.len()), "{}", recordings.len());
    let mut whole = Interval::default();
    recordings.into_iter().for_each(|recording| whole.merge(&recording.into_interval()));
    let counts = &whole.series[&SeriesId(0)];
    assert_eq!((counts.requests, counts.errors, whole.loads[&LoadId(0)].arrivals.scheduled), (90, 0, 90));
    assert_eq!(whole.seconds[&0].health.slice_seconds, 3);
    assert_eq!(whole.remotes.values().sum::<u64>(), 90);
}

/// Answers every request, each connection on a thread of its own.
fn serve_each(listener: &std::net::TcpListener) {
    use std::io::{BufRead, BufReader, Write};
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if line.is_empty() && stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
    }
}
