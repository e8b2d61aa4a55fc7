//! Whole runs in virtual time: the real orchestrator and real seats over a store in memory, with a load
//! that is only pretended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use futures_channel::{mpsc, oneshot};
use squall_metrics::{Outcome, Recorder, Sample, SeriesId};
use squall_plan::Inputs;
use tokio::task::JoinSet;

use super::*;
use crate::judge::Judge;
use crate::message::Control;
use crate::orchestrate::{Fleet, Observer, OrchestrateError, RunOrder, RunRecord, View, orchestrate};
use crate::orchestrator::{End, Lasts, Settings};
use crate::{MemoryQueue, MemoryStore, Put, Queue};

/// tokio's virtual time as the clock on the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestClock(tokio::time::Instant);

impl TestClock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        Time(1_700_000_000_000_000).plus(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }
}

pub(crate) struct Nobody;

impl Observer for Nobody {
    fn look(&mut self, _: &View<'_>) {}
}

pub(crate) struct World {
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: TestClock,
    pub(crate) seats: JoinSet<Result<SeatOutcome, StoreError>>,
    pub(crate) nonces: u32,
    /// How long load is made.
    pub(crate) load: Duration,
    /// When the environment of every seat ends it.
    pub(crate) deadline: Option<Time>,
    /// Loads that are being made.
    pub(crate) running: Arc<AtomicU32>,
}

pub(crate) fn order(seats: u32, load: Duration) -> (RunOrder, Settings) {
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ users: 1, duration: {}s, graceful_stop: 0s }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}",
        load.as_secs()
    );
    let bundle = Bundle::new("p.yaml", text, Inputs::default());
    let settings = Settings {
        run: "r1".to_owned(),
        name: "p".to_owned(),
        bundle: bundle.sha256(),
        seed: 7,
        seats,
        least: seats,
        spares: 0,
        interval_s: 1,
        poll: Duration::from_millis(100),
        gather: Duration::from_secs(10),
        window: Duration::from_hours(24),
        lasts: Lasts { load, divisible: true, ..Lasts::default() },
        detached: false,
        regions: Vec::new(),
        all_regions: false,
    };
    (RunOrder { bundle, judge: Judge::default(), all_regions: false, lost: Vec::new() }, settings)
}

/// Drives a run in one region.
pub(crate) async fn drive(
    queue: &impl Queue,
    store: &impl Store,
    clock: &TestClock,
    (order, settings): (RunOrder, Settings),
    stop: impl Future<Output = ()>,
) -> Result<RunRecord, OrchestrateError> {
    let fleet = Fleet { region: "here".to_owned(), queue, store, settings, resumed: None };
    orchestrate(vec![fleet], clock, order, &mut Nobody, stop).await
}

/// A pretended load's reins.
struct TestReins {
    stop: Arc<tokio::sync::Notify>,
    end: Arc<AtomicI64>,
    allowed: Arc<AtomicI64>,
}

impl Reins for TestReins {
    fn stop(&self) {
        self.stop.notify_one();
    }

    fn end_at(&self, at: Time) {
        self.end.fetch_min(at.0, Ordering::SeqCst);
    }

    fn allow_until(&self, until: Time) {
        self.allowed.store(until.0, Ordering::SeqCst);
    }
}

