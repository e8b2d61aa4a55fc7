//! Some requests waited for an instance to start.
//!
//! An instance that serves one request at a time is started for a request that finds all others busy. Such a request finds
//! all connections of its generator busy, too, and makes a new one; or it comes while more is under way than ever before.
//! So slow ones that belong to starts are told from a long tail by the occasion, and not only by how slow they are.

mod kinds;
mod requests;

use std::ops::Range;

use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::observed::Class;
use crate::signals::{Role, counted, weigh};
use crate::stats::robust::{mean, ramp, ratio};
use crate::view::View;
use requests::{Requests, Waited};

/// Where more than this share of slow ones used a connection again, they waited behind others.
const BEHIND_OTHERS: f64 = 0.07;

/// What waits for an instance that starts already waits for a part of that: starts differ less, as a logarithm.
const UNLIKE: f64 = 0.3;

/// By so much another way to tell slow ones must be surer than the likeliest one.
const MUCH_SURER: f64 = 0.15;

/// Where connections say nothing, so many more may have waited.
const MISSED: f64 = 0.2;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let requests = Requests::of(view)?;
    let (waited, score) = surest(view, &requests)?;
    let (begin_s, end_s) = view.span();
    let says = counted(&view.observed.signals, Role::Starts, begin_s, end_s);
    let score = weigh(score, says, 0.5, 0.4);
    if score < 0.1 {
        return None;
    }
    let Instances { count, interval } = instances(view, &requests, &waited);
    let is_start = |chance: &f64| *chance >= 0.5;
    let first = waited.by_tick.iter().position(is_start)?;
    let last = waited.by_tick.iter().rposition(is_start)?;
    let half = half_of_them(&waited.by_tick);
    let share = ratio(waited.count, requests.count());
    let room = ratio(waited.error, requests.count());
    let behind = match queue(&requests, &waited) {
        Queue::None => String::new(),
        _ => format!(
            ", some of them behind others: {:.0} to {:.0} instances started",
            interval.0.ceil(),
            interval.1
        ),
    };
    let knows = requests.knows_connections;
    let occasion = if knows {
        format!("{} of the connections that were made belong to them", super::percent(waited.matched))
    } else {
        "they came when more was under way than before".to_owned()
    };
    Some(Finding {
        kind: Kind::ColdStarts,
        confidence: Confidence::new(score),
        endpoints: view.names(&requests.endpoints),
        from_s: view.at(first),
        until_s: view.at(last + 1),
        summary: format!(
            "{:.0} of {:.0} requests ({}) waited for an instance to start and took about {} longer{behind}; {occasion}, and of all that came on no such occasion {:.0} were as slow.",
            waited.count,
            requests.count(),
            super::percent(share),
            super::time(waited.longer_us()),
            requests.alike(&waited)
        ),
        evidence: Evidence::default()
            .with_interval("count", count, interval)
            .with_interval("requests_that_waited", waited.count, waited.interval())
            .with_interval("share", share, ((share - room).max(0.0), share + room))
            .with_interval("added_latency_ms", waited.longer_us() / 1e3, waited.longer_interval_ms())
            .with("half_of_them_from_s", view.at(half.start))
            .with("half_of_them_until_s", view.at(half.end))
            .with("warm_ms", requests.usual_us() / 1e3)
            .with("slow_share_with_new_connection", if knows { waited.slow.fresh } else { f64::NAN })
            .with("slow_share_beyond_the_most_before", if knows { f64::NAN } else { waited.slow.fresh })
            .with("slow_share_while_concurrency_grew", waited.slow.grew)
            .with("slow_share_otherwise", waited.slow.level)
            .with("as_slow_at_level_load", requests.alike(&waited))
            .with("new_connections_matched", if knows { waited.matched } else { f64::NAN })
            .with("log_likelihood_of_the_occasion", waited.gain)
            .refuted_by("as many slow requests at a load that has been the same for minutes, or no start of an instance in the platform's log"),
        advice: "Keep instances warm (provisioned concurrency, a minimum of instances) for the load that must be fast, and make starting shorter: a smaller package, less done at start.".to_owned(),
    })
}

