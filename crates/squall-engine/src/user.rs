//! A virtual user: its own variables, cookies and connections, and the steps it takes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall_metrics::MeasureId;
use squall_plan::expression::Scope;
use squall_plan::random::{iteration_stream, pick_weighted};
use squall_plan::{Connections, Flow, Plan, Task, Think};
use tokio::time::Instant;

use crate::clock::in_micros;
use crate::connect::Origin;
use crate::connection::Connection;
use crate::cookies::Cookies;
use crate::ending::Curfew;
use crate::flight::{Attempt, Due};
use crate::load::LoadRun;
use crate::undo::Undos;
use crate::watchdog::Leash;
use crate::worker::Worker;

/// An iteration that sends nothing lasts this long at least, so that a plan whose conditions are all
/// false, or a target that refuses connections, is no busy loop.
const EMPTY_ITERATION: Duration = Duration::from_millis(10);

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next one.
    Next,
    /// The end of the iteration.
    EndIteration { failed: bool },
    /// The end of the user, and so of the iteration.
    EndUser { failed: bool },
}

impl After {
    /// After something went wrong.
    pub(crate) const FAILED: Self = Self::EndIteration { failed: true };

    pub(crate) fn has_failed(self) -> bool {
        matches!(self, Self::EndIteration { failed: true } | Self::EndUser { failed: true })
    }

    pub(crate) fn ends_user(self) -> bool {
        matches!(self, Self::EndUser { .. })
    }
}

pub(crate) struct User {
    pub(crate) worker: Rc<Worker>,
    pub(crate) scope: Arc<Scope>,
    /// Shared by what it does side by side.
    pub(crate) cookies: Rc<RefCell<Cookies>>,
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
    /// How long it has paused in all.
    pub(crate) paused: Duration,
    /// Whether statuses are reacted to: not before and after the flow, and not within a reaction.
    pub(crate) reacts: bool,
    /// What it has to undo when it ends.
    pub(crate) undos: Undos,
    load: Rc<LoadRun>,
    pub(crate) scenario: usize,
    /// The task that is done next, where that is not left to chance.
    pub(crate) chosen: Option<usize>,
    /// Its number in its load, and among the users of all loads.
    number: u64,
    ordinal: u64,
}

/// An arrival that a user takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) ordinal: u64,
    pub(crate) due: Due,
    /// When it takes it.
    pub(crate) at: Instant,
}

impl User {
    /// User number `ordinal` of a load, who has done nothing yet.
    pub(crate) fn new(worker: &Rc<Worker>, load: &Rc<LoadRun>, scenario: usize, ordinal: u64) -> Self {
        let turn = load.turn(ordinal, 1, None);
        let number = ordinal;
        let ordinal = load.ordinal(ordinal);
        let random = iteration_stream(worker.seed, scenario, ordinal, 0);
        let scope = Scope::new(Arc::clone(&worker.constants), ordinal, random);
        scope.take_turn(turn);
        Self {
            worker: Rc::clone(worker),
            scope,
            cookies: Rc::default(),
            connections: Vec::new(),
            text: String::new(),
            leash: worker.watchdog.leash(),
            attempt: Attempt::default(),
            ready: worker.clock.now(),
            rested: true,
            sent: false,
            paused: Duration::ZERO,
            reacts: false,
            undos: Undos::new(worker),
            load: Rc::clone(load),
            scenario,
            chosen: None,
            number,
            ordinal,
        }
    }

    pub(crate) fn load(&self) -> &Rc<LoadRun> {
        &self.load
    }

    /// Its number in its load.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A later life of a user goes on with the rows of data that it has not taken yet: as it knows from the one before,
    /// or, where somebody else ran that, behind all that may have been taken.
    pub(crate) fn goes_on(&self, earlier: Option<&Scope>, iterations: u64) {
        match earlier {
            Some(earlier) => self.scope.goes_on_from(earlier),
            None if iterations > 0 => self.scope.goes_on_after(iterations),
            None => return,
        }
        self.scope.take_turn(self.load.turn(self.number, iterations + 1, None));
    }

    /// Runs the scenario's `before`.
    pub(crate) async fn before(&mut self) -> After {
        let worker = Rc::clone(&self.worker);
        (self.ready, self.sent) = (self.worker.clock.now(), false);
        let after = self.steps(&worker.plan.scenarios[self.scenario].before, &mut None).await;
        if after.has_failed() && !self.sent {
            self.pause(EMPTY_ITERATION).await;
        }
        after
    }

    /// Runs the scenario's `after`, and undoes what the user has made.
    pub(crate) async fn after(&mut self) {
        let worker = Rc::clone(&self.worker);
        let steps = &worker.plan.scenarios[self.scenario].after;
        if !steps.is_empty() {
            self.ready = worker.clock.now();
            Box::pin(self.steps(steps, &mut None)).await;
        }
        if !worker.plan.cleanups.is_empty() {
            Box::pin(self.undo_all()).await;
        }
    }

    /// Somebody who does something side by side with this user: the same person with other hands.
    pub(crate) fn fork(&self) -> Self {
        self.other(self.scope.branch(), Rc::clone(&self.cookies), self.ready)
    }

    /// Somebody who does something for this user, of which it sees nothing.
    pub(crate) fn stand_in(&self) -> Self {
        Self { reacts: false, ..self.other(self.scope.apart(), Rc::default(), self.worker.clock.now()) }
    }

