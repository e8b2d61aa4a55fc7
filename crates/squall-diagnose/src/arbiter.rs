//! Which cause explains which symptom: of several findings the one that explains the others comes first, and what is only
//! its symptom is left out or believed less.

use crate::finding::{Confidence, Finding, Kind};

/// Less sure findings say nothing.
const LEAST: f64 = 0.15;

/// What is found beside a cause is at most so much as sure.
const BESIDE: f64 = 0.98;

/// A cause, what looks like its symptom, and how much of that is left to believe.
const EXPLAINS: &[(Kind, Kind, f64)] = &[
    // Who does not measure well finds everything.
    (Kind::GeneratorSaturated, Kind::AutoscalingLag, 0.4),
    (Kind::GeneratorSaturated, Kind::HardCapacityLimit, 0.3),
    (Kind::GeneratorSaturated, Kind::SlowDependency, 0.3),
    (Kind::GeneratorSaturated, Kind::ColdStarts, 0.5),
    (Kind::GeneratorSaturated, Kind::SteadyDegradation, 0.4),
    (Kind::GeneratorSaturated, Kind::WarmUp, 0.4),
    (Kind::GeneratorSaturated, Kind::RetryStorm, 0.5),
    // A service that does not come back has a limit, too, but that is not why.
    (Kind::RetryStorm, Kind::HardCapacityLimit, 0.3),
    (Kind::RetryStorm, Kind::AutoscalingLag, 0.3),
    (Kind::RetryStorm, Kind::RestartOrDeployment, 0.3),
    (Kind::RetryStorm, Kind::SlowDependency, 0.3),
    (Kind::RetryStorm, Kind::ColdStarts, 0.3),
    (Kind::RetryStorm, Kind::SteadyDegradation, 0.3),
    (Kind::RetryStorm, Kind::WriteContention, 0.3),
    // Capacity that follows is no hard limit, and while it is short all else looks slow.
    (Kind::AutoscalingLag, Kind::HardCapacityLimit, 0.3),
    (Kind::AutoscalingLag, Kind::SlowDependency, 0.3),
    (Kind::AutoscalingLag, Kind::ColdStarts, 0.3),
    (Kind::AutoscalingLag, Kind::WarmUp, 0.4),
    (Kind::AutoscalingLag, Kind::RestartOrDeployment, 0.4),
    (Kind::AutoscalingLag, Kind::SteadyDegradation, 0.4),
    (Kind::HardCapacityLimit, Kind::SlowDependency, 0.3),
    (Kind::HardCapacityLimit, Kind::ColdStarts, 0.3),
    (Kind::HardCapacityLimit, Kind::RestartOrDeployment, 0.4),
    (Kind::HardCapacityLimit, Kind::SteadyDegradation, 0.4),
    (Kind::HardCapacityLimit, Kind::WriteContention, 0.5),
    (Kind::ConnectionLimit, Kind::HardCapacityLimit, 0.3),
    (Kind::ConnectionLimit, Kind::RestartOrDeployment, 0.3),
    (Kind::ConnectionLimit, Kind::AutoscalingLag, 0.3),
    (Kind::ConnectionLimit, Kind::RetryStorm, 0.3),
    // Instances that go away leave fewer: a dip of capacity, slow requests, and cold ones after it.
    (Kind::RestartOrDeployment, Kind::AutoscalingLag, 0.4),
    (Kind::RestartOrDeployment, Kind::SlowDependency, 0.3),
    (Kind::RestartOrDeployment, Kind::ColdStarts, 0.4),
    (Kind::Network, Kind::ColdStarts, 0.4),
    (Kind::Network, Kind::WriteContention, 0.3),
    (Kind::Network, Kind::HardCapacityLimit, 0.4),
    (Kind::Network, Kind::AutoscalingLag, 0.4),
    (Kind::Network, Kind::SlowDependency, 0.3),
    (Kind::Network, Kind::RestartOrDeployment, 0.3),
    (Kind::WriteContention, Kind::SlowDependency, 0.3),
    (Kind::WriteContention, Kind::ColdStarts, 0.3),
    (Kind::WriteContention, Kind::SteadyDegradation, 0.4),
    (Kind::ColdStarts, Kind::SlowDependency, 0.4),
    (Kind::ColdStarts, Kind::WarmUp, 0.4),
    (Kind::WarmUp, Kind::SlowDependency, 0.4),
    (Kind::WarmUp, Kind::ColdStarts, 0.4),
    (Kind::SteadyDegradation, Kind::SlowDependency, 0.4),
    (Kind::SlowDependency, Kind::ColdStarts, 0.4),
    (Kind::RateLimited, Kind::ConcurrencyThrottled, 0.5),
    (Kind::ConcurrencyThrottled, Kind::RateLimited, 0.5),
];

