//! Secrets: where they are kept, and what they are once somebody has fetched them. A plan knows the first only.

use std::collections::BTreeMap;
use std::fmt;

use minijinja::Value;

use crate::masks::Masks;

/// A secret of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// `secret.NAME` in expressions.
    pub name: String,
    /// Where it is kept.
    pub source: SecretSource,
    /// Whether only `telemetry` needs it, which is the command's: generators do not fetch it.
    pub is_of_telemetry: bool,
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// In an environment variable of the command: only for generators that are threads of it.
    Env(String),
    /// In a parameter of SSM.
    Ssm(String),
    /// In Secrets Manager.
    SecretsManager {
        /// Its name or ARN.
        id: String,
        /// The member, where it is an object of JSON.
        key: Option<String>,
    },
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::Ssm(name) => write!(f, "SSM parameter `{name}`"),
            Self::SecretsManager { id, key: None } => write!(f, "secret `{id}` of Secrets Manager"),
            Self::SecretsManager { id, key: Some(key) } => {
                write!(f, "`{key}` in secret `{id}` of Secrets Manager")
            }
        }
    }
}

/// What the secrets of a plan are, by name. It is never written anywhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(BTreeMap<String, String>);

impl SecretValues {
    /// As expressions see them.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::from(self.0.clone())
    }

    /// What hides them wherever they could show.
    #[must_use]
    pub fn masks(&self) -> Masks {
        Masks::new(self.0.values().cloned())
    }
}

impl FromIterator<(String, String)> for SecretValues {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Says how many there are, and not which.
impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValues({})", self.0.len())
    }
}
