//! The closed model: each user decides when its next iteration starts.

use std::rc::Rc;
use std::time::Duration;

use squall_plan::ClosedLoad;
use squall_plan::schedule::{Span, UserSchedule};
use tokio::task::JoinSet;

use crate::user::{After, User};
use crate::worker::{Life, Worker};

/// How long a user whose `before` failed waits before it tries again: first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Starts the users of this thread's share. Each ends by itself after its last iteration.
pub(crate) fn start(worker: &Rc<Worker>, load: &ClosedLoad, users: &mut JoinSet<()>) {
    let schedule = UserSchedule::new(load);
    for ordinal in worker.share.ordinals(u64::from(schedule.users())) {
        let spans = u32::try_from(ordinal).map(|ordinal| schedule.spans(ordinal)).unwrap_or_default();
        users.spawn_local(lives(Rc::clone(worker), ordinal, spans));
    }
}

/// A user's lives, one for each span in which the profile has a place for it.
async fn lives(worker: Rc<Worker>, ordinal: u64, spans: Vec<Span>) {
    let scenario = worker.deck.deal(ordinal);
    let mut iteration = 0;
    for span in spans {
        worker.clock.sleep_until(worker.instant(span.from_us)).await;
        live(&worker, scenario, ordinal, span, &mut iteration).await;
    }
}

async fn live(worker: &Rc<Worker>, scenario: usize, ordinal: u64, span: Span, iteration: &mut u64) {
    let offset = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let _life = Life::begin(worker, offset(span.from_us), offset(span.until_us));
    let until = worker.instant(span.until_us);
    let mut back_off = BACK_OFF.0;
    while worker.clock.now() < until {
        let mut user = User::new(worker, scenario, ordinal);
        match user.before().await {
            After::Next => {}
            After::Stop => return,
            After::Failed => {
                worker.clock.sleep_until((worker.clock.now() + back_off).min(until)).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
                continue;
            }
        }
        while worker.clock.now() < until {
            *iteration += 1;
            if user.iterate(*iteration, None).await == After::Stop {
                return;
            }
            user.think_between(until).await;
        }
    }
}
