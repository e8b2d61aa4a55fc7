//! HTML, as far as captures look into it.

use std::fmt;

use html5ever::ParseOpts;
use html5ever::driver::parse_document;
use html5ever::tendril::{StrTendril, TendrilSink};
use scraper::error::SelectorErrorKind;
use scraper::{Html, HtmlTreeSink, Selector};

/// A longer document is not looked at: its tree takes several times as much memory.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Deeper documents are not looked at. Browsers give up there, too, and a parser needs more time for each element the
/// deeper it is.
const MAX_DEPTH: usize = 512;

/// After so many bytes the depth is looked at.
const PIECE: usize = 4 * 1024;

/// A longer selector is surely a mistake.
const MAX_SELECTOR: usize = 1_000;

/// A document of which elements are selected.
#[derive(Debug)]
pub struct Document(Html);

impl Document {
    /// Reads a text as browsers do: whatever it is, it is a document. `None` if it is too long or nested too deep.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let sink = HtmlTreeSink::new(Html::new_document());
        let mut parser = parse_document(sink, ParseOpts::default());
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE.min(rest.len())));
            parser.process(StrTendril::from(piece));
            if depth(&parser.tokenizer.sink.sink.0.borrow()) > MAX_DEPTH {
                return None;
            }
            rest = after;
        }
        Some(Self(parser.finish()))
    }
}

/// How deep the element is that was opened last.
fn depth(html: &Html) -> usize {
    let (mut node, mut depth) = (html.tree.root(), 1);
    while let Some(child) = node.last_child() {
        (node, depth) = (child, depth + 1);
    }
    depth
}

/// Which elements, and what of them.
#[derive(Clone)]
pub struct Selection {
    text: String,
    selector: Selector,
    attribute: Option<String>,
}

impl Selection {
    /// Of a CSS selector: the elements' attribute, or their text if there is none; what is wrong if it is no selector.
    pub fn parse(text: &str, attribute: Option<String>) -> Result<Self, &'static str> {
        if text.len() > MAX_SELECTOR {
            return Err("it is too long");
        }
        let selector = Selector::parse(text).map_err(|error| match error {
            SelectorErrorKind::UnexpectedToken | SelectorErrorKind::QualRuleInvalid => {
                "there is something that has no place"
            }
            SelectorErrorKind::EndOfLine => "it ends too early",
            SelectorErrorKind::TooManyNestedBlocks => "it is nested too deep",
            _ => "it has a part that is not supported here",
        })?;
        Ok(Self { text: text.to_owned(), selector, attribute })
    }

    /// What is found, in the order of the document: of text what is between white space at both ends.
    pub fn find<'d>(&'d self, document: &'d Document) -> impl Iterator<Item = String> + 'd {
        document.0.select(&self.selector).filter_map(|element| match &self.attribute {
            Some(attribute) => element.attr(attribute).map(str::to_owned),
            None => Some(element.text().collect::<String>().trim().to_owned()),
        })
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("text", &self.text)
            .field("attribute", &self.attribute)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><title>Log in</title><form id=login>\
        <input name=user><input type=hidden name=csrf value='t&amp;1'>\
        <p class='note big'> one <b>two</b>\n<p class=note>three<ul><li><a href=/a>A</a><li><a href=/b>B</a></ul>";

    fn found(selector: &str, attribute: Option<&str>) -> Vec<String> {
        let selection = Selection::parse(selector, attribute.map(str::to_owned)).unwrap();
        selection.find(&Document::parse(PAGE).unwrap()).collect()
    }

    #[test]
    fn selectors_find_what_browsers_find() {
        assert_eq!(found("input[name=csrf]", Some("value")), ["t&1"]);
        assert_eq!(found("title", None), ["Log in"]);
        assert_eq!(found(".note", None), ["one two", "three"]);
        assert_eq!(found("p.note:not(.big)", None), ["three"]);
        assert_eq!(found("#login > ul a[href^='/']", Some("href")), ["/a", "/b"]);
        assert_eq!(found("li:nth-child(2) a", None), ["B"]);
        // What has no such attribute is not found.
        assert_eq!(found("input", Some("value")), ["t&1"]);
        assert_eq!(found("table", None), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_selector_is_told() {
        for text in ["", "a[", "p >", ":hover(", "::before", "p:nonsense", &"p ".repeat(501)] {
            assert!(Selection::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn any_text_is_a_document_unless_it_is_too_much_of_one() {
        for text in ["", "plain", "<<<>>>", "</p></div>", "\0\u{fffd}", &"<p>".repeat(100_000)] {
            assert!(Document::parse(text).is_some());
        }
        assert!(Document::parse(&"<div>".repeat(200_000)).is_none());
        assert!(Document::parse(&" ".repeat(MAX_BYTES + 1)).is_none());
    }
}
