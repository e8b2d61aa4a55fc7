//! What was asked for.

use super::charts::seconds;
use super::markup::Html;
use super::tables::table;
use crate::result::RunResult;

/// The plan, and its stages.
pub(super) fn plan(html: &mut Html, result: &RunResult) {
    let plan = &result.plan;
    if plan.stages.len() > 1 {
        let rows = plan
            .stages
            .iter()
            .map(|stage| vec![stage.name.clone(), at(Some(stage.from_s)), at(Some(stage.until_s))]);
        table(html, &["Stage", "From", "Until"], rows);
    }
    if plan.text.is_empty() {
        html.leaf("p", &[("class", "muted")], "Its text is not kept in this result.");
    } else {
        html.element("div", &[("class", "scroll"), ("tabindex", "0")], |html| {
            html.element("pre", &[], |html| html.leaf("code", &[], &plan.text));
        });
    }
}

/// An instant of a stage or of a finding.
pub(super) fn at(t_s: Option<f64>) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a time that is cut to what fits is far off anyway")]
    t_s.map_or("its end".to_owned(), |t_s| seconds(t_s.round() as i64))
}
