//! What was sent, checked: headers, JSON, parameters. Whatever is not as it must be is a [`Refusal`].

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use serde_json::Value;

use crate::body::{Body, essence};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// The request is not as it must be.
    pub(crate) fn bad(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }
}

/// The status and the body of an answer.
pub(crate) type Outcome = Result<(u16, Value), Refusal>;

/// Longer texts are refused, so that what is remembered has a bound.
const LONGEST_TEXT: usize = 500;

/// A header that may come once.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => return Err(Refusal::bad(format!("`{name}` came more than once"))),
    };
    value.map(Some).ok_or_else(|| Refusal::bad(format!("`{name}` has characters that no header has")))
}

/// The body, which must be JSON and say so.
pub(crate) fn json<'a>(headers: &HeaderMap, body: &'a Body) -> Result<&'a Value, Refusal> {
    let content_type = header(headers, &CONTENT_TYPE)?.unwrap_or_default();
    if essence(content_type) != "application/json" {
        return Err(Refusal::new(415, format!("content type is `{content_type}`, not application/json")));
    }
    match body {
        Body::Json(value) => Ok(value),
        Body::Broken(_, why) => Err(Refusal::bad(format!("body is not JSON: {why}"))),
        _ => Err(Refusal::bad("body is missing")),
    }
}

/// A text that is not empty, at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, at: &str) -> Result<&'a str, Refusal> {
    let text = value.pointer(at).and_then(Value::as_str);
    text.filter(|text| is_fit(text)).ok_or_else(|| wrong(at, &format!("a text of 1 to {LONGEST_TEXT} bytes")))
}

/// How many texts, none of them empty, are in the list at a JSON pointer.
pub(crate) fn texts(value: &Value, at: &str) -> Result<usize, Refusal> {
    let list = value.pointer(at).and_then(Value::as_array);
    let is_fit = |item: &Value| item.as_str().is_some_and(is_fit);
    let fit = list.filter(|list| !list.is_empty() && list.iter().all(is_fit));
    fit.map(Vec::len).ok_or_else(|| wrong(at, "a list of texts that are not empty"))
}

/// The refusal of what is at a JSON pointer.
pub(crate) fn wrong(at: &str, expected: &str) -> Refusal {
    Refusal::bad(format!("`{}` must be {expected}", at.trim_start_matches('/').replace('/', ".")))
}

fn is_fit(text: &str) -> bool {
    (1..=LONGEST_TEXT).contains(&text.len())
}

/// The value of a query parameter, as it is written.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A number of at least 1 among the query parameters.
pub(crate) fn number(query: &str, name: &str, default: u64) -> Result<u64, Refusal> {
    let number = parameter(query, name).map_or(Some(default), |value| value.parse().ok());
    number
        .filter(|number| *number >= 1)
        .ok_or_else(|| Refusal::bad(format!("`{name}` must be a number of at least 1")))
}

/// How many things a list may have: the parameter `limit`.
pub(crate) fn limit(query: &str, default: u64) -> Result<usize, Refusal> {
    let limit = number(query, "limit", default)?;
    let fit = usize::try_from(limit).ok().filter(|limit| *limit <= 100);
    fit.ok_or_else(|| Refusal::bad("`limit` must be at most 100"))
}

/// The parameter `status` of a list, if there is one.
pub(crate) fn status<'a>(query: &'a str, known: &[&str]) -> Result<Option<&'a str>, Refusal> {
    match parameter(query, "status") {
        Some(status) if !known.contains(&status) => {
            Err(Refusal::bad(format!("`status` must be one of {}", known.join(", "))))
        }
        status => Ok(status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_there_and_neither_empty_nor_endless() {
        let long = "x".repeat(LONGEST_TEXT + 1);
        let body = json!({ "a": { "b": "c" }, "empty": "", "number": 1, "long": long, "list": ["x", ""] });
        let check = |at: &str, is_fit: bool| assert_eq!(text(&body, at).is_ok(), is_fit, "{at}");
        check("/a/b", true);
        check("/a/c", false);
        check("/a", false);
        check("/empty", false);
        check("/number", false);
        check("/long", false);
        assert_eq!(text(&body, "/a/c").unwrap_err().reason, "`a.c` must be a text of 1 to 500 bytes");

        let check = |list: Value, expected: Option<usize>| {
            assert_eq!(texts(&json!({ "list": list }), "/list").ok(), expected, "{list}");
        };
        check(json!(["x", "y"]), Some(2));
        check(json!(["x", ""]), None);
        check(json!(["x", 1]), None);
        check(json!([]), None);
        check(json!("x"), None);
    }

    #[test]
    fn parameters_are_numbers_in_their_bounds() {
        let check = |query: &str, expected: Option<usize>| {
            assert_eq!(limit(query, 25).ok(), expected, "{query}");
        };
        check("", Some(25));
        check("status=completed&limit=10", Some(10));
        check("limit=100", Some(100));
        check("limit=101", None);
        check("limit=0", None);
        check("limit=", None);
        check("limit=many", None);
    }
}