    fn other(&self, scope: Arc<Scope>, cookies: Rc<RefCell<Cookies>>, ready: Instant) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            scope,
            cookies,
            connections: Vec::new(),
            text: String::new(),
            leash: self.worker.watchdog.leash(),
            attempt: Attempt::default(),
            ready,
            rested: true,
            sent: false,
            paused: Duration::ZERO,
            reacts: self.reacts,
            undos: Undos::new(&self.worker),
            load: Rc::clone(&self.load),
            scenario: self.scenario,
            chosen: None,
            number: self.number,
            ordinal: self.ordinal,
        }
    }

    /// Runs one iteration, which begins when the flow is ready for it. In the open model it belongs to an arrival; a
    /// fresh user's is its first, and begins with `before`.
    pub(crate) async fn iterate(&mut self, iteration: u64, arrival: Option<Taken>, fresh: bool) -> After {
        if let Some(taken) = arrival {
            (self.ready, self.rested) = (taken.at, true);
        }
        let worker = Rc::clone(&self.worker);
        let plan = &*worker.plan;
        let key = arrival.map_or((self.ordinal, iteration), |taken| (self.load.ordinal(taken.ordinal), 1));
        self.scope
            .begin_iteration(iteration, iteration_stream(self.worker.seed, self.scenario, key.0, key.1));
        let scenario = &plan.scenarios[self.scenario];
        if !scenario.data.is_empty() {
            let arrival = arrival.map(|taken| taken.ordinal);
            self.scope.take_turn(self.load.turn(self.number, iteration, arrival));
            if self.scope.lacks_data(&scenario.data) {
                self.worker.tell_flow(|| "no row of data is left for the user".to_owned());
                return After::EndUser { failed: false };
            }
        }
        self.sent = false;
        if plan.http.connections == Connections::PerIteration {
            self.connections.clear();
        }
        let record = IterationRecord::begin(&self.worker, &self.load, self.ready);
        let mut due = arrival.map(|taken| taken.due);
        let (since, paused) = (due.map_or(self.ready, |due| due.at), self.paused);
        let mut after = After::Next;
        if fresh {
            after = self.steps(&scenario.before, &mut due).await;
        }
        if after == After::Next {
            self.reacts = !scenario.on_status.is_empty();
            after = match &scenario.flow {
                Flow::Steps(steps) => self.steps(steps, &mut due).await,
                Flow::Tasks(tasks) => self.task(plan, tasks, &mut due).await,
            };
            self.reacts = false;
        }
        record.end(!after.has_failed(), self.ready);
        if !after.has_failed() {
            let took = self.ready.saturating_duration_since(since);
            let paused = self.paused.saturating_sub(paused);
            self.measure_time(scenario.measure, took, paused);
        }
        if !self.sent {
            self.pause(EMPTY_ITERATION).await;
        }
        after
    }

    /// Waits as long as the scenario wants between two iterations, of which the last began at `began`, but not
    /// beyond `until`, which may come nearer until the curfew calls.
    pub(crate) async fn think_between(
        &mut self,
        began: Instant,
        until: impl Fn() -> Instant,
        curfew: &Curfew,
    ) {
        let deadline = match self.worker.plan.scenarios[self.scenario].think {
            None => return,
            Some(Think::Pace(pace)) => began + pace,
            Some(think) => self.ready + self.duration_of(think),
        };
        curfew.wait(self.worker.clock.sleep_until(deadline.min(until()))).await;
        self.rested_until(deadline.min(until()));
    }

    async fn task(&mut self, plan: &Plan, tasks: &[Task], due: &mut Option<Due>) -> After {
        let weights = tasks.iter().map(|task| task.weight);
        let picked =
            self.chosen.unwrap_or_else(|| self.scope.with_random(|random| pick_weighted(random, weights)));
        let task = &tasks[picked];
        let holds = task.condition.map(|condition| plan.program.holds(condition, &self.scope));
        match holds {
            None | Some(Ok(true)) => self.steps(&task.steps, due).await,
            Some(Ok(false)) => {
                self.worker.tell_flow(|| "`if` of the task does not hold: nothing is done".to_owned());
                After::Next
            }
            Some(Err(error)) => {
                self.worker.note(format!("condition of a task: {error}"));
                After::FAILED
            }
        }
    }

    pub(crate) async fn pause(&mut self, duration: Duration) {
        self.sleep_until(self.ready + duration).await;
    }

    /// The flow is ready again when the time has come, whenever the thread finds the time for it.
    async fn sleep_until(&mut self, deadline: Instant) {
        self.worker.clock.sleep_until(deadline).await;
        self.rested_until(deadline);
    }

    fn rested_until(&mut self, deadline: Instant) {
        self.paused += deadline.saturating_duration_since(self.ready);
        self.ready = self.ready.max(deadline);
        self.rested = true;
    }

    pub(crate) fn duration_of(&self, think: Think) -> Duration {
        self.scope.with_random(|random| think.draw(random))
    }

    /// Takes in how long something took, with all pauses and without them.
    pub(crate) fn measure_time(&self, measure: usize, took: Duration, paused: Duration) {
        let mut recorder = self.worker.recorder.borrow_mut();
        recorder.measure(measure_id(measure), in_micros(took));
        recorder.measure(measure_id(measure + 1), in_micros(took.saturating_sub(paused)));
    }
}

/// How the recorder names what a plan measures.
pub(crate) fn measure_id(index: usize) -> MeasureId {
    MeasureId(u16::try_from(index).unwrap_or(u16::MAX))
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
