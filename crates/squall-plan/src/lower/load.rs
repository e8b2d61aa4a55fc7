//! `load`, in its short and its long form.

use std::time::Duration;

use crate::compile::LoadOverride;
use crate::keys;
use crate::model::{
    Arrivals, ClosedLoad, Iterations, Load, OpenLoad, PlacedLoad, RateStage, UserStage, Users, WhenFull,
};
use crate::units::Rate;
use crate::yaml::{Node, Value};

use super::Lowering;
use super::fields::{Fields, closest};

const GRACEFUL_STOP: Duration = Duration::from_secs(30);

/// Keys that belong to one model only; `users` does unless it is a word.
const CLOSED_KEYS: [&str; 3] = ["start_users", "iterations", "iterations_per_user"];
const OPEN_KEYS: [&str; 5] = ["rate", "start_rate", "max_users", "arrivals", "when_full"];

impl Lowering<'_> {
    /// The loads that go on side by side. Empty if there is none without a mistake.
    pub(super) fn loads(&mut self, fields: &Fields<'_>) -> Vec<PlacedLoad> {
        let Some(node) = fields.get("load") else { return Vec::new() };
        let scenarios = names(fields.get("scenarios"));
        let loads = self.within("load", |this| match &node.value {
            Value::Sequence(_) => this.list(node, |this, node| this.load(node, &scenarios)),
            _ => this.load(node, &scenarios).into_iter().collect(),
        });
        match self.bundle.inputs.load {
            Some(given) => {
                let load = replaced(given, loads.first().map(|placed| &placed.load));
                vec![PlacedLoad { start: Duration::ZERO, scenarios: (0..scenarios.len()).collect(), load }]
            }
            None => loads,
        }
    }

    fn load(&mut self, node: &Node, scenarios: &[&str]) -> Option<PlacedLoad> {
        let fields = self.fields(node, &keys::LOAD)?;
        let start = self.optional(&fields, "start", Self::duration).unwrap_or_default();
        let own =
            self.optional(&fields, "scenarios", |this, node| Some(this.scenario_names(node, scenarios)));
        let open = self.model(node, &fields)?;
        let graceful_stop = self.optional(&fields, "graceful_stop", Self::duration).unwrap_or(GRACEFUL_STOP);
        let load =
            if open { self.open(&fields, graceful_stop) } else { self.closed(&fields, graceful_stop) }?;
        if load.duration().is_zero() {
            self.error(node.span.clone(), "no-load", "load takes no time".to_owned(), None);
        } else if load.is_empty() {
            let given = fields.present(&["users", "rate", "stages"]);
            let span = given.first().map_or(node.span.clone(), |(_, key)| key.span.clone());
            let what = if open { "arrivals" } else { "users" };
            self.error(span, "no-load", format!("load has no {what} at any time"), None);
        }
        Some(PlacedLoad { start, scenarios: own.unwrap_or_else(|| (0..scenarios.len()).collect()), load })
    }

    /// The places of scenarios among all.
    fn scenario_names(&mut self, node: &Node, known: &[&str]) -> Vec<usize> {
        self.list(node, |this, node| {
            let name = this.text(node)?;
            let place = known.iter().position(|known| *known == name);
            if place.is_none() {
                let hint = match closest(&name, known.iter().copied()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("the scenarios are {}", known.join(", ")),
                };
                let message = format!("there is no scenario `{name}`");
                this.error(node.span.clone(), "unknown-scenario", message, Some(hint));
            }
            place
        })
    }

    /// Whether the load is open: as `model` says or the other keys tell, which must agree.
    fn model(&mut self, node: &Node, fields: &Fields<'_>) -> Option<bool> {
        let said =
            fields.get("model").map(|node| self.within("model", |this| this.word(node, &["closed", "open"])));
        let (mut closed, mut open) = (fields.present(&CLOSED_KEYS), fields.present(&OPEN_KEYS));
        let reuse = fields.get("users").is_some_and(is_word);
        if let (true, true, Some(node)) = (reuse, open.is_empty(), fields.get("users"))
            && !self.is_user_word(node)
        {
            return None;
        }
        if let Some(key) = fields.key("users") {
            if reuse { &mut open } else { &mut closed }.push(("users", key));
        }
        let stages = fields.get("stages").map(stage_tells_open);
        let is_open = match said {
            Some(None) => return None,
            Some(Some(word)) => word == "open",
            None if closed.is_empty() && open.is_empty() => match stages.flatten() {
                Some(open) => open,
                None => {
                    let hint = Some("write `users: 50` or `rate: 100/s`, and `duration: 1m`".to_owned());
                    let message = "load has neither users nor a rate".to_owned();
                    self.error(node.span.clone(), "no-load", message, hint);
                    return None;
                }
            },
            None => closed.is_empty(),
        };
        let (name, foreign) = if is_open { ("open", closed) } else { ("closed", open) };
        for (key, node) in foreign {
            let message = format!("`{key}` has no place in a load of the {name} model");
            let hint = format!("the {name} model is told by `{}`", if is_open { "rate" } else { "users" });
            self.error(node.span.clone(), "conflict", message, Some(hint));
        }
        for (short, long) in [("users", "stages"), ("rate", "stages"), ("duration", "stages")] {
            if short == "users" && reuse {
                continue;
            }
            if let (Some(key), Some(_)) = (fields.key(short), fields.get(long)) {
                let message = format!("`{short}` has no place beside `{long}`");
                self.error(key.span.clone(), "conflict", message, Some("leave out one of them".to_owned()));
            }
        }
        Some(is_open)
    }

    /// Whether a word says who takes an arrival; what it cannot be is a number of users.
    fn is_user_word(&mut self, node: &Node) -> bool {
        let Some(text) = self.text(node) else { return false };
        let known = keys::USERS.contains(&text.as_str());
        if !known {
            let hint = match closest(&text, keys::USERS.into_iter()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "write a number such as `50`".to_owned(),
            };
            let message = format!("`{text}` is no number of users");
            self.error(node.span.clone(), "unknown-word", message, Some(hint));
        }
        known
    }

    fn closed(&mut self, fields: &Fields<'_>, graceful_stop: Duration) -> Option<Load> {
        let start = fields
            .get("start_users")
            .map(|node| self.within("start_users", |this| this.count(node, 0, keys::MAX_USERS)));
        let iterations = self.iterations(fields);
        let Some(stages) = fields.get("stages") else {
            let users = self.short(fields, "users", |this, node| this.count(node, 0, keys::MAX_USERS));
            let duration = self.short(fields, "duration", Self::duration);
            let stages = vec![UserStage { duration: duration?, users: users? }];
            let start_users = stages[0].users;
            return Some(Load::Closed(ClosedLoad { start_users, stages, iterations, graceful_stop }));
        };
        let stages = self.within("stages", |this| {
            this.list(stages, |this, node| {
                let (duration, users) =
                    this.stage(node, "users", |this, node| this.count(node, 0, keys::MAX_USERS))?;
                Some(UserStage { duration, users })
            })
        });
        let start_users = start.flatten().unwrap_or(0);
        (!stages.is_empty()).then_some(Load::Closed(ClosedLoad {
            start_users,
            stages,
            iterations,
            graceful_stop,
        }))
    }

    fn iterations(&mut self, fields: &Fields<'_>) -> Option<Iterations> {
        let mut count =
            |key| self.optional(fields, key, |this, node| this.count(node, 1, u32::MAX)).map(u64::from);
        let (shared, per_user) = (count("iterations"), count("iterations_per_user"));
        if let (Some(_), Some(key)) = (fields.key("iterations"), fields.key("iterations_per_user")) {
            let message = "`iterations_per_user` has no place beside `iterations`".to_owned();
            self.error(key.span.clone(), "conflict", message, Some("leave out one of them".to_owned()));
        }
        shared.map(Iterations::Shared).or(per_user.map(Iterations::PerUser))
    }

    fn open(&mut self, fields: &Fields<'_>, graceful_stop: Duration) -> Option<Load> {
        let start = self.optional(fields, "start_rate", Self::rate);
        let max_users = self.optional(fields, "max_users", |this, node| this.count(node, 1, keys::MAX_USERS));
        let arrivals = self.optional(fields, "arrivals", |this, node| this.word(node, &keys::ARRIVALS));
        let when_full = self.optional(fields, "when_full", |this, node| this.word(node, &keys::WHEN_FULL));
        let users = self.optional(fields, "users", |this, node| this.word(node, &keys::USERS));
        let (start_rate, stages) = match fields.get("stages") {
            Some(stages) => {
                let stages = self.within("stages", |this| {
                    this.list(stages, |this, node| {
                        let (duration, rate) = this.stage(node, "rate", Self::rate)?;
                        Some(RateStage { duration, rate })
                    })
                });
                (start.unwrap_or_default(), stages)
            }
            None => {
                let rate = self.short(fields, "rate", Self::rate);
                let duration = self.short(fields, "duration", Self::duration);
                let rate = rate?;
                (rate, vec![RateStage { duration: duration?, rate }])
            }
        };
        let peak = stages.iter().map(|stage| stage.rate).chain([start_rate]).max().unwrap_or_default();
        (!stages.is_empty()).then_some(Load::Open(OpenLoad {
            start_rate,
            stages,
            arrivals: if arrivals == Some("poisson") { Arrivals::Poisson } else { Arrivals::Even },
            max_users: max_users.unwrap_or_else(|| default_max_users(peak)),
            when_full: if when_full == Some("queue") { WhenFull::Queue } else { WhenFull::Drop },
            users: if users == Some("fresh") { Users::Fresh } else { Users::Reuse },
            graceful_stop,
        }))
    }

    /// A key that the short form needs.
    fn short<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        lower: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        match fields.get(key) {
            Some(node) => self.within(key, |this| lower(this, node)),
            None => {
                let given = fields.present(&["users", "rate", "duration", "model"]);
                let span = given.first().map_or(0..0, |(_, node)| node.span.clone());
                let message = format!("load has no `{key}`");
                self.error(
                    span,
                    "missing-key",
                    message,
                    Some("write `stages`, or `users` or `rate` with `duration`".to_owned()),
                );
                None
            }
        }
    }

    fn stage<T>(
        &mut self,
        node: &Node,
        key: &'static str,
        lower: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Option<(Duration, T)> {
        let fields = self.fields(node, &keys::STAGE)?;
        let foreign = if key == "users" { "rate" } else { "users" };
        if let Some(node) = fields.key(foreign) {
            let message = format!("`{foreign}` belongs to the other model than `{key}`");
            self.error(node.span.clone(), "conflict", message, Some(format!("write `{key}`")));
        }
        let duration =
            fields.get("duration").and_then(|node| self.within("duration", |this| this.duration(node)));
        let level = match fields.get(key) {
            Some(node) => self.within(key, |this| lower(this, node)),
            None => {
                if fields.key(foreign).is_none() {
                    self.error(node.span.clone(), "missing-key", format!("stage has no `{key}`"), None);
                }
                None
            }
        };
        Some((duration?, level?))
    }
}

