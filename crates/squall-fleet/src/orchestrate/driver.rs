//! Drives the fleet of one region: what its state machine wants done, and what there is to tell it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, Shared, select};
use futures_util::{StreamExt, stream};
use squall_metrics::{Merge, Snapshot};
use squall_plan::Bundle;

use super::together::Together;
use super::{Fleet, Observer};
use crate::message::{Control, Final, Message, Ready, State};
use crate::orchestrator::{Command, End, Event, LOST, Orchestrator, Phase};
use crate::ports::{Clock, ETag, Fetched, Listed, Put, Queue, Store, StoreError, StoreErrorKind, write_once};
use crate::{assignments, keys, sizing};

/// How long looks may fail before the run is given up. Its lease has run out long before.
const GIVE_UP: Duration = Duration::from_mins(1);

/// How often it is seen to what is due while something takes long.
const TICK: Duration = Duration::from_secs(1);

/// How often control is written in place of an own word whose answer was lost.
const OWN_WORDS: u32 = 3;

/// What lies under a key.
#[derive(Debug, Clone, Copy)]
enum Found {
    Ready,
    Snapshot,
    Final,
}

pub(super) struct Driver<'a, Q, S, O> {
    together: &'a RefCell<Together<O>>,
    /// Which of the fleets that are driven together.
    index: usize,
    queue: &'a Q,
    store: &'a S,
    run: String,
    /// Over how many keys assignments are spread, and how many values are fetched at the same time.
    shards: u32,
    at_once: usize,
    /// The plan, until it is written: before everything else.
    bundle: Option<Bundle>,
    poll: Duration,
    control_tag: Option<ETag>,
    /// What control was last written.
    written: Option<State>,
    /// Up to which generation another orchestrator's assignments were read.
    recalled: u32,
    /// Keys that need no second look, besides those of merged snapshots: at most two of a generator, and what is of no use.
    seen: HashSet<String>,
}

impl<'a, Q: Queue, S: Store, O: Observer> Driver<'a, Q, S, O> {
    pub(super) fn new(
        together: &'a RefCell<Together<O>>,
        index: usize,
        fleet: Fleet<'a, Q, S>,
        bundle: Bundle,
    ) -> Self {
        let resumed = fleet.resumed;
        Self {
            together,
            index,
            queue: fleet.queue,
            store: fleet.store,
            shards: assignments::shards(fleet.settings.seats),
            at_once: sizing::reads_at_once(fleet.settings.seats),
            run: fleet.settings.run,
            bundle: Some(bundle),
            poll: fleet.settings.poll,
            written: resumed.as_ref().map(|resumed| resumed.control.state),
            control_tag: resumed.map(|resumed| resumed.tag),
            recalled: 0,
            seen: HashSet::new(),
        }
    }

    /// Until the run is over in this region. A failure after load has begun ends it, and what was measured is kept.
    pub(super) async fn drive(
        mut self,
        clock: &impl Clock,
        stop: Shared<impl Future<Output = ()>>,
    ) -> Result<(), StoreError> {
        self.tell(clock, Event::Begin);
        let mut stop = Some(stop);
        // A look at a large fleet takes long: how long it is since one succeeded says nothing.
        let mut failing_since = None;
        while !self.is_over() {
            // Nobody waits for a store that does not answer before a stop is heard.
            match unless_stopped(&mut stop, self.look(clock)).await {
                None => {
                    self.tell(clock, Event::Stop);
                    continue;
                }
                Some(Ok(())) => failing_since = None,
                Some(Err(error))
                    if error.kind == StoreErrorKind::Unavailable
                        && clock.now().since(*failing_since.get_or_insert_with(|| clock.now())) < GIVE_UP =>
                {
                    self.tell(clock, Event::Deaf);
                }
                Some(Err(error)) => {
                    self.give_up(clock, &error).await;
                    if self.ask(|machine| machine.epoch().is_none()) {
                        return Err(error);
                    }
                }
            }
            self.together.borrow_mut().watch(clock.now());
            if !self.is_over() && unless_stopped(&mut stop, clock.sleep(self.poll)).await.is_none() {
                self.tell(clock, Event::Stop);
            }
        }
        Ok(())
    }

    /// Renews the lease, then looks for all that is new in the store. May be dropped at any point: what was not
    /// done is done the next time.
    async fn look(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        self.tell(clock, Event::Tick);
        self.carry_out_pending(clock).await?;
        self.look_at_control(clock).await?;
        self.read_on(clock).await?;
        self.take_in(clock, Found::Ready, &keys::all_ready(&self.run), None).await?;
        if self.ask(|machine| matches!(machine.phase(), Phase::Running | Phase::Ending)) {
            let prefix = keys::all_snapshots(&self.run);
            let open = self.ask(|machine| machine.first_open_interval(clock.now()));
            let after = format!("{prefix}{open:08}");
            self.take_in(clock, Found::Snapshot, &prefix, Some(&after)).await?;
            self.take_in(clock, Found::Final, &keys::all_finals(&self.run), None).await?;
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
            if self.ask(|machine| machine.only_reads() || control.term != machine.term()) {
                self.forget_pending();
                self.tell(clock, Event::Superseded(control));
            }
        }
        Ok(())
    }

