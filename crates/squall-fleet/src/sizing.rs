//! How large a fleet behind SQS and S3 has to be, and how it is driven by its size. Quotas are those of AWS in November 2026;
//! prices are in [`cost`](crate::cost).

mod calibration;
mod ready;
mod seats;

use std::time::Duration;

use squall_plan::schedule::UserSchedule;
use squall_plan::{Connections, Load, Plan, Scenario};

pub use calibration::{Calibration, CalibrationError, Calibrations, Measured, Unfit};
pub use ready::{MOST_LANES, Ready, START};
pub use seats::{
    ASSUMED_CPU_US, ASSUMED_RESPONSE, Architecture, Demand, Function, Machine, Reason, Size, UTILISATION,
    assumed_bytes, capacity, size,
};

use crate::orchestrator::{LEAST_TO_EPOCH, POLLS_TO_EPOCH, Settings};

/// Up to so many seats everybody looks once a second: S3 serves 5,500 reads a second under one prefix, and
/// other users of the bucket are left their part.
const READS_PER_S: u32 = 2_000;

/// Up to so many seats snapshots are written every 2 s, so that a small run can be watched; writes cost little
/// then. Beyond that every 5 s, and beyond these every 10: S3 takes 3,500 writes a second under one prefix.
const SEATS_OF_SHORT_INTERVALS: u32 = 100;
const SEATS_OF_ORDINARY_INTERVALS: u32 = 2_000;

/// Up to so many seats an ordinary mapping has them all within seconds: it begins with 5 and adds 300 a
/// minute. Pollers that are provided are there at once, but cost more and take longer to set up.
const SEATS_WITHOUT_POLLERS: u32 = 100;

/// So many snapshots a second are written at most, or all within most of an interval: with the last one comes a last word, and
/// some need a second try.
const WRITES_PER_S: u32 = 1_250;

/// An ordinary mapping has at least 2 at a time.
const LEAST_CONCURRENCY: u32 = 2;

/// A poller has so many messages in work at once.
const SEATS_PER_POLLER: u32 = 10;

/// Pollers that can be there from the beginning, and that can be asked for at all.
const MOST_FIRST_POLLERS: u32 = 200;
const LEAST_POLLERS: u32 = 2;

/// Seats beyond the first pollers' come at this rate.
const MORE_SEATS_PER_MINUTE: u32 = 1_000;

/// How long two generators of one slice are there at the same time, besides what the plan takes: invited, ready, waiting.
const CHANGING: Duration = Duration::from_mins(1);

/// How long seats may take that are there at once, the opening of the mapping included.
const GATHER: Duration = Duration::from_mins(3);

/// A Lambda environment has 1,024 descriptors, of which a generator needs some for itself.
pub const CONNECTIONS_OF_SEAT: u32 = 952;

/// Connections that a generator has open at the same time, if each user has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionsNeeded {
    /// Of users of the closed model, who will all be there.
    pub certain: u64,
    /// Of those that there can be at most, too.
    pub possible: u64,
}

/// Connections that a plan takes from each of so many generators.
#[must_use]
pub fn connections(plan: &Plan, generators: u32) -> ConnectionsNeeded {
    let generators = generators.max(1);
    let pool = match (plan.http.connections, plan.http.max_connections) {
        (Connections::Shared, Some(most)) => u64::from(most.div_ceil(generators)),
        _ => u64::MAX,
    };
    // A user that does things side by side has a connection for each.
    let width = plan.scenarios.iter().map(Scenario::width).max().unwrap_or(1);
    let of = |users: u64| (users.div_ceil(u64::from(generators)) * u64::from(width)).min(pool);
    let closed = plan.loads.iter().filter_map(|placed| match &placed.load {
        Load::Closed(load) => Some(u64::from(UserSchedule::new(load).users())),
        Load::Open(_) => None,
    });
    ConnectionsNeeded { certain: of(closed.sum()), possible: of(plan.most_users()) }
}

/// How many more seats are offered than are needed: one in fifty, for those that nobody takes.
#[must_use]
pub fn spares(seats: u32) -> u32 {
    seats.div_ceil(50)
}

/// How often everybody looks at the store.
#[must_use]
pub fn poll(seats: u32) -> Duration {
    Duration::from_millis(u64::from(seats.max(READS_PER_S)) * 1_000 / u64::from(READS_PER_S))
}

/// Over how much of each interval the fleet's snapshots are spread: all are made at its end, S3 takes 3,500 writes a second
/// under one prefix, and what it refuses comes again. A small fleet's come at once.
#[must_use]
pub fn spread(seats: u32, interval_s: u32) -> Duration {
    let spread = Duration::from_secs(1) * seats / WRITES_PER_S;
    spread.min(Duration::from_secs(u64::from(interval_s)) * 4 / 5)
}

/// How many values the orchestrator fetches at the same time: a fleet's snapshots of an interval must be in well before the
/// next ones come, over a network on which each takes a tenth of a second. Each takes a descriptor, and some systems give
/// a process 256.
#[must_use]
pub fn reads_at_once(seats: u32) -> usize {
    (seats / 20).clamp(64, 192) as usize
}

