//! What `result.json` holds. Names are kept from version to version; more may be added.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::events::EventSample;
use crate::measures::Measures;
use crate::plan::PlanFacts;
use crate::slow::SlowRequest;
use crate::timeline::Timeline;
use crate::verdict::Verdict;

/// The version of this form.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of a run. `*_ms` are milliseconds, rates and ratios fractions of 1, `t_s` seconds since the
/// epoch (negative while users were made ready before it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// The version of this form.
    pub schema_version: u32,
    /// The version of Squall that wrote it.
    pub squall_version: String,
    /// Which run.
    pub run: Run,
    /// What was asked for.
    #[serde(default)]
    pub plan: PlanFacts,
    /// What it came to.
    pub verdict: Verdict,
    /// How much of what was planned was done.
    pub coverage: Coverage,
    /// All requests together.
    pub totals: Totals,
    /// How many requests ended in which way.
    pub outcomes: BTreeMap<String, u64>,
    /// The requests of each name.
    pub endpoints: Vec<Endpoint>,
    /// What was measured besides requests.
    #[serde(default)]
    pub measures: Measures,
    /// The same by region.
    pub regions: Vec<Region>,
    /// What requests with `cleanup` made, and what was undone.
    pub cleanup: Cleanup,
    /// What was asked for, and whether it held.
    pub thresholds: Vec<Threshold>,
    /// Named causes: objects with `kind`, `confidence`, `endpoints`, `from_s`, `until_s`, `summary`, `evidence` and `advice`.
    pub findings: Vec<serde_json::Value>,
    /// Who made the load.
    pub generators: Vec<Generator>,
    /// Requests by the address they went to; `0.0.0.0` stands for those beyond the first 64 addresses.
    pub remotes: BTreeMap<String, u64>,
    /// What happened when.
    pub timeline: Timeline,
    /// What the target's own instruments said.
    pub telemetry: Vec<TelemetrySeries>,
    /// What happened beside the test.
    pub annotations: Vec<Annotation>,
    /// What is kept of single requests, in `events.jsonl`.
    #[serde(default)]
    pub events: EventSample,
    /// What it cost. A local run costs nothing.
    pub cost: Cost,
    /// What went wrong, in words, and how often.
    pub problems: BTreeMap<String, u64>,
}

/// What was asked for, and whether it held.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that readers look for by name")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// As the plan writes it.
    pub expression: String,
    /// `ms`, `ratio`, `count`, `per_second`, or `own` for metrics of the plan's own.
    pub unit: String,
    /// What the metric is compared with, in that unit.
    pub limit: f64,
    /// What the metric came to; of stretches the first that failed, else the last. Null without data.
    pub value: Option<f64>,
    /// Whether it is at least that, for dropped arrivals count as infinite.
    #[serde(default)]
    pub at_least: bool,
    /// Whether it held. Without data it did not.
    pub passed: bool,
    /// The end of the first stretch in which it did not hold.
    pub first_failed_at_s: Option<f64>,
    /// How long the stretches are in each of which it must hold; null where it is judged in the whole.
    #[serde(default)]
    pub over_s: Option<u32>,
    /// What comes before does not count.
    #[serde(default)]
    pub after_s: f64,
    /// Whether it may end the run.
    #[serde(default)]
    pub abort: bool,
    /// Stretches that had enough samples; the whole is one.
    #[serde(default)]
    pub stretches: u32,
    /// Those in which it did not hold.
    #[serde(default)]
    pub failed_stretches: u32,
    /// Whether that is another without the seconds in which generators were the bottleneck.
    #[serde(default)]
    pub hangs_on_tainted: bool,
}

/// Something that happened beside the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Annotation {
    /// When.
    pub t_s: f64,
    /// What.
    pub text: String,
}

/// What one of the target's own instruments said over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetrySeries {
    /// Who was asked.
    pub source: String,
    /// What was measured.
    pub name: String,
    /// In what; may be empty.
    pub unit: String,
    /// Seconds since the epoch, and the value from then on.
    pub points: Vec<(f64, f64)>,
}

impl From<squall_metrics::TelemetrySeries> for TelemetrySeries {
    fn from(series: squall_metrics::TelemetrySeries) -> Self {
        let squall_metrics::TelemetrySeries { source, name, unit, points } = series;
        Self { source, name, unit, points }
    }
}

impl RunResult {
    /// The addresses that requests came from, as far as generators know theirs.
    #[must_use]
    pub fn source_addresses(&self) -> BTreeSet<&str> {
        let made_load = self.generators.iter().filter(|generator| generator.slice.is_some());
        made_load.filter_map(|generator| generator.source_ip.as_deref()).collect()
    }
}

