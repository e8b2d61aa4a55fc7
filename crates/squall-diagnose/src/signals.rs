//! What the target's own instruments say, as far as causes ask for it.

use crate::observed::Signal;

/// What an instrument measures, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Instances that serve.
    Replicas,
    /// How busy they are.
    Cpu,
    /// Requests that the platform turned away.
    Throttles,
    /// Instances that were started for a request, or how long that took.
    Inits,
    /// Instances that were started again.
    Restarts,
}

impl Role {
    /// Words that such an instrument's name has.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Replicas => {
                &["replica", "pods", "instances", "runningtask", "running_task", "concurrentexecutions"]
            }
            Self::Cpu => &["cpu"],
            Self::Throttles => &["throttle", "rate_limited", "limited"],
            Self::Inits => &["cold", "init"],
            Self::Restarts => &["restart"],
        }
    }
}

/// The points of the first instrument in a role, in order of time and without values that are none.
pub(crate) fn points(signals: &[Signal], role: Role) -> Option<Vec<(f64, f64)>> {
    signals.iter().find_map(|signal| {
        let name = signal.name.to_lowercase();
        let fits = role.words().iter().any(|word| name.contains(word));
        let mut points: Vec<(f64, f64)> =
            signal.points.iter().copied().filter(|(t, value)| t.is_finite() && value.is_finite()).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        points.dedup_by(|next, kept| next.0 <= kept.0);
        (fits && points.len() > 1).then_some(points)
    })
}

/// When such a value first grew by more than a twentieth, from one instant on.
pub(crate) fn first_growth(points: &[(f64, f64)], from_s: f64) -> Option<f64> {
    let before = points.iter().rfind(|(t, _)| *t <= from_s).or(points.first())?.1;
    points.iter().find(|(t, value)| *t > from_s && *value > before * 1.05 + 0.5).map(|(t, _)| *t)
}

/// The lowest and the highest value within a stretch.
pub(crate) fn range(points: &[(f64, f64)], from_s: f64, until_s: f64) -> Option<(f64, f64)> {
    let within = points.iter().filter(|(t, _)| (from_s..=until_s).contains(t)).map(|(_, value)| *value);
    within.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_out_of_order_twice_and_without_a_value_are_put_right() {
        let points_of =
            vec![(9.0, 4.0), (3.0, 2.0), (3.0, 2.0), (5.0, f64::NAN), (0.0, 2.0), (f64::NAN, 1.0)];
        let signal = Signal { name: "kube_pods_ready".to_owned(), points: points_of, ..Signal::default() };
        let points = points(&[signal], Role::Replicas).unwrap();
        assert_eq!(points, [(0.0, 2.0), (3.0, 2.0), (9.0, 4.0)]);
        assert_eq!(first_growth(&points, 1.0), Some(9.0));
        assert_eq!(range(&points, 1.0, 9.0), Some((2.0, 4.0)));
        assert_eq!(range(&points, 10.0, 12.0), None);
    }
}
