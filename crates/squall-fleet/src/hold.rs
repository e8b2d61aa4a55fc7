//! One run at a time on a deployed fleet: two would take each other's generators.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keys;
use crate::message::{Control, Message, State, Time, VERSION};
use crate::ports::{Clock, ETag, Fetched, Put, Store, StoreError, StoreErrorKind};

/// How long a run that has said nothing yet is believed to begin soon.
const BEGINS_WITHIN: Duration = Duration::from_mins(1);

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
    loop {
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

async fn is_under_way(store: &impl Store, clock: &impl Clock, holder: &Holder) -> Result<bool, StoreError> {
    let now = clock.now();
    Ok(match store.get(&keys::control(&holder.run), None).await? {
        Fetched::Found { value, .. } => Control::from_bytes(&value)
            .is_ok_and(|control| control.state != State::Done && now < control.lease_until),
        Fetched::NotModified | Fetched::Missing => now < holder.since.plus(BEGINS_WITHIN),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::seat::tests::TestClock;

    async fn write(store: &MemoryStore, run: &str, state: State, lease_until: Time) {
        let control = Control { version: VERSION, term: 1, state, generation: 0, epoch: None, lease_until };
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