/// The shortest stretch in which half of them came.
fn half_of_them(by_tick: &[f64]) -> Range<usize> {
    let half = by_tick.iter().sum::<f64>() / 2.0;
    let (mut sum, mut begin, mut best) = (0.0, 0, 0..by_tick.len());
    for (tick, number) in by_tick.iter().enumerate() {
        sum += number;
        while begin < tick && sum - by_tick[begin] >= half {
            sum -= by_tick[begin];
            begin += 1;
        }
        if sum >= half && tick + 1 - begin < best.len() {
            best = begin..tick + 1;
        }
    }
    best
}

/// The likeliest way to tell who waited, unless another is much surer.
fn surest(view: &View<'_>, requests: &Requests<'_>) -> Option<(Waited, f64)> {
    let scored = requests.ways().into_iter().map(|waited| {
        let score = score(view, requests, &waited);
        (waited, score)
    });
    scored.reduce(|best, other| if other.1 > best.1 + MUCH_SURER { other } else { best })
}

fn score(view: &View<'_>, requests: &Requests<'_>, waited: &Waited) -> f64 {
    let (count, slow) = (waited.count, &waited.slow);
    let alike = requests.alike(waited);
    let otherwise = ratio(alike.max(0.5), requests.at_level());
    // No more instances start than requests were ever under way; a few may wait for each.
    let together = view.in_flight.iter().copied().fold(1.0, f64::max);
    // Either each waited for an instance of its own and hardly any other was slow, or those that came meanwhile waited, too.
    let on_its_own = ramp(ratio(slow.fresh, otherwise), 8.0, 16.0);
    // Behind an instance that starts wait those that come meanwhile; what goes on for longer is no start.
    let meanwhile = 1.0 + view.requests() / (view.len() as f64 * view.step_s) * waited.longer_us() / 1e6;
    let for_each = ratio(count, busy_at_most(view) * meanwhile);
    let behind_others = ramp(slow.grew, 0.06, 0.12)
        * ramp(ratio(waited.gain, count), 0.4, 0.8)
        * ramp(ratio(alike, count), 2.5, 1.3)
        * ramp(for_each, 24.0, 12.0);
    let behind = ramp(waited.reused, 0.1, 0.4);
    // Where requests queue, they do at connections that were made late. Instances are slow from the first on, unless some ran
    // before; what is quite apart cannot be a queue.
    let apart = ramp(waited.certain, 0.93, 0.98) * ramp(ratio(alike, count), 0.1, 0.02);
    let matched = ramp(waited.matched, 0.62, 0.88).max(apart * ramp(waited.matched, 0.3, 0.55));
    let occasion = if requests.knows_connections {
        ramp(slow.fresh, 0.15, 0.45)
            * matched
            * ramp(count * (1.0 - waited.reused), 1.2, 2.5)
            * ((1.0 - behind) * on_its_own + behind * behind_others)
    } else {
        // That more is under way is known at the end of a second only: some come on no occasion. Where times differ much, as
        // slow ones come at any time, but not as many.
        let (times, more) = requests.beyond(waited);
        let alone = ramp(times, 2.0, 4.0)
            * ramp(ratio(more, count), 0.25, 0.5)
            * ramp(count / together, 2.5, 1.6)
            * ramp(count, 2.0, 4.0);
        // Each starts for one that has none, so there are about as many as were ever under way; and slow ones that are
        // quite apart show that where some come at level load, too.
        let one_each = ramp(ratio(count, together), 0.5, 0.8)
            * ramp(ratio(count, together), 2.2, 1.6)
            * ramp(slow.fresh, 0.35, 0.6)
            * ramp(waited.certain, 0.9, 0.97)
            * ramp(waited.gain, 8.0, 15.0);
        alone.max(0.85 * one_each).max(0.8 * behind_others * ramp(ratio(alike, count), 0.8, 0.4))
    };
    let possible = ramp(count / together, 60.0, 40.0);
    // What takes the time may be the connection itself.
    let connecting = connecting_us(view);
    let served = if connecting > 0.0 { ramp(waited.longer_us() / connecting, 1.5, 4.0) } else { 1.0 };
    0.96 * occasion
        * possible
        * served
        * ramp(waited.gain, 4.0, 10.0)
        * ramp(waited.certain, 0.62, 0.74)
        * ramp(ratio(waited.longer_us(), requests.usual_us()), 0.15, 0.35)
        * ramp(ratio(waited.timed_out, count), 0.4, 0.1)
        * ramp(ratio(count, requests.count()), 0.3, 0.15)
}

