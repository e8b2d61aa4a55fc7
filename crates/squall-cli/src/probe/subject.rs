//! What is probed, and the plan of a round that is sent to it.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Map, Value, json};
use squall_plan::units::Rate;
use squall_plan::{Bundle, Inputs, LoadOverride, compile};
use squall_probe::{Connections, Load, Round};

use crate::args::RequestArgs;
use crate::failure::Failure;
use crate::plan::Loaded;
use crate::{surroundings, url};

/// What the plan of a round is called in messages.
const FILE: &str = "round";

/// What such a plan measures of its own: milliseconds until answers, and until refusals, seconds of `Retry-After`, refusals in
/// which that is a date, and answers that a cache has given.
pub(super) const GOOD_MS: &str = "good_ms";
pub(super) const LIMITED_MS: &str = "limited_ms";
pub(super) const RETRY_AFTER_S: &str = "retry_after_s";
pub(super) const RETRY_AFTER_DATE: &str = "retry_after_date";
pub(super) const CACHED: &str = "from_cache";

/// What is probed.
pub(super) enum Subject {
    /// One request.
    Url(Asked),
    /// What the users of a plan do.
    Plan(Box<Bundle>),
}

/// The request that is sent again and again.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) request: RequestArgs,
    pub(super) timeout: Duration,
    /// The header of API keys, and the keys.
    pub(super) keys: (String, Vec<String>),
    /// Statuses that say "too many".
    pub(super) limited: Vec<u16>,
}

impl Subject {
    /// Where requests go, for people.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Url(asked) => asked.url.clone(),
            Self::Plan(bundle) => bundle.file.clone(),
        }
    }

    /// What a rate is one of.
    pub(super) fn unit(&self) -> &'static str {
        match self {
            Self::Url(_) => "requests",
            Self::Plan(_) => "iterations",
        }
    }

    /// Statuses that say "too many".
    pub(super) fn limited(&self) -> &[u16] {
        match self {
            Self::Url(asked) => &asked.limited,
            Self::Plan(_) => &[429],
        }
    }

    /// The plan that sends a round from so many generators, which can have so many connections in all. What is to be said of
    /// a plan has been said before.
    pub(super) fn loaded(
        &self,
        round: &Round,
        (generators, connections): (u32, u64),
    ) -> Result<Loaded, Failure> {
        // Each generator has a user at least.
        let connections = connections.max(u64::from(generators));
        let bundle = match self {
            Self::Url(asked) => Bundle::new(FILE, asked.text(round, (generators, connections))?, inputs()),
            Self::Plan(bundle) => scaled(bundle, round, (generators, connections))?,
        };
        let compiled = compile(&bundle).map_err(|problems| {
            Failure::wrong(anyhow!("{}", problems.render(surroundings::colour_errors())))
        })?;
        let mut plan = compiled.plan;
        // A probe asks other questions than a plan's thresholds, and none of those may end a round.
        plan.thresholds.clear();
        Ok(Loaded { bundle: bundle.narrowed_to(&plan), plan })
    }
}

impl Asked {
    fn text(&self, round: &Round, fleet: (u32, u64)) -> Result<String, Failure> {
        let (origin, path) = url::parts(&self.url);
        let mut headers: Map<String, Value> = self
            .request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let (header, keys) = &self.keys;
        if round.keys > 0 && !keys.is_empty() {
            let used = keys.len().min(round.keys as usize);
            headers.insert(header.clone(), Value::from(key_of(&keys[..used])));
        }
        let mut step = json!({
            "name": "probe",
            "headers": headers,
            // Nothing is captured of what is not expected.
            "expect": { "status": ["2xx", "4xx", "5xx"] },
            "capture": {
                "answer_status": { "status": true },
                "answer_ms": { "time": true },
                "age": { "header": "Age", "default": "" },
                "x_cache": { "header": "X-Cache", "default": "" },
                "retry_after": { "header": "Retry-After", "default": "" },
            },
        });
        step[url::verb(&self.request)?] = Value::from(path);
        if let Some(body) = &self.request.body {
            step["body"] = Value::from(body.as_str());
        }
        let good = json!([ { "if": "answer_status < 400", "then": answered() } ]);
        let (good, limited) = (counted(round, good), counted(round, turned_away()));
        let limited: Map<String, Value> =
            self.limited.iter().map(|status| (status.to_string(), limited.clone())).collect();
        let steps: Vec<Value> =
            std::iter::once(step).chain(good.as_array().into_iter().flatten().cloned()).collect();
        let connections_of = match round.connections {
            Connections::New => "per_iteration",
            Connections::Kept => "per_user",
        };
        let mut plan = json!({
            "name": "probe",
            "target": origin,
            "http": { "connections": connections_of, "timeout": written(self.timeout) },
            "load": self.load(round, fleet),
            "scenarios": { "probe": {
                "on_status": limited,
                "steps": steps,
            } },
        });
        if let Some(pace) = pace(&round.load)? {
            plan["scenarios"]["probe"]["think"] = Value::from(format!("pace({}us)", pace.as_micros() + 1));
        }
        Ok(serde_json::to_string_pretty(&plan)?)
    }

