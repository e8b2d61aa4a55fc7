//! Queue, store and machines, with all that goes wrong with them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::dice::Dice;
use super::executor::{Executor, VirtualClock};
use super::target::{self, Target};
use super::{Scenery, bundle, generator, settings};
use crate::counted::NAMES_IN_LISTING;
use crate::sizing::{self, MOST_LANES, Ready};
use crate::{Clock, ETag, Fetched, Listed, MemoryStore, Put, Queue, Store, StoreError, StoreErrorKind, Time};

/// How much goes wrong, in thousandths of the times that it could.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Messages that come twice.
    pub doubled: u32,
    /// Messages that come late, up to a minute.
    pub late: u32,
    /// Messages that never come.
    pub lost: u32,
    /// Calls of the store that fail.
    pub refused: u32,
    /// Writes that are done, and whose answer is lost.
    pub unanswered: u32,
    /// Calls of the store that take up to two seconds.
    pub slow: u32,
    /// Whether the store fails for a third of all calls for 20 s in mid-run.
    pub outage: bool,
    /// Generators that die at some time.
    pub dying: u32,
    /// Generators that stand still for half a minute at some time, and go on.
    pub freezing: u32,
    /// Generators whose clock is wrong, by up to ten seconds.
    pub wrong_clocks: u32,
    /// Runs whose orchestrator dies and is succeeded by another one.
    pub orchestrator: u32,
    /// Runs that somebody stops.
    pub stopped: u32,
    /// Runs in several regions one of which does not answer any more from some time on.
    pub region_gone: u32,
}

impl Weather {
    /// Anything between a nice day and a bad one.
    #[must_use]
    pub fn any(dice: &Dice) -> Self {
        let any = |most: u64| u32::try_from(dice.roll() % most).unwrap_or(0);
        Self {
            doubled: any(300),
            late: any(200),
            lost: any(50),
            refused: any(50),
            unanswered: any(50),
            slow: any(100),
            outage: dice.happens(300),
            dying: any(200),
            freezing: any(100),
            wrong_clocks: any(50),
            orchestrator: 300,
            stopped: 100,
            region_gone: 300,
        }
    }

    /// After how long the orchestrator dies, and how long there is none, if it does.
    pub(super) fn orchestrator_dies(self, dice: &Dice, load: Duration) -> Option<(Duration, Duration)> {
        let (dies, after) = (dice.happens(self.orchestrator), dice.between(Duration::ZERO, load + load / 2));
        let away = dice.between(Duration::from_secs(1), Duration::from_secs(45));
        dies.then_some((after, away))
    }

    pub(super) fn stops_after(self, dice: &Dice, load: Duration) -> Option<Duration> {
        let (stops, after) = (dice.happens(self.stopped), dice.between(Duration::ZERO, load));
        stops.then_some(after)
    }
}

/// How often a client tries a call, as those of AWS do.
const ATTEMPTS: u32 = 4;

/// Seats of a lane of a fleet that is deployed with as many lanes as it needs.
const SEATS_OF_LANE: u32 = 2_000;

/// How late a message comes that is late.
const LATE: Duration = Duration::from_mins(1);

/// How long an environment takes to start.
const STARTS_WITHIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(3));

/// What S3 serves a second under a prefix: reads, and writes and listings together.
const SERVED: (u32, u32) = (5_500, 3_500);

/// How far the numbers of generators in different regions are apart.
const NONCES_OF_REGION: u64 = 1_000_000_000;

/// A message on its way.
type Mail = Arc<Mutex<Vec<String>>>;

pub(super) struct World {
    pub(super) executor: Executor,
    pub(super) scenery: Scenery,
    pub(super) dice: Dice,
    pub(super) target: Rc<Target>,
    /// How long nobody orchestrated.
    pub(super) absent: Cell<Option<Duration>>,
    /// In the order of their slices.
    pub(super) sites: Vec<Site>,
}

/// A region: what is there, and when it does not answer any more.
pub(super) struct Site {
    pub(super) region: String,
    pub(super) queue: Arc<SimulatedQueue>,
    store: Arc<Shelf>,
    gone: Option<Duration>,
}

