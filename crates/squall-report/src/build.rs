//! From what was measured to a result.

use std::collections::BTreeMap;

use squall_metrics::{
    Distribution, GeneratorTotals, Health, LoadCounts, LoadId, Merged, SeriesId, Sparse, TelemetrySeries,
};
use squall_plan::schedule::Planned;
use squall_plan::{PlacedLoad, Plan, Share};

use crate::cost::Cost;
use crate::events::EventSample;
use crate::findings::findings;
use crate::measures::measures;
use crate::plan::PlanFacts;
use crate::result::{
    Annotation, Checks, Cleanup, Connections, Coverage, Endpoint, Generator, IterationsEnded, LoadCoverage,
    Percentiles, PhaseTimes, Quantiles, Region, Run, RunResult, SCHEMA_VERSION, SeatCoverage, TaintedBy,
    Threshold, Times, Totals,
};
use crate::slow::SlowRequest;
use crate::timeline;
use crate::untold::Untold;
use crate::verdict::{Ending, Findings, Measured, judge};

/// What is known of a run besides its measurements.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which run; `name` and `duration_s` are taken from the plan.
    pub run: Run,
    /// The plan as it was written; empty where it is not at hand.
    pub plan_text: String,
    /// How it ended.
    pub ending: Ending,
    /// The generators' seats.
    pub seats: SeatCoverage,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// Seats that nobody took, and why: others have made their part of the load, so no verdict hangs on them.
    pub absent: Vec<String>,
    /// Seats that were offered in vain without anybody missing them, and why: throttles of the fleet itself.
    pub throttled: Vec<String>,
    /// Requests that may have been sent at most and that nobody has reported.
    pub unknown_requests: Option<u64>,
    /// Who made the load.
    pub generators: Vec<GeneratorFacts>,
    /// What was asked for, and whether it held.
    pub thresholds: Vec<Threshold>,
    /// What the target's own instruments said.
    pub telemetry: Vec<TelemetrySeries>,
    /// What happened beside the test.
    pub annotations: Vec<Annotation>,
    /// What went wrong besides requests, in words.
    pub problems: Vec<String>,
    /// What it cost.
    pub cost: Cost,
    /// The regions in which load was made, if they are several.
    pub regions: Vec<RegionFacts>,
}

/// What is known of a region of several.
#[derive(Debug, Clone)]
pub struct RegionFacts {
    /// Its name.
    pub region: String,
    /// What was measured there.
    pub merged: Merged,
    /// What of the load was to be made there.
    pub shares: Vec<Share>,
    /// Its generators' seats.
    pub seats: SeatCoverage,
    /// What is missing of it, in words.
    pub missing: Vec<String>,
    /// Requests that may have been sent at most from there and that nobody has reported.
    pub unknown_requests: Option<u64>,
}

/// What is known of a generator besides its measurements.
#[derive(Debug, Clone)]
pub struct GeneratorFacts {
    /// Which slice.
    pub slice: Option<u32>,
    /// Which window of it.
    pub window: u32,
    /// Who.
    pub nonce: String,
    /// Where.
    pub region: String,
    /// The execution environment.
    pub environment: String,
    /// The address that its requests come from, if that is known.
    pub source_ip: Option<String>,
    /// How long its invitation had waited when it took it, if that is known.
    pub queued_ms: Option<f64>,
    /// How often its invitation was handed out until it took it, if that is known: once, unless an invocation was
    /// throttled or broke before.
    pub deliveries: Option<u32>,
    /// How long it took to start; zero where it was there already.
    pub init_ms: f64,
    /// From the run's begin to its readiness.
    pub ready_ms: f64,
    /// How much later than the epoch it began.
    pub start_skew_ms: Option<f64>,
    /// How many snapshots it wrote, if it said so at its end.
    pub snapshots: Option<u32>,
}

