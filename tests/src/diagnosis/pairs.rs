//! Services with two troubles: one service stands before another, and both have theirs.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of things")]

use serde_json::{Value, json};
use squall_target::service::{Answer, Ask, Kind, Metric, Outcome, Phases, Service, Truth};

use super::cases::{Draw, course, rising};
use super::{Chance, Course};

/// A service and the one that stands before it, by profile.
pub(super) const PAIRS: [(&str, &str, &str); 7] = [
    ("network before fixed", "network", "fixed"),
    ("gateway before slow-dependency", "gateway", "slow-dependency"),
    ("deployment before leak", "deployment", "leak"),
    ("cache before fixed", "cache", "fixed"),
    ("gateway before pods", "gateway", "pods"),
    ("network before database", "network", "database"),
    ("connection-limit before slow-dependency", "connection-limit", "slow-dependency"),
];

/// One service before another: what the first lets through the second serves, and their times add up.
#[derive(Debug)]
pub(super) struct Chain {
    pub front: Box<dyn Service>,
    pub back: Box<dyn Service>,
}

impl Service for Chain {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let front = self.front.ask(at_us, ask);
        if front.outcome != Outcome::Status(200) {
            return front;
        }
        let back = self.back.ask(at_us, ask);
        let (one, other) = (front.phases, back.phases);
        let phases = Phases {
            dns_us: one.dns_us + other.dns_us,
            connect_us: one.connect_us + other.connect_us,
            tls_us: one.tls_us + other.tls_us,
            body_us: one.body_us + other.body_us,
        };
        Answer { done_at_us: front.done_at_us + (back.done_at_us - at_us), phases, ..back }
    }

    fn truth(&self) -> Truth {
        let (mut truth, back) = (self.front.truth(), self.back.truth());
        truth.findings.extend(back.findings);
        if truth.findings.iter().any(|finding| finding.kind != Kind::Healthy) {
            truth.findings.retain(|finding| finding.kind != Kind::Healthy);
        }
        truth.findings.sort_by(|one, other| one.from_s.total_cmp(&other.from_s));
        truth.also.extend(back.also);
        truth.numbers.extend(back.numbers);
        truth
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.front.metrics(at_us);
        metrics.extend(self.back.metrics(at_us));
        metrics
    }

    fn opened(&mut self, at_us: u64, connection: u64) {
        self.front.opened(at_us, connection);
        self.back.opened(at_us, connection);
    }

    fn closed(&mut self, at_us: u64, connection: u64) {
        self.front.closed(at_us, connection);
        self.back.closed(at_us, connection);
    }

    fn is_full(&self, at_us: u64) -> bool {
        self.front.is_full(at_us) || self.back.is_full(at_us)
    }
}

