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

use crate::attach::Resumed;
use crate::judge::{Judge, Judged};
use crate::message::{Control, Final, Message, Ready, State, Time};
use crate::orchestrator::{Command, End, Event, GeneratorRecord, Orchestrator, Phase, Seats, Settings};
use crate::ports::{Clock, ETag, Fetched, Listed, Put, Queue, Store, StoreError, StoreErrorKind, write_once};
use crate::{assignments, keys, sizing};
use stoppable::unless_stopped;

mod stoppable;

/// How long looks may fail before the run is given up. Its lease has run out long before.
const GIVE_UP: Duration = Duration::from_mins(1);

/// How often it is seen to what is due while something takes long.
const TICK: Duration = Duration::from_secs(1);

/// How often control is written in place of an own word whose answer was lost.
const OWN_WORDS: u32 = 3;

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The plan and its inputs.
    pub bundle: Bundle,
    /// The rest.
    pub settings: Settings,
    /// What must hold.
    pub judge: Judge,
    /// What there is of the run, if another orchestrator has begun it.
    pub resumed: Option<Resumed>,
}

/// Is told how it goes, at every look.
pub trait Observer {
    /// Where it stands.
    fn look(&mut self, view: &View<'_>);
}

/// Where a run stands.
#[derive(Debug)]
pub struct View<'a> {
    /// The fleet.
    pub orchestrator: &'a Orchestrator,
    /// What is measured so far.
    pub merged: &'a Merged,
    /// What must hold.
    pub judge: &'a Judge,
    /// By this machine's clock.
    pub now: Time,
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
    /// What became of the thresholds.
    pub judged: Vec<Judged>,
    /// What became of the seats.
    pub seats: Seats,
    /// Everybody who took one.
    pub generators: Vec<GeneratorRecord>,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// How many requests may have been sent at most that nobody has reported.
    pub unknown_requests: u64,
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
    let seats = order.settings.seats;
    let (shards, at_once) = (assignments::shards(seats), sizing::reads_at_once(seats));
    let (machine, tag, written) = match order.resumed {
        None => (Orchestrator::new(order.settings, started_at), None, None),
        Some(Resumed { control, tag, assignments, began_at, ahead_us }) => {
            let state = control.state;
            let times = (began_at, started_at, ahead_us);
            let machine = Orchestrator::resume(order.settings, times, control, &assignments);
            (machine, Some(tag), Some(state))
        }
    };
    let mut driver = Driver {
        queue,
        store,
        run,
        shards,
        at_once,
        bundle: Some(order.bundle),
        machine,
        pending: VecDeque::new(),
        control_tag: tag,
        written,
        recalled: 0,
        seen: HashSet::new(),
        merged: Merged::default(),
        judge: order.judge,
        problems: Vec::new(),
        end: None,
    };
    driver.tell(clock, Event::Begin);
    let stop = pin!(stop);
    let (mut stop, mut failing_since) = (Some(stop), None);
    while driver.end.is_none() {
        // Nobody waits for a store that does not answer before a stop is heard.
        match unless_stopped(&mut stop, driver.look(clock)).await {
            None => {
                driver.tell(clock, Event::Stop);
                continue;
            }
            Some(Ok(())) => failing_since = None,
            Some(Err(error))
                if error.kind == StoreErrorKind::Unavailable
                    && clock.now().since(*failing_since.get_or_insert_with(|| clock.now())) < GIVE_UP =>
            {
                driver.tell(clock, Event::Deaf);
            }
            Some(Err(error)) => {
                driver.give_up(clock).await;
                if driver.machine.epoch().is_none() {
                    return Err(error.into());
                }
                driver.end = Some(End::Failed(format!("lost the fleet: {}", error.explain())));
            }
        }
        driver.judge(clock);
        observer.look(&View {
            orchestrator: &driver.machine,
            merged: &driver.merged,
            judge: &driver.judge,
            now: clock.now(),
        });
        if driver.end.is_none() && unless_stopped(&mut stop, clock.sleep(poll)).await.is_none() {
            driver.tell(clock, Event::Stop);
        }
    }
    Ok(driver.into_record(started_at))
}

/// What lies under a key.
#[derive(Debug, Clone, Copy)]
enum Found {
    Ready,
    Snapshot,
    Final,
}

struct Driver<'a, Q, S> {
    queue: &'a Q,
    store: &'a S,
    run: String,
    /// Over how many keys assignments are spread, and how many values are fetched at the same time.
    shards: u32,
    at_once: usize,
    /// The plan, until it is written: before everything else.
    bundle: Option<Bundle>,
    machine: Orchestrator,
    /// What the state machine wants done, in this order, and is not done yet.
    pending: VecDeque<Command>,
    control_tag: Option<ETag>,
    /// What control was last written.
    written: Option<State>,
    /// Up to which generation another orchestrator's assignments were read.
    recalled: u32,
    /// Keys that need no second look, besides those of merged snapshots: at most two of a generator, and what is of no use.
    seen: HashSet<String>,
    merged: Merged,
    judge: Judge,
    problems: Vec<String>,
    end: Option<End>,
}

