//! What a user does, step by step.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use minijinja::Value;
use squall_metrics::Outcome;
use squall_plan::expression::{EvalError, Expr, Template, ValueTemplate, to_text};
use squall_plan::random::pick_weighted;
use squall_plan::{Choice, ForEach, Group, OnFailure, Repeat, Request, Step, Stop, Think};

use crate::flight::Due;
use crate::user::{After, User, measure_id};

/// A round that takes no time is followed by such a pause, if there is no end to them.
const EMPTY_ROUND: Duration = Duration::from_millis(10);

/// Rounds that take no time are done in one go, so many at most.
const ROUNDS_IN_A_ROW: u64 = 1_000;

/// Numbers of metrics keep three places.
const PLACES: f64 = 1_000.0;

impl User {
    /// Takes the steps in order. The first request was due as `due` says, if that is given.
    pub(crate) async fn steps(&mut self, steps: &[Step], due: &mut Option<Due>) -> After {
        for step in steps {
            let after = match step {
                Step::Request(request) => self.request(request, due).await,
                Step::Think(think) => {
                    self.think(*think, due).await;
                    After::Next
                }
                // Boxed, for it leads back here.
                step => Box::pin(self.decide(step, due)).await,
            };
            if after != After::Next {
                return after;
            }
        }
        After::Next
    }

    async fn request(&mut self, request: &Request, due: &mut Option<Due>) -> After {
        let ended = self.send(request, due.take()).await;
        if self.reacts
            && let Outcome::Status(status) = ended.outcome
        {
            let after = Box::pin(self.react(status)).await;
            if after != After::Next {
                return after;
            }
        }
        if !ended.failed {
            if let Some(cleanup) = request.cleanup {
                self.will_undo(cleanup);
            }
            return After::Next;
        }
        match request.on_failure {
            OnFailure::Continue => After::Next,
            OnFailure::StopIteration => After::FAILED,
            OnFailure::StopUser => After::EndUser { failed: true },
            OnFailure::Abort => {
                let name = &self.worker.plan.series[request.series].endpoint;
                self.worker.request_abort(&format!("`{name}` failed with {}", ended.outcome));
                After::EndUser { failed: true }
            }
        }
    }

    /// What the plan does about a status; not about those of its own requests.
    async fn react(&mut self, status: u16) -> After {
        let worker = Rc::clone(&self.worker);
        let reactions = &worker.plan.scenarios[self.scenario].on_status;
        let Some((_, steps)) = reactions.iter().find(|(known, _)| *known == status) else {
            return After::Next;
        };
        self.reacts = false;
        self.worker.tell_flow(|| format!("on_status {status}"));
        let after = self.steps(steps, &mut None).await;
        self.reacts = true;
        after
    }

    async fn think(&mut self, think: Think, due: &mut Option<Due>) {
        let pause = self.duration_of(think);
        let pause = self.shortened(think, pause);
        self.pause(pause).await;
        // What comes after a pause is due so much later.
        if let Some(due) = due {
            due.at += pause;
            due.ready = due.ready.max(self.ready);
        }
    }

    async fn decide(&mut self, step: &Step, due: &mut Option<Due>) -> After {
        match step {
            Step::If(branch) => match self.holds("if", branch.condition) {
                Some(true) => self.steps(&branch.then, due).await,
                Some(false) => self.steps(&branch.otherwise, due).await,
                None => After::FAILED,
            },
            Step::Repeat(repeat) => {
                self.in_repeat(true);
                let after = self.repeat(repeat, due).await;
                self.in_repeat(false);
                after
            }
            Step::ForEach(each) => self.for_each(each, due).await,
            Step::Choose(choices) => self.choose(choices, due).await,
            Step::Parallel(branches) => self.parallel(branches, due).await,
            Step::Group(group) => self.group(group, due).await,
            Step::Set(values) => self.set(values),
            Step::Record(values) => self.record(values),
            Step::Log(text) => {
                if let Some(text) = self.text_of("log", text) {
                    self.worker.tell_flow(|| format!("log: {text}"));
                    self.worker.keep_note(format!("log: {text}"));
                }
                After::Next
            }
            Step::Stop(Stop::Iteration) => After::EndIteration { failed: false },
            Step::Stop(Stop::User) => After::EndUser { failed: false },
            Step::Stop(Stop::Run) => {
                self.worker.request_abort("plan says so");
                After::EndUser { failed: false }
            }
            Step::Fail(text) => {
                let text = self.text_of("fail", text);
                text.inspect(|text| self.worker.note(format!("fail: {text}")));
                After::FAILED
            }
            // Those are taken without coming here.
            Step::Request(_) | Step::Think(_) => After::Next,
        }
    }

    async fn repeat(&mut self, repeat: &Repeat, due: &mut Option<Due>) -> After {
        let times = match &repeat.times {
            None => u64::MAX,
            Some(times) => match self.number_of("repeat", times) {
                Some(times) => times,
                None => return After::FAILED,
            },
        };
        let mut round = 0;
        while round < times {
            match repeat.condition.map(|condition| self.holds("while", condition)) {
                None | Some(Some(true)) => {}
                Some(Some(false)) => break,
                Some(None) => return After::FAILED,
            }
            round += 1;
            self.worker.tell_flow(|| match times {
                u64::MAX => format!("repeat: round {round}"),
                times => format!("repeat: round {round} of {times}"),
            });
            let begun = self.ready;
            let after = self.steps(&repeat.steps, due).await;
            if after != After::Next {
                return after;
            }
            match repeat.until.map(|until| self.holds("until", until)) {
                None | Some(Some(false)) => {}
                Some(Some(true)) => break,
                Some(None) => return After::FAILED,
            }
            if let Some(think) = repeat.think.filter(|_| round < times) {
                self.think(think, due).await;
            }
            let endless = times == u64::MAX || round.is_multiple_of(ROUNDS_IN_A_ROW);
            if endless && self.ready == begun {
                self.pause(EMPTY_ROUND).await;
            }
        }
        After::Next
    }

