//! Writes become slower with load, reads do not.

use crate::bins::{Bin, EndpointBin};
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{median, quantile, ramp, ratio};
use crate::stats::trend::trend;
use crate::view::View;

/// Which of an endpoint's times is looked at.
type Time = fn(&EndpointBin) -> f64;

/// Fewer answers in a bin have no median.
const LEAST: f64 = 4.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let writes = |index: &usize| view.observed.endpoints[*index].writes;
    let (writing, reading): (Vec<usize>, Vec<usize>) = view.counted().partition(writes);
    if writing.is_empty() || reading.is_empty() {
        return None;
    }
    // Where they meet now and then only the slowest wait; where they always do, all.
    let usual: Time = |part| part.p50;
    let slowest: Time = |part| part.p95;
    let (usual_writes, slowest_writes) = (times(view, &writing, usual), times(view, &writing, slowest));
    let is_usual = growth(&usual_writes)? >= growth(&slowest_writes)?;
    let writes = if is_usual { usual_writes } else { slowest_writes };
    let reads = if is_usual { times(view, &reading, usual) } else { times(view, &reading, slowest) };
    let (slow_writes, slow_reads) = (growth(&writes)?, growth(&reads)?);
    let points: Vec<(f64, f64)> = writes.iter().map(|(demand, time)| (*demand, time.ln())).collect();
    let with_load = trend(&points).map_or(0.0, |trend| trend.tau);
    let apart = ratio(slow_writes.max(1.0).ln(), slow_reads.max(1.001).ln());
    let score = 0.95 * ramp(slow_writes, 1.25, 1.7) * ramp(apart, 1.7, 3.5) * ramp(with_load, 0.15, 0.45);
    if score < 0.1 {
        return None;
    }
    let (from_s, until_s) = {
        let base = quantile(&writes.iter().map(|(_, time)| *time).collect::<Vec<_>>(), 0.1)?;
        let slow = |bin: &&Bin| {
            time_of(bin, &writing, if is_usual { usual } else { slowest })
                .is_some_and(|time| time > 1.25 * base)
        };
        let mut slow = view.bins.iter().filter(slow);
        let first = slow.next()?;
        (first.from_s, slow.next_back().unwrap_or(first).until_s)
    };
    Some(Finding {
        kind: Kind::WriteContention,
        confidence: Confidence::new(score),
        endpoints: view.names(&writing),
        from_s,
        until_s,
        summary: format!(
            "Writes became {slow_writes:.1} times slower with load while reads became {slow_reads:.1} times slower: they wait for each other, not for processors."
        ),
        evidence: Evidence::default()
            .with("writes_slower", slow_writes)
            .with("reads_slower", slow_reads)
            .with("writes_follow_load", with_load)
            .refuted_by("reads that become as slow at the same load, or writes that are as slow alone"),
        advice:
            "Look for locks and hot rows; make transactions shorter, batch writes or put a queue before them."
                .to_owned(),
    })
}

/// Load and the median time by bin.
fn times(view: &View<'_>, which: &[usize], time: Time) -> Vec<(f64, f64)> {
    view.bins.iter().filter_map(|bin| Some((bin.demand, time_of(bin, which, time)?))).collect()
}

fn time_of(bin: &Bin, which: &[usize], time: Time) -> Option<f64> {
    let known =
        which.iter().filter_map(|index| bin.endpoints.get(*index)).filter(|part| part.answered >= LEAST);
    let (sum, count) = known
        .fold((0.0, 0.0), |(sum, count), part| (sum + time(part) * part.answered, count + part.answered));
    (count > 0.0 && sum > 0.0).then(|| sum / count)
}

/// How many times slower it is in the fifth with the most load than in the fifth with the least.
fn growth(points: &[(f64, f64)]) -> Option<f64> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let fifth = (sorted.len() / 5).max(2);
    if sorted.len() < 8 {
        return None;
    }
    let level = |points: &[(f64, f64)]| median(&points.iter().map(|point| point.1).collect::<Vec<_>>());
    Some(ratio(level(&sorted[sorted.len() - fifth..]), level(&sorted[..fifth])))
}
