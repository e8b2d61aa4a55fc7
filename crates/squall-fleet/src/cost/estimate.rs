//! Before a run: what it will cost, if all goes as planned.

use std::time::Duration;

use squall_plan::Plan;

use super::{Billed, Item, bill};
use crate::counted::NAMES_IN_LISTING;
use crate::orchestrator::RENEW;
use crate::orchestrator::windows::{hand_overs, waits_for_window};
use crate::sizing::{
    ASSUMED_RESPONSE, Calibration, Concurrency, Function, Ready, START, assumed_bytes, interval_s, poll,
    to_epoch,
};

/// What a generator takes from the end of its load to its own: the last snapshot and the last word.
const LEAVE: Duration = Duration::from_secs(1);

/// What generators read besides control: manifest, plan, assignment. What they write besides snapshots: that they are
/// ready, and the last word.
const READS_OF_GENERATOR: f64 = 3.0;
const WRITES_OF_GENERATOR: f64 = 2.0;

/// What the command writes besides control: plan, manifest, assignment.
const WRITES_OF_COMMAND: f64 = 3.0;

/// Messages that are sent with one request.
const MESSAGES_OF_BATCH: u32 = 10;

/// A snapshot of a few names; what else a generator writes is smaller.
const BYTES_OF_SNAPSHOT: f64 = 4_000.0;

/// How long a look at an empty queue lasts, and how many are under way at a time: of an ordinary mapping, of one poller.
const LOOK: Duration = Duration::from_secs(20);
const LOOKS_OF_MAPPING: f64 = 5.0;
const LOOKS_OF_POLLER: f64 = 10.0;

/// What a run is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// What each generator runs on.
    pub function: Function,
    /// Generators that are needed.
    pub seats: u32,
    /// Generators that are invited beyond them. They are taken to stay as long as the others.
    pub spares: u32,
    /// Generators that go on with a slice at the end of a window.
    pub successors: u64,
    /// Over how many queues they are spread.
    pub lanes: u32,
    /// How long load lasts.
    pub load: Duration,
    /// How often generators write snapshots, in seconds.
    pub interval_s: u32,
    /// How often everybody looks at the store.
    pub poll: Duration,
    /// Bytes that requests send, all together.
    pub bytes_sent: f64,
}

impl Expected {
    /// Of a plan. What users do beyond its duration is left out: most of the graceful stop is seldom needed.
    #[must_use]
    pub fn of(
        plan: &Plan,
        function: Function,
        (seats, spares, lanes): (u32, u32, u32),
        calibration: Option<&Calibration>,
    ) -> Self {
        let response_s = calibration.map_or(ASSUMED_RESPONSE.as_secs_f64(), Calibration::response_s);
        let requests = plan.loads.iter().map(|placed| {
            let requests = placed.requests(plan, response_s);
            requests.most.unwrap_or(requests.least)
        });
        let assumed = assumed_bytes(plan);
        let bytes = calibration.map_or(assumed, |calibration| calibration.bytes_sent_per_request);
        Self {
            function,
            seats,
            spares,
            successors: 0,
            lanes,
            load: plan.duration(),
            interval_s: interval_s(seats),
            poll: poll(seats),
            bytes_sent: requests.sum::<f64>() * bytes,
        }
    }

    /// The same with windows of this length.
    #[must_use]
    pub fn in_windows(self, window: Duration) -> Self {
        Self { successors: hand_overs(self.seats, window, self.load), ..self }
    }
}

