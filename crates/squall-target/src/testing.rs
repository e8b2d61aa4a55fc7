//! Somebody who asks the service, without a socket.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::auth::PASSWORD;
use crate::body::Body;
use crate::model::{Answer, Request, answer};
use crate::state::State;

pub(crate) const LIFETIME: Duration = Duration::from_mins(1);

/// A client, and the service that it asks.
pub(crate) struct Client {
    state: State,
    /// What the service's clock says.
    pub(crate) now: Duration,
    /// Headers that it always sends.
    pub(crate) host: Option<&'static str>,
    pub(crate) authorization: Option<String>,
    pub(crate) api_key: Option<&'static str>,
}

impl Client {
    pub(crate) fn new(seed: u64) -> Self {
        let now = Duration::from_secs(1_775_000_000);
        let host = Some("target.test:8080");
        Self { state: State::new(seed, LIFETIME), now, host, authorization: None, api_key: None }
    }

    pub(crate) fn reset(&mut self) {
        self.state = State::new(self.state.seed, LIFETIME);
    }

    pub(crate) fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, &[], "")
    }

    pub(crate) fn post(&mut self, url: &str, body: &Value) -> Answer {
        self.send("POST", url, &[("content-type", "application/json")], &body.to_string())
    }

    pub(crate) fn send(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let always = [
            ("host", self.host),
            ("authorization", self.authorization.as_deref()),
            ("x-api-key", self.api_key),
        ];
        let always = always.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let headers: HeaderMap = always
            .chain(headers.iter().copied())
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let body = Body::read(&headers, Bytes::from(body.to_owned()));
        let request = Request { method, path, query, headers: &headers, body: &body };
        answer(&request, &mut self.state, self.now)
    }

    /// A new token of a user.
    pub(crate) fn login(&mut self) -> String {
        self.login_as("load@example.com")
    }

    pub(crate) fn login_as(&mut self, email: &str) -> String {
        let body = json!({ "email": email, "password": PASSWORD, "client_id": "web-frontend" });
        self.post("/api/v1/auth/login", &body).body["access_token"].as_str().unwrap().to_owned()
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(1)
    }
}

/// A body with another value at a JSON pointer.
pub(crate) fn with(body: &Value, at: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(at).unwrap() = value;
    body
}
