//! From what was observed to findings.

use crate::arbiter::{add, arbitrate, sort};
use crate::causes;
use crate::finding::{Confidence, Finding, Kind};
use crate::observed::Observed;
use crate::rest::{without, without_failing};
use crate::view::View;

/// What a run shows: the causes that were found, surest first; or that nothing was found, or that too little was measured.
#[must_use]
pub fn diagnose(observed: &Observed) -> Vec<Finding> {
    let view = View::new(observed);
    if let Some(finding) = causes::not_enough_data::find(&view) {
        return vec![finding];
    }
    let Some((finding, failing)) = causes::unexplained_failures::find(&view) else {
        return causes_of(observed, &view);
    };
    // What fails at any load says nothing of what load does, and whoever fails is not well.
    let rest = without_failing(observed, &failing);
    let view = View::new(&rest);
    let is_enough = causes::not_enough_data::find(&view).is_none();
    let mut kept = if is_enough { causes_of(&rest, &view) } else { Vec::new() };
    kept.retain(|finding| finding.kind != Kind::Healthy);
    kept.push(finding);
    sort(&mut kept);
    kept
}

fn causes_of(observed: &Observed, view: &View<'_>) -> Vec<Finding> {
    let mut kept = arbitrate(found(view).collect());
    let sure = |finding: &&Finding| finding.confidence.share() >= Confidence::MEDIUM;
    for cause in kept.iter().filter(sure).cloned().collect::<Vec<_>>() {
        add(&mut kept, &cause, beside(observed, &cause));
    }
    if let Some(finding) = causes::healthy::find(view, &kept) {
        kept.insert(0, finding);
    }
    kept
}

fn found(view: &View<'_>) -> impl Iterator<Item = Finding> {
    causes::ALL.iter().filter_map(|find| find(view))
}

/// What is found when a cause is taken out of the run.
fn beside(observed: &Observed, cause: &Finding) -> Vec<Finding> {
    let Some((rest, apart)) = without(observed, cause) else { return Vec::new() };
    let view = View::new(&rest);
    if causes::not_enough_data::find(&view).is_some() {
        return Vec::new();
    }
    arbitrate(found(&view).filter(|finding| apart.contains(&finding.kind)).collect())
}

#[cfg(test)]
mod tests;
