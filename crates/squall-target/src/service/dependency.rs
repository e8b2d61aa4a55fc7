//! A service that calls another, which becomes slow now and then while the service's own processors idle.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, ENDPOINTS, Metric, Service, micros, seconds};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// What the service itself takes, as a median.
    own_ms: f64,
    /// What the other one takes, as a median.
    dependency_ms: f64,
    /// The standard deviation of times over their mean.
    noise: f64,
    /// When trouble begins.
    from_s: f64,
    /// How long it grows.
    ramp_s: f64,
    /// When it ends; 0 for never.
    until_s: f64,
    /// Which share of calls is slow then.
    share: f64,
    /// How much longer those take when it has grown.
    slow_ms: f64,
    /// A call that takes longer is given up: 504.
    timeout_ms: f64,
    /// The first endpoint, by position, that calls the other service.
    first_endpoint: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            own_ms: 15.0,
            dependency_ms: 12.0,
            noise: 0.12,
            from_s: 60.0,
            ramp_s: 60.0,
            until_s: 0.0,
            share: 0.08,
            slow_ms: 900.0,
            timeout_ms: 5_000.0,
            first_endpoint: 1,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Dependency {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    hurt: Option<Span>,
    calls_us: u64,
    calls: u64,
}

impl Model for Dependency {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let (dice, tally, work) = (Dice::new(seed), Tally::default(), Work::default());
        Self { parameters, dice, tally, work, hurt: None, calls_us: 0, calls: 0 }
    }
}

impl Dependency {
    /// What a call to the other service takes.
    fn call(&mut self, at_us: u64) -> u64 {
        let parameters = &self.parameters;
        let usual_us = self.dice.around(parameters.dependency_ms, parameters.noise);
        let at_s = seconds(at_us);
        let is_over = parameters.until_s > 0.0 && at_s >= parameters.until_s;
        if at_s < parameters.from_s || is_over || !self.dice.is(parameters.share) {
            return usual_us;
        }
        let grown = ((at_s - parameters.from_s) / parameters.ramp_s.max(0.001)).min(1.0);
        let slow_us = self.dice.around(parameters.slow_ms * grown, 0.3);
        Span::note(&mut self.hurt, at_us, at_us);
        usual_us + slow_us
    }
}

impl Service for Dependency {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let own_us = self.dice.around(self.parameters.own_ms, self.parameters.noise);
        self.work.note(at_us, at_us + own_us);
        if ask.endpoint < self.parameters.first_endpoint {
            return self.tally.note(at_us, ask, Answer::ok(at_us + own_us));
        }
        let timeout_us = micros(self.parameters.timeout_ms / 1_000.0);
        let call_us = self.call(at_us).min(timeout_us);
        self.calls += 1;
        self.calls_us += call_us;
        let done_at_us = at_us + own_us + call_us;
        let answer = if call_us >= timeout_us {
            Answer::refusal(done_at_us, 504, "upstream timed out")
        } else {
            Answer::ok(done_at_us)
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        let names: Vec<&str> =
            ENDPOINTS.iter().skip(self.parameters.first_endpoint).map(|endpoint| endpoint.name).collect();
        Truth::healthy()
            .with(Kind::SlowDependency, self.hurt)
            .only(&names)
            .number("slow_from_s", self.parameters.from_s)
            .number("slow_share", self.parameters.share)
            .number("slow_ms", self.parameters.slow_ms)
            .number("slow_calls", Span::times(self.hurt))
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::counter(
                "process_cpu_seconds_total",
                "Time on processors.",
                self.work.total_s(at_us) * 0.3,
            ),
            Metric::counter(
                "dependency_duration_seconds_sum",
                "How long calls took.",
                seconds(self.calls_us),
            )
            .with("dependency", "payments"),
            Metric::counter("dependency_duration_seconds_count", "How long calls took.", self.calls as f64)
                .with("dependency", "payments"),
        ]);
        metrics
    }
}
