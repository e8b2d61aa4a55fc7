//! The whole protocol under a seed: the real orchestrator and the real seats over a queue and a store that lose,
//! delay, repeat and refuse, with generators that die, freeze and have wrong clocks, in virtual time.
//!
//! What a generator sends is counted by a pretended target, arrival by arrival, so that [`Outcome`] can be held against
//! what the orchestrator reports. The same seed gives the same run.

mod dice;
mod executor;
mod generator;
mod target;
mod world;

use std::rc::Rc;
use std::time::Duration;

use squall_plan::{Bundle, Inputs};

pub use self::dice::Dice;
pub use self::executor::{Executor, VirtualClock};
pub use self::target::Received;
pub use self::world::Weather;
use self::world::World;
use crate::judge::Judge;
use crate::orchestrate::{Observer, OrchestrateError, RunOrder, RunRecord, View, orchestrate};
use crate::orchestrator::{LEASE, NOT_RENEWED, ORPHANED, RENEW};
use crate::{AttachError, Clock, End, Lasts, Settings, attach, sizing};

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenery {
    /// What everything that is left to chance follows from.
    pub seed: u64,
    /// How many generators are wanted.
    pub slices: u32,
    /// Arrivals a second, of all slices together.
    pub rate: u32,
    /// How long load is made.
    pub load: Duration,
    /// How long a generator runs a slice.
    pub window: Duration,
    /// What goes wrong.
    pub weather: Weather,
}

impl Scenery {
    /// A fleet of so many, in any weather.
    #[must_use]
    pub fn any(seed: u64, slices: u32) -> Self {
        let dice = Dice::new(seed);
        let weather = Weather::any(&dice);
        let load = Duration::from_mins(2);
        // Three windows, or less than two: what a large fleet needs to hand over is no less than a minute.
        let short = if slices <= LARGE { load / 3 } else { load * 3 / 2 };
        let window = if dice.happens(500) { short } else { Duration::from_hours(1) };
        Self { seed, slices, rate: slices.clamp(200, 2_000), load, window, weather }
    }
}

/// More slices are a large fleet.
const LARGE: u32 = 2_000;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What the orchestrator tells, or why it could not go on.
    pub record: Result<RunRecord, String>,
    /// What the target counted.
    pub received: Received,
    /// Arrivals of the plan.
    pub planned: u64,
    /// Load that was still being made long after the end.
    pub still_running: usize,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// How long nobody orchestrated, if somebody took the run over.
    pub absent: Option<Duration>,
}

/// Nobody looks.
struct Nobody;

impl Observer for Nobody {
    fn look(&mut self, _: &View<'_>) {}
}

/// How long after the end it is looked whether anybody still makes load: longer than any lease and fence.
const AFTERMATH: Duration = Duration::from_mins(2);

/// No run takes longer.
const ENDLESS: Duration = Duration::from_hours(6);

const RUN: &str = "simulated";

/// Runs it.
#[must_use]
pub fn simulate(scenery: &Scenery) -> Outcome {
    let executor = Executor::default();
    let bundle = bundle(scenery);
    let world = Rc::new(World::new(&executor, scenery));
    let order = order(scenery, &bundle);
    let planned = target::planned(&bundle);
    let record = executor.run(ENDLESS, drive(Rc::clone(&world), order));
    let took = executor.clock(0).elapsed();
    executor.run(ENDLESS, {
        let clock = executor.clock(0);
        async move { clock.sleep(AFTERMATH).await }
    });
    let outcome = Outcome {
        record: record.unwrap_or_else(|| Err("it does not end".to_owned())),
        received: world.target.received(),
        planned,
        still_running: world.target.senders(),
        took,
        absent: world.absent.get(),
    };
    executor.end();
    outcome
}

fn bundle(scenery: &Scenery) -> Bundle {
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ rate: {}/s, duration: {}s, max_users: {}, graceful_stop: 0s }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}",
        scenery.rate,
        scenery.load.as_secs(),
        scenery.slices.max(scenery.rate),
    );
    Bundle::new("simulated.yaml", text, Inputs::default())
}

fn order(scenery: &Scenery, bundle: &Bundle) -> RunOrder {
    let settings = settings(scenery, bundle.sha256());
    RunOrder { bundle: bundle.clone(), settings, judge: Judge::default(), resumed: None }
}