/// Whether a node is a text that is no number.
fn is_word(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// The names in a mapping.
fn names(node: Option<&Node>) -> Vec<&str> {
    let Some(Value::Mapping(entries)) = node.map(|node| &node.value) else { return Vec::new() };
    let keys = entries.iter().map(|(key, _)| &key.value);
    keys.filter_map(|key| if let Value::Scalar { text, .. } = key { Some(text.as_str()) } else { None })
        .collect()
}

/// Which model the first stage that tells is of.
fn stage_tells_open(stages: &Node) -> Option<bool> {
    let Value::Sequence(items) = &stages.value else { return None };
    items.iter().find_map(|item| {
        names(Some(item)).into_iter().find_map(|name| match name {
            "rate" => Some(true),
            "users" => Some(false),
            _ => None,
        })
    })
}

/// What the command line asks for instead of the plan's profile. What else the plan says of its load holds on.
fn replaced(given: LoadOverride, plan: Option<&Load>) -> Load {
    let graceful_stop = plan.map_or(GRACEFUL_STOP, Load::graceful_stop);
    match given {
        LoadOverride::Users { users, duration } => Load::Closed(ClosedLoad {
            start_users: users,
            stages: vec![UserStage { duration, users }],
            iterations: None,
            graceful_stop,
        }),
        LoadOverride::Rate { rate, duration, within_users } => {
            let (enough, stages) = (default_max_users(rate), vec![RateStage { duration, rate }]);
            let (fewest, most) = within_users.unwrap_or((0, u32::MAX));
            Load::Open(match plan {
                Some(Load::Open(load)) => OpenLoad {
                    start_rate: rate,
                    stages,
                    max_users: load.max_users.max(enough).min(most).max(fewest),
                    ..load.clone()
                },
                _ => OpenLoad {
                    start_rate: rate,
                    stages,
                    arrivals: Arrivals::Even,
                    max_users: enough.min(most).max(fewest),
                    when_full: WhenFull::Drop,
                    users: Users::Reuse,
                    graceful_stop,
                },
            })
        }
    }
}

/// Enough for ten seconds of arrivals at the peak, which is as long as requests may take by default.
fn default_max_users(peak: Rate) -> u32 {
    let ten_seconds = peak.millis_per_hour().saturating_mul(10).div_ceil(3_600_000);
    u32::try_from(ten_seconds).unwrap_or(u32::MAX).clamp(10, 100_000)
}
