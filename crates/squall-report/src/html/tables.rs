//! Plain tables.

use super::markup::Html;

/// A table whose first column names its rows; the others hold what was measured.
pub(super) fn table(html: &mut Html, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    in_class(html, "scroll", head, rows);
}

/// The same with so many rows that it scrolls within itself.
pub(super) fn tall_table(html: &mut Html, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    in_class(html, "scroll tall rows", head, rows);
}

fn in_class(html: &mut Html, class: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    html.element("div", &[("class", class), ("tabindex", "0")], |html| {
        html.element("table", &[], |html| {
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    head.iter().for_each(|cell| html.leaf("th", &[("scope", "col")], cell));
                });
            });
            html.element("tbody", &[], |html| rows.into_iter().for_each(|cells| row(html, &cells)));
        });
    });
}

fn row(html: &mut Html, cells: &[String]) {
    html.element("tr", &[], |html| {
        for (at, cell) in cells.iter().enumerate() {
            match at {
                0 => html.leaf("th", &[("scope", "row")], cell),
                _ => html.leaf("td", &[], cell),
            }
        }
    });
}

/// Facts and what they are called.
pub(super) fn facts(html: &mut Html, facts: &[(&str, String)]) {
    html.element("dl", &[("class", "facts")], |html| {
        for (name, value) in facts {
            html.element("div", &[], |html| {
                html.leaf("dt", &[], name);
                html.leaf("dd", &[], value);
            });
        }
    });
}

/// Sentences.
pub(super) fn list(html: &mut Html, lines: &[String]) {
    if !lines.is_empty() {
        html.element("ul", &[], |html| lines.iter().for_each(|line| html.leaf("li", &[], line)));
    }
}