/// Makes the result of a run.
#[must_use]
pub fn build(plan: &Plan, merged: &Merged, facts: Facts) -> RunResult {
    let duration_s = plan.duration().as_secs_f64();
    let elapsed_s = elapsed_s(merged, duration_s);
    let rest = (facts.seats, facts.missing, facts.unknown_requests);
    let coverage = coverage(loads(plan, merged, &[Share::WHOLE]), rest);
    let totals = totals(merged, elapsed_s);
    let verdict = judge(&Findings {
        ending: &facts.ending,
        coverage: coverage.load.ratio,
        missing: &coverage.missing,
        all: Measured { requests: totals.requests, errors: totals.errors },
        untainted: untainted(merged, &totals),
        tainted_ratio: totals.tainted_ratio,
        thresholds: &facts.thresholds,
    });
    let missing = [coverage.missing, facts.absent].concat();
    let coverage = Coverage { missing, throttled: facts.throttled, ..coverage };
    let telemetry: Vec<crate::result::TelemetrySeries> =
        facts.telemetry.into_iter().map(Into::into).collect();
    let untold = Untold::of(merged, &facts.generators, duration_s);
    let mut run = facts.run;
    run.name.clone_from(&plan.name);
    run.duration_s = duration_s;
    let regions = regions(plan, facts.regions, elapsed_s).unwrap_or_else(|| {
        let region = run.regions.first().cloned().unwrap_or_default();
        vec![Region { region, totals: totals.clone(), coverage: coverage.clone() }]
    });
    RunResult {
        schema_version: SCHEMA_VERSION,
        squall_version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: PlanFacts::new(plan, facts.plan_text),
        verdict,
        outcomes: merged.outcomes().iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
        endpoints: endpoints(plan, merged, elapsed_s),
        measures: measures(plan, merged),
        regions,
        cleanup: cleanup(merged),
        thresholds: facts.thresholds,
        findings: findings(plan, merged, &telemetry),
        generators: facts
            .generators
            .into_iter()
            .map(|generator| self::generator(generator, merged))
            .collect(),
        remotes: merged.remotes().iter().map(|(address, count)| (address.to_string(), *count)).collect(),
        timeline: timeline::build(plan, merged, &untold),
        telemetry,
        annotations: facts.annotations,
        events: EventSample::of(plan, merged),
        cost: facts.cost,
        problems: problems(merged, facts.problems),
        run,
        coverage,
        totals,
    }
}

/// What was measured in each region; `None` where there is only one.
fn regions(plan: &Plan, regions: Vec<RegionFacts>, elapsed_s: f64) -> Option<Vec<Region>> {
    let region = |own: RegionFacts| Region {
        totals: totals(&own.merged, elapsed_s),
        coverage: coverage(
            loads(plan, &own.merged, &own.shares),
            (own.seats, own.missing, own.unknown_requests),
        ),
        region: own.region,
    };
    (!regions.is_empty()).then(|| regions.into_iter().map(region).collect())
}

fn coverage(
    loads: Vec<LoadCoverage>,
    (seats, missing, unknown_requests): (SeatCoverage, Vec<String>, Option<u64>),
) -> Coverage {
    Coverage { load: together(&loads), loads, seats, missing, throttled: Vec::new(), unknown_requests }
}

fn cleanup(merged: &Merged) -> Cleanup {
    let cleanup = merged.cleanup();
    let left = cleanup.left.iter().map(|(what, count)| match count {
        1 => what.clone(),
        count => format!("{what} ({count} times)"),
    });
    Cleanup { created: cleanup.created, undone: cleanup.undone, left: left.collect() }
}

/// How long load was made: from the epoch to the last second in which a request ended, within the plan's
/// duration. A run that was cut short has a rate, too.
fn elapsed_s(merged: &Merged, planned_s: f64) -> f64 {
    let last = merged
        .seconds()
        .iter()
        .rev()
        .find(|(_, second)| !second.series.is_empty())
        .map(|(second, _)| *second);
    last.map_or(planned_s, |second| f64::from(second.saturating_add(1)).clamp(1.0, planned_s.max(1.0)))
}

/// What became of these shares of each load.
fn loads(plan: &Plan, merged: &Merged, shares: &[Share]) -> Vec<LoadCoverage> {
    let ids = (0..=u16::MAX).map(LoadId);
    let counts = |id| merged.loads().get(&id).copied().unwrap_or_default();
    plan.loads.iter().zip(ids).map(|(placed, id)| load(placed, shares, &counts(id))).collect()
}