impl World {
    pub(super) fn new(executor: &Executor, scenery: &Scenery) -> Self {
        let dice = Dice::new(scenery.seed);
        let target = Rc::new(Target::new(target::planned(&bundle(scenery))));
        let own = dice.fork();
        let mut sites = Vec::new();
        for (index, settings) in (0_u64..).zip(settings(scenery, &bundle(scenery))) {
            let (store, queue) =
                (Arc::<Shelf>::default(), Arc::new(SimulatedQueue { mail: Mail::default() }));
            let site =
                Site { region: format!("region {index}"), queue, store: Arc::clone(&store), gone: None };
            let lanes = settings.seats.div_ceil(SEATS_OF_LANE).clamp(1, MOST_LANES);
            let offered = sizing::at_once(&settings);
            let postman = Postman {
                executor: executor.clone(),
                scenery: scenery.clone(),
                dice: dice.fork(),
                target: Rc::clone(&target),
                store,
                gone: None,
                mail: Arc::clone(&site.queue.mail),
                nonces: Cell::new(index * NONCES_OF_REGION),
                lanes: (lanes, Ready::of(offered, 0, lanes)),
                offered,
                waiting: Rc::default(),
                running: Rc::default(),
            };
            sites.push((site, postman));
        }
        if sites.len() > 1 && dice.happens(scenery.weather.region_gone) {
            let index = usize::try_from(dice.roll()).unwrap_or(0) % sites.len();
            let gone = Some(dice.between(Duration::ZERO, scenery.load));
            (sites[index].0.gone, sites[index].1.gone) = (gone, gone);
        }
        let spawn = |(site, postman): (Site, Postman)| {
            executor.spawn(postman.deliver());
            site
        };
        let sites = sites.into_iter().map(spawn).collect();
        let (executor, scenery, absent) = (executor.clone(), scenery.clone(), Cell::new(None));
        Self { executor, scenery, dice: own, target, absent, sites }
    }

    pub(super) fn clock_of_orchestrator(&self) -> VirtualClock {
        self.executor.clock(0)
    }

    pub(super) fn stores_of_orchestrator(&self) -> Vec<SimulatedStore> {
        let store =
            |site: &Site| simulated(&site.store, site.gone, &self.executor, &self.scenery, &self.dice);
        self.sites.iter().map(store).collect()
    }
}

/// Takes messages in.
#[derive(Debug)]
pub(super) struct SimulatedQueue {
    mail: Mail,
}

impl Queue for SimulatedQueue {
    fn send(&self, messages: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
        std::future::ready(Ok(()))
    }
}

/// Hands messages out, each to a generator of its own, as fast as mappings and functions let it.
struct Postman {
    executor: Executor,
    scenery: Scenery,
    dice: Dice,
    target: Rc<Target>,
    store: Arc<Shelf>,
    gone: Option<Duration>,
    mail: Mail,
    nonces: Cell<u64>,
    /// How many lanes there are, and how fast each lets generators in.
    lanes: (u32, Ready),
    /// How many generators there may be at the same time.
    offered: u32,
    /// Messages that can be handed out.
    waiting: Rc<RefCell<VecDeque<String>>>,
    running: Rc<Cell<u32>>,
}

impl Postman {
    async fn deliver(self) {
        let clock = self.executor.clock(0);
        loop {
            let messages = std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
            for message in messages {
                self.take(&message);
            }
            let (lanes, lane) = &self.lanes;
            let room = lane.let_in(clock.elapsed()).saturating_mul(*lanes).min(self.offered);
            while self.running.get() < room {
                let Some(message) = self.waiting.borrow_mut().pop_front() else { break };
                self.post(message);
            }
            clock.sleep(Duration::from_millis(50)).await;
        }
    }

    /// What becomes of a message in the queue.
    fn take(&self, message: &str) {
        let weather = self.scenery.weather;
        let copies = if self.dice.happens(weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.happens(weather.lost) {
                continue;
            }
            let (message, waiting) = (message.to_owned(), Rc::clone(&self.waiting));
            if self.dice.happens(weather.late) {
                let (clock, delay) = (self.executor.clock(0), self.dice.between(Duration::ZERO, LATE));
                self.executor.spawn(async move {
                    clock.sleep(delay).await;
                    waiting.borrow_mut().push_back(message);
                });
            } else {
                waiting.borrow_mut().push_back(message);
            }
        }
    }

    /// Starts a generator.
    fn post(&self, message: String) {
        let delay = self.dice.between(STARTS_WITHIN.0, STARTS_WITHIN.1);
        let running = Rc::clone(&self.running);
        running.set(running.get() + 1);
        let number = self.nonces.get();
        self.nonces.set(number + 1);
        let store = simulated(&self.store, self.gone, &self.executor, &self.scenery, &self.dice);
        let machine = generator::Machine::new(&self.executor, &self.scenery, &self.dice, number);
        let (clock, target) = (self.executor.clock(0), Rc::clone(&self.target));
        let executor = self.executor.clone();
        self.executor.spawn(async move {
            clock.sleep(delay).await;
            machine.live(&executor, store, target, message).await;
            running.set(running.get().saturating_sub(1));
        });
    }
}

fn simulated(
    store: &Arc<Shelf>,
    gone: Option<Duration>,
    executor: &Executor,
    scenery: &Scenery,
    dice: &Dice,
) -> SimulatedStore {
    let outage = scenery.load / 3;
    SimulatedStore {
        shelf: Arc::clone(store),
        clock: executor.clock(0),
        weather: scenery.weather,
        dice: Mutex::new(dice.fork()),
        gone,
        outage: (Duration::from_secs(5) + outage, Duration::from_secs(25) + outage),
    }
}

