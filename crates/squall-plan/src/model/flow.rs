//! What users do.

use std::time::Duration;

use rand::RngExt;

use crate::expression::{Expr, Template, ValueTemplate};

use crate::random::Random;

use super::Request;

/// A pause is never further from the usual one than so many deviations.
const MOST_DEVIATIONS: f64 = 8.0;

/// A kind of user.
#[derive(Debug)]
pub struct Scenario {
    /// Its key in the plan.
    pub name: String,
    /// Its share of users or arrivals, relative to the other scenarios' weights. Never zero.
    pub weight: u32,
    /// The pause between two iterations.
    pub think: Option<Think>,
    /// Done once, when a user starts.
    pub before: Vec<Step>,
    /// What every iteration does.
    pub flow: Flow,
    /// Done once, when a user ends.
    pub after: Vec<Step>,
    /// What is done when a response of `flow` has one of these statuses.
    pub on_status: Vec<(u16, Vec<Step>)>,
    /// Index into [`Plan::measures`](super::Plan::measures): iterations, and behind it those without pauses.
    pub measure: usize,
    /// Indices into [`Plan::data`](super::Plan::data): what its expressions mention.
    pub data: Vec<usize>,
}

/// What an iteration does.
#[derive(Debug)]
pub enum Flow {
    /// One of these, picked by weight. Never empty.
    Tasks(Vec<Task>),
    /// All of these, in order. Never empty.
    Steps(Vec<Step>),
}

/// A piece of a journey that is picked by weight.
#[derive(Debug)]
pub struct Task {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How often it is picked, relative to its siblings' weights. Never zero.
    pub weight: u32,
    /// When this is false the iteration is empty.
    pub condition: Option<Expr>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One thing a user does.
#[derive(Debug)]
pub enum Step {
    /// Sends a request.
    Request(Box<Request>),
    /// Pauses.
    Think(Think),
    /// Does one or the other.
    If(Box<Branch>),
    /// Does the same again and again.
    Repeat(Box<Repeat>),
    /// Does the same for each item of a list.
    ForEach(Box<ForEach>),
    /// Does one of these, picked by weight.
    Choose(Vec<Choice>),
    /// Does these side by side, and waits for all.
    Parallel(Vec<Vec<Step>>),
    /// Does these, and measures how long they take together.
    Group(Box<Group>),
    /// Gives variables values.
    Set(Vec<(String, ValueTemplate)>),
    /// Takes values into metrics of the plan's own.
    Record(Vec<(usize, ValueTemplate)>),
    /// Writes a line for whoever reads the report.
    Log(Template),
    /// Ends something early, which is no failure.
    Stop(Stop),
    /// Ends the iteration as failed, and says why.
    Fail(Template),
}

/// One or the other.
#[derive(Debug)]
pub struct Branch {
    /// What decides.
    pub condition: Expr,
    /// Done if it holds.
    pub then: Vec<Step>,
    /// Done if it does not.
    pub otherwise: Vec<Step>,
}

/// The same again and again.
#[derive(Debug)]
pub struct Repeat {
    /// So often at most; for ever if `None`, in which case there is a condition.
    pub times: Option<ValueTemplate>,
    /// Ends it before a round in which it does not hold.
    pub condition: Option<Expr>,
    /// Ends it after a round after which it holds.
    pub until: Option<Expr>,
    /// The pause between two rounds.
    pub think: Option<Think>,
    /// A round.
    pub steps: Vec<Step>,
}

/// The same for each item of a list.
#[derive(Debug)]
pub struct ForEach {
    /// The list.
    pub items: ValueTemplate,
    /// The variable that is the item.
    pub variable: String,
    /// What is done for each.
    pub steps: Vec<Step>,
}

/// A way that may be taken.
#[derive(Debug)]
pub struct Choice {
    /// How often it is taken, relative to its siblings' weights. Never zero.
    pub weight: u32,
    /// What is done; nothing if it is empty.
    pub steps: Vec<Step>,
}

/// Steps that are measured together.
#[derive(Debug)]
pub struct Group {
    /// Index into [`Plan::measures`](super::Plan::measures): the group, and behind it the same without pauses.
    pub measure: usize,
    /// What is done.
    pub steps: Vec<Step>,
}

/// What ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The iteration.
    Iteration,
    /// The user.
    User,
    /// The whole run.
    Run,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// Always this long.
    Fixed(Duration),
    /// As long as is left of this since the iteration began: only between iterations.
    Pace(Duration),
    /// Uniformly between the two, `min < max`.
    Range {
        /// The shortest pause.
        min: Duration,
        /// The longest pause.
        max: Duration,
    },
    /// Normally distributed; never below zero.
    Normal {
        /// The usual pause.
        mean: Duration,
        /// How far pauses usually are from it.
        deviation: Duration,
    },
    /// As long as between two events that come at random, so long apart on average.
    Exponential {
        /// The average.
        mean: Duration,
    },
}

