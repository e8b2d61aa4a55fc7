//! Attempts that are repeated keep the service down: it does less than it did at the same load before, and does not
//! come back when load falls.

use super::episodes::{episodes, is_bad};
use crate::bins::Bin;
use crate::finding::{Confidence, Evidence, Finding, Kind};
use crate::stats::robust::{mean, median, quantile, ramp, ratio};
use crate::view::View;

pub(crate) fn find(view: &View<'_>) -> Option<Finding> {
    let episodes = episodes(view, |bin| is_bad(view, bin));
    let episode = episodes.into_iter().max_by(|one, other| one.length_s().total_cmp(&other.length_s()))?;
    let own = &view.bins[episode.bins.clone()];
    // What nobody has seen being served was not carried.
    let is_carried = |bin: &&Bin| !is_bad(view, bin) && bin.good >= 0.8 * bin.demand && bin.good > 0.0;
    let before: Vec<&Bin> = view.bins[..episode.bins.start].iter().filter(is_carried).collect();
    let carried_s: f64 = before.iter().map(|bin| bin.until_s - bin.from_s).sum();
    let carried = quantile(&before.iter().map(|bin| bin.demand).collect::<Vec<_>>(), 0.95)?;
    let most_good = quantile(&before.iter().map(|bin| bin.good).collect::<Vec<_>>(), 0.97)?;
    // What serves more later was not kept down, but too few.
    let third = (own.len() / 3).max(1);
    let of = |bins: &[Bin]| mean(&bins.iter().map(|bin| bin.good).collect::<Vec<_>>());
    let (first, last) = (of(&own[..third]), of(&own[own.len() - third..]));
    // Of next to nothing twice as much is next to nothing.
    let grows = ramp(ratio(last, first), 1.15, 1.5) * ramp(ratio(last - first, most_good), 0.05, 0.2);
    // Bad at a load that was carried before.
    let bad_again: Vec<&Bin> =
        own.iter().filter(|bin| bin.demand <= carried * 1.03 && bin.demand > 0.0).collect();
    let lasting_s: f64 = bad_again.iter().map(|bin| bin.until_s - bin.from_s).sum();
    let served = ratio(
        mean(&bad_again.iter().map(|bin| bin.good).collect::<Vec<_>>()),
        mean(&bad_again.iter().map(|bin| bin.demand).collect::<Vec<_>>()),
    );
    let worst = own.iter().map(|bin| bin.good).collect::<Vec<_>>();
    let collapse = ratio(median(&worst), most_good);
    let unserved = mean(&bad_again.iter().map(|bin| bin.unserved()).collect::<Vec<_>>());
    let score = 0.96
        * ramp(carried_s, 3.0, 10.0)
        * ramp(lasting_s, 5.0, 15.0)
        * ramp(served, 0.95, 0.7)
        * ramp(collapse, 0.95, 0.6)
        * ramp(unserved, 0.02, 0.15)
        * (1.0 - grows);
    if score < 0.1 {
        return None;
    }
    Some(Finding {
        kind: Kind::RetryStorm,
        confidence: Confidence::new(score),
        endpoints: Vec::new(),
        from_s: episode.from_s,
        until_s: episode.until_s,
        summary: format!(
            "After it was overloaded the service did not come back: for {lasting_s:.0} s it served {} of a load that it had carried before. Work that is done again and again keeps it down.",
            super::percent(served)
        ),
        evidence: Evidence::default()
            .with("carried_before_per_s", carried)
            .with("served_share_of_it_later", served)
            .with("lasting_s", lasting_s)
            .with("served_over_most", collapse)
            .with("unserved_share", unserved)
            .refuted_by("a number of attempts in the service that equals that of requests; or instances that were lost at that moment"),
        advice: "Bound retries (a budget of a tenth of requests, back-off with jitter), let them happen at one layer only, and open a circuit when most of them fail.".to_owned(),
    })
}
