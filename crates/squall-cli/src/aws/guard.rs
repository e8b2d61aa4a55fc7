//! What a fleet may do, what a run on it is about to do, and what a run that is over has left on.

use std::time::Duration;

use anyhow::anyhow;
use squall_aws::operator::{Fleet, Left};
use squall_fleet::ceilings::{Peak, peak_rate};
use squall_fleet::{Beyond, Ceilings};
use squall_plan::{Load, Plan};

use crate::failure::Failure;

/// Hosts that are named one by one.
const HOSTS_SHOWN: usize = 5;

/// Refuses a run that the generators would refuse, too: they look at what they were deployed with.
pub(super) fn check_ceilings(plan: &Plan, fleet: &Fleet, generators: u32) -> Result<(), Failure> {
    let ceilings = ceilings(fleet)?;
    ceilings.check(plan, generators).map_err(|beyond| {
        let hint = match &beyond {
            Beyond::Host { .. } => {
                "whoever is responsible for the fleet lets it go there: `squall deploy --allow HOST`, once for each host"
                    .to_owned()
            }
            Beyond::Rate { .. } => {
                "make less load, or raise the ceiling: `squall deploy --max-rate N`".to_owned()
            }
            Beyond::Unpaced { .. } => {
                "give it `think` between iterations, such as `think: pace(1s)`, or let arrivals come at a `rate`".to_owned()
            }
            Beyond::Generators { most, .. } => {
                format!("take at most --generators {most}, or raise the ceiling: `squall deploy --max-generators N`")
            }
        };
        Failure::wrong(beyond).with_hint(hint)
    })
}

/// What the fleet may do.
pub(super) fn ceilings(fleet: &Fleet) -> Result<&Ceilings, Failure> {
    fleet.ceilings.as_ref().map_err(|error| {
        Failure::wrong(anyhow!("a parameter of the stack is no ceiling: {error}"))
            .with_hint("`squall deploy` with --allow, --max-rate and --max-generators sets them anew")
    })
}

/// What a run is about to do, for whoever has to answer for it: how much load, by whom, for how long, where from and
/// where to, and how it can be recognised there.
pub(super) fn declaration(plan: &Plan, run: &str, generators: u32, lanes: u32, regions: &[String]) -> String {
    let users = plan.most_users();
    let load = match peak_rate(plan) {
        Peak::Rate(rate) => {
            format!("up to {rate:.0} iterations/s{} by up to {users} users", requests(plan, rate))
        }
        Peak::Unpaced(_) => format!("up to {users} users, who go on as fast as answers come"),
    };
    let all: Vec<&str> = plan.allow.hosts().collect();
    let mut hosts = all.iter().take(HOSTS_SHOWN).copied().collect::<Vec<_>>().join(", ");
    if all.len() > HOSTS_SHOWN {
        hosts = format!("{hosts} and {} more hosts", all.len() - HOSTS_SHOWN);
    }
    let over = if lanes > 1 { format!(" over {lanes} lanes") } else { String::new() };
    let regions = regions.join(", ");
    format!(
        "run {run}: {load}, for {}, from {}{over} in {regions}\n  \
         to {hosts} · requests without a `User-Agent` of the plan's say `squall/{} (run {run})`",
        seconds(plan.latest_request()),
        crate::size::generators(generators),
        super::VERSION,
    )
}

/// How many requests those are, where that can be known: arrivals that all do the same.
fn requests(plan: &Plan, rate: f64) -> String {
    if plan.loads.iter().any(|placed| matches!(placed.load, Load::Closed(_))) {
        return String::new();
    }
    let each = plan.scenarios.iter().map(|scenario| scenario.per_iteration().most.map(|most| most.requests));
    let most = each.collect::<Option<Vec<f64>>>().map(|each| each.into_iter().fold(0.0, f64::max));
    most.map(|most| format!(" ({:.0} requests/s)", most * rate)).unwrap_or_default()
}

fn seconds(duration: Duration) -> String {
    let s = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    match (s / 60, s % 60) {
        (0, s) => format!("{s} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, s) => format!("{minutes} min {s} s"),
    }
}

/// What is still on between runs, in a sentence; `None` if nothing is.
pub(super) fn in_words(left: Left) -> Option<String> {
    let Left { lanes, open, with_pollers } = left;
    let what = match (open, with_pollers, lanes) {
        (0, 0, _) => return None,
        (_, 0, 1) => "the mapping is open".to_owned(),
        (0, _, 1) => "the mapping has provided pollers".to_owned(),
        (_, _, 1) => "the mapping is open and has provided pollers".to_owned(),
        (open, 0, lanes) => format!("{open} of {lanes} mappings are open"),
        (0, pollers, lanes) => format!("{pollers} of {lanes} mappings have provided pollers"),
        (open, pollers, lanes) => {
            format!("of {lanes} mappings {open} are open and {pollers} have provided pollers")
        }
    };
    Some(what)
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs, compile};

    use super::*;

    fn plan(load: &str, scenarios: &str) -> Plan {
        let text = format!(
            "target: http://shop.test\nallow: [ '*.cdn.test' ]\nload: {load}\nscenarios: {{ {scenarios} }}"
        );
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan
    }

    #[test]
    fn a_run_says_what_it_is_about_to_do() {
        let check = |load: &str, scenarios: &str, expected: &str| {
            let words = declaration(&plan(load, scenarios), "r1", 4, 2, &["eu-west-1".to_owned()]);
            assert!(words.contains(expected), "{words}");
            assert!(words.contains("from 4 generators over 2 lanes in eu-west-1"), "{words}");
            assert!(words.contains("to *.cdn.test, shop.test ·"), "{words}");
            assert!(words.contains(&format!("`squall/{} (run r1)`", super::super::VERSION)), "{words}");
        };
        let two = "a: { steps: [ { get: / }, { get: / } ] }";
        let open = "{ rate: 200/s, duration: 5m, max_users: 90, graceful_stop: 10s }";
        check(open, two, "up to 200 iterations/s (400 requests/s) by up to 90 users, for 5 min 10 s, ");
        let endless = "a: { steps: [ { repeat: { while: vu.id == 1 }, steps: [ { get: / } ] } ] }";
        check(open, endless, "up to 200 iterations/s by up to 90 users");
        let closed = "{ users: 50, duration: 20s, graceful_stop: 1s }";
        check(closed, two, "up to 50 users, who go on as fast as answers come, for 21 s");
        check(
            closed,
            "a: { think: pace(5s), steps: [ { get: / } ] }",
            "up to 10 iterations/s by up to 50 users",
        );
    }

    #[test]
    fn what_is_left_on_is_named() {
        let check = |lanes, open, with_pollers, expected: Option<&str>| {
            assert_eq!(in_words(Left { lanes, open, with_pollers }).as_deref(), expected);
        };
        check(1, 0, 0, None);
        check(1, 1, 0, Some("the mapping is open"));
        check(1, 0, 1, Some("the mapping has provided pollers"));
        check(1, 1, 1, Some("the mapping is open and has provided pollers"));
        check(3, 2, 0, Some("2 of 3 mappings are open"));
        check(3, 0, 3, Some("3 of 3 mappings have provided pollers"));
        check(3, 2, 3, Some("of 3 mappings 2 are open and 3 have provided pollers"));
    }
}
