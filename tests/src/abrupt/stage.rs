//! Rows with their servers under way, and the plan that is run against them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::Place;
use crate::script::dns::NameServer;
use crate::script::tls::{self, Certificate};
use crate::script::{FullListener, Server};

use super::{Row, Target};

/// The piece of which large bodies are made: a plan has room for few of them.
const PIECE: &str = "{{ piece }}";

/// So many mebibytes of a body, in the steps of a row.
pub(super) fn mebibytes(count: usize) -> String {
    PIECE.repeat(count * 1024 * 1024 / PIECE_LENGTH)
}

const PIECE_LENGTH: usize = 64 * 1024;

/// Rows, and the servers that they need.
#[derive(Debug)]
pub struct Stage {
    actors: Vec<Actor>,
    names: NameServer,
    settings: BTreeMap<&'static str, String>,
    allow: Vec<&'static str>,
}

/// A row with its servers.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) row: Row,
    pub(super) server: Option<Server>,
    full: Option<FullListener>,
    pub(super) other: Option<Server>,
}

impl Stage {
    /// One row by itself.
    #[must_use]
    pub fn alone(row: Row) -> Self {
        let patience = if row.outcomes.contains(&"timeout") && !row.alone { "300ms" } else { "5s" };
        let version = row.http2.then_some(("version", "http2"));
        let settings = [("timeout", patience)].into_iter().chain(version);
        let mut stage = Self::empty(settings.collect());
        let secure = row.is_secure();
        stage.add(row, secure);
        stage
    }

    /// All rows that can share a plan; and the names of those that cannot.
    #[must_use]
    pub fn shared(rows: impl IntoIterator<Item = Row>) -> (Self, Vec<&'static str>) {
        let mut stage = Self::empty(vec![("timeout", "1s")]);
        let mut left = Vec::new();
        for row in rows {
            let agrees =
                |(key, value): &(&str, String)| stage.settings.get(key).is_none_or(|known| known == value);
            if row.alone || !row.settings.iter().all(agrees) {
                left.push(row.id);
            } else {
                // Both versions of HTTP are spoken in one plan only where TLS says which.
                let secure = row.is_secure() || row.http2;
                if row.http2 {
                    stage.settings.insert("version", "auto".to_owned());
                }
                stage.add(row, secure);
            }
        }
        (stage, left)
    }

    fn empty(settings: Vec<(&'static str, &str)>) -> Self {
        let settings = settings.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        Self { actors: Vec::new(), names: NameServer::start(), settings, allow: Vec::new() }
    }

    fn add(&mut self, row: Row, secure: bool) {
        if secure {
            self.settings.insert("roots", "platform".to_owned());
        }
        self.settings.extend(row.settings.iter().cloned());
        self.allow.extend(row.allow.iter().filter(|host| !self.allow.contains(host)).collect::<Vec<_>>());
        let other = row.other.as_ref().map(|other| Server::start(other.script.clone(), Vec::new()));
        let (server, full) = match &row.target {
            Target::Script(script) => {
                let names = other.iter().map(|other| ("$OTHER", other.address().port().to_string()));
                let script = if secure && !script.is_secure() {
                    script.clone().within(tls::config(Certificate::Good, &["h2"]))
                } else {
                    script.clone()
                };
                (Some(Server::start(script, names.collect())), None)
            }
            Target::Full => (None, Some(FullListener::start())),
        };
        self.actors.push(Actor { row, server, full, other });
    }

    /// The rows with their servers.
    pub(super) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// The ids of the rows.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.actors.iter().map(|actor| actor.row.id)
    }

    /// Writes the plan, as `plan.yaml`, and the authority that it trusts, as `authority.pem`.
    pub fn write(&self, place: &Place, load: &str) {
        place.write("plan.yaml", &self.plan(load));
        place.write("authority.pem", &tls::authority_pem());
    }

    fn plan(&self, load: &str) -> String {
        let scenarios: String = self.actors.iter().map(Actor::scenario).collect();
        let target = self.actors.first().map(Actor::url).unwrap_or_default();
        let http: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let port = self.actors.first().map(Actor::port).unwrap_or_default();
        let http = http.join(", ").replace("$DNS", &self.names.address().to_string()).replace("$PORT", &port);
        let allow = if self.allow.is_empty() {
            String::new()
        } else {
            format!("allow: [ {} ]\n", self.allow.join(", "))
        };
        let variables = if scenarios.contains(PIECE) {
            format!("variables: {{ piece: {} }}\n", "x".repeat(PIECE_LENGTH))
        } else {
            String::new()
        };
        format!(
            "target: {target}\n{allow}{variables}http: {{ {http} }}\nload: {load}\nscenarios:\n{scenarios}"
        )
    }
}

impl Actor {
    fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address).or(self.full.as_ref().map(FullListener::address))
    }

    fn port(&self) -> String {
        self.address().map(|address| address.port().to_string()).unwrap_or_default()
    }

    fn url(&self) -> String {
        let scheme = if self.server.as_ref().is_some_and(Server::is_secure) { "https" } else { "http" };
        self.address().map(|address| format!("{scheme}://{address}")).unwrap_or_default()
    }

    fn scenario(&self) -> String {
        let steps = self.row.steps.replace("$URL", &self.url()).replace("$PORT", &self.port());
        format!("  {}: {{ think: 40ms, steps: [ {steps} ] }}\n", self.row.id)
    }
}

impl Row {
    fn is_secure(&self) -> bool {
        matches!(&self.target, Target::Script(script) if script.is_secure())
    }
}
