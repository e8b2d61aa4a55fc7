//! The report as a page: one file that loads nothing, opens from disk and reads without scripts.

mod behind;
mod charts;
mod curve;
mod endpoints;
mod findings;
mod fleet;
mod heat;
mod markup;
mod plan;
mod plot;
mod probe;
mod sections;
mod slots;
mod slow;
mod spectrum;
mod tables;
mod telemetry;
mod titles;
mod verdict;

use serde_json::json;

use self::markup::{Html, decimal};
pub use self::probe::probe_html;
use self::slots::Slots;
use crate::result::RunResult;

/// Nothing may be loaded, whatever a name in the result says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// How pages look; for those that others make.
pub const PAGE_STYLE: &str = include_str!("html/style.css");

/// Points of a line at most.
const MAX_SLOTS: usize = 600;

/// One part of the page: its anchor, its heading, and what draws its content.
struct Section {
    id: &'static str,
    heading: &'static str,
    draw: fn(&mut Html, &RunResult),
    /// Whether there is anything in it.
    shown: fn(&RunResult) -> bool,
}

/// For sections that say so if there is nothing in them.
const ALWAYS: fn(&RunResult) -> bool = |_| true;

/// All parts below the verdict, in their order.
const SECTIONS: [Section; 11] = [
    Section { id: "thresholds", heading: "Thresholds", draw: verdict::thresholds, shown: ALWAYS },
    Section {
        id: "findings",
        heading: "Findings",
        draw: findings::findings,
        shown: |result| !result.findings.is_empty(),
    },
    Section { id: "totals", heading: "Totals", draw: sections::totals, shown: ALWAYS },
    Section { id: "coverage", heading: "Coverage", draw: sections::coverage, shown: ALWAYS },
    Section { id: "charts", heading: "What happened when", draw: draw_charts, shown: ALWAYS },
    Section { id: "endpoints", heading: "Endpoints", draw: endpoints::endpoints, shown: ALWAYS },
    Section { id: "generators", heading: "Generators", draw: fleet::generators, shown: ALWAYS },
    Section { id: "problems", heading: "Problems", draw: sections::problems, shown: ALWAYS },
    Section { id: "cost", heading: "Cost", draw: sections::cost, shown: ALWAYS },
    Section { id: "plan", heading: "Plan", draw: plan::plan, shown: ALWAYS },
    Section { id: "words", heading: "Words", draw: sections::words, shown: ALWAYS },
];

/// The report as a page of its own.
#[must_use]
pub fn html(result: &RunResult) -> String {
    let mut html = Html::document();
    html.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |html| head(html, result));
        html.element("body", &[], |html| {
            html.element("div", &[("class", "page")], |html| {
                html.element("nav", &[("aria-label", "Contents")], |html| contents(html, result));
                html.element("main", &[], |html| content(html, result));
            });
            html.data("timeline", &timeline_data(result));
            html.element("script", &[], |html| html.trusted(include_str!("html/script.js")));
        });
    });
    html.finish()
}

fn head(html: &mut Html, result: &RunResult) {
    html.void("meta", &[("charset", "utf-8")]);
    html.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
    html.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    html.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    html.leaf("title", &[], &format!("{} · {}", verdict::word(result), result.run.name));
    html.element("style", &[], |html| html.trusted(PAGE_STYLE));
}

fn shown(result: &RunResult) -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().filter(|section| (section.shown)(result))
}

fn contents(html: &mut Html, result: &RunResult) {
    html.element("ul", &[], |html| {
        let all = shown(result).map(|section| (section.id, section.heading));
        for (id, heading) in std::iter::once(("verdict", "Verdict")).chain(all) {
            html.element("li", &[], |html| html.leaf("a", &[("href", &format!("#{id}"))], heading));
        }
    });
}

fn content(html: &mut Html, result: &RunResult) {
    html.element("section", &[("id", "verdict")], |html| verdict::verdict(html, result));
    for section in shown(result) {
        html.element("section", &[("id", section.id)], |html| {
            html.leaf("h2", &[], section.heading);
            (section.draw)(html, result);
        });
    }
    let run = &result.run;
    html.element("footer", &[], |html| {
        html.text(&format!("Squall {} · run {} · plan ", result.squall_version, run.id));
        html.leaf("code", &[], &run.plan_sha256);
    });
}

fn draw_charts(html: &mut Html, result: &RunResult) {
    charts::draw(html, result, MAX_SLOTS);
}

/// What the crosshair reads: the values of each chart by slot, times in whole microseconds.
fn timeline_data(result: &RunResult) -> serde_json::Value {
    let slots = Slots::new(&result.timeline, MAX_SLOTS);
    let charts = charts::charts(&slots, result);
    let charts = charts.iter().map(|chart| {
        let values = chart.series.iter().map(|series| {
            let rounded = |value: &f64| json!(decimal(*value * chart.unit.scale()).parse::<f64>().ok());
            let values = series.values.iter().map(|value| value.as_ref().map(rounded));
            values.map(|value| value.unwrap_or(serde_json::Value::Null)).collect::<Vec<_>>()
        });
        (chart.id.clone(), json!({ "unit": chart.unit.name(), "values": values.collect::<Vec<_>>() }))
    });
    let mut charts: serde_json::Map<_, _> = charts.collect();
    if let Some(heat) = heat::Heat::of(&result.timeline) {
        charts.insert(heat::ID.to_owned(), heat.data());
    }
    json!({
        "begin_s": slots.begin_s,
        "width_s": slots.width_s,
        "length_s": slots.length_s,
        "count": slots.all.len(),
        "charts": charts,
    })
}
