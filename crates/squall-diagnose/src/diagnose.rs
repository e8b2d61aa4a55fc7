//! From what was observed to findings.

use crate::arbiter::{add, arbitrate};
use crate::causes;
use crate::finding::{Confidence, Finding};
use crate::observed::Observed;
use crate::rest::without;
use crate::view::View;

/// What a run shows: the causes that were found, surest first; or that nothing was found, or that too little was measured.
#[must_use]
pub fn diagnose(observed: &Observed) -> Vec<Finding> {
    let view = View::new(observed);
    if let Some(finding) = causes::not_enough_data::find(&view) {
        return vec![finding];
    }
    let mut kept = arbitrate(found(&view).collect());
    let sure = |finding: &&Finding| finding.confidence.share() >= Confidence::MEDIUM;
    for cause in kept.iter().filter(sure).cloned().collect::<Vec<_>>() {
        add(&mut kept, &cause, beside(observed, &cause));
    }
    if let Some(finding) = causes::healthy::find(&view, &kept) {
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
