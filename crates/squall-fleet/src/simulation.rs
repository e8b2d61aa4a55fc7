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

use squall_plan::{Bundle, Inputs, compile};

pub use self::dice::Dice;
pub use self::executor::{Executor, VirtualClock};
pub use self::target::Received;
pub use self::world::Weather;
use self::world::World;
use crate::attach::Resumed;
use crate::judge::Judge;
use crate::message::RegionSeats;
use crate::orchestrate::{Fleet, Observer, OrchestrateError, RunOrder, RunRecord, View, orchestrate};
use crate::orchestrator::{LEASE, NOT_RENEWED, ORPHANED, RENEW};
use crate::{AttachError, Clock, End, Lasts, Settings, Store, attach, sizing};

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenery {
    /// What everything that is left to chance follows from.
    pub seed: u64,
    /// How many generators are wanted.
    pub slices: u32,
    /// Over how many regions they are spread.
    pub regions: u32,
    /// Arrivals a second, of all slices together, in the end.
    pub rate: u32,
    /// The same at the beginning.
    pub start_rate: u32,
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
    pub fn any(seed: u64, slices: u32, regions: u32) -> Self {
        let dice = Dice::new(seed);
        let weather = Weather::any(&dice);
        let (mut load, mut window) = (Duration::from_mins(2), Duration::from_hours(1));
        if dice.happens(500) {
            window = load / 3;
            // What a large fleet needs to hand over is no less than a minute.
            if slices > LARGE {
                (load, window) = (load * 2, load);
            }
        }
        let rate = slices.clamp(200, 2_000);
        let start_rate = if dice.happens(300) { rate / 20 } else { rate };
        Self { seed, slices, regions, rate, start_rate, load, window, weather }
    }

    /// How many generators are wanted in each region.
    fn seats(&self) -> Vec<RegionSeats> {
        let regions = self.regions.max(1);
        let seats = |index| self.slices / regions + u32::from(index < self.slices % regions);
        (0..regions)
            .map(|index| RegionSeats { region: format!("region {index}"), seats: seats(index) })
            .collect()
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

/// How often it is tried to take a run over in a region that does not answer.
const ATTEMPTS: u32 = 3;

/// Runs it.
#[must_use]
pub fn simulate(scenery: &Scenery) -> Outcome {
    let executor = Executor::default();
    let bundle = bundle(scenery);
    let world = Rc::new(World::new(&executor, scenery));
    let planned = target::planned(&bundle);
    let record = executor.run(ENDLESS, drive(Rc::clone(&world), bundle));
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
        "target: http://127.0.0.1:1\nload: {{ start_rate: {}/s, stages: [ {{ duration: {}s, rate: {}/s }} ], \
         max_users: {}, graceful_stop: 0s }}\n\
         scenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}",
        scenery.start_rate,
        scenery.load.as_secs(),
        scenery.rate,
        scenery.slices.max(scenery.rate),
    );
    Bundle::new("simulated.yaml", text, Inputs::default())
}

/// As the command sets them on AWS, in each region.
fn settings(scenery: &Scenery, bundle: &Bundle) -> Vec<Settings> {
    let Scenery { seed, slices, window, .. } = *scenery;
    let regions = scenery.seats();
    let largest = regions.iter().map(|region| region.seats).max().unwrap_or(slices);
    let of_region = |region: &RegionSeats| Settings {
        run: RUN.to_owned(),
        name: "simulated".to_owned(),
        bundle: bundle.sha256(),
        seed,
        seats: region.seats,
        least: region.seats - region.seats / 20,
        spares: sizing::spares(region.seats),
        interval_s: sizing::interval_s(slices),
        poll: sizing::poll(largest),
        gather: sizing::gather(largest),
        window,
        lasts: lasts(bundle, slices),
        detached: false,
        regions: if regions.len() > 1 { regions.clone() } else { Vec::new() },
        all_regions: false,
    };
    regions.iter().map(of_region).collect()
}

fn lasts(bundle: &Bundle, seats: u32) -> Lasts {
    compile(bundle).map_or_else(|_| Lasts::default(), |compiled| Lasts::of(&compiled.plan, seats))
}

/// Orchestrates the run; where the weather wants it the orchestrator dies on the way, and another one takes over.
async fn drive(world: Rc<World>, bundle: Bundle) -> Result<RunRecord, String> {
    let weather = world.scenery.weather;
    let stores = world.stores_of_orchestrator();
    let clock = world.clock_of_orchestrator();
    let fleets = |parts: Vec<(usize, Settings, Option<Resumed>)>| {
        let fleet = |(index, settings, resumed): (usize, Settings, Option<Resumed>)| {
            let (site, store) = (&world.sites[index], &stores[index]);
            Fleet { region: site.region.clone(), queue: &*site.queue, store, settings, resumed }
        };
        parts.into_iter().map(fleet).collect::<Vec<_>>()
    };
    let order = |lost| RunOrder { bundle: bundle.clone(), judge: Judge::default(), all_regions: false, lost };
    let all = settings(&world.scenery, &bundle);
    let parts = all.iter().cloned().enumerate().map(|(index, settings)| (index, settings, None)).collect();
    let mut nobody = Nobody;
    let begun = orchestrate(fleets(parts), &clock, order(Vec::new()), &mut nobody, world.stop());
    let Some((dies_after, away)) = weather.orchestrator_dies(&world.dice, world.scenery.load) else {
        return begun.await.map_err(in_words);
    };
    if let Some(record) = world.executor.within(dies_after, begun).await {
        return record.map_err(in_words);
    }
    let died_at = clock.now();
    clock.sleep(away).await;
    let (mut parts, mut lost) = (Vec::new(), Vec::new());
    for (index, settings) in all.into_iter().enumerate() {
        match take_over(&world, &bundle, &stores[index], &clock).await {
            Ok((settings, resumed)) => parts.push((index, settings, Some(resumed))),
            Err(reason) => lost.push((world.sites[index].region.clone(), settings, reason)),
        }
    }
    world.absent.set(Some(clock.now().since(died_at)));
    if parts.is_empty() {
        return Err(lost.pop().map_or_else(String::new, |(.., reason)| reason));
    }
    let mut nobody = Nobody;
    let record = orchestrate(fleets(parts), &clock, order(lost), &mut nobody, world.stop()).await;
    record.map_err(in_words)
}

/// What there is of a run in a region; where there are others, it is not waited for for ever.
async fn take_over(
    world: &World,
    bundle: &Bundle,
    store: &impl Store,
    clock: &impl Clock,
) -> Result<(Settings, Resumed), String> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match attach(store, clock, RUN).await {
            Ok(attached) => {
                let settings = attached.manifest.settings(lasts(bundle, world.scenery.slices));
                return Ok((settings, attached.resumed));
            }
            Err(AttachError::Store(_)) if world.sites.len() == 1 || attempts < ATTEMPTS => {
                clock.sleep(Duration::from_secs(1)).await;
            }
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
            record.unknown_requests.is_none_or(|most| unknown <= most),
            format!("{unknown} are unknown, at most {:?} are said to be", record.unknown_requests),
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