/// As the command sets them on AWS.
fn settings(scenery: &Scenery, bundle: String) -> Settings {
    let Scenery { seed, slices, load, window, .. } = *scenery;
    Settings {
        run: RUN.to_owned(),
        name: "simulated".to_owned(),
        bundle,
        seed,
        seats: slices,
        least: slices - slices / 20,
        spares: sizing::spares(slices),
        interval_s: sizing::interval_s(slices),
        poll: sizing::poll(slices),
        gather: sizing::gather(slices),
        window,
        lasts: Lasts { load, graceful: Duration::ZERO, cleanup: Duration::ZERO, divisible: true },
        detached: false,
    }
}

/// Orchestrates the run; where the weather wants it the orchestrator dies on the way, and another one takes over.
async fn drive(world: Rc<World>, order: RunOrder) -> Result<RunRecord, String> {
    let weather = world.scenery.weather;
    let store = world.store_of_orchestrator();
    let clock = world.clock_of_orchestrator();
    let mut nobody = Nobody;
    let begun = orchestrate(&*world.queue, &store, &clock, order.clone(), &mut nobody, world.stop());
    let Some((dies_after, away)) = weather.orchestrator_dies(&world.dice, world.scenery.load) else {
        return begun.await.map_err(in_words);
    };
    if let Some(record) = world.executor.within(dies_after, begun).await {
        return record.map_err(in_words);
    }
    let died_at = clock.now();
    clock.sleep(away).await;
    loop {
        match attach(&store, &clock, RUN).await {
            Ok(attached) => {
                world.absent.set(Some(clock.now().since(died_at)));
                let settings = attached.manifest.settings(order.settings.lasts);
                let order = RunOrder {
                    bundle: attached.bundle,
                    settings,
                    judge: Judge::default(),
                    resumed: Some(attached.resumed),
                };
                let stop = world.stop();
                let mut nobody = Nobody;
                let record = orchestrate(&*world.queue, &store, &clock, order, &mut nobody, stop).await;
                return record.map_err(in_words);
            }
            Err(AttachError::Store(_)) => clock.sleep(Duration::from_secs(1)).await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn in_words(OrchestrateError::Store(error): OrchestrateError) -> String {
    error.explain()
}

impl Outcome {
    /// What of the promises was not kept, in words.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        let received = self.received.total;
        expect(self.received.twice == 0, format!("{} arrivals were sent twice", self.received.twice));
        expect(self.received.foreign == 0, format!("{} requests are no arrivals", self.received.foreign));
        expect(self.still_running == 0, format!("{} still make load", self.still_running));
        let Ok(record) = &self.record else {
            expect(received == 0, format!("{received} requests, and no record"));
            return broken;
        };
        let was_short = self.absent.is_none_or(|absent| absent < LEASE.saturating_sub(RENEW * 2));
        expect(
            !(was_short
                && matches!(&record.end, End::Failed(reason) if [NOT_RENEWED, ORPHANED].contains(&&**reason))),
            format!("{:?} without an orchestrator ended it", self.absent),
        );
        let reported = record.merged.requests();
        let counts = record.merged.loads().values().next().copied().unwrap_or_default().arrivals;
        expect(reported <= received, format!("{reported} reported, {received} received"));
        let unknown = received.saturating_sub(reported);
        expect(
            unknown <= record.unknown_requests,
            format!("{unknown} are unknown, at most {} are said to be", record.unknown_requests),
        );
        expect(
            counts.started == reported && counts.dropped == 0,
            format!("{reported} requests of {} arrivals", counts.started),
        );
        expect(reported <= self.planned, format!("{reported} reported, {} planned", self.planned));
        if record.end == End::Finished && record.missing.is_empty() && record.seats.replaced == 0 {
            expect(reported == received, format!("{reported} reported, {received} received, none missing"));
        }
        broken
    }
}

impl World {
    /// When somebody wants the run to end, if they do.
    async fn stop(&self) {
        match self.scenery.weather.stops_after(&self.dice, self.scenery.load) {
            Some(after) => self.clock_of_orchestrator().sleep(after).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
