//! One user's cookies.

use cookie_store::{CookieStore, RawCookie};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Cookies that a user keeps at most, and bytes of one: what every browser is to keep (RFC 6265, section 6.1).
const MAX_COOKIES: usize = 50;
const MAX_COOKIE_BYTES: usize = 4_096;

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

    /// Keeps what a response from `url` sets. Says so where that is more than a user keeps.
    pub(crate) fn keep(&mut self, headers: &HeaderMap, url: &Url) -> Result<(), &'static str> {
        let given = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let (kept, too_long): (Vec<_>, Vec<_>) = given.partition(|text| text.len() <= MAX_COOKIE_BYTES);
        let store = self.store.get_or_insert_default();
        let mut turned_away = !too_long.is_empty();
        for cookie in kept.into_iter().filter_map(|text| RawCookie::parse(text.to_owned()).ok()) {
            let is_known = store.iter_any().any(|known| known.name() == cookie.name());
            // One name may stand for many cookies, of different paths.
            let most = if is_known { 2 * MAX_COOKIES } else { MAX_COOKIES };
            if store.iter_any().count() < most {
                store.store_response_cookies(std::iter::once(cookie), url);
            } else {
                turned_away = true;
            }
        }
        if turned_away { Err("more or longer cookies than a user keeps") } else { Ok(()) }
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
        cookies.keep(&headers, &url("http://127.0.0.1/api/login")).unwrap();
        let sent = |text: &str| cookies.header(&url(text)).map(|value| value.to_str().unwrap().to_owned());
        let mut both: Vec<_> =
            sent("http://127.0.0.1/api/cart").unwrap().split("; ").map(str::to_owned).collect();
        both.sort();
        assert_eq!(both, ["session=abc", "theme=dark"]);
        assert_eq!(sent("http://127.0.0.1/other"), None);
        assert_eq!(sent("http://127.0.0.2/api/cart"), None);
    }

    #[test]
    fn a_user_keeps_so_many_cookies_and_no_more() {
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let mut cookies = Cookies::default();
        let mut keep = |cookie: String| {
            let headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_str(&cookie).unwrap())]);
            cookies.keep(&headers, &url)
        };
        for n in 0..MAX_COOKIES {
            assert_eq!(keep(format!("c{n}=1")), Ok(()));
        }
        assert_eq!(keep("c3=2".to_owned()), Ok(()), "one that is known changes");
        assert!(keep("one-more=1".to_owned()).is_err());
        assert!(keep(format!("c4={}", "x".repeat(MAX_COOKIE_BYTES))).is_err());
        let sent = cookies.header(&url).unwrap();
        let sent = sent.to_str().unwrap();
        assert_eq!(sent.split("; ").count(), MAX_COOKIES);
        assert!(sent.contains("c3=2") && sent.contains("c4=1"), "{sent}");
    }
}
