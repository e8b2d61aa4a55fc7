//! `squall run PLAN --once`: one user, every scenario once, every exchange in full.

mod json;
mod text;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use squall_engine::{Errand, Event, OnceOrder, RunFacts, Trace, run_errand};
use squall_fleet::Clock;
use squall_report::{ExitCode, Style};
use squall_seat::SystemClock;

use crate::args::{Output, RunArgs};
use crate::failure::Failure;
use crate::plan::Loaded;
use crate::signals::interrupted;
use crate::{secrets, setup, surroundings};

/// What such a run is called: there is nothing to find it by.
const ONCE: &str = "once";

/// Events that are kept for programs; a plan may go on for ever.
const MOST_EVENTS: usize = 5_000;

/// What has happened so far.
#[derive(Debug, Default)]
struct Count {
    requests: Cell<u64>,
    failed: Cell<u64>,
    /// What failed that is no request.
    others: Cell<u64>,
}

/// `squall run PLAN --once`
pub(crate) fn command(args: &RunArgs, loaded: Loaded) -> Result<ExitCode, Failure> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => surroundings::random_seed()?,
    };
    let count = Rc::new(Count::default());
    let whole = match args.output {
        Output::Text => {
            let printer = Printer { style: surroundings::style(), count: Rc::clone(&count) };
            walk(loaded, seed, &(Rc::new(printer) as Rc<dyn Trace>))?
        }
        Output::Json => {
            let list = Rc::new(List { events: RefCell::default(), count: Rc::clone(&count) });
            let whole = walk(loaded, seed, &(Rc::clone(&list) as Rc<dyn Trace>))?;
            surroundings::print(&format!(
                "{}\n",
                serde_json::to_string_pretty(&Value::from(json::list(&list.events.take())))?
            ));
            whole
        }
    };
    let exit = count.exit_code(whole);
    match args.output {
        Output::Text => {
            let words = count.in_words(exit);
            surroundings::print(&text::summary(&words, seed, exit, surroundings::style()));
        }
        Output::Json => eprintln!("{} · seed {seed:x}", count.in_words(exit)),
    }
    Ok(exit)
}

/// Setup, every scenario, teardown; false if that was interrupted. Nothing follows a setup that failed.
fn walk(loaded: Loaded, seed: u64, port: &Rc<dyn Trace>) -> Result<bool, Failure> {
    let run = RunFacts { id: ONCE.to_owned(), nonce: String::new(), started_ms: SystemClock.now().0 / 1_000 };
    let secrets = secrets::of(&loaded.plan)?;
    let order = |plan| OnceOrder { plan, seed, run: run.clone(), secrets: secrets.clone() };
    let Loaded { plan, bundle } = loaded;
    let mut order_of_run = order(Arc::new(plan));
    if !order_of_run.plan.setup.is_empty() {
        let done = run_errand(&order_of_run, Errand::Setup, Some(Rc::clone(port)))?;
        if !done.is_good {
            return Ok(true);
        }
        order_of_run = order(Arc::new(setup::with_values(bundle, &done, &secrets)?.plan));
    }
    let whole = squall_engine::once(&order_of_run, Rc::clone(port), interrupted())?;
    if !order_of_run.plan.teardown.is_empty() {
        run_errand(&order_of_run, Errand::Teardown, Some(Rc::clone(port)))?;
    }
    Ok(whole)
}

impl Count {
    fn add(&self, event: &Event) {
        let more = |count: &Cell<u64>| count.set(count.get() + 1);
        match event {
            Event::Exchange(exchange) => {
                more(&self.requests);
                if exchange.failed {
                    more(&self.failed);
                }
            }
            Event::Failed(_) => more(&self.others),
            Event::Part { .. } | Event::Flow(_) => {}
        }
    }

    fn exit_code(&self, whole: bool) -> ExitCode {
        if !whole {
            ExitCode::Interrupted
        } else if self.failed.get() + self.others.get() > 0 {
            ExitCode::Failed
        } else if self.requests.get() == 0 {
            ExitCode::Invalid
        } else {
            ExitCode::Passed
        }
    }

    fn in_words(&self, exit: ExitCode) -> String {
        let (requests, failed, others) = (self.requests.get(), self.failed.get(), self.others.get());
        let plural = |number: u64| if number == 1 { "" } else { "s" };
        let requests = format!("{requests} request{}", plural(requests));
        match exit {
            ExitCode::Interrupted => format!("{requests} until the interruption"),
            ExitCode::Invalid => "no request was sent".to_owned(),
            _ if failed + others == 0 => format!("{requests}, none failed"),
            _ if others == 0 => format!("{failed} of {requests} failed"),
            _ => format!("{failed} of {requests} failed, and {others} step{}", plural(others)),
        }
    }
}

/// Prints what happens while it does.
struct Printer {
    style: Style,
    count: Rc<Count>,
}

impl Trace for Printer {
    fn tell(&self, event: Event) {
        self.count.add(&event);
        surroundings::print(&text::event(&event, self.style));
    }
}

/// Keeps what happens for the end.
struct List {
    events: RefCell<Vec<Event>>,
    count: Rc<Count>,
}

impl Trace for List {
    fn tell(&self, event: Event) {
        self.count.add(&event);
        let mut events = self.events.borrow_mut();
        if events.len() < MOST_EVENTS {
            events.push(event);
        } else if events.len() == MOST_EVENTS {
            events.push(Event::Flow(format!("more than {MOST_EVENTS} events: the rest is left out")));
        }
    }
}
