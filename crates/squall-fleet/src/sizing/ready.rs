//! When the seats of a fleet are taken, as far as it can be known before.

use std::time::Duration;

use super::{Concurrency, MORE_SEATS_PER_MINUTE, MOST_FIRST_POLLERS, SEATS_PER_POLLER};

/// Queues over which a fleet can be spread.
pub const MOST_LANES: u32 = 10;

/// What a generator takes from its invocation until it is ready: the start of its environment, the plan, secrets. An
/// assumption; `ready_ms` of a result says what it was.
pub const START: Duration = Duration::from_secs(1);

/// An ordinary mapping works on so many messages at once, adds so many a minute, and has so many at most.
const ORDINARY_AT_ONCE: u32 = 5;
const MORE_OF_ORDINARY_PER_MINUTE: u32 = 300;
const MOST_OF_ORDINARY: u32 = 1_250;

/// A mapping has so many pollers at most.
const MOST_POLLERS: u32 = 10_000;

/// A function has so many environments at once, and gains as many every ten seconds.
const ENVIRONMENTS_PER_10_S: u32 = 1_000;

/// When so many seats are taken, from when the queue is open. Every lane has its own queue, mapping and function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Seats of each lane.
    seats: u32,
    /// How the mapping of each lane is set.
    pub concurrency: Concurrency,
    /// When an ordinary mapping has let in the last; `None` if it never does.
    pub ordinary: Option<Duration>,
    /// When provisioned pollers have; `None` if there are not enough.
    pub pollers: Option<Duration>,
    /// When there are environments enough.
    pub functions: Duration,
}

impl Ready {
    /// Of `seats` that are needed, and `spares` that are offered beside them.
    #[must_use]
    pub fn of(seats: u32, spares: u32, lanes: u32) -> Self {
        let lanes = lanes.clamp(1, MOST_LANES);
        let (offered, seats) = (seats.saturating_add(spares).div_ceil(lanes), seats.div_ceil(lanes));
        let pollers = seats.div_ceil(SEATS_PER_POLLER);
        Self {
            seats,
            concurrency: Concurrency::of(offered),
            ordinary: (seats <= MOST_OF_ORDINARY).then(|| ORDINARY.last(seats)),
            pollers: (pollers <= MOST_POLLERS).then(|| provisioned(pollers).last(seats)),
            functions: FUNCTIONS.last(seats),
        }
    }

    /// When the last is let in and has an environment, as the mapping is set; [`START`] later it is ready.
    #[must_use]
    pub fn last(&self) -> Duration {
        self.slowest().last(self.seats)
    }

    /// How long a generator waits for the last one, on average.
    #[must_use]
    pub fn mean_wait(&self) -> Duration {
        let ramp = self.slowest();
        ramp.last(self.seats).saturating_sub(ramp.mean(self.seats))
    }

    /// How many a lane has let in so long after its queue was opened.
    pub(crate) fn let_in(&self, after: Duration) -> u32 {
        self.mapping().let_in(after).min(FUNCTIONS.let_in(after))
    }

    fn mapping(&self) -> Ramp {
        match self.concurrency {
            Concurrency::Maximum(_) => ORDINARY,
            Concurrency::Pollers { minimum, .. } => provisioned(minimum),
        }
    }

    fn slowest(&self) -> Ramp {
        let mapping = self.mapping();
        if mapping.last(self.seats) > FUNCTIONS.last(self.seats) { mapping } else { FUNCTIONS }
    }
}

/// So many at once, then so many more a minute.
#[derive(Debug, Clone, Copy)]
struct Ramp {
    at_once: u32,
    per_minute: u32,
}

const ORDINARY: Ramp = Ramp { at_once: ORDINARY_AT_ONCE, per_minute: MORE_OF_ORDINARY_PER_MINUTE };
const FUNCTIONS: Ramp = Ramp { at_once: ENVIRONMENTS_PER_10_S, per_minute: 6 * ENVIRONMENTS_PER_10_S };

