//! Texts that nobody may read, and what stands in their place wherever they could show.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// What stays as it is inside a component of a URL.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stays as it is behind `urlencode` in an expression.
const URLENCODE: &AsciiSet = &UNRESERVED.remove(b'/').add(b'~');

/// Less of base 64 stands in many a text by chance.
const LEAST_BASE64: usize = 6;

/// Secrets, in every form in which they are sent as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Masks {
    /// The longest first, so that a secret within another leaves nothing of it.
    texts: Vec<String>,
}

impl Masks {
    /// Of these secrets; an empty one is none.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = secrets.into_iter().flat_map(forms).collect();
        texts.retain(|text| !text.is_empty());
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self { texts }
    }

    /// Whether there are no secrets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text without them.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.texts {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
            }
        }
        masked
    }
}

/// A secret as it is, in a string of JSON, in a URL or a form, and in base 64, as in `Authorization: Basic`.
fn forms(secret: String) -> Vec<String> {
    let json = serde_json::Value::from(secret.as_str()).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let url = utf8_percent_encode(&secret, UNRESERVED).to_string();
    // In `Authorization: Basic` of OAuth2 it is encoded before it is packed.
    let encoded = utf8_percent_encode(&secret, URLENCODE).to_string();
    let packed = [&secret, &encoded].into_iter().flat_map(|text| {
        (0..3).flat_map(move |before| [&STANDARD, &URL_SAFE].map(|engine| in_base64(engine, text, before)))
    });
    let packed = packed.filter(|text| text.len() >= LEAST_BASE64);
    [json, url].into_iter().chain(packed.collect::<Vec<_>>()).chain([secret]).collect()
}

/// What of base 64 hangs on the secret alone, behind so many other bytes and before any.
fn in_base64(engine: &GeneralPurpose, secret: &str, before: usize) -> String {
    let bytes = [&vec![0; before], secret.as_bytes()].concat();
    let text = engine.encode(&bytes);
    let (from, until) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.get(from..until).unwrap_or_default().to_owned()
}

/// Says how many there are, and not which.
impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({})", self.texts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_base64_whatever_stands_around_it() {
        let secret = "correct horse ÿ?>";
        let masks = Masks::new([secret.to_owned()]);
        for user in ["", "a", "ab", "abc", "abcd"] {
            for tail in ["", "x", "xy"] {
                let clear = format!("{user}:{secret}{tail}");
                for engine in [STANDARD, URL_SAFE] {
                    let masked = masks.mask(&engine.encode(&clear)).into_owned();
                    let left = masked.replace(MASK, "");
                    // What is around it, and what shares a character with that.
                    assert!(left.len() <= (user.len() + 1 + tail.len()) * 4 / 3 + 6, "{clear} {masked}");
                }
            }
        }
        // As OAuth2 wants it, which encodes both halves before.
        let encoded = STANDARD.encode("client:correct%20horse%20%C3%BF%3F%3E");
        assert!(masks.mask(&encoded).contains(MASK), "{encoded}");
        assert_eq!(Masks::new(["abc".to_owned()]).mask("YWJj is told"), "YWJj is told");
    }

    #[test]
    fn a_secret_shows_in_none_of_its_forms() {
        let masks = Masks::new(["a \"b\"/é".to_owned(), String::new(), "a".to_owned()]);
        let check = |text: &str, expected: &str| assert_eq!(masks.mask(text), expected);
        check("x=a \"b\"/é.", "x=***.");
        check("{\"x\":\"a \\\"b\\\"/é\"}", "{\"x\":\"***\"}");
        check("/?x=a%20%22b%22%2F%C3%A9", "/?x=***");
        check("none", "none");
        assert_eq!(Masks::default().mask("a"), "a");
        assert!(!format!("{masks:?}").contains('b'));
    }
}