    /// What is under way at the end is waited for, so that none is cut off.
    fn load(&self, round: &Round, (generators, connections): (u32, u64)) -> Value {
        let graceful_stop = written(self.timeout + Duration::from_secs(1));
        match round.load {
            // Each has a connection of its own: those for whom there is none are not sent.
            Load::Burst { requests } => json!({
                "users": u64::from(requests).min(connections).max(1),
                "duration": written(self.timeout + Duration::from_secs(1)),
                "iterations_per_user": 1,
                "graceful_stop": graceful_stop,
            }),
            Load::Rate { per_s, seconds } => {
                // As many as wait at the same time at most, and no more than can have a connection.
                let least = u64::from(generators.max(10));
                let waiting = (per_s * self.timeout.as_secs_f64()).ceil();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
                let waiting = waiting.clamp(0.0, 1e5) as u64;
                json!({
                    "rate": in_an_hour(per_s),
                    "duration": written(Duration::from_secs_f64(seconds)),
                    "max_users": waiting.clamp(least, connections.max(least)),
                    "graceful_stop": graceful_stop,
                })
            }
            Load::Users { users, seconds, each, .. } => {
                let mut load = json!({
                    "users": users,
                    "duration": written(Duration::from_secs_f64(seconds)),
                    "graceful_stop": graceful_stop,
                });
                if let Some(each) = each {
                    load["iterations_per_user"] = Value::from(each);
                }
                load
            }
        }
    }
}

/// How soon a user may send again, by which fleets see that no more are sent a second than they may. Those of a burst
/// never do.
fn pace(load: &Load) -> Result<Option<Duration>, Failure> {
    match load {
        Load::Burst { .. } => Ok(Some(Duration::from_secs(1))),
        Load::Users { every_s, .. } if *every_s > 0.0 => Ok(Some(Duration::try_from_secs_f64(*every_s)?)),
        Load::Users { .. } | Load::Rate { .. } => Ok(None),
    }
}

/// What is recorded of an answer, once it is warm.
fn counted(round: &Round, steps: Value) -> Value {
    if round.warm_s <= 0.0 {
        return steps;
    }
    let warm_ms = (round.warm_s * 1_000.0).round();
    json!([ { "if": format!("now() >= run.started + {warm_ms}"), "then": steps } ])
}

/// What is made of an answer as it should be.
fn answered() -> Value {
    json!([
        { "record": { GOOD_MS: "{{ answer_ms }}" } },
        {
            "if": "(age | float(default=0)) > 0 or 'hit' in (x_cache | lower)",
            "then": [ { "record": { CACHED: "{{ 1 }}" } } ],
        },
    ])
}

/// What is made of an answer that turns a request away. A date at which to come back is no number of seconds.
fn turned_away() -> Value {
    json!([
        { "record": { LIMITED_MS: "{{ answer_ms }}" } },
        {
            "if": "(retry_after | float(default=-1)) >= 0",
            "then": [ { "record": { RETRY_AFTER_S: "{{ retry_after | float }}" } } ],
            "else": [
                { "if": "retry_after != ''", "then": [ { "record": { RETRY_AFTER_DATE: "{{ 1 }}" } } ] },
            ],
        },
    ])
}

/// Each generator goes round all keys, whatever the others do; else an address and a key would be the same.
fn key_of(keys: &[String]) -> String {
    let keys =
        keys.iter().map(|key| match key.trim().strip_prefix("{{").and_then(|key| key.strip_suffix("}}")) {
            Some(expression) => format!("({})", expression.trim()),
            None => Value::from(key.as_str()).to_string(),
        });
    let keys: Vec<String> = keys.collect();
    format!("{{{{ [{}][(vu.id // slice.count + iteration) % {}] }}}}", keys.join(", "), keys.len())
}

/// A plan with the load of a round instead of its own, users for each generator, and no more than can have a connection.
fn scaled(bundle: &Bundle, round: &Round, (generators, connections): (u32, u64)) -> Result<Bundle, Failure> {
    let mut bundle = bundle.clone();
    bundle.inputs.load = Some(match round.load {
        Load::Rate { per_s, seconds } => LoadOverride::Rate {
            rate: Rate::parse(&in_an_hour(per_s)).unwrap_or(Rate::ZERO),
            duration: Duration::from_secs_f64(seconds),
            within_users: Some((generators, u32::try_from(connections).unwrap_or(u32::MAX))),
        },
        Load::Users { users, seconds, each: None, .. } => {
            LoadOverride::Users { users, duration: Duration::from_secs_f64(seconds) }
        }
        Load::Burst { .. } | Load::Users { .. } => {
            return Err(anyhow!("a plan's load has no number of iterations").into());
        }
    });
    Ok(bundle)
}

