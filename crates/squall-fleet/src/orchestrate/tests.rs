//! The store fails, sleeps, answers twice; the run is still told as it was.

mod regions;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::message::{Control, Message, State};
use crate::seat::tests::{TestClock, World, drive, order, well};
use crate::{ETag, Fetched, Listed, MemoryQueue, MemoryStore, Put, StoreErrorKind, keys};

/// What a [`Faulty`] store does to a call that begins then, if anything.
type Fault = fn(Duration, &str, bool) -> Option<Misdeed>;

enum Misdeed {
    Fails(StoreErrorKind),
    /// Answers much later.
    Takes(Duration),
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
            None | Some(Misdeed::Takes(_)) => self.store.put(key, value, put).await,
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
            Some(Misdeed::Takes(duration)) => {
                self.clock.sleep(duration).await;
                self.store.get(key, unless).await
            }
            _ => self.store.get(key, unless).await,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        match self.misdeed(prefix, false) {
            Some(Misdeed::Fails(kind)) => Err(StoreError::new(kind, format!("list `{prefix}`"))),
            Some(Misdeed::Takes(duration)) => {
                self.clock.sleep(duration).await;
                self.store.list(prefix, after).await
            }
            _ => self.store.list(prefix, after).await,
        }
    }
}

/// A run of two seats whose orchestrator sees the store through a fault.
async fn run(world: &mut World, fault: Fault) -> Result<RunRecord, OrchestrateError> {
    let store = Faulty::new(world, fault);
    let (queue, clock) = (Arc::clone(&world.queue), world.clock);
    let stop = std::future::pending();
    let mut driven = pin!(drive(&*queue, &store, &clock, order(2, world.load), stop));
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

/// Of thousands of reads some always take long. Each message is answered twice, so there are enough without the slow one.
#[tokio::test(start_paused = true)]
async fn a_read_that_takes_long_holds_up_no_other() {
    let mut world = World::new();
    let slow: Fault = |_, key, _| key.ends_with("ready/n0").then_some(Misdeed::Takes(Duration::from_secs(8)));
    let store = Faulty::new(&world, slow);
    let (queue, clock, begin) = (Arc::clone(&world.queue), world.clock, world.clock.now());
    let stop = std::future::pending();
    let mut driven = pin!(drive(&*queue, &store, &clock, order(2, world.load), stop));
    let record = loop {
        tokio::select! {
            record = &mut driven => break record.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => while let Some(invitation) = queue.receive() {
                world.sit(invitation.clone(), None, None);
                world.sit(invitation, None, None);
            }
        }
    };
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
    let after = record.epoch.unwrap().since(begin);
    assert!(after < Duration::from_secs(3), "{after:?}");
}

/// A large fleet's snapshots are hundreds of pages.
#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_while_a_listing_takes_longer_than_it() {
    let mut world = World::new();
    world.load = Duration::from_mins(1);
    let slow: Fault =
        |_, key, _| key.ends_with("snapshots/").then_some(Misdeed::Takes(Duration::from_secs(40)));
    let record = run(&mut world, slow).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 1_200));
    assert_eq!(record.missing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn one_failure_after_a_look_that_took_long_is_no_reason_to_give_up() {
    let mut world = World::new();
    world.load = Duration::from_mins(1);
    let slow: Fault = |at, key, _| {
        let fails = key.ends_with("final/") && (70..80).contains(&at.as_secs());
        let takes = key.ends_with("snapshots/").then_some(Misdeed::Takes(Duration::from_secs(70)));
        if fails { Some(Misdeed::Fails(StoreErrorKind::Unavailable)) } else { takes }
    };
    let record = run(&mut world, slow).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 1_200));
}

/// Thousands begin at the same time, and a store that has too much to do for a while costs none of them.
#[tokio::test(start_paused = true)]
async fn a_seat_is_taken_though_the_store_is_unavailable_at_first() {
    let mut world = World::new();
    for key in ["manifest", "plans/", "control", "ready/"] {
        let done = Arc::new(MemoryStore::default());
        let invitation = {
            let queue = MemoryQueue::default();
            let stop = tokio::time::sleep(Duration::from_secs(1));
            drive(&queue, &*done, &world.clock, order(1, world.load), stop).await.unwrap();
            queue.receive().unwrap()
        };
        world.store = done;
        let fault: Fault =
            |at, _, _| (at < Duration::from_secs(5)).then_some(Misdeed::Fails(StoreErrorKind::Unavailable));
        let faulty = Only { key, faulty: Faulty::new(&world, fault) };
        let identity = crate::Identity {
            nonce: "n".to_owned(),
            region: String::new(),
            environment: String::new(),
            queued_ms: None,
            deliveries: None,
            init_ms: 0.0,
            deadline: None,
        };
        let start = |_| Err("not needed".to_owned());
        let prepare = async |_| Ok(crate::Prepared { start, source: None });
        let outcome = crate::sit(&faulty, &world.clock, &invitation, &identity, prepare).await;
        assert_eq!(outcome.unwrap(), crate::SeatOutcome::NotNeeded, "{key}");
        assert!(faulty.faulty.clock.now().since(faulty.faulty.begin) >= Duration::from_secs(5), "{key}");
    }
}

/// A store that is [`Faulty`] under some keys only.
struct Only {
    key: &'static str,
    faulty: Faulty,
}

