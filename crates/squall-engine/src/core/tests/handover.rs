//! Slices that are handed over in mid-load, and the fence: what the target sees, and what is counted.

use std::collections::BTreeMap;
use std::ops::Range;

use squall_plan::handover::LOGIN_SPACING;
use tokio::time::sleep_until;

use super::*;

/// Answers everything after some time, and writes down what it was asked, and when.
#[derive(Clone)]
struct Logging {
    epoch: Instant,
    pub(super) takes: Duration,
    log: Rc<RefCell<Log>>,
}

/// Offsets from the epoch, in milliseconds, and paths.
pub(super) type Log = Vec<(i64, String)>;

impl Connect for Logging {
    fn connect(
        &self,
        _: &Origin,
        _: Rc<Cell<Phases>>,
    ) -> LocalBoxFuture<'static, Result<Dialed, ConnectError>> {
        let logging = self.clone();
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn_local(async move {
            let respond = service_fn(|request: Request<Incoming>| {
                let logging = logging.clone();
                async move {
                    let at_ms = crate::clock::offset_us(logging.epoch, Instant::now()).div_euclid(1_000);
                    let path = request.uri().to_string();
                    let status = if path.starts_with("/busy") { 503 } else { 200 };
                    let redirected = path.starts_with("/old");
                    logging.log.borrow_mut().push((at_ms, path));
                    tokio::time::sleep(logging.takes).await;
                    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"id\":7}")));
                    *response.status_mut() = if redirected { 302 } else { status }.try_into().unwrap();
                    response.headers_mut().insert("location", "/new".parse().unwrap());
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(far), respond).await;
        });
        let dialed = Dialed { io: Box::new(near), http2: false, remote: None, proxy: None };
        Box::pin(async move { Ok(dialed) })
    }
}

/// What came of a slice, or of one of its threads.
pub(super) struct Ran {
    pub(super) merged: Merged,
    pub(super) log: Log,
    /// When it ended, after the epoch.
    pub(super) ended: Duration,
}

/// Which part of a plan is run, from when on.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) slice: Share,
    pub(super) thread: (u32, u32),
    pub(super) from: Duration,
    pub(super) takes: Duration,
    pub(super) rounds: u64,
}

pub(super) const ALL: Part = Part {
    slice: Share::WHOLE,
    thread: (0, 1),
    from: Duration::ZERO,
    takes: Duration::from_millis(20),
    rounds: 0,
};

/// Runs it while `control` does what the fleet would do.
pub(super) fn run_part<F: Future<Output = ()> + 'static>(
    plan: &Arc<Plan>,
    part: Part,
    control: impl FnOnce(Stopper, Instant) -> F,
) -> Ran {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let (sender, recordings) = mpsc::unbounded();
        let machine = Machine { cores: NonZeroU32::MIN, connections: 10_000 };
        let stopper = Stopper::new(epoch(), NonZeroU32::MIN);
        let share = part.slice.subdivide(part.thread.0, part.thread.1).unwrap();
        let mut core = core_of(plan, share, machine, stopper.clone(), sender);
        (core.slice, core.order.from, core.order.interval) = (part.slice, part.from, Duration::from_secs(1));
        core.order.rounds = part.rounds;
        let epoch = core.order.epoch;
        let log = Rc::<RefCell<Log>>::default();
        let service = Logging { epoch, takes: part.takes, log: Rc::clone(&log) };
        let worker = core.worker(Box::new(Virtual), Box::new(service)).unwrap();
        let control = spawn_local(control(stopper, epoch));
        core.offer(&Rc::new(worker)).await;
        let ended = Instant::now() - epoch;
        control.abort();
        // It holds the way by which recordings come.
        drop(core);
        let mut merged = Merged::default();
        let intervals: Vec<Interval> = recordings.map(Recording::into_interval).collect().await;
        for (sequence, interval) in (0..).zip(intervals) {
            merged.merge(Snapshot { run: "r".to_owned(), nonce: "n".to_owned(), sequence, interval });
        }
        Ran { merged, log: log.take(), ended }
    })
}