/// Ten requests a second of the slice's part of the plan; `dies_after` so many seconds ends the thread without a word.
fn pretend(
    order: &Order,
    clock: TestClock,
    (dies_after, abort): (Option<u32>, Option<String>),
    running: Arc<AtomicU32>,
) -> Load {
    let (sender, recordings) = mpsc::unbounded();
    let (finish, finished) = oneshot::channel::<Option<String>>();
    let stop = Arc::new(tokio::sync::Notify::new());
    let (end, allowed) = (Arc::new(AtomicI64::new(i64::MAX)), Arc::new(AtomicI64::new(i64::MAX)));
    let reins = TestReins { stop: Arc::clone(&stop), end: Arc::clone(&end), allowed: Arc::clone(&allowed) };
    let lasts = order.plan.duration().as_secs();
    let (epoch, from) = (order.epoch, order.from.as_micros().div_ceil(1_000_000));
    running.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let mut recorder = Recorder::new(1);
        let from = u64::try_from(from).unwrap();
        for second in from..lasts {
            let ends = epoch.plus(Duration::from_secs(second + 1));
            let is_over = tokio::select! {
                () = clock.sleep(ends.since(clock.now())) => {
                    let begins = epoch.plus(Duration::from_secs(second)).0;
                    begins >= end.load(Ordering::SeqCst) || clock.now().0 > allowed.load(Ordering::SeqCst)
                }
                () = stop.notified() => true,
            };
            if is_over {
                break;
            }
            if dies_after.is_some_and(|dies_after| u64::from(dies_after) == second - from) {
                running.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            let at_us = i64::try_from(second).unwrap() * 1_000_000;
            (0..10).for_each(|n| recorder.record(&sample(at_us + n)));
            sender.unbounded_send(recorder.take()).unwrap();
        }
        running.fetch_sub(1, Ordering::SeqCst);
        drop(sender);
        // Who has died on the way is not asked any more.
        let _ = finish.send(abort);
    });
    Load {
        recordings,
        finished: Box::pin(async move { finished.await.map_err(|_| "thread died".to_owned()) }),
        reins: Box::new(reins),
    }
}

fn sample(at_us: i64) -> Sample {
    Sample {
        ended_us: at_us + 100,
        outcome: Outcome::Status(200),
        failed: false,
        ..Sample::begun(SeriesId(0), at_us, at_us)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            load: Duration::from_secs(5),
            deadline: None,
            queue: Arc::default(),
            store: Arc::default(),
            clock: TestClock::start(),
            seats: JoinSet::new(),
            nonces: 0,
            running: Arc::default(),
        }
    }

    pub(crate) fn sit(&mut self, invitation: String, dies_after: Option<u32>, abort: Option<String>) {
        let (store, clock, running) = (Arc::clone(&self.store), self.clock, Arc::clone(&self.running));
        let identity = Identity {
            nonce: format!("n{}", self.nonces),
            region: "test".to_owned(),
            environment: "test".to_owned(),
            queued_ms: None,
            deliveries: None,
            init_ms: 1.0,
            deadline: self.deadline,
        };
        self.nonces += 1;
        self.seats.spawn(async move {
            sit(&*store, &clock, &invitation, &identity, async |_| {
                let start = move |order: Order| Ok(pretend(&order, clock, (dies_after, abort), running));
                Ok(Prepared { start, source: None })
            })
            .await
        });
    }

    /// Answers each invitation `times` times; `shape` says what the load of a seat does.
    pub(crate) async fn run(
        &mut self,
        seats: u32,
        times: usize,
        shape: impl Fn(u32) -> (Option<u32>, Option<String>),
        stop: impl Future<Output = ()>,
    ) -> RunRecord {
        let (queue, store, clock) = (Arc::clone(&self.queue), Arc::clone(&self.store), self.clock);
        let mut driven = pin!(drive(&*queue, &*store, &clock, order(seats, self.load), stop));
        loop {
            tokio::select! {
                record = &mut driven => return record.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(10)) => {
                    while let Some(invitation) = self.queue.receive() {
                        let seat = Invitation::from_text(&invitation).map_or(0, |invitation| invitation.seat);
                        for _ in 0..times {
                            let (dies_after, abort) = shape(seat);
                            self.sit(invitation.clone(), dies_after, abort);
                        }
                    }
                }
            }
        }
    }
}

type Start = fn(Order) -> Result<Load, String>;

async fn cannot(_: Arc<Plan>) -> Result<Prepared<Start>, String> {
    Err("cannot".to_owned())
}

pub(crate) fn well(_: u32) -> (Option<u32>, Option<String>) {
    (None, None)
}

