//! From what was observed to findings.

use crate::arbiter::arbitrate;
use crate::causes;
use crate::finding::Finding;
use crate::observed::Observed;
use crate::view::View;

/// What a run shows: the causes that were found, surest first; or that nothing was found, or that too little was measured.
#[must_use]
pub fn diagnose(observed: &Observed) -> Vec<Finding> {
    let view = View::new(observed);
    if let Some(finding) = causes::not_enough_data::find(&view) {
        return vec![finding];
    }
    let found: Vec<Finding> = causes::ALL.iter().filter_map(|find| find(&view)).collect();
    let mut kept = arbitrate(found);
    if let Some(finding) = causes::healthy::find(&view, &kept) {
        kept.insert(0, finding);
    }
    kept
}

#[cfg(test)]
mod tests;
