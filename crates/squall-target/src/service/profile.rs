//! Which services there are.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::service::Service;
use crate::service::cache::Cache;
use crate::service::connections::Connections;
use crate::service::database::Database;
use crate::service::dependency::Dependency;
use crate::service::deployment::Deployment;
use crate::service::fixed::Fixed;
use crate::service::function::Function;
use crate::service::gateway::Gateway;
use crate::service::healthy::Healthy;
use crate::service::leak::Leak;
use crate::service::neighbour::Neighbour;
use crate::service::network::Network;
use crate::service::pods::Pods;
use crate::service::retries::Retries;

/// A service that can be made.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it takes as a matter of course, unlike its kind.
    preset: fn() -> Value,
    /// What its kind takes as a matter of course.
    usual: fn() -> Value,
    make: fn(u64, Value) -> Result<Box<dyn Service>, serde_json::Error>,
    parameters: fn(Value) -> Result<Value, serde_json::Error>,
}

/// Why a service cannot be made as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// There is no such profile.
    #[error("no profile is called `{name}`; there are {known}")]
    Profile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A setting is no `key=value`.
    #[error("`{given}` is no setting: write `key=value`")]
    Form {
        /// What was given.
        given: String,
    },
    /// A setting does not fit.
    #[error("`{setting}` of profile `{profile}` cannot be set so")]
    Value {
        /// Which one.
        setting: String,
        /// Whose setting it is.
        profile: &'static str,
        /// What can be set, as JSON, with what is set otherwise.
        settings: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl SettingError {
    /// What can be done about it, if that is not said yet.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Value { profile, settings, .. } => Some(format!("profile `{profile}` has {settings}")),
            Self::Profile { .. } | Self::Form { .. } => None,
        }
    }
}

impl Profile {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::of::<Healthy>("healthy", "answers with noise and has no trouble"),
        Self {
            preset: lambda,
            ..Self::of::<Function>(
                "lambda",
                "a function that gives each waiting request an instance of its own",
            )
        },
        Self {
            preset: google,
            ..Self::of::<Function>(
                "google-function",
                "a function that lets few requests queue at an instance",
            )
        },
        Self {
            preset: azure,
            ..Self::of::<Function>(
                "azure-function",
                "a function that queues requests and adds instances slowly",
            )
        },
        Self::of::<Gateway>("gateway", "a token bucket that answers 429 with `Retry-After`"),
        Self::of::<Pods>("pods", "pods behind an autoscaler that is late"),
        Self::of::<Fixed>("fixed", "fixed capacity, a queue, and 503 when that is full"),
        Self::of::<Dependency>(
            "slow-dependency",
            "calls another service that becomes slow; its own processors idle",
        ),
        Self::of::<Database>("database", "writes wait for each other, reads do not"),
        Self::of::<Retries>("retry-storm", "repeats what times out, so that a blip lasts"),
        Self::of::<Cache>("cache", "a cache that is empty at first"),
        Self::of::<Neighbour>("noisy-neighbour", "shares hosts with somebody who is noisy now and then"),
        Self::of::<Deployment>("deployment", "pods that are replaced one after the other"),
        Self::of::<Network>("network", "names not found, handshakes that fail, packets that are lost"),
        Self::of::<Connections>("connection-limit", "takes so many connections and no more"),
        Self::of::<Leak>("leak", "each request makes all later ones a little slower"),
    ];

    /// The profile of a name.
    pub fn named(name: &str) -> Result<&'static Self, SettingError> {
        Self::ALL.iter().find(|profile| profile.name == name).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(|profile| format!("`{}`", profile.name)).collect();
            SettingError::Profile { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// A service of this kind, with settings (a JSON object; `null` for none) in place of what it takes otherwise.
    pub fn service(&self, seed: u64, settings: &Value) -> Result<Box<dyn Service>, SettingError> {
        (self.make)(seed, self.merged(settings)).map_err(|source| self.error(settings, source))
    }

    /// What can be set and what it is, with these settings.
    pub fn parameters(&self, settings: &Value) -> Result<Value, SettingError> {
        (self.parameters)(self.merged(settings)).map_err(|source| self.error(settings, source))
    }

    /// Settings from `key=value`.
    pub fn settings(given: &[String]) -> Result<Value, SettingError> {
        let pairs = given.iter().map(|given| {
            let (key, value) =
                given.split_once('=').ok_or_else(|| SettingError::Form { given: given.clone() })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        });
        pairs.collect::<Result<Map<_, _>, _>>().map(Value::Object)
    }

    fn merged(&self, settings: &Value) -> Value {
        let mut merged = (self.usual)();
        for over in [&(self.preset)(), settings] {
            match (merged.as_object_mut(), over) {
                (Some(merged), Value::Object(over)) => merged.extend(over.clone()),
                (_, Value::Null) => {}
                _ => return over.clone(),
            }
        }
        merged
    }

    fn error(&self, given: &Value, source: serde_json::Error) -> SettingError {
        // Whichever does not fit alone.
        let is_wrong = |(key, value): &(&String, &Value)| {
            (self.parameters)(self.merged(&json!({ key.as_str(): value }))).is_err()
        };
        let wrong = given.as_object().into_iter().flatten().find(is_wrong);
        let setting = wrong.map_or_else(|| given.to_string(), |(key, _)| key.clone());
        let settings = self.merged(&Value::Null).to_string();
        SettingError::Value { setting, profile: self.name, settings, source }
    }

    const fn of<M: Model>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            preset: || json!({}),
            usual: usual::<M>,
            make: make::<M>,
            parameters: parameters::<M>,
        }
    }
}

/// A service that is made of parameters.
pub(crate) trait Model: Service + Sized + 'static {
    /// What can be set.
    type Parameters: Default + DeserializeOwned + Serialize;

    fn new(seed: u64, parameters: Self::Parameters) -> Self;
}

fn usual<M: Model>() -> Value {
    serde_json::to_value(M::Parameters::default()).unwrap_or_default()
}

fn make<M: Model>(seed: u64, settings: Value) -> Result<Box<dyn Service>, serde_json::Error> {
    Ok(Box::new(M::new(seed, serde_json::from_value(settings)?)))
}

fn parameters<M: Model>(settings: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<M::Parameters>(settings)?)
}

fn lambda() -> Value {
    json!({ "policy": "none", "crowd_ms": 150.0 })
}

fn google() -> Value {
    json!({
        "policy": "bounded",
        "warm_ms": 17.0, "warm_p99_ms": 42.0, "cold_ms": 870.0, "cold_p99_ms": 1567.0,
    })
}

fn azure() -> Value {
    json!({
        "policy": "unlimited",
        "warm_ms": 25.0, "warm_p99_ms": 80.0, "cold_ms": 1401.0, "cold_p99_ms": 3643.0,
    })
}
