//! Throughput does not grow beyond a limit, however much is asked for.

use super::episodes::{is_bad, is_unserved};
use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::signals::{Role, became_more, in_role, weigh};
use crate::stats::bootstrap::interval;
use crate::stats::hinge::{Hinge, hinge};
use crate::stats::robust::{deviation, mean, median, quantile, ramp, ratio};
use crate::stats::usl::scalability;
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let open = view.is_open();
    let asked = |bin: &Bin| if open { bin.demand } else { bin.users.max(bin.in_flight) };
    let points: Vec<(f64, f64)> = view.bins.iter().map(|bin| (asked(bin), bin.good)).collect();
    let fit = hinge(&points);
    // At the limit: bad, and more asked for than served, or more under way for no more throughput.
    let bad: Vec<&Bin> = view.bins.iter().filter(|bin| is_bad(view, bin)).collect();
    let last = *bad.last()?;
    let good = |bins: &[&Bin]| -> Vec<f64> { bins.iter().map(|bin| bin.good).collect() };
    let ceiling = median(&good(&bad));
    // What is bad before any more is asked for is not so for the limit.
    let early = bad.iter().position(|bin| bin.demand >= ceiling * 0.93).unwrap_or(0);
    let at_limit = &bad[early..];
    let first = *at_limit.first()?;
    let served = good(at_limit);
    let ceiling = median(&served);
    let seen_s: f64 = at_limit.iter().map(|bin| bin.until_s - bin.from_s).sum();
    let knee = knee(view, &served, fit.as_ref());
    let evenness = ramp(ratio(deviation(&served), ceiling), 0.35, 0.12);
    // What is asked for must have exceeded what was served, and what was served must have followed it until then.
    let asked_most = quantile(&at_limit.iter().map(|bin| asked(bin)).collect::<Vec<_>>(), 0.9).unwrap_or(0.0);
    let beyond = if open {
        ramp(excess(at_limit), 1.03, 1.12)
    } else {
        fit.map_or(0.0, |fit| ramp(ratio(fit.after, fit.before), 0.5, 0.2))
    };
    let below: Vec<&Bin> = view.bins.iter().filter(|bin| !is_bad(view, bin) && bin.demand > 0.0).collect();
    let most_before = quantile(&below.iter().map(|bin| bin.good).collect::<Vec<_>>(), 0.98).unwrap_or(0.0);
    let followed = if below.is_empty() { 0.3 } else { ramp(ratio(most_before, ceiling), 0.35, 0.6) };
    // Had it served more at another time, the limit would not be one.
    let exceeded = ramp(ratio(most_before, ceiling), 1.6, 1.2);
    // Bad while no more is asked for than the limit is no limit.
    let within = bad.iter().filter(|bin| bin.demand < ceiling * 0.93).count() as f64 / bad.len() as f64;
    let ordered = ramp(within, 0.6, 0.25);
    let recovered_under_load = below
        .iter()
        .filter(|bin| {
            bin.from_s > first.from_s && asked(bin) > if open { ceiling * 1.08 } else { f64::INFINITY }
        })
        .count() as f64;
    let holds = ramp(ratio(recovered_under_load, at_limit.len() as f64), 0.3, 0.05);
    let score = 0.96 * evenness * beyond * followed * exceeded * ordered * holds * ramp(seen_s, 4.0, 15.0);
    // As many instances as ever, or processors that cannot do more, make it surer. Instances that become more do not refute
    // it: the limit may be what they share.
    let signals = &view.observed.signals;
    let as_many = -became_more(signals, first.from_s, last.until_s).min(0.0);
    let busy = busy(view, first.from_s, last.until_s);
    let score =
        weigh(weigh(score, as_many.max(at_most(view, first.from_s, last.until_s)), 0.3, 1.0), busy, 0.3, 1.0);
    if score < 0.1 {
        return None;
    }
    let law_points: Vec<(f64, f64)> =
        view.bins.iter().map(|bin| (bin.in_flight.max(bin.users), bin.good)).collect();
    let law = scalability(&law_points);
    let unavailable = view.total(Class::Unavailable) + view.total(Class::Server);
    let mut evidence = Evidence::default()
        .with_interval("knee_per_s", knee.0, knee.1)
        .with("asked_for_per_s", asked_most)
        .with("errors_5xx", unavailable)
        .with("timeouts", view.total(Class::Timeout))
        .with("seconds_at_the_limit", seen_s);
    if busy > 0.0 {
        evidence = evidence.with("processors_at_their_most", busy);
    }
    if let Some(fit) = fit {
        evidence = evidence
            .with("fit_slope_before", fit.before)
            .with("fit_slope_after", fit.after)
            .with("fit_explained", fit.explained);
    }
    if let Some(law) = law {
        evidence = evidence
            .with("usl_contention", law.contention)
            .with("usl_coherency", law.coherency)
            .with("usl_explained", law.explained);
        if let Some(peak) = law.peak() {
            evidence = evidence.with("usl_peak_at_a_time", peak);
        }
    }
    let unserved = at_limit.iter().any(|bin| is_unserved(bin));
    let how = if unserved { "the rest failed" } else { "the rest waited" };
    Some(Finding {
        kind: Kind::HardCapacityLimit,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: first.from_s,
        until_s: last.until_s,
        summary: format!(
            "No more than about {:.0} requests a second succeed, however many are asked for; {how}, and capacity did not follow.",
            knee.0
        ),
        evidence: evidence.refuted_by("throughput that grows after some minutes at the same load (then it scales, but late), or another limit when clients are others"),
        advice: "Keep load below nine tenths of the knee, shed the rest early, and find what is used up there: processors, threads, a pool of connections.".to_owned(),
    })
}