fn load(placed: &PlacedLoad, shares: &[Share], counts: &LoadCounts) -> LoadCoverage {
    let (mut unit, mut planned, mut started, mut dropped) = ("arrivals", 0.0, 0.0, 0.0);
    for share in shares {
        match placed.load.planned(*share) {
            Planned::Arrivals(arrivals) => {
                planned += arrivals as f64;
                (started, dropped) = (counts.arrivals.started as f64, counts.arrivals.dropped as f64);
            }
            Planned::UserMicros(us) => {
                planned += us as f64 / 1e6;
                (unit, started) = ("user_seconds", counts.user_us as f64 / 1e6);
            }
            Planned::Iterations(iterations) => {
                planned += iterations as f64;
                (unit, started) = ("iterations", counts.iterations as f64);
            }
        }
    }
    coverage_of(unit, planned, started, dropped)
}

/// All loads as one. Where they have no unit in common, each counts as one.
fn together(loads: &[LoadCoverage]) -> LoadCoverage {
    let sum = |of: fn(&LoadCoverage) -> f64| loads.iter().map(of).sum::<f64>();
    let unit = loads.first().map_or("arrivals", |first| &first.unit);
    if loads.iter().all(|load| load.unit == unit) {
        return coverage_of(
            unit,
            sum(|load| load.planned),
            sum(|load| load.started),
            sum(|load| load.dropped),
        );
    }
    let dropped = sum(|load| if load.planned > 0.0 { load.dropped / load.planned } else { 0.0 });
    coverage_of("loads", loads.len() as f64, sum(|load| load.ratio), dropped)
}

fn coverage_of(unit: &str, planned: f64, started: f64, dropped: f64) -> LoadCoverage {
    let unknown = (planned - started - dropped).max(0.0);
    let ratio = if planned > 0.0 { (started / planned).min(1.0) } else { 1.0 };
    LoadCoverage { unit: unit.to_owned(), planned, started, dropped, unknown, ratio }
}

/// What was measured while the generators were not the bottleneck.
fn untainted(merged: &Merged, totals: &Totals) -> Measured {
    let tainted = || merged.seconds().values().flat_map(|second| second.tainted.values());
    Measured {
        requests: totals.requests.saturating_sub(tainted().map(|series| series.requests).sum()),
        errors: totals.errors.saturating_sub(tainted().map(|series| series.errors).sum()),
    }
}

fn totals(merged: &Merged, elapsed_s: f64) -> Totals {
    let series = || merged.series().values();
    let sum = |of: fn(&squall_metrics::Series) -> u64| series().map(|series| of(&series.counts)).sum::<u64>();
    let (requests, errors) = (sum(|counts| counts.requests), sum(|counts| counts.errors));
    let mut response = Sparse::default();
    series().for_each(|series| response.merge(&series.response));
    let (mut lag, mut delay) = (Sparse::default(), Sparse::default());
    let (mut tainted, mut slice_seconds) = (0, 0);
    for generator in merged.generators().values() {
        lag.merge(&generator.send_lag);
        delay.merge(&generator.loop_delay);
        tainted += generator.health.tainted;
        slice_seconds += generator.health.slice_seconds;
    }
    let seconds = || merged.seconds().values().map(|second| second.iterations);
    Totals {
        requests,
        iterations: seconds().map(|iterations| iterations.started).sum(),
        iterations_ended: IterationsEnded {
            completed: seconds().map(|iterations| iterations.completed).sum(),
            failed: seconds().map(|iterations| iterations.failed).sum(),
            interrupted: seconds().map(|iterations| iterations.interrupted).sum(),
        },
        errors,
        error_rate: ratio(errors, requests),
        rps: requests as f64 / elapsed_s,
        bytes_sent: sum(|counts| counts.bytes_sent),
        bytes_received: sum(|counts| counts.bytes_received),
        checks: Checks {
            passed: sum(|counts| counts.checks_passed),
            failed: sum(|counts| counts.checks_failed),
        },
        tainted_ratio: ratio(tainted, slice_seconds),
        stale_retries: sum(|counts| counts.stale_retries),
        redirects: sum(|counts| counts.redirects),
        response_time_ms: times(&response),
        send_lag_ms: quantiles(&lag),
        loop_delay_ms: quantiles(&delay),
    }
}

