//! A virtual user: its own variables, cookies and connections, and the steps it takes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use squall_plan::expression::Scope;
use squall_plan::random::{iteration_stream, pick_weighted};
use squall_plan::{Connections, Flow, OnFailure, Plan, Step, Task, Think};
use tokio::time::Instant;

use crate::connect::Origin;
use crate::connection::Connection;
use crate::cookies::Cookies;
use crate::flight::{Attempt, Due};
use crate::load::LoadRun;
use crate::watchdog::Leash;
use crate::worker::Worker;

/// An iteration that sends nothing lasts this long at least, so that a plan whose conditions are all
/// false, or a target that refuses connections, is no busy loop.
const EMPTY_ITERATION: Duration = Duration::from_millis(10);

/// What follows an iteration or `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next iteration.
    Next,
    /// The next iteration; this one failed.
    Failed,
    /// The user ends.
    Stop,
}

pub(crate) struct User {
    pub(crate) worker: Rc<Worker>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) cookies: Cookies,
    pub(crate) connections: Vec<(Rc<Origin>, Box<Connection>)>,
    /// Scratch space for rendered text, kept to save allocations.
    pub(crate) text: String,
    pub(crate) leash: Rc<Leash>,
    pub(crate) attempt: Attempt,
    /// Since when the flow has been ready for its next step.
    pub(crate) ready: Instant,
    /// Whether there was time for the server to close idle connections since the last request.
    pub(crate) rested: bool,
    /// Whether anything went over a connection in this iteration.
    pub(crate) sent: bool,
    load: Rc<LoadRun>,
    scenario: usize,
    ordinal: u64,
}

/// An arrival that a user takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) ordinal: u64,
    pub(crate) due: Due,
}

impl User {
    /// User number `ordinal` of a load, who has done nothing yet.
    pub(crate) fn new(worker: &Rc<Worker>, load: &Rc<LoadRun>, scenario: usize, ordinal: u64) -> Self {
        let ordinal = load.ordinal(ordinal);
        let random = iteration_stream(worker.seed, scenario, ordinal, 0);
        Self {
            worker: Rc::clone(worker),
            scope: Scope::new(Arc::clone(&worker.constants), ordinal, random),
            cookies: Cookies::default(),
            connections: Vec::new(),
            text: String::new(),
            leash: worker.watchdog.leash(),
            attempt: Attempt::default(),
            ready: worker.clock.now(),
            rested: true,
            sent: false,
            load: Rc::clone(load),
            scenario,
            ordinal,
        }
    }

    /// Runs the scenario's `before`.
    pub(crate) async fn before(&mut self) -> After {
        let worker = Rc::clone(&self.worker);
        (self.ready, self.sent) = (self.worker.clock.now(), false);
        let after = self.steps(&worker.plan.scenarios[self.scenario].before, &mut None).await;
        if after == After::Failed && !self.sent {
            self.pause(EMPTY_ITERATION).await;
        }
        after
    }

    /// Runs one iteration, which begins when the flow is ready for it. In the open model it belongs to an arrival; a
    /// fresh user's is its first, and begins with `before`.
    pub(crate) async fn iterate(&mut self, iteration: u64, arrival: Option<Taken>, fresh: bool) -> After {
        if arrival.is_some() {
            (self.ready, self.rested) = (self.worker.clock.now(), true);
        }
        let worker = Rc::clone(&self.worker);
        let plan = &*worker.plan;
        let key = arrival.map_or((self.ordinal, iteration), |taken| (self.load.ordinal(taken.ordinal), 1));
        self.scope
            .begin_iteration(iteration, iteration_stream(self.worker.seed, self.scenario, key.0, key.1));
        self.sent = false;
        if plan.http.connections == Connections::PerIteration {
            self.connections.clear();
        }
        let record = IterationRecord::begin(&self.worker, &self.load, self.ready);
        let mut due = arrival.map(|taken| taken.due);
        let scenario = &plan.scenarios[self.scenario];
        let mut after = After::Next;
        if fresh {
            after = self.steps(&scenario.before, &mut due).await;
        }
        if after == After::Next {
            after = match &scenario.flow {
                Flow::Steps(steps) => self.steps(steps, &mut due).await,
                Flow::Tasks(tasks) => self.task(plan, tasks, &mut due).await,
            };
        }
        if !self.sent {
            self.pause(EMPTY_ITERATION).await;
        }
        record.end(after == After::Next, self.ready);
        after
    }

