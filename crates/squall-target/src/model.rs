//! The service without its socket: what it answers, and how long that takes.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::body::Body;
use crate::input::{Outcome, Refusal, json};
use crate::route::{Found, Route, Row, find, methods};
use crate::state::State;
use crate::{auth, carts, catalog, jobs, uploads};

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Without query.
    pub(crate) path: &'a str,
    /// Without `?`.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Body,
}

/// What the service makes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Under which name the request is counted.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    /// `null` for none.
    pub(crate) body: Value,
    /// The methods that the path takes, if it was another.
    pub(crate) allow: Option<String>,
    /// Half of these answers take longer.
    pub(crate) median: Duration,
}

impl Answer {
    /// Why the request is one that a correct client would never send, if it is. A conflict may happen to anybody.
    pub(crate) fn invalid(&self) -> Option<&str> {
        let is_invalid = [400, 401, 403, 404, 405, 413, 415].contains(&self.status);
        if is_invalid { self.body["error"].as_str() } else { None }
    }
}

/// What is counted where there is no route.
pub(crate) const UNKNOWN: &str = "unknown";

/// Under which name a request is counted.
pub(crate) fn name(method: &str, path: &str, headers: &HeaderMap) -> &'static str {
    match find(method, path) {
        // The guide's users who have logged in look at the same list under another name.
        Found::Route(Row { route: Route::Products, .. }, _) if headers.contains_key(AUTHORIZATION) => {
            "GET /catalog/products (auth)"
        }
        Found::Route(row, _) | Found::WrongMethod(row) => row.name,
        Found::Unknown => UNKNOWN,
    }
}

/// Answers a request that came at an instant since 1970.
pub(crate) fn answer(request: &Request<'_>, state: &mut State, now: Duration) -> Answer {
    let (mut median, mut allow) = (Duration::from_millis(1), None);
    let outcome = match find(request.method, request.path) {
        Found::Route(row, id) => {
            median = row.median();
            serve(row, id, request, state, now)
        }
        Found::WrongMethod(row) => {
            allow = Some(methods(row));
            Err(Refusal::new(405, "method not allowed"))
        }
        Found::Unknown => Err(Refusal::new(404, "no such path")),
    };
    let (status, body) =
        outcome.unwrap_or_else(|Refusal { status, reason }| (status, json!({ "error": reason })));
    let route = name(request.method, request.path, request.headers);
    Answer { route, status, body, allow, median }
}

fn serve(row: &Row, id: &str, request: &Request<'_>, state: &mut State, now: Duration) -> Outcome {
    let Request { query, headers, .. } = *request;
    let user = auth::admit(row.guard, headers, state, now)?;
    let body = || json(headers, request.body);
    match row.route {
        Route::Health => Ok((200, json!({ "status": "ok" }))),
        Route::Products => catalog::products(query),
        Route::Product => catalog::product(id),
        Route::Search => catalog::search(query),
        Route::Login => auth::login(body()?, state, now),
        Route::Refresh => auth::refresh(body()?, state, now),
        Route::CreateCart => carts::create(&user, body()?, state),
        Route::Cart => carts::show(&user, id, state),
        Route::DeleteCart => carts::delete(&user, id, state),
        Route::AddItem => carts::add_item(&user, id, body()?, state),
        Route::Order => carts::order(&user, body()?, state),
        Route::Report => jobs::report(body()?, state, now),
        Route::Jobs => jobs::list(query, state, now),
        Route::Job => jobs::show(id, state, now),
        Route::JobResult => jobs::result(id, state, now),
        Route::Presign => uploads::presign(headers, body()?, state, now),
        Route::Store => uploads::store(id, query, request.body, state, now),
        Route::Process => uploads::process(body()?, state, now),
        Route::Documents => uploads::documents(query, state, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{API_KEY, UPLOAD_KEY};
    use crate::route::{Guard, ROUTES};
    use crate::testing::Client;

    /// Somebody whom a guard lets in.
    fn admitted(guard: Guard) -> Client {
        let mut client = Client::default();
        match guard {
            Guard::Open | Guard::Shop => {}
            Guard::User => client.authorization = Some(format!("Bearer {}", client.login())),
            Guard::ApiKey => client.authorization = Some(format!("Api-Key {API_KEY}")),
            Guard::UploadKey => client.api_key = Some(UPLOAD_KEY),
        }
        client
    }

    #[test]
    fn every_post_but_that_to_the_storage_takes_json_alone() {
        for row in ROUTES.iter().filter(|row| row.method == "POST" && row.route != Route::Store) {
            let mut client = admitted(row.guard);
            let mut check = |headers: &[(&str, &str)], body: &str, status: u16| {
                let answer = client.send("POST", row.path, headers, body);
                assert_eq!(
                    (answer.route, answer.status),
                    (row.name, status),
                    "{headers:?} {body}: {answer:?}"
                );
                assert!(answer.invalid().is_some());
            };
            let json = ("content-type", "application/json");
            check(&[], "{}", 415);
            check(&[("content-type", "text/plain")], "{}", 415);
            check(&[json, json], "{}", 400);
            check(&[json], "", 400);
            check(&[json], "{", 400);
            check(&[json], "{}", 400);
            check(&[("content-type", "application/json; charset=utf-8")], "{}", 400);
        }
    }

    #[test]
    fn a_wrong_method_and_an_unknown_path_are_told() {
        let mut client = Client::default();
        let mut check = |method: &str, path: &str, status: u16, route: &str, allow: Option<&str>| {
            let answer = client.send(method, path, &[], "");
            assert_eq!((answer.status, answer.route, answer.allow.as_deref()), (status, route, allow));
            assert_eq!(answer.invalid().is_some(), status >= 400);
        };
        check("POST", "/healthz", 405, "GET /healthz", Some("GET, HEAD"));
        check("GET", "/api/v1/orders", 405, "POST /orders", Some("POST"));
        check("PATCH", "/api/v1/cart/a", 405, "GET /cart/:id", Some("GET, HEAD, DELETE"));
        check("PUT", "/storage/uploads/a", 405, "POST object-storage upload", Some("POST"));
        check("GET", "/elsewhere", 404, "unknown", None);
        check("GET", "//healthz", 404, "unknown", None);
        check("HEAD", "/healthz", 200, "GET /healthz", None);
    }

    #[test]
    fn a_conflict_is_nobodys_fault() {
        let mut answer = Client::default().get("/elsewhere");
        assert_eq!(answer.invalid(), Some("no such path"));
        for (status, is_invalid) in [(403, true), (413, true), (409, false), (500, false), (200, false)] {
            answer.status = status;
            assert_eq!(answer.invalid().is_some(), is_invalid, "{status}");
        }
    }
}
