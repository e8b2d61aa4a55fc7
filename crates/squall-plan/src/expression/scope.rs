//! What an expression sees: constants of the plan, and one user's own variables and randomness.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Value;
use minijinja::value::Object;
use rand::{Rng, SeedableRng};

use crate::data::{Feeder, OnEnd, Per};
use crate::random::Random;
use crate::share::Share;

use super::fake::Makers;

/// The name under which functions find the scope that called them. Not an identifier, so no plan says it.
pub(super) const SELF: &str = "<scope>";

/// What is the same for every user: `env` and `variables`.
#[derive(Debug, Clone, Default)]
pub struct Constants {
    /// Variables by name.
    pub variables: Vec<(String, Value)>,
    /// Environment variables that the plan mentions, as `env`.
    pub env: Value,
    /// Tells the time, in milliseconds since 1970; nobody does while a plan is compiled.
    pub now_ms: Option<fn() -> i64>,
    /// Data, and what picks its rows at random.
    pub data: Arc<[Feeder]>,
    /// What all randomness is derived from.
    pub seed: u64,
    /// `secret`: what nobody may read.
    pub secrets: Value,
    /// `run`: what there is to say of the run.
    pub run: Value,
    /// `slice`: which one of how many.
    pub slice: Value,
}

impl Constants {
    /// What expressions may know of a run: which one, what its plan is called, and when its load begins, in milliseconds
    /// since 1970.
    #[must_use]
    pub fn run(id: &str, name: &str, seed: u64, started_ms: i64) -> Value {
        let facts: [(&str, Value); 4] =
            [("id", id.into()), ("name", name.into()), ("seed", seed.into()), ("started", started_ms.into())];
        Value::from(BTreeMap::from(facts))
    }

    /// What expressions may know of a slice.
    #[must_use]
    pub fn slice(share: Share) -> Value {
        Value::from(BTreeMap::from([("count", share.count()), ("index", share.index())]))
    }
}

/// What one user's expressions see. Shared by reference count because minijinja's values are.
pub struct Scope {
    constants: Arc<Constants>,
    user: Mutex<User>,
    /// Shared by what a user does side by side.
    shared: Arc<Mutex<Shared>>,
}

struct User {
    vu: Value,
    iteration: u64,
    random: Random,
    turn: Turn,
    /// The data of which there was no row left at the last look-up.
    lacks: Option<usize>,
}

/// A user's place among all who take data: it says which rows are theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// The user's number among all of the fleet.
    pub user: u64,
    /// How many users there may be.
    pub users: u64,
    /// The iteration's number among all of the fleet.
    pub iteration: u64,
}

impl Turn {
    /// The number under which a row is taken by who has used the data so often before.
    fn number(self, per: Per, uses: u64) -> u64 {
        match per {
            Per::User => self.user,
            Per::Iteration => self.iteration,
            Per::Use => uses.saturating_mul(self.users.max(1)).saturating_add(self.user),
        }
    }
}

#[derive(Clone, Default)]
struct Shared {
    /// What the user has captured and set; the names are few.
    variables: Vec<(Arc<str>, Value)>,
    /// How often each piece of data has been used.
    uses: Vec<u64>,
}

impl Shared {
    fn uses_of(&self, index: usize) -> u64 {
        self.uses.get(index).copied().unwrap_or(0)
    }

    fn count_use(&mut self, index: usize) {
        if index >= self.uses.len() {
            self.uses.resize(index + 1, 0);
        }
        self.uses[index] += 1;
    }
}

impl Scope {
    /// The scope of user number `vu`, before its first iteration.
    #[must_use]
    pub fn new(constants: Arc<Constants>, vu: u64, random: Random) -> Arc<Self> {
        let vu = Value::from(BTreeMap::from([("id", vu)]));
        Arc::new(Self {
            constants,
            user: Mutex::new(User { vu, iteration: 0, random, turn: Turn::default(), lacks: None }),
            shared: Arc::default(),
        })
    }

    /// A scope for something that the user does side by side with other things: it has the same variables, and
    /// randomness of its own, so that who is faster changes nothing but who takes which of the user's rows `per: use`.
    #[must_use]
    pub fn branch(&self) -> Arc<Self> {
        let mut user = self.user();
        let own = User {
            vu: user.vu.clone(),
            iteration: user.iteration,
            random: Random::seed_from_u64(user.random.next_u64()),
            turn: user.turn,
            lacks: None,
        };
        let (constants, shared) = (Arc::clone(&self.constants), Arc::clone(&self.shared));
        Arc::new(Self { constants, user: Mutex::new(own), shared })
    }

    /// Takes the rows that come after those of an earlier life of the same user: what was taken is taken.
    pub fn goes_on_from(&self, earlier: &Self) {
        let uses = locked(&earlier.shared).uses.clone();
        locked(&self.shared).uses = uses;
    }