/// How often generators write snapshots, in seconds.
#[must_use]
pub fn interval_s(seats: u32) -> u32 {
    if seats <= SEATS_OF_SHORT_INTERVALS {
        2
    } else if seats <= SEATS_OF_ORDINARY_INTERVALS {
        5
    } else {
        10
    }
}

/// From the assignment of slices to the begin of the load.
#[must_use]
pub fn to_epoch(poll: Duration) -> Duration {
    LEAST_TO_EPOCH.max(poll * POLLS_TO_EPOCH)
}

/// How many invitations of a run may be answered at the same time: whoever goes on with a slice is there before the one
/// who had it leaves. Boundaries are spread over half a window.
#[must_use]
pub fn at_once(settings: &Settings) -> u32 {
    let Settings { seats, spares, window, lasts, .. } = settings;
    let mut all = seats.saturating_add(*spares);
    if lasts.divisible && lasts.load > *window {
        let beside = CHANGING + lasts.graceful + lasts.cleanup;
        let changing = f64::from(*seats) * beside.as_secs_f64() / (window.as_secs_f64() / 2.0).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most all seats again"
        )]
        let changing = changing.ceil().min(f64::from(*seats)) as u32;
        all = all.saturating_add(changing);
    }
    all
}

/// How long seats may take to be ready.
#[must_use]
pub fn gather(seats: u32) -> Duration {
    let at_once = MOST_FIRST_POLLERS * SEATS_PER_POLLER;
    let minutes = seats.saturating_sub(at_once).div_ceil(MORE_SEATS_PER_MINUTE);
    GATHER + Duration::from_mins(u64::from(minutes))
}

/// What the event source mapping is set to, so that all seats are taken at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// An ordinary mapping with this `MaximumConcurrency`.
    Maximum(u32),
    /// Provisioned pollers.
    Pollers {
        /// From the beginning.
        minimum: u32,
        /// At most.
        maximum: u32,
    },
}

impl Concurrency {
    /// What so many seats need.
    #[must_use]
    pub fn of(seats: u32) -> Self {
        if seats <= SEATS_WITHOUT_POLLERS {
            return Self::Maximum(seats.max(LEAST_CONCURRENCY));
        }
        let maximum = seats.div_ceil(SEATS_PER_POLLER).max(LEAST_POLLERS);
        Self::Pollers { minimum: maximum.min(MOST_FIRST_POLLERS), maximum }
    }
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs};

    use super::*;

    #[test]
    fn a_larger_fleet_keeps_within_the_limits_of_s3() {
        for seats in [1, 16, 2_000, 2_001, 5_000, 10_000] {
            let reads_per_s = f64::from(seats) / poll(seats).as_secs_f64();
            let writes_per_s = f64::from(seats) / f64::from(interval_s(seats));
            let at_once = f64::from(seats) / spread(seats, interval_s(seats)).as_secs_f64();
            assert!((at_once - 1_250.0).abs() < 0.01, "{seats}");
            assert!(reads_per_s <= 2_001.0 && writes_per_s <= 1_000.0, "{seats}");
            // A tenth of a second each, and there is time left.
            assert!(reads_at_once(seats) as f64 / 0.1 >= 1.5 * writes_per_s, "{seats}");
        }
        assert_eq!((poll(16), interval_s(16)), (Duration::from_secs(1), 2));
        assert_eq!((poll(10_000), interval_s(10_000)), (Duration::from_secs(5), 10));
    }

    #[test]
    fn connections_are_known_before_there_are_any() {
        let check = |load: &str, http: &str, expected: (u64, u64)| {
            let text = format!(
                "target: http://x\nhttp: {http}\nload: {load}\nscenarios: {{ a: {{ steps: [ {{ get: / }} ] }} }}"
            );
            let plan = squall_plan::compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan;
            let needed = connections(&plan, 3);
            assert_eq!((needed.certain, needed.possible), expected, "{load} {http}");
        };
        let (open, closed) = ("{ rate: 5/s, duration: 1m, max_users: 30 }", "{ users: 100, duration: 1m }");
        check(open, "{}", (0, 10));
        check(closed, "{}", (34, 34));
        check(&format!("[ {open}, {closed} ]"), "{}", (34, 44));
        check(closed, "{ connections: shared }", (34, 34));
        check(closed, "{ connections: shared, max_connections: 9 }", (3, 3));
    }

    #[test]
    fn a_mapping_takes_all_seats_at_once() {
        let check = |seats, expected| assert_eq!(Concurrency::of(seats), expected, "{seats}");
        check(1, Concurrency::Maximum(2));
        check(16, Concurrency::Maximum(16));
        check(100, Concurrency::Maximum(100));
        check(101, Concurrency::Pollers { minimum: 11, maximum: 11 });
        check(2_000, Concurrency::Pollers { minimum: 200, maximum: 200 });
        check(10_000, Concurrency::Pollers { minimum: 200, maximum: 1_000 });
        assert_eq!(gather(100), Duration::from_mins(3));
        assert_eq!(gather(10_000), Duration::from_mins(11));
    }
}