/// Which run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Unlike any other's.
    pub id: String,
    /// The plan's name.
    pub name: String,
    /// What all randomness was derived from, in hexadecimal.
    pub seed: String,
    /// When it began, as RFC 3339.
    pub started_at: String,
    /// When the load began, as RFC 3339; empty if it never did.
    pub epoch: String,
    /// How long the load was planned to last.
    pub duration_s: f64,
    /// `local` or `aws`.
    pub backend: String,
    /// Where the generators ran.
    pub regions: Vec<String>,
    /// The hash of the plan and its inputs.
    pub plan_sha256: String,
}

/// How much of what was planned was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// All loads together.
    pub load: LoadCoverage,
    /// Each load of the plan, in its order.
    pub loads: Vec<LoadCoverage>,
    /// The generators' seats.
    pub seats: SeatCoverage,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// Seats that were offered in vain without anybody missing them, in words: throttles of the fleet itself, each with
    /// its reason and what mends it.
    #[serde(default)]
    pub throttled: Vec<String>,
    /// Requests that may have been sent at most and that nobody has reported, where generators were lost; none where so
    /// little was told that nobody knows.
    #[serde(default = "none_is_unknown")]
    pub unknown_requests: Option<u64>,
}

/// What a result says that is older than the count: nothing was missing.
#[expect(clippy::unnecessary_wraps, reason = "what serde asks for")]
fn none_is_unknown() -> Option<u64> {
    Some(0)
}

/// Arrivals (open model) or user-seconds (closed model).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadCoverage {
    /// `arrivals` (open model), `user_seconds` or `iterations` (closed model); `loads` where they differ, of which
    /// each then counts as one.
    pub unit: String,
    /// What the plan asks for.
    pub planned: f64,
    /// What was begun.
    pub started: f64,
    /// Arrivals for which no user was free.
    pub dropped: f64,
    /// Neither begun nor dropped, as far as is known.
    pub unknown: f64,
    /// Begun over planned.
    pub ratio: f64,
}

/// The generators' seats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeatCoverage {
    /// Invitations sent.
    pub invited: u32,
    /// Taken in time.
    pub ready: u32,
    /// Given a slice.
    pub assigned: u32,
    /// Taken, but not needed.
    pub spare: u32,
    /// Given a slice, and not heard to the end.
    pub lost: u32,
    /// Times that somebody else went on with a slice because its generator was lost.
    pub replaced: u32,
    /// Times that a slice was handed over at the end of a window.
    #[serde(default)]
    pub handed_over: u32,
    /// Taken too late.
    pub late: u32,
    /// Taken again.
    pub duplicate: u32,
}

/// All requests together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Requests that ended, the unfinished included.
    pub requests: u64,
    /// Iterations begun.
    pub iterations: u64,
    /// Iterations by how they ended.
    pub iterations_ended: IterationsEnded,
    /// Requests that failed.
    pub errors: u64,
    /// Errors over requests.
    pub error_rate: f64,
    /// Requests per second of load.
    pub rps: f64,
    /// Bytes written, above TLS.
    pub bytes_sent: u64,
    /// Bytes read, above TLS.
    pub bytes_received: u64,
    /// Expectations.
    pub checks: Checks,
    /// Share of the slice-seconds in which the generators were the bottleneck.
    pub tainted_ratio: f64,
    /// Attempts repeated because the server had closed an idle connection.
    pub stale_retries: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Response times of all requests together, as in an endpoint.
    pub response_time_ms: Times,
    /// How late the generators began requests, without what the plan made them wait for.
    pub send_lag_ms: Quantiles,
    /// How long the generators' tasks had to wait when they wanted to run.
    pub loop_delay_ms: Quantiles,
}

/// Iterations by how they ended; together they are those begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IterationsEnded {
    /// By themselves.
    pub completed: u64,
    /// By a failure.
    pub failed: u64,
    /// Cut off.
    pub interrupted: u64,
}

/// Expectations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// That held.
    pub passed: u64,
    /// That did not.
    pub failed: u64,
}

/// The requests of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// The name.
    pub name: String,
    /// Whose requests.
    pub scenario: String,
    /// Their tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What for: `journey`, or `before`, `after`, `setup`, `teardown`, `cleanup`.
    #[serde(default)]
    pub purpose: String,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Errors over requests.
    pub error_rate: f64,
    /// Requests per second of load.
    pub rps: f64,
    /// How many ended in which way.
    pub outcomes: BTreeMap<String, u64>,
    /// From the scheduled start to the last byte: successes and timeouts.
    pub response_time_ms: Times,
    /// From the actual start to the last byte, of the same requests.
    pub service_time_ms: Times,
    /// From the scheduled start: every failure but timeouts and unfinished requests.
    pub failed_time_ms: Times,
    /// What the service time of all requests is made of.
    pub phases_ms: PhaseTimes,
    /// Attempts repeated because the server had closed an idle connection.
    pub stale_retries: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Connections.
    pub connections: Connections,
    /// The slowest, slowest first; failures are among them, unfinished requests are not.
    #[serde(default)]
    pub slowest: Vec<SlowRequest>,
    /// `response_time_ms` as HdrHistogram V2 deflate in base64, in microseconds.
    pub histogram: String,
}

/// Connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Requests over one made for them.
    pub new: u64,
    /// Requests over one used before.
    pub reused: u64,
    /// Requests over one that speaks HTTP/2.
    pub http2: u64,
}

/// How long the phases of requests took, to two digits. A phase that did not happen has no times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTimes {
    /// Looking the name up.
    pub dns: Percentiles,
    /// Making the connection.
    pub connect: Percentiles,
    /// The TLS handshake.
    pub tls: Percentiles,
    /// Writing the request. Over HTTP/2 it is a part of `first_byte`.
    pub send: Percentiles,
    /// From the last byte of the request to the first of the response; over HTTP/2 to its head.
    pub first_byte: Percentiles,
    /// From there to the last byte.
    pub body: Percentiles,
}

/// The percentiles of a phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: Option<f64>,
    /// 95 % are at most this.
    pub p95: Option<f64>,
    /// 99 % are at most this.
    pub p99: Option<f64>,
}

/// A distribution of times. Without samples all but `count` are null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation.
    pub stddev: Option<f64>,
    /// Half are at most this.
    pub p50: Option<f64>,
    /// 75 % are at most this.
    pub p75: Option<f64>,
    /// 90 % are at most this.
    pub p90: Option<f64>,
    /// 95 % are at most this.
    pub p95: Option<f64>,
    /// 99 % are at most this.
    pub p99: Option<f64>,
    /// 99.9 % are at most this.
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// The few quantiles of a distribution that is not judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Half are at most this.
    pub p50: Option<f64>,
    /// 99 % are at most this.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Its name; `local` for this machine.
    pub region: String,
    /// Its requests.
    pub totals: Totals,
    /// What was done of what was planned for it.
    pub coverage: Coverage,
}

/// What write-heavy plans made and undid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cleanup {
    /// Made.
    pub created: u64,
    /// Undone.
    pub undone: u64,
    /// What was left over, as method and path of what would have undone it. At most 100 are told apart.
    pub left: Vec<String>,
}

/// Who made load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Which slice; null for a spare.
    pub slice: Option<u32>,
    /// Which window of a long test.
    pub window: u32,
    /// Who.
    pub nonce: String,
    /// Where.
    pub region: String,
    /// The execution environment.
    pub environment: String,
    /// The address it sends from; null where it is not known.
    pub source_ip: Option<String>,
    /// How long its invitation had waited in the queue when it took it; null where that is not known.
    #[serde(default)]
    pub queued_ms: Option<f64>,
    /// How often its invitation was handed out until it took it: once, unless an invocation was throttled or broke
    /// before; null where that is not known.
    #[serde(default)]
    pub deliveries: Option<u32>,
    /// How long it took to start; zero where its environment was there already.
    pub init_ms: f64,
    /// From the run's begin to its readiness.
    pub ready_ms: f64,
    /// How much later than the epoch it began.
    pub start_skew_ms: Option<f64>,
    /// How late it began its requests.
    pub send_lag_ms: Quantiles,
    /// How long its tasks had to wait when they wanted to run.
    pub loop_delay_ms: Quantiles,
    /// Processor time used over what there was; null if it never ran.
    pub cpu_ratio: Option<f64>,
    /// Processor time used, in seconds.
    #[serde(default)]
    pub cpu_s: f64,
    /// Processor time that the machine gave to others over what there was.
    pub stolen_ratio: Option<f64>,
    /// The most connections that were open at the end of a second.
    pub connections: u64,
    /// The most memory of its process.
    pub memory_mb: f64,
    /// Seconds in which it was the bottleneck; of each of its processors.
    pub tainted_s: u64,
    /// Why: seconds in which it began requests too late, in which its tasks had to wait, and in which processor time
    /// was stolen.
    pub tainted_by: TaintedBy,
}

/// Seconds in which a generator was the bottleneck, by the sign of it; one second may show several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaintedBy {
    /// Requests were begun too late.
    pub send_lag: u64,
    /// Tasks that wanted to run had to wait.
    pub loop_delay: u64,
    /// The machine gave processor time to others.
    pub stolen: u64,
}
