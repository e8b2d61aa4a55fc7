//! Probes by the real command, of services whose parameters are drawn from a seed and known to whoever compares only.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

use crate::Place;
use crate::diagnosis::Chance;
use crate::served::Served;

/// How near a number must come to the truth.
const KEPT: f64 = 0.1;
const REFILL: f64 = 0.05;
const BURST: f64 = 0.1;
const AT_A_TIME: f64 = 0.05;
const CAPACITY: f64 = 0.05;
/// How many points a share may be off.
const SHARE: f64 = 0.03;

/// Requests in the larger bursts that ask for cold starts.
const CROWD: u32 = 60;

/// Where probes of limits come from: six addresses.
const LOCAL_IPS: &str = "127.0.0.16/29";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How bad cold starts are.
    ColdStart,
    /// When requests are turned away.
    Throttle,
    /// How much it can take.
    Capacity,
}

/// All of them.
pub const QUESTIONS: [Question; 3] = [Question::ColdStart, Question::Throttle, Question::Capacity];

/// A service, and how it is asked.
#[derive(Debug, Clone)]
pub struct Case {
    question: Question,
    seed: u64,
    profile: &'static str,
    settings: Value,
    arguments: Vec<String>,
}

/// What was found, beside what is true.
#[derive(Debug, Clone)]
pub struct Compared {
    of: String,
    found: String,
    truth: String,
    /// How far it is off, if that is a number.
    error: Option<String>,
    is_near: bool,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub struct Row {
    case: Case,
    compared: Vec<Compared>,
    requests: u64,
    seconds: f64,
    /// All that was said.
    told: String,
}

impl Question {
    /// What the command calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ColdStart => "cold-start",
            Self::Throttle => "throttle",
            Self::Capacity => "capacity",
        }
    }
}

impl Case {
    /// The one of a seed: of three in a row each has another policy, or another scope.
    #[must_use]
    pub fn of(question: Question, seed: u64) -> Self {
        let salt = question.name().bytes().fold(0_u64, |sum, byte| sum << 8 | u64::from(byte));
        let mut chance = Chance::new(seed ^ salt);
        let (profile, settings, arguments) = match question {
            Question::ColdStart => cold_start(seed, &mut chance),
            Question::Throttle => throttle(seed, &mut chance),
            Question::Capacity => capacity(&mut chance),
        };
        Self { question, seed, profile, settings, arguments }
    }

    /// Starts the service, asks, and compares.
    ///
    /// # Panics
    /// If the command cannot be started, or says nothing that can be read.
    #[must_use]
    pub fn ask(self) -> Row {
        let place = Place::new();
        let served = Served::start(&place, self.profile, self.seed, &self.settings);
        let url = format!("http://{}/", served.address());
        let own = ["probe", self.question.name(), &url, "--output", "json"];
        let given = self.arguments.iter().map(String::as_str);
        let ran = place.run(&own.into_iter().chain(given).collect::<Vec<_>>());
        let result: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let (answer, truth) = (&result["answer"], served.truth());
        let numbers = &truth["numbers"];
        let estimate = |name: &str, truth: f64, share: f64| {
            Compared::near(name, answer[name]["value"].as_f64(), truth, share)
        };
        let number = |name: &str| numbers[name].as_f64().unwrap_or(f64::NAN);
        let compared = match self.question {
            Question::ColdStart => {
                let kept_s = truth["parameters"]["keep_alive_s"].as_f64().unwrap_or(f64::NAN);
                let mut compared = vec![
                    estimate("keep_alive_s", kept_s, KEPT),
                    Compared::same("queueing", &answer["queueing"], &truth["parameters"]["policy"]),
                ];
                let history = history(&place, &result);
                compared.extend(
                    [(1, "long"), (CROWD, "long"), (CROWD, "short")]
                        .map(|(size, when)| cold_share(answer, &truth, &history, (size, when))),
                );
                compared
            }
            Question::Throttle if number("concurrency") > 0.0 => vec![
                Compared::same("kind", &answer["kind"], &json!("concurrency")),
                estimate("concurrency", number("concurrency"), AT_A_TIME),
                Compared::same("scope", &answer["scope"], &scope(&numbers["per"])),
            ],
            Question::Throttle => vec![
                Compared::same("kind", &answer["kind"], &json!("rate")),
                estimate("refill_per_s", number("refill_per_s"), REFILL),
                estimate("burst", number("burst"), BURST),
                Compared::same("scope", &answer["scope"], &scope(&numbers["per"])),
            ],
            Question::Capacity => vec![estimate("capacity_per_s", number("capacity_rps"), CAPACITY)],
        };
        Row {
            requests: answer["spent"]["requests"].as_u64().unwrap_or(0),
            seconds: answer["spent"]["seconds"].as_f64().unwrap_or(0.0),
            told: format!("{}\n{answer:#}", ran.stderr),
            compared,
            case: self,
        }
    }
}

