//! What was asked for, as far as the report shows it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_plan::{Load, PlacedLoad, Plan};

/// A plan's text beyond this is left out: what is generated may be of any length.
const MAX_TEXT_BYTES: usize = 200_000;

/// Stages beyond these are left out.
const MAX_STAGES: usize = 1_000;

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanFacts {
    /// The plan as it was written; empty where it is not known, and cut where it is very long.
    #[serde(default)]
    pub text: String,
    /// The stages of its loads, in their order, without those that take no time.
    #[serde(default)]
    pub stages: Vec<PlannedStage>,
}

/// One stage of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStage {
    /// Its number, as thresholds write it, and what it does.
    pub name: String,
    /// When it begins.
    pub from_s: f64,
    /// When it ends.
    pub until_s: f64,
}

impl PlanFacts {
    pub(crate) fn new(plan: &Plan, mut text: String) -> Self {
        if text.len() > MAX_TEXT_BYTES {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            text.push_str("\n# … cut off here");
        }
        let several = plan.loads.len() > 1;
        let stages = plan.loads.iter().enumerate().flat_map(|(index, load)| {
            let prefix = if several { format!("load {}, ", index + 1) } else { String::new() };
            stages(load, prefix)
        });
        Self { text, stages: stages.take(MAX_STAGES).collect() }
    }
}

fn stages(placed: &PlacedLoad, prefix: String) -> impl Iterator<Item = PlannedStage> {
    let unit = if matches!(placed.load, Load::Open(_)) { "/s" } else { " users" };
    let profile = placed.load.profile();
    let start = placed.start;
    let lasting = (1..profile.len()).filter(|&end| profile[end].0 > profile[end - 1].0).collect::<Vec<_>>();
    lasting.into_iter().map(move |end| {
        let ((from, before), (until, after)) = (profile[end - 1], profile[end]);
        let level = |level: f64| ((level * 100.0).round() / 100.0).to_string();
        let what = if before.total_cmp(&after).is_eq() {
            format!("{}{unit}", level(after))
        } else {
            format!("{} to {}{unit}", level(before), level(after))
        };
        let seconds = |at: Duration| (start + at).as_secs_f64();
        let name = format!("{prefix}stage {end} ({what})");
        PlannedStage { name, from_s: seconds(from), until_s: seconds(until) }
    })
}
