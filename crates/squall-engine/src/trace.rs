//! What users do, told in full while they do it: how people debug a plan.
//!
//! Under load nobody listens, and nothing of this is made: whoever tells asks first whether there is a [`Tracer`].
//! Everything goes through it, and it alone knows the masks, so that no secret is told.

mod draft;
mod masked;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall_plan::{Masks, Request, Think};

pub(crate) use draft::{Draft, in_words as check_in_words};

use crate::connection::Connection;
use crate::flight::Ended;
use crate::user::User;
use crate::worker::Worker;

/// A `think` outside of `repeat` lasts no longer than this while somebody listens.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The port through which the engine tells what users do.
pub trait Trace {
    /// Something happened. No secret is in it.
    fn tell(&self, event: Event);
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user begins a part of its scenario.
    Part {
        /// The scenario's name.
        scenario: String,
        /// Which part: `before`, `steps`, a task, `after`.
        part: String,
    },
    /// The flow decided, set or said something.
    Flow(String),
    /// The flow could not go on as it should, and why.
    Failed(String),
    /// A request was sent, or could not be.
    Exchange(Box<Exchange>),
}

/// A request, from its first attempt to what was made of the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The name under which it is measured.
    pub name: String,
    /// What went over the wire: several where it was redirected or sent again. Empty if it could not be built.
    pub hops: Vec<Hop>,
    /// What was expected of the response.
    pub checks: Vec<Checked>,
    /// What was taken out of the response: variables and their values.
    pub captures: Vec<(String, String)>,
    /// What went wrong, in words.
    pub problems: Vec<String>,
    /// How it ended: a status or what came in its place.
    pub outcome: String,
    /// Whether that is a failure.
    pub failed: bool,
    /// From when it was due to its last byte, in microseconds.
    pub took_us: u64,
}

/// A message sent and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hop {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// What was sent; `None` if there was no connection for it.
    pub sent: Option<Parts>,
    /// Over which connection.
    pub connection: Option<Link>,
    /// The status that came back.
    pub status: Option<u16>,
    /// What that status means; empty if nobody knows.
    pub reason: &'static str,
    /// What came back.
    pub received: Option<Parts>,
    /// What the time was spent on, in microseconds.
    pub phases: Vec<(&'static str, u64)>,
    /// What followed, if that is another hop.
    pub then: Option<String>,
}

/// Headers and content of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub content: Content,
}

/// The content of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// How long it was on its way.
    pub bytes: u64,
    /// What it says, unpacked, if it is text.
    pub text: Option<String>,
    /// Whether the text goes on.
    pub cut: bool,
    /// Whether it is JSON.
    pub json: bool,
}

/// A connection that a message went over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether it was used before.
    pub reused: bool,
    /// Whether HTTP/2 is spoken over it.
    pub http2: bool,
    /// The address at its other end, if that is known.
    pub remote: Option<String>,
}

/// Something that was expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What.
    pub what: String,
    /// What was found, where that says more than the response itself.
    pub found: Option<String>,
    /// Whether that is it.
    pub passed: bool,
}

/// Tells what happens to whoever listens, without secrets.
pub(crate) struct Tracer {
    port: Rc<dyn Trace>,
    masks: Arc<Masks>,
    /// How many `repeat`s the users are in.
    repeats: Cell<u32>,
}

impl Tracer {
    pub(crate) fn new(port: Rc<dyn Trace>, masks: Arc<Masks>) -> Self {
        Self { port, masks, repeats: Cell::new(0) }
    }

    pub(crate) fn tell(&self, event: Event) {
        self.port.tell(event.masked(&self.masks).cut());
    }
}

impl Worker {
    /// Tells what the flow does, if somebody listens.
    pub(crate) fn tell_flow(&self, what: impl FnOnce() -> String) {
        if let Some(tracer) = &self.tracer {
            tracer.tell(Event::Flow(what()));
        }
    }

    /// What is told of a connection.
    pub(crate) fn link(&self, connection: &Connection, reused: bool) -> Link {
        let remote = connection.remote.and_then(|remote| self.recorder.borrow().address(remote));
        Link { reused, http2: connection.is_http2(), remote: remote.map(|address| address.to_string()) }
    }
}

impl User {
    /// Adds to what will be told of the request under way, if somebody listens.
    pub(crate) fn draft(&self, add: impl FnOnce(&mut Draft)) {
        if let Some(draft) = self.attempt.draft.borrow_mut().as_deref_mut() {
            add(draft);
        }
    }

    /// Tells what became of a request.
    pub(crate) fn tell(&self, request: &Request, draft: Draft, ended: Ended, took_us: u64) {
        let Some(tracer) = &self.worker.tracer else { return };
        let name = &self.worker.plan.series[request.series].endpoint;
        let exchange = draft.finish(name, ended.outcome.to_string(), ended.failed, took_us);
        tracer.tell(Event::Exchange(Box::new(exchange)));
    }

    /// A pause, as long as somebody who listens is to wait for it: what polls keeps its pace.
    pub(crate) fn shortened(&self, think: Think, pause: Duration) -> Duration {
        let Some(tracer) = &self.worker.tracer else { return pause };
        let kept = tracer.repeats.get() > 0 || pause <= LONGEST_PAUSE;
        let shortened = if kept { pause } else { LONGEST_PAUSE };
        let drawn = if matches!(think, Think::Fixed(_)) { "" } else { " was drawn" };
        tracer.tell(Event::Flow(if kept {
            format!("think: {}{drawn}", in_words(pause))
        } else {
            format!("think: {}{drawn}, shortened to {}", in_words(pause), in_words(shortened))
        }));
        shortened
    }

    /// The flow goes into a `repeat`, or comes out of it.
    pub(crate) fn in_repeat(&self, inside: bool) {
        if let Some(tracer) = &self.worker.tracer {
            let repeats = tracer.repeats.get();
            tracer.repeats.set(if inside { repeats + 1 } else { repeats.saturating_sub(1) });
        }
    }
}

/// A duration as people write it.
fn in_words(duration: Duration) -> String {
    if duration < Duration::from_millis(1) {
        format!("{} µs", duration.as_micros())
    } else if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
