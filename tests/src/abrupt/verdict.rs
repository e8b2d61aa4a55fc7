//! Whether what is reported and what the target counted is what a row asks for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::stage::Actor;
use super::{Connections, Received, Retries, Row, Stage};
use crate::script::Server;

/// No cookies make a request longer than this.
const MAX_HEAD: usize = 256 * 1024;

/// What came of a row.
#[derive(Debug)]
pub struct Verdict {
    /// The row's name.
    pub id: &'static str,
    /// What was seen, in one line.
    pub line: String,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// Outcomes of a scenario, by name.
#[must_use]
pub fn counted(result: &Value, scenario: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for endpoint in endpoints(result).filter(|endpoint| endpoint["scenario"] == scenario) {
        for (outcome, count) in endpoint["outcomes"].as_object().into_iter().flatten() {
            *counts.entry(outcome.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    counts
}

fn endpoints(result: &Value) -> impl Iterator<Item = &Value> {
    result["endpoints"].as_array().into_iter().flatten()
}

impl Stage {
    /// Compares the result of a run of one row by itself with what the row asks for.
    ///
    /// # Panics
    /// If there is no row.
    #[must_use]
    pub fn verdict(&self, result: &Value) -> Verdict {
        self.actors()[0].verdict(result)
    }

    /// Requests of a run of many rows that ended as their rows do not allow, by row; those that were cut off aside.
    #[must_use]
    pub fn strays(&self, result: &Value) -> Vec<(&'static str, BTreeMap<String, u64>)> {
        let stray = |row: &Row| {
            let mut counts = counted(result, row.id);
            counts.retain(|outcome, _| outcome != "unfinished" && !row.outcomes.contains(&outcome.as_str()));
            (!counts.is_empty()).then_some((row.id, counts))
        };
        self.actors().iter().filter_map(|actor| stray(&actor.row)).collect()
    }
}

impl Actor {
    fn verdict(&self, result: &Value) -> Verdict {
        let total = |name: &str| result["totals"][name].as_u64();
        let connections = |name: &str| -> u64 {
            endpoints(result).filter_map(|endpoint| endpoint["connections"][name].as_u64()).sum()
        };
        let seen = Seen {
            outcomes: counted(result, self.row.id),
            requests: total("requests").unwrap_or(0),
            redirects: total("redirects"),
            retries: total("stale_retries"),
            new: connections("new"),
            reused: connections("reused"),
            connections: self.server.as_ref().map_or(0, Server::connections),
            received: self.server.as_ref().map_or(0, Server::heads),
            longest_head: self.server.as_ref().map_or(0, Server::longest_head),
            other: self.other.as_ref().map(|other| (other.connections(), other.heads())),
        };
        let problems = seen.problems(&self.row);
        let outcomes: Vec<String> =
            seen.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        let line = format!(
            "{:<36} {:<24} {:>4}/{:<4} connections {}+{}/{} {}",
            self.row.id,
            outcomes.join(", "),
            seen.requests,
            seen.received,
            seen.new,
            seen.reused,
            seen.connections,
            if problems.is_empty() { "ok" } else { "WRONG" }
        );
        Verdict { id: self.row.id, line, problems }
    }
}

/// What was reported, and what the target counted.
struct Seen {
    outcomes: BTreeMap<String, u64>,
    requests: u64,
    redirects: Option<u64>,
    retries: Option<u64>,
    new: u64,
    reused: u64,
    connections: u64,
    received: u64,
    longest_head: usize,
    /// Connections and heads that the other server counted.
    other: Option<(u64, u64)>,
}

impl Seen {
    fn problems(&self, row: &Row) -> Vec<String> {
        let outcomes = self.of_outcomes(row);
        let connections = self.of_connections(row.connections);
        [outcomes, connections, self.of_received(row), self.of_totals(row)].concat()
    }

    fn of_outcomes(&self, row: &Row) -> Vec<String> {
        let stray = self.outcomes.keys().filter(|outcome| !row.outcomes.contains(&outcome.as_str()));
        let missing =
            row.outcomes.iter().filter(|outcome| row.each && !self.outcomes.contains_key(**outcome));
        let stray = stray.map(|outcome| format!("`{outcome}` and not {}", row.outcomes.join(" or ")));
        let missing = missing.map(|outcome| format!("no `{outcome}`"));
        let none = (self.requests == 0).then(|| "no request".to_owned());
        stray.chain(missing).chain(none).collect()
    }

    fn of_connections(&self, expected: Connections) -> Vec<String> {
        let Self { requests, new, reused, connections, .. } = self;
        let holds = match expected {
            Connections::Any => true,
            Connections::New => (new, reused, connections) == (requests, &0, requests),
            Connections::Kept => *reused > 0 && new == connections,
            Connections::None => new + reused + connections == 0,
        };
        let message = || {
            format!(
                "{expected:?} connections: {new} new and {reused} reused reported, {connections} seen, {requests} requests"
            )
        };
        if holds { Vec::new() } else { vec![message()] }
    }

    fn of_received(&self, row: &Row) -> Vec<String> {
        let answered = self.outcomes.get("200").copied().unwrap_or(0);
        let expected = match row.received {
            Received::Any => self.received,
            Received::Each(times) => times * self.requests,
            Received::Retried => self.requests + self.retries.unwrap_or(0),
            Received::Answered => answered,
        };
        let mut problems = Vec::new();
        if self.received != expected {
            problems.push(format!("{} heads received, {expected} expected", self.received));
        }
        if self.longest_head > MAX_HEAD {
            problems.push(format!("a head of {} bytes", self.longest_head));
        }
        if let (Some(other), Some((connections, heads))) = (&row.other, self.other)
            && (heads != other.heads * self.requests || (other.heads == 0 && connections > 0))
        {
            problems.push(format!("{heads} heads on {connections} connections at the other server"));
        }
        problems
    }

    fn of_totals(&self, row: &Row) -> Vec<String> {
        let mut problems = Vec::new();
        let retries = self.retries;
        match row.retries {
            Retries::Some if retries.is_none_or(|retries| retries == 0) => {
                problems.push("no stale retries reported".to_owned());
            }
            Retries::None if retries.is_some_and(|retries| retries > 0) => {
                problems.push(format!("{retries:?} stale retries"));
            }
            _ => {}
        }
        let expected = row.redirects.map(|each| each * self.requests);
        if expected.is_some() && expected != self.redirects {
            problems.push(format!("{:?} redirects reported, {expected:?} expected", self.redirects));
        }
        problems
    }
}
