//! What a probe has found out, as a page.

use super::markup::Html;
use super::tables::{list, tall_table};
use super::{PAGE_STYLE, POLICY, curve};
use crate::numbers::duration_s;
use crate::probe::{ProbeOutcome, ProbeResult, TAINTED_NOTE, from, round_table, sent, word};

/// The probe's result as a page of its own, which loads nothing and has no scripts.
#[must_use]
pub fn probe_html(result: &ProbeResult) -> String {
    let mut html = Html::document();
    html.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |html| head(html, result));
        html.element("body", &[], |html| {
            html.element("div", &[("class", "page alone")], |html| {
                html.element("main", &[], |html| content(html, result));
            });
        });
    });
    html.finish()
}

fn head(html: &mut Html, result: &ProbeResult) {
    html.void("meta", &[("charset", "utf-8")]);
    html.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
    html.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    html.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    html.leaf("title", &[], &format!("{} · {}", result.probe.kind, result.probe.target));
    html.element("style", &[], |html| html.trusted(PAGE_STYLE));
}

fn content(html: &mut Html, result: &ProbeResult) {
    html.element("section", &[("id", "answer")], |html| answer(html, result));
    if !result.curves.is_empty() {
        section(html, "curves", "Curves", |html| {
            result.curves.iter().for_each(|one| curve::draw(html, one));
        });
    }
    section(html, "rounds", "Rounds", |html| rounds(html, result));
    let facts = &result.probe;
    html.element("footer", &[], |html| {
        html.text(&format!("Squall {} · probe {} · {}", result.squall_version, facts.id, facts.started_at));
    });
}

fn section(html: &mut Html, id: &'static str, heading: &str, content: impl FnOnce(&mut Html)) {
    html.element("section", &[("id", id)], |html| {
        html.leaf("h2", &[], heading);
        content(html);
    });
}

fn answer(html: &mut Html, result: &ProbeResult) {
    let (name, _) = word(result);
    let class = match result.ending.outcome {
        ProbeOutcome::Answered => "verdict good",
        ProbeOutcome::Stopped | ProbeOutcome::Failed => "verdict bad",
        ProbeOutcome::Interrupted => "verdict doubtful",
    };
    html.element("h1", &[], |html| {
        html.leaf("span", &[("class", class)], name);
        html.text(&format!(" {} of {}", result.probe.kind, result.probe.target));
    });
    let probe = &result.probe;
    let when = format!("{} · {} · {}", probe.started_at, duration_s(probe.took_s.round()), from(probe));
    html.leaf("p", &[("class", "muted")], &when);
    if let Some(reason) = &result.ending.reason {
        html.leaf("p", &[("class", "bad")], reason);
    }
    if !result.headline.is_empty() {
        html.element("p", &[], |html| html.leaf("strong", &[], &result.headline));
    }
    html.element("dl", &[("class", "words")], |html| {
        for finding in &result.findings {
            html.leaf("dt", &[], &finding.name);
            html.leaf("dd", &[], &finding.value);
        }
    });
    if !result.warnings.is_empty() {
        html.leaf("h3", &[], "What makes it doubtful");
        list(html, &result.warnings);
    }
}

fn rounds(html: &mut Html, result: &ProbeResult) {
    html.leaf("p", &[("class", "muted")], &format!("{}.", sent(&result.sent)));
    if result.rounds.iter().any(|round| round.tainted) {
        html.leaf("p", &[("class", "muted")], TAINTED_NOTE);
    }
    let (head, rows) = round_table(&result.rounds);
    tall_table(html, &head, rows);
}
