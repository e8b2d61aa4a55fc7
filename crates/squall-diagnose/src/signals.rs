//! What the target's own instruments say, as far as causes ask for it.
//!
//! An instrument is known by the words in its name. What it says confirms a cause or contradicts it, and weighs as much as it
//! has been said of the stretch that is asked about: instruments that were silent then say nothing, neither for nor against.

use crate::observed::Signal;
use crate::stats::robust::{median, ramp};

/// What an instrument measures, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Instances, whether they serve already or not.
    Replicas,
    /// Instances that serve.
    Ready,
    /// The most instances that may be.
    MostReplicas,
    /// How busy they are.
    Cpu,
    /// Which share of a host's processors others took.
    Stolen,
    /// Requests that the platform turned away.
    Throttles,
    /// Requests that a function works on.
    Concurrency,
    /// Instances that were started for a request, or how long that took.
    Starts,
    /// Instances that were started again.
    Restarts,
    /// How long it takes what the target calls.
    Dependency,
}

impl Role {
    fn fits(self, words: &[String]) -> bool {
        let has =
            |begins: &[&str]| words.iter().any(|word| begins.iter().any(|begin| word.starts_with(begin)));
        let is_any = |whole: &[&str]| words.iter().any(|word| whole.contains(&word.as_str()));
        let instances =
            has(&["replica", "pods", "instances"]) || has(&["tasks"]) && has(&["running", "ready"]);
        let limit =
            is_any(&["most", "max", "maximum", "least", "min", "minimum", "limit", "limits", "quota"]);
        let other = is_any(&["wanted", "want", "not", "pending", "cpu", "memory"])
            || has(&["desire", "unhealthy", "unready", "restart"]);
        match self {
            Self::Replicas => instances && !limit && !other || Self::Ready.fits(words),
            Self::Ready => {
                let ready = has(&["ready"]) && has(&["replica", "pod", "instance", "task"]);
                let running = has(&["running"]) && has(&["task"]) || has(&["healthy"]) && has(&["host"]);
                (ready || running) && !limit && !other
            }
            Self::MostReplicas => {
                has(&["replica", "pods", "instances"]) && is_any(&["most", "max", "maximum"])
            }
            Self::Cpu => {
                has(&["cpu", "processor"])
                    && !has(&["throttle", "steal", "limit", "request", "total", "periods"])
            }
            Self::Stolen => has(&["steal", "stolen"]),
            Self::Throttles => has(&["throttle"]) && !has(&["cpu", "cfs", "processor"]),
            Self::Concurrency => has(&["concurrency"]) || has(&["concurrent"]) && has(&["execution"]),
            Self::Starts => has(&["cold", "init"]),
            Self::Restarts => has(&["restart"]),
            Self::Dependency => {
                has(&["dependency", "dependencies", "downstream"])
                    && !has(&["total", "count", "calls", "errors", "request", "cpu"])
            }
        }
    }
}

