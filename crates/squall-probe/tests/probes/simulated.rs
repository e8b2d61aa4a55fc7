//! A driver in virtual time: rounds go to a simulated service, and what became of them is what a fleet would say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use squall_probe::{Connections, Done, Load, Observed, Probe, Round, Second, Step};
use squall_target::service::{Ask, Outcome, Profile, Service};

/// More rounds than any probe sends.
const ROUNDS: usize = 2_000;

/// Nobody waits longer for an answer.
const TIMEOUT_US: u64 = 60_000_000;

/// A service, and what time it is.
pub(crate) struct Lab {
    service: Box<dyn Service>,
    now_us: u64,
    connections: u64,
    free: Vec<u64>,
    /// What generators can make, a second.
    pub most_per_s: f64,
    /// How many seconds a burst takes to be sent.
    pub burst_s: f64,
    /// Seconds that pass between rounds, whatever is asked for.
    pub least_idle_s: f64,
    /// From how many addresses a fleet of many comes.
    pub addresses: u32,
    /// Whether those are known.
    pub knows_addresses: bool,
    /// By how many microseconds it measures answers longer than they take.
    pub adds_us: u64,
    /// Microseconds of a processor that a request takes.
    pub cpu_us: f64,
    /// How many instances were started by each round, if the service starts any.
    pub started: Vec<f64>,
}

impl Lab {
    pub(crate) fn new(service: Box<dyn Service>) -> Self {
        Self {
            service,
            now_us: 0,
            connections: 0,
            free: Vec::new(),
            most_per_s: 1e6,
            burst_s: 0.0,
            least_idle_s: 0.0,
            addresses: u32::MAX,
            knows_addresses: true,
            adds_us: 0,
            cpu_us: 0.0,
            started: Vec::new(),
        }
    }

    pub(crate) fn of(profile: &str, seed: u64, settings: &serde_json::Value) -> Self {
        Self::new(Profile::named(profile).unwrap().service(seed, settings).unwrap())
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.service.truth().numbers.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
    }

    /// Sends a probe's rounds until it has enough; says what became of them, and how it ended.
    pub(crate) fn run<P: Probe>(&mut self, probe: &P) -> (Vec<Done>, Step) {
        let mut history = Vec::new();
        loop {
            match probe.next(&history) {
                Step::Send(round) => {
                    assert!(history.len() < ROUNDS, "no end");
                    let observed = self.send(&round);
                    history.push(Done { round, observed });
                }
                step => return (history, step),
            }
        }
    }

    /// Sends one round.
    pub(crate) fn send(&mut self, round: &Round) -> Observed {
        let before = self.number("cold_starts");
        let idle_s = round.idle_s.max(self.least_idle_s);
        self.now_us += micros(idle_s);
        let mut sending = Sending::new(self, round);
        match round.load {
            Load::Burst { requests } => sending.burst(requests),
            Load::Rate { per_s, seconds } => sending.rate(per_s, seconds),
            Load::Users { users, seconds, each, every_s } => {
                sending.users(users, seconds, (each.unwrap_or(u32::MAX), every_s));
            }
        }
        let mut observed = sending.observed();
        observed.idle_s = idle_s;
        self.started.push(self.number("cold_starts") - before);
        observed
    }
}

/// A round under way.
struct Sending<'a> {
    lab: &'a mut Lab,
    round: &'a Round,
    observed: Observed,
    good_us: BTreeMap<u64, u64>,
    limited_us: BTreeMap<u64, u64>,
    failures: BTreeMap<String, u64>,
    /// Connections in use, by when they are free.
    used: BinaryHeap<Reverse<(u64, u64)>>,
    ends_us: u64,
}

impl<'a> Sending<'a> {
    fn new(lab: &'a mut Lab, round: &'a Round) -> Self {
        let addresses = if lab.knows_addresses { round.senders.min(lab.addresses) } else { 0 };
        Self {
            lab,
            round,
            observed: Observed { addresses, ..Observed::default() },
            good_us: BTreeMap::new(),
            limited_us: BTreeMap::new(),
            failures: BTreeMap::new(),
            used: BinaryHeap::new(),
            ends_us: 0,
        }
    }

    fn second(&mut self, at_us: u64) -> &mut Second {
        let at = usize::try_from(at_us / 1_000_000).unwrap();
        if self.observed.seconds.len() <= at {
            self.observed.seconds.resize(at + 1, Second::default());
        }
        &mut self.observed.seconds[at]
    }

