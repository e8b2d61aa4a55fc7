//! What an expression sees: constants of the plan, and one user's own variables and randomness.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Value;
use minijinja::value::Object;

use crate::random::Random;

/// The name under which functions find the scope that called them. Not an identifier, so no plan says it.
pub(super) const SELF: &str = "<scope>";

/// What is the same for every user: `env` and `variables`.
#[derive(Debug, Clone, Default)]
pub struct Constants {
    /// Variables by name.
    pub variables: Vec<(String, Value)>,
    /// Environment variables that the plan mentions, as `env`.
    pub env: Value,
}

/// What one user's expressions see. Shared by reference count because minijinja's values are.
pub struct Scope {
    constants: Arc<Constants>,
    user: Mutex<User>,
}

struct User {
    vu: Value,
    iteration: u64,
    random: Random,
    captures: Vec<(Arc<str>, Value)>,
}

impl Scope {
    /// The scope of user number `vu`, before its first iteration.
    #[must_use]
    pub fn new(constants: Arc<Constants>, vu: u64, random: Random) -> Arc<Self> {
        let vu = Value::from(BTreeMap::from([("id", vu)]));
        Arc::new(Self {
            constants,
            user: Mutex::new(User { vu, iteration: 0, random, captures: Vec::new() }),
        })
    }

    /// Starts iteration number `iteration` with its own random stream.
    pub fn begin_iteration(&self, iteration: u64, random: Random) {
        let mut user = self.user();
        user.iteration = iteration;
        user.random = random;
    }

    /// Keeps a captured value; the newest of a name counts.
    pub fn set(&self, name: &str, value: Value) {
        let mut user = self.user();
        match user.captures.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => user.captures.push((Arc::from(name), value)),
        }
    }

    /// Forgets everything captured.
    pub fn clear(&self) {
        self.user().captures.clear();
    }

    /// Draws from the user's random stream.
    pub fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.user().random)
    }

    /// The value of a name, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let user = self.user();
        if let Some((_, value)) = user.captures.iter().find(|(known, _)| &**known == name) {
            return Some(value.clone());
        }
        match name {
            "iteration" => Some(Value::from(user.iteration)),
            "vu" => Some(user.vu.clone()),
            "env" => Some(self.constants.env.clone()),
            _ => self
                .constants
                .variables
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone()),
        }
    }

    /// A panic while the lock was held leaves nothing half-written, so poison is no reason to stop.
    fn user(&self) -> MutexGuard<'_, User> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            SELF => Some(Value::from_dyn_object(self.clone())),
            name => self.get(name),
        }
    }
}
