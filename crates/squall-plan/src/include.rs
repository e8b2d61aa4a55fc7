//! `include`: what other files say becomes part of the plan's tree before anything is made of it.

use std::ops::Range;
use std::str;

use crate::compile::Bundle;
use crate::diagnostics::{Diagnostics, Problem, Severity};
use crate::yaml::{self, Malformed, Node, Value};

/// The key under which the files stand.
pub(crate) const INCLUDE: &str = "include";

/// Sections of which each file may give a part.
const SHARED: [&str; 6] = ["variables", "secrets", "data", "http", "fragments", "scenarios"];

/// More files than this are surely a mistake.
const MAX_FILES: usize = 100;

/// The tree of a plan with all that it includes; `None` if a text is no YAML.
pub(crate) fn parse(bundle: &Bundle, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut reader = Reader { bundle, diagnostics, open: Vec::new(), read: Vec::new() };
    reader.tree(&bundle.text, 0..bundle.text.len())
}

struct Reader<'a> {
    bundle: &'a Bundle,
    diagnostics: &'a mut Diagnostics,
    /// Files that include the one that is being read, and that one.
    open: Vec<String>,
    /// Files that are part of the plan already.
    read: Vec<String>,
}

impl Reader<'_> {
    /// The tree of a text that stands at a place of all.
    fn tree(&mut self, text: &str, span: Range<usize>) -> Option<Node> {
        let mut root = match yaml::parse(text) {
            Ok(root) => root,
            Err(Malformed { message, hint, span: at }) => {
                let at = at.start + span.start..at.end + span.start;
                self.error(at, "yaml", message, hint.map(str::to_owned));
                return None;
            }
        };
        root.shift(span.start);
        let files = included(&root).into_iter().map(|(file, at)| (file.to_owned(), at)).collect::<Vec<_>>();
        for (file, at) in files {
            if let Some(tree) = self.included(&file, at) {
                self.merge(&mut root, tree, &span);
            }
        }
        Some(root)
    }

    fn included(&mut self, file: &str, at: Range<usize>) -> Option<Node> {
        if let Some(first) = self.open.iter().position(|open| open == file) {
            let chain = self.open[first..].iter().map(String::as_str).chain([file]);
            let message = format!("`{file}` includes itself: {}", chain.collect::<Vec<_>>().join(" → "));
            self.error(at, "cycle", message, Some("leave it out here".to_owned()));
            return None;
        }
        if self.read.iter().any(|read| read == file) {
            return None;
        }
        if self.read.len() == MAX_FILES {
            let message = format!("plan includes more than {MAX_FILES} files");
            self.error(at, "too-many-files", message, None);
            return None;
        }
        let text = match self.bundle.files.get(file) {
            Some(Ok(bytes)) => str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("it is not there".to_owned()),
        };
        match text {
            Ok(text) => {
                let span = self.diagnostics.include(file, text);
                self.read.push(file.to_owned());
                self.open.push(file.to_owned());
                let tree = self.tree(text, span);
                self.open.pop();
                tree
            }
            Err(reason) => {
                let hint = Some("its path begins in the folder of the plan".to_owned());
                self.error(at, "missing-file", format!("`{file}` cannot be read: {reason}"), hint);
                None
            }
        }
    }

    /// Adds what a file says to what the text that includes it says, which counts where both say something.
    fn merge(&mut self, root: &mut Node, included: Node, own: &Range<usize>) {
        let span = included.span.clone();
        let (Value::Mapping(entries), Value::Mapping(more)) = (&mut root.value, included.value) else {
            self.error(span, "wrong-type", "what is included is no mapping".to_owned(), None);
            return;
        };
        for (key, value) in more {
            let name = text_of(&key).unwrap_or_default().to_owned();
            let known = entries.iter_mut().find(|(known, _)| text_of(known) == Some(&name));
            match (known, value.value) {
                (None, content) => entries.push((key, Node { span: value.span, value: content })),
                (Some((_, Node { value: Value::Mapping(into), .. })), Value::Mapping(from))
                    if SHARED.contains(&name.as_str()) =>
                {
                    self.add(into, from, own);
                }
                // What is said here counts.
                (Some(_), _) => {}
            }
        }
    }

    fn add(&mut self, into: &mut Vec<(Node, Node)>, from: Vec<(Node, Node)>, own: &Range<usize>) {
        for (key, value) in from {
            let Some((known, _)) = into.iter().find(|(known, _)| text_of(known) == text_of(&key)) else {
                into.push((key, value));
                continue;
            };
            // Two files that are included know nothing of each other.
            if !own.contains(&known.span.start) {
                let message = format!("`{}` is in another file, too", text_of(&key).unwrap_or_default());
                let hint = Some("say it in the plan itself, which counts".to_owned());
                self.error(key.span, "repeated-key", message, hint);
            }
        }
    }

    fn error(&mut self, span: Range<usize>, code: &'static str, message: String, hint: Option<String>) {
        let path = INCLUDE.to_owned();
        self.diagnostics.add(Problem { severity: Severity::Error, code, message, hint, path, span });
    }
}

/// The files that a tree includes, and where it says so.
pub(crate) fn included(root: &Node) -> Vec<(&str, Range<usize>)> {
    let Value::Mapping(entries) = &root.value else { return Vec::new() };
    let values = entries.iter().filter(|(key, _)| text_of(key) == Some(INCLUDE)).map(|(_, value)| value);
    let lists = values.filter_map(|value| match &value.value {
        Value::Sequence(files) => Some(files),
        _ => None,
    });
    lists.flatten().filter_map(|file| Some((text_of(file)?, file.span.clone()))).collect()
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
