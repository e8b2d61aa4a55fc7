//! The store fails, sleeps, answers twice; the run is still told as it was.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::message::State;
use crate::seat::tests::{Nobody, TestClock, World, order, well};
use crate::{MemoryQueue, MemoryStore, StoreError};

/// What a [`Faulty`] store does to a call that begins then, if anything.
type Fault = fn(Duration, &str, bool) -> Option<Misdeed>;

enum Misdeed {
    Fails(StoreErrorKind),
    /// Does it, and says that it may not have.
    LosesTheAnswer,
}

/// A store that misbehaves as seen from the orchestrator only.
struct Faulty {
    store: Arc<MemoryStore>,
    clock: TestClock,
    begin: Time,
    fault: Fault,
    done: Mutex<HashSet<String>>,
}

impl Faulty {
    fn new(world: &World, fault: Fault) -> Self {
        let (store, clock) = (Arc::clone(&world.store), world.clock);
        Self { store, clock, begin: clock.now(), fault, done: Mutex::default() }
    }

    fn misdeed(&self, key: &str, is_write: bool) -> Option<Misdeed> {
        (self.fault)(self.clock.now().since(self.begin), key, is_write)
    }
}

impl Store for Faulty {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        match self.misdeed(key, true) {
            None => self.store.put(key, value, put).await,
            Some(Misdeed::Fails(kind)) => Err(StoreError::new(kind, format!("write `{key}`"))),
            Some(Misdeed::LosesTheAnswer) => {
                // The first try gets through unheard; the client tries the same again and hears of that.
                let first = self.done.lock().unwrap().insert(format!("{key} {value:?}"));
                if first {
                    self.store.put(key, value.clone(), put.clone()).await?;
                }
                self.store.put(key, value, put).await
            }
        }
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        match self.misdeed(key, false) {
            Some(Misdeed::Fails(kind)) => Err(StoreError::new(kind, format!("read `{key}`"))),
            _ => self.store.get(key, unless).await,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        match self.misdeed(prefix, false) {
            Some(Misdeed::Fails(kind)) => Err(StoreError::new(kind, format!("list `{prefix}`"))),
            _ => self.store.list(prefix, after).await,
        }
    }
}

/// A run of two seats whose orchestrator sees the store through a fault.
async fn run(world: &mut World, fault: Fault) -> Result<RunRecord, OrchestrateError> {
    let store = Faulty::new(world, fault);
    let (queue, clock) = (Arc::clone(&world.queue), world.clock);
    let mut nobody = Nobody;
    let stop = std::future::pending();
    let mut driven = pin!(orchestrate(&*queue, &store, &clock, order(2, world.load), &mut nobody, stop));
    loop {
        tokio::select! {
            record = &mut driven => return record,
            () = tokio::time::sleep(Duration::from_millis(10)) => answer(world, &queue),
        }
    }
}

fn answer(world: &mut World, queue: &MemoryQueue) {
    while let Some(invitation) = queue.receive() {
        let (dies_after, abort) = well(0);
        world.sit(invitation, dies_after, abort);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unavailable_for_a_while_costs_nothing() {
    let outages: [Fault; 3] = [
        |at, _, _| (at < Duration::from_secs(3)).then_some(Misdeed::Fails(StoreErrorKind::Unavailable)),
        |at, _, _| (at.as_secs() == 3).then_some(Misdeed::Fails(StoreErrorKind::Unavailable)),
        // Every write fails at first, so whatever is decided then is written later, and in order.
        |at, _, write| {
            (write && at.subsec_millis() % 500 < 400).then_some(Misdeed::Fails(StoreErrorKind::Unavailable))
        },
    ];
    for outage in outages {
        let mut world = World::new();
        let record = run(&mut world, outage).await.unwrap();
        assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
        assert_eq!(record.missing, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_not_mistaken_for_another_orchestrator() {
    let mut world = World::new();
    let record = run(&mut world, |_, _, write| write.then_some(Misdeed::LosesTheAnswer)).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_in_mid_run_ends_it_and_keeps_what_was_measured() {
    let mut world = World::new();
    let gone: Fault =
        |at, _, _| (at > Duration::from_secs(4)).then_some(Misdeed::Fails(StoreErrorKind::Gone));
    let record = run(&mut world, gone).await.unwrap();
    assert!(matches!(&record.end, End::Failed(reason) if reason.contains("cannot read")), "{:?}", record.end);
    assert!(record.merged.requests() >= 40, "{}", record.merged.requests());
    assert_eq!(record.missing.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_works_is_an_error_before_any_load() {
    let mut world = World::new();
    let denied: Fault =
        |_, key, _| key.ends_with("manifest").then_some(Misdeed::Fails(StoreErrorKind::Denied));
    let OrchestrateError::Store(error) = run(&mut world, denied).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(world.seats.is_empty());
    let Fetched::Found { value, .. } = world.store.get(&keys::control("r1"), None).await.unwrap() else {
        panic!("no control")
    };
    assert_eq!(Control::from_bytes(&value).unwrap().state, State::Done, "nobody waits for it");
}

/// A machine asleep is an orchestrator that hears nothing and says nothing, and then goes on.
fn asleep(at: Duration, _: &str, _: bool) -> Option<Misdeed> {
    (at.as_secs() >= 2 && at.as_secs() < 40).then_some(Misdeed::Fails(StoreErrorKind::Unavailable))
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_wakes_after_its_lease_does_not_go_on() {
    let mut world = World::new();
    world.load = Duration::from_mins(1);
    let record = run(&mut world, asleep).await.unwrap();
    let is_said = matches!(&record.end, End::Failed(reason) if reason.contains("not renewed"));
    assert!(is_said, "{:?}", record.end);
    let Fetched::Found { value, .. } = world.store.get(&keys::control("r1"), None).await.unwrap() else {
        panic!("no control")
    };
    assert_eq!(Control::from_bytes(&value).unwrap().state, State::Done);
    assert!((260..=310).contains(&(record.merged.requests() / 2)), "{}", record.merged.requests());
    assert_eq!(
        record.missing,
        ["slice 0: lost sight of the orchestrator", "slice 1: lost sight of the orchestrator"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_sleeps_through_the_end_reports_it_whole() {
    let mut world = World::new();
    let record = run(&mut world, asleep).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
}

#[tokio::test(start_paused = true)]
async fn generators_that_live_too_short_for_the_load_make_none() {
    let mut world = World::new();
    world.deadline = Some(world.clock.now().plus(Duration::from_secs(12)));
    let record = world.run(2, 1, well, std::future::pending()).await;
    assert!(matches!(&record.end, End::Failed(reason) if reason.contains("too short")), "{:?}", record.end);
    assert_eq!(record.merged.requests(), 0);
}