impl<Q: Queue, S: Store> Driver<'_, Q, S> {
    /// Renews the lease, then looks for all that is new in the store. May be dropped at any point: what was not
    /// done is done the next time.
    async fn look(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        self.tell(clock, Event::Tick);
        self.carry_out_pending(clock).await?;
        self.look_at_control(clock).await?;
        self.read_on(clock).await?;
        self.take_in(clock, Found::Ready, &keys::all_ready(&self.run), None).await?;
        if matches!(self.machine.phase(), Phase::Running | Phase::Ending) {
            let prefix = keys::all_snapshots(&self.run);
            let after = format!("{prefix}{:08}", self.machine.first_open_interval(clock.now()));
            self.take_in(clock, Found::Snapshot, &prefix, Some(&after)).await?;
            self.take_in(clock, Found::Final, &keys::all_finals(&self.run), None).await?;
        }
        self.tell(clock, Event::Looked);
        self.carry_out_pending(clock).await
    }

    /// Ends the load if a threshold says so.
    fn judge(&mut self, clock: &impl Clock) {
        if self.machine.phase() != Phase::Running {
            return;
        }
        let told_until = self.machine.told_until(&self.merged);
        if let Some(reason) = self.judge.look(&self.merged, told_until) {
            self.tell(clock, Event::Abort(reason));
        }
    }

    /// Whoever has written control since then has taken the run.
    async fn look_at_control(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        let Some(tag) = &self.control_tag else { return Ok(()) };
        let fetched = self.store.get(&keys::control(&self.run), Some(tag)).await?;
        if let Fetched::Found { value, tag } = fetched
            && let Ok(control) = Control::from_bytes(&value)
        {
            self.control_tag = Some(tag);
            if self.machine.only_reads() || control.term != self.machine.term() {
                self.pending.clear();
                self.tell(clock, Event::Superseded(control));
            }
        }
        Ok(())
    }

    /// Where another orchestrator decides, or has decided, what it assigned has to be known.
    async fn read_on(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        let last = self.machine.generation();
        if self.machine.only_reads() && last > self.recalled {
            let assignments = assignments::read_all(self.store, &self.run, last).await?;
            self.recalled = last;
            self.tell(clock, Event::Assigned(assignments));
        }
        Ok(())
    }

    /// Takes in the values of the keys that were not there before. One that cannot be read holds up no other,
    /// and however many there are, the lease is renewed meanwhile.
    async fn take_in(
        &mut self,
        clock: &impl Clock,
        found: Found,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(), StoreError> {
        let store = self.store;
        let mut listing = pin!(store.list(prefix, after));
        let listed = loop {
            match select(listing.as_mut(), pin!(clock.sleep(TICK))).await {
                Either::Left((listed, _)) => break listed?,
                Either::Right(_) => self.tell(clock, Event::Tick),
            }
            self.carry_out_pending(clock).await?;
        };
        let mut left: Vec<Listed> =
            listed.into_iter().filter(|listed| !self.is_known(found, &listed.key)).collect();
        while !left.is_empty() {
            let count = left.len();
            let failure = self.fetch(clock, found, &mut left).await?;
            match failure {
                // Of many reads some may fail each time.
                Some(error) if error.kind != StoreErrorKind::Unavailable || left.len() == count => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes in what can be fetched; what cannot is left, and the first reason for that returned.
    async fn fetch(
        &mut self,
        clock: &impl Clock,
        found: Found,
        left: &mut Vec<Listed>,
    ) -> Result<Option<StoreError>, StoreError> {
        let store = self.store;
        let fetches = std::mem::take(left).into_iter().map(|listed| async move {
            let fetched = store.get(&listed.key, None).await;
            (listed, fetched)
        });
        let mut failure = None;
        // One that takes long holds up no other.
        let mut fetches = stream::iter(fetches).buffer_unordered(self.at_once);
        while let Some((listed, fetched)) = fetches.next().await {
            match fetched {
                Ok(Fetched::Found { value, .. }) => {
                    self.read(clock, found, &listed, &value);
                    if !self.is_known(found, &listed.key) {
                        self.seen.insert(listed.key);
                    }
                }
                Ok(Fetched::NotModified | Fetched::Missing) => {}
                Err(error) => {
                    left.push(listed);
                    failure = failure.or(Some(error));
                }
            }
            self.tell(clock, Event::Tick);
            self.carry_out_pending(clock).await?;
        }
        Ok(failure)
    }

    /// Whether what lies under a key has been taken in, or is of no use.
    fn is_known(&self, found: Found, key: &str) -> bool {
        let merged = |key| {
            keys::whose_snapshot(key).is_some_and(|(nonce, number)| self.merged.contains(nonce, number))
        };
        matches!(found, Found::Snapshot) && merged(key) || self.seen.contains(key)
    }

    fn read(&mut self, clock: &impl Clock, found: Found, listed: &Listed, value: &[u8]) {
        let (key, stored_at) = (&listed.key, listed.written_at);
        let told = match found {
            Found::Ready => Ready::from_bytes(value)
                .map(|ready| Event::Ready { ready, stored_at })
                .map_err(|error| error.to_string()),
            Found::Final => Final::from_bytes(value).map(Event::Final).map_err(|error| error.to_string()),
            Found::Snapshot => match Snapshot::decode(value) {
                Ok(snapshot) if snapshot.run != self.run || !self.machine.has_slice(&snapshot.nonce) => {
                    Err("snapshot of another run or generator".to_owned())
                }
                Ok(snapshot) => {
                    let (nonce, sequence) = (snapshot.nonce.clone(), snapshot.sequence);
                    let requests = snapshot.interval.series.values().map(|series| series.requests).sum();
                    match self.merged.merge(snapshot) {
                        Merge::Merged => {
                            let interval = keys::interval_of(key);
                            Ok(Event::Merged { nonce, requests, sequence, interval })
                        }
                        Merge::Duplicate => return,
                    }
                }
                Err(error) => Err(error.to_string()),
            },
        };
        match told {
            Ok(event) => self.tell(clock, event),
            Err(problem) => self.problems.push(format!("`{key}`: {problem}")),
        }
    }

    /// Tells the state machine; what it says is to be carried out. A renewal that could not be written yet is
    /// overtaken by the next one.
    fn tell(&mut self, clock: &impl Clock, event: Event) {
        for command in self.machine.on_event(clock.now(), event) {
            let older = self.pending.iter_mut().find(|older| older.is_renewed_by(&command));
            match older {
                Some(older) => *older = command,
                None => self.pending.push_back(command),
            }
        }
    }

    /// Does what the state machine said. What fails is tried again the next time, and nothing overtakes it.
    async fn carry_out_pending(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        if let Some(bundle) = &self.bundle {
            self.store.put(&keys::plan(&bundle.sha256()), bundle.to_bytes(), Put::Always).await?;
            self.bundle = None;
        }
        while let Some(command) = self.pending.front().cloned() {
            let event = self.carry_out(clock, &command).await?;
            self.pending.pop_front();
            if let Some(event) = event {
                if matches!(event, Event::Superseded(_)) {
                    self.pending.clear();
                }
                self.tell(clock, event);
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
    async fn carry_out(
        &mut self,
        clock: &impl Clock,
        command: &Command,
    ) -> Result<Option<Event>, StoreError> {
        match command {
            Command::WriteManifest(manifest) => {
                write_once(self.store, &keys::manifest(&self.run), &manifest.to_bytes()).await?;
            }
            Command::WriteAssignment(assignment) => {
                assignments::write(self.store, &self.run, assignment, self.shards).await?;
            }
            Command::WriteControl(control) => return self.write_control(clock, control).await,
            Command::Invite(invitations) => {
                self.queue.send(invitations.iter().map(crate::Invitation::to_text).collect()).await?;
            }
            Command::End(end) => self.end = Some(end.clone()),
        }
        Ok(None)
    }

    /// Writes control in place of what was last written; somebody else's word that is there stays. What has
    /// waited too long to be true is not written.
    async fn write_control(
        &mut self,
        clock: &impl Clock,
        control: &Control,
    ) -> Result<Option<Event>, StoreError> {
        let key = keys::control(&self.run);
        for _ in 0..OWN_WORDS {
            if control.state < State::Aborting && self.machine.has_expired(clock.now()) {
                return Ok(None);
            }
            let begins = control.state == State::Running && self.written < Some(State::Running);
            if begins && self.machine.is_too_late_to_begin(clock.now()) {
                return Ok(Some(Event::TooLate));
            }
            let condition = self.control_tag.clone().map_or(Put::IfAbsent, Put::IfMatch);
            match self.store.put(&key, control.to_bytes(), condition).await {
                Ok(tag) => {
                    self.control_tag = Some(tag);
                    self.written = Some(control.state);
                    return Ok(Some(Event::Renewed { lease_until: control.lease_until }));
                }
                Err(error) if error.kind == StoreErrorKind::ConditionFailed => {
                    let Fetched::Found { value, tag } = self.store.get(&key, None).await? else {
                        return Err(error);
                    };
                    let Ok(there) = Control::from_bytes(&value) else { return Err(error) };
                    if there.term != control.term {
                        return Ok(Some(Event::Superseded(there)));
                    }
                    // Nobody else has this term: it was written, and the answer was lost on its way.
                    self.control_tag = Some(tag);
                    self.written = Some(there.state);
                    if there == *control {
                        return Ok(Some(Event::Renewed { lease_until: control.lease_until }));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, format!("write `{key}`")))
    }

    fn into_record(self, started_at: Time) -> RunRecord {
        RunRecord {
            started_at,
            epoch: self.machine.epoch(),
            end: self.end.unwrap_or(End::Finished),
            seats: self.machine.seats(),
            missing: self.machine.missing(&self.merged),
            unknown_requests: self.machine.unknown_requests(&self.merged),
            generators: self.machine.generators().values().cloned().collect(),
            judged: self.judge.judge(&self.merged),
            merged: self.merged,
            problems: [self.machine.notes(), self.problems].concat(),
        }
    }
}

#[cfg(test)]
mod tests;
