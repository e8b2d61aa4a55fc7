//! What happened, for programs: a list of exchanges, each with what the flow did before it.

use serde_json::{Value, json};
use squall_engine::{Event, Exchange, Hop, Parts};

/// The exchanges. What the flow did after the last one of a part is an item without a request.
pub(super) fn list(events: &[Event]) -> Vec<Value> {
    let mut items = Vec::new();
    let mut place = Place::default();
    for event in events {
        match event {
            Event::Part { scenario, part } => {
                items.extend(place.rest());
                place = Place { scenario, part, ..Place::default() };
            }
            Event::Flow(text) => place.flow.push(text),
            Event::Failed(text) => place.problems.push(text),
            Event::Exchange(exchange) => items.push(place.item(Some(exchange))),
        }
    }
    items.extend(place.rest());
    items
}

/// Where the journey is, and what has happened there since the last exchange.
#[derive(Default)]
struct Place<'a> {
    scenario: &'a str,
    part: &'a str,
    flow: Vec<&'a str>,
    problems: Vec<&'a str>,
}

impl Place<'_> {
    fn rest(&mut self) -> Option<Value> {
        let nothing = self.flow.is_empty() && self.problems.is_empty();
        (!nothing).then(|| self.item(None))
    }

    fn item(&mut self, exchange: Option<&Exchange>) -> Value {
        let none = Exchange::default();
        let told = exchange.unwrap_or(&none);
        let flow_failed = !self.problems.is_empty();
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(told.problems.iter().map(String::as_str));
        let (last, earlier) = match told.hops.split_last() {
            Some((last, earlier)) => (hop(last), earlier),
            None => (hop(&Hop::default()), told.hops.as_slice()),
        };
        let mut item = json!({
            "scenario": self.scenario,
            "part": self.part,
            "flow": std::mem::take(&mut self.flow),
            "name": exchange.map(|exchange| &exchange.name),
            "outcome": exchange.map(|exchange| &exchange.outcome),
            "failed": told.failed || flow_failed,
            "took_ms": exchange.map(|exchange| ms(exchange.took_us)),
            "problems": problems,
            "checks": told.checks.iter().map(|check| {
                json!({ "what": check.what, "passed": check.passed, "found": check.found })
            }).collect::<Vec<_>>(),
            "captures": told.captures.iter().map(|(name, value)| {
                json!({ "name": name, "value": value })
            }).collect::<Vec<_>>(),
            "earlier": earlier.iter().map(hop).collect::<Vec<_>>(),
        });
        if let (Value::Object(item), Value::Object(last)) = (&mut item, last) {
            item.extend(last);
        }
        item
    }
}

fn hop(hop: &Hop) -> Value {
    let parts = |parts: &Parts| {
        let headers = parts.headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let content = &parts.content;
        json!({
            "headers": headers.collect::<Vec<_>>(),
            "body": content.text,
            "body_bytes": content.bytes,
            "body_is_cut": content.cut,
        })
    };
    let merged = |mut value: Value, more: Option<Value>| {
        if let (Value::Object(value), Some(Value::Object(more))) = (&mut value, more) {
            value.extend(more);
        }
        value
    };
    let request = merged(json!({ "method": hop.method, "url": hop.url }), hop.sent.as_ref().map(parts));
    let response =
        hop.status.map(|status| merged(json!({ "status": status }), hop.received.as_ref().map(parts)));
    let phases = hop.phases.iter().map(|(name, us)| ((*name).to_owned(), Value::from(ms(*us))));
    json!({
        "request": if hop.url.is_empty() { Value::Null } else { request },
        "response": response,
        "connection": hop.connection.as_ref().map(|link| json!({
            "reused": link.reused,
            "protocol": if link.http2 { "HTTP/2" } else { "HTTP/1.1" },
            "remote": link.remote,
        })),
        "phases_ms": phases.collect::<serde_json::Map<_, _>>(),
        "then": hop.then,
    })
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}