#[tokio::test(start_paused = true)]
async fn a_run_measures_every_request_of_every_seat() {
    let mut world = World::new();
    let record = world.run(4, 1, well, std::future::pending()).await;
    assert_eq!(record.end, End::Finished);
    assert_eq!(record.merged.requests(), 4 * 50);
    assert_eq!(
        (record.seats.invited, record.seats.ready, record.seats.assigned, record.seats.lost),
        (4, 4, 4, 0)
    );
    assert_eq!((record.missing, record.problems), (Vec::new(), Vec::new()));
    let outcomes = world.seats.join_all().await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap() == SeatOutcome::Ran(Ended::Finished)));
}

#[tokio::test(start_paused = true)]
async fn every_message_delivered_twice_runs_nothing_twice() {
    let mut world = World::new();
    let record = world.run(4, 2, well, std::future::pending()).await;
    assert_eq!(record.merged.requests(), 4 * 50);
    let seats = record.seats;
    assert_eq!((seats.assigned, seats.duplicate + seats.late + seats.spare >= 4), (4, true), "{seats:?}");
    let outcomes: Vec<_> = world.seats.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == SeatOutcome::NotNeeded).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_dies_is_named_and_its_snapshots_count() {
    let mut world = World::new();
    let dies = |seat| (if seat == 2 { Some(3) } else { None }, None);
    let record = world.run(3, 1, dies, std::future::pending()).await;
    assert_eq!(record.merged.requests(), 50 + 50 + 30);
    assert_eq!(record.missing, ["slice 2: thread died"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_load_within_two_polls_and_keeps_what_was_measured() {
    let mut world = World::new();
    let stop = tokio::time::sleep(Duration::from_millis(3_050));
    let record = world.run(2, 1, well, stop).await;
    assert_eq!(record.end, End::Interrupted);
    assert!((40..=60).contains(&record.merged.requests()), "{}", record.merged.requests());
    assert!(world.clock.0.elapsed() < Duration::from_millis(3_500), "{:?}", world.clock.0.elapsed());
    assert_eq!(world.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_asks_for_the_end_ends_everybody() {
    let mut world = World::new();
    let asks = |seat| (None, (seat == 0).then(|| "it was enough".to_owned()));
    let record = world.run(2, 1, asks, std::future::pending()).await;
    assert_eq!(record.end, End::Aborted("it was enough".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn without_an_orchestrator_load_ends_at_the_lease() {
    let mut world = World::new();
    let orchestrator =
        tokio::time::timeout(Duration::from_secs(2), world.run(1, 1, well, std::future::pending()));
    assert!(orchestrator.await.is_err());
    assert_eq!(world.running.load(Ordering::SeqCst), 1);
    // The pretended load ends by itself after five seconds; here the lease is what ends the seat that waits.
    let control = Control {
        version: VERSION,
        term: 1,
        state: State::Running,
        cut_short: false,
        generation: 1,
        epoch: None,
        said_at: world.clock.now(),
        lease_until: world.clock.now().plus(Duration::from_secs(3)),
    };
    world.store.put(&keys::control("r1"), control.to_bytes(), Put::Always).await.unwrap();
    let outcomes = world.seats.join_all().await;
    assert_eq!(
        outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [SeatOutcome::Ran(Ended::LeaseExpired)]
    );
    assert!(world.clock.0.elapsed() < Duration::from_millis(5_500));
}

#[tokio::test(start_paused = true)]
async fn a_generator_ends_its_load_before_its_environment_ends_it() {
    let mut world = World::new();
    // The plan's load is longer than the orchestrator was told, so that the seat has to notice by itself.
    world.load = Duration::from_mins(1);
    world.deadline = Some(world.clock.now().plus(Duration::from_secs(30)));
    let (queue, store, clock) = (Arc::clone(&world.queue), Arc::clone(&world.store), world.clock);
    let mut short = order(1, world.load);
    short.1.lasts.load = Duration::from_secs(5);
    let mut driven = pin!(drive(&*queue, &*store, &clock, short, std::future::pending()));
    let record = loop {
        tokio::select! {
            record = &mut driven => break record.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                while let Some(invitation) = queue.receive() {
                    world.sit(invitation, None, None);
                }
            }
        }
    };
    assert_eq!(record.missing, ["slice 0: its environment gave it no more time"]);
    let ended = clock.0.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&ended), "{ended:?}");
    assert!((80..=100).contains(&record.merged.requests()), "{}", record.merged.requests());
}

#[tokio::test(start_paused = true)]
async fn seats_that_nobody_takes_are_named() {
    let mut world = World::new();
    let queue = Arc::clone(&world.queue);
    // Somebody else takes all messages but the first.
    let thief = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            while queue.receive().is_some() {}
        }
    });
    let record = world.run(2, 1, well, std::future::pending()).await;
    thief.abort();
    assert_eq!(record.end, End::Failed("only 0 of 2 generators were ready within 10 s".to_owned()));
    assert_eq!(record.merged.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_snapshot_is_told_and_not_counted() {
    let mut world = World::new();
    let store = Arc::clone(&world.store);
    for (key, value) in [
        (keys::snapshot("r1", 0, "x", 0), b"SQSN\x01nonsense".to_vec()),
        (keys::snapshot("r1", 1, "y", 1), b"something else".to_vec()),
        (keys::ready("r1", "z"), b"{}".to_vec()),
    ] {
        store.put(&key, value, Put::Always).await.unwrap();
    }
    let record = world.run(2, 1, well, std::future::pending()).await;
    assert_eq!((record.merged.requests(), record.problems.len()), (100, 3), "{:?}", record.problems);
    assert_eq!(record.end, End::Finished);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_invitation_of_this_fleet_is_foreign_and_a_late_one_is_not_needed() {
    let world = World::new();
    let invitation = |version, expires_s| {
        let expires_at = world.clock.now().plus(Duration::from_secs(expires_s));
        serde_json::to_string(&Invitation { version, run: "nowhere".to_owned(), seat: 0, expires_at })
            .unwrap()
    };
    let identity = Identity {
        nonce: "n".to_owned(),
        region: String::new(),
        environment: String::new(),
        queued_ms: None,
        deliveries: None,
        init_ms: 0.0,
        deadline: None,
    };
    let texts =
        ["", "{}", "no json", &invitation(VERSION + 1, 9), &invitation(VERSION, 0), &invitation(VERSION, 9)];
    for text in texts {
        let outcome = sit(&*world.store, &world.clock, text, &identity, cannot).await.unwrap();
        let is_late = text == invitation(VERSION, 0);
        assert_eq!(matches!(outcome, SeatOutcome::Foreign(_)), !is_late, "{text}: {outcome:?}");
        assert_eq!(outcome == SeatOutcome::NotNeeded, is_late, "{text}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_orchestrator_makes_the_first_one_read_on() {
    let mut world = World::new();
    let (store, clock) = (Arc::clone(&world.store), world.clock);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let lease_until = clock.now().plus(Duration::from_secs(30));
        let other = Control {
            version: VERSION,
            term: 2,
            state: State::Running,
            cut_short: false,
            generation: 1,
            epoch: None,
            said_at: lease_until,
            lease_until,
        };
        store.put(&keys::control("r1"), other.to_bytes(), Put::Always).await.unwrap();
    });
    let record = world.run(1, 1, well, std::future::pending()).await;
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 50));
    assert!(record.problems[0].contains("another orchestrator has taken over"), "{:?}", record.problems);
    let Fetched::Found { value, .. } = world.store.get(&keys::control("r1"), None).await.unwrap() else {
        panic!("no control")
    };
    assert_eq!(Control::from_bytes(&value).unwrap().term, 2, "it has not written any more");
}

#[tokio::test]
async fn queue_and_store_in_memory_keep_their_promises() {
    let (queue, store) = (MemoryQueue::default(), MemoryStore::default());
    crate::conformance::store(&store, "runs/a").await.unwrap();
    let received = async || std::iter::from_fn(|| queue.receive()).collect();
    crate::conformance::queue(&queue, received).await.unwrap();
    queue.send(vec!["x".to_owned()]).await.unwrap();
    assert_eq!(queue.receive().as_deref(), Some("x"));
}
