//! One run at a time on a deployed fleet: two would take each other's generators.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keys;
use crate::message::{Control, Message, State, Time, VERSION};
use crate::orchestrator::RENEW;
use crate::ports::{Clock, ETag, Fetched, Put, Store, StoreError, StoreErrorKind};

/// How long a run that has said nothing yet is believed to begin soon.
const BEGINS_WITHIN: Duration = Duration::from_mins(1);

/// How often a run that is not ready to begin says that it is about to.
pub const SAY_AGAIN: Duration = Duration::from_secs(20);

/// How much later than it is due a renewal may be seen.
const GRACE: Duration = Duration::from_secs(3);

/// How often it is tried to take a fleet.
const ATTEMPTS: u32 = 10;

/// Which run has the fleet, or had it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    version: u32,
    run: String,
    since: Time,
}

impl Message for Holder {}

/// What became of the wish to hold a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It is granted.
    Granted,
    /// This run is under way, and has it.
    TakenBy(String),
}

/// Takes the fleet for a run, unless another one is under way.
pub async fn hold(store: &impl Store, clock: &impl Clock, run: &str) -> Result<Hold, StoreError> {
    for _ in 0..ATTEMPTS {
        let (holder, tag) = holder(store).await?;
        if let Some(holder) = holder
            && is_under_way(store, clock, &holder).await?
        {
            return Ok(Hold::TakenBy(holder.run));
        }
        let own = Holder { version: VERSION, run: run.to_owned(), since: clock.now() };
        match store.put(keys::CURRENT, own.to_bytes(), tag.map_or(Put::IfAbsent, Put::IfMatch)).await {
            Ok(_) => return Ok(Hold::Granted),
            // Somebody was faster, or this very write was answered twice; the next look tells.
            Err(error) if error.kind == StoreErrorKind::ConditionFailed => {
                if self::holder(store).await?.0.as_ref() == Some(&own) {
                    return Ok(Hold::Granted);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::new(StoreErrorKind::Unavailable, format!("write `{}`", keys::CURRENT)))
}

/// Says again that a run is about to begin on the fleet that it has taken; false if another one has it by now. Who gets
/// ready for longer than others wait says so every [`SAY_AGAIN`].
pub async fn hold_on(store: &impl Store, clock: &impl Clock, run: &str) -> Result<bool, StoreError> {
    let (holder, tag) = holder(store).await?;
    let Some((_, tag)) = holder.zip(tag).filter(|(holder, _)| holder.run == run) else { return Ok(false) };
    let again = Holder { version: VERSION, run: run.to_owned(), since: clock.now() };
    match store.put(keys::CURRENT, again.to_bytes(), Put::IfMatch(tag)).await {
        Ok(_) => Ok(true),
        // Somebody was faster, or this very write was answered twice.
        Err(error) if error.kind == StoreErrorKind::ConditionFailed => is_held_by(store, run).await,
        Err(error) => Err(error),
    }
}

/// Whether nobody has taken the fleet since this run did.
pub async fn is_held_by(store: &impl Store, run: &str) -> Result<bool, StoreError> {
    Ok(holder(store).await?.0.is_some_and(|holder| holder.run == run))
}

/// Gives a fleet back that a run took, and then did not begin on.
pub async fn release(store: &impl Store, run: &str) -> Result<(), StoreError> {
    let (holder, tag) = holder(store).await?;
    let Some((_, tag)) = holder.zip(tag).filter(|(holder, _)| holder.run == run) else { return Ok(()) };
    let long_ago = Holder { version: VERSION, run: run.to_owned(), since: Time(0) };
    store.put(keys::CURRENT, long_ago.to_bytes(), Put::IfMatch(tag)).await.map(drop)
}

/// The run that is under way on a fleet, if there is one.
pub async fn run_under_way(store: &impl Store, clock: &impl Clock) -> Result<Option<String>, StoreError> {
    match holder(store).await?.0 {
        Some(holder) if is_under_way(store, clock, &holder).await? => Ok(Some(holder.run)),
        _ => Ok(None),
    }
}

/// What cannot be read holds nothing.
async fn holder(store: &impl Store) -> Result<(Option<Holder>, Option<ETag>), StoreError> {
    Ok(match store.get(keys::CURRENT, None).await? {
        Fetched::Found { value, tag } => (Holder::from_bytes(&value).ok(), Some(tag)),
        Fetched::NotModified | Fetched::Missing => (None, None),
    })
}

/// Whether a run goes on. A lease that is over by this clock may not be by others, so what counts is whether it
/// is renewed.
async fn is_under_way(store: &impl Store, clock: &impl Clock, holder: &Holder) -> Result<bool, StoreError> {
    let key = keys::control(&holder.run);
    let (control, tag) = match store.get(&key, None).await? {
        Fetched::Found { value, tag } => (Control::from_bytes(&value), tag),
        Fetched::NotModified | Fetched::Missing => {
            return Ok(clock.now() < holder.since.plus(BEGINS_WITHIN));
        }
    };
    match control {
        Ok(control) if control.state == State::Done => Ok(false),
        Ok(control) if clock.now() < control.lease_until => Ok(true),
        _ => {
            clock.sleep(RENEW + GRACE).await;
            Ok(matches!(store.get(&key, Some(&tag)).await?, Fetched::Found { .. }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::seat::tests::TestClock;

    async fn write(store: &MemoryStore, run: &str, state: State, lease_until: Time) {
        let control = Control {
            version: VERSION,
            term: 1,
            state,
            cut_short: false,
            generation: 0,
            epoch: None,
            said_at: lease_until,
            lease_until,
        };
        store.put(&keys::control(run), control.to_bytes(), Put::Always).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_has_one_run_at_a_time() {
        let (store, clock) = (MemoryStore::default(), TestClock::start());
        assert_eq!(run_under_way(&store, &clock).await.unwrap(), None);
        assert_eq!(hold(&store, &clock, "a").await.unwrap(), Hold::Granted);
        // Before its first word, while it runs, and while it ends.
        assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::TakenBy("a".to_owned()));
        for state in [State::Waiting, State::Running, State::Aborting] {
            write(&store, "a", state, clock.now().plus(Duration::from_secs(30))).await;
            assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::TakenBy("a".to_owned()));
        }
        write(&store, "a", State::Done, clock.now().plus(Duration::from_secs(30))).await;
        assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::Granted);
        assert_eq!(run_under_way(&store, &clock).await.unwrap(), Some("b".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_fast_does_not_end_the_hold_of_a_run_that_renews_its_lease() {
        let (store, clock) = (std::sync::Arc::new(MemoryStore::default()), TestClock::start());
        hold(&*store, &clock, "a").await.unwrap();
        // By this clock each lease has run out before it is written.
        let renewed = std::sync::Arc::clone(&store);
        let orchestrator = tokio::spawn(async move {
            for second in 0.. {
                write(&renewed, "a", State::Running, Time(second)).await;
                tokio::time::sleep(RENEW).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(hold(&*store, &clock, "b").await.unwrap(), Hold::TakenBy("a".to_owned()));
        orchestrator.abort();
        assert_eq!(hold(&*store, &clock, "b").await.unwrap(), Hold::Granted);
        assert!(is_held_by(&*store, "b").await.unwrap() && !is_held_by(&*store, "a").await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_takes_long_to_get_ready_holds_on_and_nobody_elses_fleet() {
        let (store, clock) = (MemoryStore::default(), TestClock::start());
        hold(&store, &clock, "a").await.unwrap();
        for _ in 0..6 {
            tokio::time::sleep(SAY_AGAIN).await;
            assert!(hold_on(&store, &clock, "a").await.unwrap());
            assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::TakenBy("a".to_owned()));
        }
        assert!(!hold_on(&store, &clock, "b").await.unwrap());
        // It was silent for too long.
        tokio::time::sleep(BEGINS_WITHIN).await;
        assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::Granted);
        assert!(!hold_on(&store, &clock, "a").await.unwrap());
        assert!(is_held_by(&store, "b").await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_died_holds_nothing_for_long() {
        let (store, clock) = (MemoryStore::default(), TestClock::start());
        hold(&store, &clock, "given back").await.unwrap();
        release(&store, "somebody else").await.unwrap();
        assert_eq!(run_under_way(&store, &clock).await.unwrap(), Some("given back".to_owned()));
        release(&store, "given back").await.unwrap();
        assert_eq!(hold(&store, &clock, "never began").await.unwrap(), Hold::Granted);
        tokio::time::sleep(BEGINS_WITHIN).await;
        assert_eq!(hold(&store, &clock, "a").await.unwrap(), Hold::Granted);
        write(&store, "a", State::Running, clock.now().plus(Duration::from_secs(3))).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(run_under_way(&store, &clock).await.unwrap(), None);
        assert_eq!(hold(&store, &clock, "b").await.unwrap(), Hold::Granted);
    }
}
