//! What became of a round, out of what its run has measured.

use std::collections::BTreeMap;

use squall_fleet::RunRecord;
use squall_metrics::{MeasureId, Merged, Outcome, Second as Measured, Sparse};
use squall_plan::{MeasureKind, Plan};
use squall_probe::{Load, Observed, Round, Second};

use super::subject::{CACHED, GOOD_MS, LIMITED_MS, RETRY_AFTER_DATE, RETRY_AFTER_S, Subject};

/// With a larger share of requests that were measured while the generators were the bottleneck, they set the pace.
const MOST_TAINTED: f64 = 0.05;

/// All requests of a burst are due at once, and begun one after the other; later than this is late.
const BURST_LAG_US: u64 = 250_000;

/// A clock that is far off may tell of a second that is far off.
const MOST_SECONDS: usize = 7_200;

/// Of whole numbers that a histogram has made a little larger.
const NEARLY: f64 = 0.01;

/// What became of a round, before which nothing had been sent for so long.
pub(super) fn observed(
    subject: &Subject,
    round: &Round,
    (plan, record): (&Plan, &RunRecord),
    (idle_s, addresses): (f64, u32),
) -> Observed {
    let merged = &record.merged;
    let seconds = seconds(subject, (round, plan.most_users()), merged);
    let outcomes = merged.outcomes();
    let own = outcomes.get(&Outcome::Generator).copied().unwrap_or(0);
    let (good_us, limited_us) = match subject {
        Subject::Url(_) => {
            (times(measured(plan, merged, GOOD_MS)), times(measured(plan, merged, LIMITED_MS)))
        }
        Subject::Plan(_) => (times(Some(&after(merged, round.warm_s))), Vec::new()),
    };
    let mut lags = Sparse::default();
    merged.generators().values().for_each(|generator| lags.merge(&generator.send_lag));
    let cpu_us: u64 = merged.generators().values().map(|generator| generator.health.cpu_us).sum();
    let is_failure = |outcome: &Outcome| {
        let status = outcome.status();
        *outcome != Outcome::Generator
            && status.is_none_or(|status| status >= 400 && !subject.limited().contains(&status))
    };
    let failures = outcomes.iter().filter(|(outcome, count)| is_failure(outcome) && **count > 0);
    Observed {
        idle_s,
        seconds,
        good_us,
        limited_us,
        retry_after_s: seconds_of(measured(plan, merged, RETRY_AFTER_S)),
        retry_after_dates: counted(plan, merged, RETRY_AFTER_DATE),
        lag_us: times(Some(&lags)),
        failures: failures.map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
        addresses,
        cpu_s: cpu_us as f64 / 1e6,
        tainted: is_tainted(round, merged) || own > 0,
    }
}

/// How many answers a cache has given.
pub(super) fn cached(plan: &Plan, merged: &Merged) -> u64 {
    counted(plan, merged, CACHED)
}

fn counted(plan: &Plan, merged: &Merged, name: &str) -> u64 {
    measured(plan, merged, name).map_or(0, Sparse::count)
}

/// How many requests ended in which way.
pub(super) fn outcomes(merged: &Merged) -> BTreeMap<String, u64> {
    merged.outcomes().iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect()
}

fn measured<'a>(plan: &Plan, merged: &'a Merged, name: &str) -> Option<&'a Sparse> {
    let is_it = |measure: &squall_plan::Measure| measure.kind == MeasureKind::Metric && measure.name == name;
    let index = u16::try_from(plan.measures.iter().position(is_it)?).ok()?;
    merged.measures().get(&MeasureId(index))
}

/// Response times of what ended once the load was warm.
fn after(merged: &Merged, warm_s: f64) -> Sparse {
    let mut all = Sparse::default();
    let warm = merged.seconds().iter().filter(|(second, _)| f64::from(**second) >= warm_s);
    let series = warm.flat_map(|(_, second)| second.series.values());
    series.for_each(|series| all.merge(&series.response));
    all
}

/// How long after the epoch the last request had ended, in microseconds: about, for only its second is known.
pub(super) fn ended_us(round: &Round, merged: &Merged) -> u64 {
    let busy = merged.seconds().iter().filter(|(_, second)| !second.series.is_empty());
    let last = busy.map(|(second, _)| u64::try_from(*second).unwrap_or(0) + 1).max().unwrap_or(0);
    let longest =
        merged.series().values().flat_map(|totals| [totals.response.max_us(), totals.failed.max_us()]);
    let longest = longest.flatten().max().unwrap_or(0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations of rounds fit by far"
    )]
    let sent = (round.lasts_s().max(0.0) * 1e6) as u64;
    (last * 1_000_000).min(sent.saturating_add(longest))
}

/// Milliseconds in thousandths are microseconds.
fn times(values: Option<&Sparse>) -> Vec<(u64, u64)> {
    values.map(|values| values.buckets().collect()).unwrap_or_default()
}

