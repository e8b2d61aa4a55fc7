//! A run is ended from outside, under every circumstance.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::message::{Ended, Time, VERSION};
use crate::orchestrator::End;
use crate::seat::SeatOutcome;
use crate::seat::tests::{TestClock, World, well};
use crate::{MemoryStore, Put};

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_stop_from_elsewhere_ends_the_load_and_the_orchestrator_reports_it() {
    let mut world = World::new();
    let (store, clock) = (Arc::clone(&world.store), world.clock);
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(3_050)).await;
        let stopped = stop(&*store, &clock, "r1", PATIENCE).await.unwrap();
        (stopped, clock.now())
    });
    let record = world.run(2, 1, well, std::future::pending()).await;
    assert_eq!(record.end, End::Interrupted);
    assert!((40..=60).contains(&record.merged.requests()), "{}", record.merged.requests());
    assert_eq!(record.missing, Vec::<String>::new());
    let (stopped, at) = stopper.await.unwrap();
    assert_eq!(stopped, Stop::Stopped { assigned: 2, confirmed: 2 });
    assert!(at.since(Time(1_700_000_000_000_000)) < Duration::from_millis(3_600), "{at:?}");
    let (control, _) = read_control(&*world.store, "r1").await.unwrap().unwrap();
    assert_eq!((control.state, control.term), (State::Done, 2));
    assert_eq!(stop(&*world.store, &world.clock, "r1", PATIENCE).await.unwrap(), Stop::Over);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_without_the_orchestrator() {
    let mut world = World::new();
    let dead = tokio::time::timeout(Duration::from_secs(3), world.run(2, 1, well, std::future::pending()));
    assert!(dead.await.is_err());
    assert_eq!(world.running.load(Ordering::SeqCst), 2);
    let before = world.clock.now();
    let stopped = stop(&*world.store, &world.clock, "r1", PATIENCE).await.unwrap();
    assert_eq!(stopped, Stop::Stopped { assigned: 2, confirmed: 2 });
    assert!(world.clock.now().since(before) <= Duration::from_millis(500));
    let outcomes = world.seats.join_all().await.into_iter().map(Result::unwrap);
    assert!(outcomes.into_iter().all(|outcome| outcome == SeatOutcome::Ran(Ended::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_load_leaves_nothing_to_confirm() {
    let mut world = World::new();
    let (store, clock) = (Arc::clone(&world.store), world.clock);
    let queue = Arc::clone(&world.queue);
    let thief = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            while queue.receive().is_some() {}
        }
    });
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(6)).await;
        stop(&*store, &clock, "r1", PATIENCE).await.unwrap()
    });
    let record = world.run(2, 1, well, std::future::pending()).await;
    thief.abort();
    assert_eq!(record.end, End::Interrupted);
    assert_eq!(stopper.await.unwrap(), Stop::Stopped { assigned: 0, confirmed: 0 });
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stopped_is_said() {
    let (store, clock) = (MemoryStore::default(), TestClock::start());
    assert_eq!(stop(&store, &clock, "nobody", PATIENCE).await.unwrap(), Stop::Unknown);
    let lease_until = clock.now();
    let state = State::Running;
    let control = Control {
        version: VERSION,
        term: 1,
        state,
        cut_short: false,
        generation: 1,
        epoch: None,
        said_at: lease_until,
        lease_until,
    };
    store.put(&keys::control("dead"), control.to_bytes(), Put::Always).await.unwrap();
    // By this clock its lease is over; clocks differ, so it is told all the same.
    let stopped = Stop::Stopped { assigned: 0, confirmed: 0 };
    assert_eq!(stop(&store, &clock, "dead", PATIENCE).await.unwrap(), stopped);
    assert_eq!(stop(&store, &clock, "dead", PATIENCE).await.unwrap(), Stop::Over);
}
