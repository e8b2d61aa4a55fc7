//! Pods that are replaced one after the other while requests come: what a pod has in hand is lost, it is away for some
//! seconds, and slow when it is back.

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Outcome, Service, micros, seconds};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    pods: u32,
    #[serde(flatten)]
    times: Times,
    /// When the first pod goes.
    from_s: f64,
    /// How long after it the next one goes.
    step_s: f64,
    /// How long a pod is away.
    down_s: f64,
    /// Which share of its requests is still sent to it then, and gets 503.
    stray_share: f64,
    /// How many times as long its answers take at first.
    slow_factor: f64,
    /// How long that takes to pass.
    slow_s: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            pods: 4,
            times: Times::new(25.0, 0.12),
            from_s: 60.0,
            step_s: 12.0,
            down_s: 4.0,
            stray_share: 0.5,
            slow_factor: 4.0,
            slow_s: 6.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Deployment {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    last_us: u64,
    reset: u64,
    strayed: u64,
    hurt: Option<Span>,
}

impl Model for Deployment {
    type Parameters = Parameters;

    fn new(seed: u64, mut parameters: Parameters) -> Self {
        parameters.pods = parameters.pods.clamp(1, 1_000);
        let (dice, tally) = (Dice::new(seed), Tally::default());
        Self { parameters, dice, tally, last_us: 0, reset: 0, strayed: 0, hurt: None }
    }
}

impl Deployment {
    /// When a pod goes.
    fn gone_us(&self, pod: u32) -> u64 {
        micros(self.parameters.from_s + self.parameters.step_s * f64::from(pod))
    }

    fn is_away(&self, pod: u32, at_us: u64) -> bool {
        let gone_us = self.gone_us(pod);
        at_us >= gone_us && at_us < gone_us + micros(self.parameters.down_s)
    }

    /// How many times as long as usual a pod takes.
    fn factor(&self, pod: u32, at_us: u64) -> f64 {
        let back_us = self.gone_us(pod) + micros(self.parameters.down_s);
        if at_us < back_us {
            return 1.0;
        }
        let passed = seconds(at_us - back_us) / self.parameters.slow_s.max(0.001);
        1.0 + (self.parameters.slow_factor.max(1.0) - 1.0) * (1.0 - passed).max(0.0)
    }

    fn restarts_s(&self) -> Vec<f64> {
        let gone = (0..self.parameters.pods).map(|pod| self.gone_us(pod));
        gone.filter(|gone_us| *gone_us <= self.last_us).map(seconds).collect()
    }
}

impl Service for Deployment {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        self.last_us = at_us;
        let pods = self.parameters.pods;
        let mut pod = u32::try_from(ask.connection % u64::from(pods)).unwrap_or_default();
        if self.is_away(pod, at_us) {
            Span::note(&mut self.hurt, at_us, at_us);
            if self.dice.is(self.parameters.stray_share) {
                self.strayed += 1;
                let refusal = Answer::refusal(at_us + self.dice.around(3.0, 0.2), 503, "no endpoint");
                return self.tally.note(at_us, ask, refusal);
            }
            pod = (pod + 1) % pods;
        }
        let factor = self.factor(pod, at_us);
        let done_at_us = at_us + self.parameters.times.longer(factor, &mut self.dice);
        if factor > 1.2 {
            Span::note(&mut self.hurt, at_us, at_us);
        }
        let gone_us = self.gone_us(pod);
        let answer = if at_us < gone_us && gone_us < done_at_us {
            self.reset += 1;
            Span::note(&mut self.hurt, gone_us, gone_us);
            Answer::of(gone_us, Outcome::Reset)
        } else {
            Answer::ok(done_at_us)
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::RestartOrDeployment, self.hurt)
            .number("restart_s", self.restarts_s())
            .number("reset", self.reset)
            .number("strayed", self.strayed)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let away = (0..self.parameters.pods).filter(|pod| self.is_away(*pod, at_us)).count() as f64;
        let gone = (0..self.parameters.pods).filter(|pod| self.gone_us(*pod) <= at_us).count() as f64;
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::gauge(
                "kube_deployment_status_replicas_ready",
                "Pods that are ready.",
                f64::from(self.parameters.pods) - away,
            )
            .with("deployment", "shop"),
            Metric::counter("kube_pod_container_status_restarts_total", "Restarts of pods.", gone)
                .with("container", "shop"),
        ]);
        metrics
    }
}