    /// Takes no row that somebody else may have taken for the same user before, who has used no data more often.
    pub fn goes_on_after(&self, uses: u64) {
        locked(&self.shared).uses = vec![uses; self.constants.data.len()];
    }

    /// How often the data that was used most has been used.
    #[must_use]
    pub fn most_uses(&self) -> u64 {
        locked(&self.shared).uses.iter().copied().max().unwrap_or(0)
    }

    /// A scope for something that is done for the user, and of which nothing is the user's: what it sets and what it
    /// draws changes nothing for it.
    #[must_use]
    pub fn apart(&self) -> Arc<Self> {
        let user = self.user();
        let (vu, random) = (user.vu.clone(), user.random.clone());
        let own = User { vu, iteration: user.iteration, random, turn: user.turn, lacks: None };
        let shared = Arc::new(Mutex::new(locked(&self.shared).clone()));
        Arc::new(Self { constants: Arc::clone(&self.constants), user: Mutex::new(own), shared })
    }

    /// Starts iteration number `iteration` with its own random stream.
    pub fn begin_iteration(&self, iteration: u64, random: Random) {
        let mut user = self.user();
        user.iteration = iteration;
        user.random = random;
    }

    /// Says which rows of data are whose from now on.
    pub fn take_turn(&self, turn: Turn) {
        self.user().turn = turn;
    }

    /// Whether there is one of these data of which no row is left for the user or its iteration, and who lacks one is to
    /// stop.
    #[must_use]
    pub fn lacks_data(&self, data: &[usize]) -> bool {
        let (turn, shared) = (self.user().turn, locked(&self.shared));
        data.iter().any(|&index| {
            let feeder = self.constants.data.get(index).filter(|feeder| feeder.on_end == OnEnd::Stop);
            feeder.is_some_and(|feeder| feeder.is_exhausted(turn.number(feeder.per, shared.uses_of(index))))
        })
    }

    /// The row of data that is the user's now.
    fn row(&self, index: usize, feeder: &Feeder) -> Value {
        let mut user = self.user();
        let uses = {
            let mut shared = locked(&self.shared);
            let uses = shared.uses_of(index);
            if feeder.per == Per::Use {
                shared.count_use(index);
            }
            uses
        };
        let row = feeder.row(self.constants.seed, user.turn.number(feeder.per, uses));
        user.lacks = row.is_none().then_some(index);
        row.unwrap_or_default()
    }

    /// The data that had no row left when it was looked up last.
    pub(super) fn lacks(&self) -> Option<&str> {
        let feeder = self.user().lacks.and_then(|index| self.constants.data.get(index));
        feeder.map(|feeder| feeder.name.as_str())
    }

    /// What a name's value was when it was looked up last: a row is not taken again.
    pub(super) fn seen(&self, name: &str) -> Option<Value> {
        let mut feeders = self.constants.data.iter().enumerate();
        let Some((index, feeder)) = feeders.find(|(_, feeder)| feeder.name == name) else {
            return self.get(name);
        };
        let uses = locked(&self.shared).uses_of(index).saturating_sub(1);
        feeder.row(self.constants.seed, self.user().turn.number(feeder.per, uses))
    }

    /// Keeps a value; the newest of a name counts.
    pub fn set(&self, name: &str, value: Value) {
        let variables = &mut locked(&self.shared).variables;
        match variables.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => variables.push((Arc::from(name), value)),
        }
    }

    /// All that the user has captured and set.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, Value)> {
        let shared = locked(&self.shared);
        let own = shared.variables.iter().filter(|(name, _)| &**name != "response");
        own.map(|(name, value)| (name.to_string(), value.clone())).collect()
    }

    /// Draws from the user's random stream.
    pub fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.user().random)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.constants.now_ms.map_or(0, |now_ms| now_ms())
    }

    /// The value of a name, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = locked(&self.shared).variables.iter().find(|(known, _)| &**known == name) {
            return Some(value.clone());
        }
        match name {
            "iteration" => Some(Value::from(self.user().iteration)),
            "vu" => Some(self.user().vu.clone()),
            "env" => Some(self.constants.env.clone()),
            "fake" => Some(Value::from_object(Makers)),
            "secret" => Some(self.constants.secrets.clone()),
            "run" => Some(self.constants.run.clone()),
            "slice" => Some(self.constants.slice.clone()),
            _ if self.constants.data.iter().any(|feeder| feeder.name == name) => {
                let mut feeders = self.constants.data.iter().enumerate();
                let (index, feeder) = feeders.find(|(_, feeder)| feeder.name == name)?;
                Some(self.row(index, feeder))
            }
            _ => self
                .constants
                .variables
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone()),
        }
    }

    fn user(&self) -> MutexGuard<'_, User> {
        locked(&self.user)
    }
}

/// A panic while the lock was held leaves nothing half-written, so poison is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
