//! Pods behind a Horizontal Pod Autoscaler, which looks at their processors now and then, and late.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::pool::Pool;
use crate::service::profile::Model;
use crate::service::tally::{Tally, Work};
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Service, micros, seconds};

/// Events whose instants are kept.
const KEPT: usize = 1_000;

/// So many requests that are hurt, none so long after the one before, are an overload.
const SPELL: u64 = 10;
const SPELL_US: u64 = 5_000_000;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Pods at first, and the fewest.
    pods: u32,
    /// The most.
    max_pods: u32,
    /// Requests that a pod serves at the same time.
    workers: u32,
    #[serde(flatten)]
    times: Times,
    /// How many may wait for each pod; more are answered 503.
    queue: u32,
    /// The share of processors that the autoscaler aims at.
    target: f64,
    /// How often it looks.
    interval_s: f64,
    /// How old what it sees is.
    lag_s: f64,
    /// Over how long that is averaged.
    window_s: f64,
    /// How long a pod takes to start.
    startup_s: f64,
    /// And then until it is called ready.
    readiness_s: f64,
    /// How long it must have been too many before pods are taken away.
    down_after_s: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            pods: 2,
            max_pods: 20,
            workers: 8,
            times: Times::new(50.0, 0.1),
            queue: 100,
            target: 0.6,
            interval_s: 15.0,
            lag_s: 15.0,
            window_s: 15.0,
            startup_s: 10.0,
            readiness_s: 5.0,
            down_after_s: 300.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pods {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    work: Work,
    pool: Pool,
    ready: u32,
    /// When those are ready that start.
    starting: VecDeque<u64>,
    next_look_us: u64,
    /// When no pod was too many for the last time.
    needed_us: u64,
    decided_s: Vec<f64>,
    ready_s: Vec<f64>,
    refused: u64,
    hurt: Option<Span>,
    /// Requests that were hurt soon after each other: by chance a few are at any load.
    spell: Option<Span>,
    overloaded_us: Option<u64>,
}

impl Model for Pods {
    type Parameters = Parameters;

    fn new(seed: u64, mut parameters: Parameters) -> Self {
        parameters.pods = parameters.pods.clamp(1, 1_000);
        parameters.max_pods = parameters.max_pods.clamp(parameters.pods, 1_000);
        parameters.workers = parameters.workers.clamp(1, 1_000);
        parameters.interval_s = parameters.interval_s.max(1.0);
        Self {
            dice: Dice::new(seed),
            tally: Tally::default(),
            work: Work::default(),
            pool: Pool::new(parameters.pods * parameters.workers),
            ready: parameters.pods,
            starting: VecDeque::new(),
            next_look_us: micros(parameters.interval_s),
            needed_us: 0,
            decided_s: Vec::new(),
            ready_s: Vec::new(),
            refused: 0,
            hurt: None,
            spell: None,
            overloaded_us: None,
            parameters,
        }
    }
}

impl Pods {
    /// A request is hurt at an instant.
    fn hurts(&mut self, at_us: u64) {
        Span::note(&mut self.hurt, at_us, at_us);
        self.spell = self.spell.filter(|spell| at_us <= spell.until_us.saturating_add(SPELL_US));
        Span::note(&mut self.spell, at_us, at_us);
        if let Some(spell) = self.spell.filter(|spell| spell.times >= SPELL) {
            self.overloaded_us.get_or_insert(spell.from_us);
        }
    }

    /// What happens by itself until an instant.
    fn advance(&mut self, at_us: u64) {
        loop {
            let ready_us = self.starting.front().copied().unwrap_or(u64::MAX);
            if ready_us.min(self.next_look_us) > at_us {
                return;
            }
            if ready_us <= self.next_look_us {
                self.starting.pop_front();
                self.ready += 1;
                self.pool.add(self.parameters.workers, ready_us);
                keep(&mut self.ready_s, ready_us);
            } else {
                self.look(self.next_look_us);
                self.next_look_us += micros(self.parameters.interval_s);
            }
        }
    }

    /// The share of processors at work as it is known at an instant.
    fn load(&self, at_us: u64) -> f64 {
        let until_us = at_us.saturating_sub(micros(self.parameters.lag_s));
        let from_us = until_us.saturating_sub(micros(self.parameters.window_s));
        self.work.busy(from_us, until_us) / f64::from(self.ready * self.parameters.workers)
    }

