//! What a fleet on AWS will be: when it is ready, and what it costs.

use std::time::Duration;

use serde_json::{Value, json};
use squall_fleet::cost::{Expected, Item, estimate, total};
use squall_fleet::sizing::{self, Concurrency, Function, Ready, START};
use squall_plan::Plan;
use squall_report::{count, duration_s};

use crate::aws::{Look, window};
use crate::calibration::bytes;
use crate::cost;
use crate::failure::Failure;
use crate::size::Sized;

/// Numbers of generators for which it is said when they are ready, beside the chosen one.
const NUMBERS: [u32; 3] = [100, 1_000, 10_000];

/// How long a generator lives, unless it was deployed otherwise.
const USUAL_LIFE: Duration = Duration::from_mins(15);

/// Functions that an account runs at a time, unless it has asked for more.
const USUAL_CONCURRENCY: u32 = 1_000;

/// A fleet on AWS.
pub(super) struct OnAws {
    /// The stack that was looked at.
    stack: Option<String>,
    function: Function,
    /// Functions that the account runs at a time, beside what it reserves.
    concurrency: u32,
    expected: Expected,
    items: Vec<Item>,
    ready: Vec<(u32, Ready)>,
    /// Bytes that a request is taken to send, if nobody has measured them.
    assumed_bytes: Option<f64>,
}

impl OnAws {
    /// Of a plan; what is there if somebody looked, else what is usual.
    pub(super) fn new(plan: &Plan, sized: &Sized, lanes: u32, look: Option<Look>) -> Result<Self, Failure> {
        let (stack, function, timeout, concurrency) = match look {
            Some(look) => (Some(look.stack), look.function, look.timeout, look.unreserved),
            None => (None, Function::DEFAULT, USUAL_LIFE, USUAL_CONCURRENCY),
        };
        let seats = sized.generators;
        let spares = sizing::spares(seats).min(concurrency.saturating_sub(seats));
        let window = window(plan, timeout, seats, None)?;
        let expected =
            Expected::of(plan, function, (seats, spares, lanes), sized.calibration()).in_windows(window);
        let mut numbers: Vec<u32> = NUMBERS.into_iter().chain([seats]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let ready = numbers.into_iter().map(|seats| (seats, Ready::of(seats, sizing::spares(seats), lanes)));
        let assumed_bytes = sized.calibration().is_none().then(|| sizing::assumed_bytes(plan));
        let (items, ready) = (estimate(&expected), ready.collect());
        Ok(Self { stack, function, concurrency, expected, items, ready, assumed_bytes })
    }

    /// What the lines say of when generators are ready.
    pub(super) fn ready(&self) -> String {
        let lanes = match self.expected.lanes {
            1 => String::new(),
            lanes => format!(" over {lanes} lanes"),
        };
        format!(
            "from when the queue is open{lanes}: let in by an ordinary mapping, by pollers that are provided, by functions \
             as they start"
        )
    }

    /// When generators are ready, a line for each number of them.
    pub(super) fn ready_lines(&self) -> Vec<String> {
        let head = row(["generators", "mapping", "pollers", "functions", "ready", ""]);
        let rows = self.ready.iter().map(|(seats, ready)| {
            let time = |time: Option<Duration>| time.map_or("–".to_owned(), seconds);
            let mapping = match ready.concurrency {
                Concurrency::Maximum(_) => "by mapping".to_owned(),
                Concurrency::Pollers { maximum, .. } => format!("by {} pollers", count(maximum.into())),
            };
            let own = if *seats == self.expected.seats { "→ " } else { "" };
            let more = if *seats > self.concurrency { "*" } else { "" };
            row([
                &format!("{own}{}{more}", count((*seats).into())),
                &time(ready.ordinary),
                &time(ready.pollers),
                &seconds(ready.functions),
                &seconds(ready.last() + START),
                &mapping,
            ])
        });
        let mut lines: Vec<String> = std::iter::once(head).chain(rows).collect();
        if self.ready.iter().any(|(seats, _)| *seats > self.concurrency) {
            let known = if self.stack.is_some() { "runs" } else { "is taken to run" };
            lines.push(format!(
                "* beyond the quota: the account {known} {} at a time",
                count(self.concurrency.into())
            ));
        }
        lines
    }

    /// What it will cost, in a sentence.
    pub(super) fn cost(&self) -> String {
        let source = match &self.stack {
            Some(stack) => format!("as stack `{stack}` is"),
            None => "as `squall deploy` makes them".to_owned(),
        };
        let whole = cost::in_words(&self.expected, &self.items);
        format!("about {whole} ({}), {source}", self.function.architecture.name())
    }

    /// What that was taken from.
    pub(super) fn source(&self) -> String {
        let assumed = self
            .assumed_bytes
            .map_or(String::new(), |number| format!(" A request is taken to send {}.", bytes(number)));
        let prices = cost::prices();
        format!("Prices of {prices}; other regions have others. Free tiers are left out.{assumed}")
    }

    /// A line for each item.
    pub(super) fn cost_lines(&self) -> Vec<String> {
        cost::lines(&self.items)
    }

    pub(super) fn document(&self) -> Value {
        let ready = self.ready.iter().map(|(seats, ready)| {
            let s = |duration: Duration| duration.as_secs_f64();
            json!({
                "generators": seats,
                "ordinary_mapping_s": ready.ordinary.map(s),
                "pollers_s": ready.pollers.map(s),
                "functions_s": s(ready.functions),
                "ready_s": s(ready.last() + START),
                "pollers": match ready.concurrency {
                    Concurrency::Maximum(_) => None,
                    Concurrency::Pollers { maximum, .. } => Some(maximum),
                },
                "within_quota": *seats <= self.concurrency,
            })
        });
        json!({
            "stack": self.stack,
            "memory_mb": self.function.memory_mb,
            "architecture": self.function.architecture.name(),
            "concurrency": self.concurrency,
            "lanes": self.expected.lanes,
            "spares": self.expected.spares,
            "ready": ready.collect::<Vec<_>>(),
            "cost": {
                "estimated_usd": total(&self.items),
                "prices": cost::prices(),
                "items": cost::items(&self.items),
            },
        })
    }
}

fn row(cells: [&str; 6]) -> String {
    let [generators, mapping, pollers, functions, ready, how] = cells;
    format!("{generators:>10} {mapping:>8} {pollers:>8} {functions:>10} {ready:>8}  {how}")
        .trim_end()
        .to_owned()
}

fn seconds(time: Duration) -> String {
    duration_s(time.as_secs_f64().ceil())
}