    async fn for_each(&mut self, each: &ForEach, due: &mut Option<Due>) -> After {
        let Some(list) = self.value_of("for_each", &each.items) else { return After::FAILED };
        let Ok(items) = list.try_iter() else {
            self.worker.note("for_each: what it is to go over is no list".to_owned());
            return After::FAILED;
        };
        for item in items {
            self.worker.tell_flow(|| format!("for_each: {} = {}", each.variable, to_text(&item)));
            self.scope.set(&each.variable, item);
            let after = self.steps(&each.steps, due).await;
            if after != After::Next {
                return after;
            }
        }
        After::Next
    }

    async fn choose(&mut self, choices: &[Choice], due: &mut Option<Due>) -> After {
        let weights = choices.iter().map(|choice| choice.weight);
        let chosen = self.scope.with_random(|random| pick_weighted(random, weights));
        self.worker.tell_flow(|| format!("choose: {} of {}", chosen + 1, choices.len()));
        match choices.get(chosen) {
            Some(choice) => self.steps(&choice.steps, due).await,
            None => After::Next,
        }
    }

    /// Each branch has hands of its own, and gets connections that the user has. The first request of each is due at the
    /// same time.
    async fn parallel(&mut self, branches: &[Vec<Step>], due: &mut Option<Due>) -> After {
        self.worker.tell_flow(|| format!("parallel: {} branches", branches.len()));
        let due = due.take();
        let mut forks: Vec<Self> = branches.iter().map(|_| self.fork()).collect();
        let count = forks.len().max(1);
        for (index, connection) in self.connections.drain(..).enumerate() {
            forks[index % count].connections.push(connection);
        }
        let runs = forks.iter_mut().zip(branches).map(|(fork, steps)| async move {
            let mut due = due;
            fork.steps(steps, &mut due).await
        });
        let afters = join_all(runs).await;
        let paused = forks.iter().map(|fork| fork.paused).min().unwrap_or_default();
        self.paused += paused;
        for mut fork in forks {
            self.undos.append(&mut fork.undos);
            self.ready = self.ready.max(fork.ready);
            self.rested |= fork.rested;
            self.sent |= fork.sent;
            self.connections.extend(fork.connections);
        }
        // What ends most wins.
        let user = afters.iter().copied().find(|after| after.ends_user());
        user.or(afters.into_iter().find(|after| *after != After::Next)).unwrap_or(After::Next)
    }

    async fn group(&mut self, group: &Group, due: &mut Option<Due>) -> After {
        let (since, paused) = (due.map_or(self.ready, |due| due.at), self.paused);
        let after = self.steps(&group.steps, due).await;
        if !after.has_failed() {
            let took = self.ready.saturating_duration_since(since);
            self.measure_time(group.measure, took, self.paused.saturating_sub(paused));
        }
        after
    }

    fn set(&self, values: &[(String, ValueTemplate)]) -> After {
        for (name, value) in values {
            let Some(value) = self.value_of("set", value) else { return After::FAILED };
            self.worker.tell_flow(|| format!("set: {name} = {}", to_text(&value)));
            self.scope.set(name, value);
        }
        After::Next
    }

    fn record(&self, values: &[(usize, ValueTemplate)]) -> After {
        for (metric, value) in values {
            let Some(value) = self.value_of("record", value) else { return After::FAILED };
            let number = to_text(&value).parse::<f64>().ok();
            match number.filter(|number| number.is_finite() && *number >= 0.0) {
                Some(number) => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "not negative, and cut off where it is more than a metric can be"
                    )]
                    let places = (number * PLACES).round() as u64;
                    self.worker.tell_flow(|| {
                        format!("record: {} = {number}", self.worker.plan.measures[*metric].name)
                    });
                    self.worker.recorder.borrow_mut().measure(measure_id(*metric), places);
                }
                None => {
                    let name = &self.worker.plan.measures[*metric].name;
                    self.worker.note(format!("record: `{name}` is no number from 0 on"));
                    return After::FAILED;
                }
            }
        }
        After::Next
    }

    /// Whether a condition holds; `None` if that cannot be known, which is noted.
    fn holds(&self, step: &str, condition: Expr) -> Option<bool> {
        let program = &self.worker.plan.program;
        let holds = self.noted(step, program.holds(condition, &self.scope))?;
        self.worker.tell_flow(|| {
            format!("{step}: `{}` {}", program.text(condition), if holds { "holds" } else { "does not hold" })
        });
        Some(holds)
    }

    fn value_of(&self, step: &str, template: &ValueTemplate) -> Option<Value> {
        self.noted(step, template.value(&self.worker.plan.program, &self.scope))
    }

    fn number_of(&self, step: &str, template: &ValueTemplate) -> Option<u64> {
        let value = self.value_of(step, template)?;
        let number = to_text(&value).parse().ok();
        if number.is_none() {
            self.worker.note(format!("{step}: `{value}` is no number of times"));
        }
        number
    }

    fn text_of(&self, step: &str, template: &Template) -> Option<String> {
        let mut text = String::new();
        let rendered = template.render(&self.worker.plan.program, &self.scope, &mut text);
        self.noted(step, rendered.map(|()| text))
    }

    fn noted<T>(&self, step: &str, result: Result<T, EvalError>) -> Option<T> {
        result.map_err(|error| self.worker.note(format!("{step}: {error}"))).ok()
    }
}
