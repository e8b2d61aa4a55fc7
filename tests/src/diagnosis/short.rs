//! Every profile with its trouble within a minute or so, at a load that any machine can make.

use serde_json::{Value, json};
use squall_plan::Arrivals;
use squall_target::service::{Kind, Profile};

use super::{Case, Course};

/// What chance is made of.
const SEED: u64 = 11;

/// Arrivals a second, from when on.
type Points = Vec<(f64, f64)>;

/// Each profile once, and what is wrong with it first of all. The longest come first, so that those who run several at the
/// same time end soon.
#[must_use]
pub fn short_cases() -> Vec<(Case, Kind)> {
    let mut cases: Vec<(Case, Kind)> = Profile::ALL.iter().map(|profile| short_case(profile.name)).collect();
    cases.sort_by(|one, other| other.0.course.length_s.total_cmp(&one.0.course.length_s));
    cases
}

fn short_case(profile: &'static str) -> (Case, Kind) {
    let (kind, settings, length_s, points) =
        course_of(profile).unwrap_or((Kind::Healthy, json!({}), 40.0, vec![(0.0, 80.0)]));
    let course = Course { length_s, points, think_s: None, arrivals: Arrivals::Even };
    (Case { profile, settings, before: None, course, shares_connections: false, seed: SEED }, kind)
}

/// The trouble, what brings it on soon, for how long, and arrivals a second from when on; `None` where there is none.
fn course_of(name: &str) -> Option<(Kind, Value, f64, Points)> {
    let level = |rate| vec![(0.0, rate)];
    let steps = vec![(0.0, 20.0), (13.0, 20.0), (13.5, 45.0), (26.0, 45.0), (26.5, 80.0)];
    let ramp = vec![(0.0, 10.0), (40.0, 120.0)];
    Some(match name {
        "lambda" => (Kind::ColdStarts, json!({ "work_ms": 150.0 }), 40.0, steps),
        "google-function" => (Kind::ColdStarts, json!({ "work_ms": 40.0, "per_instance": 2 }), 40.0, steps),
        "azure-function" => {
            (Kind::ColdStarts, json!({ "work_ms": 150.0, "start_every_s": 1.0 }), 40.0, steps)
        }
        "gateway" => {
            let settings = json!({ "burst": 150, "refill_per_s": 40.0 });
            (Kind::RateLimited, settings, 45.0, vec![(0.0, 25.0), (15.0, 25.0), (16.0, 80.0)])
        }
        "pods" => {
            let settings = json!({
                "workers": 4, "pods": 2, "work_ms": 80.0, "queue": 60, "interval_s": 5.0, "lag_s": 5.0,
                "window_s": 5.0, "startup_s": 4.0, "readiness_s": 2.0,
            });
            (Kind::AutoscalingLag, settings, 65.0, vec![(0.0, 40.0), (18.0, 40.0), (19.0, 130.0)])
        }
        "fixed" => (Kind::HardCapacityLimit, json!({ "workers": 4, "work_ms": 55.0 }), 45.0, ramp),
        "slow-dependency" => {
            let settings = json!({ "from_s": 15.0, "ramp_s": 10.0, "share": 0.12, "slow_ms": 700.0 });
            (Kind::SlowDependency, settings, 45.0, level(100.0))
        }
        "database" => (Kind::WriteContention, json!({ "write_ms": 95.0 }), 45.0, ramp),
        "retry-storm" => {
            let settings = json!({
                "workers": 4, "work_ms": 38.0, "timeout_ms": 190.0, "blip_s": 15.0, "blip_for_s": 4.0,
            });
            (Kind::RetryStorm, settings, 45.0, level(80.0))
        }
        "cache" => (Kind::WarmUp, json!({ "items": 600 }), 50.0, level(100.0)),
        "noisy-neighbour" => (Kind::Healthy, json!({}), 45.0, level(80.0)),
        "deployment" => {
            let settings = json!({ "pods": 3, "from_s": 15.0, "step_s": 10.0, "down_s": 3.0, "slow_s": 2.0 });
            (Kind::RestartOrDeployment, settings, 55.0, level(100.0))
        }
        // Reads over a connection that breaks are sent again, so that fewer failures show than there are.
        "network" => (
            Kind::Network,
            json!({ "from_s": 12.0, "reset_share": 0.06, "lost_share": 0.01 }),
            45.0,
            level(80.0),
        ),
        "connection-limit" => (Kind::ConnectionLimit, json!({ "work_ms": 200.0, "limit": 12 }), 45.0, ramp),
        "leak" => (Kind::SteadyDegradation, json!({ "growth": 0.2 }), 65.0, level(90.0)),
        _ => return None,
    })
}
