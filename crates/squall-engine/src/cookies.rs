//! One user's cookies.

use cookie_store::{CookieStore, RawCookie};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Empty, and free of cost, until a response sets one.
#[derive(Default)]
pub(crate) struct Cookies {
    store: Option<Box<CookieStore>>,
}

impl Cookies {
    /// Whether no response has set one yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.store.is_none()
    }

    /// The `Cookie` header of a request to `url`, if there is something to send.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let store = self.store.as_ref()?;
        let pairs: Vec<String> =
            store.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            return None;
        }
        HeaderValue::from_str(&pairs.join("; ")).ok()
    }

    /// Keeps what a response from `url` sets.
    pub(crate) fn keep(&mut self, headers: &HeaderMap, url: &Url) {
        let given = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = given.filter_map(|text| RawCookie::parse(text.to_owned()).ok());
        self.store.get_or_insert_default().store_response_cookies(cookies, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_back_to_where_it_came_from_and_nowhere_else() {
        let url = |text: &str| Url::parse(text).unwrap();
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header(&url("http://127.0.0.1/")), None);
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("session=abc; Path=/api; HttpOnly"));
        headers.append(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        headers.append(SET_COOKIE, HeaderValue::from_bytes(b"\xff\xfe=bad").unwrap());
        cookies.keep(&headers, &url("http://127.0.0.1/api/login"));
        let sent = |text: &str| cookies.header(&url(text)).map(|value| value.to_str().unwrap().to_owned());
        let mut both: Vec<_> =
            sent("http://127.0.0.1/api/cart").unwrap().split("; ").map(str::to_owned).collect();
        both.sort();
        assert_eq!(both, ["session=abc", "theme=dark"]);
        assert_eq!(sent("http://127.0.0.1/other"), None);
        assert_eq!(sent("http://127.0.0.2/api/cart"), None);
    }
}