/// What is in the store, and since when.
#[derive(Debug, Default)]
struct Shelf {
    store: MemoryStore,
    written: Mutex<HashMap<String, Time>>,
    traffic: Mutex<Traffic>,
}

/// What was asked of a store in a second: reads, and everything else.
#[derive(Debug, Default)]
struct Traffic {
    second: u64,
    asked: (u32, u32),
}

impl Traffic {
    /// Whether one more is served.
    fn serves(&mut self, now: Duration, is_read: bool) -> bool {
        if now.as_secs() != self.second {
            *self = Self { second: now.as_secs(), asked: (0, 0) };
        }
        let (asked, served) =
            if is_read { (&mut self.asked.0, SERVED.0) } else { (&mut self.asked.1, SERVED.1) };
        *asked += 1;
        *asked <= served
    }
}

impl Shelf {
    /// A store tells seconds.
    fn note(&self, key: &str, now: Time) {
        let now = Time(now.0 - now.0.rem_euclid(1_000_000));
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), now);
    }

    fn tell(&self, listed: Vec<Listed>) -> Vec<Listed> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |Listed { key, .. }| Listed { written_at: written.get(&key).copied(), key };
        listed.into_iter().map(tell).collect()
    }
}

/// A store as somebody sees it over a network.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    shelf: Arc<Shelf>,
    clock: VirtualClock,
    weather: Weather,
    dice: Mutex<Dice>,
    /// When it does not answer any more, if ever.
    gone: Option<Duration>,
    outage: (Duration, Duration),
}

/// What happens to a call.
struct Fate {
    before: Duration,
    after: Duration,
    is_refused: bool,
    is_unanswered: bool,
}

impl SimulatedStore {
    fn fate(&self, is_read: bool) -> Fate {
        let dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let slow = if dice.happens(self.weather.slow) { 2_000 } else { 60 };
        let took = || dice.between(Duration::from_millis(2), Duration::from_millis(slow));
        let (before, after) = (took(), took());
        let now = self.clock.elapsed();
        let served = self.shelf.traffic.lock().unwrap_or_else(PoisonError::into_inner).serves(now, is_read);
        let is_out = self.weather.outage && self.outage.0 <= now && now < self.outage.1;
        Fate {
            before,
            after,
            is_refused: !served
                || dice.happens(self.weather.refused)
                || is_out && dice.happens(333)
                || self.gone.is_some_and(|gone| now >= gone),
            is_unanswered: dice.happens(self.weather.unanswered),
        }
    }

    fn unavailable(action: &str, key: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{action} `{key}`"))
    }
}

impl SimulatedStore {
    /// Whether a call that came to this is tried again by the client itself.
    async fn again<T>(&self, result: &Result<T, StoreError>, attempt: &mut u32) -> bool {
        *attempt += 1;
        let is_worth_it =
            matches!(result, Err(error) if error.kind == StoreErrorKind::Unavailable) && *attempt < ATTEMPTS;
        if is_worth_it {
            self.clock.sleep(Duration::from_millis(50) * *attempt).await;
        }
        is_worth_it
    }
}

impl Store for SimulatedStore {
    async fn put(&self, key: &str, value: Vec<u8>, put: Put) -> Result<ETag, StoreError> {
        let mut attempt = 0;
        loop {
            let fate = self.fate(false);
            self.clock.sleep(fate.before).await;
            let mut result = Err(Self::unavailable("write", key));
            if !fate.is_refused {
                result = self.shelf.store.put(key, value.clone(), put.clone()).await;
                if result.is_ok() {
                    self.shelf.note(key, self.clock.now());
                }
                self.clock.sleep(fate.after).await;
                if fate.is_unanswered {
                    result = Err(Self::unavailable("write", key));
                }
            }
            if !self.again(&result, &mut attempt).await {
                return result;
            }
        }
    }

    async fn get(&self, key: &str, unless: Option<&ETag>) -> Result<Fetched, StoreError> {
        let mut attempt = 0;
        loop {
            let fate = self.fate(true);
            self.clock.sleep(fate.before).await;
            let mut result = Err(Self::unavailable("read", key));
            if !fate.is_refused {
                result = self.shelf.store.get(key, unless).await;
                self.clock.sleep(fate.after).await;
            }
            if !self.again(&result, &mut attempt).await {
                return result;
            }
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let mut attempt = 0;
        loop {
            let fate = self.fate(false);
            self.clock.sleep(fate.before).await;
            let mut result = Err(Self::unavailable("list", prefix));
            if !fate.is_refused {
                result = self.shelf.store.list(prefix, after).await.map(|listed| self.shelf.tell(listed));
                self.clock.sleep(fate.after).await;
                // One page after the other.
                let pages = result.as_ref().map_or(1, |listed| listed.len().div_ceil(NAMES_IN_LISTING));
                for _ in 1..pages {
                    let fate = self.fate(false);
                    self.clock.sleep(fate.before + fate.after).await;
                }
            }
            if !self.again(&result, &mut attempt).await {
                return result;
            }
        }
    }
}
