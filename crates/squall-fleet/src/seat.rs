//! The generator's side: take a seat, wait for a slice, run it, report, leave.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use squall_metrics::{Recording, Snapshot};
use squall_plan::{Bundle, Plan, Share, compile};

use crate::message::{Ended, Final, Invitation, Manifest, Message, Ready, Relief, State, Time, VERSION};
use crate::ports::{Clock, Fetched, Store, StoreError, StoreErrorKind, write_once};
use crate::{keys, sizing};

mod watch;

use watch::Watch;

/// Without a valid word from the orchestrator for so long, load stops.
pub(crate) const FENCE: Duration = Duration::from_secs(15);

/// So long before its environment ends it, a generator ends its load: what was measured must still get out.
pub(crate) const FLUSH: Duration = Duration::from_secs(20);

/// Whoever begins later than this leaves out what was due before.
const LATE: Duration = Duration::from_secs(1);

/// How often a write that may work the next time is tried, and how long the first and the longest pause is: some
/// 40 s in all, so that a store that comes back finds everything still there.
const ATTEMPTS: u32 = 14;
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Who takes the seat.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Unlike any other's, also if the same message is delivered twice.
    pub nonce: String,
    /// Where it runs.
    pub region: String,
    /// The execution environment it runs in.
    pub environment: String,
    /// How long its invitation had waited when it took it, in milliseconds, if that is known.
    pub queued_ms: Option<f64>,
    /// How often its invitation was handed out until it took it, if that is known: once, unless an invocation was
    /// throttled or broke before.
    pub deliveries: Option<u32>,
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
    /// How long after it this slice's part begins: before that, somebody else ran it.
    pub from: Duration,
    /// The most iterations that its users may have begun, and rows that they may have taken, before that.
    pub rounds: u64,
    /// How often it hands over what it measured.
    pub interval: Duration,
}

/// What was made ready for a plan.
#[derive(Debug)]
pub struct Prepared<Start> {
    /// Starts the engine.
    pub start: Start,
    /// The address that its requests come from, or why that is not known; `None` if nobody wants to know.
    pub source: Option<Result<IpAddr, String>>,
}

/// The engine at work.
pub struct Load {
    /// What was measured, an item an interval; ends when the load has ended.
    pub recordings: UnboundedReceiver<Recording>,
    /// Why the plan wants the whole run to end, if it does; an error if the engine died.
    pub finished: BoxFuture<'static, Result<Option<String>, String>>,
    /// By which it is held.
    pub reins: Box<dyn Reins>,
}

/// How a load is held while it is made.
pub trait Reins: Send + Sync {
    /// Ends it at once.
    fn stop(&self);

    /// Somebody else goes on at this instant: nothing begins from then on.
    fn end_at(&self, at: Time);

    /// Nothing begins after this instant unless a later one is told before: not even where the whole process was
    /// stopped meanwhile.
    fn allow_until(&self, until: Time);
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
    Preparation: Future<Output = Result<Prepared<Start>, String>>,
    Start: FnOnce(Order) -> Result<Load, String>,
{
    let invitation = match Invitation::from_text(invitation) {
        Ok(invitation) if clock.now() < invitation.expires_at => invitation,
        Ok(_) => return Ok(SeatOutcome::NotNeeded),
        Err(error) => return Ok(SeatOutcome::Foreign(error.to_string())),
    };
    let fetched = read(store, clock, identity, &keys::manifest(&invitation.run)).await?;
    let manifest = match fetched.map(|value| Manifest::from_bytes(&value)) {
        Some(Ok(manifest)) => manifest,
        Some(Err(error)) => return Ok(SeatOutcome::Foreign(error.to_string())),
        None => return Ok(SeatOutcome::Foreign("there is no such run".to_owned())),
    };
    let bundle = read(store, clock, identity, &keys::plan(&manifest.bundle)).await?;
    let prepared = match plan(bundle, &manifest).map(Arc::new) {
        Ok(plan) => prepare(Arc::clone(&plan)).await.map(|prepared| (prepared, plan)),
        Err(problem) => Err(problem),
    };
    let seat = Seat { store, clock, identity, manifest: &manifest };
    let mut watch = Watch::new(identity, &manifest, clock.now());
    let source = prepared.as_ref().map(|(prepared, _)| prepared.source.clone()).map_err(Clone::clone);
    seat.say_ready(&mut watch, invitation.seat, source).await?;
    let (Prepared { start, .. }, mut plan) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return Ok(SeatOutcome::Unable(problem)),
    };
    let Some((share, epoch, from, rounds)) = seat.wait(&mut watch).await? else {
        return Ok(SeatOutcome::NotNeeded);
    };
    // Whoever made things ready has no more use for the plan.
    if let Some(plan) = Arc::get_mut(&mut plan) {
        plan.keep_rows_of(share);
    }
    let interval = Duration::from_secs(u64::from(manifest.interval_s.max(1)));
    let (run, nonce) = (manifest.run.clone(), identity.nonce.clone());
    let load = start(Order { run, nonce, plan, share, seed: manifest.seed, epoch, from, rounds, interval });
    seat.run(watch, load, epoch).await.map(SeatOutcome::Ran)
}