/// Pollers that are there from the beginning let in ten each.
fn provisioned(pollers: u32) -> Ramp {
    Ramp { at_once: pollers.min(MOST_FIRST_POLLERS) * SEATS_PER_POLLER, per_minute: MORE_SEATS_PER_MINUTE }
}

impl Ramp {
    /// When the last of so many comes.
    fn last(self, number: u32) -> Duration {
        Duration::from_mins(1) * number.saturating_sub(self.at_once) / self.per_minute
    }

    /// How many have come by then.
    fn let_in(self, after: Duration) -> u32 {
        let later = after.as_millis() * u128::from(self.per_minute) / 60_000;
        self.at_once.saturating_add(u32::try_from(later).unwrap_or(u32::MAX))
    }

    /// When they come on average: those who are there at once do so at 0, the others evenly until the last.
    fn mean(self, number: u32) -> Duration {
        let later = f64::from(number.saturating_sub(self.at_once)) / f64::from(number.max(1));
        self.last(number).mul_f64(later / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seats and lanes, and seconds by hand: an ordinary mapping, pollers, functions, the last as it is set.
    fn check(seats: u32, lanes: u32, by_hand: (Option<f64>, Option<f64>, f64, f64)) {
        let ready = Ready::of(seats, super::super::spares(seats), lanes);
        let s = |duration: Duration| duration.as_secs_f64();
        let found = (ready.ordinary.map(s), ready.pollers.map(s), s(ready.functions), s(ready.last()));
        assert_eq!(found, by_hand, "{seats} seats, {lanes} lanes");
    }

    #[test]
    fn seats_are_taken_as_fast_as_aws_says() {
        check(1, 1, (Some(0.0), Some(0.0), 0.0, 0.0));
        check(5, 1, (Some(0.0), Some(0.0), 0.0, 0.0));
        // (100 - 5) / 300 minutes; with its 2 spares it has pollers.
        check(98, 1, (Some(18.6), Some(0.0), 0.0, 18.6));
        check(100, 1, (Some(19.0), Some(0.0), 0.0, 0.0));
        // (1,000 - 5) / 300 minutes are 3.3 minutes, as the facts say.
        check(1_000, 1, (Some(199.0), Some(0.0), 0.0, 0.0));
        // 2,000 at once for 200 pollers; functions gain 1,000 more in ten seconds.
        check(2_000, 1, (None, Some(0.0), 10.0, 10.0));
        // (10,000 - 2,000) / 1,000 minutes; (10,000 - 1,000) / 100 s.
        check(10_000, 1, (None, Some(480.0), 90.0, 480.0));
        // Five lanes of 2,000 seats each, and ten of 1,000.
        check(10_000, 5, (None, Some(0.0), 10.0, 10.0));
        check(10_000, 10, (Some(199.0), Some(0.0), 0.0, 0.0));
        check(100_001, 1, (None, None, 990.01, 5_880.06));
    }

    #[test]
    fn as_many_are_let_in_as_the_slowest_lets() {
        let check = |seats, lanes, after_s, expected| {
            let ready = Ready::of(seats, 0, lanes);
            assert_eq!(ready.let_in(Duration::from_secs(after_s)), expected, "{seats} {lanes} {after_s}");
        };
        check(20, 1, 0, 5);
        check(20, 1, 3, 20);
        // The function has 1,000 environments at once and 100 more each second, the mapping 2,000 and 1,000 a minute.
        check(10_000, 1, 0, 1_000);
        check(10_000, 1, 480, 10_000);
        check(10_000, 5, 10, 2_000);
    }

    #[test]
    fn who_is_early_waits_for_the_last() {
        assert_eq!(Ready::of(4, 1, 1).mean_wait(), Duration::ZERO);
        // 2,000 wait for 8 minutes, and 8,000 for 4 on average.
        let mean = Ready::of(10_000, 200, 1).mean_wait().as_secs_f64();
        assert!((mean - (2_000.0 * 480.0 + 8_000.0 * 240.0) / 10_000.0).abs() < 1e-6, "{mean}");
    }
}