/// The words of a name, small, without labels and without whose it is: `kube_pods_ready`, `pods ready`, `PodsReady` and
/// `shop: pods ready` are the same.
fn words(name: &str) -> Vec<String> {
    let name = name.split('{').next().unwrap_or("");
    let name = name.rsplit(": ").next().unwrap_or(name);
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        let breaks = !letter.is_alphanumeric() || letter.is_uppercase() && was_small;
        was_small = letter.is_lowercase();
        if breaks {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What one instrument said, in order of time and without values that are none: two values at least.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series(Vec<(f64, f64)>);

/// What was longer ago is forgotten.
const RECENT_S: f64 = 60.0;

/// A value that grew: after the first instant, and by the second at the latest.
pub(crate) type Growth = (f64, f64);

/// The instruments in a role that said anything.
pub(crate) fn in_role(signals: &[Signal], role: Role) -> Vec<Series> {
    let fitting = signals.iter().filter(|signal| role.fits(&words(&signal.name)));
    fitting.filter_map(|signal| Series::of(&signal.points)).collect()
}

impl Series {
    fn of(points: &[(f64, f64)]) -> Option<Self> {
        let is_one = |(t, value): &(f64, f64)| t.is_finite() && value.is_finite();
        let mut points: Vec<(f64, f64)> = points.iter().copied().filter(is_one).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        points.dedup_by(|next, kept| next.0 <= kept.0);
        (points.len() > 1).then_some(Self(points))
    }

    pub(crate) fn points(&self) -> &[(f64, f64)] {
        &self.0
    }

    fn within(&self, from_s: f64, until_s: f64) -> impl DoubleEndedIterator<Item = (f64, f64)> {
        self.0.iter().copied().filter(move |(t, _)| (from_s..=until_s).contains(t))
    }

    /// How far apart the values usually are.
    pub(crate) fn apart_s(&self) -> f64 {
        median(&self.0.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<Vec<_>>())
    }

    /// From 0 to 1, of how much of a stretch anything was said: a value holds for a while, which is two and a half times what
    /// is usual between two values, and no more than that of a minute.
    pub(crate) fn covers(&self, from_s: f64, until_s: f64) -> f64 {
        let holds_s = 2.5 * self.apart_s().clamp(1.0, 60.0);
        let next = self.0.iter().skip(1).map(|point| point.0).chain([f64::INFINITY]);
        let known = self.0.iter().zip(next).map(|((t, _), next)| {
            let (begin, end) = (t.max(from_s), next.min(t + holds_s).min(until_s));
            (end - begin).max(0.0)
        });
        let share = known.sum::<f64>() / (until_s - from_s).max(1e-9);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The lowest and the highest value within a stretch.
    pub(crate) fn range(&self, from_s: f64, until_s: f64) -> Option<(f64, f64)> {
        self.within(from_s, until_s).fold(None, |range, (_, value)| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
        })
    }

    /// Whenever the value grew by more than a twentieth within a stretch, each time beyond the most before: what goes away and
    /// comes back has not grown.
    pub(crate) fn growths(&self, from_s: f64, until_s: f64) -> Vec<Growth> {
        let begin = self.0.iter().rposition(|(t, _)| *t <= from_s).unwrap_or(0);
        let (mut before, mut found) = (self.0[begin], Vec::new());
        let recent = self.range(before.0 - RECENT_S, before.0);
        let mut level = recent.map_or(before.1, |(_, most)| most);
        for &(t, value) in self.0[begin..].iter().skip(1).take_while(|(t, _)| *t <= until_s) {
            if value > level * 1.05 + 0.5 {
                found.push((before.0, t));
            }
            level = level.max(value);
            before = (t, value);
        }
        found
    }

    /// Whether what it counts happened within a stretch: a count that grew, or a rate that is more than nothing.
    pub(crate) fn happened(&self, from_s: f64, until_s: f64) -> bool {
        let is_count = self.0.windows(2).all(|pair| pair[1].1 >= pair[0].1);
        let Some((low, high)) = self.range(from_s, until_s) else { return false };
        if is_count { high > low } else { high > 0.0 }
    }
}

/// What instances did in a stretch, as instruments say it: 1 where they became more, -1 where they stayed as many, and in
/// between as far as the stretch is covered.
pub(crate) fn became_more(signals: &[Signal], from_s: f64, until_s: f64) -> f64 {
    let all = in_role(signals, Role::Replicas);
    let covers = |series: &Series| series.covers(from_s, until_s);
    let grown = all.iter().filter_map(|series| {
        // What was seen only afterwards may have happened before.
        let seen_s = series.points().iter().map(|point| point.0).find(|t| *t >= until_s);
        let (before_s, at_s) = *series.growths(from_s, seen_s.unwrap_or(until_s)).first()?;
        // Across a long gap it is not known when.
        Some((0.3 + 0.7 * covers(series)) * ramp(at_s - before_s, 150.0, 60.0).max(0.4))
    });
    let grown = grown.fold(0.0, f64::max);
    if grown > 0.0 {
        return grown;
    }
    -all.iter().map(|series| ramp(covers(series), 0.6, 0.95)).fold(0.0, f64::max)
}

/// Whether what instruments count happened in a stretch: 1 where it did, -1 where it did not, and in between as far as the
/// stretch is covered.
pub(crate) fn counted(signals: &[Signal], role: Role, from_s: f64, until_s: f64) -> f64 {
    let all = in_role(signals, role);
    let covers = |series: &Series| series.covers(from_s, until_s);
    let some = all.iter().filter(|series| series.happened(from_s, until_s));
    match some.map(covers).reduce(f64::max) {
        Some(covered) => 0.3 + 0.7 * covered,
        None => -all.iter().map(|series| ramp(covers(series), 0.6, 0.95)).fold(0.0, f64::max),
    }
}

/// A score after what instruments say, from -1, which leaves a part of it, to 1, by which it gains a part of what is missing.
/// What hardly looks like a cause does not become one because instruments are not against it.
pub(crate) fn weigh(score: f64, says: f64, gain: f64, left: f64) -> f64 {
    if says >= 0.0 {
        score + (1.0 - score) * gain * says * ramp(score, 0.25, 0.5)
    } else {
        score * (1.0 + (1.0 - left) * says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str, points: &[(f64, f64)]) -> Signal {
        Signal { name: name.to_owned(), points: points.to_vec(), ..Signal::default() }
    }

    #[test]
    fn points_out_of_order_twice_and_without_a_value_are_put_right() {
        let points =
            [(9.0, 4.0), (3.0, 2.0), (3.0, 2.0), (5.0, f64::NAN), (0.0, 2.0), (f64::NAN, 1.0), (12.0, 4.0)];
        let all = in_role(&[signal("kube_pods_ready", &points)], Role::Replicas);
        let [series] = &all[..] else { panic!("{all:?}") };
        assert_eq!(series.points(), [(0.0, 2.0), (3.0, 2.0), (9.0, 4.0), (12.0, 4.0)]);
        assert_eq!(series.growths(1.0, 20.0), [(3.0, 9.0)]);
        assert_eq!(series.growths(9.0, 20.0), []);
        let back = Series::of(&[(0.0, 5.0), (10.0, 3.0), (20.0, 5.0), (30.0, 6.0)]).unwrap();
        assert_eq!(back.growths(12.0, 40.0), [(20.0, 30.0)]);
        assert_eq!(series.range(1.0, 9.0), Some((2.0, 4.0)));
        assert_eq!(series.range(13.0, 15.0), None);
        assert_eq!(in_role(&[signal("pods", &[(1.0, 2.0)])], Role::Replicas), []);
    }

    #[test]
    fn instruments_are_known_by_the_names_that_presets_give_them() {
        let roles = [
            Role::Replicas,
            Role::Ready,
            Role::MostReplicas,
            Role::Cpu,
            Role::Stolen,
            Role::Throttles,
            Role::Concurrency,
            Role::Starts,
            Role::Restarts,
            Role::Dependency,
        ];
        let known: [(&str, &[Role]); 31] = [
            ("replicas", &[Role::Replicas]),
            ("replicas{horizontalpodautoscaler=\"cpu restarts\"}", &[Role::Replicas]),
            ("replicas wanted", &[]),
            ("replicas at least", &[]),
            ("replicas at most", &[Role::MostReplicas]),
            ("pods ready", &[Role::Replicas, Role::Ready]),
            ("pods pending", &[]),
            ("restarts", &[Role::Restarts]),
            ("cpu", &[Role::Cpu]),
            ("cpu throttled", &[]),
            ("node_cpu_steal_ratio", &[Role::Stolen]),
            ("memory", &[]),
            ("checkout: throttles", &[Role::Throttles]),
            ("checkout: concurrent executions", &[Role::Concurrency]),
            ("ConcurrentExecutions", &[Role::Concurrency]),
            ("checkout: cold starts", &[Role::Starts]),
            ("checkout: init", &[Role::Starts]),
            ("checkout: duration p99", &[]),
            ("checkout: processor", &[Role::Cpu]),
            ("checkout: tasks running", &[Role::Replicas, Role::Ready]),
            ("checkout: tasks wanted", &[]),
            ("shop: healthy hosts", &[Role::Replicas, Role::Ready]),
            ("shop: unhealthy hosts", &[]),
            ("dependency duration", &[Role::Dependency]),
            ("cold-storage: invocations", &[]),
            ("throttle-guard: errors", &[]),
            ("notifications pods ready", &[Role::Replicas, Role::Ready]),
            ("minio replicas", &[Role::Replicas]),
            ("replicas min", &[]),
            ("kube_pod_container_status_restarts_total", &[Role::Restarts]),
            ("", &[]),
        ];
        for (name, expected) in known {
            let fitting: Vec<Role> = roles.into_iter().filter(|role| role.fits(&words(name))).collect();
            assert_eq!(fitting, expected, "{name}");
        }
    }

    #[test]
    fn what_was_not_covered_says_less_than_what_was() {
        let every = |step: usize, value: fn(f64) -> f64| -> Vec<(f64, f64)> {
            (0..=300).step_by(step).map(f64::from).map(|t| (t, value(t))).collect()
        };
        let grows = |t: f64| if t < 100.0 { 2.0 } else { 4.0 };
        let whole = became_more(&[signal("pods ready", &every(5, grows))], 60.0, 160.0);
        let mut gap = every(5, grows);
        gap.retain(|(t, _)| !(70.0..140.0).contains(t));
        let gap = became_more(&[signal("pods ready", &gap)], 60.0, 160.0);
        assert!(whole > 0.95 && gap > 0.1 && gap < 0.8, "{whole} {gap}");
        let flat = became_more(&[signal("pods ready", &every(15, |_| 2.0))], 60.0, 160.0);
        let mut missing = every(15, |_| 2.0);
        missing.retain(|(t, _)| *t < 90.0);
        let missing = became_more(&[signal("pods ready", &missing)], 60.0, 160.0);
        assert!(flat < -0.95 && missing > -0.1, "{flat} {missing}");
        assert!(became_more(&[], 60.0, 160.0).abs() < 1e-9);
    }

    #[test]
    fn a_count_happens_where_it_grows_and_a_rate_where_it_is_not_nothing() {
        let series = |points: &[(f64, f64)]| Series::of(points).unwrap();
        let count = series(&[(0.0, 7.0), (5.0, 7.0), (10.0, 9.0), (15.0, 9.0)]);
        assert!(count.happened(4.0, 11.0));
        assert!(!count.happened(10.0, 15.0));
        let rate = series(&[(0.0, 0.0), (5.0, 0.4), (10.0, 0.0), (15.0, 0.0)]);
        assert!(rate.happened(4.0, 11.0));
        assert!(!rate.happened(10.0, 15.0));
        assert!(!rate.happened(20.0, 25.0));
    }

    #[test]
    fn what_instruments_say_moves_a_score_within_bounds() {
        assert!(weigh(0.7, 1.0, 0.5, 0.4) > 0.84);
        assert!(weigh(0.1, 1.0, 0.5, 0.4) < 0.11);
        assert!((weigh(0.7, 0.0, 0.5, 0.4) - 0.7).abs() < 1e-9);
        assert!((weigh(0.7, -1.0, 0.5, 0.4) - 0.28).abs() < 1e-9);
    }
}
