//! Data, and the files that a plan mentions.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use minijinja::Value;

use crate::data::{DataError, Feeder, OnEnd, Per, Pick, Table};
use crate::include::included;
use crate::keys;
use crate::model::{Iterations, Load, PlacedLoad, Scenario, Users};
use crate::schedule::{ArrivalSchedule, UserSchedule};
use crate::yaml::{self, Node};

use super::Lowering;
use super::fields::Fields;

/// What expressions may say of data, and where it stands.
pub(super) struct Known {
    pub(super) name: String,
    /// All that its rows have, where that is known.
    pub(super) columns: Option<Vec<String>>,
    span: Range<usize>,
    /// Whether each iteration has a row that nobody else has.
    is_unique_each_iteration: bool,
}

impl Lowering<'_> {
    pub(super) fn data(&mut self, fields: &Fields<'_>) -> Vec<Feeder> {
        let Some(node) = fields.get("data") else { return Vec::new() };
        let mut feeders = Vec::new();
        self.within("data", |this| {
            for (name, key, node) in this.entries(node) {
                this.check_variable(key, name);
                let feeder = this.within(name, |this| this.feeder(name, node));
                let columns = feeder.as_ref().and_then(|feeder| feeder.table.columns());
                let columns = columns.map(<[String]>::to_vec);
                let dealt = feeder.as_ref().map(|feeder| (feeder.pick, feeder.per));
                this.feeders.push(Known {
                    name: name.to_owned(),
                    columns,
                    span: key.span.clone(),
                    is_unique_each_iteration: dealt == Some((Pick::Unique, Per::Iteration)),
                });
                feeders.extend(feeder);
            }
        });
        feeders
    }

    fn feeder(&mut self, name: &str, node: &Node) -> Option<Feeder> {
        let fields = self.fields(node, &keys::DATA)?;
        let found = fields.present(&["csv", "json", "jsonl", "rows"]);
        let table = if let [(kind, _)] = found.as_slice() {
            let node = fields.get(kind)?;
            self.within(kind, |this| if *kind == "rows" { this.rows(node) } else { this.table(kind, node) })
        } else {
            let message = "data has one of `csv`, `json`, `jsonl` and `rows`".to_owned();
            let span = found.get(1).map_or(node.span.clone(), |(_, key)| key.span.clone());
            self.error(span, "conflict", message, None);
            None
        };
        let pick = match self.optional(&fields, "pick", |this, node| this.word(node, &keys::PICK)) {
            Some("random") => Pick::Random,
            Some("unique") => Pick::Unique,
            _ => Pick::Sequential,
        };
        let per = match self.optional(&fields, "per", |this, node| this.word(node, &keys::PER)) {
            Some("user") => Per::User,
            Some("use") => Per::Use,
            _ => Per::Iteration,
        };
        let on_end = match self.optional(&fields, "on_end", |this, node| this.word(node, &keys::ON_END)) {
            Some("recycle") => OnEnd::Recycle,
            Some("fail") => OnEnd::Fail,
            _ => OnEnd::Stop,
        };
        if let Some(key) = fields.key("on_end").filter(|_| pick != Pick::Unique) {
            let message = "only unique rows come to an end".to_owned();
            self.warning(key.span.clone(), "no-effect", message, Some("write `pick: unique`".to_owned()));
        }
        Some(Feeder { name: name.to_owned(), table: Arc::new(table?), pick, per, on_end })
    }

    /// Rows in the plan itself, which need no user.
    fn rows(&mut self, node: &Node) -> Option<Table> {
        if !matches!(node.value, yaml::Value::Sequence(_)) {
            self.wrong_kind(node, "a list");
            return None;
        }
        let rows = self.constant_json(node)?;
        let rows: Vec<Value> = rows.try_iter().map(Iterator::collect).unwrap_or_default();
        self.usable(node, "the list", Table::of_values(rows))
    }

    /// A user who serves many arrivals begins before the first, so what each iteration has is not there yet.
    pub(super) fn check_before(&mut self, key: &Node) {
        let mentioned = self.uses.iter().flat_map(|used| self.program.names(used.expr));
        let roots = mentioned.filter_map(|name| name.split('.').next());
        let mut feeders = self.feeders.iter().filter(|known| known.is_unique_each_iteration);
        let wrong = feeders.find(|known| roots.clone().any(|root| root == known.name));
        if let Some(name) = wrong.map(|known| known.name.clone()) {
            let message =
                format!("`before` is no iteration of the open model, and `{name}` has a row for each");
            let hint = Some("write `per: user`, or `users: fresh` in the load".to_owned());
            self.error(key.span.clone(), "conflict", message, hint);
        }
    }

    /// Whether unique rows can be dealt out, and are enough for those who are known to want one.
    pub(super) fn check_rows(&mut self, data: &[Feeder], loads: &[PlacedLoad], scenarios: &[Scenario]) {
        // With a mistake anywhere, indices may lead elsewhere.
        if self.diagnostics.has_errors() {
            return;
        }
        for (index, feeder) in data.iter().enumerate().filter(|(_, feeder)| feeder.pick == Pick::Unique) {
            let mentions = |placed: &&PlacedLoad| {
                placed.scenarios.iter().any(|&scenario| scenarios[scenario].data.contains(&index))
            };
            let takers = || (0..).zip(loads).filter(|(_, placed)| mentions(placed));
            let span = self.feeders[index].span.clone();
            self.path = vec!["data".to_owned(), feeder.name.clone()];
            let is_open = |placed: &PlacedLoad| matches!(placed.load, Load::Open(_));
            if feeder.per == Per::Use && takers().any(|(_, placed)| is_open(placed)) {
                let message = "unique rows `per: use` need the closed model: who serves arrivals is no fixed number of users";
                let hint = Some("write `per: iteration`".to_owned());
                self.error(span.clone(), "conflict", message.to_owned(), hint);
            }
            let wanted = takers().map(|(place, placed)| {
                let (takers, noun) = known_takers(placed, feeder.per);
                // Loads that go on side by side take rows by turns.
                let last = takers.saturating_sub(1).saturating_mul(loads.len() as u64).saturating_add(place);
                (last.saturating_add(1), noun)
            });
            let rows = feeder.table.len();
            if let Some((wanted, noun)) =
                wanted.max().filter(|(wanted, _)| *wanted > rows && feeder.on_end != OnEnd::Recycle)
            {
                let message = format!("`{}` has {rows} rows for {wanted} {noun}", feeder.name);
                let what = if feeder.on_end == OnEnd::Stop { "ends" } else { "fails" };
                let hint = format!("who finds none {what}; add rows, or write `on_end: recycle`");
                self.warning(span, "few-rows", message, Some(hint));
            }
            self.path.clear();
        }
    }

    fn table(&mut self, kind: &str, node: &Node) -> Option<Table> {
        let (file, bytes) = self.file(node)?;
        let table = match kind {
            "csv" => Table::csv(bytes),
            "json" => Table::json(&bytes),
            _ => Table::json_lines(bytes),
        };
        self.usable(node, &format!("`{file}`"), table)
    }

    fn usable(&mut self, node: &Node, what: &str, table: Result<Table, DataError>) -> Option<Table> {
        table.map_err(|error| self.error(node.span.clone(), "data", format!("{what}: {error}"), None)).ok()
    }

    /// A file that the plan mentions: its name and what is in it.
    pub(super) fn file(&mut self, node: &Node) -> Option<(String, Bytes)> {
        let file = self.text(node)?;
        match self.bundle.files.get(&file) {
            Some(Ok(bytes)) => Some((file, bytes.clone())),
            Some(Err(reason)) => {
                let message = format!("`{file}` cannot be read: {reason}");
                let hint = Some("its path begins in the folder of the plan".to_owned());
                self.error(node.span.clone(), "missing-file", message, hint);
                None
            }
            None => {
                self.error(node.span.clone(), "missing-file", format!("`{file}` is not there"), None);
                None
            }
        }
    }
}

