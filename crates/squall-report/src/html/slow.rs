//! The slowest requests of an endpoint, one by one.

use super::charts::PHASES;
use super::markup::{Html, decimal};
use crate::numbers::{count, duration_ms, duration_s};
use crate::slow::SlowRequest;

const COLUMNS: [&str; 9] = [
    "Ended at",
    "Response time",
    "Service time",
    "What it is made of",
    "Outcome",
    "Connection",
    "Address",
    "Bytes",
    "Trace",
];

/// A table of so many of them, slowest first.
pub(super) fn draw(html: &mut Html, slowest: &[SlowRequest], most: usize) {
    if slowest.is_empty() {
        return;
    }
    html.leaf("h4", &[], "The slowest requests");
    let longest = slowest.iter().map(|slow| slow.response_time_ms).fold(0.0, f64::max);
    html.element("div", &[("class", "scroll wide"), ("tabindex", "0")], |html| {
        html.element("table", &[("class", "slowest")], |html| {
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    COLUMNS.iter().for_each(|name| html.leaf("th", &[("scope", "col")], name));
                });
            });
            html.element("tbody", &[], |html| {
                slowest.iter().take(most).for_each(|slow| row(html, slow, longest));
            });
        });
    });
    html.element("div", &[("class", "keys")], |html| {
        let waited = ("waited before it began", "ph-wait");
        for (name, class) in [waited].iter().chain(&PHASES) {
            html.element("span", &[("class", "key")], |html| {
                html.leaf("i", &[("class", class)], "");
                html.text(name);
            });
        }
    });
}

fn row(html: &mut Html, slow: &SlowRequest, longest: f64) {
    let sign = if slow.t_s < 0.0 { "-" } else { "" };
    let at = format!("{sign}{}", duration_s((slow.t_s.abs() * 10.0).round() / 10.0));
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let connection = match &*slow.protocol {
        "" => slow.connection.clone(),
        protocol => format!("{}, {protocol}", slow.connection),
    };
    html.element("tr", &[], |html| {
        html.leaf("th", &[("scope", "row")], &at);
        html.leaf("td", &[], &duration_ms(slow.response_time_ms));
        html.leaf("td", &[], &duration_ms(slow.service_time_ms));
        html.element("td", &[], |html| bar(html, slow, longest));
        let class = if slow.failed { "bad" } else { "" };
        html.leaf("td", &[("class", class)], &slow.outcome.replace('_', " "));
        html.leaf("td", &[], &connection);
        html.leaf("td", &[], &text(&slow.remote));
        html.leaf("td", &[], &count(slow.bytes_received));
        html.element("td", &[], |html| html.leaf("code", &[], &text(&slow.trace_id)));
    });
}

/// Its phases side by side, as long as the request is beside the slowest.
fn bar(html: &mut Html, slow: &SlowRequest, longest: f64) {
    let phases = &slow.phases_ms;
    let all = [phases.dns, phases.connect, phases.tls, phases.send, phases.first_byte, phases.body];
    let waited = (slow.response_time_ms - slow.service_time_ms).max(0.0);
    let parts = PHASES.iter().zip(all).filter_map(|((name, class), ms)| Some((*name, *class, ms?)));
    let parts = || std::iter::once(("waited", "ph-wait", waited)).chain(parts.clone());
    let parts = || parts().filter(|(_, _, ms)| *ms > 0.0);
    let said =
        parts().map(|(name, _, ms)| format!("{name} {}", duration_ms(ms))).collect::<Vec<_>>().join(", ");
    let attributes = [
        ("class", "bar"),
        ("viewBox", "0 0 100 10"),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("aria-label", &*said),
    ];
    html.element("svg", &attributes, |html| {
        html.leaf("title", &[], &said);
        let mut from = 0.0;
        for (_, class, ms) in parts() {
            let width = 100.0 * ms / longest.max(f64::MIN_POSITIVE);
            let (x, width_text) = (decimal(from), decimal(width));
            let class = format!("part {class}");
            let attributes =
                [("class", &*class), ("x", &*x), ("y", "0"), ("width", &*width_text), ("height", "10")];
            html.leaf("rect", &attributes, "");
            from += width;
        }
    });
}
