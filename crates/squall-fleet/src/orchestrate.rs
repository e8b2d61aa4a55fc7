//! Drives the state machine over the ports.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use squall_metrics::{Merge, Merged, Snapshot};
use squall_plan::Bundle;
use thiserror::Error;

use crate::keys;
use crate::message::{Control, Final, Message, Ready, Time};
use crate::orchestrator::{Command, End, Event, GeneratorRecord, Orchestrator, Phase, Seats, Settings};
use crate::ports::{Clock, ETag, Fetched, Put, Queue, Store, StoreError, StoreErrorKind, write_once};

/// Values that are fetched at the same time.
const CONCURRENT_FETCHES: usize = 16;

/// How long the store may be unavailable before the run is given up. Its lease has run out long before.
const GIVE_UP: Duration = Duration::from_mins(1);

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The plan and its inputs.
    pub bundle: Bundle,
    /// The rest.
    pub settings: Settings,
}

/// Is told how it goes, at every look.
pub trait Observer {
    /// Where it stands.
    fn look(&mut self, orchestrator: &Orchestrator, merged: &Merged, now: Time);
}

/// All that is known of a run when it is over.
#[derive(Debug)]
pub struct RunRecord {
    /// When it began.
    pub started_at: Time,
    /// When the load began, if it did.
    pub epoch: Option<Time>,
    /// How it ended.
    pub end: End,
    /// What was measured.
    pub merged: Merged,
    /// What became of the seats.
    pub seats: Seats,
    /// Everybody who took one.
    pub generators: Vec<GeneratorRecord>,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// What lay in the store and could not be used, and why.
    pub problems: Vec<String>,
}

/// Why a run could not be driven on.
#[derive(Debug, Error)]
pub enum OrchestrateError {
    /// Queue or store do not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs a plan on a fleet: from the invitation to the last merged snapshot. Ends the load early when `stop`
/// is ready. Once load has begun, a failure ends the run, but what was measured is kept.
pub async fn orchestrate(
    queue: &impl Queue,
    store: &impl Store,
    clock: &impl Clock,
    order: RunOrder,
    observer: &mut impl Observer,
    stop: impl Future<Output = ()>,
) -> Result<RunRecord, OrchestrateError> {
    let started_at = clock.now();
    let run = order.settings.run.clone();
    let poll = order.settings.poll;
    let mut driver = Driver {
        queue,
        store,
        run,
        bundle: Some(order.bundle),
        machine: Orchestrator::new(order.settings, started_at),
        pending: VecDeque::new(),
        control_tag: None,
        seen: HashSet::new(),
        merged: Merged::default(),
        problems: Vec::new(),
        end: None,
    };
    driver.tell(clock, Event::Begin);
    let stop = pin!(stop);
    let mut stop = Some(stop);
    let mut looked_at = started_at;
    while driver.end.is_none() {
        match driver.look(clock).await {
            Ok(()) => looked_at = clock.now(),
            Err(error)
                if error.kind == StoreErrorKind::Unavailable && clock.now().since(looked_at) < GIVE_UP => {}
            Err(error) if driver.machine.epoch().is_some() => {
                driver.end = Some(End::Failed(format!("lost the fleet: {}", error.explain())));
            }
            Err(error) => {
                driver.give_up(clock).await;
                return Err(error.into());
            }
        }
        observer.look(&driver.machine, &driver.merged, clock.now());
        if driver.end.is_some() {
            break;
        }
        let sleep = pin!(clock.sleep(poll));
        match stop.take() {
            None => sleep.await,
            Some(waiting) => match select(waiting, sleep).await {
                Either::Left(_) => driver.tell(clock, Event::Stop),
                Either::Right(((), waiting)) => stop = Some(waiting),
            },
        }
    }
    Ok(driver.into_record(started_at))
}

struct Driver<'a, Q, S> {
    queue: &'a Q,
    store: &'a S,
    run: String,
    /// The plan, until it is written: before everything else.
    bundle: Option<Bundle>,
    machine: Orchestrator,
    /// What the state machine wants done, in this order, and is not done yet.
    pending: VecDeque<Command>,
    control_tag: Option<ETag>,
    /// Keys that need no second look.
    seen: HashSet<String>,
    merged: Merged,
    problems: Vec<String>,
    end: Option<End>,
}