fn inputs() -> Inputs {
    Inputs { env: surroundings::environment(), has_whole_env: true, ..Inputs::default() }
}

/// A duration as a plan says it.
fn written(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().max(1))
}

/// A rate as a plan says it, to a thousandth of an hour's.
fn in_an_hour(per_s: f64) -> String {
    format!("{:.3}/h", (per_s * 3_600.0).max(0.001))
}

#[cfg(test)]
mod tests {
    use squall_fleet::ceilings::{Peak, peak_rate};
    use squall_plan::{Iterations, Load as Planned, Think};

    use super::*;

    fn asked(keys: &[&str]) -> Subject {
        Subject::Url(Asked {
            url: "http://127.0.0.1:1/a?b=1".to_owned(),
            request: RequestArgs {
                method: None,
                headers: vec![("X-A".to_owned(), "b: c".to_owned())],
                body: None,
            },
            timeout: Duration::from_secs(30),
            keys: ("X-Api-Key".to_owned(), keys.iter().map(|key| (*key).to_owned()).collect()),
            limited: vec![429],
        })
    }

    fn round(load: Load, connections: Connections, keys: u32) -> Round {
        Round { purpose: String::new(), idle_s: 0.0, warm_s: 1.0, load, connections, senders: 2, keys }
    }

    #[test]
    fn a_round_is_a_plan_that_sends_what_it_says() {
        let loaded = |load, connections| {
            asked(&["k1", "{{ env.PATH }}", "k3"]).loaded(&round(load, connections, 3), (16, 1_000)).unwrap()
        };
        let burst = loaded(Load::Burst { requests: 5_000 }, Connections::New).plan;
        assert_eq!(burst.most_users(), 1_000, "no more than can have a connection");
        let burst = loaded(Load::Burst { requests: 100 }, Connections::New).plan;
        let Planned::Closed(load) = &burst.loads[0].load else { panic!("a burst is of users") };
        assert_eq!((load.start_users, load.iterations), (100, Some(Iterations::PerUser(1))));
        let Peak::Rate(peak) = peak_rate(&burst) else { panic!("a fleet with a ceiling refuses it") };
        assert!((99.9..=100.0).contains(&peak), "{peak}");
        let rate = loaded(Load::Rate { per_s: 12.5, seconds: 4.0 }, Connections::Kept).plan;
        let Planned::Open(load) = &rate.loads[0].load else { panic!("a rate is of arrivals") };
        assert_eq!((load.peak().per_second(), load.max_users), (12.5, 375));
        assert_eq!(rate.duration(), Duration::from_secs(4));
        // Fewer than generators could not be shared.
        let rate = loaded(Load::Rate { per_s: 0.1, seconds: 40.0 }, Connections::Kept).plan;
        assert_eq!(rate.most_users(), 16);
        // More users than connections would find none.
        let rate = loaded(Load::Rate { per_s: 1_000.0, seconds: 4.0 }, Connections::Kept).plan;
        let Planned::Open(load) = &rate.loads[0].load else { panic!("a rate is of arrivals") };
        assert_eq!(load.max_users, 1_000);
        let users = Load::Users { users: 7, seconds: 1.5, each: Some(30), every_s: 0.25 };
        let users = loaded(users, Connections::Kept).plan;
        assert_eq!((users.most_users(), users.duration()), (7, Duration::from_millis(1_500)));
        let Planned::Closed(load) = &users.loads[0].load else { panic!("users are users") };
        assert_eq!(load.iterations, Some(Iterations::PerUser(30)));
        assert_eq!(users.scenarios[0].think, Some(Think::Pace(Duration::from_micros(250_001))));
        let names: Vec<&str> = users.measures.iter().map(|measure| measure.name.as_str()).collect();
        for name in [GOOD_MS, LIMITED_MS, RETRY_AFTER_S, RETRY_AFTER_DATE, CACHED] {
            assert!(names.contains(&name), "{names:?}");
        }
    }

    #[test]
    fn keys_are_taken_in_turn_and_may_be_expressions() {
        let keys = ["a\"b".to_owned(), "{{ env.KEY }}".to_owned()];
        assert_eq!(key_of(&keys), r#"{{ ["a\"b", (env.KEY)][(vu.id // slice.count + iteration) % 2] }}"#);
    }
}
