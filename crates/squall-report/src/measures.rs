//! What was measured besides requests: iterations, groups, and metrics of the plan's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_metrics::{MeasureId, Merged};
use squall_plan::{Measure, MeasureKind, Plan};

use crate::build::times;
use crate::result::Times;

/// The same over all of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measures {
    /// Iterations of each scenario that came to their end without a failure.
    pub iterations: Vec<Span>,
    /// Groups that did.
    pub groups: Vec<Span>,
    /// Metrics of the plan's own.
    pub metrics: Vec<Metric>,
}

/// How long something took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// The scenario.
    pub scenario: String,
    /// The group; nothing for iterations.
    pub name: Option<String>,
    /// With all pauses.
    pub time_ms: Times,
    /// Without them.
    pub active_time_ms: Times,
}

/// A metric of the plan's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its values, to three places.
    pub values: Times,
}

pub(crate) fn measures(plan: &Plan, merged: &Merged) -> Measures {
    let ids = (0..=u16::MAX).map(MeasureId);
    let measured = || plan.measures.iter().zip(ids.clone());
    let values = |id: MeasureId| merged.measures().get(&id).map(times).unwrap_or_default();
    let span = |(measure, id): (&Measure, MeasureId)| Span {
        scenario: measure.scenario.clone(),
        name: (measure.kind == MeasureKind::Group).then(|| measure.name.clone()),
        time_ms: values(id),
        // Each is followed by the same without pauses.
        active_time_ms: values(MeasureId(id.0.saturating_add(1))),
    };
    let of = |kind| measured().filter(move |(measure, _)| measure.kind == kind);
    Measures {
        iterations: of(MeasureKind::Iteration).map(span).collect(),
        groups: of(MeasureKind::Group).map(span).collect(),
        metrics: of(MeasureKind::Metric)
            .map(|(measure, id)| Metric { name: measure.name.clone(), values: values(id) })
            .collect(),
    }
}
