//! How much load, and when.

use std::time::Duration;

use crate::units::Rate;

/// A load and its place beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLoad {
    /// When it begins, after the epoch.
    pub start: Duration,
    /// The scenarios that its users run, as indices. Never empty.
    pub scenarios: Vec<usize>,
    /// How much, and by which model.
    pub load: Load,
}

/// How much load, and by which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Users decide when their next iteration starts.
    Closed(ClosedLoad),
    /// Arrivals come on schedule, whatever the target does.
    Open(OpenLoad),
}

/// A number of users over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedLoad {
    /// Users at the epoch.
    pub start_users: u32,
    /// Never empty.
    pub stages: Vec<UserStage>,
    /// How many iterations there are, if that ends the load before its stages do.
    pub iterations: Option<Iterations>,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// A number of iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iterations {
    /// Of all users together.
    Shared(u64),
    /// Of each user.
    PerUser(u64),
}

/// The number of users changes linearly to `users` within `duration`; at once when that is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserStage {
    /// How long the stage lasts.
    pub duration: Duration,
    /// Users at its end.
    pub users: u32,
}

/// A rate of arrivals over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLoad {
    /// The rate at the epoch.
    pub start_rate: Rate,
    /// Never empty.
    pub stages: Vec<RateStage>,
    /// How arrivals are spread.
    pub arrivals: Arrivals,
    /// Users of the whole fleet at most.
    pub max_users: u32,
    /// What becomes of an arrival for which no user is free.
    pub when_full: WhenFull,
    /// Who takes an arrival.
    pub users: Users,
    /// How long iterations may go on after the last stage.
    pub graceful_stop: Duration,
}

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// At even distances.
    Even,
    /// At random, as those of many independent users.
    Poisson,
}

/// What becomes of an arrival for which no user is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is counted as dropped.
    Drop,
    /// It waits for a user.
    Queue,
}

/// Who takes an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// The user freed last.
    Reuse,
    /// A new one, with its `before`.
    Fresh,
}

/// The rate changes linearly to `rate` within `duration`; at once when that is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStage {
    /// How long the stage lasts.
    pub duration: Duration,
    /// Arrivals per second at its end.
    pub rate: Rate,
}

impl PlacedLoad {
    /// From the epoch to when its last iteration is cut off.
    #[must_use]
    pub fn latest_end(&self) -> Duration {
        self.start + self.load.duration() + self.load.graceful_stop()
    }
}

impl Load {
    /// How long load is offered: the sum of the stages.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Closed(load) => load.stages.iter().map(|stage| stage.duration).sum(),
            Self::Open(load) => load.stages.iter().map(|stage| stage.duration).sum(),
        }
    }

    /// Whether nobody ever comes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Closed(load) => load.start_users == 0 && load.stages.iter().all(|stage| stage.users == 0),
            Self::Open(load) => {
                load.start_rate == Rate::ZERO && load.stages.iter().all(|stage| stage.rate == Rate::ZERO)
            }
        }
    }

    /// How long iterations may go on after the last stage.
    #[must_use]
    pub fn graceful_stop(&self) -> Duration {
        match self {
            Self::Closed(load) => load.graceful_stop,
            Self::Open(load) => load.graceful_stop,
        }
    }
}
