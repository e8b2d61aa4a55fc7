//! A service that takes so many connections and no more.
//!
//! Whoever is refused by a socket on which nobody listens is not seen by the service: it knows only since when it has been
//! full, and calls that its trouble.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Outcome, Service, micros};

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many connections may be open.
    limit: u32,
    /// One that is not used so long is closed.
    idle_s: f64,
    #[serde(flatten)]
    times: Times,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { limit: 100, idle_s: 60.0, times: Times::new(20.0, 0.12) }
    }
}

#[derive(Debug)]
pub(crate) struct Connections {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    /// Until when each is used.
    open: HashMap<u64, u64>,
    refused: Option<Span>,
    /// When it took no more, where connections tell of themselves.
    full: Option<Span>,
}

impl Model for Connections {
    type Parameters = Parameters;

    fn new(seed: u64, mut parameters: Parameters) -> Self {
        parameters.limit = parameters.limit.clamp(1, 100_000);
        let (dice, tally) = (Dice::new(seed), Tally::default());
        Self { parameters, dice, tally, open: HashMap::new(), refused: None, full: None }
    }
}

impl Connections {
    fn limit(&self) -> usize {
        self.parameters.limit as usize
    }

    fn note_full(&mut self, at_us: u64) {
        if self.is_full(at_us) {
            Span::note(&mut self.full, at_us, at_us);
        }
    }
}

impl Service for Connections {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        if !self.open.contains_key(&ask.connection) && self.is_full(at_us) {
            let idle_us = micros(self.parameters.idle_s);
            self.open.retain(|_, until_us| until_us.saturating_add(idle_us) > at_us);
            if self.is_full(at_us) {
                Span::note(&mut self.refused, at_us, at_us);
                return Answer::of(at_us + self.dice.around(0.5, 0.2), Outcome::Refused);
            }
        }
        let done_at_us = at_us + self.parameters.times.draw(&mut self.dice);
        self.open.insert(ask.connection, done_at_us);
        self.tally.note(at_us, ask, Answer::ok(done_at_us))
    }

    fn opened(&mut self, at_us: u64, connection: u64) {
        self.open.insert(connection, at_us);
        self.note_full(at_us);
    }

    fn closed(&mut self, at_us: u64, connection: u64) {
        self.note_full(at_us);
        self.open.remove(&connection);
    }

    fn is_full(&self, _at_us: u64) -> bool {
        self.open.len() >= self.limit()
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::ConnectionLimit, self.refused.or(self.full))
            .number("limit", self.parameters.limit)
            .number("refused", Span::times(self.refused))
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        let mut metrics = self.tally.metrics(at_us);
        metrics.extend([
            Metric::gauge("connections_open", "Connections.", self.open.len() as f64),
            Metric::gauge("connections_limit", "The most connections.", self.limit() as f64),
        ]);
        metrics
    }
}
