//! Which cause explains which symptom: of several findings the one that explains the others comes first, and what is only
//! its symptom is left out or believed less.

use crate::finding::{Confidence, Finding, Kind};
use crate::view::View;

/// Less sure findings say nothing.
const LEAST: f64 = 0.15;

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
    (Kind::RestartOrDeployment, Kind::Network, 0.5),
    (Kind::Network, Kind::ColdStarts, 0.4),
    (Kind::Network, Kind::SlowDependency, 0.4),
    (Kind::Network, Kind::RestartOrDeployment, 0.5),
    (Kind::WriteContention, Kind::SlowDependency, 0.3),
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
pub(crate) fn arbitrate(_view: &View<'_>, mut found: Vec<Finding>) -> Vec<Finding> {
    let rank = |kind: Kind| Kind::ALL.iter().position(|known| *known == kind);
    found.sort_by(|one, other| {
        let by_confidence = other.confidence.share().total_cmp(&one.confidence.share());
        by_confidence.then(rank(one.kind).cmp(&rank(other.kind)))
    });
    // From the surest down: whatever is believed takes from what it explains.
    for at in 0..found.len() {
        let cause = found[at].clone();
        for symptom in &mut found[at + 1..] {
            if let Some(left) = left_of(&cause, symptom) {
                symptom.confidence = Confidence::new(symptom.confidence.share() * left);
            }
        }
        found[at + 1..].sort_by(|one, other| other.confidence.share().total_cmp(&one.confidence.share()));
    }
    found.retain(|finding| finding.confidence.share() >= LEAST);
    found
}

/// How much of a symptom is left to believe beside a cause; all where they are not at the same time, and as much more as
/// the cause is less sure.
fn left_of(cause: &Finding, symptom: &Finding) -> Option<f64> {
    let (.., left) = EXPLAINS.iter().find(|(one, other, _)| *one == cause.kind && *other == symptom.kind)?;
    let apart = symptom.until_s < cause.from_s - 5.0 || symptom.from_s > cause.until_s + 30.0;
    (!apart).then(|| 1.0 - (1.0 - left) * cause.confidence.share())
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
