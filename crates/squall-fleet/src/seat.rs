//! The generator's side: take a seat, wait for a slice, run it, report, leave.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use squall_metrics::{Recording, Snapshot};
use squall_plan::{Bundle, Plan, Share, compile};

use crate::keys;
use crate::message::{
    Assignment, Control, Ended, Final, Invitation, Manifest, Message, MessageError, Ready, State, Time,
    VERSION,
};
use crate::orchestrator::LEASE;
use crate::ports::{Clock, ETag, Fetched, Store, StoreError, StoreErrorKind, write_once};

/// Without a valid word from the orchestrator for so long, load stops.
const FENCE: Duration = Duration::from_secs(15);

/// So long before its environment ends it, a generator ends its load: what was measured must still get out.
pub(crate) const FLUSH: Duration = Duration::from_secs(20);

/// How often a write that may work the next time is tried, and how long the first pause is.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Who takes the seat.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Unlike any other's, also if the same message is delivered twice.
    pub nonce: String,
    /// Where it runs.
    pub region: String,
    /// The execution environment it runs in.
    pub environment: String,
    /// How long it took to start, in milliseconds.
    pub init_ms: f64,
    /// When its environment ends it, if it does.
    pub deadline: Option<Time>,
}

/// What the engine is asked to run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run.
    pub run: String,
    /// Who runs it, unlike any other.
    pub nonce: String,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Which part of it.
    pub share: Share,
    /// What all randomness is derived from.
    pub seed: u64,
    /// When the load begins, by this generator's clock.
    pub epoch: Time,
    /// How often it hands over what it measured.
    pub interval: Duration,
}

/// The engine at work.
pub struct Load {
    /// What was measured, an item an interval; ends when the load has ended.
    pub recordings: UnboundedReceiver<Recording>,
    /// Why the plan wants the whole run to end, if it does; an error if the engine died.
    pub finished: BoxFuture<'static, Result<Option<String>, String>>,
    /// Ends the load at once.
    pub stop: Box<dyn Fn() + Send + Sync>,
}

/// What became of a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatOutcome {
    /// It was no invitation of this fleet, and why.
    Foreign(String),
    /// It came too late, the run did not need it, or was over.
    NotNeeded,
    /// It could not run the plan, and said so.
    Unable(String),
    /// It ran a slice.
    Ran(Ended),
}

/// Takes the seat of an invitation. Whatever a slice needs and can be made before is made by `prepare`, so that
/// the epoch finds it ready; what it returns starts the engine. An error means that the store could not be used: nothing was run, or
/// what was run could not be told.
pub async fn sit<Preparation, Start>(
    store: &impl Store,
    clock: &impl Clock,
    invitation: &str,
    identity: &Identity,
    prepare: impl FnOnce(Arc<Plan>) -> Preparation,
) -> Result<SeatOutcome, StoreError>
where
    Preparation: Future<Output = Result<Start, String>>,
    Start: FnOnce(Order) -> Result<Load, String>,
{
    let invitation = match Invitation::from_text(invitation) {
        Ok(invitation) if clock.now() < invitation.expires_at => invitation,
        Ok(_) => return Ok(SeatOutcome::NotNeeded),
        Err(error) => return Ok(SeatOutcome::Foreign(error.to_string())),
    };
    let manifest = match read::<Manifest>(store, &keys::manifest(&invitation.run)).await? {
        Some(Ok(manifest)) => manifest,
        Some(Err(error)) => return Ok(SeatOutcome::Foreign(error.to_string())),
        None => return Ok(SeatOutcome::Foreign("there is no such run".to_owned())),
    };
    let prepared = match plan(store, &manifest).await?.map(Arc::new) {
        Ok(plan) => prepare(Arc::clone(&plan)).await.map(|start| (start, plan)),
        Err(problem) => Err(problem),
    };
    let seat = Seat { store, clock, identity, manifest: &manifest };
    seat.say_ready(invitation.seat, prepared.as_ref().err().cloned()).await?;
    let (start, mut plan) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return Ok(SeatOutcome::Unable(problem)),
    };
    let Some((share, epoch)) = seat.wait().await? else {
        return Ok(SeatOutcome::NotNeeded);
    };
    // Whoever made things ready has no more use for the plan.
    if let Some(plan) = Arc::get_mut(&mut plan) {
        plan.keep_rows_of(share);
    }
    let interval = Duration::from_secs(u64::from(manifest.interval_s.max(1)));
    let late = clock.now().since(epoch);
    let nonce = identity.nonce.clone();
    let load =
        start(Order { run: manifest.run.clone(), nonce, plan, share, seed: manifest.seed, epoch, interval });
    seat.run(load, late).await.map(SeatOutcome::Ran)
}

async fn read<M: Message>(
    store: &impl Store,
    key: &str,
) -> Result<Option<Result<M, MessageError>>, StoreError> {
    Ok(match store.get(key, None).await? {
        Fetched::Found { value, .. } => Some(M::from_bytes(&value)),
        Fetched::NotModified | Fetched::Missing => None,
    })
}