    /// Asks at an instant of the round; says when it ends.
    fn ask(&mut self, at_us: u64, number: u32) -> u64 {
        while self.used.peek().is_some_and(|Reverse((free_us, _))| *free_us <= at_us) {
            if let Some(Reverse((_, connection))) = self.used.pop() {
                self.lab.free.push(connection);
            }
        }
        let kept = if self.round.connections == Connections::Kept { self.lab.free.pop() } else { None };
        let connection = kept.unwrap_or_else(|| {
            self.lab.connections += 1;
            self.lab.connections
        });
        let sender = number % self.round.senders.max(1);
        let ask = Ask {
            key: number / self.round.senders.max(1) % self.round.keys.max(1),
            address: sender % self.lab.addresses.max(1),
            ..Ask::of(0, connection)
        };
        let from_us = self.lab.now_us + at_us;
        let answer = self.lab.service.ask(from_us, &ask);
        let took_us = answer.done_at_us.saturating_sub(from_us) + self.lab.adds_us;
        let timed_out = took_us > TIMEOUT_US;
        let took_us = took_us.min(TIMEOUT_US);
        let end_us = at_us + took_us;
        self.ends_us = self.ends_us.max(end_us);
        self.used.push(Reverse((end_us, connection)));
        self.second(at_us).scheduled += 1;
        let is_warm = at_us >= micros(self.round.warm_s);
        let pairs = match answer.outcome {
            _ if timed_out => {
                self.second(end_us).failed += 1;
                *self.failures.entry("timeout".to_owned()).or_default() += 1;
                None
            }
            Outcome::Status(status) if status < 400 => {
                self.second(end_us).good += 1;
                Some(&mut self.good_us)
            }
            Outcome::Status(429) => {
                self.second(end_us).limited += 1;
                Some(&mut self.limited_us)
            }
            Outcome::Status(status @ 502..=504) => {
                self.second(end_us).unavailable += 1;
                *self.failures.entry(status.to_string()).or_default() += 1;
                None
            }
            other => {
                self.second(end_us).failed += 1;
                *self.failures.entry(format!("{other:?}").to_lowercase()).or_default() += 1;
                None
            }
        };
        if let (Some(pairs), true) = (pairs, is_warm) {
            *pairs.entry(took_us).or_default() += 1;
        }
        if let Some(named_s) = answer.retry_after_s {
            // The header takes whole seconds.
            self.observed.retry_after_s.push((named_s.ceil().max(1.0), 1));
        }
        end_us
    }

    fn burst(&mut self, requests: u32) {
        let late_s = self.lab.burst_s;
        self.observed.tainted = requests > 1 && late_s > 0.25;
        self.observed.lag_us = vec![(micros(late_s / 2.0), 50), (micros(late_s), 50)];
        for number in 0..requests {
            self.ask(micros(late_s * f64::from(number) / f64::from(requests)), number);
        }
    }

    fn rate(&mut self, per_s: f64, seconds: f64) {
        let can = self.lab.most_per_s;
        self.observed.tainted = per_s > can;
        // Where the generators are at their end, requests begin late.
        self.observed.lag_us = vec![(if per_s > can { 40_000 } else { 80 }, 1)];
        self.observed.cpu_s = per_s.min(can) * seconds * self.lab.cpu_us / 1e6;
        let count = (per_s.min(can) * seconds).round();
        for number in 0..whole(count) {
            self.ask(micros(f64::from(number) / per_s.min(can)), number);
        }
        self.second(micros(seconds) - 1);
    }

    fn users(&mut self, users: u32, seconds: f64, (each, every_s): (u32, f64)) {
        let mut due: BinaryHeap<Reverse<(u64, u32, u32)>> =
            (0..users).map(|user| Reverse((0, user, each))).collect();
        while let Some(Reverse((at_us, user, left))) = due.pop() {
            if at_us < micros(seconds) && left > 0 {
                let end_us = self.ask(at_us, user);
                due.push(Reverse((end_us.max(at_us + micros(every_s).max(1)), user, left - 1)));
            }
        }
        self.second(micros(seconds) - 1);
    }

    fn observed(mut self) -> Observed {
        self.lab.now_us += self.ends_us.max(micros(self.round_lasts_s()));
        while let Some(Reverse((_, connection))) = self.used.pop() {
            self.lab.free.push(connection);
        }
        self.observed.good_us = self.good_us.into_iter().collect();
        self.observed.limited_us = self.limited_us.into_iter().collect();
        self.observed.failures = self.failures.into_iter().collect();
        let mut named: BTreeMap<u64, u64> = BTreeMap::new();
        for (seconds, count) in &self.observed.retry_after_s {
            *named.entry(seconds.to_bits()).or_default() += count;
        }
        self.observed.retry_after_s =
            named.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
        self.observed
    }

    fn round_lasts_s(&self) -> f64 {
        match self.round.load {
            Load::Burst { .. } => 0.0,
            Load::Rate { seconds, .. } | Load::Users { seconds, .. } => seconds,
        }
    }
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(0x0b0e))
    }

    /// In 0..1, by `SplitMix64`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Each factor as likely.
    pub(crate) fn scaled(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let place = (0..of.len()).position(|place| self.uniform() < 1.0 / (of.len() - place) as f64);
        of[place.unwrap_or(of.len() - 1)]
    }
}

/// Rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of tests")]
pub(crate) fn whole(value: f64) -> u32 {
    value.ceil() as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants of tests")]
pub(crate) fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}
