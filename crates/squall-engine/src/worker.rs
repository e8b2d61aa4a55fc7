//! What all users of one thread share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use squall_metrics::{LoadId, Outcome, Phases, Recorder};
use squall_plan::expression::Constants;
use squall_plan::{Masks, Plan, Share};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::auth::Tokens;
use crate::bounds::Bounds;
use crate::clock::{self, Clock};
use crate::connect::{Connect, Guard, Origin};
use crate::connection::{Connection, Counted, Open};
use crate::ending::Ending;
use crate::outcome;
use crate::pool::{Pool, Room};
use crate::trace::{Event, Tracer};
use crate::traceparent::TraceIds;
use crate::undo::Undo;
use crate::watchdog::Watchdog;

/// Ids of runs are shorter; what somebody makes up is cut off.
const MAX_RUN_IN_AGENT: usize = 64;

pub(crate) struct Worker {
    pub(crate) plan: Arc<Plan>,
    pub(crate) share: Share,
    /// The share of all threads of the slice together.
    pub(crate) slice: Share,
    pub(crate) seed: u64,
    pub(crate) epoch: Instant,
    /// From when on the load is this slice's: zero unless another generator ran it before.
    pub(crate) from_us: u64,
    /// How many iterations may be behind its users by then.
    pub(crate) rounds: u64,
    /// When whatever is still going on is cut off.
    pub(crate) latest_end: Instant,
    pub(crate) target: Rc<Origin>,
    /// The `Host` header of requests to the target.
    pub(crate) target_host: HeaderValue,
    /// Where load may go, whatever the plan says.
    pub(crate) guard: Arc<Guard>,
    /// What requests say that sends them, where the plan does not.
    pub(crate) agent: HeaderValue,
    pub(crate) constants: Arc<Constants>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) connect: Box<dyn Connect>,
    pub(crate) pool: Pool,
    pub(crate) tokens: Tokens,
    pub(crate) watchdog: Watchdog,
    pub(crate) recorder: RefCell<Recorder>,
    /// An empty map with room, so that each request need not make one.
    pub(crate) headers: Cell<HeaderMap>,
    pub(crate) lives: RefCell<Lives>,
    pub(crate) in_flight: Cell<u32>,
    /// Connections that are open or being made, and how many there may be.
    pub(crate) connections: Rc<Cell<u32>>,
    pub(crate) max_connections: u32,
    /// Secrets, which nothing that is written anywhere may hold.
    pub(crate) masks: Arc<Masks>,
    /// Gives requests ids, if the plan wants that.
    pub(crate) trace_ids: Option<TraceIds>,
    /// Tells whoever listens what users do; under load nobody does.
    pub(crate) tracer: Option<Tracer>,
    /// What users that are gone have not undone, and how much there is to undo in all.
    pub(crate) left: RefCell<Vec<Undo>>,
    pub(crate) to_undo: Cell<usize>,
    /// What other threads may tell, and what was heard of it.
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) ending: Ending,
    /// Told when the fence was found passed.
    pub(crate) fenced: Notify,
    /// Why the plan itself wants the whole run to end.
    pub(crate) abort: RefCell<Option<String>>,
    /// Told when `abort` is set.
    pub(crate) aborted: Notify,
}

/// This tool's `User-Agent`: its version and the run, for whoever wonders where requests come from.
pub(crate) fn agent(run: &str) -> HeaderValue {
    const TOOL: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));
    let is_word = |c: &char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(c);
    let run: String = run.chars().filter(is_word).take(MAX_RUN_IN_AGENT).collect();
    let named = (!run.is_empty()).then(|| HeaderValue::try_from(format!("{TOOL} (run {run})")).ok());
    named.flatten().unwrap_or(HeaderValue::from_static(TOOL))
}

impl Worker {
    /// Microseconds since the epoch; negative before it.
    pub(crate) fn offset_us(&self, instant: Instant) -> i64 {
        clock::offset_us(self.epoch, instant)
    }

    /// Microseconds since the epoch, now.
    pub(crate) fn now_us(&self) -> i64 {
        self.offset_us(self.clock.now())
    }

    /// The second since the epoch, now.
    pub(crate) fn second(&self) -> i64 {
        self.now_us().div_euclid(1_000_000)
    }

    /// The second since the epoch in which the load begins to be this slice's.
    pub(crate) fn first_second(&self) -> i64 {
        i64::try_from(self.from_us / 1_000_000).unwrap_or(i64::MAX)
    }

    /// The instant so many microseconds after the epoch.
    pub(crate) fn instant(&self, offset_us: u64) -> Instant {
        self.epoch + Duration::from_micros(offset_us)
    }

    /// The instant at an offset from the epoch, before or after it.
    pub(crate) fn instant_at(&self, offset_us: i64) -> Instant {
        let distance = Duration::from_micros(offset_us.unsigned_abs());
        if offset_us < 0 { self.epoch - distance } else { self.epoch + distance }
    }