    /// The autoscaler's rule: pods times load over target, not more than twice as many or four more at once.
    fn look(&mut self, at_us: u64) {
        let parameters = &self.parameters;
        let ratio = self.load(at_us) / parameters.target.max(0.01);
        let have = self.ready + u32::try_from(self.starting.len()).unwrap_or(u32::MAX);
        let limit = parameters.max_pods.min((have * 2).max(have + 4));
        // Within a tenth of the target nothing is done.
        let is_near = (ratio - 1.0).abs() <= 0.1;
        let wanted = (1..=limit).find(|pods| f64::from(*pods) >= f64::from(self.ready) * ratio);
        let wanted = if is_near { have } else { wanted.unwrap_or(limit).max(parameters.pods) };
        if wanted >= have {
            self.needed_us = at_us;
        }
        if wanted > have {
            keep(&mut self.decided_s, at_us);
            let ready_us = at_us + micros(parameters.startup_s) + micros(parameters.readiness_s);
            self.starting.extend((have..wanted).map(|_| ready_us));
        } else if at_us - self.needed_us >= micros(parameters.down_after_s) && self.starting.is_empty() {
            self.pool.retire((self.ready - wanted.min(self.ready)) * parameters.workers);
            self.ready = wanted.min(self.ready).max(1);
        }
    }
}

fn keep(instants_s: &mut Vec<f64>, at_us: u64) {
    if instants_s.len() < KEPT {
        instants_s.push(seconds(at_us));
    }
}

impl Service for Pods {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        self.advance(at_us);
        let parameters = &self.parameters;
        let room = self.ready as usize * parameters.queue as usize;
        let answer = if self.pool.start_us(at_us) > at_us && self.pool.waiting(at_us) >= room {
            self.refused += 1;
            let refused_at_us = at_us + parameters.times.of(3.0, &mut self.dice);
            self.hurts(at_us);
            Answer::refusal(refused_at_us, 503, "no pod has room")
        } else {
            let takes_us = parameters.times.draw(&mut self.dice);
            let start_us = self.pool.serve(at_us, takes_us);
            self.work.note(start_us, start_us + takes_us);
            if start_us - at_us > self.parameters.times.median_us() {
                self.hurts(at_us);
            }
            Answer::ok(start_us + takes_us)
        };
        self.tally.note(at_us, ask, answer)
    }

    fn truth(&self) -> Truth {
        let from_us = self.overloaded_us.or(self.hurt.map(|hurt| hurt.from_us));
        let from_s = from_us.map_or(0.0, seconds);
        // Pods that were ready before anybody was hurt helped nobody.
        let first = |instants: &[f64]| instants.iter().copied().find(|at_s| *at_s >= from_s);
        let kind =
            if first(&self.ready_s).is_some() { Kind::AutoscalingLag } else { Kind::HardCapacityLimit };
        let mut truth = Truth::healthy()
            .with(kind, self.hurt)
            .number("scale_decision_s", self.decided_s.clone())
            .number("pod_ready_s", self.ready_s.clone())
            .number("pods", self.ready)
            .number("refused", self.refused)
            .number(
                "pod_capacity_rps",
                f64::from(self.parameters.workers) * self.parameters.times.rate_per_s(),
            );
        if let (Some(hurt), Some(ready_s)) = (self.hurt, first(&self.ready_s)) {
            truth = truth
                .number("overloaded_from_s", from_s)
                .number("first_scale_event_s", ready_s)
                .number("time_to_first_scale_event_s", ready_s - from_s)
                .number("recovered_s", seconds(hurt.until_us));
        }
        if self.ready >= self.parameters.max_pods { truth.also(&[Kind::HardCapacityLimit]) } else { truth }
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        self.advance(at_us);
        let ready = f64::from(self.ready);
        let all = ready + self.starting.len() as f64;
        let load = self.load(at_us);
        let mut metrics = self.tally.metrics(at_us);
        let gauge = |name, help, value| Metric::gauge(name, help, value);
        metrics.extend([
            gauge("kube_horizontalpodautoscaler_status_current_replicas", "Pods.", all)
                .with("horizontalpodautoscaler", "shop"),
            gauge("kube_horizontalpodautoscaler_status_desired_replicas", "Pods that are wanted.", all)
                .with("horizontalpodautoscaler", "shop"),
            gauge(
                "kube_horizontalpodautoscaler_spec_max_replicas",
                "The most pods.",
                f64::from(self.parameters.max_pods),
            )
            .with("horizontalpodautoscaler", "shop"),
            gauge("kube_deployment_status_replicas_ready", "Pods that are ready.", ready)
                .with("deployment", "shop"),
            gauge(
                "pod_cpu_utilization_ratio",
                "Share of processors at work, as the autoscaler sees it.",
                load,
            ),
            Metric::counter(
                "container_cpu_usage_seconds_total",
                "Time on processors.",
                self.work.total_s(at_us),
            )
            .with("container", "shop"),
        ]);
        metrics
    }
}
