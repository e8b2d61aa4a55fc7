//! How many generators a plan needs, and why so many.

use std::time::Duration;

use squall_plan::{Connections, Load, Plan, Scenario};

use super::Calibration;

/// A user has a connection, and connections that close take some time to be gone: a bit more than half of the
/// [descriptors](super::CONNECTIONS_OF_SEAT) that a generator has for them.
const CONNECTIONS_EACH: u64 = 500;

/// A user that waits takes so much memory, with its connection; users may fill half of a generator's.
const BYTES_OF_USER: f64 = 20_000.0;
const MEMORY_FOR_USERS: f64 = 0.5;

/// A processor is to be busy for so much of its time: what comes unevenly must still be sent when it is due.
pub const UTILISATION: f64 = 0.6;

/// What a request is taken to cost while nobody has measured it, in microseconds of a processor: with
/// [`UTILISATION`] that is 3,000 requests a second. `docs/performance.md` has figures of 6 to 20; TLS that is made anew for
/// each request, large bodies and slower processors cost more.
pub const ASSUMED_CPU_US: f64 = 200.0;

/// What a response is taken to last while nobody has measured it.
pub const ASSUMED_RESPONSE: Duration = Duration::from_millis(100);

/// What a request is taken to send while nobody has measured it, besides what the plan has of its body.
const ASSUMED_HEAD: f64 = 500.0;

/// A processor of Lambda is one thread of a core, and one that was measured elsewhere may be a whole one.
const ELSEWHERE_TO_LAMBDA: f64 = 2.0;

/// Memory of a function that comes with one processor, in MB.
const MB_PER_PROCESSOR: f64 = 1_769.0;

/// What an environment of Lambda has of the network, in bits a second, in both directions together.
const NETWORK_BITS_PER_S: f64 = 625e6;

/// For which processors generators are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`
    X86,
    /// `arm64`
    Arm,
}

impl Architecture {
    /// Lambda's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    /// Of a name; `None` for any that is none.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::X86, Self::Arm].into_iter().find(|architecture| architecture.name() == name)
    }
}

/// What a generator on AWS runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its memory, in MB.
    pub memory_mb: u32,
    /// Its processors.
    pub architecture: Architecture,
}

impl Function {
    /// What is deployed where nobody asks for something else.
    pub const DEFAULT: Self = Self { memory_mb: 1_769, architecture: Architecture::X86 };

    /// Processors, of the last perhaps a part.
    #[must_use]
    pub fn processors(self) -> f64 {
        f64::from(self.memory_mb) / MB_PER_PROCESSOR
    }

    pub(crate) fn gigabytes(self) -> f64 {
        f64::from(self.memory_mb) / 1_024.0
    }
}

/// Where generators run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Machine {
    /// On AWS, one in each function.
    Lambda(Function),
    /// On processors of this machine, one on each.
    Own,
}

/// What a plan asks of all generators together, at its peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Users at the same time.
    pub users: u64,
    /// Connections at the same time.
    pub connections: u64,
    /// Requests a second.
    pub requests_per_s: f64,
    /// Bytes of a request and its response; of the request alone where nobody has measured them.
    pub bytes_per_request: f64,
}

impl Demand {
    /// Of a plan: loads that are side by side are taken to have their peaks at the same time. An iteration has as many
    /// requests as were measured, else as its steps say, at most: a task's share is its weight, a repetition counts as often as
    /// it can.
    #[must_use]
    pub fn of(plan: &Plan, calibration: Option<&Calibration>) -> Self {
        let users = plan.most_users();
        // A user that does things side by side has a connection for each.
        let width = plan.scenarios.iter().map(Scenario::width).max().unwrap_or(1);
        let pool = match (plan.http.connections, plan.http.max_connections) {
            (Connections::Shared, Some(most)) => u64::from(most),
            _ => u64::MAX,
        };
        let response_s = calibration.map_or(ASSUMED_RESPONSE.as_secs_f64(), Calibration::response_s);
        let peaks = plan.loads.iter().map(|placed| match (&placed.load, calibration) {
            (Load::Open(load), Some(calibration)) => {
                load.peak().per_second() * calibration.requests_per_iteration
            }
            _ => {
                let peak = placed.peak(plan, response_s);
                peak.most.unwrap_or(peak.least)
            }
        });
        Self {
            users,
            connections: users.saturating_mul(u64::from(width)).min(pool),
            requests_per_s: peaks.sum(),
            bytes_per_request: calibration
                .map_or_else(|| assumed_bytes(plan), Calibration::bytes_per_request),
        }
    }
}

