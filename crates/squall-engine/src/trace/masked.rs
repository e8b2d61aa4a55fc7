//! Events without secrets.

use squall_plan::Masks;

use super::{Checked, Content, Event, Exchange, Hop, Parts};

/// Text of a content is told up to here.
const MAX_TEXT: usize = 64 * 1024;

/// What the flow says, and what a value is.
const MAX_LINE: usize = 2_000;

impl Event {
    /// The same without secrets.
    pub(super) fn masked(self, masks: &Masks) -> Self {
        let mask = |text: String| masked(masks, text);
        match self {
            Self::Part { scenario, part } => Self::Part { scenario: mask(scenario), part: mask(part) },
            Self::Flow(text) => Self::Flow(mask(text)),
            Self::Failed(text) => Self::Failed(mask(text)),
            Self::Exchange(exchange) => Self::Exchange(Box::new(exchange.masked(masks))),
        }
    }
}

fn masked(masks: &Masks, text: String) -> String {
    match masks.mask(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(masked) => masked,
    }
}

fn both(masks: &Masks, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (masked(masks, name), masked(masks, value))).collect()
}

impl Exchange {
    // Every field is named, so that a new one is not forgotten here.
    fn masked(self, masks: &Masks) -> Self {
        let Self { name, hops, checks, captures, problems, outcome, failed, took_us } = self;
        Self {
            name: masked(masks, name),
            hops: hops.into_iter().map(|hop| hop.masked(masks)).collect(),
            checks: checks.into_iter().map(|check| check.masked(masks)).collect(),
            captures: both(masks, captures),
            problems: problems.into_iter().map(|problem| masked(masks, problem)).collect(),
            outcome,
            failed,
            took_us,
        }
    }
}

impl Hop {
    fn masked(self, masks: &Masks) -> Self {
        let Self { method, url, sent, connection, status, reason, received, phases, then } = self;
        Self {
            method: masked(masks, method),
            url: masked(masks, url),
            sent: sent.map(|parts| parts.masked(masks)),
            // Nothing of it comes from the plan.
            connection,
            status,
            reason,
            received: received.map(|parts| parts.masked(masks)),
            phases,
            then: then.map(|then| masked(masks, then)),
        }
    }
}

impl Parts {
    fn masked(self, masks: &Masks) -> Self {
        let Self { headers, content: Content { bytes, text, cut, json } } = self;
        let text = text.map(|text| masked(masks, text));
        Self { headers: both(masks, headers), content: Content { bytes, text, cut, json } }
    }

    /// The same with no more text than people read.
    fn cut(mut self) -> Self {
        let content = &mut self.content;
        if let Some(text) = content.text.as_mut().filter(|text| text.len() > MAX_TEXT) {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            content.cut = true;
        }
        self
    }
}

impl Event {
    /// The same with no more text than people read. A secret that is cut in two must have been masked before.
    pub(super) fn cut(self) -> Self {
        let mut exchange = match self {
            Self::Exchange(exchange) => exchange,
            Self::Flow(text) => return Self::Flow(cut_at(text, MAX_LINE)),
            Self::Failed(text) => return Self::Failed(cut_at(text, MAX_LINE)),
            Self::Part { .. } => return self,
        };
        exchange.captures =
            exchange.captures.into_iter().map(|(name, value)| (name, cut_at(value, MAX_LINE))).collect();
        for check in &mut exchange.checks {
            check.found = check.found.take().map(|found| cut_at(found, MAX_LINE));
        }
        for hop in &mut exchange.hops {
            hop.sent = hop.sent.take().map(Parts::cut);
            hop.received = hop.received.take().map(Parts::cut);
        }
        Self::Exchange(exchange)
    }
}

fn cut_at(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

impl Checked {
    fn masked(self, masks: &Masks) -> Self {
        let Self { what, found, passed } = self;
        Self { what: masked(masks, what), found: found.map(|found| masked(masks, found)), passed }
    }
}
