//! What is wrong with a plan, where, and what to write instead.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::sources::Sources;

/// More problems than this help nobody; the rest is counted.
const MAX_SHOWN: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plan does not run.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
}

/// A place in a text: line and column from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its class, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The file in which it is: the plan's, or one that it includes.
    pub file: String,
    /// Where in the plan, such as `scenarios.buyer.tasks[2].weight`; empty for the whole.
    pub path: String,
    /// Where in the text it begins.
    pub from: Position,
    /// Where in the text it ends.
    pub until: Position,
    #[serde(skip)]
    span: Range<usize>,
}

/// All problems of a plan, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// The plan's file.
    pub file: String,
    problems: Vec<Diagnostic>,
    #[serde(skip)]
    sources: Sources,
}

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new(file: impl Into<String>, text: &str) -> Self {
        let file = file.into();
        Self { problems: Vec::new(), sources: Sources::new(file.clone(), text), file }
    }

    /// Takes in the text of a file that the plan includes; where it stands among all.
    pub(crate) fn include(&mut self, file: &str, text: &str) -> Range<usize> {
        self.sources.add(file, text)
    }

    /// Whether a place is in the plan's own text.
    pub(crate) fn is_own(&self, offset: usize) -> bool {
        self.sources.of(offset).2 == 0
    }

    /// What stands at a place of all texts.
    pub(crate) fn text(&self, span: Range<usize>) -> &str {
        self.sources.get(span)
    }

    /// For a file whose bytes are no text.
    #[must_use]
    pub fn not_utf8(file: impl Into<String>, bytes: &[u8], error: &std::str::Utf8Error) -> Self {
        let file = file.into();
        let message = format!("file is not UTF-8: byte {} is no character", error.valid_up_to());
        let before = bytes.get(..error.valid_up_to()).and_then(|before| std::str::from_utf8(before).ok());
        let before = before.unwrap_or_default();
        let start = position(before, before.len());
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: "not-utf-8",
            message,
            hint: Some("save the file as UTF-8".to_owned()),
            file: file.clone(),
            path: String::new(),
            from: start,
            until: start,
            span: 0..0,
        };
        Self { sources: Sources::new(file.clone(), ""), file, problems: vec![diagnostic] }
    }

    /// Adds a problem at a range of bytes of all texts.
    pub(crate) fn add(&mut self, problem: Problem) {
        let (file, text, begin) = self.sources.of(problem.span.start);
        // A mistake found by byte may lie in the middle of a character.
        let local = |offset: usize| offset.saturating_sub(begin);
        let start = text.floor_char_boundary(local(problem.span.start).min(text.len()));
        let end = text.ceil_char_boundary(local(problem.span.end).clamp(start, text.len()));
        let diagnostic = Diagnostic {
            severity: problem.severity,
            code: problem.code,
            message: problem.message,
            hint: problem.hint,
            file: file.to_owned(),
            path: problem.path,
            from: position(text, start),
            until: position(text, end),
            span: start + begin..end + begin,
        };
        if !self.problems.contains(&diagnostic) {
            self.problems.push(diagnostic);
        }
    }

    pub(crate) fn sort(&mut self) {
        self.problems.sort_by_key(|problem| (problem.span.start, problem.severity));
    }

    /// The problems, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the plan cannot run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems as people read them: each with its line and a caret.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let shown = self.problems.iter().take(MAX_SHOWN).map(|problem| self.render_one(&renderer, problem));
        let more = self.problems.len().saturating_sub(MAX_SHOWN);
        let more = (more > 0).then(|| format!("and {more} more"));
        shown.chain(more).collect::<Vec<_>>().join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Diagnostic) -> String {
        let (file, text, begin) = self.sources.of(problem.span.start);
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let annotation = AnnotationKind::Primary.span(problem.span.start - begin..problem.span.end - begin);
        let snippet = Snippet::source(text).path(file).annotation(annotation);
        let mut group = Group::with_title(level.primary_title(problem.message.as_str())).element(snippet);
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

/// A problem as lowering finds it.
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
}

fn position(text: &str, offset: usize) -> Position {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
