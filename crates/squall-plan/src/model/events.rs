//! What is kept and said of single requests.

use std::num::NonZeroU32;

/// What is kept and said of single requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSettings {
    /// One in so many is kept whole, if any is.
    pub one_in: Option<NonZeroU32>,
    /// Whether each carries an id.
    pub traceparent: bool,
}

impl EventSettings {
    /// What is kept and said.
    #[must_use]
    pub fn in_words(&self) -> String {
        let kept = self.one_in.map(|one_in| format!("one in {one_in} requests is kept"));
        let said = self.traceparent.then(|| "each request carries `traceparent`".to_owned());
        let words: Vec<String> = kept.into_iter().chain(said).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }
}