/// What it will cost, what costs most first.
#[must_use]
pub fn estimate(expected: &Expected) -> Vec<Item> {
    let Expected { function, seats, spares, successors, lanes, load, interval_s, poll, bytes_sent } =
        *expected;
    let at_first = seats.saturating_add(spares);
    let invited = at_first.saturating_add(u32::try_from(successors).unwrap_or(u32::MAX));
    let ready = Ready::of(seats, spares, lanes);
    let (generators, lanes) = (f64::from(invited), lanes.max(1));
    let rest = to_epoch(poll) + load + LEAVE;
    let life = START + ready.mean_wait() + rest;
    let open = START + ready.last() + rest;
    // Whoever goes on with a slice makes its load, and comes before.
    let overlap = START + waits_for_window(poll) + LEAVE;
    let lived_s = f64::from(at_first) * billed_s(life) + successors as f64 * billed_s(overlap);
    let snapshots = f64::from(at_first) * (load.as_secs_f64() / f64::from(interval_s.max(1))).ceil();
    let polls = |time: Duration| time.as_secs_f64() / poll.as_secs_f64().max(0.001);
    let pages = (invited as usize).div_ceil(NAMES_IN_LISTING).max(1) as f64;
    let written = snapshots + generators * WRITES_OF_GENERATOR;
    // Who is ready is listed at every look; snapshots and last words from the epoch on.
    let listings = polls(open) * pages + polls(rest) * (pages + 1.0);
    let renewals = open.as_secs_f64() / RENEW.as_secs_f64();
    let reads = generators * READS_OF_GENERATOR
        + f64::from(at_first) * polls(life)
        + successors as f64 * polls(overlap)
        + polls(open)
        + written;
    bill([
        Item::estimated(Billed::GeneratorTime(function.architecture), lived_s * function.gigabytes()),
        Item::estimated(Billed::Invocations, generators),
        Item::estimated(
            Billed::QueueRequests,
            queue_requests(invited, invited, ready.concurrency, lanes, open),
        ),
        Item::estimated(Billed::Pollers, poller_hours(ready.concurrency, lanes, open)),
        Item::estimated(Billed::Writes, written + WRITES_OF_COMMAND + renewals + listings),
        Item::estimated(Billed::Reads, reads),
        Item::estimated(Billed::RequestData, bytes_sent / 1e9),
        Item::estimated(Billed::CommandData, snapshots * BYTES_OF_SNAPSHOT / 1e9),
    ])
}

/// Lambda counts each invocation in whole milliseconds, the last one whole.
pub(super) fn billed_s(life: Duration) -> f64 {
    life.as_micros().div_ceil(1_000) as f64 / 1e3
}

/// Messages are sent in batches, received and deleted one by one, and looked for in vain.
pub(super) fn queue_requests(
    sent: u32,
    received: u32,
    concurrency: Concurrency,
    lanes: u32,
    open: Duration,
) -> f64 {
    let looks = match concurrency {
        Concurrency::Maximum(_) => LOOKS_OF_MAPPING,
        Concurrency::Pollers { minimum, .. } => f64::from(minimum) * LOOKS_OF_POLLER,
    };
    let in_vain = f64::from(lanes) * looks * open.as_secs_f64() / LOOK.as_secs_f64();
    f64::from(sent.div_ceil(MESSAGES_OF_BATCH)) + 2.0 * f64::from(received) + in_vain
}

