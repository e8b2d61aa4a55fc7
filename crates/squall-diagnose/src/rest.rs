//! What is left of a run when a cause is taken out of it. Two causes at the same time hide each other: what the first
//! explains says nothing of the second, and the rest says nothing of the first.

use squall_metrics::{Phase, Sparse};

use crate::causes::unexplained_failures::Failing;
use crate::finding::{Finding, Kind};
use crate::observed::{Calls, Class, Observed, Tick};

/// A cause, how it is taken out, and what is a cause of its own if it is seen in what is left.
const APART: [(Kind, Way, &[Kind]); 6] = [
    (Kind::RateLimited, Way::Outcomes(&[Class::Limited]), SERVED),
    (Kind::ConcurrencyThrottled, Way::Outcomes(&[Class::Limited]), SERVED),
    (Kind::ConnectionLimit, Way::Outcomes(&[Class::Refused]), CONNECTED),
    // Packets that are lost still make the slowest slower.
    (Kind::Network, Way::Outcomes(&[Class::Dns, Class::Tls, Class::Reset]), LOADED),
    (Kind::WarmUp, Way::Before, CONNECTED),
    (Kind::HardCapacityLimit, Way::After, &[Kind::WarmUp]),
];

/// What befalls requests that were let through.
const SERVED: &[Kind] = &[
    Kind::AutoscalingLag,
    Kind::HardCapacityLimit,
    Kind::ColdStarts,
    Kind::SlowDependency,
    Kind::WriteContention,
    Kind::WarmUp,
    Kind::RestartOrDeployment,
    Kind::Network,
    Kind::ConnectionLimit,
    Kind::SteadyDegradation,
];

/// What befalls requests that have a connection.
const CONNECTED: &[Kind] = &[
    Kind::HardCapacityLimit,
    Kind::SlowDependency,
    Kind::WriteContention,
    Kind::WarmUp,
    Kind::SteadyDegradation,
];

/// What only load or time makes slow.
const LOADED: &[Kind] = &[
    Kind::AutoscalingLag,
    Kind::HardCapacityLimit,
    Kind::WriteContention,
    Kind::WarmUp,
    Kind::SteadyDegradation,
];

/// How a cause is taken out.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Requests that ended in these ways are left out.
    Outcomes(&'static [Class]),
    /// All is left out until it was over.
    Before,
    /// All is left out from when it began.
    After,
}

/// What is left of a run without a cause, and what is a cause of its own there; `None` if nothing can be told apart from it.
pub(crate) fn without(observed: &Observed, cause: &Finding) -> Option<(Observed, &'static [Kind])> {
    let (_, way, apart) = APART.iter().find(|(kind, _, _)| *kind == cause.kind)?;
    let mut rest = observed.clone();
    match way {
        Way::Outcomes(classes) => rest.ticks.iter_mut().for_each(|tick| leave_out(tick, classes)),
        Way::Before => rest.ticks.retain(|tick| tick.t_s >= cause.until_s),
        Way::After => rest.ticks.retain(|tick| tick.t_s < cause.from_s),
    }
    Some((rest, apart))
}

/// What is left of a run without requests that fail at any load.
pub(crate) fn without_failing(observed: &Observed, failing: &[Failing]) -> Observed {
    let mut rest = observed.clone();
    for tick in &mut rest.ticks {
        for one in failing {
            let Some(calls) = tick.calls.get_mut(one.endpoint) else { continue };
            if one.is_always() {
                *calls = Calls::default();
                continue;
            }
            for class in one.ways() {
                calls.errors = (calls.errors - calls.by[*class as usize]).max(0.0);
                calls.by[*class as usize] = 0.0;
            }
            calls.failed = Sparse::default();
        }
    }
    rest
}

/// Without the requests that ended in some ways, and without connections if those were the trouble.
fn leave_out(tick: &mut Tick, classes: &[Class]) {
    let connecting = classes.contains(&Class::Dns);
    for calls in &mut tick.calls {
        for class in classes {
            calls.errors = (calls.errors - calls.by[*class as usize]).max(0.0);
            calls.by[*class as usize] = 0.0;
        }
        if connecting {
            calls.new_connections = 0.0;
        }
    }
    if connecting {
        for phase in [Phase::Dns, Phase::Connect, Phase::Tls] {
            tick.phases_us[phase as usize] = 0.0;
        }
    }
}
