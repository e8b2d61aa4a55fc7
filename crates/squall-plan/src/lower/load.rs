//! `load`, in its short and its long form.

use std::time::Duration;

use crate::compile::LoadOverride;
use crate::keys;
use crate::model::{ClosedLoad, Load, OpenLoad, RateStage, UserStage};
use crate::units::Rate;
use crate::yaml::Node;

use super::Lowering;
use super::fields::Fields;

const GRACEFUL_STOP: Duration = Duration::from_secs(30);

/// Keys that belong to one model only.
const CLOSED_KEYS: [&str; 2] = ["users", "start_users"];
const OPEN_KEYS: [&str; 3] = ["rate", "start_rate", "max_users"];

impl Lowering<'_> {
    pub(super) fn load(&mut self, fields: &Fields<'_>) -> Option<Load> {
        let node = fields.get("load")?;
        self.within("load", |this| {
            let fields = this.fields(node, &keys::LOAD)?;
            let open = this.model(node, &fields)?;
            let graceful_stop = fields
                .get("graceful_stop")
                .and_then(|node| this.within("graceful_stop", |this| this.duration(node)));
            let graceful_stop = graceful_stop.unwrap_or(GRACEFUL_STOP);
            let load =
                if open { this.open(&fields, graceful_stop) } else { this.closed(&fields, graceful_stop) };
            let load = match this.bundle.inputs.load {
                Some(given) => Some(replaced(given, graceful_stop, load.as_ref())),
                None => load,
            }?;
            if load.duration().is_zero() {
                this.error(node.span.clone(), "no-load", "load takes no time".to_owned(), None);
            }
            Some(load)
        })
    }

    /// Whether the load is open: as `model` says or the other keys tell, which must agree.
    fn model(&mut self, node: &Node, fields: &Fields<'_>) -> Option<bool> {
        let said =
            fields.get("model").map(|node| self.within("model", |this| this.word(node, &["closed", "open"])));
        let (closed, open) = (fields.present(&CLOSED_KEYS), fields.present(&OPEN_KEYS));
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
            if let (Some(key), Some(_)) = (fields.key(short), fields.get(long)) {
                let message = format!("`{short}` has no place beside `{long}`");
                self.error(key.span.clone(), "conflict", message, Some("leave out one of them".to_owned()));
            }
        }
        Some(is_open)
    }

    fn closed(&mut self, fields: &Fields<'_>, graceful_stop: Duration) -> Option<Load> {
        let start = fields
            .get("start_users")
            .map(|node| self.within("start_users", |this| this.count(node, 0, keys::MAX_USERS)));
        let Some(stages) = fields.get("stages") else {
            let users = self.short(fields, "users", |this, node| this.count(node, 0, keys::MAX_USERS));
            let duration = self.short(fields, "duration", Self::duration);
            let (users, duration) = (users?, duration?);
            return Some(constant_users(users, duration, graceful_stop));
        };
        let stages = self.within("stages", |this| {
            this.list(stages, |this, node| {
                let (duration, users) =
                    this.stage(node, "users", |this, node| this.count(node, 0, keys::MAX_USERS))?;
                Some(UserStage { duration, users })
            })
        });
        let start_users = start.flatten().unwrap_or(0);
        (!stages.is_empty()).then_some(Load::Closed(ClosedLoad { start_users, stages, graceful_stop }))
    }

    fn open(&mut self, fields: &Fields<'_>, graceful_stop: Duration) -> Option<Load> {
        let start = fields.get("start_rate").map(|node| self.within("start_rate", |this| this.rate(node)));
        let max_users = fields
            .get("max_users")
            .map(|node| self.within("max_users", |this| this.count(node, 1, keys::MAX_USERS)));
        let max_users = max_users.flatten();
        let Some(stages) = fields.get("stages") else {
            let rate = self.short(fields, "rate", Self::rate);
            let duration = self.short(fields, "duration", Self::duration);
            let (rate, duration) = (rate?, duration?);
            return Some(constant_rate(rate, duration, max_users, graceful_stop));
        };
        let stages = self.within("stages", |this| {
            this.list(stages, |this, node| {
                let (duration, rate) = this.stage(node, "rate", Self::rate)?;
                Some(RateStage { duration, rate })
            })
        });
        let start_rate = start.flatten().unwrap_or_default();
        let peak = stages.iter().map(|stage| stage.rate).chain([start_rate]).max().unwrap_or_default();
        let max_users = max_users.unwrap_or_else(|| default_max_users(peak));
        (!stages.is_empty()).then_some(Load::Open(OpenLoad { start_rate, stages, max_users, graceful_stop }))
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

/// Which model the first stage that tells is of.
fn stage_tells_open(stages: &Node) -> Option<bool> {
    let crate::yaml::Value::Sequence(items) = &stages.value else { return None };
    items.iter().find_map(|item| match &item.value {
        crate::yaml::Value::Mapping(entries) => entries.iter().find_map(|(key, _)| match &key.value {
            crate::yaml::Value::Scalar { text, .. } if text == "rate" => Some(true),
            crate::yaml::Value::Scalar { text, .. } if text == "users" => Some(false),
            _ => None,
        }),
        _ => None,
    })
}

/// What the command line asks for instead of the plan's profile.
fn replaced(given: LoadOverride, graceful_stop: Duration, plan: Option<&Load>) -> Load {
    match given {
        LoadOverride::Users { users, duration } => constant_users(users, duration, graceful_stop),
        LoadOverride::Rate { rate, duration } => {
            let max_users = match plan {
                Some(Load::Open(load)) => Some(load.max_users.max(default_max_users(rate))),
                _ => None,
            };
            constant_rate(rate, duration, max_users, graceful_stop)
        }
    }
}

fn constant_users(users: u32, duration: Duration, graceful_stop: Duration) -> Load {
    Load::Closed(ClosedLoad {
        start_users: users,
        stages: vec![UserStage { duration, users }],
        graceful_stop,
    })
}

fn constant_rate(rate: Rate, duration: Duration, max_users: Option<u32>, graceful_stop: Duration) -> Load {
    let max_users = max_users.unwrap_or_else(|| default_max_users(rate));
    Load::Open(OpenLoad {
        start_rate: rate,
        stages: vec![RateStage { duration, rate }],
        max_users,
        graceful_stop,
    })
}

/// Enough for ten seconds of arrivals at the peak, which is as long as requests may take by default.
fn default_max_users(peak: Rate) -> u32 {
    let ten_seconds = peak.millis_per_hour().saturating_mul(10).div_ceil(3_600_000);
    u32::try_from(ten_seconds).unwrap_or(u32::MAX).clamp(10, 100_000)
}