/// A seat keeps its poller busy until it is left, so there are as many as are needed at most.
pub(super) fn poller_hours(concurrency: Concurrency, lanes: u32, open: Duration) -> f64 {
    match concurrency {
        Concurrency::Maximum(_) => 0.0,
        Concurrency::Pollers { maximum, .. } => {
            f64::from(lanes) * f64::from(maximum) * open.as_secs_f64() / 3_600.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{quantity, total};
    use crate::sizing::{self, Architecture};
    use squall_plan::{Bundle, Inputs, compile};

    fn expected(seats: u32, spares: u32, load: Duration) -> Expected {
        Expected {
            function: Function { memory_mb: 1_024, architecture: Architecture::X86 },
            seats,
            spares,
            successors: 0,
            lanes: 1,
            load,
            interval_s: sizing::interval_s(seats),
            poll: sizing::poll(seats),
            bytes_sent: 2e9,
        }
    }

    #[test]
    fn a_small_run_is_as_dear_as_by_hand() {
        // Five generators are there at once. Each lives 1 s to be ready, 4 s to the epoch, 60 s of load, 1 s to leave.
        let items = estimate(&expected(4, 1, Duration::from_mins(1)));
        let check = |billed, by_hand: f64| {
            let found = quantity(&items, billed);
            assert!((found - by_hand).abs() < 1e-9, "{billed:?}: {found}");
        };
        check(Billed::GeneratorTime(Architecture::X86), 5.0 * 66.0);
        check(Billed::Invocations, 5.0);
        // A batch, five messages received and deleted, five looks under way for 66 s.
        check(Billed::QueueRequests, 1.0 + 10.0 + 5.0 * 66.0 / 20.0);
        check(Billed::Pollers, 0.0);
        // Each writes 30 snapshots and two words; the command three, control every 5 s, and lists once in the first second
        // and three times in each that follows.
        check(Billed::Writes, 5.0 * 32.0 + 3.0 + 66.0 / 5.0 + 66.0 + 65.0 * 2.0);
        check(Billed::Reads, 5.0 * (3.0 + 66.0) + 66.0 + 5.0 * 32.0);
        check(Billed::RequestData, 2.0);
        check(Billed::CommandData, 5.0 * 30.0 * 4_000.0 / 1e9);
        // 330 GB-s are $0.0055, two gigabytes $0.18; all else is below a fifth of a cent.
        assert!((total(&items) - (0.0055 + 0.18)).abs() < 0.0025, "{}", total(&items));
        assert!(items.is_sorted_by(|one, other| one.usd() >= other.usd()));
        assert!(items.iter().all(|item| item.is_estimated));
    }

    #[test]
    fn windows_cost_the_time_in_which_successors_wait() {
        // As often as was seen: 24 generators, 48 s of two minutes each.
        let short = expected(24, 1, Duration::from_mins(2));
        let windows = short.in_windows(Duration::from_secs(48));
        assert_eq!((windows.successors, short.in_windows(Duration::from_mins(2)).successors), (48, 0));
        let more = |billed| quantity(&estimate(&windows), billed) - quantity(&estimate(&short), billed);
        // Each waits 50 s, and needs a second to come and one to leave.
        let seconds = more(Billed::GeneratorTime(Architecture::X86));
        assert!((seconds - 48.0 * 52.0).abs() < 1e-9, "{seconds}");
        assert!((more(Billed::Invocations) - 48.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_expected_of_a_plan_is_its_duration_and_its_requests() {
        let text = "target: http://x\nload: { rate: 100/s, duration: 2m }\n\
                    scenarios: { a: { steps: [ { get: / }, { get: / } ] } }";
        let plan = compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan;
        let function = Function { memory_mb: 512, architecture: Architecture::Arm };
        let found = Expected::of(&plan, function, (200, 4, 2), None);
        assert_eq!((found.seats, found.spares, found.lanes, found.interval_s), (200, 4, 2, 5));
        assert_eq!((found.load, found.function), (Duration::from_mins(2), function));
        assert!((found.bytes_sent - 24_000.0 * 500.0).abs() < 1e-6, "{}", found.bytes_sent);
    }

    #[test]
    fn a_large_fleet_pays_for_pollers_and_for_waiting() {
        let load = Duration::from_mins(10);
        let items = estimate(&expected(1_000, 20, load));
        // 102 pollers for a start of 1 s, four polls, the load, and the end.
        let hours = quantity(&items, Billed::Pollers);
        assert!((hours - 102.0 * 606.0 / 3_600.0).abs() < 1e-6, "{hours}");
        // Of 10,000 seats 2,000 are there at once, and the last comes 8 minutes later: the others wait for it.
        let more = estimate(&expected(10_000, 200, load));
        let each_s = quantity(&more, Billed::GeneratorTime(Architecture::X86)) / 10_200.0;
        let mean_wait_s = 480.0 - 480.0 * 8_000.0 / 2.0 / 10_000.0;
        assert!((each_s - (1.0 + mean_wait_s + 20.0 + 600.0 + 1.0)).abs() < 0.01, "{each_s}");
    }
}
