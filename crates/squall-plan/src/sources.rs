//! The texts of a plan and of what it includes, one behind the other: a place in all of them is a place in one.

use std::ops::Range;

/// The texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    files: Vec<File>,
    all: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    name: String,
    span: Range<usize>,
}

impl Sources {
    /// The plan's own text.
    pub(crate) fn new(name: impl Into<String>, text: &str) -> Self {
        let mut sources = Self { files: Vec::new(), all: String::new() };
        sources.add(name, text);
        sources
    }

    /// Puts another text behind those there are; where it stands now.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: &str) -> Range<usize> {
        if !self.files.is_empty() {
            // The end of one text is no place in the next.
            self.all.push('\n');
        }
        let start = self.all.len();
        self.all.push_str(text);
        let span = start..self.all.len();
        self.files.push(File { name: name.into(), span: span.clone() });
        span
    }

    /// What stands in a range of bytes.
    pub(crate) fn get(&self, span: Range<usize>) -> &str {
        self.all.get(span).unwrap_or_default()
    }

    /// The file and the text in which a byte stands, and where the text begins.
    pub(crate) fn of(&self, offset: usize) -> (&str, &str, usize) {
        let holding = self.files.iter().rev().find(|file| file.span.start <= offset);
        match holding.or(self.files.first()) {
            Some(file) => (&file.name, self.get(file.span.clone()), file.span.start),
            None => ("", "", 0),
        }
    }
}
