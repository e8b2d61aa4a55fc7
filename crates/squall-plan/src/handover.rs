//! How a slice passes from one generator to another while the load goes on.
//!
//! Arrivals change hands at one instant, the boundary. A user that has to log in again changes hands by itself: user
//! number *k* of its slice at *k* × [`LOGIN_SPACING`] after the boundary, so that a target that was built for a few
//! logins a second does not get those of all users at once. Both generators know the rule, so between one and the other
//! no user is missing, and none is there twice. A stretch of the profile in which a user begins at the boundary or
//! after it is the successor's as a whole: there is nothing to hand over.

use std::time::Duration;

use crate::model::{Load, PlacedLoad, Plan};
use crate::schedule::UserSchedule;

/// How far apart the users of a slice change hands where they log in: 25 of them a second.
pub const LOGIN_SPACING: Duration = Duration::from_millis(40);

impl Plan {
    /// How far apart the users of a slice change hands in a load; zero where no scenario has a `before`, and in the open
    /// model, whose users get ready ahead of the boundary.
    #[must_use]
    pub fn handover_spacing(&self, placed: &PlacedLoad) -> Duration {
        let logs_in = |&scenario: &usize| {
            self.scenarios.get(scenario).is_some_and(|scenario| !scenario.before.is_empty())
        };
        let is_closed = matches!(placed.load, Load::Closed(_));
        if is_closed && placed.scenarios.iter().any(logs_in) { LOGIN_SPACING } else { Duration::ZERO }
    }

    /// How long after the boundary the last user of a slice changes hands, at most, if there are so many slices.
    #[must_use]
    pub fn handover_spread(&self, share_count: u32) -> Duration {
        let spreads = self.loads.iter().map(|placed| match &placed.load {
            Load::Open(_) => Duration::ZERO,
            Load::Closed(load) => {
                let last = UserSchedule::new(load).users().saturating_sub(1) / share_count.max(1);
                self.handover_spacing(placed).saturating_mul(last)
            }
        });
        spreads.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, Inputs, compile};

    #[test]
    fn only_users_that_log_in_change_hands_one_after_the_other() {
        let check = |load: &str, slices: u32, expected_ms: u64| {
            let text = format!(
                "target: http://127.0.0.1:1\nload: {load}\nscenarios: {{ a: {{ steps: [ {{ get: / }} ] }}, \
                 b: {{ before: [ {{ post: /in }} ], steps: [ {{ get: / }} ] }} }}"
            );
            let bundle = Bundle::new("p.yaml", text.as_str(), Inputs::default());
            let plan = compile(&bundle).unwrap_or_else(|told| panic!("{}", told.render(false))).plan;
            assert_eq!(plan.handover_spread(slices), Duration::from_millis(expected_ms), "{load}");
        };
        check("{ users: 101, duration: 1m, scenarios: [a] }", 1, 0);
        check("{ users: 101, duration: 1m, scenarios: [b] }", 1, 4_000);
        check("{ users: 101, duration: 1m, scenarios: [b] }", 10, 400);
        check("{ users: 100, duration: 1m, scenarios: [b] }", 10, 360);
        check("{ users: 3, duration: 1m }", 10, 0);
        check("{ rate: 100/s, duration: 1m, max_users: 500 }", 1, 0);
        check(
            "[ { users: 500, duration: 1m, scenarios: [a] }, { users: 3, duration: 1m, scenarios: [b] } ]",
            1,
            80,
        );
    }
}