    /// Makes a connection, or says in an outcome and in words why there is none.
    pub(crate) async fn open(
        &self,
        origin: &Origin,
        room: Option<Room>,
        phases: Rc<Cell<Phases>>,
    ) -> Result<Box<Connection>, (Outcome, String)> {
        let Some(open) = Open::try_new(&self.connections, self.max_connections) else {
            let most = self.max_connections;
            return Err((
                Outcome::Generator,
                format!("a generator may have {most} connections open, and has them"),
            ));
        };
        let dialed = self.connect.connect(origin, phases).await;
        let dialed = dialed.map_err(|error| (outcome::of_connect(&error), outcome::in_words(&error)))?;
        let remote = dialed.remote.map(|address| self.recorder.borrow_mut().remote(address));
        let (held, rest) = room.map(Room::split).unzip();
        let counted = Counted { _of_generator: open, _of_pool: held };
        let opened = Connection::open(dialed, remote, counted, self.plan.http.max_streams).await;
        let broken = |error: hyper::Error| (outcome::of_exchange(&error), outcome::in_words(&error));
        let mut connection = Box::new(opened.map_err(broken)?);
        if let Some((opening, tenancy)) = rest {
            drop(opening);
            self.pool.opened(origin, &connection);
            connection.tenancy = Some(tenancy);
        }
        if connection.ready().await {
            Ok(connection)
        } else {
            Err((Outcome::Reset, "connection ended before it could be used".to_owned()))
        }
    }

    /// Keeps what went wrong beside a request, for whoever reads the report.
    pub(crate) fn note(&self, problem: String) {
        if let Some(tracer) = &self.tracer {
            tracer.tell(Event::Failed(problem.clone()));
        }
        self.keep_note(problem);
    }

    /// Keeps what is worth knowing, for whoever reads the report.
    pub(crate) fn keep_note(&self, problem: String) {
        let problem = if self.masks.is_empty() { problem } else { self.masks.mask(&problem).into_owned() };
        self.recorder.borrow_mut().note(problem);
    }

    /// Asks for the end of the whole run; the first reason counts.
    pub(crate) fn request_abort(&self, reason: &str) {
        let reason = self.masks.mask(reason).into_owned();
        self.abort.borrow_mut().get_or_insert(reason);
        self.aborted.notify_one();
    }
}

/// The users that are alive, so that their time is counted while it passes and not only when they end.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    next: u64,
    /// What is still to be counted of each.
    spans: HashMap<u64, Stretch>,
}

/// A part of a life that is to be counted.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    load: LoadId,
    from_us: i64,
    until_us: i64,
    /// So long after the end of the slice the user is somebody else's.
    after_end_us: i64,
}

/// A user's life: its time is recorded however it ends.
pub(crate) struct Life {
    worker: Rc<Worker>,
    id: u64,
}

impl Life {
    /// A life whose time counts between the two offsets: what the plan asks for. If the slice is handed over, it counts
    /// no longer than so long after that.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        load: LoadId,
        (from_us, until_us): (i64, i64),
        after_end_us: i64,
    ) -> Self {
        let mut lives = worker.lives.borrow_mut();
        let id = lives.next;
        lives.next += 1;
        lives.spans.insert(id, Stretch { load, from_us, until_us, after_end_us });
        Self { worker: Rc::clone(worker), id }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let now_us = self.worker.now_us();
        if let Some(rest) = self.worker.lives.borrow_mut().spans.remove(&self.id) {
            let end_us = self.worker.counted_until(&rest, now_us);
            self.worker.recorder.borrow_mut().user_time(rest.load, rest.from_us, end_us);
        }
    }
}

impl Worker {
    /// Counts the users' time up to now.
    pub(crate) fn count_user_time(&self) {
        let (now_us, mut recorder) = (self.now_us(), self.recorder.borrow_mut());
        for rest in self.lives.borrow_mut().spans.values_mut() {
            let end_us = self.counted_until(rest, now_us);
            if end_us > rest.from_us {
                recorder.user_time(rest.load, rest.from_us, end_us);
                rest.from_us = end_us;
            }
        }
    }

    /// Up to when a life counts by now. Behind the end and behind the fence it is lived by another generator.
    fn counted_until(&self, life: &Stretch, now_us: i64) -> i64 {
        let left_us = self.ending.leaves_us(life.after_end_us);
        now_us.min(life.until_us).min(left_us).min(self.bounds.fence_us())
    }

    /// How many users are alive.
    pub(crate) fn users(&self) -> u32 {
        u32::try_from(self.lives.borrow().spans.len()).unwrap_or(u32::MAX)
    }

    /// How many of them were so before a second, as long as their time since then was not counted.
    pub(crate) fn users_before(&self, second: i64) -> u32 {
        let lives = self.lives.borrow();
        let before = lives.spans.values().filter(|life| life.from_us < second * 1_000_000);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_which_tool_and_which_run_it_is_of() {
        let version = env!("CARGO_PKG_VERSION");
        let check = |run: &str, expected: &str| assert_eq!(agent(run), format!("squall/{version}{expected}"));
        check("20261126-101500-8f31c2", " (run 20261126-101500-8f31c2)");
        check("", "");
        check("a)\r\nX: (b", " (run aXb)");
        check(&"r".repeat(100), &format!(" (run {})", "r".repeat(64)));
    }
}