/// A function with one of the three policies.
fn cold_start(seed: u64, chance: &mut Chance) -> (&'static str, Value, Vec<String>) {
    let profile = match seed % 3 {
        0 => "lambda",
        1 => "google-function",
        _ => "azure-function",
    };
    let cold_ms = chance.scaled(250.0, 500.0).round();
    let warm_ms = chance.between(5.0, 15.0).round();
    let settings = json!({
        "keep_alive_s": tenths(chance.scaled(3.6, 6.0)),
        "work_ms": chance.scaled(120.0, 250.0).round(),
        "per_instance": whole(chance.between(1.5, 4.5)),
        "start_every_s": tenths(chance.scaled(1.0, 4.0)),
        "warm_ms": warm_ms, "warm_p99_ms": 2.0 * warm_ms,
        "cold_ms": cold_ms, "cold_p99_ms": 1.3 * cold_ms,
    });
    let sizes = format!("sizes=[1,{CROWD}]");
    (profile, settings, set(&[&sizes, "shortest_gap_s=3", "longest_gap_s=16", "repeats=2"]))
}

/// A gateway whose bucket is for all, for each key or for each address; one of three counts what is under way instead.
fn throttle(seed: u64, chance: &mut Chance) -> (&'static str, Value, Vec<String>) {
    let per = match seed % 3 {
        0 => "address",
        1 => "key",
        _ => "all",
    };
    let settings = if seed % 3 == seed / 3 % 3 {
        json!({
            "per": per, "burst": u32::MAX, "refill_per_s": 1e9,
            "concurrency": whole(chance.scaled(8.0, 25.0)), "work_ms": chance.scaled(200.0, 400.0).round(),
        })
    } else {
        json!({
            "per": per, "burst": whole(chance.scaled(25.0, 60.0)), "refill_per_s": tenths(chance.scaled(8.0, 18.0)),
            "work_ms": chance.scaled(5.0, 40.0).round(),
        })
    };
    let mut arguments = set(&["most_burst=200", "longest_round_s=20"]);
    let sharers = ["--max-rate", "200", "--generators", "3", "--local-ips", LOCAL_IPS];
    let keys = ["--key", "a", "--key", "b", "--key", "c"];
    arguments.extend(sharers.into_iter().chain(keys).map(str::to_owned));
    ("gateway", settings, arguments)
}

/// A service of fixed capacity, with 5 % noise.
fn capacity(chance: &mut Chance) -> (&'static str, Value, Vec<String>) {
    let (workers, per_s) = (whole(chance.between(2.5, 6.5)), chance.scaled(60.0, 150.0));
    let work_ms = tenths(1_000.0 * f64::from(workers) / per_s);
    let settings = json!({ "workers": workers, "work_ms": work_ms, "noise": 0.05, "queue": 500 });
    // A little above capacity, a step is over before answers are much slower.
    let until = format!("p90 < {:.0}ms", work_ms * chance.between(2.0, 3.0) + 10.0);
    let mut arguments = set(&["step_s=10", "start_per_s=40"]);
    arguments.extend(["--max-rate", "400", "--until", &until].map(str::to_owned));
    ("fixed", settings, arguments)
}