/// Runs it undisturbed.
pub(super) fn run_alone(plan: &Arc<Plan>, part: Part) -> Ran {
    run_part(plan, part, |_, _| async {})
}

/// Runs it up to a boundary, which is told at some time.
fn run_until(plan: &Arc<Plan>, part: Part, boundary: Duration, told: Duration) -> Ran {
    run_part(plan, part, move |stopper, epoch| async move {
        sleep_until(epoch + told).await;
        stopper.end_at(epoch + boundary);
    })
}

/// The slice on one generator up to the boundary, and on another one from it on.
fn hand_over(plan: &Arc<Plan>, part: Part, boundary: Duration) -> (Ran, Ran) {
    let before = run_until(plan, part, boundary, Duration::ZERO);
    (before, run_alone(plan, Part { from: boundary, ..part }))
}

fn sorted(logs: &[&Log]) -> Vec<String> {
    let mut paths: Vec<String> =
        logs.iter().flat_map(|log| log.iter().map(|(_, path)| path.clone())).collect();
    paths.sort();
    paths
}

/// Something of each second, of all slices together, where it is not zero.
fn by_second(ran: &[&Ran], of: fn(&Second) -> u64) -> BTreeMap<i32, u64> {
    let mut sums = BTreeMap::new();
    for (second, counts) in ran.iter().flat_map(|ran| ran.merged.seconds()) {
        *sums.entry(*second).or_insert(0) += of(counts);
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

pub(super) fn user_us(ran: &Ran) -> u64 {
    ran.merged.seconds().values().map(|second| second.user_us).sum()
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The most iterations that a user has begun, or rows that it has taken, as snapshots tell.
fn rounds(ran: &Ran) -> u64 {
    ran.merged.loads().values().map(|load| load.rounds).max().unwrap_or(0)
}

#[test]
fn who_goes_on_with_users_takes_no_row_that_was_taken() {
    let check = |per: &str, path: &str| {
        let text = format!(
            "target: http://t.test\nload: {{ users: 7, duration: 20s, graceful_stop: 1s }}\n\
             data: {{ d: {{ csv: d.csv, pick: unique, per: {per} }} }}\n\
             scenarios: {{ a: {{ think: 200ms..400ms, steps: [ {{ get: '{path}' }} ] }} }}"
        );
        let rows: String = (0..20_000).map(|row| format!("{row}\n")).collect();
        let file = format!("id\n{rows}").into_bytes();
        let bundle =
            squall_plan::Bundle::new("p.yaml", text, Inputs::default()).with_files(|_| Ok(file.clone()));
        let plan = Arc::new(squall_plan::compile(&bundle).unwrap().plan);
        let boundary = SECOND * 10;
        let before = run_until(&plan, ALL, boundary, Duration::ZERO);
        let after = run_alone(&plan, Part { from: boundary, rounds: rounds(&before) + 2, ..ALL });
        let paths = sorted(&[&before.log, &after.log]);
        let mut rows: Vec<&str> =
            paths.iter().flat_map(|path| path.trim_start_matches('/').split('-')).collect();
        let taken = rows.len();
        rows.sort_unstable();
        rows.dedup();
        assert!(before.log.len() > 100 && after.log.len() > 100, "{} {}", before.log.len(), after.log.len());
        assert_eq!(rows.len(), taken, "{per}");
        // Without being told it would begin anew.
        let anew = run_alone(&plan, Part { from: boundary, ..ALL });
        assert!(anew.log.iter().any(|(_, path)| before.log.iter().any(|(_, other)| other == path)), "{per}");
    };
    check("iteration", "/{{ d.id }}");
    check("use", "/{{ d.id }}-{{ d.id }}");
}

#[test]
fn two_generators_let_each_arrival_of_the_plan_happen_once() {
    // What is drawn belongs to the arrival, so that a path tells who asks.
    let scenarios = "{ a: { steps: [ { get: '/{{ random_int(0, 1000000000000) }}' } ] }, \
                       b: { before: [ { post: /in } ], steps: [ { get: '/{{ random_int(0, 1000000000000) }}' } ] } }";
    for arrivals in ["even", "poisson"] {
        let load = format!(
            "[ {{ rate: 40/s, duration: 20s, arrivals: {arrivals} }}, \
               {{ stages: [ {{ duration: 12s, rate: 60/s }} ], start: 3s, arrivals: {arrivals} }} ]"
        );
        let plan = plan(&load, scenarios);
        for (index, count) in [(0, 1), (1, 3)] {
            let part = Part { slice: Share::try_new(index, count).unwrap(), ..ALL };
            let whole = run_alone(&plan, part);
            let own = |log: &Log| log.iter().filter(|(_, path)| path != "/in").cloned().collect::<Log>();
            assert!(own(&whole.log).len() > 300);
            for boundary_ms in [1, 2_999, 7_025, 15_000] {
                let boundary = Duration::from_millis(boundary_ms);
                let (before, after) = hand_over(&plan, part, boundary);
                let (early, late) = (own(&before.log), own(&after.log));
                assert_eq!(sorted(&[&early, &late]), sorted(&[&own(&whole.log)]), "{arrivals} {boundary:?}");
                let ms = i64::try_from(boundary_ms).unwrap();
                // Time has steps of a millisecond; whoever is due just before one is let happen in it.
                assert!(early.iter().all(|(at, _)| *at <= ms + 2) && late.iter().all(|(at, _)| *at >= ms));
                let scheduled = |second: &Second| second.arrivals.scheduled;
                let started = |second: &Second| second.arrivals.started;
                for of in [scheduled, started] {
                    assert_eq!(by_second(&[&before, &after], of), by_second(&[&whole], of));
                }
                assert!(before.ended < boundary + SECOND / 10, "{:?}", before.ended);
            }
        }
    }
}

#[test]
fn who_gets_ready_for_a_load_is_not_seen_before_it() {
    let boundary = 12 * SECOND;
    let logs_in = "{ a: { before: [ { post: /in } ], steps: [ { get: / } ] } }";
    let check = |load: &str, scenarios: &str, twice: &[i32]| {
        let (before, after) = hand_over(&plan(load, scenarios), ALL, boundary);
        let seen = by_second(&[&before, &after], |second| second.health.slice_seconds);
        let expected = (0..15).map(|s| (s, if twice.contains(&s) { 2 } else { 1 }));
        let seen = seen.into_iter().filter(|(s, _)| *s >= 0);
        assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{load}");
    };
    check("{ users: 3, duration: 15s }", "{ a: { steps: [ { get: / } ] } }", &[]);
    check("{ rate: 10/s, duration: 15s }", "{ a: { steps: [ { get: / } ] } }", &[]);
    check("{ rate: 20/s, duration: 15s }", logs_in, &[]);
    // While users change hands there are two.
    check("{ users: 50, duration: 15s }", logs_in, &[12, 13]);
    let plan = plan("{ rate: 20/s, duration: 15s }", logs_in);
    let after = run_alone(&plan, Part { from: boundary, ..ALL });
    assert_eq!(after.merged.requests(), 20 + 60, "users are logged in ahead, as before the epoch");
    assert!(after.log[..20].iter().all(|(at, path)| *at < 0 && path == "/in"), "{:?}", &after.log[..20]);
    assert_eq!(arrivals(&after.merged), (60, 60, 0));
}

#[test]
fn whoever_waits_for_a_far_arrival_ends_in_time() {
    let scenarios = "{ a: { before: [ { post: /in } ], steps: [ { get: / } ], after: [ { post: /out } ] } }";
    let plan = plan("{ rate: 6/h, duration: 10h }", scenarios);
    let ran = run_until(&plan, ALL, 60 * SECOND, 5 * SECOND);
    assert!(ran.ended >= 60 * SECOND && ran.ended < 61 * SECOND, "{:?}", ran.ended);
    assert_eq!(
        sorted(&[&ran.log]),
        ["/", "/in", "/in", "/out", "/out"],
        "free users end as they do at the plan's end"
    );
    assert!(ran.log.iter().all(|(at, path)| path != "/out" || *at >= 60_000));
    // Said once, but earlier than before.
    let ran = run_part(&plan, ALL, |stopper, epoch| async move {
        stopper.end_at(epoch + 60 * SECOND);
        sleep_until(epoch + 10 * SECOND).await;
        stopper.end_at(epoch + 20 * SECOND);
        stopper.end_at(epoch + 30 * SECOND);
    });
    assert!(ran.ended >= 20 * SECOND && ran.ended < 21 * SECOND, "{:?}", ran.ended);
}

#[test]
fn an_end_that_is_told_late_holds_from_when_it_is_heard() {
    let scenarios = "{ a: { before: [ { post: /in } ], think: 1h, steps: [ { get: / } ] } }";
    let open = plan("{ rate: 10/s, duration: 1m }", scenarios);
    let ran = run_until(&open, ALL, 5 * SECOND, Duration::from_millis(8_050));
    assert_eq!(arrivals(&ran.merged), (81, 81, 0));
    assert!(ran.ended >= 8 * SECOND && ran.ended < 9 * SECOND, "{:?}", ran.ended);
    let closed = plan("{ users: 100, duration: 1m }", scenarios);
    let ran = run_until(&closed, ALL, 5 * SECOND, 8 * SECOND);
    // 75 of them would have left before; the others leave as they would have.
    let left_ms = (0..100).map(|user| (5_000 + 40 * user).max(8_000)).sum::<u64>();
    assert!(user_us(&ran).abs_diff(left_ms * 1_000) <= 100 * 1_000, "{} not {left_ms}", user_us(&ran));
    assert!(ran.ended < 9 * SECOND + SECOND / 10, "{:?}", ran.ended);
}

#[test]
fn what_is_under_way_at_the_end_has_as_much_time_as_at_the_plans_end() {
    let scenario = "{ a: { steps: [ { get: / } ] } }";
    for (load, unfinished) in [("rate: 2/s, max_users: 50", 14), ("users: 4", 4)] {
        let plan = plan(&format!("{{ {load}, duration: 1m, graceful_stop: 2s }}"), scenario);
        let slow = |takes| run_until(&plan, Part { takes, ..ALL }, 10 * SECOND, Duration::ZERO);
        let ran = slow(Duration::from_millis(1_900));
        assert!(ran.merged.outcomes().keys().all(|outcome| *outcome == Outcome::Status(200)), "{load}");
        assert!(ran.ended > 10 * SECOND && ran.ended < 12 * SECOND, "{load}: {:?}", ran.ended);
        let ran = slow(Duration::from_millis(9_400));
        assert_eq!(ran.merged.outcomes()[&Outcome::Unfinished], unfinished, "{load}");
        assert!(ran.ended >= 12 * SECOND && ran.ended < 13 * SECOND, "{load}: {:?}", ran.ended);
    }
}

/// When each user asked first and last, but for logins.
fn asked(log: &Log) -> BTreeMap<u64, Range<i64>> {
    let mut asked = BTreeMap::<u64, Range<i64>>::new();
    for (at, path) in log {
        if let Some(user) = path.strip_prefix("/u/") {
            let asked = asked.entry(user.parse().unwrap()).or_insert(*at..*at);
            asked.end = *at;
        }
    }
    asked
}

fn spacing_ms() -> i64 {
    i64::try_from(LOGIN_SPACING.as_millis()).unwrap()
}

const USERS_LOG_IN: &str =
    "{ a: { before: [ { post: /in } ], think: 200ms, steps: [ { get: '/u/{{ vu.id }}' } ] } }";

#[test]
fn each_user_changes_hands_at_its_own_time() {
    let plan = plan("{ users: 300, duration: 30s }", USERS_LOG_IN);
    let (boundary, boundary_ms) = (10 * SECOND, 10_000);
    let part = Part { slice: Share::try_new(1, 3).unwrap(), ..ALL };
    let before = run_until(&plan, part, boundary, SECOND);
    // The other one has two processors.
    let after = [0, 1].map(|thread| run_alone(&plan, Part { from: boundary, thread: (thread, 2), ..part }));
    let (early, late) = (asked(&before.log), asked(&[after[0].log.clone(), after[1].log.clone()].concat()));
    assert_eq!((early.len(), late.len()), (100, 100));
    for (number, user) in (0..).zip((1..300).step_by(3)) {
        let hands = boundary_ms + number * spacing_ms();
        assert!(early[&user].end < hands + 2 && early[&user].end > hands - 230, "{user}: {:?}", early[&user]);
        assert!((hands..hands + 25).contains(&late[&user].start), "{user}: {:?}", late[&user]);
    }
    let ran = [&before, &after[0], &after[1]];
    let planned: BTreeMap<i32, u64> = (0..30).map(|second| (second, 100_000_000)).collect();
    assert_eq!(by_second(&ran, |second| second.user_us), planned);
    let logins: Vec<i64> =
        after.iter().flat_map(|ran| &ran.log).filter(|(_, path)| path == "/in").map(|(at, _)| *at).collect();
    assert_eq!(logins.len(), 100);
    for begin in (10_000..14_000).step_by(50) {
        let within = logins.iter().filter(|at| (begin..begin + 1_000).contains(*at)).count();
        assert!(within <= 26, "{within} logins in the second from {begin} ms on");
    }
    let last = boundary + plan.handover_spread(3);
    assert!(before.ended >= last && before.ended < last + SECOND / 4, "{:?}", before.ended);
}

#[test]
fn users_that_need_no_login_change_hands_at_once() {
    let plan =
        plan("{ users: 50, duration: 20s }", "{ a: { think: 200ms, steps: [ { get: '/u/{{ vu.id }}' } ] } }");
    let (before, after) = hand_over(&plan, ALL, 10 * SECOND);
    assert!(asked(&before.log).values().all(|asked| asked.end < 10_002));
    assert!(asked(&after.log).values().all(|asked| (10_000..10_025).contains(&asked.start)));
    assert_eq!(user_us(&before) + user_us(&after), 50 * 20_000_000);
}

#[test]
fn users_time_adds_up_wherever_a_changing_profile_is_cut() {
    // Users that begin and end again, also just at the boundary and while the others change hands.
    let load = "{ start_users: 5, stages: [ { duration: 4s, users: 25 }, { duration: 2s, users: 25 }, \
                  { duration: 0s, users: 10 }, { duration: 3s, users: 40 }, { duration: 5s, users: 0 } ] }";
    for scenarios in [USERS_LOG_IN, "{ a: { think: 300ms, steps: [ { get: '/u/{{ vu.id }}' } ] } }"] {
        let plan = plan(load, scenarios);
        let whole = run_alone(&plan, ALL);
        for boundary_ms in [1, 100, 2_000, 3_950, 5_990, 6_000, 6_010, 8_000, 12_345, 13_999] {
            let (before, after) = hand_over(&plan, ALL, Duration::from_millis(boundary_ms));
            let of = |second: &Second| second.user_us;
            assert_eq!(by_second(&[&before, &after], of), by_second(&[&whole], of), "{boundary_ms}");
        }
    }
}

#[test]
fn new_users_go_on_with_the_rows_that_nobody_had() {
    let text = |load: &str| {
        let rows: Vec<String> = (0..400).map(|row| format!("{{ n: {row} }}")).collect();
        format!(
            "target: http://127.0.0.1:1\ndata: {{ d: {{ rows: [ {} ], pick: unique, per: user }} }}\nload: {load}\n\
             scenarios: {{ a: {{ steps: [ {{ get: '/{{{{ d.n }}}}' }} ] }} }}",
            rows.join(", ")
        )
    };
    for arrivals in ["even", "poisson"] {
        let text = text(&format!("{{ rate: 20/s, duration: 20s, users: fresh, arrivals: {arrivals} }}"));
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        let plan = Arc::new(compiled.unwrap_or_else(|told| panic!("{}", told.render(false))).plan);
        let (before, after) = hand_over(&plan, ALL, 7 * SECOND);
        let mut paths = sorted(&[&before.log, &after.log]);
        paths.dedup();
        assert_eq!(paths.len(), 400, "{arrivals}: each row once");
    }
}