impl Think {
    /// How long this pause is.
    pub fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Fixed(duration) | Self::Pace(duration) => duration,
            Self::Range { min, max } => random.random_range(min..=max),
            Self::Normal { mean, deviation } => {
                let distance = deviation.mul_f64(normal(random).abs().min(MOST_DEVIATIONS));
                if random.random::<bool>() { mean + distance } else { mean.saturating_sub(distance) }
            }
            Self::Exponential { mean } => mean.mul_f64(-open_uniform(random).ln()),
        }
    }
}

/// A normally distributed number, by Box and Muller.
fn normal(random: &mut Random) -> f64 {
    let (radius, angle) = ((-2.0 * open_uniform(random).ln()).sqrt(), random.random::<f64>());
    radius * (std::f64::consts::TAU * angle).cos()
}

/// A number above 0 and up to 1, whose logarithm is finite.
fn open_uniform(random: &mut Random) -> f64 {
    1.0 - random.random::<f64>()
}

impl Step {
    /// The lists of steps within this one.
    pub fn inner(&self) -> impl Iterator<Item = &[Self]> {
        let lists: Vec<&[Self]> = match self {
            Self::If(branch) => vec![&branch.then, &branch.otherwise],
            Self::Repeat(repeat) => vec![&repeat.steps],
            Self::ForEach(each) => vec![&each.steps],
            Self::Group(group) => vec![&group.steps],
            Self::Choose(choices) => choices.iter().map(|choice| choice.steps.as_slice()).collect(),
            Self::Parallel(branches) => branches.iter().map(Vec::as_slice).collect(),
            Self::Request(_)
            | Self::Think(_)
            | Self::Set(_)
            | Self::Record(_)
            | Self::Log(_)
            | Self::Stop(_)
            | Self::Fail(_) => Vec::new(),
        };
        lists.into_iter()
    }

    /// How many requests it may have under way at the same time.
    #[must_use]
    pub fn width(&self) -> u32 {
        let widths = self.inner().map(|steps| steps.iter().map(Self::width).max().unwrap_or(0));
        match self {
            Self::Request(_) => 1,
            Self::Parallel(_) => widths.sum(),
            _ => widths.max().unwrap_or(0),
        }
    }
}

impl Scenario {
    /// Every step of the scenario that is not within another.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let flow: Vec<&[Step]> = match &self.flow {
            Flow::Tasks(tasks) => tasks.iter().map(|task| task.steps.as_slice()).collect(),
            Flow::Steps(steps) => vec![steps],
        };
        let statuses = self.on_status.iter().map(|(_, steps)| steps.as_slice());
        [self.before.as_slice(), self.after.as_slice()].into_iter().chain(flow).chain(statuses).flatten()
    }

    /// How many requests a user may have under way at the same time.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.steps().map(Step::width).max().unwrap_or(0).max(1)
    }
}
