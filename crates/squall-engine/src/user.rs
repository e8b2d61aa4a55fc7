//! A virtual user: its own variables, cookies and connections, and the steps it takes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use squall_plan::expression::Scope;
use squall_plan::random::{iteration_stream, pick_weighted};
use squall_plan::{Flow, OnFailure, Plan, Scenario, Step, Task, Think};
use tokio::time::Instant;

use crate::connect::Origin;
use crate::connection::Connection;
use crate::cookies::Cookies;
use crate::worker::Worker;

/// An iteration that sends nothing lasts this long at least, so that a plan whose conditions are all
/// false is no busy loop.
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
    pub(crate) connections: Vec<(Origin, Connection)>,
    /// Scratch space for rendered text, kept to save allocations.
    pub(crate) text: String,
    scenario: usize,
    ordinal: u64,
    sent: bool,
}

impl User {
    /// User number `ordinal`, who has done nothing yet.
    pub(crate) fn new(worker: &Rc<Worker>, scenario: usize, ordinal: u64) -> Self {
        let random = iteration_stream(worker.seed, scenario, ordinal, 0);
        Self {
            worker: Rc::clone(worker),
            scope: Scope::new(Arc::clone(&worker.constants), ordinal, random),
            cookies: Cookies::default(),
            connections: Vec::new(),
            text: String::new(),
            scenario,
            ordinal,
            sent: false,
        }
    }

    /// Runs the scenario's `before`.
    pub(crate) async fn before(&mut self) -> After {
        let plan = Arc::clone(&self.worker.plan);
        self.steps(&scenario(&plan, self.scenario).before, &mut None).await
    }

    /// Runs one iteration. In the open model it belongs to an arrival, which has its own number and was
    /// due at a certain instant.
    pub(crate) async fn iterate(&mut self, iteration: u64, arrival: Option<(u64, Instant)>) -> After {
        let plan = Arc::clone(&self.worker.plan);
        let key = arrival.map_or((self.ordinal, iteration), |(ordinal, _)| (ordinal, 1));
        self.scope
            .begin_iteration(iteration, iteration_stream(self.worker.seed, self.scenario, key.0, key.1));
        self.sent = false;
        let record = IterationRecord::begin(&self.worker);
        let mut scheduled = arrival.map(|(_, instant)| instant);
        let after = match &scenario(&plan, self.scenario).flow {
            Flow::Steps(steps) => self.steps(steps, &mut scheduled).await,
            Flow::Tasks(tasks) => self.task(&plan, tasks, &mut scheduled).await,
        };
        if !self.sent {
            self.pause(EMPTY_ITERATION).await;
        }
        record.end(after == After::Next);
        after
    }

    /// Waits as long as the scenario wants between two iterations, but not beyond `until`.
    pub(crate) async fn think_between(&self, until: Instant) {
        let plan = Arc::clone(&self.worker.plan);
        if let Some(think) = scenario(&plan, self.scenario).think {
            let deadline = self.worker.clock.now() + self.duration_of(think);
            self.worker.clock.sleep_until(deadline.min(until)).await;
        }
    }

    async fn task(&mut self, plan: &Plan, tasks: &[Task], scheduled: &mut Option<Instant>) -> After {
        let weights = tasks.iter().map(|task| task.weight);
        let task = &tasks[self.scope.with_random(|random| pick_weighted(random, weights))];
        let holds = task.condition.map(|condition| plan.program.holds(condition, &self.scope));
        match holds {
            None | Some(Ok(true)) => self.steps(&task.steps, scheduled).await,
            Some(Ok(false)) => After::Next,
            Some(Err(error)) => {
                self.worker.note(format!("condition of a task: {error}"));
                After::Failed
            }
        }
    }

    /// Takes the steps in order. The first request is due at `scheduled`, if that is given.
    async fn steps(&mut self, steps: &[Step], scheduled: &mut Option<Instant>) -> After {
        for step in steps {
            match step {
                Step::Think(think) => self.pause(self.duration_of(*think)).await,
                Step::Request(request) => {
                    self.sent = true;
                    let ended = self.send(request, scheduled.take()).await;
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

    async fn pause(&self, duration: Duration) {
        let deadline = self.worker.clock.now() + duration;
        self.worker.clock.sleep_until(deadline).await;
    }

    fn duration_of(&self, think: Think) -> Duration {
        match think {
            Think::Fixed(duration) => duration,
            Think::Range { min, max } => self.scope.with_random(|random| random.random_range(min..=max)),
        }
    }
}

fn scenario(plan: &Plan, index: usize) -> &Scenario {
    &plan.scenarios[index]
}

/// An iteration that is recorded however it ends: dropped before its end, it was interrupted.
struct IterationRecord {
    worker: Rc<Worker>,
    ended: bool,
}

impl IterationRecord {
    fn begin(worker: &Rc<Worker>) -> Self {
        let now_us = worker.now_us();
        worker.recorder.borrow_mut().iteration_started(now_us);
        Self { worker: Rc::clone(worker), ended: false }
    }

    fn end(mut self, completed: bool) {
        self.ended = true;
        let now_us = self.worker.now_us();
        let mut recorder = self.worker.recorder.borrow_mut();
        if completed { recorder.iteration_completed(now_us) } else { recorder.iteration_failed(now_us) }
    }
}

impl Drop for IterationRecord {
    fn drop(&mut self) {
        if !self.ended {
            self.worker.recorder.borrow_mut().iteration_interrupted(self.worker.now_us());
        }
    }
}
