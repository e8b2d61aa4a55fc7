//! What merging a fleet's snapshots takes: the time of one interval on one core, and the memory of a whole run.
//!
//! ```text
//! cargo run --release --package squall-metrics --example fleet_merge -- interval generators=10000 rate=50
//! cargo run --release --package squall-metrics --example fleet_merge -- run generators=5000 intervals=90
//! ```
//!
//! Every generator measures something else in every second: names differ in how often they are asked for and how
//! long they take, answers become slower and faster over the run, some fail and a few are very slow. Prints one line
//! of JSON.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Instant;

use squall_metrics::{
    Arrivals, Cleanup, ConnectionUse, Exemplar, Health, Interval, Iterations, LoadCounts, LoadId, MeasureId,
    Merged, Observation, Outcome, Phases, Scale, Second, SeriesId, SeriesSecond, Snapshot, Sparse,
};

/// How much of what.
struct Fleet {
    generators: u32,
    endpoints: u16,
    /// Requests of a generator in a second.
    rate: f64,
    /// Seconds in an interval.
    interval_s: i32,
    /// Intervals of a run, or rounds over one interval.
    intervals: u32,
}

const USAGE: &str =
    "usage: fleet_merge interval|run [generators=N] [endpoints=N] [rate=N] [interval_s=N] [intervals=N]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let (generators, intervals) = if mode == "run" { (5_000, 90) } else { (10_000, 3) };
    let fleet = Fleet { generators, endpoints: 20, rate: 50.0, interval_s: 10, intervals };
    let fleet = arguments.try_fold(fleet, |fleet, argument| fleet.with(&argument));
    match (mode.as_str(), fleet) {
        ("interval", Some(fleet)) => interval(&fleet),
        ("run", Some(fleet)) => run(&fleet),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Takes in one interval of all generators, several times over; the fastest counts, for others use the machine, too.
fn interval(fleet: &Fleet) {
    let mut merged = Merged::default();
    let mut best = [f64::INFINITY; 2];
    let mut bytes = 0;
    for number in 0..fleet.intervals {
        let arrived: Vec<Vec<u8>> =
            (0..fleet.generators).map(|generator| fleet.snapshot(generator, number).encode()).collect();
        bytes = arrived.iter().map(Vec::len).sum::<usize>();
        let (begin, cpu) = (now(), processor_s());
        for snapshot in &arrived {
            take_in(&mut merged, snapshot);
        }
        let took = [begin.elapsed().as_secs_f64(), processor_s() - cpu];
        eprintln!("interval {number}: {:.3} s, of which {:.3} s on the processor", took[0], took[1]);
        best.iter_mut().zip(took).for_each(|(best, took)| *best = best.min(took));
    }
    let generators = f64::from(fleet.generators);
    println!(
        "{{\"generators\": {}, \"endpoints\": {}, \"requests_per_snapshot\": {:.0}, \"snapshot_bytes\": {:.0}, \
         \"seconds\": {:.3}, \"processor_s\": {:.3}, \"us_per_snapshot\": {:.1}}}",
        fleet.generators,
        fleet.endpoints,
        merged.requests() as f64 / generators / f64::from(fleet.intervals),
        bytes as f64 / generators,
        best[0],
        best[1],
        best[1] * 1e6 / generators,
    );
}

/// Takes in all intervals of a run, and says how much memory this process ever had.
fn run(fleet: &Fleet) {
    let mut merged = Merged::default();
    let (mut took_s, mut snapshots) = (0.0, 0_u64);
    for number in 0..fleet.intervals {
        for generator in 0..fleet.generators {
            let bytes = fleet.snapshot(generator, number).encode();
            let cpu = processor_s();
            take_in(&mut merged, &bytes);
            took_s += processor_s() - cpu;
            snapshots += 1;
        }
        if number % 10 == 9 {
            eprintln!("{} intervals: {:.0} MB at most", number + 1, peak_mb());
        }
    }
    println!(
        "{{\"generators\": {}, \"endpoints\": {}, \"snapshots\": {snapshots}, \"requests\": {}, \
         \"processor_s\": {took_s:.1}, \"peak_mb\": {:.0}}}",
        fleet.generators,
        fleet.endpoints,
        merged.requests(),
        peak_mb(),
    );
    black_box(merged);
}

fn take_in(merged: &mut Merged, bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(black_box(bytes)) {
        merged.merge(snapshot);
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured is not simulated")]
fn now() -> Instant {
    Instant::now()
}

/// What this thread has used of a processor, where the system tells.
fn processor_s() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: u64 = told.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
    nanoseconds as f64 / 1e9
}

/// The most memory that this process ever had.
fn peak_mb() -> f64 {
    let told = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kilobytes: u64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
    kilobytes as f64 / 1024.0
}

/// What is measured of one name in an interval.
#[derive(Default)]
struct Values {
    response: Vec<u64>,
    failed: Vec<u64>,
    service: Vec<u64>,
    phases: [Vec<u64>; 6],
    seconds: BTreeMap<i32, (Vec<u64>, Vec<u64>)>,
    outcomes: BTreeMap<Outcome, u64>,
    slowest: Vec<(u64, i32)>,
    new_connections: u64,
}

impl Fleet {
    /// The same but for what an argument says.
    fn with(mut self, argument: &str) -> Option<Self> {
        let (key, value) = argument.split_once('=')?;
        match key {
            "generators" => self.generators = value.parse().ok()?,
            "endpoints" => self.endpoints = value.parse().ok()?,
            "rate" => self.rate = value.parse().ok()?,
            "interval_s" => self.interval_s = value.parse().ok()?,
            "intervals" => self.intervals = value.parse().ok()?,
            _ => return None,
        }
        Some(self)
    }

    fn snapshot(&self, generator: u32, number: u32) -> Snapshot {
        let nonce = format!("{:032x}", u128::from(generator) << 64 | 0x5eed);
        Snapshot {
            run: "r-20260101-bench".to_owned(),
            nonce,
            sequence: number,
            interval: self.measured(generator, number),
        }
    }

    /// How often a name is asked for: the first most, as usual.
    fn share(&self, endpoint: u16) -> f64 {
        let weight = |endpoint: u16| 1.0 / (1.0 + f64::from(endpoint) / 4.0);
        weight(endpoint) / (0..self.endpoints).map(weight).sum::<f64>()
    }

    fn measured(&self, generator: u32, number: u32) -> Interval {
        let mut random = Random::of(u64::from(generator) << 32 | u64::from(number));
        let begin = i32::try_from(number).unwrap_or(0) * self.interval_s;
        let mut interval = Interval::default();
        let mut lags = Vec::new();
        for endpoint in 0..self.endpoints {
            let values = self.values(endpoint, begin, &mut random);
            lags.extend(values.service.iter().map(|_| random.lognormal(60.0, 0.6)));
            let id = SeriesId(endpoint);
            interval.slowest.insert(id, values.slowest.iter().map(|slow| exemplar(*slow)).collect());
            for (second, (response, failed)) in &values.seconds {
                interval.seconds.entry(*second).or_default().series.insert(id, second_of(response, failed));
            }
            interval.series.insert(id, series_of(values));
        }
        for second in interval.seconds.values_mut() {
            fill(second, self.rate, &mut random);
        }
        let iterations = lags.len() / 5;
        for id in 0..2 {
            let values = (0..iterations).map(|_| random.lognormal(900_000.0, 0.4)).collect();
            interval.measures.insert(MeasureId(id), coarse(values));
        }
        let arrivals = Arrivals { scheduled: iterations as u64, started: iterations as u64, dropped: 0 };
        let counts = LoadCounts { arrivals, iterations: iterations as u64, user_us: 100_000_000, rounds: 0 };
        interval.loads.insert(LoadId(0), counts);
        interval.send_lag = coarse(lags);
        interval.loop_delay = coarse((0..1_000).map(|_| random.lognormal(40.0, 0.8)).collect());
        interval.remotes = (1..5).map(|host| (IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 125)).collect();
        interval.cleanup = Cleanup { created: 40, undone: 38, ..Cleanup::default() };
        if generator.is_multiple_of(50) {
            interval
                .problems
                .insert("`GET /catalog/products`: no `$.items[0].id` in the response".to_owned(), 2);
        }
        interval
    }

    fn values(&self, endpoint: u16, begin: i32, random: &mut Random) -> Values {
        let mut values = Values::default();
        // From 2 ms to half a second, some names more regular than others.
        let median_us = 2_000.0 * 1.33_f64.powi(i32::from(endpoint));
        let spread = 0.3 + 0.05 * f64::from(endpoint % 9);
        for second in begin..begin + self.interval_s {
            let slower = 1.0 + 0.4 * (f64::from(second) / 60.0 + f64::from(endpoint)).sin();
            for _ in 0..random.about(self.rate * self.share(endpoint)) {
                let kind = random.unit();
                let tail = if kind > 0.99 { 6.0 } else { 1.0 };
                let service = random.lognormal(median_us * slower * tail, spread);
                let response = service + random.lognormal(60.0, 0.6);
                values.add(second, kind, (response, service), random);
            }
        }
        values
    }
}

impl Values {
    fn add(&mut self, second: i32, kind: f64, (response, service): (u64, u64), random: &mut Random) {
        let fails = kind < 0.004;
        let outcome = if fails {
            503
        } else if kind < 0.2 {
            201
        } else {
            200
        };
        *self.outcomes.entry(Outcome::Status(outcome)).or_default() += 1;
        let (of_second, failed_of_second) = self.seconds.entry(second).or_default();
        if fails {
            self.failed.push(response);
            failed_of_second.push(response);
        } else {
            self.response.push(response);
            self.service.push(service);
            of_second.push(response);
        }
        let send = random.lognormal(25.0, 0.3);
        let body = random.lognormal(service as f64 / 20.0, 0.5);
        self.phases[3].push(send);
        self.phases[4].push(service.saturating_sub(send + body));
        self.phases[5].push(body);
        if random.unit() < 0.02 {
            self.new_connections += 1;
            self.phases[0].push(random.lognormal(400.0, 0.5));
            self.phases[1].push(random.lognormal(700.0, 0.4));
            self.phases[2].push(random.lognormal(1_900.0, 0.4));
        }
        self.slowest.push((response, second));
        self.slowest.sort_by_key(|(response, _)| std::cmp::Reverse(*response));
        self.slowest.truncate(3);
    }
}

fn series_of(values: Values) -> squall_metrics::Series {
    let requests = values.outcomes.values().sum();
    squall_metrics::Series {
        requests,
        errors: values.failed.len() as u64,
        outcomes: values.outcomes,
        response: fine(values.response),
        failed: fine(values.failed),
        service: fine(values.service),
        phases: values.phases.map(coarse),
        bytes_sent: requests * 311,
        bytes_received: requests * 2_417,
        new_connections: values.new_connections,
        reused_connections: requests - values.new_connections,
        checks_passed: requests,
        ..squall_metrics::Series::default()
    }
}

fn second_of(response: &[u64], failed: &[u64]) -> SeriesSecond {
    let requests = (response.len() + failed.len()) as u64;
    let outcomes = [(200, response.len() as u64), (503, failed.len() as u64)];
    let outcomes = outcomes.into_iter().filter(|(_, count)| *count > 0);
    SeriesSecond {
        requests,
        errors: failed.len() as u64,
        outcomes: outcomes.map(|(status, count)| (Outcome::Status(status), count)).collect(),
        response: coarse(response.to_vec()),
        failed: coarse(failed.to_vec()),
        checks_passed: requests,
        ..SeriesSecond::default()
    }
}

/// What a second knows besides its requests. One in a hundred is tainted.
fn fill(second: &mut Second, rate: f64, random: &mut Random) {
    let begun = random.about(rate / 5.0);
    second.arrivals = Arrivals { scheduled: begun, started: begun, dropped: 0 };
    second.iterations = Iterations { started: begun, completed: begun, failed: 0, interrupted: 0 };
    second.user_us = 10_000_000;
    (second.users, second.in_flight) = (10, random.about(4.0));
    second.phases_us =
        [0, 700, 1_900, 1_250, random.lognormal(2_000_000.0, 0.3), random.lognormal(90_000.0, 0.3)];
    let stolen_us = if random.unit() < 0.01 { 200_000 } else { 0 };
    second.health = Health::of(&Observation {
        cpu_us: random.lognormal(50_000.0, 0.2),
        stolen_us,
        observed_us: 1_000_000,
        connections: 12,
        memory_bytes: 42_000_000,
        loop_delay_max_us: random.lognormal(300.0, 0.5),
        ..Observation::default()
    });
    if stolen_us > 0 {
        second.tainted = second.series.clone();
    }
}

fn exemplar((response, second): (u64, i32)) -> Exemplar {
    let ended_us = i64::from(second) * 1_000_000 + 500_000;
    let scheduled_us = ended_us - i64::try_from(response).unwrap_or(0);
    Exemplar {
        trace: None,
        trace_sent: false,
        scheduled_us,
        started_us: scheduled_us + 60,
        ended_us,
        outcome: Outcome::Status(200),
        failed: false,
        phases: Phases::default(),
        connection: ConnectionUse::Reused,
        http2: false,
        remote: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
        bytes_received: 2_417,
    }
}

fn fine(values: Vec<u64>) -> Sparse {
    Sparse::of(Scale::Fine, values)
}

fn coarse(values: Vec<u64>) -> Sparse {
    Sparse::of(Scale::Coarse, values)
}

/// A small generator of random numbers (`SplitMix64`), so that every run is the same.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number around this one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn about(&mut self, mean: f64) -> u64 {
        (mean + self.unit()) as u64
    }

    /// As answers are distributed: some longer, a few much longer.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    fn lognormal(&mut self, median: f64, spread: f64) -> u64 {
        // The sum of four uniform numbers is nearly normal.
        let normal = (0..4).map(|_| self.unit()).sum::<f64>() - 2.0;
        (median * (normal * 3.0_f64.sqrt() * spread).exp()) as u64
    }
}
