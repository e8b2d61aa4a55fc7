//! Services with known troubles under load in virtual time, and whether their troubles are named.

mod cases;
mod pairs;
mod short;
mod telemetry;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde_json::Value;
use squall_diagnose::{Endpoint, Finding, Observed, diagnose};
use squall_metrics::{ConnectionUse, LoadId, Merged, Outcome, Phase, Recorder, Sample, SeriesId, Snapshot};
use squall_plan::schedule::ArrivalSchedule;
use squall_plan::units::Rate;
use squall_plan::{Arrivals, OpenLoad, RateStage, Share, Users, WhenFull};
use squall_target::service::{self, Ask, Profile, Service, Truth};

pub use cases::{SETS, Set, case, cases};
pub use short::short_cases;
use telemetry::Looks;
pub use telemetry::{TELEMETRY, Telemetry};

/// A request that takes longer is given up.
const TIMEOUT_US: u64 = 10_000_000;

/// Users that wait for each other at most; beyond that arrivals are dropped.
const MOST_USERS: usize = 20_000;

/// How much is asked for over time.
#[derive(Debug, Clone)]
pub struct Course {
    /// For how long.
    pub length_s: f64,
    /// How much from when on, with straight lines between: arrivals a second, or users.
    pub points: Vec<(f64, f64)>,
    /// What users wait between requests; none if arrivals decide.
    pub think_s: Option<f64>,
    /// How arrivals are spread.
    pub arrivals: Arrivals,
}

impl Course {
    fn at(&self, at_s: f64) -> f64 {
        let after = self.points.iter().position(|point| point.0 > at_s).unwrap_or(self.points.len());
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some(before), Some(next)) => {
                before.1 + (next.1 - before.1) * (at_s - before.0) / (next.0 - before.0)
            }
            (Some(one), None) | (None, Some(one)) => one.1,
            (None, None) => 0.0,
        }
    }

    fn most(&self) -> f64 {
        self.points.iter().map(|point| point.1).fold(0.0, f64::max)
    }

    /// When arrivals are due, as a generator has them come.
    fn schedule(&self) -> ArrivalSchedule {
        let rate = |at_s: f64| Rate::parse(&format!("{:.3}/s", self.at(at_s))).unwrap_or(Rate::ZERO);
        let ends =
            self.points.iter().map(|point| point.0).filter(|at_s| *at_s > 0.0 && *at_s < self.length_s);
        let mut from_s = 0.0;
        let mut stages = Vec::new();
        for end_s in ends.chain([self.length_s]) {
            let duration = Duration::from_secs_f64(end_s - from_s);
            stages.push(RateStage { duration, rate: rate(end_s) });
            from_s = end_s;
        }
        ArrivalSchedule::new(&OpenLoad {
            start_rate: rate(0.0),
            stages,
            arrivals: self.arrivals,
            max_users: 1,
            when_full: WhenFull::Drop,
            users: Users::Reuse,
            graceful_stop: Duration::ZERO,
        })
    }
}

/// A service with its settings, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Which profile.
    pub profile: &'static str,
    /// What differs from its defaults.
    pub settings: Value,
    /// What stands before it, with its settings.
    pub before: Option<(&'static str, Value)>,
    /// What is asked.
    pub course: Course,
    /// Whether requests share a few connections, as over HTTP/2.
    pub shares_connections: bool,
    /// What chance is made of.
    pub seed: u64,
}

/// What was wrong, and what was found.
#[derive(Debug)]
pub struct Judged {
    /// What was wrong.
    pub truth: Truth,
    /// What was found, surest first.
    pub found: Vec<Finding>,
}

/// A number that a finding estimates, and what is true.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Between what it is, if it says so.
    pub interval: Option<(f64, f64)>,
    /// What is true.
    pub truth: f64,
}

impl Judged {
    /// The kinds that are right, the first cause first.
    #[must_use]
    pub fn right(&self) -> Vec<String> {
        self.truth.findings.iter().map(|finding| kind(finding.kind)).collect()
    }

