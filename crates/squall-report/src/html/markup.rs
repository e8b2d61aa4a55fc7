//! A writer in which every text is escaped and every element closed.

use std::fmt::Write as _;

/// A text that is only text wherever it stands in a page.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A number with at most one decimal, and none that says nothing.
pub(super) fn decimal(number: f64) -> String {
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Names of attributes come from the code, their values from anywhere.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A page that is being written.
pub(super) struct Html(String);

impl Html {
    /// The begin of a page.
    pub(super) fn document() -> Self {
        Self("<!doctype html>\n".to_owned())
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// A text, escaped.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(&escape(text));
    }

    /// A text of the code's own, as it is.
    pub(super) fn trusted(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// An element and what is in it.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        content: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        content(self);
        // Writing to a `String` does not fail.
        let _ = write!(self.0, "</{name}>");
        if matches!(name, "section" | "div" | "tr" | "table" | "details" | "figure" | "p" | "li" | "svg") {
            self.0.push('\n');
        }
    }

    /// An element that holds a text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |html| html.text(text));
    }

    /// An element that holds nothing and is not closed.
    pub(super) fn void(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes);
    }

    /// Data for the script. In JSON, `<` stands in texts only, where it can be written otherwise.
    pub(super) fn data(&mut self, id: &'static str, value: &serde_json::Value) {
        let json = value.to_string().replace('<', "\\u003c");
        self.open("script", &[("type", "application/json"), ("id", id)]);
        self.0.push_str(&json);
        self.0.push_str("</script>\n");
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            let _ = write!(self.0, " {attribute}=\"{}\"", escape(value));
        }
        self.0.push('>');
    }
}