/// How long it takes to make a connection, on average.
fn connecting_us(view: &View<'_>) -> f64 {
    let (sum, count) = view.bins.iter().fold((0.0, 0.0), |(sum, count), bin| {
        (sum + bin.connecting * bin.new_connections, count + bin.new_connections)
    });
    ratio(sum, count)
}

/// How many instances started.
struct Instances {
    count: f64,
    interval: (f64, f64),
}

/// From this share on of requests that made a connection, all that did not wait may as well be quick starts.
const NEARLY_ALL: f64 = 0.93;

/// Whether requests wait behind others at an instance that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// Each waits for an instance of its own.
    None,
    /// They waited for times as different as if they did.
    Likely,
    /// More waited than had a connection of their own.
    Seen,
}

fn queue(requests: &Requests<'_>, waited: &Waited) -> Queue {
    let beyond =
        requests.knows_connections && waited.count > (1.0 + BEHIND_OTHERS) * requests.connections + 1.0;
    let reused = waited.reused > BEHIND_OTHERS && waited.count * waited.reused > 2.0;
    // Times vary for what a request itself takes, too.
    let own = ratio(requests.usual_deviation_us(), waited.longer_us());
    // So many of them say how different they are only roughly.
    let surely = 1.0 - 1.0 / (2.0 * waited.count).sqrt();
    let unlike = surely * (waited.slow.deviation.powi(2) - own.powi(2)).max(0.0).sqrt();
    if beyond || reused {
        Queue::Seen
    } else if unlike > UNLIKE {
        Queue::Likely
    } else {
        Queue::None
    }
}

/// Where none waits behind others, as many as requests that waited with a connection of their own, if connections say
/// anything: what is slow on another one is a tail. Otherwise at least as many as were busy at a time, which
/// is what was served times what that takes when nobody waits (Little's law), and at most as many as requests waited with a
/// connection of their own.
fn instances(view: &View<'_>, requests: &Requests<'_>, waited: &Waited) -> Instances {
    let busy = busy_at_most(view);
    let quickest = view.response(0..view.len(), |_| true).quantile_us(0.01).unwrap_or(0) as f64;
    let least = busy * ratio(quickest, view.calm.p50);
    let most = if requests.knows_connections { requests.connections } else { waited.count };
    let most = waited.count.min(most).max(busy) * 1.05 + 1.0;
    let interval = (0.85 * least, most.max(waited.interval().1.min(requests.connections)));
    match queue(requests, waited) {
        Queue::None => {
            let counted = waited.count * (1.0 - waited.reused);
            // Some starts are as quick as usual requests, and some of those as slow as starts. Where nearly all that made a
            // connection waited, all of them did, unless some were turned away at once.
            let near = (requests.connections - counted).abs() <= waited.error;
            let served = requests.knows_connections && view.total(Class::Limited) < 1.0;
            let all = served && near && waited.slow.fresh >= NEARLY_ALL;
            let own = if all { requests.connections } else { counted };
            // Where connections say nothing some come on no occasion that is seen, and are taken for usual ones.
            let missed = if requests.knows_connections { 0.0 } else { MISSED * own };
            let most = (counted + waited.error + missed).max(waited.count).max(own);
            let interval = ((counted - waited.error).max(0.0), most);
            Instances { count: own, interval }
        }
        Queue::Likely => Instances { count: (busy * waited.count).sqrt().min(waited.count), interval },
        Queue::Seen => Instances { count: busy, interval },
    }
}

/// How many instances of which each serves one request at a time were busy at most, for some seconds (Little's law).
fn busy_at_most(view: &View<'_>) -> f64 {
    let served = view.good.windows(5).map(mean).fold(0.0, f64::max);
    (served * view.calm.p50 / 1e6).max(1.0)
}
