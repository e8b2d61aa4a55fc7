//! Drives the state machine over the ports.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use squall_metrics::{Merge, Merged, Snapshot};
use squall_plan::Bundle;
use thiserror::Error;

use crate::keys;
use crate::message::{Final, Message, Ready, Time};
use crate::orchestrator::{Command, End, Event, GeneratorRecord, Orchestrator, Phase, Seats, Settings};
use crate::ports::{Clock, ETag, Fetched, Put, Queue, Store, StoreError, StoreErrorKind};

/// Values that are fetched at the same time.
const CONCURRENT_FETCHES: usize = 16;

/// How many looks at the store may fail in a row before the run is given up.
const FAILED_LOOKS: u32 = 50;

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
/// is ready.
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
    let bundle = &order.bundle;
    put(store, &keys::plan(&bundle.sha256()), bundle.to_bytes(), Put::Always).await?;
    let mut driver = Driver {
        queue,
        store,
        run,
        machine: Orchestrator::new(order.settings, started_at),
        control_tag: None,
        seen: HashSet::new(),
        merged: Merged::default(),
        problems: Vec::new(),
        end: None,
    };
    driver.tell(clock, Event::Begin).await?;
    let stop = pin!(stop);
    let mut stop = Some(stop);
    let mut failed_looks = 0;
    while driver.end.is_none() {
        match driver.look(clock).await {
            Ok(()) => failed_looks = 0,
            Err(error) if error.kind == StoreErrorKind::Unavailable && failed_looks < FAILED_LOOKS => {
                failed_looks += 1;
            }
            Err(error) => return Err(error.into()),
        }
        observer.look(&driver.machine, &driver.merged, clock.now());
        if driver.end.is_some() {
            break;
        }
        let sleep = pin!(clock.sleep(poll));
        match stop.take() {
            None => sleep.await,
            Some(waiting) => match select(waiting, sleep).await {
                Either::Left(_) => driver.tell(clock, Event::Stop).await?,
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
    machine: Orchestrator,
    control_tag: Option<ETag>,
    /// Keys that need no second look.
    seen: HashSet<String>,
    merged: Merged,
    problems: Vec<String>,
    end: Option<End>,
}

impl<Q: Queue, S: Store> Driver<'_, Q, S> {
    /// Looks for all that is new in the store.
    async fn look(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        for (key, value) in self.fetch_new(&keys::all_ready(&self.run), None).await? {
            match Ready::from_bytes(&value) {
                Ok(ready) => self.tell(clock, Event::Ready(ready)).await?,
                Err(error) => self.problems.push(format!("`{key}`: {error}")),
            }
        }
        if matches!(self.machine.phase(), Phase::Running | Phase::Ending) {
            self.look_for_snapshots(clock).await?;
            for (key, value) in self.fetch_new(&keys::all_finals(&self.run), None).await? {
                match Final::from_bytes(&value) {
                    Ok(last_word) => self.tell(clock, Event::Final(last_word)).await?,
                    Err(error) => self.problems.push(format!("`{key}`: {error}")),
                }
            }
        }
        self.tell(clock, Event::Tick).await
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
                        self.tell(clock, Event::Merged { nonce }).await?;
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

    /// Tells the state machine, and does what it says.
    async fn tell(&mut self, clock: &impl Clock, event: Event) -> Result<(), StoreError> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in self.machine.on_event(clock.now(), event) {
                if !self.carry_out(command).await? {
                    events.push(Event::Superseded);
                    break;
                }
            }
        }
        Ok(())
    }

    /// False if control is no longer what was last written.
    async fn carry_out(&mut self, command: Command) -> Result<bool, StoreError> {
        match command {
            Command::WriteManifest(manifest) => {
                put(self.store, &keys::manifest(&self.run), manifest.to_bytes(), Put::IfAbsent).await?;
            }
            Command::WriteAssignment(assignment) => {
                let key = keys::assignment(&self.run, assignment.generation);
                put(self.store, &key, assignment.to_bytes(), Put::IfAbsent).await?;
            }
            Command::WriteControl(control) => {
                let condition = self.control_tag.clone().map_or(Put::IfAbsent, Put::IfMatch);
                match put(self.store, &keys::control(&self.run), control.to_bytes(), condition).await {
                    Ok(tag) => self.control_tag = Some(tag),
                    Err(error) if error.kind == StoreErrorKind::ConditionFailed => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            Command::Invite(invitations) => {
                self.queue.send(invitations.iter().map(crate::Invitation::to_text).collect()).await?;
            }
            Command::End(end) => self.end = Some(end),
        }
        Ok(true)
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

async fn put(store: &impl Store, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
    store.put(key, value, put).await
}