impl Store for Only {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        if key.contains(self.key) {
            self.faulty.put(key, value, put).await
        } else {
            self.faulty.store.put(key, value, put).await
        }
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        if key.contains(self.key) {
            self.faulty.get(key, unless).await
        } else {
            self.faulty.store.get(key, unless).await
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        self.faulty.store.list(prefix, after).await
    }
}

/// What cannot be read before the load is over is in the report all the same, and what was read is not read again.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_comes_after_the_load_counts_once() {
    let mut world = World::new();
    let late: Fault = |at, key, write| {
        let is_late = !write && key.contains("/snapshots/00000001/") && at < Duration::from_secs(12);
        is_late.then_some(Misdeed::Fails(StoreErrorKind::Unavailable))
    };
    let begin = world.clock.now();
    let record = run(&mut world, late).await.unwrap();
    assert!(world.clock.now().since(begin) >= Duration::from_secs(12));
    assert_eq!((record.end, record.merged.requests(), record.merged.duplicates()), (End::Finished, 100, 0));
    assert_eq!(record.missing, Vec::<String>::new());
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
    assert!(
        matches!(&record.end, End::Failed(reason) if reason.contains("live long enough")),
        "{:?}",
        record.end
    );
    assert_eq!(record.merged.requests(), 0);
}

/// Seats whose lives end too early are passed over for others, if there are any.
#[tokio::test(start_paused = true)]
async fn a_seat_that_lives_too_short_is_passed_over_for_one_that_does_not() {
    let mut world = World::new();
    let (queue, short) = (Arc::clone(&world.queue), world.clock.now().plus(Duration::from_secs(12)));
    let (store, clock) = (Arc::clone(&world.store), world.clock);
    let stop = std::future::pending();
    let mut driven = pin!(drive(&*queue, &*store, &clock, order(2, world.load), stop));
    let record = loop {
        tokio::select! {
            record = &mut driven => break record.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                while let Some(invitation) = queue.receive() {
                    world.deadline = Some(short);
                    world.sit(invitation.clone(), None, None);
                    world.deadline = None;
                    world.sit(invitation, None, None);
                }
            }
        }
    };
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
    assert_eq!((record.seats.ready, record.seats.assigned, record.seats.spare), (4, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_could_not_be_told_in_time_is_set_anew() {
    let mut world = World::new();
    // From the assignment on no control is written for longer than the way to the epoch.
    let late: Fault = |at, key, write| {
        let hidden = write && key.ends_with("control") && at > Duration::from_millis(50) && at.as_secs() < 4;
        hidden.then_some(Misdeed::Fails(StoreErrorKind::Unavailable))
    };
    let record = run(&mut world, late).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
    let late_ms = record.generators.iter().map(|own| own.last_word.as_ref().unwrap().start_skew_ms);
    assert!(late_ms.into_iter().all(|late_ms| late_ms == 0.0), "everybody was there at the epoch");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_while_seats_were_taken_is_not_revived() {
    let world = World::new();
    let queue = Arc::clone(&world.queue);
    // Nobody comes, and from the second second on nothing can be written for longer than the lease.
    let thief = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            while queue.receive().is_some() {}
        }
    });
    let store = Faulty::new(&world, |at, key, write| {
        let hidden = write && key.ends_with("control") && (1..40).contains(&at.as_secs());
        hidden.then_some(Misdeed::Fails(StoreErrorKind::Unavailable))
    });
    let (queue, clock) = (Arc::clone(&world.queue), world.clock);
    let mut patient = order(2, world.load);
    patient.1.gather = Duration::from_mins(2);
    let stop = std::future::pending();
    let record = drive(&*queue, &store, &clock, patient, stop).await.unwrap();
    thief.abort();
    assert!(matches!(&record.end, End::Failed(reason) if reason.contains("not renewed")), "{:?}", record.end);
    assert!(clock.now().since(store.begin) < Duration::from_secs(45), "it does not go on gathering");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_while_the_store_does_not_answer() {
    let mut world = World::new();
    world.load = Duration::from_mins(10);
    let (queue, clock, store) = (Arc::clone(&world.queue), world.clock, Arc::clone(&world.store));
    let silent = Silent { store: Arc::clone(&store), clock, from: clock.now().plus(Duration::from_secs(3)) };
    let stop = tokio::time::sleep(Duration::from_secs(4));
    let mut driven = pin!(drive(&*queue, &silent, &clock, order(2, world.load), stop));
    loop {
        tokio::select! {
            record = &mut driven => {
                assert_eq!(record.unwrap().end, End::Interrupted);
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => answer(&mut world, &queue),
        }
        assert!(clock.now() < silent.from.plus(Duration::from_mins(1)), "it waits for ever");
    }
}

/// A store whose reads never answer from some time on, and whose writes do.
struct Silent {
    store: Arc<MemoryStore>,
    clock: TestClock,
    from: Time,
}

impl Silent {
    async fn silence(&self) {
        // Long enough to be noticed; clients give up at some time.
        if self.clock.now() >= self.from && self.clock.now() < self.from.plus(Duration::from_secs(20)) {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
}

impl Store for Silent {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        self.store.put(key, value, put).await
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        self.silence().await;
        self.store.get(key, unless).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        self.silence().await;
        self.store.list(prefix, after).await
    }
}
