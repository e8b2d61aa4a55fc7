//! From a bundle (a plan's text and what it may know of the outside) to a [`Plan`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostics::Diagnostics;
use crate::model::Plan;
use crate::units::Rate;

/// Everything that a plan is made of. A generator gets the bundle, not the plan, and compiles it itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Where the text came from, for messages.
    pub file: String,
    /// The YAML.
    pub text: String,
    /// What the command adds.
    pub inputs: Inputs,
}

/// What a plan may know of the outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Environment variables of the command. Only those the plan mentions are kept in a bundle.
    pub env: BTreeMap<String, String>,
    /// `--var k=v`.
    pub variables: BTreeMap<String, String>,
    /// `--target URL`.
    pub target: Option<String>,
    /// `--users N | --rate R` with `--duration D`.
    pub load: Option<LoadOverride>,
}

/// A constant profile that replaces the plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadOverride {
    /// `--users N --duration D`.
    Users {
        /// How many.
        users: u32,
        /// For how long.
        duration: Duration,
    },
    /// `--rate R --duration D`.
    Rate {
        /// Arrivals.
        rate: Rate,
        /// For how long.
        duration: Duration,
    },
}

/// A plan without mistakes, and what is worth saying about it all the same.
#[derive(Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Never contains an error.
    pub warnings: Diagnostics,
}