    /// Waits as long as the scenario wants between two iterations, of which the last began at `began`, but not
    /// beyond `until`.
    pub(crate) async fn think_between(&mut self, began: Instant, until: Instant) {
        let deadline = match self.worker.plan.scenarios[self.scenario].think {
            None => return,
            Some(Think::Pace(pace)) => began + pace,
            Some(think) => self.ready + self.duration_of(think),
        };
        self.sleep_until(deadline.min(until)).await;
    }

    async fn task(&mut self, plan: &Plan, tasks: &[Task], due: &mut Option<Due>) -> After {
        let weights = tasks.iter().map(|task| task.weight);
        let task = &tasks[self.scope.with_random(|random| pick_weighted(random, weights))];
        let holds = task.condition.map(|condition| plan.program.holds(condition, &self.scope));
        match holds {
            None | Some(Ok(true)) => self.steps(&task.steps, due).await,
            Some(Ok(false)) => After::Next,
            Some(Err(error)) => {
                self.worker.note(format!("condition of a task: {error}"));
                After::Failed
            }
        }
    }

    /// Takes the steps in order. The first request was due as `due` says, if that is given.
    async fn steps(&mut self, steps: &[Step], due: &mut Option<Due>) -> After {
        for step in steps {
            match step {
                Step::Think(think) => {
                    let pause = self.duration_of(*think);
                    self.pause(pause).await;
                    // What comes after a pause is due so much later.
                    if let Some(due) = due {
                        due.at += pause;
                        due.ready = due.ready.max(self.ready);
                    }
                }
                Step::Request(request) => {
                    let ended = self.send(request, due.take()).await;
                    if !ended.failed {
                        continue;
                    }
                    match request.on_failure {
                        OnFailure::Continue => {}
                        OnFailure::StopIteration => return After::Failed,
                        OnFailure::StopUser => return After::Stop,
                        OnFailure::Abort => {
                            let name = &self.worker.plan.series[request.series].endpoint;
                            self.worker.request_abort(format!("`{name}` failed with {}", ended.outcome));
                            return After::Stop;
                        }
                    }
                }
            }
        }
        After::Next
    }

    async fn pause(&mut self, duration: Duration) {
        self.sleep_until(self.ready + duration).await;
    }

    /// The flow is ready again when the time has come, whenever the thread finds the time for it.
    async fn sleep_until(&mut self, deadline: Instant) {
        self.worker.clock.sleep_until(deadline).await;
        self.ready = self.ready.max(deadline);
        self.rested = true;
    }

    fn duration_of(&self, think: Think) -> Duration {
        match think {
            Think::Fixed(duration) | Think::Pace(duration) => duration,
            Think::Range { min, max } => self.scope.with_random(|random| random.random_range(min..=max)),
        }
    }
}

/// An iteration that is recorded however it ends: dropped before its end, it was interrupted.
struct IterationRecord {
    worker: Rc<Worker>,
    ended: bool,
}

impl IterationRecord {
    fn begin(worker: &Rc<Worker>, load: &LoadRun, at: Instant) -> Self {
        worker.recorder.borrow_mut().iteration_started(load.id, worker.offset_us(at));
        Self { worker: Rc::clone(worker), ended: false }
    }

    fn end(mut self, completed: bool, at: Instant) {
        self.ended = true;
        let at_us = self.worker.offset_us(at);
        let mut recorder = self.worker.recorder.borrow_mut();
        if completed { recorder.iteration_completed(at_us) } else { recorder.iteration_failed(at_us) }
    }
}

impl Drop for IterationRecord {
    fn drop(&mut self) {
        if !self.ended {
            self.worker.recorder.borrow_mut().iteration_interrupted(self.worker.now_us());
        }
    }
}