impl<Q: Queue, S: Store> Driver<'_, Q, S> {
    /// Renews the lease, then looks for all that is new in the store.
    async fn look(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        self.tell(clock, Event::Tick);
        self.carry_out_pending(clock).await?;
        self.look_at_control(clock).await?;
        for (key, value) in self.fetch_new(&keys::all_ready(&self.run), None).await? {
            match Ready::from_bytes(&value) {
                Ok(ready) => self.tell(clock, Event::Ready(ready)),
                Err(error) => self.problems.push(format!("`{key}`: {error}")),
            }
        }
        if matches!(self.machine.phase(), Phase::Running | Phase::Ending) {
            self.look_for_snapshots(clock).await?;
            for (key, value) in self.fetch_new(&keys::all_finals(&self.run), None).await? {
                match Final::from_bytes(&value) {
                    Ok(last_word) => self.tell(clock, Event::Final(last_word)),
                    Err(error) => self.problems.push(format!("`{key}`: {error}")),
                }
            }
        }
        self.tell(clock, Event::Looked);
        self.carry_out_pending(clock).await
    }

    /// Whoever has written control since then has taken the run.
    async fn look_at_control(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        let Some(tag) = &self.control_tag else { return Ok(()) };
        let fetched = self.store.get(&keys::control(&self.run), Some(tag)).await?;
        if let Fetched::Found { value, tag } = fetched
            && let Ok(control) = Control::from_bytes(&value)
        {
            self.control_tag = Some(tag);
            self.pending.clear();
            self.tell(clock, Event::Superseded(control));
        }
        Ok(())
    }

    async fn look_for_snapshots(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        let prefix = keys::all_snapshots(&self.run);
        let after = format!("{prefix}{:08}", self.machine.first_open_snapshot());
        for (key, value) in self.fetch_new(&prefix, Some(&after)).await? {
            match Snapshot::decode(&value) {
                Ok(snapshot) if snapshot.run != self.run || !self.machine.has_slice(&snapshot.nonce) => {
                    self.problems.push(format!("`{key}`: snapshot of another run or generator"));
                }
                Ok(snapshot) => {
                    let nonce = snapshot.nonce.clone();
                    if self.merged.merge(snapshot) == Merge::Merged {
                        self.tell(clock, Event::Merged { nonce });
                    }
                }
                Err(error) => self.problems.push(format!("`{key}`: {error}")),
            }
        }
        Ok(())
    }

    /// The values of the keys that were not there before.
    async fn fetch_new(
        &mut self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let keys = self.store.list(prefix, after).await?;
        let new: Vec<String> = keys.into_iter().filter(|key| !self.seen.contains(key)).collect();
        let store = self.store;
        let fetches = new.into_iter().map(|key| async move {
            let fetched = store.get(&key, None).await;
            fetched.map(|fetched| (key, fetched))
        });
        let mut values = Vec::new();
        let mut fetches = stream::iter(fetches).buffered(CONCURRENT_FETCHES);
        while let Some(fetched) = fetches.next().await {
            if let (key, Fetched::Found { value, .. }) = fetched? {
                values.push((key, value));
            }
        }
        self.seen.extend(values.iter().map(|(key, _)| key.clone()));
        Ok(values)
    }

    /// Tells the state machine; what it says is to be carried out.
    fn tell(&mut self, clock: &impl Clock, event: Event) {
        self.pending.extend(self.machine.on_event(clock.now(), event));
    }

    /// Does what the state machine said. What fails is tried again the next time, and nothing overtakes it.
    async fn carry_out_pending(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        if let Some(bundle) = &self.bundle {
            self.store.put(&keys::plan(&bundle.sha256()), bundle.to_bytes(), Put::Always).await?;
            self.bundle = None;
        }
        while let Some(command) = self.pending.pop_front() {
            match self.carry_out(&command).await {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if matches!(event, Event::Superseded(_)) {
                        self.pending.clear();
                    }
                    self.tell(clock, event);
                }
                Err(error) => {
                    self.pending.push_front(command);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Says that the run is over, if that can be said at all: seats that were offered are not waited for, and the
    /// fleet is free.
    async fn give_up(&mut self, clock: &impl Clock) {
        self.pending.clear();
        self.tell(clock, Event::Stop);
        // Whoever cannot be told finds out by the lease.
        let _ = self.carry_out_pending(clock).await;
    }

    /// What the state machine should know of how it went, if anything.
    async fn carry_out(&mut self, command: &Command) -> Result<Option<Event>, StoreError> {
        match command {
            Command::WriteManifest(manifest) => {
                write_once(self.store, &keys::manifest(&self.run), &manifest.to_bytes()).await?;
            }
            Command::WriteAssignment(assignment) => {
                let key = keys::assignment(&self.run, assignment.generation);
                write_once(self.store, &key, &assignment.to_bytes()).await?;
            }
            Command::WriteControl(control) => return self.write_control(control).await.map(Some),
            Command::Invite(invitations) => {
                self.queue.send(invitations.iter().map(crate::Invitation::to_text).collect()).await?;
            }
            Command::End(end) => self.end = Some(end.clone()),
        }
        Ok(None)
    }

    /// Writes control in place of what was last written; somebody else's word that is there stays.
    async fn write_control(&mut self, control: &Control) -> Result<Event, StoreError> {
        let (key, value) = (keys::control(&self.run), control.to_bytes());
        let condition = self.control_tag.clone().map_or(Put::IfAbsent, Put::IfMatch);
        let tag = match self.store.put(&key, value.clone(), condition).await {
            Ok(tag) => tag,
            Err(error) if error.kind == StoreErrorKind::ConditionFailed => {
                match self.store.get(&key, None).await? {
                    // Written, and the answer was lost on its way.
                    Fetched::Found { value: there, tag } if there == value => tag,
                    Fetched::Found { value: there, .. } => match Control::from_bytes(&there) {
                        Ok(other) => return Ok(Event::Superseded(other)),
                        Err(_) => return Err(error),
                    },
                    Fetched::NotModified | Fetched::Missing => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        self.control_tag = Some(tag);
        Ok(Event::Renewed { lease_until: control.lease_until })
    }

    fn into_record(self, started_at: Time) -> RunRecord {
        RunRecord {
            started_at,
            epoch: self.machine.epoch(),
            end: self.end.unwrap_or(End::Finished),
            seats: self.machine.seats(),
            missing: self.machine.missing(),
            generators: self.machine.generators().values().cloned().collect(),
            merged: self.merged,
            problems: self.problems,
        }
    }
}

#[cfg(test)]
mod tests;