/// The plan of a run, or why there is none.
async fn plan(store: &impl Store, manifest: &Manifest) -> Result<Result<Plan, String>, StoreError> {
    let Fetched::Found { value, .. } = store.get(&keys::plan(&manifest.bundle), None).await? else {
        return Ok(Err("plan is not in the store".to_owned()));
    };
    if Bundle::sha256_of(&value) != manifest.bundle {
        return Ok(Err("plan's bundle is not what the manifest says".to_owned()));
    }
    let Ok(bundle) = Bundle::from_bytes(&value) else {
        return Ok(Err("plan's bundle cannot be read".to_owned()));
    };
    // It may be large, and the bundle has all of it.
    drop(value);
    Ok(compile(&bundle).map(|compiled| compiled.plan).map_err(|problems| problems.render(false)))
}

struct Seat<'a, S, C> {
    store: &'a S,
    clock: &'a C,
    identity: &'a Identity,
    manifest: &'a Manifest,
}

impl<S: Store, C: Clock> Seat<'_, S, C> {
    async fn say_ready(&self, seat: u32, problem: Option<String>) -> Result<(), StoreError> {
        let identity = self.identity.clone();
        let ready = Ready {
            version: VERSION,
            nonce: identity.nonce,
            seat,
            region: identity.region,
            environment: identity.environment,
            init_ms: identity.init_ms,
            clock: self.clock.now(),
            deadline: identity.deadline,
            problem,
        };
        self.write(&keys::ready(&self.manifest.run, &ready.nonce), ready.to_bytes()).await
    }

    /// Waits for a slice and the epoch; `None` when there is none to come.
    async fn wait(&self) -> Result<Option<(Share, Time)>, StoreError> {
        let mut watch = Watch::new(self.clock.now());
        loop {
            let control = self.look(&mut watch).await?;
            match control.as_ref().map(|control| (control.state, control.epoch)) {
                Some((State::Running, Some(epoch))) => {
                    let generation = control.map_or(0, |control| control.generation);
                    let key = keys::assignment(&self.manifest.run, generation);
                    match read::<Assignment>(self.store, &key).await {
                        Ok(assignment) => {
                            let slices = assignment.and_then(Result::ok).map(|assignment| assignment.slices);
                            let share = slices.and_then(|slices| slices.get(&self.identity.nonce).copied());
                            return Ok(share.map(|share| (share, epoch)));
                        }
                        Err(error) if error.kind == StoreErrorKind::Unavailable => {}
                        Err(error) => return Err(error),
                    }
                }
                Some((State::Aborting | State::Done, _)) => return Ok(None),
                _ => {}
            }
            if watch.end(self.clock.now(), self.identity.deadline).is_some() {
                return Ok(None);
            }
            self.clock.sleep(self.poll()).await;
        }
    }

    /// Runs a slice: writes what is measured, and watches the orchestrator's word meanwhile.
    async fn run(&self, load: Result<Load, String>, late: Duration) -> Result<Ended, StoreError> {
        let mut load = match load {
            Ok(load) => load,
            Err(problem) => return self.say_final(0, 0, Ended::Failed(problem), late).await,
        };
        let stopped = Mutex::new(None);
        let (recordings, stop) = (&mut load.recordings, &load.stop);
        let writer = pin!(self.write_snapshots(recordings));
        let watcher = pin!(self.watch(&**stop, &stopped));
        let written = match select(writer, watcher).await {
            Either::Left((written, _)) => written,
            Either::Right((never, _)) => match never {},
        };
        let (snapshots, requests) = match written {
            Written { snapshots, requests, failure: None } => (snapshots, requests),
            Written { snapshots, requests, failure: Some(error) } => {
                stop();
                // That it cannot be told either changes nothing: the failure is what counts.
                let _ = self.say_final(snapshots, requests, Ended::Failed(error.explain()), late).await;
                return Err(error);
            }
        };
        let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = match (load.finished.await, stopped) {
            (Err(problem), _) => Ended::Failed(problem),
            (Ok(Some(reason)), _) => Ended::AbortRequested(reason),
            (Ok(None), Some(stopped)) => stopped,
            (Ok(None), None) => Ended::Finished,
        };
        self.say_final(snapshots, requests, ended, late).await
    }

    async fn write_snapshots(&self, recordings: &mut UnboundedReceiver<Recording>) -> Written {
        let mut written = Written::default();
        while let Some(recording) = recordings.next().await {
            let interval = recording.into_interval();
            if interval.is_empty() {
                continue;
            }
            let requests = interval.series.values().map(|series| series.requests).sum::<u64>();
            let sequence = written.snapshots;
            let (run, nonce) = (self.manifest.run.clone(), self.identity.nonce.clone());
            let key = keys::snapshot(&run, sequence, &nonce, sequence);
            if let Err(error) = self.write(&key, Snapshot { run, nonce, sequence, interval }.encode()).await {
                written.failure = Some(error);
                break;
            }
            written.snapshots += 1;
            written.requests += requests;
        }
        written
    }

    /// Stops the load when the orchestrator says so, or says nothing any more. Never ends by itself.
    async fn watch(
        &self,
        stop: &(dyn Fn() + Send + Sync),
        stopped: &Mutex<Option<Ended>>,
    ) -> std::convert::Infallible {
        let mut watch = Watch::new(self.clock.now());
        let ended = loop {
            // A store that does not answer must not keep the load going.
            let left = watch.ends_at(self.identity.deadline).since(self.clock.now());
            let told = {
                let limit = pin!(self.clock.sleep(left));
                let look = pin!(async {
                    self.clock.sleep(self.poll()).await;
                    self.look(&mut watch).await
                });
                match select(look, limit).await {
                    Either::Left((Ok(Some(control)), _)) => control.state >= State::Aborting,
                    // The fence says when it is enough.
                    Either::Left((Ok(None) | Err(_), _)) | Either::Right(_) => false,
                }
            };
            if told {
                break Ended::Stopped;
            }
            if let Some(ended) = watch.end(self.clock.now(), self.identity.deadline) {
                break ended;
            }
        };
        stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended);
        stop();
        std::future::pending().await
    }

    /// The orchestrator's newest word that could be read, if it is valid.
    async fn look(&self, watch: &mut Watch) -> Result<Option<Control>, StoreError> {
        match self.store.get(&keys::control(&self.manifest.run), watch.tag.as_ref()).await {
            Ok(Fetched::Found { value, tag }) => {
                if let Ok(control) = Control::from_bytes(&value) {
                    watch.seen_at = self.clock.now();
                    watch.changed_at = watch.seen_at;
                    watch.tag = Some(tag);
                    watch.control = Some(control);
                }
            }
            Ok(Fetched::NotModified) => watch.seen_at = self.clock.now(),
            Ok(Fetched::Missing) => {}
            Err(error) if error.kind == StoreErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
        Ok(watch.control.clone())
    }

    async fn say_final(
        &self,
        snapshots: u32,
        requests: u64,
        ended: Ended,
        late: Duration,
    ) -> Result<Ended, StoreError> {
        let last_word = Final {
            version: VERSION,
            nonce: self.identity.nonce.clone(),
            snapshots,
            requests,
            ended: ended.clone(),
            start_skew_ms: late.as_secs_f64() * 1_000.0,
            clock: Some(self.clock.now()),
        };
        self.write(&keys::final_word(&self.manifest.run, &last_word.nonce), last_word.to_bytes()).await?;
        Ok(ended)
    }

    /// Writes a value once: the same bytes are tried again, and found there already they are written.
    async fn write(&self, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match write_once(self.store, key, &value).await {
                Err(error)
                    if error.kind == StoreErrorKind::Unavailable
                        && attempt < ATTEMPTS
                        && self.has_time_for(pause) =>
                {
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// Whether there is time for another try after a pause, before the environment ends.
    fn has_time_for(&self, pause: Duration) -> bool {
        self.identity.deadline.is_none_or(|deadline| self.clock.now().plus(pause + FLUSH / 4) < deadline)
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.manifest.poll_ms.max(1))
    }
}

/// What of a load has been written.
#[derive(Debug, Default)]
struct Written {
    snapshots: u32,
    requests: u64,
    /// Why the rest could not be.
    failure: Option<StoreError>,
}

/// What a generator knows of the orchestrator's word.
struct Watch {
    control: Option<Control>,
    tag: Option<ETag>,
    /// When control was last read, new or not.
    seen_at: Time,
    /// When it was last read for the first time.
    changed_at: Time,
}

impl Watch {
    fn new(now: Time) -> Self {
        Self { control: None, tag: None, seen_at: now, changed_at: now }
    }

    /// When load has to end unless a newer word is read: at the end of the lease, behind the fence, or before
    /// the environment ends. Before there is load, clocks have not been compared yet, so a lease is as long as
    /// it is, from when it was read.
    fn ends_at(&self, deadline: Option<Time>) -> Time {
        let fence = self.seen_at.plus(FENCE);
        let lease = match &self.control {
            None => fence,
            Some(control) if control.state == State::Waiting => fence.min(self.changed_at.plus(LEASE)),
            Some(control) => fence.min(control.lease_until),
        };
        deadline.map_or(lease, |deadline| deadline.minus(FLUSH).min(lease))
    }

    /// Why load has to end now, if it has to.
    fn end(&self, now: Time, deadline: Option<Time>) -> Option<Ended> {
        let is_last = deadline.is_some_and(|deadline| now >= deadline.minus(FLUSH));
        match now >= self.ends_at(deadline) {
            true if is_last => Some(Ended::OutOfTime),
            true => Some(Ended::LeaseExpired),
            false => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
