//! What can be known of a load before it is made: its profile, and how many requests come of it.
//!
//! The number of requests is an estimate. It counts what journeys send if nothing fails, and leaves out redirects,
//! retries, `stop` and what `on_status` does. What hangs on conditions lies between two bounds.

use std::time::Duration;

use crate::expression::{ValueTemplate, to_text};
use crate::model::{
    Flow, Iterations, Load, OpenLoad, PlacedLoad, Plan, Repeat, Scenario, Step, Think, Users,
};
use crate::schedule::{Planned, UserSchedule};
use crate::share::Share;
use crate::units::Rate;

/// What a piece of a journey does on average.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    /// Requests.
    pub requests: f64,
    /// Seconds that the user pauses.
    pub pause_s: f64,
    /// Bytes in the bodies of its requests, as far as the plan has them.
    pub body_bytes: f64,
}

/// What a piece of a journey does at least and at most, on average over many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// With conditions that lead to less.
    pub least: Amount,
    /// With conditions that lead to more; `None` if there is no bound.
    pub most: Option<Amount>,
}

/// How many requests a load makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requests {
    /// At least about so many.
    pub least: f64,
    /// At most about so many; `None` if that cannot be known.
    pub most: Option<f64>,
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            pause_s: self.pause_s + other.pause_s,
            body_bytes: self.body_bytes + other.body_bytes,
        }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            requests: self.requests * factor,
            pause_s: self.pause_s * factor,
            body_bytes: self.body_bytes * factor,
        }
    }

    fn more(self, other: Self) -> bool {
        (self.requests, self.pause_s) > (other.requests, other.pause_s)
    }
}

impl Bounds {
    const NOTHING: Self = Self::exactly(Amount { requests: 0.0, pause_s: 0.0, body_bytes: 0.0 });

    const fn exactly(amount: Amount) -> Self {
        Self { least: amount, most: Some(amount) }
    }

    fn plus(self, other: Self) -> Self {
        let most = self.most.zip(other.most).map(|(a, b)| a.plus(b));
        Self { least: self.least.plus(other.least), most }
    }

    /// So often at least and at most.
    fn times(self, least: f64, most: Option<f64>) -> Self {
        let most = match (self.most, most) {
            (Some(amount), Some(most)) => Some(amount.times(most)),
            // Nothing, however often, is nothing.
            (Some(amount), None) if amount == Amount::default() => Some(amount),
            _ => None,
        };
        Self { least: self.least.times(least), most }
    }

    /// One or the other.
    fn or(self, other: Self) -> Self {
        let least = if self.least.more(other.least) { other.least } else { self.least };
        let most = self.most.zip(other.most).map(|(a, b)| if a.more(b) { a } else { b });
        Self { least, most }
    }

    fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::NOTHING, Self::plus)
    }

    /// By weight.
    fn mean(all: impl Iterator<Item = (u32, Self)> + Clone) -> Self {
        let weights: f64 = all.clone().map(|(weight, _)| f64::from(weight)).sum();
        Self::sum(all.map(|(weight, bounds)| {
            let share = f64::from(weight) / weights.max(1.0);
            bounds.times(share, Some(share))
        }))
    }
}

/// The usual length of a pause.
#[must_use]
pub fn usual_pause(think: Think) -> Duration {
    match think {
        Think::Fixed(pause) | Think::Pace(pause) => pause,
        Think::Range { min, max } => (min + max) / 2,
        Think::Normal { mean, .. } | Think::Exponential { mean } => mean,
    }
}

fn pause(think: Think) -> Bounds {
    Bounds::exactly(Amount { pause_s: usual_pause(think).as_secs_f64(), ..Amount::default() })
}

/// What steps do.
#[must_use]
pub fn of_steps(steps: &[Step]) -> Bounds {
    Bounds::sum(steps.iter().map(of_step))
}