    /// The kinds that follow from them, and that are no mistake.
    #[must_use]
    pub fn also(&self) -> Vec<String> {
        self.truth.also.iter().copied().map(kind).collect()
    }

    /// The first kind that was found and is not doubtful.
    #[must_use]
    pub fn first(&self) -> &'static str {
        let sure = self.found.first().filter(|finding| finding.confidence.word() != "low");
        sure.map_or("nothing", |finding| finding.kind.name())
    }

    /// The kinds that were named and are not doubtful.
    pub fn named(&self) -> impl Iterator<Item = &'static str> {
        let sure = self.found.iter().filter(|finding| finding.confidence.word() != "low");
        sure.map(|finding| finding.kind.name())
    }

    /// Whether requests to an instance that started are apart from those to one that ran: they took longer by five standard
    /// deviations of the latter, and none waited behind others.
    #[must_use]
    pub fn are_starts_apart(&self) -> bool {
        let number = |name: &str| self.truth.numbers.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        number("cold_added_ms") >= 5.0 * number("warm_deviation_ms") && number("queued") < 0.5
    }

    /// An estimate, its interval, and the truth.
    #[must_use]
    pub fn estimate(&self, of: &str, number: &str, truth: &str) -> Option<Estimate> {
        let finding = self.found.iter().find(|finding| finding.kind.name() == of)?;
        let truth = self.truth.numbers.get(truth)?;
        let truth = truth.as_f64().or_else(|| truth.get(0)?.as_f64())?;
        let (value, interval) = (finding.evidence.number(number)?, finding.evidence.interval(number));
        Some(Estimate { value, interval, truth })
    }
}

