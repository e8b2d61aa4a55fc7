//! Ends a run from outside: whoever asks becomes the orchestrator, by a higher term.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::message::{Control, Message, Relief, State};
use crate::orchestrator::LEASE;
use crate::ports::{Clock, ETag, Fetched, Put, Store, StoreError, StoreErrorKind};
use crate::{assignments, keys};

/// How often it is looked whether the generators have said their last words.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is tried to have the last word.
const ATTEMPTS: u32 = 10;

/// What became of the wish to stop a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The load has ended.
    Stopped {
        /// Generators that had a slice.
        assigned: usize,
        /// Those that have said their last word.
        confirmed: usize,
    },
    /// There was nothing to stop: it ends, or has ended.
    Over,
    /// Nobody knows such a run.
    Unknown,
}

impl Stop {
    /// What became of it in two regions.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stopped { assigned, confirmed }, Self::Stopped { assigned: more, confirmed: of_them }) => {
                Self::Stopped { assigned: assigned + more, confirmed: confirmed + of_them }
            }
            (stopped @ Self::Stopped { .. }, _) | (_, stopped @ Self::Stopped { .. }) => stopped,
            (Self::Over, _) | (_, Self::Over) => Self::Over,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

/// Ends the load of a run, and waits for the generators' last words as long as `patience` allows.
pub async fn stop(
    store: &impl Store,
    clock: &impl Clock,
    run: &str,
    patience: Duration,
) -> Result<Stop, StoreError> {
    let Some((mut control, tag)) = take_over(store, clock, run).await? else {
        let known = read_control(store, run).await?.is_some();
        return Ok(if known { Stop::Over } else { Stop::Unknown });
    };
    let assigned = assigned(store, run, control.generation).await?;
    let until = clock.now().plus(patience);
    let confirmed = loop {
        // Whoever made the run has seen its end, and cleared up.
        if read_control(store, run).await?.is_none() {
            return Ok(Stop::Over);
        }
        let finals = store.list(&keys::all_finals(run), None).await?;
        let confirmed = finals.iter().filter(|listed| assigned.contains(&listed.key)).count();
        if confirmed == assigned.len() || clock.now() >= until {
            break confirmed;
        }
        clock.sleep(LOOK).await;
    };
    control.state = State::Done;
    match store.put(&keys::control(run), control.to_bytes(), Put::IfMatch(tag)).await {
        // Whoever has the last word, the run is over.
        Err(error) if error.kind != StoreErrorKind::ConditionFailed => return Err(error),
        _ => {}
    }
    Ok(Stop::Stopped { assigned: assigned.len(), confirmed })
}

/// Says that the load is to end, under a higher term. `None` if it ends or has ended anyway, or nobody knows the
/// run. Whether the lease has run out is not asked: it is by a clock that may not be ours.
async fn take_over(
    store: &impl Store,
    clock: &impl Clock,
    run: &str,
) -> Result<Option<(Control, ETag)>, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some((control, tag)) = read_control(store, run).await? else { return Ok(None) };
        if control.state >= State::Aborting {
            return Ok(None);
        }
        let lease_until = clock.now().max(control.lease_until).plus(LEASE);
        let (term, said_at) = (control.term + 1, clock.now());
        let aborting =
            Control { term, state: State::Aborting, cut_short: true, said_at, lease_until, ..control };
        match store.put(&keys::control(run), aborting.to_bytes(), Put::IfMatch(tag)).await {
            Ok(tag) => return Ok(Some((aborting, tag))),
            // The run has said something new meanwhile.
            Err(error) if error.kind == StoreErrorKind::ConditionFailed => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::new(StoreErrorKind::Unavailable, format!("write `{}`", keys::control(run))))
}

async fn read_control(store: &impl Store, run: &str) -> Result<Option<(Control, ETag)>, StoreError> {
    Ok(match store.get(&keys::control(run), None).await? {
        Fetched::Found { value, tag } => Control::from_bytes(&value).ok().map(|control| (control, tag)),
        Fetched::NotModified | Fetched::Missing => None,
    })
}

/// The keys of the last words that are to come: of all who had a slice, but for those who were given up.
async fn assigned(store: &impl Store, run: &str, generation: u32) -> Result<BTreeSet<String>, StoreError> {
    let mut awaited = BTreeSet::new();
    for assignment in assignments::read_all(store, run, generation).await?.into_values() {
        awaited.extend(assignment.posts.into_keys());
        let given_up = assignment.reliefs.iter().filter(|(_, relief)| **relief == Relief::Leave);
        given_up.for_each(|(nonce, _)| {
            awaited.remove(nonce);
        });
    }
    Ok(awaited.iter().map(|nonce| keys::final_word(run, nonce)).collect())
}

#[cfg(test)]
mod tests;