fn of_step(step: &Step) -> Bounds {
    match step {
        Step::Request(request) => {
            let body_bytes = request.body.least_bytes() as f64;
            Bounds::exactly(Amount { requests: 1.0, body_bytes, ..Amount::default() })
        }
        Step::Think(think) => pause(*think),
        Step::If(branch) => of_steps(&branch.then).or(of_steps(&branch.otherwise)),
        Step::Repeat(repeat) => {
            let think = repeat.think.map_or(Bounds::NOTHING, pause);
            let (least, most) = rounds(repeat);
            // There is a pause between two rounds, and none after the last.
            let pauses = think.times((least - 1.0).max(0.0), most.map(|most| (most - 1.0).max(0.0)));
            of_steps(&repeat.steps).times(least, most).plus(pauses)
        }
        Step::ForEach(each) => {
            let length = each.items.as_constant().and_then(minijinja::Value::len);
            let length = length.map(|length| length as f64);
            of_steps(&each.steps).times(length.unwrap_or(0.0), length)
        }
        Step::Choose(choices) => {
            Bounds::mean(choices.iter().map(|choice| (choice.weight, of_steps(&choice.steps))))
        }
        Step::Parallel(branches) => Bounds::sum(branches.iter().map(|steps| of_steps(steps))),
        Step::Group(group) => of_steps(&group.steps),
        Step::Set(_) | Step::Record(_) | Step::Log(_) | Step::Stop(_) | Step::Fail(_) => Bounds::NOTHING,
    }
}

/// Rounds of a `repeat`, at least and at most.
fn rounds(repeat: &Repeat) -> (f64, Option<f64>) {
    let constant = |times: &ValueTemplate| to_text(times.as_constant()?).parse::<f64>().ok();
    let times = repeat.times.as_ref().and_then(constant);
    let least = match (repeat.condition.is_some(), repeat.until.is_some(), times) {
        (true, ..) | (false, false, None) => 0.0,
        (false, true, _) => 1.0,
        (false, false, Some(times)) => times,
    };
    (least.min(times.unwrap_or(f64::INFINITY)), times)
}

impl Scenario {
    /// What an iteration does, without the pause that follows it.
    #[must_use]
    pub fn per_iteration(&self) -> Bounds {
        match &self.flow {
            Flow::Steps(steps) => of_steps(steps),
            Flow::Tasks(tasks) => Bounds::mean(tasks.iter().map(|task| {
                let steps = of_steps(&task.steps);
                (task.weight, if task.condition.is_some() { steps.or(Bounds::NOTHING) } else { steps })
            })),
        }
    }

    /// What a user does once, before and after all iterations.
    #[must_use]
    pub fn per_user(&self) -> Bounds {
        of_steps(&self.before).plus(of_steps(&self.after))
    }

    /// How long an iteration takes with the pause that follows it, if responses take so long.
    fn takes_s(&self, amount: Amount, response_s: f64) -> f64 {
        let active = amount.pause_s + amount.requests * response_s;
        match self.think {
            None => active,
            Some(Think::Pace(pace)) => active.max(pace.as_secs_f64()),
            Some(think) => active + usual_pause(think).as_secs_f64(),
        }
    }
}

impl Plan {
    /// Bytes that the body of a request of a journey has on average, as far as the plan has them.
    #[must_use]
    pub fn body_bytes(&self) -> f64 {
        let all = self.scenarios.iter().map(|scenario| {
            let bounds = scenario.per_iteration();
            bounds.most.unwrap_or(bounds.least).times(f64::from(scenario.weight))
        });
        let all = all.fold(Amount::default(), Amount::plus);
        if all.requests > 0.0 { all.body_bytes / all.requests } else { 0.0 }
    }
}