    /// Where another orchestrator decides, or has decided, what it assigned has to be known.
    async fn read_on(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        let (only_reads, last) = self.ask(|machine| (machine.only_reads(), machine.generation()));
        if only_reads && last > self.recalled {
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
            let together = self.together.borrow();
            keys::whose_snapshot(key)
                .is_some_and(|(nonce, number)| together.measured.all().contains(nonce, number))
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
                Ok(snapshot)
                    if snapshot.run != self.run
                        || !self.ask(|machine| machine.has_slice(&snapshot.nonce)) =>
                {
                    Err("snapshot of another run or generator".to_owned())
                }
                Ok(snapshot) => {
                    let (nonce, sequence) = (snapshot.nonce.clone(), snapshot.sequence);
                    let requests = snapshot.interval.series.values().map(|series| series.requests).sum();
                    let rounds = snapshot.interval.loads.values().map(|load| load.rounds).max().unwrap_or(0);
                    match self.together.borrow_mut().measured.merge(self.index, snapshot) {
                        Merge::Merged => {
                            let interval = keys::interval_of(key);
                            Ok(Event::Merged { nonce, requests, rounds, sequence, interval })
                        }
                        Merge::Duplicate => return,
                    }
                }
                Err(error) => Err(error.to_string()),
            },
        };
        match told {
            Ok(event) => self.tell(clock, event),
            Err(problem) => self.together.borrow_mut().problem(self.index, format!("`{key}`: {problem}")),
        }
    }

    /// Tells the state machine; what it says is to be carried out.
    fn tell(&self, clock: &impl Clock, event: Event) {
        self.together.borrow_mut().tell(self.index, clock.now(), event);
    }

    fn ask<T>(&self, question: impl FnOnce(&Orchestrator) -> T) -> T {
        question(&self.together.borrow().part(self.index).machine)
    }

    fn is_over(&self) -> bool {
        self.together.borrow().part(self.index).end.is_some()
    }

    fn pending(&self) -> Option<Command> {
        self.together.borrow().part(self.index).pending.front().cloned()
    }

    fn forget_pending(&self) {
        self.together.borrow_mut().part_mut(self.index).pending.clear();
    }

    /// Does what the state machine said. What fails is tried again the next time, and nothing overtakes it.
    async fn carry_out_pending(&mut self, clock: &impl Clock) -> Result<(), StoreError> {
        if let Some(bundle) = &self.bundle {
            self.store.put(&keys::plan(&bundle.sha256()), bundle.to_bytes(), Put::Always).await?;
            self.bundle = None;
        }
        while let Some(command) = self.pending() {
            let event = self.carry_out(clock, &command).await?;
            self.together.borrow_mut().part_mut(self.index).is_done(&command);
            if let Some(event) = event {
                if matches!(event, Event::Superseded(_)) {
                    self.forget_pending();
                }
                self.tell(clock, event);
            }
        }
        Ok(())
    }

    /// Says that the run is over, if that can be said at all: seats that were offered are not waited for, and the
    /// fleet is free.
    async fn give_up(&mut self, clock: &impl Clock, error: &StoreError) {
        let reason = format!("{LOST}: {}", error.explain());
        self.forget_pending();
        self.tell(clock, Event::Fail(reason.clone()));
        // Whoever cannot be told finds out by the lease.
        let _ = self.carry_out_pending(clock).await;
        self.together.borrow_mut().end(self.index, clock.now(), End::Failed(reason));
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
            Command::End(end) => self.together.borrow_mut().end(self.index, clock.now(), end.clone()),
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
            if control.state < State::Aborting && self.ask(|machine| machine.has_expired(clock.now())) {
                return Ok(None);
            }
            let begins = control.state == State::Running && self.written < Some(State::Running);
            if begins && self.ask(|machine| machine.is_too_late_to_begin(clock.now())) {
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
}

/// What a future comes to; `None` if the stop comes before, which it does once.
async fn unless_stopped<T>(
    stop: &mut Option<Shared<impl Future<Output = ()>>>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let future = pin!(future);
    let Some(waiting) = stop.take() else { return Some(future.await) };
    match select(waiting, future).await {
        Either::Left(_) => None,
        Either::Right((value, waiting)) => {
            *stop = Some(waiting);
            Some(value)
        }
    }
}
