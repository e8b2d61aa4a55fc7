//! Writes become slower with load, reads do not.

use squall_metrics::Sparse;

use crate::bins::{Bin, EndpointBin};
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{quantile, ramp, ratio};
use crate::stats::trend::trend;
use crate::view::View;

/// Which of an endpoint's times is looked at.
type Time = fn(&EndpointBin) -> f64;

/// The usual request, and slower ones.
const QUANTILES: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

/// Fewer slow writes are chance.
const LEAST_BEYOND: f64 = 8.0;

/// Fewer answers in a bin have no median.
const LEAST: f64 = 4.0;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let writes = |index: &usize| view.observed.endpoints[*index].writes;
    let (writing, reading): (Vec<usize>, Vec<usize>) = view.counted().partition(writes);
    if writing.is_empty() || reading.is_empty() {
        return None;
    }
    // Where they meet now and then only the slowest wait; where they always do, all.
    let (apart, at, slow_writes, slow_reads) = QUANTILES
        .iter()
        .filter_map(|quantile| apart(view, &writing, &reading, *quantile))
        .max_by(|one, other| one.0.total_cmp(&other.0))?;
    let time: Time = if at > 0.85 { |part| part.p95 } else { |part| part.p50 };
    let writes = times(view, &writing, time);
    let points: Vec<(f64, f64)> = writes.iter().map(|(demand, time)| (*demand, time.ln())).collect();
    let with_load = trend(&points).map_or(0.0, |trend| trend.tau);
    let score = 0.95 * apart * ramp(with_load, 0.15, 0.45);
    if score < 0.1 {
        return None;
    }
    let (from_s, until_s) = {
        let base = quantile(&writes.iter().map(|(_, time)| *time).collect::<Vec<_>>(), 0.1)?;
        let slow = |bin: &&Bin| time_of(bin, &writing, time).is_some_and(|time| time > 1.25 * base);
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

/// How much it looks as if writes were slower for being writes, from 0 to 1, at a quantile; that quantile, and how many
/// times slower writes and reads become. A single kind of reads that is as slow says that it is not for the writing; and
/// what only some requests call may show in reads a little further out.
fn apart(
    view: &View<'_>,
    writing: &[usize],
    reading: &[usize],
    quantile: f64,
) -> Option<(f64, f64, f64, f64)> {
    let further = 1.0 - 0.6 * (1.0 - quantile);
    let writes = by_load(view, writing, quantile)?;
    let slow_writes = writes.growth();
    if writes.beyond < LEAST_BEYOND {
        return None;
    }
    // Reads that are slow at any load are so for another reason, and writes may be, too.
    let slower = |reads: ByLoad| {
        let levels = reads.levels.into_iter();
        ratio(levels.clone().fold(0.0, f64::max), levels.fold(f64::INFINITY, f64::min))
    };
    let reads = reading.iter().filter_map(|index| by_load(view, &[*index], further));
    let slow_reads = reads.map(slower).reduce(f64::max)?;
    let apart = ratio(slow_writes.max(1.0).ln(), slow_reads.max(1.001).ln());
    // Nor are they slowest where there is less load.
    let highest = writes.levels.into_iter().fold(0.0, f64::max);
    let with_load = ramp(ratio(writes.levels[4], highest), 0.6, 0.85);
    Some((
        ramp(slow_writes, 1.25, 1.6) * ramp(apart, 1.7, 3.5) * with_load,
        quantile,
        slow_writes,
        slow_reads,
    ))
}

/// How long requests take by load.
struct ByLoad {
    /// In each fifth of the run, the least load first.
    levels: [f64; 5],
    /// How many take longer where there is most load.
    beyond: f64,
}

impl ByLoad {
    fn growth(&self) -> f64 {
        ratio(self.levels[4], self.levels[0])
    }
}

/// How long the requests of some endpoints take in each fifth of the run by load, the least load first; all requests of a
/// fifth are taken together, for of few requests the slowest are chance.
fn by_load(view: &View<'_>, which: &[usize], quantile: f64) -> Option<ByLoad> {
    let known = view.bins.iter().filter(|bin| time_of(bin, which, |part| part.p50).is_some());
    let mut sorted: Vec<&Bin> = known.collect();
    sorted.sort_by(|one, other| one.demand.total_cmp(&other.demand));
    if sorted.len() < 8 {
        return None;
    }
    let fifth = (sorted.len() / 5).max(2);
    let part = |part: usize| {
        let from = (part * (sorted.len() - fifth)) / 4;
        let mut all = Sparse::default();
        for bin in &sorted[from..from + fifth] {
            all.merge(&view.response(bin.ticks.clone(), |index| which.contains(&index)));
        }
        all
    };
    let parts = [part(0), part(1), part(2), part(3), part(4)];
    let beyond = parts[4].count() as f64 * (1.0 - quantile);
    Some(ByLoad { levels: parts.map(|part| part.quantile_us(quantile).unwrap_or(0) as f64), beyond })
}