impl PlacedLoad {
    /// About how many requests the load makes, if responses take `response_s` on average: of the open model, and of a
    /// number of iterations, that makes no difference.
    #[must_use]
    pub fn requests(&self, plan: &Plan, response_s: f64) -> Requests {
        let scenarios: Vec<&Scenario> =
            self.scenarios.iter().filter_map(|&index| plan.scenarios.get(index)).collect();
        let weights: f64 = scenarios.iter().map(|scenario| f64::from(scenario.weight)).sum();
        let share = |scenario: &Scenario| f64::from(scenario.weight) / weights.max(1.0);
        let each = |scenario: &&Scenario| match self.load.planned(Share::WHOLE) {
            Planned::Arrivals(arrivals) => self.of_arrivals(scenario, arrivals as f64 * share(scenario)),
            Planned::Iterations(iterations) => {
                let users = f64::from(self.users()) * share(scenario);
                let iterations = iterations as f64 * share(scenario);
                requests(scenario.per_iteration().times(iterations, Some(iterations)))
                    .plus(requests(scenario.per_user().times(users, Some(users))))
            }
            Planned::UserMicros(us) => {
                let users = f64::from(self.users()) * share(scenario);
                let user_s = us as f64 / 1e6 * share(scenario);
                of_time(scenario, user_s, response_s)
                    .plus(requests(scenario.per_user().times(users, Some(users))))
            }
        };
        scenarios.iter().map(each).fold(Requests { least: 0.0, most: Some(0.0) }, Requests::plus)
    }

    /// About how many requests a second the load makes at its peak, if responses take `response_s`; what reused users do once
    /// is left out.
    #[must_use]
    pub fn peak(&self, plan: &Plan, response_s: f64) -> Requests {
        let scenarios: Vec<&Scenario> =
            self.scenarios.iter().filter_map(|&index| plan.scenarios.get(index)).collect();
        let weights: f64 = scenarios.iter().map(|scenario| f64::from(scenario.weight)).sum();
        let each = |scenario: &&Scenario| {
            let share = f64::from(scenario.weight) / weights.max(1.0);
            match &self.load {
                Load::Open(load) => {
                    let rate = load.peak().per_second() * share;
                    let once = if load.users == Users::Fresh { scenario.per_user() } else { Bounds::NOTHING };
                    requests(scenario.per_iteration().plus(once).times(rate, Some(rate)))
                }
                Load::Closed(_) => of_time(scenario, f64::from(self.users()) * share, response_s),
            }
        };
        scenarios.iter().map(each).fold(Requests { least: 0.0, most: Some(0.0) }, Requests::plus)
    }

    /// Arrivals are as many as they are; who is ready for them depends on how long they take.
    fn of_arrivals(&self, scenario: &Scenario, arrivals: f64) -> Requests {
        let (least, most) = match &self.load {
            Load::Open(load) if load.users == Users::Fresh => (arrivals, arrivals),
            Load::Open(load) => (0.0, f64::from(load.max_users).min(arrivals)),
            Load::Closed(_) => (0.0, 0.0),
        };
        requests(scenario.per_iteration().times(arrivals, Some(arrivals)))
            .plus(requests(scenario.per_user().times(least, Some(most))))
    }

    /// Users at the most.
    #[must_use]
    pub fn users(&self) -> u32 {
        match &self.load {
            Load::Open(load) => load.max_users,
            Load::Closed(load) => UserSchedule::new(load).users(),
        }
    }
}

impl OpenLoad {
    /// The highest rate.
    #[must_use]
    pub fn peak(&self) -> Rate {
        self.stages.iter().map(|stage| stage.rate).fold(self.start_rate, Rate::max)
    }
}

/// What users do in so many seconds.
fn of_time(scenario: &Scenario, user_s: f64, response_s: f64) -> Requests {
    let within = |amount: Amount| {
        let takes_s = scenario.takes_s(amount, response_s);
        if takes_s > 0.0 { Some(user_s / takes_s * amount.requests) } else { None }
    };
    let bounds = scenario.per_iteration();
    let (one, other) = (within(bounds.least), bounds.most.and_then(within));
    // More requests in an iteration may be fewer in all, where they go with longer pauses.
    match (one, other) {
        (Some(one), Some(other)) => Requests { least: one.min(other), most: Some(one.max(other)) },
        (one, _) => Requests { least: one.unwrap_or(0.0), most: None },
    }
}

fn requests(bounds: Bounds) -> Requests {
    Requests { least: bounds.least.requests, most: bounds.most.map(|most| most.requests) }
}

impl Requests {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { least: self.least + other.least, most: self.most.zip(other.most).map(|(a, b)| a + b) }
    }
}

