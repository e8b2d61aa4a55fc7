//! Load that is made in several regions: begins at one instant, and goes on without a region that has failed.

use super::*;
use crate::message::RegionSeats;
use crate::seat::tests::Nobody;

/// Seats of each region.
const SEATS: [(&str, u32); 3] = [("a", 1), ("b", 2), ("c", 1)];

struct Regions {
    worlds: Vec<World>,
    stores: Vec<Faulty>,
    begin: Time,
}

impl Regions {
    /// Each sees its store through a fault.
    fn new(faults: [Fault; 3]) -> Self {
        let mut worlds: Vec<World> = SEATS.iter().map(|_| World::new()).collect();
        let clock = worlds[0].clock;
        for (first, world) in (0_u32..).step_by(100).zip(&mut worlds) {
            (world.clock, world.nonces) = (clock, first);
        }
        let stores = worlds.iter().zip(faults).map(|(world, fault)| Faulty::new(world, fault)).collect();
        Self { worlds, stores, begin: clock.now() }
    }

    /// Runs it, with generators in those regions that have any.
    async fn run(
        &mut self,
        all_regions: bool,
        has_generators: [bool; 3],
        stop: impl Future<Output = ()>,
    ) -> Result<RunRecord, OrchestrateError> {
        let clock = self.worlds[0].clock;
        let queues: Vec<Arc<MemoryQueue>> =
            self.worlds.iter().map(|world| Arc::clone(&world.queue)).collect();
        let regions = || {
            SEATS.iter().map(|(region, seats)| RegionSeats { region: (*region).to_owned(), seats: *seats })
        };
        let fleet = |index: usize| {
            let (region, seats) = SEATS[index];
            let (_, settings) = order(seats, self.worlds[0].load);
            let settings = Settings { regions: regions().collect(), all_regions, ..settings };
            let (queue, store) = (&*queues[index], &self.stores[index]);
            Fleet { region: region.to_owned(), queue, store, settings, resumed: None }
        };
        let fleets = (0..SEATS.len()).map(fleet).collect();
        let (run, _) = order(4, self.worlds[0].load);
        let run = RunOrder { all_regions, ..run };
        let mut nobody = Nobody;
        let mut driven = pin!(orchestrate(fleets, &clock, run, &mut nobody, stop));
        loop {
            tokio::select! {
                record = &mut driven => return record,
                () = tokio::time::sleep(Duration::from_millis(10)) => {
                    for (index, world) in self.worlds.iter_mut().enumerate() {
                        while let Some(invitation) = queues[index].receive() {
                            if has_generators[index] {
                                let (dies_after, abort) = well(0);
                                world.sit(invitation, dies_after, abort);
                            }
                        }
                    }
                }
            }
        }
    }
}

const WELL: Fault = |_, _, _| None;

/// Not there any more from some second on.
const GONE: Fault = |at, _, _| (at.as_secs() >= 4).then_some(Misdeed::Fails(StoreErrorKind::Gone));

#[tokio::test(start_paused = true)]
async fn load_begins_everywhere_at_one_instant_and_is_told_by_region_and_together() {
    let mut regions = Regions::new([WELL; 3]);
    let record = regions.run(false, [true; 3], std::future::pending()).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 200));
    assert_eq!((record.seats.invited, record.seats.assigned, record.missing.len()), (4, 4, 0));
    let told: Vec<_> = record.regions.iter().map(|own| (&*own.region, own.merged.requests())).collect();
    assert_eq!(told, [("a", 50), ("b", 100), ("c", 50)]);
    let slices = |first, count| Slices { first, count, of: 4 };
    let shares: Vec<Slices> = record.regions.iter().map(|own| own.slices).collect();
    assert_eq!(shares, [slices(0, 1), slices(1, 2), slices(3, 1)]);
    for world in &regions.worlds {
        let Fetched::Found { value, .. } = world.store.get(&keys::control("r1"), None).await.unwrap() else {
            panic!("no control");
        };
        let control = Control::from_bytes(&value).unwrap();
        assert_eq!((control.epoch, control.state), (record.epoch, State::Done));
    }
    let late_ms = record.generators.iter().map(|own| own.last_word.as_ref().unwrap().start_skew_ms);
    assert!(late_ms.into_iter().all(|late_ms| late_ms == 0.0), "everybody was there at the epoch");
}

#[tokio::test(start_paused = true)]
async fn a_region_that_fails_does_not_stop_the_others() {
    let mut regions = Regions::new([WELL, GONE, WELL]);
    let record = regions.run(false, [true; 3], std::future::pending()).await.unwrap();
    assert_eq!(record.end, End::Finished);
    let of = |index: usize| record.regions[index].merged.requests();
    assert_eq!((of(0), of(2)), (50, 50));
    assert!((1..100).contains(&of(1)), "{}", of(1));
    assert!(record.missing[0].starts_with("b: lost the fleet, "), "{:?}", record.missing);
    assert!(record.unknown_requests >= Some(100 - of(1)), "{:?}", record.unknown_requests);
    // Unless all are needed.
    let mut regions = Regions::new([WELL, GONE, WELL]);
    let record = regions.run(true, [true; 3], std::future::pending()).await.unwrap();
    assert!(
        matches!(&record.end, End::Failed(reason) if reason.contains("lost the fleet")),
        "{:?}",
        record.end
    );
    assert!(record.regions[0].merged.requests() < 50);
}

#[tokio::test(start_paused = true)]
async fn a_region_without_generators_is_not_waited_for_longer_than_seats_may_take() {
    let mut regions = Regions::new([WELL; 3]);
    let record = regions.run(false, [true, false, true], std::future::pending()).await.unwrap();
    assert_eq!((record.end, record.merged.requests()), (End::Finished, 100));
    assert_eq!(record.missing, ["b: only 0 of 2 generators were ready within 10 s"]);
    let shares = record.generators.iter().map(|own| own.slice().unwrap());
    let shares: Vec<(u32, u32)> = shares.map(Into::into).collect();
    assert_eq!(shares, [(0, 4), (3, 4)], "what it was to make is made by nobody");
    // Where all are needed nothing begins.
    let mut regions = Regions::new([WELL; 3]);
    let record = regions.run(true, [true, false, true], std::future::pending()).await.unwrap();
    assert!(matches!(&record.end, End::Failed(reason) if reason.contains("only 0 of 2")), "{:?}", record.end);
    assert_eq!(record.merged.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_and_a_slow_region_hold_up_nobody() {
    // One region's store is unavailable for a while; the lease of the others is renewed all the same.
    let slow: Fault =
        |at, _, _| (2..30).contains(&at.as_secs()).then_some(Misdeed::Fails(StoreErrorKind::Unavailable));
    let mut regions = Regions::new([WELL, WELL, slow]);
    regions.worlds.iter_mut().for_each(|world| world.load = Duration::from_mins(1));
    let stop = tokio::time::sleep(Duration::from_secs(50));
    let record = regions.run(false, [true; 3], stop).await.unwrap();
    assert_eq!(record.end, End::Interrupted);
    assert!(regions.worlds[0].clock.now().since(regions.begin) < Duration::from_mins(1));
    for own in &record.regions[..2] {
        assert!(own.merged.requests() >= u64::from(own.slices.count) * 480, "{}", own.merged.requests());
    }
    assert!(regions.worlds.iter().all(|world| world.running.load(std::sync::atomic::Ordering::SeqCst) == 0));
}
