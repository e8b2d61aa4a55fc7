//! The closed model: each user decides when its next iteration starts.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall_plan::expression::Scope;
use squall_plan::schedule::{Span, UserSchedule};
use squall_plan::{ClosedLoad, Iterations, PlacedLoad};
use tokio::task::JoinSet;

use crate::clock::in_micros;
use crate::ending::Curfew;
use crate::load::{LoadRun, offset_us};
use crate::user::{After, User};
use crate::worker::{Life, Worker};

/// How long a user whose `before` failed waits before it tries again: first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A user that begins later than this has not been there from the beginning.
const LATE_US: i64 = 50_000;

/// What the users of a load have in common.
struct Crowd {
    worker: Rc<Worker>,
    run: Rc<LoadRun>,
    graceful_stop: Duration,
    /// Iterations that are left to be begun: of all users of this thread, and of each.
    shared: Cell<u64>,
    per_user: u64,
    /// Iterations that users may have begun with whoever ran the slice before.
    rounds: u64,
}

/// Starts the users of this thread's share. Each ends by itself after its last iteration.
pub(crate) fn start(
    worker: &Rc<Worker>,
    (run, placed, load): (&Rc<LoadRun>, &PlacedLoad, &ClosedLoad),
    users: &mut JoinSet<()>,
) {
    let schedule = UserSchedule::new(load);
    let (shared, per_user) = match load.iterations {
        None => (u64::MAX, u64::MAX),
        Some(Iterations::Shared(all)) => {
            (worker.share.size_among(all, u64::from(schedule.users())), u64::MAX)
        }
        Some(Iterations::PerUser(each)) => (u64::MAX, each),
    };
    let crowd = Rc::new(Crowd {
        worker: Rc::clone(worker),
        run: Rc::clone(run),
        graceful_stop: load.graceful_stop,
        shared: Cell::new(shared),
        per_user,
        rounds: if load.iterations.is_none() { worker.rounds } else { 0 },
    });
    let spacing_us = in_micros(worker.plan.handover_spacing(placed));
    // A number of iterations cannot be taken over: nobody knows how many are left.
    let from_us = if load.iterations.is_none() { worker.from_us } else { 0 };
    for ordinal in worker.share.ordinals(u64::from(schedule.users())) {
        let mut spans = u32::try_from(ordinal).map(|ordinal| schedule.spans(ordinal)).unwrap_or_default();
        for span in &mut spans {
            span.from_us = offset_us(placed, span.from_us);
            span.until_us = offset_us(placed, span.until_us);
        }
        // The number of the user in its slice, whatever threads that has.
        let number = ordinal / u64::from(worker.slice.count());
        let after_us = number.saturating_mul(spacing_us);
        if from_us > 0 {
            spans = spans.into_iter().filter_map(|span| taken_over(span, from_us, after_us)).collect();
        }
        let after_us = i64::try_from(after_us).unwrap_or(i64::MAX);
        let curfew = worker.ending.curfew(after_us, load.graceful_stop);
        users.spawn_local(lives(Rc::clone(&crowd), ordinal, spans, curfew));
    }
}

/// What is left of a span for whoever takes the slice over at the boundary: a user that lives then changes hands so long
/// after it.
fn taken_over(span: Span, boundary_us: u64, after_us: u64) -> Option<Span> {
    let from_us =
        if span.from_us < boundary_us { boundary_us.saturating_add(after_us) } else { span.from_us };
    (from_us < span.until_us).then_some(Span { from_us, ..span })
}

/// A user's lives, one for each span in which the profile has a place for it.
async fn lives(crowd: Rc<Crowd>, ordinal: u64, spans: Vec<Span>, curfew: Rc<Curfew>) {
    let scenario = crowd.run.scenario(ordinal);
    let (clock, mut iterations, mut earlier) = (&crowd.worker.clock, crowd.rounds, None);
    for span in spans {
        curfew.wait(clock.sleep_until(crowd.worker.instant(span.from_us))).await;
        // Who takes the slice over begins it.
        if offset(span.from_us) >= crowd.worker.ending.end_us() {
            return;
        }
        let cut_off = crowd.worker.instant(span.until_us) + crowd.graceful_stop;
        let life = pin!(live(&crowd, (scenario, ordinal), (span, &curfew), &mut iterations, &mut earlier));
        let life = curfew.within(life);
        if cut_off >= crowd.worker.latest_end {
            // The slice cuts it off.
            life.await;
            continue;
        }
        tokio::select! {
            () = life => {}
            () = clock.sleep_until(cut_off) => {}
        }
    }
}

/// A life: begun again after a `before` that failed. What an earlier one knew is `earlier`, if there is data.
async fn live(
    crowd: &Crowd,
    (scenario, ordinal): (usize, u64),
    (span, curfew): (Span, &Curfew),
    iterations: &mut u64,
    earlier: &mut Option<Arc<Scope>>,
) {
    let worker = &crowd.worker;
    // Who is woken late has not lived meanwhile, but for what a timer may be late.
    let (planned_us, now_us) = (offset(span.from_us), worker.now_us());
    if worker.bounds.is_fenced(now_us) {
        return worker.halt().await;
    }
    let from_us = if now_us > planned_us + LATE_US { now_us } else { planned_us };
    let until_us = offset(span.until_us);
    let _life = Life::begin(worker, crowd.run.id, (from_us, until_us), curfew.after_us());
    let until = || worker.instant_at(until_us.min(worker.ending.leaves_us(curfew.after_us())));
    let mut back_off = BACK_OFF.0;
    while worker.clock.now() < until() && crowd.has_more(*iterations) {
        let mut user = User::new(worker, &crowd.run, scenario, ordinal);
        let takes_rows = !worker.plan.scenarios[scenario].data.is_empty();
        if takes_rows {
            user.goes_on(earlier.as_deref(), *iterations);
            *earlier = Some(Arc::clone(&user.scope));
        }
        // Whoever is to end without a row of data does not begin.
        if user.scope.lacks_data(&worker.plan.scenarios[scenario].data) {
            return;
        }
        match user.before().await {
            After::Next | After::EndIteration { failed: false } => {}
            After::EndUser { .. } => return,
            After::EndIteration { failed: true } => {
                let again = (worker.clock.now() + back_off).min(until());
                curfew.wait(worker.clock.sleep_until(again)).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
                continue;
            }
        }
        loop {
            let began = user.ready;
            // After a pause it may be much later than it was to be.
            if user.rested && worker.is_fenced(worker.clock.now()) {
                return worker.halt().await;
            }
            if began >= until() || !crowd.begin_iteration(iterations) {
                return user.after().await;
            }
            let uses = if takes_rows { user.scope.most_uses() } else { 0 };
            worker.recorder.borrow_mut().rounds_begun(crowd.run.id, uses.max(*iterations));
            if user.iterate(*iterations, None, false).await.ends_user() {
                return user.after().await;
            }
            if crowd.has_more(*iterations) {
                user.think_between(began, until, curfew).await;
            }
        }
    }
}

fn offset(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

impl Crowd {
    /// Whether a user who has begun so many iterations may begin another.
    fn has_more(&self, begun: u64) -> bool {
        self.shared.get() > 0 && begun < self.per_user
    }

    fn begin_iteration(&self, begun: &mut u64) -> bool {
        let more = self.has_more(*begun);
        if more {
            self.shared.set(self.shared.get() - 1);
            *begun += 1;
        }
        more
    }
}