/// The findings that are left, surest first.
pub(crate) fn arbitrate(mut found: Vec<Finding>) -> Vec<Finding> {
    for (cause, symptom, left) in EXPLAINS {
        let place = |kind: &Kind| found.iter().position(|finding| finding.kind == *kind);
        if let (Some(one), Some(other)) = (place(cause), place(symptom))
            && is_explained(&found[one], &found[other])
        {
            // What is known with high confidence explains all that it can.
            let less = 1.0 - (1.0 - left) * (found[one].confidence.share() / Confidence::HIGH).min(1.0);
            found[other].confidence = Confidence::new(found[other].confidence.share() * less);
        }
    }
    sort(&mut found);
    found.retain(|finding| finding.confidence.share() >= LEAST);
    found
}

/// Adds what was found when a cause was taken out: it is no symptom of that cause, and no surer than it.
pub(crate) fn add(kept: &mut Vec<Finding>, cause: &Finding, beside: Vec<Finding>) {
    for mut finding in beside {
        let most = BESIDE * cause.confidence.share();
        finding.confidence = Confidence::new(finding.confidence.share().min(most));
        if finding.confidence.share() < Confidence::MEDIUM {
            continue;
        }
        match kept.iter_mut().find(|known| known.kind == finding.kind) {
            Some(known) if known.confidence >= finding.confidence => {}
            Some(known) => *known = finding,
            None => kept.push(finding),
        }
    }
    sort(kept);
}

/// Surest first.
pub(crate) fn sort(found: &mut [Finding]) {
    let rank = |kind: Kind| Kind::ALL.iter().position(|known| *known == kind);
    found.sort_by(|one, other| {
        let by_confidence = other.confidence.share().total_cmp(&one.confidence.share());
        by_confidence.then(rank(one.kind).cmp(&rank(other.kind)))
    });
}

/// Whether a cause is sure enough to explain a symptom, and at the same time. Of two that explain each other the surer one
/// does.
fn is_explained(cause: &Finding, symptom: &Finding) -> bool {
    let (sure, doubted) = (cause.confidence.share(), symptom.confidence.share());
    let mutual = EXPLAINS.iter().any(|(one, other, _)| *one == symptom.kind && *other == cause.kind);
    // Capacity that follows later was not there at the beginning either.
    let begins =
        symptom.kind == Kind::WarmUp && [Kind::AutoscalingLag, Kind::ColdStarts].contains(&cause.kind);
    let apart = !begins && (symptom.until_s < cause.from_s - 5.0 || symptom.from_s > cause.until_s + 30.0);
    let enough = if mutual { sure >= doubted } else { sure >= Confidence::MEDIUM || sure >= doubted };
    enough && !apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_explains_itself_and_every_pair_stands_once() {
        for (place, (cause, symptom, left)) in EXPLAINS.iter().enumerate() {
            assert_ne!(cause, symptom);
            assert!((0.0..1.0).contains(left));
            let again = EXPLAINS[..place].iter().any(|(one, other, _)| one == cause && other == symptom);
            assert!(!again, "{cause:?} explains {symptom:?} twice");
        }
    }
}