/// What is under a key, if anything. Thousands begin at the same time, and a store that has too much to do for a while
/// costs no seat.
async fn read(
    store: &impl Store,
    clock: &impl Clock,
    identity: &Identity,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut patience = Patience::default();
    loop {
        match store.get(key, None).await {
            Ok(Fetched::Found { value, .. }) => return Ok(Some(value)),
            Ok(Fetched::NotModified | Fetched::Missing) => return Ok(None),
            Err(error) if patience.tries_again(clock, identity, &error).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// The plan of a run, or why there is none.
fn plan(bundle: Option<Vec<u8>>, manifest: &Manifest) -> Result<Plan, String> {
    let value = bundle.ok_or("plan is not in the store")?;
    if Bundle::sha256_of(&value) != manifest.bundle {
        return Err("plan's bundle is not what the manifest says".to_owned());
    }
    let bundle = Bundle::from_bytes(&value).map_err(|_| "plan's bundle cannot be read")?;
    // It may be large, and the bundle has all of it.
    drop(value);
    compile(&bundle).map(|compiled| compiled.plan).map_err(|problems| problems.render(false))
}

struct Seat<'a, S, C> {
    store: &'a S,
    clock: &'a C,
    identity: &'a Identity,
    manifest: &'a Manifest,
}

impl<S: Store, C: Clock> Seat<'_, S, C> {
    async fn say_ready(
        &self,
        watch: &mut Watch<'_>,
        seat: u32,
        source: Result<Option<Result<IpAddr, String>>, String>,
    ) -> Result<(), StoreError> {
        let mut patience = Patience::default();
        while let Err(error) = watch.first_look(self.store, self.clock).await {
            if !patience.tries_again(self.clock, self.identity, &error).await {
                return Err(error);
            }
        }
        let identity = self.identity.clone();
        let problem = source.as_ref().err().cloned();
        let (source_ip, remark) = match source.ok().flatten() {
            None => (None, None),
            Some(Ok(address)) => (Some(address.to_string()), None),
            Some(Err(reason)) => (None, Some(format!("`source_address`: {reason}"))),
        };
        let ready = Ready {
            version: VERSION,
            nonce: identity.nonce,
            seat,
            region: identity.region,
            environment: identity.environment,
            queued_ms: identity.queued_ms,
            deliveries: identity.deliveries,
            init_ms: identity.init_ms,
            clock: self.clock.now(),
            deadline: identity.deadline,
            source_ip,
            remark,
            problem,
        };
        self.write(&keys::ready(&self.manifest.run, &ready.nonce), ready.to_bytes()).await
    }

    /// Waits for a slice and the epoch; `None` when there is none to come. Who comes after somebody does not begin
    /// before they have certainly ended: a fence after it was read that they are to.
    async fn wait(&self, watch: &mut Watch<'_>) -> Result<Option<(Share, Time, Duration, u64)>, StoreError> {
        loop {
            watch.look(self.store, self.clock).await?;
            if watch.is_over() || watch.end(self.clock.now()).is_some() {
                return Ok(None);
            }
            let running = watch.control.as_ref().filter(|control| control.state == State::Running);
            if let (Some((post, read_at)), Some(epoch)) =
                (&watch.post, running.and_then(|control| control.epoch))
            {
                let from = Duration::from_micros(post.from_us);
                let fenced = read_at.plus(FENCE).since(epoch);
                let from = if post.after.is_some() { from.max(fenced) } else { from };
                let now = self.clock.now().since(epoch);
                // What has been missed is not made up for: it would come in one burst.
                let from = if now > from + LATE { now } else { from };
                let is_past =
                    matches!(watch.relief, Some(Relief::HandOver { at_us }) if micros(from) >= at_us);
                return Ok((!is_past).then_some((post.share, epoch, from, post.rounds)));
            }
            self.clock.sleep(watch.poll()).await;
        }
    }

    /// Runs a slice: writes what is measured, and watches the orchestrator's word meanwhile.
    async fn run(
        &self,
        mut watch: Watch<'_>,
        load: Result<Load, String>,
        epoch: Time,
    ) -> Result<Ended, StoreError> {
        let late =
            watch.post.as_ref().map_or(epoch, |(post, _)| epoch.plus(Duration::from_micros(post.from_us)));
        let late = self.clock.now().since(late);
        let mut load = match load {
            Ok(load) => load,
            Err(problem) => return self.say_final((0, 0), Ended::Failed(problem), late).await,
        };
        let stopped = Mutex::new(None);
        let (recordings, reins) = (&mut load.recordings, &*load.reins);
        let turn = watch.post.as_ref().map_or(Duration::ZERO, |(post, _)| self.turn(post.share));
        let written = {
            let writer = pin!(self.write_snapshots(recordings, epoch, turn));
            let watcher = pin!(self.watch(&mut watch, reins, epoch, &stopped));
            match select(writer, watcher).await {
                Either::Left((written, _)) => written,
                Either::Right((never, _)) => match never {},
            }
        };
        let told = (written.snapshots, written.requests);
        if let Some(error) = written.failure {
            reins.stop();
            // That it cannot be told either changes nothing: the failure is what counts.
            let _ = self.say_final(told, Ended::Failed(error.explain()), late).await;
            return Err(error);
        }
        // The engine may have found out first that it is not allowed to go on.
        let stopped = stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopped = stopped.or_else(|| watch.end(self.clock.now()));
        let ended = match (load.finished.await, stopped) {
            (Err(problem), _) => Ended::Failed(problem),
            (Ok(Some(reason)), _) => Ended::AbortRequested(reason),
            (Ok(None), Some(stopped)) => stopped,
            (Ok(None), None) => Ended::Finished,
        };
        self.say_final(told, ended, late).await
    }

    /// When in each interval a slice's generator writes: intervals end for all at the same time, and a store takes only so
    /// many writes a second.
    fn turn(&self, share: Share) -> Duration {
        let spread = sizing::spread(self.manifest.seats, self.manifest.interval_s);
        spread * share.index() / share.count().max(1)
    }

    async fn write_snapshots(
        &self,
        recordings: &mut UnboundedReceiver<Recording>,
        epoch: Time,
        turn: Duration,
    ) -> Written {
        let interval_us = u128::from(self.manifest.interval_s.max(1)) * 1_000_000;
        let mut written = Written::default();
        while let Some(recording) = recordings.next().await {
            let interval = recording.into_interval();
            if interval.is_empty() {
                continue;
            }
            let into_us = self.clock.now().since(epoch).as_micros() % interval_us;
            let into = Duration::from_micros(u64::try_from(into_us).unwrap_or(u64::MAX));
            let early = turn.saturating_sub(into);
            if !early.is_zero() {
                self.clock.sleep(early).await;
            }
            let requests = interval.series.values().map(|series| series.requests).sum::<u64>();
            let sequence = written.snapshots;
            let (run, nonce) = (self.manifest.run.clone(), self.identity.nonce.clone());
            let number = self.clock.now().since(epoch).as_micros() / interval_us;
            let key = keys::snapshot(&run, u32::try_from(number).unwrap_or(u32::MAX), &nonce, sequence);
            if let Err(error) = self.write(&key, Snapshot { run, nonce, sequence, interval }.encode()).await {
                written.failure = Some(error);
                break;
            }
            written.snapshots += 1;
            written.requests += requests;
        }
        written
    }

    /// Ends the load when the orchestrator says so, or says nothing any more. Never ends by itself.
    async fn watch(
        &self,
        watch: &mut Watch<'_>,
        reins: &dyn Reins,
        epoch: Time,
        stopped: &Mutex<Option<Ended>>,
    ) -> std::convert::Infallible {
        let ended = loop {
            reins.allow_until(watch.ends_at());
            if let Some(Relief::HandOver { at_us }) = watch.relief {
                reins.end_at(epoch.plus(Duration::from_micros(at_us)));
            }
            // A store that does not answer must not keep the load going.
            let left = watch.ends_at().since(self.clock.now());
            {
                let limit = pin!(self.clock.sleep(left));
                let look = pin!(async {
                    self.clock.sleep(watch.poll()).await;
                    // The fence says when it is enough.
                    let _ = watch.look(self.store, self.clock).await;
                });
                select(look, limit).await;
            }
            if watch.is_over() {
                break Ended::Stopped;
            }
            if let Some(ended) = watch.end(self.clock.now()) {
                break ended;
            }
        };
        stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended);
        reins.stop();
        std::future::pending().await
    }

    async fn say_final(
        &self,
        (snapshots, requests): (u32, u64),
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
        let mut patience = Patience::default();
        loop {
            match write_once(self.store, key, &value).await {
                Err(error) if patience.tries_again(self.clock, self.identity, &error).await => {}
                result => return result,
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How often something was tried.
#[derive(Debug, Default)]
struct Patience {
    attempts: u32,
}

impl Patience {
    /// Whether something that failed is tried again; after a pause, if so. There must be time for it before the environment
    /// ends.
    async fn tries_again(&mut self, clock: &impl Clock, identity: &Identity, error: &StoreError) -> bool {
        self.attempts += 1;
        let pause = (PAUSES.0 * 2_u32.saturating_pow(self.attempts - 1)).min(PAUSES.1);
        let ends = clock.now().plus(pause + FLUSH / 4);
        let again = error.kind == StoreErrorKind::Unavailable
            && self.attempts < ATTEMPTS
            && identity.deadline.is_none_or(|deadline| ends < deadline);
        if again {
            clock.sleep(pause).await;
        }
        again
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

#[cfg(test)]
pub(crate) mod tests;
