//! A [`Service`] on a socket, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chance::seed_of;
use crate::counts::Counts;
use crate::exposition;
use crate::service::{Answer, Ask, Outcome, Profile, Service, SettingError, Truth, seconds};
use crate::serving::{self, Close, MAX_BODY_BYTES, Over, Serve, Serving, TOO_LARGE, json_response, now_us};

/// Why a service is not on its socket.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It cannot be made as it was asked for.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Its socket or its thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A service on a socket. It ends when this is dropped.
///
/// Beside its endpoints it answers `GET /metrics` (for Prometheus), `GET /truth`, `GET /_squall/counts` and
/// `POST /_squall/reset`, after which it is as it was at first. Its time begins with the first request.
#[derive(Debug)]
pub struct Host {
    serving: Serving<Hosted>,
}

impl Host {
    /// Listens on an address (port 0 for any free one) and serves on a thread of its own.
    pub fn start(
        address: SocketAddr,
        profile: &'static Profile,
        seed: u64,
        settings: &Value,
    ) -> Result<Self, HostError> {
        let state = Mutex::new(State::new(profile, seed, settings)?);
        let parameters = profile.parameters(settings)?;
        let hosted = Hosted { profile, seed, settings: settings.clone(), parameters, state };
        Ok(Self { serving: Serving::start(address, "service", hosted)? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// What it has received so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.serving.served().counts()
    }

    /// What was wrong with it so far.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.serving.served().state().service.truth()
    }

    /// Waits until it ends, which it does not by itself.
    pub fn join(self) {
        self.serving.join();
    }
}

#[derive(Debug)]
struct Hosted {
    profile: &'static Profile,
    seed: u64,
    settings: Value,
    parameters: Value,
    state: Mutex<State>,
}

impl Serve for Hosted {
    async fn respond(&self, request: http::Request<Incoming>, over: Over) -> Result<serving::Answer, Close> {
        let (head, body) = request.into_parts();
        if let Some(response) = self.about(&head) {
            return Ok(response);
        }
        if Limited::new(body, MAX_BODY_BYTES).collect().await.is_err() {
            return Ok(json_response(413, &json!({ "error": TOO_LARGE })));
        }
        let (endpoint, is_write) = endpoint(&head.method, head.uri.path());
        let (key, address) = (key(&head.headers), number(&over.peer.to_string()));
        let ask = Ask { endpoint, is_write, key, address, connection: over.connection };
        let (answer, done_at) = self.state().ask(&ask, over.is_first);
        tokio::time::sleep_until(done_at).await;
        response(&answer)
    }

    fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    fn reset(&self) {
        // What could be made once can be made again.
        if let Ok(fresh) = State::new(self.profile, self.seed, &self.settings) {
            *self.state() = fresh;
        }
    }

    fn opened(&self, connection: u64) {
        let mut state = self.state();
        let at_us = state.at_us();
        state.service.opened(at_us, connection);
    }

    fn closed(&self, connection: u64) {
        let mut state = self.state();
        let at_us = state.at_us();
        state.service.closed(at_us, connection);
    }

    fn is_full(&self) -> bool {
        let state = self.state();
        state.service.is_full(state.at_us())
    }
}

#[derive(Debug)]
struct State {
    service: Box<dyn Service>,
    counts: Counts,
    /// When the first request came, by the monotonic clock and by the wall's.
    first: Option<(Instant, u64)>,
}

impl State {
    fn new(profile: &Profile, seed: u64, settings: &Value) -> Result<Self, SettingError> {
        Ok(Self { service: profile.service(seed, settings)?, counts: Counts::default(), first: None })
    }

    /// Microseconds since the first request. Whoever holds the state gets instants that never go back.
    fn at_us(&self) -> u64 {
        let passed = self.first.map_or(Duration::ZERO, |(first, _)| first.elapsed());
        passed.as_micros().try_into().unwrap_or(u64::MAX)
    }

    fn ask(&mut self, ask: &Ask, is_first: bool) -> (Answer, Instant) {
        let wall_us = now_us();
        let (first, _) = *self.first.get_or_insert_with(|| (Instant::now(), wall_us));
        let name = self.service.endpoints().get(ask.endpoint).map_or("other", |endpoint| endpoint.name);
        self.counts.add(name, wall_us, is_first);
        let at_us = self.at_us();
        let answer = self.service.ask(at_us, ask);
        (answer, first + Duration::from_micros(answer.done_at_us))
    }
}

impl Hosted {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says of itself, if that is asked for.
    fn about(&self, head: &http::request::Parts) -> Option<serving::Answer> {
        let mut state = self.state();
        let at_us = state.at_us();
        Some(match (head.method.as_str(), head.uri.path()) {
            ("GET", "/metrics") => {
                let text = exposition::text(&state.service.metrics(at_us));
                serving::response(200, Some(exposition::CONTENT_TYPE), text)
            }
            ("GET", "/truth") => {
                let truth = serde_json::to_value(state.service.truth()).unwrap_or_default();
                let mut about = json!({
                    "profile": self.profile.name,
                    "seed": self.seed,
                    "parameters": self.parameters,
                    "started_at_s": state.first.map(|(_, wall_us)| seconds(wall_us)),
                    "now_s": seconds(at_us),
                });
                if let (Some(about), Value::Object(truth)) = (about.as_object_mut(), truth) {
                    about.extend(truth);
                }
                json_response(200, &about)
            }
            _ => return None,
        })
    }
}

/// Which endpoint a request is for: by its method and the end of its path, so that the guide's plans fit too.
fn endpoint(method: &Method, path: &str) -> (usize, bool) {
    if *method != Method::GET && *method != Method::HEAD {
        return (2, true);
    }
    let is_one = path.split_once("/products/").is_some_and(|(_, which)| !which.is_empty());
    (usize::from(is_one), false)
}

fn key(headers: &http::HeaderMap) -> u32 {
    let key = headers.get("x-api-key").or_else(|| headers.get(AUTHORIZATION));
    key.map_or(0, |key| number(&String::from_utf8_lossy(key.as_bytes())))
}

/// Another number for every text, nearly.
fn number(text: &str) -> u32 {
    u32::try_from(seed_of(0, text) >> 32).unwrap_or_default()
}

fn response(answer: &Answer) -> Result<serving::Answer, Close> {
    let Outcome::Status(status) = answer.outcome else { return Err(Close) };
    let body = answer.error.map_or_else(|| json!({ "ok": true }), |error| json!({ "error": error }));
    let mut response = json_response(status, &body);
    if let Some(retry_after_s) = answer.retry_after_s {
        // The header takes whole seconds: who comes too early is refused again.
        let whole = format!("{:.0}", retry_after_s.ceil().max(1.0));
        if let Ok(value) = HeaderValue::from_str(&whole) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
    }
    Ok(response)
}