/// How many generators a plan needs, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Generators.
    pub seats: u32,
    /// What decided.
    pub reason: Reason,
}

/// What decides how many generators there are: how much there is of it, and how much each can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Connections, one for each user.
    Users {
        /// In all.
        number: u64,
        /// Of each generator.
        each: u64,
    },
    /// Connections of users who have several, or share them.
    Connections {
        /// In all.
        number: u64,
        /// Of each generator.
        each: u64,
    },
    /// Memory of users.
    Memory {
        /// Users in all.
        number: u64,
        /// Of each generator.
        each: f64,
    },
    /// Requests a second.
    Rate {
        /// In all.
        per_s: f64,
        /// Of each generator.
        each: f64,
    },
    /// Bytes a second.
    Network {
        /// Megabits a second in all.
        mbps: f64,
        /// Of each generator.
        each: f64,
    },
    /// An arrival must find a user in its own slice, and there are no more users.
    Slices,
}

impl Reason {
    /// How many generators it asks for, of which the last need not be whole.
    fn generators(self) -> f64 {
        let (number, each) = match self {
            Self::Users { number, each } | Self::Connections { number, each } => (number as f64, each as f64),
            Self::Memory { number, each } => (number as f64, each),
            Self::Rate { per_s: number, each } | Self::Network { mbps: number, each } => (number, each),
            Self::Slices => return 0.0,
        };
        number / each.max(f64::MIN_POSITIVE)
    }
}

/// How many generators a plan needs on Lambda: the most that connections, memory, requests or the network ask for.
#[must_use]
pub fn size(plan: &Plan, function: Function, calibration: Option<&Calibration>) -> Size {
    let demand = Demand::of(plan, calibration);
    let own = demand.connections == demand.users;
    let number = demand.connections;
    let connections = if own {
        Reason::Users { number, each: CONNECTIONS_EACH }
    } else {
        Reason::Connections { number, each: CONNECTIONS_EACH }
    };
    let memory = f64::from(function.memory_mb) * 1e6 * MEMORY_FOR_USERS / BYTES_OF_USER;
    let rate =
        Reason::Rate { per_s: demand.requests_per_s, each: capacity(Machine::Lambda(function), calibration) };
    let network = Reason::Network {
        mbps: demand.requests_per_s * demand.bytes_per_request * 8.0 / 1e6,
        each: NETWORK_BITS_PER_S * UTILISATION / 1e6,
    };
    let others = [Reason::Memory { number: demand.users, each: memory }, rate, network];
    let larger = |one: Reason, other: Reason| if other.generators() > one.generators() { other } else { one };
    let reason = others.into_iter().fold(connections, larger);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cut off at the ends"
    )]
    let seats = (reason.generators().ceil() as u32).max(1);
    let most = plan.most_slices();
    if seats > most { Size { seats: most, reason: Reason::Slices } } else { Size { seats, reason } }
}

/// Bytes that a request of a plan is taken to send while nobody has measured it.
#[must_use]
pub fn assumed_bytes(plan: &Plan) -> f64 {
    ASSUMED_HEAD + plan.body_bytes()
}