fn endpoints(plan: &Plan, merged: &Merged, elapsed_s: f64) -> Vec<Endpoint> {
    let named = (0..=u16::MAX).map(SeriesId).zip(&plan.series);
    let measured = named.filter_map(|(id, name)| merged.series().get(&id).map(|totals| (id, name, totals)));
    let slowest = |id| merged.slowest().get(&id).into_iter().flatten().map(SlowRequest::of).collect();
    let endpoints = measured.map(|(id, name, totals)| Endpoint {
        name: name.endpoint.clone(),
        scenario: name.scenario.clone(),
        tags: name.tags.clone(),
        purpose: name.purpose.name().to_owned(),
        requests: totals.counts.requests,
        errors: totals.counts.errors,
        error_rate: ratio(totals.counts.errors, totals.counts.requests),
        rps: totals.counts.requests as f64 / elapsed_s,
        outcomes: totals
            .counts
            .outcomes
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), *count))
            .collect(),
        response_time_ms: times(&totals.response),
        service_time_ms: times(&totals.service),
        failed_time_ms: times(&totals.failed),
        phases_ms: phases(&totals.phases),
        stale_retries: totals.counts.stale_retries,
        redirects: totals.counts.redirects,
        connections: Connections {
            new: totals.counts.new_connections,
            reused: totals.counts.reused_connections,
            http2: totals.counts.http2,
        },
        slowest: slowest(id),
        histogram: Distribution::from(&totals.response).to_base64(),
    });
    endpoints.collect()
}

fn generator(facts: GeneratorFacts, merged: &Merged) -> Generator {
    let nothing = GeneratorTotals::default();
    let GeneratorTotals { send_lag, loop_delay, health, .. } =
        merged.generators().get(&facts.nonce).unwrap_or(&nothing);
    let of_time = |us: u64, health: &Health| (health.observed_us > 0).then(|| ratio(us, health.observed_us));
    let [by_lag, by_delay, by_theft] = health.tainted_by;
    Generator {
        slice: facts.slice,
        window: facts.window,
        nonce: facts.nonce,
        region: facts.region,
        environment: facts.environment,
        source_ip: facts.source_ip,
        queued_ms: facts.queued_ms,
        deliveries: facts.deliveries,
        init_ms: facts.init_ms,
        ready_ms: facts.ready_ms,
        start_skew_ms: facts.start_skew_ms,
        send_lag_ms: quantiles(send_lag),
        loop_delay_ms: quantiles(loop_delay),
        cpu_ratio: of_time(health.cpu_us, health),
        cpu_s: health.cpu_us as f64 / 1e6,
        stolen_ratio: of_time(health.stolen_us, health),
        connections: health.connections,
        memory_mb: health.memory_bytes as f64 / 1e6,
        tainted_s: health.tainted,
        tainted_by: TaintedBy { send_lag: by_lag, loop_delay: by_delay, stolen: by_theft },
    }
}

fn phases(phases: &[Sparse; 6]) -> PhaseTimes {
    let percentiles = |distribution: &Sparse| {
        let quantile = |quantile| distribution.quantile_us(quantile).map(ms);
        Percentiles { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) }
    };
    let [dns, connect, tls, send, first_byte, body] = phases.each_ref().map(percentiles);
    PhaseTimes { dns, connect, tls, send, first_byte, body }
}

fn problems(merged: &Merged, others: Vec<String>) -> BTreeMap<String, u64> {
    let mut problems = merged.problems().clone();
    for problem in others {
        *problems.entry(problem).or_default() += 1;
    }
    problems
}

pub(crate) fn times(durations: &Sparse) -> Times {
    let distribution = Distribution::from(durations);
    let quantile = |quantile| distribution.quantile_us(quantile).map(ms);
    Times {
        count: distribution.count(),
        min: distribution.min_us().map(ms),
        mean: distribution.mean_us().map(|us| us / 1_000.0),
        stddev: distribution.stddev_us().map(|us| us / 1_000.0),
        p50: quantile(0.5),
        p75: quantile(0.75),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
        max: distribution.max_us().map(ms),
    }
}

fn quantiles(distribution: &Sparse) -> Quantiles {
    let quantile = |quantile| distribution.quantile_us(quantile).map(ms);
    Quantiles { p50: quantile(0.5), p99: quantile(0.99), max: distribution.max_us().map(ms) }
}

pub(crate) fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