/// Whole seconds, which servers name, are whole again.
fn seconds_of(values: Option<&Sparse>) -> Vec<(f64, u64)> {
    let mut all: Vec<(f64, u64)> = Vec::new();
    for (thousandths, count) in times(values) {
        let value = thousandths as f64 / 1_000.0;
        let whole = value.round();
        let value = if (value - whole).abs() <= whole * NEARLY { whole } else { value };
        match all.last_mut() {
            Some((last, sum)) if last.total_cmp(&value).is_eq() => *sum += count,
            _ => all.push((value, count)),
        }
    }
    all
}

/// Each second of the load. What ended before the epoch belongs to its first.
fn seconds(subject: &Subject, (round, users): (&Round, u64), merged: &Merged) -> Vec<Second> {
    let mut seconds: Vec<Second> = Vec::new();
    for (&at, measured) in merged.seconds() {
        let at = usize::try_from(at).unwrap_or(0);
        if at >= MOST_SECONDS {
            break;
        }
        if seconds.len() <= at {
            seconds.resize(at + 1, Second::default());
        }
        let second = match subject {
            Subject::Url(asked) => of_requests(measured, &asked.limited),
            Subject::Plan(_) => of_iterations(measured),
        };
        if let Some(own) = seconds.get_mut(at) {
            add(own, second);
        }
    }
    match round.load {
        Load::Rate { .. } => {}
        Load::Burst { requests } => {
            seconds.resize(seconds.len().max(1), Second::default());
            if let Some(first) = seconds.first_mut() {
                first.scheduled = u64::from(requests);
                first.dropped += u64::from(requests).saturating_sub(users);
            }
        }
        // Users send as soon as they can: whatever has ended was due about then.
        Load::Users { .. } => {
            for second in &mut seconds {
                second.scheduled = second.good + second.limited + second.unavailable + second.failed;
            }
        }
    }
    seconds
}

fn add(sum: &mut Second, more: Second) {
    sum.scheduled += more.scheduled;
    sum.dropped += more.dropped;
    sum.good += more.good;
    sum.limited += more.limited;
    sum.unavailable += more.unavailable;
    sum.failed += more.failed;
}

fn of_requests(measured: &Measured, limited: &[u16]) -> Second {
    let arrivals = measured.arrivals;
    let mut second = Second { scheduled: arrivals.scheduled, dropped: arrivals.dropped, ..Second::default() };
    for (outcome, count) in measured.series.values().flat_map(|series| &series.outcomes) {
        match outcome {
            // They never left the generator.
            Outcome::Generator => second.dropped += count,
            Outcome::Status(status) if limited.contains(status) => second.limited += count,
            Outcome::Status(502..=504) => second.unavailable += count,
            Outcome::Status(status) if *status < 400 => second.good += count,
            _ => second.failed += count,
        }
    }
    second
}

/// What a plan's users do counts by the iteration, as its rate does.
fn of_iterations(measured: &Measured) -> Second {
    let by = |is: fn(&Outcome) -> bool| -> u64 {
        let outcomes = measured.series.values().flat_map(|series| &series.outcomes);
        outcomes.filter(|(outcome, _)| is(outcome)).map(|(_, count)| count).sum()
    };
    let failed = measured.iterations.failed + measured.iterations.interrupted;
    let limited = by(|outcome| *outcome == Outcome::Status(429)).min(failed);
    let unavailable = by(|outcome| matches!(outcome, Outcome::Status(502..=504))).min(failed - limited);
    Second {
        scheduled: measured.arrivals.scheduled,
        dropped: measured.arrivals.dropped,
        good: measured.iterations.completed,
        limited,
        unavailable,
        failed: failed - limited - unavailable,
    }
}

/// Whether the generators set the pace. That requests of a burst are begun one after the other is in its nature.
fn is_tainted(round: &Round, merged: &Merged) -> bool {
    if matches!(round.load, Load::Burst { .. }) {
        let lags = merged.generators().values().filter_map(|own| own.send_lag.quantile_us(0.99));
        return lags.max().is_some_and(|lag_us| lag_us > BURST_LAG_US);
    }
    let seconds = || merged.seconds().values();
    let requests: u64 =
        seconds().flat_map(|second| second.series.values()).map(|series| series.requests).sum();
    let tainted: u64 =
        seconds().flat_map(|second| second.tainted.values()).map(|series| series.requests).sum();
    tainted as f64 > requests as f64 * MOST_TAINTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_of_retry_after_are_whole() {
        let values = Sparse::new(
            squall_metrics::Scale::Coarse,
            [(1_003_u64, 2_u64), (17_100, 3), (17_023, 1), (17_500, 1)],
        );
        let named: Vec<f64> = seconds_of(Some(&values)).into_iter().map(|(value, _)| value).collect();
        assert_eq!(&named[..2], &[1.0, 17.0]);
        assert!(named.len() == 3 && (17.4..17.7).contains(&named[2]), "{named:?}");
    }
}