/// Requests a second that a generator can make.
#[must_use]
pub fn capacity(machine: Machine, calibration: Option<&Calibration>) -> f64 {
    let cpu_us = match (calibration, machine) {
        (None, _) => ASSUMED_CPU_US,
        (Some(calibration), Machine::Lambda(_)) if !calibration.is_of_lambda() => {
            calibration.cpu_us_per_request * ELSEWHERE_TO_LAMBDA
        }
        (Some(calibration), _) => calibration.cpu_us_per_request,
    };
    let processors = match machine {
        Machine::Lambda(function) => function.processors(),
        Machine::Own => 1.0,
    };
    processors * UTILISATION * 1e6 / cpu_us
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs};

    use super::*;

    fn plan(load: &str, http: &str, steps: &str) -> Plan {
        let text = format!(
            "target: http://x\nhttp: {http}\nload: {load}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}"
        );
        squall_plan::compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap().plan
    }

    fn calibration(memory_mb: Option<u32>, cpu_us: f64, bytes: f64) -> Calibration {
        Calibration {
            at: "2026-11-26T04:00:00Z".to_owned(),
            memory_mb,
            architecture: "x86_64".to_owned(),
            requests: 1_000,
            iterations: 500,
            cpu_us_per_request: cpu_us,
            requests_per_iteration: 2.0,
            bytes_sent_per_request: bytes / 2.0,
            bytes_received_per_request: bytes / 2.0,
            response_ms: 50.0,
        }
    }

    const GET: &str = "{ get: / }";
    const ONE: Function = Function::DEFAULT;

    #[test]
    fn users_and_requests_decide_while_nothing_is_measured() {
        let check = |load: &str, steps: &str, seats: u32, expected: Reason| {
            assert_eq!(
                size(&plan(load, "{}", steps), ONE, None),
                Size { seats, reason: expected },
                "{load} {steps}"
            );
        };
        let users = |number| Reason::Users { number, each: 500 };
        let rate = |per_s| Reason::Rate { per_s, each: 3_000.0 };
        let slow = "{ get: / }, { think: 1s }";
        check("{ users: 1, duration: 1m }", slow, 1, users(1));
        check("{ users: 501, duration: 1m }", slow, 2, users(501));
        check("{ start_users: 5000, stages: [ { duration: 1m, users: 10 } ] }", slow, 10, users(5_000));
        // Without pauses each of 500 users makes ten requests a second, if responses take 100 ms.
        check("{ users: 500, duration: 1m }", GET, 2, rate(5_000.0));
        check("{ rate: 3001/s, duration: 1m, max_users: 20 }", GET, 2, rate(3_001.0));
        check("{ rate: 10/s, duration: 1m, max_users: 2000 }", GET, 4, users(2_000));
        // An iteration is several requests: of choices the mean, of conditions and repetitions the most.
        let load = "{ rate: 2000/s, duration: 1m, max_users: 20 }";
        check(load, "{ get: / }, { get: / }, { get: / }", 2, rate(6_000.0));
        let choice = "{ choose: [ { weight: 3, steps: [ { get: / }, { get: / } ] }, { weight: 1 } ] }";
        check(load, choice, 1, rate(3_000.0));
        let polls = "{ repeat: { times: 4, until: vu.id == 1 }, steps: [ { get: / } ] }";
        check(load, polls, 3, rate(8_000.0));
        // Loads side by side are added up.
        check(
            "[ { users: 501, duration: 1m }, { rate: 10/s, duration: 1m, max_users: 600 } ]",
            slow,
            3,
            users(1_101),
        );
        check("{ rate: 20000/s, duration: 1m, max_users: 3 }", GET, 3, Reason::Slices);
    }

    #[test]
    fn connections_that_are_shared_or_side_by_side_are_counted_and_not_users() {
        let load = "{ users: 4000, duration: 1m }";
        let slow = "{ get: / }, { think: 10s }";
        let shared = plan(load, "{ connections: shared, max_connections: 300 }", slow);
        let connections = |number| Reason::Connections { number, each: 500 };
        assert_eq!(size(&shared, ONE, None).seats, 1);
        let wide = plan(
            "{ users: 600, duration: 1m }",
            "{}",
            "{ parallel: [ [ { get: / } ], [ { get: / } ] ] }, { think: 10s }",
        );
        assert_eq!(size(&wide, ONE, None), Size { seats: 3, reason: connections(1_200) });
        // 128 MB have room for 3,200 users, whoever's connections they use.
        let small = Function { memory_mb: 128, ..ONE };
        let many = size(
            &plan(
                "{ users: 4000, duration: 1m }",
                "{ connections: shared, max_connections: 300 }",
                "{ get: / }, { think: 5m }",
            ),
            small,
            None,
        );
        assert_eq!(many, Size { seats: 2, reason: Reason::Memory { number: 4_000, each: 3_200.0 } });
    }

    #[test]
    fn uploads_need_the_network_as_far_as_the_plan_has_them() {
        let text = "target: http://x\nload: { rate: 100/s, duration: 1m, max_users: 20 }\n\
                    scenarios: { a: { steps: [ { put: /, body_file: large } ] } }";
        let bundle = Bundle::new("p.yaml", text, Inputs::default()).with_files(|_| Ok(vec![0; 999_500]));
        let plan = squall_plan::compile(&bundle).unwrap().plan;
        // 100 requests of a megabyte are 800 Mbps, and a generator is to have 60 % of 625.
        assert_eq!(
            size(&plan, ONE, None),
            Size { seats: 3, reason: Reason::Network { mbps: 800.0, each: 375.0 } }
        );
    }

    #[test]
    fn memory_buys_processors_and_so_requests() {
        let asked = plan("{ rate: 20000/s, duration: 1m, max_users: 30 }", "{}", GET);
        let seats = |memory_mb| size(&asked, Function { memory_mb, ..ONE }, None).seats;
        assert_eq!([1_769, 3_538, 512, 10_240].map(seats), [7, 4, 24, 2]);
    }

    #[test]
    fn what_was_measured_decides_in_place_of_what_is_assumed() {
        let asked = plan("{ rate: 5000/s, duration: 1m, max_users: 20 }", "{}", GET);
        // 60 % of a processor at 100 µs are 6,000 requests a second; an iteration has two.
        let on_lambda = size(&asked, ONE, Some(&calibration(Some(3_538), 100.0, 1_000.0)));
        assert_eq!(on_lambda, Size { seats: 2, reason: Reason::Rate { per_s: 10_000.0, each: 6_000.0 } });
        // A processor of one's own is taken to be twice as fast as Lambda's.
        assert_eq!(size(&asked, ONE, Some(&calibration(None, 100.0, 1_000.0))).seats, 4);
        assert!((capacity(Machine::Own, Some(&calibration(None, 100.0, 1_000.0))) - 6_000.0).abs() < 1e-9);
        // 10,000 requests of 100 kB are 8,000 Mbps, and a generator is to have 375.
        let large = size(&asked, ONE, Some(&calibration(Some(1_769), 100.0, 100_000.0)));
        assert_eq!((large.seats, large.reason), (20, Reason::Slices));
        let asked = plan("{ rate: 5000/s, duration: 1m, max_users: 200 }", "{}", GET);
        let large = size(&asked, ONE, Some(&calibration(Some(1_769), 100.0, 100_000.0)));
        assert_eq!(large, Size { seats: 22, reason: Reason::Network { mbps: 8_000.0, each: 375.0 } });
        // Users who have their answers in 50 ms ask twice as often as is assumed.
        let closed = plan("{ users: 400, duration: 1m }", "{}", GET);
        let found = size(&closed, ONE, Some(&calibration(Some(1_769), 1_000.0, 1_000.0)));
        assert_eq!(found, Size { seats: 14, reason: Reason::Rate { per_s: 8_000.0, each: 600.0 } });
    }
}