/// How many rows of their own are wanted in a load, as far as that is known before it begins, and by whom.
fn known_takers(placed: &PlacedLoad, per: Per) -> (u64, &'static str) {
    match (&placed.load, per) {
        (Load::Open(load), Per::User) if load.users == Users::Reuse => (u64::from(load.max_users), "users"),
        (Load::Open(load), _) => (ArrivalSchedule::new(load).total(), "arrivals"),
        (Load::Closed(load), per) => {
            let users = u64::from(UserSchedule::new(load).users());
            match load.iterations {
                Some(Iterations::Shared(all)) if per == Per::Iteration => (all, "iterations"),
                Some(Iterations::PerUser(each)) if per == Per::Iteration => {
                    (users.saturating_mul(each), "iterations")
                }
                _ => (users, "users"),
            }
        }
    }
}

/// A file that a plan mentions.
pub(crate) struct Mentioned {
    pub(crate) name: String,
    /// Whether it is a part of the plan, and may mention others.
    pub(crate) is_included: bool,
}

/// The files that a text mentions, as they are written; none of a text that is no YAML.
pub(crate) fn files_of(text: &str) -> Vec<Mentioned> {
    let Ok(root) = yaml::parse(text) else { return Vec::new() };
    let mut files = Vec::new();
    match &root.value {
        yaml::Value::Mapping(sections) => {
            // What instruments write while there is load is no part of the plan.
            let sections = sections.iter().filter(|(key, _)| !is_text(key, &["telemetry"]));
            sections.for_each(|(_, section)| find_files(section, &mut files));
        }
        _ => find_files(&root, &mut files),
    }
    let others = files.into_iter().map(|name| Mentioned { name, is_included: false });
    let included = included(&root).into_iter();
    let included = included.map(|(name, _)| Mentioned { name: name.to_owned(), is_included: true });
    others.chain(included).collect()
}

fn find_files(node: &Node, files: &mut Vec<String>) {
    match &node.value {
        yaml::Value::Scalar { .. } => {}
        yaml::Value::Sequence(items) => items.iter().for_each(|item| find_files(item, files)),
        yaml::Value::Mapping(entries) => {
            for (key, value) in entries {
                let is_file = is_text(key, &FILE_KEYS);
                match &value.value {
                    yaml::Value::Scalar { text, .. } if is_file => files.push(text.clone()),
                    yaml::Value::Mapping(members) if is_text(key, &["tls"]) => {
                        let members = members.iter().filter(|(key, _)| is_text(key, &TLS_FILE_KEYS));
                        files.extend(members.filter_map(|(_, value)| match &value.value {
                            yaml::Value::Scalar { text, .. } => Some(text.clone()),
                            _ => None,
                        }));
                    }
                    _ => find_files(value, files),
                }
            }
        }
    }
}

fn is_text(node: &Node, texts: &[&str]) -> bool {
    matches!(&node.value, yaml::Value::Scalar { text, .. } if texts.contains(&text.as_str()))
}

/// Keys of `tls` under which one may stand.
const TLS_FILE_KEYS: [&str; 3] = ["ca", "certificate", "key"];

/// Keys under which the name of a file may stand. One that is meant otherwise, such as a member of a JSON body, costs a
/// look at a file that is not there.
const FILE_KEYS: [&str; 5] = ["csv", "json", "jsonl", "file", "body_file"];
