//! What every chart shows besides its data: stages, findings, tainted seconds, and instants.

use super::markup::{Html, decimal};
use super::plot::{SIZE, edge};
use super::slots::Slots;
use crate::result::RunResult;

/// Where there are more stages, they are told apart but not named.
const MAX_LABELS: usize = 8;

/// Narrower stages, as shares of the width, have no room for a name.
const MIN_LABEL: f64 = 0.06;

/// How high the mark of a finding is.
const FINDING: f64 = 4.0;

/// Stretches and instants that every chart shows.
pub(super) struct Behind {
    stages: Vec<Band>,
    findings: Vec<Band>,
    marks: Vec<Mark>,
}

struct Band {
    name: String,
    from_s: f64,
    until_s: f64,
}

struct Mark {
    /// `mark` where a threshold first failed, `note` where somebody has said something.
    class: &'static str,
    t_s: f64,
}

impl Behind {
    pub(super) fn new(result: &RunResult) -> Self {
        let failed = result.thresholds.iter().filter_map(|threshold| threshold.first_failed_at_s);
        let annotated = result.annotations.iter().map(|annotation| annotation.t_s);
        let failed = failed.map(|t_s| Mark { class: "mark", t_s });
        let marks = failed.chain(annotated.map(|t_s| Mark { class: "note", t_s })).collect();
        let stages = result.plan.stages.iter();
        let stages = stages.map(|stage| Band {
            name: stage.name.clone(),
            from_s: stage.from_s,
            until_s: stage.until_s,
        });
        let findings = result.findings.iter().filter_map(|finding| {
            let number = |key: &str| finding.get(key).and_then(serde_json::Value::as_f64);
            let is = |key: &str, words: &[&str]| {
                finding.get(key).and_then(serde_json::Value::as_str).is_some_and(|text| words.contains(&text))
            };
            // That nothing is wrong is nothing to mark, nor is what is not sure.
            let marked = !is("kind", &["healthy", "not_enough_data"]) && !is("confidence", &["low"]);
            marked.then_some(())?;
            Some(Band { name: String::new(), from_s: number("from_s")?, until_s: number("until_s")? })
        });
        Self { stages: stages.collect(), findings: findings.collect(), marks }
    }

    /// Stages beside each other would hide each other, and one alone says nothing.
    fn stages(&self) -> &[Band] {
        let in_turn = self.stages.is_sorted_by(|one, other| one.until_s <= other.from_s);
        if in_turn && self.stages.len() > 1 { &self.stages } else { &[] }
    }
}

/// How far along the time axis something is.
fn share(slots: &Slots, t_s: f64) -> f64 {
    (t_s - slots.begin_s as f64) / slots.length_s.max(1) as f64
}

/// The part of a band that is in the picture, as shares of its width.
fn visible(slots: &Slots, band: &Band) -> Option<(f64, f64)> {
    let (from, until) = (share(slots, band.from_s).max(0.0), share(slots, band.until_s).min(1.0));
    (from < until).then_some((from, until))
}

/// Where along the time axis the marks of a class stand.
fn shares(slots: &Slots, behind: &Behind, class: &str) -> Vec<f64> {
    let marks = behind.marks.iter().filter(|mark| mark.class == class);
    marks.map(|mark| share(slots, mark.t_s)).filter(|share| (0.0..=1.0).contains(share)).collect()
}

/// What the bands and marks mean.
pub(super) fn keys(html: &mut Html, slots: &Slots, behind: &Behind) {
    let finding = behind.findings.iter().any(|band| visible(slots, band).is_some());
    let keys = [
        ("tainted", "generators were the bottleneck", slots.all.iter().any(|slot| slot.tainted > 0)),
        ("finding", "a finding", finding),
        ("mark", "a threshold first failed", !shares(slots, behind, "mark").is_empty()),
        ("note", "annotation", !shares(slots, behind, "note").is_empty()),
    ];
    for (class, what, _) in keys.iter().filter(|(_, _, shown)| *shown) {
        html.element("span", &[("class", "key quiet")], |html| {
            html.leaf("i", &[("class", class)], "");
            html.text(what);
        });
    }
}

/// Every second stage, and tainted seconds.
pub(super) fn bands(html: &mut Html, slots: &Slots, behind: &Behind) {
    for band in behind.stages().iter().skip(1).step_by(2) {
        rectangle(html, "stage", SIZE.1, visible(slots, band));
    }
    for (from, to) in tainted(slots) {
        let (from, to) = (edge(slots, from) / SIZE.0, edge(slots, to) / SIZE.0);
        rectangle(html, "tainted", SIZE.1, Some((from, to.max(from + 0.001))));
    }
}

fn rectangle(html: &mut Html, class: &str, height: f64, visible: Option<(f64, f64)>) {
    let Some((from, until)) = visible else { return };
    let (x, width) = (decimal(from * SIZE.0), decimal((until - from) * SIZE.0));
    let height = decimal(height);
    let attributes = [("class", class), ("x", &*x), ("y", "0"), ("width", &*width), ("height", &*height)];
    html.leaf("rect", &attributes, "");
}

/// What stands before the data: instants, and findings along the upper edge.
pub(super) fn lines(html: &mut Html, slots: &Slots, behind: &Behind) {
    for band in &behind.findings {
        rectangle(html, "finding", FINDING, visible(slots, band));
    }
    for class in ["mark", "note"] {
        let lines = shares(slots, behind, class).into_iter();
        let lines =
            lines.map(|share| format!("M{} 0V{}", decimal(share * SIZE.0), SIZE.1)).collect::<String>();
        if !lines.is_empty() {
            html.leaf("path", &[("class", class), ("d", &lines)], "");
        }
    }
}

/// The stages' names, above the picture and each as wide as its stage.
pub(super) fn labels(html: &mut Html, slots: &Slots, behind: &Behind) {
    let stages = behind.stages();
    if stages.len() > MAX_LABELS {
        return;
    }
    for band in stages {
        let Some((from, until)) = visible(slots, band) else { continue };
        if until - from < MIN_LABEL {
            continue;
        }
        let style = format!("left:{}%;width:{}%", decimal(from * 100.0), decimal((until - from) * 100.0));
        html.leaf("span", &[("class", "stage"), ("style", &style), ("title", &band.name)], &band.name);
    }
}

/// Stretches of slots in which generators were the bottleneck.
fn tainted(slots: &Slots) -> Vec<(usize, usize)> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    let tainted = slots.all.iter().enumerate().filter(|(_, slot)| slot.tainted > 0);
    for (index, _) in tainted {
        match stretches.last_mut() {
            Some((_, to)) if *to == index => *to = index + 1,
            _ => stretches.push((index, index + 1)),
        }
    }
    stretches
}