impl Load {
    /// The profile as a line: instants, and the users or arrivals a second then. Where it jumps, an instant is twice.
    #[must_use]
    pub fn profile(&self) -> Vec<(Duration, f64)> {
        let (start, stages): (f64, Vec<(Duration, f64)>) = match self {
            Self::Closed(load) => (
                f64::from(load.start_users),
                load.stages.iter().map(|stage| (stage.duration, f64::from(stage.users))).collect(),
            ),
            Self::Open(load) => (
                load.start_rate.per_second(),
                load.stages.iter().map(|stage| (stage.duration, stage.rate.per_second())).collect(),
            ),
        };
        let mut at = Duration::ZERO;
        let ends = stages.into_iter().map(|(duration, level)| {
            at += duration;
            (at, level)
        });
        [(Duration::ZERO, start)].into_iter().chain(ends).collect()
    }

    /// Whether iterations end the load, and not time.
    #[must_use]
    pub fn ends_by_iterations(&self) -> Option<Iterations> {
        match self {
            Self::Closed(load) => load.iterations,
            Self::Open(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, Inputs, compile};

    fn plan(load: &str, scenario: &str) -> Plan {
        let text = format!("target: http://x\nload: {load}\nscenarios: {{ a: {scenario} }}");
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan
    }

    #[test]
    fn requests_of_an_iteration_lie_between_what_conditions_lead_to() {
        let check = |scenario: &str, least: f64, most: Option<f64>| {
            let plan = plan("{ users: 1, duration: 1s }", scenario);
            let found = requests(plan.scenarios[0].per_iteration());
            assert_eq!((found.least, found.most), (least, most), "{scenario}");
        };
        check("{ steps: [ { get: / }, { get: / } ] }", 2.0, Some(2.0));
        check("{ steps: [ { get: / }, { if: vu.id > 3, then: [ { get: / } ] } ] }", 1.0, Some(2.0));
        check("{ steps: [ { repeat: { times: 5 }, steps: [ { get: / } ] } ] }", 5.0, Some(5.0));
        let until = "{ steps: [ { repeat: { times: 5, until: vu.id == 1 }, steps: [ { get: / } ] } ] }";
        check(until, 1.0, Some(5.0));
        check("{ steps: [ { repeat: { while: vu.id == 1 }, steps: [ { get: / } ] } ] }", 0.0, None);
        check("{ steps: [ { for_each: { in: [1, 2, 3], as: x }, steps: [ { get: / } ] } ] }", 3.0, Some(3.0));
        let list = "{ steps: [ { set: { l: '{{ [1] }}' } }, { for_each: { in: '{{ l }}', as: x }, steps: [ { get: / } ] } ] }";
        check(list, 0.0, None);
        check(
            "{ steps: [ { choose: [ { weight: 3, steps: [ { get: / } ] }, { weight: 1 } ] } ] }",
            0.75,
            Some(0.75),
        );
        check("{ steps: [ { parallel: [ [ { get: / } ], [ { get: / } ] ] } ] }", 2.0, Some(2.0));
        check(
            "{ tasks: [ { weight: 3, steps: [ { get: / } ] }, { weight: 1, if: vu.id == 1, steps: [ { get: / } ] } ] }",
            0.75,
            Some(1.0),
        );
    }

    #[test]
    fn a_load_makes_as_many_requests_as_its_model_says() {
        let check = |load: &str, scenario: &str, response_s: f64, expected: (f64, Option<f64>)| {
            let plan = plan(load, scenario);
            let found = plan.loads[0].requests(&plan, response_s);
            let round = |number: f64| (number * 10.0).round() / 10.0;
            assert_eq!((round(found.least), found.most.map(round)), expected, "{load} {scenario}");
        };
        let one = "{ steps: [ { get: / } ] }";
        // Arrivals are known whatever responses take.
        check("{ rate: 10/s, duration: 10s }", one, 0.1, (100.0, Some(100.0)));
        check("{ rate: 10/s, duration: 10s }", one, 9.0, (100.0, Some(100.0)));
        let login = "{ before: [ { post: / } ], steps: [ { get: / } ] }";
        check("{ rate: 10/s, duration: 10s, max_users: 20 }", login, 0.1, (100.0, Some(120.0)));
        check("{ rate: 10/s, duration: 10s, users: fresh, max_users: 20 }", login, 0.1, (200.0, Some(200.0)));
        // Users go on when they have their answers, and have paused.
        check("{ users: 10, duration: 10s }", one, 0.1, (1_000.0, Some(1_000.0)));
        check("{ users: 10, duration: 10s }", one, 0.0, (0.0, None));
        let thinks = "{ think: 400ms..1400ms, steps: [ { get: / } ] }";
        check("{ users: 10, duration: 10s }", thinks, 0.1, (100.0, Some(100.0)));
        check(
            "{ users: 10, duration: 10s }",
            "{ think: pace(2s), steps: [ { get: / } ] }",
            0.1,
            (50.0, Some(50.0)),
        );
        check("{ users: 10, duration: 10s, iterations: 30 }", login, 0.1, (40.0, Some(40.0)));
    }

    #[test]
    fn the_peak_of_a_load_is_that_of_its_highest_stage() {
        let check = |load: &str, scenario: &str, expected: (f64, Option<f64>)| {
            let plan = plan(load, scenario);
            let found = plan.loads[0].peak(&plan, 0.1);
            assert_eq!((found.least.round(), found.most.map(f64::round)), expected, "{load} {scenario}");
        };
        let two =
            "{ before: [ { post: / } ], steps: [ { get: / }, { if: vu.id > 3, then: [ { get: / } ] } ] }";
        let open = "start_rate: 10/s, stages: [ { duration: 1s, rate: 50/s }, { duration: 1s, rate: 20/s } ]";
        check(&format!("{{ {open} }}"), two, (50.0, Some(100.0)));
        check(&format!("{{ {open}, users: fresh }}"), two, (100.0, Some(150.0)));
        check("{ start_rate: 90/s, stages: [ { duration: 1s, rate: 0/s } ] }", two, (90.0, Some(180.0)));
        let closed =
            "{ start_users: 3, stages: [ { duration: 1s, users: 40 }, { duration: 1s, users: 0 } ] }";
        check(closed, "{ think: 900ms, steps: [ { get: / } ] }", (40.0, Some(40.0)));
        check(closed, "{ steps: [ { repeat: { while: vu.id == 1 }, steps: [ { get: / } ] } ] }", (0.0, None));
    }

    #[test]
    fn bodies_are_as_large_as_the_plan_says() {
        let check = |steps: &str, expected: f64| {
            let text = format!(
                "target: http://x\nload: {{ users: 1, duration: 1s }}\nscenarios: {{ a: {{ steps: [ {steps} ] }} }}"
            );
            let bundle = Bundle::new("p.yaml", text.as_str(), Inputs::default());
            let compiled = compile(&bundle.with_files(|_| Ok(vec![7; 3_000])));
            let plan = compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan;
            assert!((plan.body_bytes() - expected).abs() < 1e-9, "{steps}: {}", plan.body_bytes());
        };
        check("{ get: / }, { post: /, json: { a: b } }", 0.0);
        check("{ post: /, body: '{{ vu.id }} and more' }, { get: / }", 4.5);
        check("{ put: /, body_file: large.bin }, { get: / }, { get: / }", 1_000.0);
        check("{ post: /, multipart: { a: text, b: { file: large.bin } } }, { get: / }", 1_502.0);
        check("{ think: 1s }", 0.0);
    }

    #[test]
    fn a_profile_is_a_line() {
        let plan = plan(
            "{ start_users: 2, stages: [ { duration: 0s, users: 5 }, { duration: 4s, users: 1 } ] }",
            "{ steps: [ { get: / } ] }",
        );
        let line: Vec<_> =
            plan.loads[0].load.profile().into_iter().map(|(at, level)| (at.as_secs(), level)).collect();
        assert_eq!(line, [(0, 2.0), (0, 5.0), (4, 1.0)]);
    }
}