fn set(settings: &[&str]) -> Vec<String> {
    settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of things")]
fn whole(value: f64) -> u32 {
    value.round() as u32
}

/// What a probe calls those who share a bucket.
fn scope(per: &Value) -> Value {
    if per == "all" { json!("global") } else { per.clone() }
}

/// The rounds that were sent, and count.
fn history(place: &Place, result: &Value) -> Vec<Value> {
    let id = result["probe"]["id"].as_str().unwrap_or_default();
    let path = place.path().join(".squall/probes").join(id).join("history.jsonl");
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let entries = lines.filter_map(|line| line.get("ended").cloned());
    entries.filter(|entry| entry["standing"] == "counts").collect()
}

/// Which share of bursts of a size was cold, as it was found, and as the service has counted: by what it started until the
/// end of each round and not before.
fn cold_share(answer: &Value, truth: &Value, history: &[Value], (size, when): (u32, &str)) -> Compared {
    let burst = if size == 1 { "one request".to_owned() } else { format!("burst of {size}") };
    let purpose = match when {
        "long" => format!("{burst}, when none is there"),
        _ => format!("{burst}, shortly after as many"),
    };
    let first_s = truth["started_at_s"].as_f64().unwrap_or(f64::NAN);
    let starts = truth["numbers"]["cold_start_s"].as_array().into_iter().flatten();
    let starts: Vec<f64> = starts.filter_map(|start_s| Some(first_s + start_s.as_f64()?)).collect();
    let (mut cold, mut sent, mut before_s) = (0.0, 0.0, 0.0);
    for entry in history {
        let ended_s = entry["ended_us"].as_f64().unwrap_or(f64::NAN) / 1e6;
        if entry["round"]["purpose"] == purpose.as_str() {
            cold += starts.iter().filter(|start_s| (before_s..ended_s).contains(*start_s)).count() as f64;
            sent += f64::from(size);
        }
        before_s = ended_s;
    }
    let points = answer["bursts"].as_array().into_iter().flatten();
    let found = points
        .filter(|point| point["size"] == size && point["when"] == when)
        .find_map(|point| point["cold_share"]["value"].as_f64());
    let truth = cold / sent;
    Compared {
        of: format!("cold of {size} {when}"),
        found: found.map_or_else(|| "–".to_owned(), |found| format!("{:.1} %", 100.0 * found)),
        truth: format!("{:.1} %", 100.0 * truth),
        error: found.map(|found| format!("{:+.1} points", 100.0 * (found - truth))),
        is_near: found.is_some_and(|found| (found - truth).abs() <= SHARE),
    }
}

impl Compared {
    fn near(of: &str, found: Option<f64>, truth: f64, share: f64) -> Self {
        let off = found.map(|found| found / truth - 1.0);
        Self {
            of: of.to_owned(),
            found: found.map_or_else(|| "–".to_owned(), |found| format!("{found:.2}")),
            truth: format!("{truth:.2}"),
            error: off.map(|off| format!("{:+.1} %", 100.0 * off)),
            is_near: off.is_some_and(|off| off.abs() <= share),
        }
    }

    fn same(of: &str, found: &Value, truth: &Value) -> Self {
        let word = |value: &Value| value.as_str().unwrap_or("–").to_owned();
        let is_near = truth.is_string() && found == truth;
        Self { of: of.to_owned(), found: word(found), truth: word(truth), error: None, is_near }
    }
}

impl Row {
    /// Whether all that was found is near enough to the truth.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.compared.iter().all(|compared| compared.is_near)
    }

    /// All that was said, for who looks for a mistake.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.told
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { question, seed, profile, .. } = &self.case;
        write!(f, "{} {seed}, {profile}", question.name())?;
        for Compared { of, found, truth, error, is_near } in &self.compared {
            write!(f, " | {of} {found}, true {truth}")?;
            error.iter().try_for_each(|error| write!(f, ", {error}"))?;
            if !is_near {
                write!(f, " WRONG")?;
            }
        }
        write!(f, " | {} requests, {:.0} s", self.requests, self.seconds)
    }
}