/// The settings of the service before, those of the one behind, and what is asked: so that both troubles hurt, and
/// neither so much that nothing is left to see the other by.
pub(super) fn pair(name: &str, draw: Draw, chance: &mut Chance) -> Option<(Value, Value, Course)> {
    let Draw { set, noise, length_s, rate } = draw;
    let level = |length_s| course(length_s, vec![(0.0, rate)]);
    let from_s = length_s * chance.between(0.25, 0.45);
    let network = json!({ "noise": noise, "work_ms": 3.0, "from_s": from_s });
    Some(match name {
        "network before fixed" => {
            let workers = chance.one_of(&[4, 8, 12]);
            let work_ms = f64::from(workers) * 1e3 / (rate * chance.between(0.5, 0.75));
            let fixed = json!({ "noise": noise, "workers": workers, "work_ms": work_ms });
            (network, fixed, rising(chance, rate, length_s))
        }
        "gateway before slow-dependency" => {
            let refill = rate * chance.between(0.4, 0.75);
            let burst = (refill * set.draw(chance, (1.0, 6.0), (0.6, 12.0))).round();
            let gateway =
                json!({ "noise": noise, "refill_per_s": refill, "burst": burst as u32, "work_ms": 3.0 });
            let dependency = json!({
                "noise": noise, "from_s": from_s, "ramp_s": length_s * chance.between(0.05, 0.4),
                "share": set.draw(chance, (0.05, 0.15), (0.03, 0.25)),
                "slow_ms": set.draw(chance, (300.0, 1_000.0), (150.0, 3_000.0)),
            });
            (gateway, dependency, rising(chance, rate, length_s))
        }
        "deployment before leak" => {
            let pods = chance.one_of(&[3, 4, 5, 6]);
            let step_s = set.draw(chance, (10.0, 15.0), (8.0, 20.0));
            let deployment = json!({ "noise": noise, "from_s": from_s, "pods": pods, "step_s": step_s });
            let growth = 1e3 * set.draw(chance, (0.6, 1.5), (0.4, 2.5)) / (rate * length_s);
            // Both take their time, so that it grows by twice as much as the whole has to.
            (deployment, json!({ "noise": noise, "growth": 2.0 * growth }), level(length_s))
        }
        "cache before fixed" => {
            let low = 0.35 * rate;
            let items = (0.75 * low * set.draw(chance, (15.0, 40.0), (10.0, 60.0))).round() as u32;
            let workers = chance.one_of(&[4, 8, 12]);
            let work_ms = f64::from(workers) * 1e3 / (rate * chance.between(0.6, 0.75));
            let fixed = json!({ "noise": noise, "workers": workers, "work_ms": work_ms });
            // What a miss costs shows beside what the work behind takes.
            let cache = json!({ "noise": noise, "items": items, "miss_ms": 120.0 + 1.5 * work_ms });
            let step_s = length_s.max(200.0);
            let points = vec![(0.0, low), (step_s, low), (step_s + 30.0, rate)];
            (cache, fixed, course(step_s + 120.0, points))
        }
        "gateway before pods" => {
            let (workers, pods) = (chance.one_of(&[2, 3, 4]), chance.one_of(&[2, 3]));
            let over = chance.between(1.35, 2.2);
            let passed = rate * chance.between(0.75, 0.9);
            let work_ms = f64::from(workers * pods) * 1e3 * over / passed;
            let pods = json!({
                "noise": noise, "workers": workers, "pods": pods, "work_ms": work_ms,
                "queue": set.draw(chance, (40.0, 120.0), (20.0, 200.0)).round() as u32,
                "lag_s": set.draw(chance, (10.0, 20.0), (5.0, 30.0)),
                "startup_s": set.draw(chance, (6.0, 15.0), (3.0, 30.0)),
            });
            let burst = passed * set.draw(chance, (1.0, 6.0), (0.6, 12.0));
            let gateway = json!({
                "noise": noise, "refill_per_s": passed, "burst": burst.round() as u32, "work_ms": 3.0,
            });
            let (low, at_s) = (0.5 * passed / over, chance.between(0.2, 0.3) * length_s);
            let points = vec![(0.0, low), (at_s, low), (at_s + 1.0, rate)];
            (gateway, pods, course(length_s + 120.0, points))
        }
        "network before database" => {
            let write_ms = 2.0 * 1e3 / (0.25 * rate) * chance.between(0.6, 0.85);
            let database = json!({ "noise": noise, "write_ms": write_ms });
            (network, database, rising(chance, rate, length_s))
        }
        "connection-limit before slow-dependency" => {
            let work_ms = set.draw(chance, (150.0, 400.0), (100.0, 800.0));
            let limit = (rate * work_ms / 1e3 * chance.between(0.6, 0.9)).max(3.0).round() as u32;
            let limited = json!({ "noise": noise, "work_ms": work_ms, "limit": limit });
            let dependency = json!({
                "noise": noise, "from_s": from_s, "ramp_s": length_s * chance.between(0.05, 0.4),
                "share": set.draw(chance, (0.05, 0.15), (0.03, 0.25)),
                "slow_ms": work_ms * set.draw(chance, (3.0, 5.0), (2.0, 8.0)),
            });
            (limited, dependency, rising(chance, rate, length_s))
        }
        _ => return None,
    })
}