/// How many times as much is asked for as is served, as is usual there: over five bins at a time, for arrivals vary.
fn excess(at_limit: &[&Bin]) -> f64 {
    let wide = at_limit.len().clamp(1, 5);
    let of = |bins: &[&Bin], value: fn(&Bin) -> f64| bins.iter().map(|bin| value(bin)).sum::<f64>();
    let ratios =
        at_limit.windows(wide).map(|bins| ratio(of(bins, |bin| bin.demand), of(bins, |bin| bin.good)));
    median(&ratios.collect::<Vec<_>>())
}

/// What is served at the limit, and the interval that holds it with 90 %.
fn knee(view: &View<'_>, served: &[f64], fit: Option<&Hinge>) -> (f64, (f64, f64)) {
    let level = median(served);
    let ends = interval(served, 3, |served| Some(median(served))).unwrap_or((level * 0.8, level * 1.2));
    // What is turned away costs something, too: the interval of chance alone would promise too much.
    let ends = (ends.0 * 0.98, ends.1 * 1.02);
    let fitted = fit.filter(|fit| fit.explained > 0.8 && fit.after.abs() < 0.3 * fit.before);
    match fitted {
        Some(fit) if view.is_open() && ratio((fit.level - level).abs(), level) < 0.1 => {
            (mean(&[fit.level, level]), (ends.0.min(fit.level), ends.1.max(fit.level)))
        }
        _ => (level, ends),
    }
}

/// From 0 to 1, how much processors did all that they ever did throughout a stretch, and less at other times.
fn busy(view: &View<'_>, from_s: f64, until_s: f64) -> f64 {
    let all = in_role(&view.observed.signals, Role::Cpu);
    let of = all.iter().filter_map(|series| {
        // What is averaged over a minute comes to its height late.
        let late_s = 60.0_f64.min((until_s - from_s) / 2.0);
        let (_, most) = series.range(f64::NEG_INFINITY, f64::INFINITY)?;
        let (least_there, _) = series.range(from_s + late_s, until_s)?;
        let (least, _) = series.range(f64::NEG_INFINITY, from_s)?;
        let even = ramp(ratio(least_there, most), 0.7, 0.88) * ramp(ratio(least, most), 0.9, 0.7);
        Some(series.covers(from_s + late_s, until_s) * even)
    });
    of.fold(0.0, f64::max)
}

/// From 0 to 1, how much there were as many instances as may be throughout a stretch.
fn at_most(view: &View<'_>, from_s: f64, until_s: f64) -> f64 {
    let signals = &view.observed.signals;
    let most = in_role(signals, Role::MostReplicas);
    let most = most.iter().filter_map(|series| Some(series.range(from_s, until_s)?.1)).reduce(f64::min);
    let fewest = in_role(signals, Role::Replicas);
    let fewest = fewest
        .iter()
        .filter_map(|series| Some((series.range(from_s, until_s)?.0, series.covers(from_s, until_s))));
    let Some(most) = most else { return 0.0 };
    fewest.filter(|(fewest, _)| *fewest >= most).map(|(_, covered)| covered).fold(0.0, f64::max)
}
