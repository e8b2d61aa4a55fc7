//! A service behind a bad network: names that are not found, handshakes that fail, packets that are lost.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::service::dice::Dice;
use crate::service::profile::Model;
use crate::service::tally::Tally;
use crate::service::times::Times;
use crate::service::truth::{Kind, Span, Truth};
use crate::service::{Answer, Ask, Metric, Outcome, Phases, Service, seconds};

/// Connections that are known; beyond, all are new.
const CONNECTIONS: usize = 100_000;

/// What can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    #[serde(flatten)]
    times: Times,
    /// When trouble begins.
    from_s: f64,
    /// When it ends; 0 for never.
    until_s: f64,
    /// Of new connections: whose name is not found.
    dns_share: f64,
    /// Whose handshake fails.
    tls_share: f64,
    /// Whose first packet is lost, which costs a second.
    syn_share: f64,
    /// How many times as long names and handshakes take.
    slower: f64,
    /// Of all requests: whose connection is cut.
    reset_share: f64,
    /// Of which a packet is lost, which costs `lost_ms`.
    lost_share: f64,
    lost_ms: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            times: Times::new(20.0, 0.12),
            from_s: 30.0,
            until_s: 0.0,
            dns_share: 0.03,
            tls_share: 0.03,
            syn_share: 0.05,
            slower: 10.0,
            reset_share: 0.01,
            lost_share: 0.03,
            lost_ms: 200.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Network {
    parameters: Parameters,
    dice: Dice,
    tally: Tally,
    known: HashSet<u64>,
    hurt: Option<Span>,
    failed: u64,
}

impl Model for Network {
    type Parameters = Parameters;

    fn new(seed: u64, parameters: Parameters) -> Self {
        let (dice, tally, known) = (Dice::new(seed), Tally::default(), HashSet::new());
        Self { parameters, dice, tally, known, hurt: None, failed: 0 }
    }
}

impl Network {
    fn is_bad(&self, at_us: u64) -> bool {
        let (at_s, until_s) = (seconds(at_us), self.parameters.until_s);
        at_s >= self.parameters.from_s && (until_s <= 0.0 || at_s < until_s)
    }

    /// Looks up, connects and shakes hands, or fails.
    fn connect(&mut self, at_us: u64) -> Result<Phases, Answer> {
        let (is_bad, parameters) = (self.is_bad(at_us), &self.parameters);
        let slower = if is_bad { parameters.slower.max(0.0) } else { 1.0 };
        let dns_us = self.dice.around(1.0 * slower, 0.3);
        let mut connect_us = self.dice.around(1.0, 0.3);
        let tls_us = self.dice.around(4.0 * slower, 0.3);
        if is_bad {
            if self.dice.is(parameters.syn_share) {
                connect_us += 1_000_000;
            }
            let failed_at_us = at_us + dns_us;
            if self.dice.is(parameters.dns_share) {
                return Err(Answer::of(failed_at_us, Outcome::Dns));
            }
            if self.dice.is(parameters.tls_share) {
                return Err(Answer::of(failed_at_us + connect_us + tls_us, Outcome::Tls));
            }
        }
        Ok(Phases { dns_us, connect_us, tls_us, body_us: 0 })
    }

    fn serve(&mut self, at_us: u64, ask: &Ask) -> Result<Answer, Answer> {
        let is_new = !self.known.contains(&ask.connection);
        let phases = if is_new { self.connect(at_us)? } else { Phases::default() };
        if is_new && self.known.len() < CONNECTIONS {
            self.known.insert(ask.connection);
        }
        let connected_us = at_us + phases.dns_us + phases.connect_us + phases.tls_us;
        let (is_bad, parameters) = (self.is_bad(at_us), &self.parameters);
        let mut done_at_us = connected_us + parameters.times.draw(&mut self.dice);
        if is_bad && self.dice.is(parameters.lost_share) {
            done_at_us += self.dice.around(parameters.lost_ms, 0.1);
        }
        if is_bad && self.dice.is(parameters.reset_share) {
            self.known.remove(&ask.connection);
            return Err(Answer { phases, ..Answer::of(done_at_us, Outcome::Reset) });
        }
        Ok(Answer { phases, ..Answer::ok(done_at_us) })
    }
}

impl Service for Network {
    fn ask(&mut self, at_us: u64, ask: &Ask) -> Answer {
        let answer = self.serve(at_us, ask).unwrap_or_else(|failure| {
            self.failed += 1;
            failure
        });
        if self.is_bad(at_us) {
            Span::note(&mut self.hurt, at_us, at_us);
        }
        self.tally.note(at_us, ask, answer)
    }

    fn closed(&mut self, _at_us: u64, connection: u64) {
        self.known.remove(&connection);
    }

    fn truth(&self) -> Truth {
        Truth::healthy()
            .with(Kind::Network, self.hurt)
            .number("bad_from_s", self.parameters.from_s)
            .number("failed", self.failed)
    }

    fn metrics(&mut self, at_us: u64) -> Vec<Metric> {
        self.tally.metrics(at_us)
    }
}