fn kind(kind: service::Kind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Case {
    /// Asks, and looks at what was measured.
    ///
    /// # Panics
    /// If the settings do not fit the profile.
    #[must_use]
    pub fn judge(&self) -> Judged {
        let [judged] = self.judge_with([Telemetry::None]);
        judged
    }

    /// Asks once, and looks at what was measured, each time with so much of what the service's own instruments said.
    ///
    /// # Panics
    /// If the settings do not fit the profile.
    #[must_use]
    pub fn judge_with<const N: usize>(&self, telemetry: [Telemetry; N]) -> [Judged; N] {
        let mut service = self.service();
        let observed = observe(&mut *service, &self.course, self.seed, self.shares_connections);
        let mut truth = service.truth();
        // Nobody has seen those that were not answered by the end.
        let ends = truth.numbers.get("cold_until_s").and_then(Value::as_array);
        let seen = ends.map(|ends| {
            ends.iter()
                .filter_map(Value::as_f64)
                .filter(|end_s| *end_s < self.course.length_s.floor())
                .count()
        });
        truth.numbers.extend(seen.map(|seen| ("cold_starts_seen".to_owned(), seen.into())));
        telemetry.map(|telemetry| {
            let found = diagnose(&telemetry.of(&observed, self.seed));
            Judged { truth: truth.clone(), found }
        })
    }

    /// What was measured, to be looked at.
    ///
    /// # Panics
    /// If the settings do not fit the profile.
    #[must_use]
    pub fn observed(&self) -> Observed {
        observe(&mut *self.service(), &self.course, self.seed, self.shares_connections)
    }

    #[expect(clippy::expect_used, reason = "a case that cannot be made is a mistake in it")]
    fn service(&self) -> Box<dyn Service> {
        let service = |name: &str, seed: u64, settings: &Value| {
            let profile = Profile::named(name).expect("a profile");
            profile.service(seed, settings).expect("settings that fit")
        };
        let back = service(self.profile, self.seed, &self.settings);
        match &self.before {
            None => back,
            Some((name, settings)) => {
                let front = service(name, self.seed ^ 0x00be_f03e, settings);
                Box::new(pairs::Chain { front, back })
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In 0..1, by `SplitMix64`.
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Between two numbers, each factor as likely.
    pub fn scaled(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// One of a few.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let place = (0..of.len()).position(|place| self.uniform() < 1.0 / (of.len() - place) as f64);
        of[place.unwrap_or(of.len() - 1)]
    }
}

/// What a generator would have measured, and what the service's own instruments said meanwhile.
#[must_use]
pub fn observe(service: &mut dyn Service, course: &Course, seed: u64, shares_connections: bool) -> Observed {
    let mut run = Run::new(service, seed);
    run.shares_connections = shares_connections;
    match course.think_s {
        None => run.arrivals(course, seed),
        Some(think_s) => run.users(course, think_s),
    }
    run.observed(course)
}

/// Requests under way and done.
struct Run<'a> {
    service: &'a mut dyn Service,
    chance: Chance,
    recorder: Recorder,
    /// Connections that nobody uses, the latest last, and those that are used, by when they are free.
    free: Vec<u64>,
    used: BinaryHeap<Reverse<(u64, u64)>>,
    connections: u64,
    shares_connections: bool,
    /// By how much the number under way changes in a second.
    changes: BTreeMap<u64, i64>,
    looks: Looks,
}

/// Connections that are shared.
const SHARED: [u64; 4] = [1, 2, 3, 4];

impl<'a> Run<'a> {
    fn new(service: &'a mut dyn Service, seed: u64) -> Self {
        let endpoints = service.endpoints().len();
        Self {
            service,
            chance: Chance::new(seed ^ 0x00d1_a605),
            recorder: Recorder::new(endpoints),
            free: Vec::new(),
            used: BinaryHeap::new(),
            connections: 0,
            shares_connections: false,
            changes: BTreeMap::new(),
            looks: Looks::new(seed),
        }
    }

    /// Requests that come when they are due, whatever becomes of the others.
    fn arrivals(&mut self, course: &Course, seed: u64) {
        for arrival in course.schedule().arrivals(Share::WHOLE, seed) {
            let at_us = arrival.at_us;
            while let Some(Reverse((_, connection))) = self.used.pop_if_before(at_us) {
                self.free.push(connection);
            }
            self.recorder.arrival_scheduled(LoadId(0), at_us.cast_signed());
            if self.used.len() >= MOST_USERS {
                self.recorder.arrival_dropped(LoadId(0), at_us.cast_signed());
                continue;
            }
            self.recorder.arrival_started(LoadId(0), at_us.cast_signed());
            let connection = self.free.pop();
            let (end_us, kept) = self.ask(at_us, connection);
            if let Some(connection) = kept {
                self.used.push(Reverse((end_us, connection)));
            }
        }
    }

    /// Users that come and go, and wait between requests.
    fn users(&mut self, course: &Course, think_s: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of users")]
        let most = course.most().round() as u64;
        let mut due: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let mut own: BTreeMap<u64, u64> = BTreeMap::new();
        for user in 0..most {
            due.push(Reverse((micros(self.chance.between(0.0, think_s)), user)));
        }
        while let Some(Reverse((at_us, user))) = due.pop() {
            let at_s = at_us as f64 / 1e6;
            if at_s >= course.length_s {
                continue;
            }
            if course.at(at_s) < user as f64 + 0.5 {
                due.push(Reverse((at_us + 500_000, user)));
                continue;
            }
            let (end_us, kept) = self.ask(at_us, own.remove(&user));
            own.extend(kept.map(|connection| (user, connection)));
            let think_us = micros(self.chance.between(0.5, 1.5) * think_s);
            due.push(Reverse((end_us + think_us.max(1), user)));
        }
    }

    /// One request: when it ends, and its connection if that can be used again.
    fn ask(&mut self, at_us: u64, connection: Option<u64>) -> (u64, Option<u64>) {
        let place = self.chance.uniform();
        let endpoint = if place < 0.45 {
            0
        } else if place < 0.75 {
            1
        } else {
            2
        };
        self.looks.until(self.service, at_us);
        let (number, is_new) = self.connection(connection);
        let answer = self.service.ask(at_us, &Ask::of(endpoint, number));
        let timed_out = answer.done_at_us > at_us + TIMEOUT_US;
        let outcome = match answer.outcome {
            _ if timed_out => Outcome::Timeout,
            service::Outcome::Status(status) => Outcome::Status(status),
            service::Outcome::Refused => Outcome::Refused,
            service::Outcome::Reset => Outcome::Reset,
            service::Outcome::Dns => Outcome::Dns,
            service::Outcome::Tls => Outcome::Tls,
        };
        let end_us = answer.done_at_us.clamp(at_us, at_us + TIMEOUT_US);
        let id = SeriesId(u16::try_from(endpoint).unwrap_or(0));
        let mut sample = Sample::begun(id, at_us.cast_signed(), at_us.cast_signed());
        sample.ended_us = end_us.cast_signed();
        sample.outcome = outcome;
        sample.failed = outcome.status().is_none_or(|status| status >= 400);
        sample.connection = if is_new { ConnectionUse::New } else { ConnectionUse::Reused };
        let phases = answer.phases;
        let connecting =
            [(Phase::Dns, phases.dns_us), (Phase::Connect, phases.connect_us), (Phase::Tls, phases.tls_us)];
        connecting.iter().filter(|(_, us)| *us > 0).for_each(|(phase, us)| sample.phases.add(*phase, *us));
        self.recorder.record(&sample);
        *self.changes.entry(at_us / 1_000_000).or_default() += 1;
        *self.changes.entry(end_us / 1_000_000).or_default() -= 1;
        let lost = timed_out || outcome.status().is_none();
        if lost {
            self.service.closed(at_us, number);
        }
        (end_us, (!lost).then_some(number))
    }

    /// The connection of a request, and whether it is made for it.
    fn connection(&mut self, free: Option<u64>) -> (u64, bool) {
        match free {
            _ if self.shares_connections && self.connections >= SHARED.len() as u64 => {
                (self.chance.one_of(&SHARED), false)
            }
            Some(free) => (free, false),
            None => {
                self.connections += 1;
                (self.connections, true)
            }
        }
    }

    fn observed(mut self, course: &Course) -> Observed {
        self.looks.until(self.service, micros(course.length_s));
        let mut under_way = 0_i64;
        let mut changes = self.changes.iter().peekable();
        for second in 0..micros(course.length_s) / 1_000_000 {
            while let Some((_, change)) = changes.next_if(|(at, _)| **at <= second) {
                under_way += change;
            }
            let number = u32::try_from(under_way).unwrap_or(0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of users")]
            let users = course.think_s.map_or(number, |_| course.at(second as f64 + 1.0).round() as u32);
            self.recorder.gauge((second * 1_000_000 + 999_999).cast_signed(), users, number);
        }
        let interval = self.recorder.take().into_interval();
        let mut merged = Merged::default();
        merged.merge(Snapshot { run: "run".to_owned(), nonce: "one".to_owned(), sequence: 0, interval });
        let endpoints = self.service.endpoints().iter().map(|endpoint| Endpoint {
            name: endpoint.name.to_owned(),
            writes: endpoint.is_write,
            counts: true,
        });
        let observed = Observed::new(endpoints.collect(), &merged, course.length_s);
        Observed { signals: self.looks.signals(), ..observed }
    }
}

trait PopBefore {
    fn pop_if_before(&mut self, at_us: u64) -> Option<Reverse<(u64, u64)>>;
}

impl PopBefore for BinaryHeap<Reverse<(u64, u64)>> {
    fn pop_if_before(&mut self, at_us: u64) -> Option<Reverse<(u64, u64)>> {
        let due = self.peek().is_some_and(|Reverse((free_us, _))| *free_us <= at_us);
        if due { self.pop() } else { None }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants of a test")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}
