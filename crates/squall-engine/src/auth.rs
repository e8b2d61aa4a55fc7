//! Who asks, where more is needed to say it than a header of the plan: tokens, which all users of a thread share, and
//! signatures.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use squall_plan::expression::{EvalError, Template, to_text};
use squall_plan::{Auth, AwsSignature, OAuth2};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::core::reap;
use crate::flight::Due;
use crate::load::LoadRun;
use crate::message::MessageError;
use crate::sign::AwsKeys;
use crate::user::User;
use crate::worker::Worker;

/// The next token is asked for when a fifth of a token's time is left, or this, where that is less.
const LEAST_LEFT: Duration = Duration::from_mins(1);

/// After a failure nobody asks for a token for so long; and every token is good for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than any run: tokens are good for no longer.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Of more clients than this no tokens are kept.
const MAX_CLIENTS: usize = 1_000;

/// What a request says of who asks.
pub(crate) enum Credentials {
    /// This, in `Authorization`.
    Token(HeaderValue),
    /// A signature with these.
    Aws(AwsKeys),
}

/// Which client: an index into the plan's `auths`, and what tells it from others of the same.
type ClientId = (usize, String);

/// The tokens of a thread.
#[derive(Default)]
pub(crate) struct Tokens {
    clients: RefCell<HashMap<ClientId, Client>>,
    fetches: RefCell<JoinSet<()>>,
}

/// A client that needs tokens.
#[derive(Default)]
struct Client {
    token: Option<Token>,
    is_fetching: bool,
    failure: Option<Failure>,
    /// Told when a fetch has ended.
    news: Arc<Notify>,
}

struct Token {
    credentials: Rc<Credentials>,
    /// When to ask for the next one, and until when this one is good; for ever if the server does not say.
    life: Option<(Instant, Instant)>,
}

/// Why there is no token, for now.
struct Failure {
    until: Instant,
    reason: String,
}

/// What there is for whoever needs a token.
enum Found {
    Token(Rc<Credentials>),
    Failure(String),
    /// Nothing yet, but somebody has asked.
    Nothing(OwnedNotified),
}

impl Tokens {
    /// What there is for a client, and whether whoever wants to know is to ask for a token.
    fn find(&self, id: &ClientId, now: Instant) -> (Found, bool) {
        let mut clients = self.clients.borrow_mut();
        if !clients.contains_key(id) {
            if clients.len() >= MAX_CLIENTS {
                let reason = format!("tokens of more than {MAX_CLIENTS} clients are not kept");
                return (Found::Failure(reason), false);
            }
            clients.insert(id.clone(), Client::default());
        }
        let Some(client) = clients.get_mut(id) else { return (Found::Failure(String::new()), false) };
        let token = client.token.as_ref().filter(|token| token.life.is_none_or(|(_, end)| now < end));
        let failure = client.failure.as_ref().filter(|failure| now < failure.until);
        let is_old = token.is_none_or(|token| token.life.is_some_and(|(next, _)| now >= next));
        let asks = is_old && failure.is_none() && !client.is_fetching;
        let found = match (token, failure) {
            (Some(token), _) => Found::Token(Rc::clone(&token.credentials)),
            (None, Some(failure)) => Found::Failure(failure.reason.clone()),
            (None, None) => Found::Nothing(Arc::clone(&client.news).notified_owned()),
        };
        client.is_fetching |= asks;
        (found, asks)
    }

    /// Keeps what a fetch has brought.
    fn keep(&self, id: &ClientId, brought: Result<Token, String>, now: Instant) {
        if let Some(client) = self.clients.borrow_mut().get_mut(id) {
            client.is_fetching = false;
            match brought {
                Ok(token) => (client.token, client.failure) = (Some(token), None),
                Err(reason) => client.failure = Some(Failure { until: now + PAUSE, reason }),
            }
            client.news.notify_waiters();
        }
    }

    /// Gives up whatever is being fetched.
    pub(crate) async fn end(&self) {
        let mut fetches = self.fetches.take();
        fetches.abort_all();
        while let Some(ended) = fetches.join_next().await {
            reap(ended);
        }
    }
}

/// Gets tokens ahead of the load, for clients that all users have in common.
pub(crate) fn warm_up(worker: &Rc<Worker>) {
    for (auth, kind) in worker.plan.auths.iter().enumerate() {
        let Auth::OAuth2(oauth2) = kind else { continue };
        let load = Rc::new(LoadRun::new(&worker.plan, 0, worker.seed));
        let anybody = User::new(worker, &load, 0, 0);
        // What cannot be evaluated is told by the first request.
        let client = anybody.client(oauth2).ok().filter(|_| oauth2.is_shared);
        if let Some(id) = client.map(|client| (auth, client))
            && worker.tokens.find(&id, worker.clock.now()).1
        {
            anybody.fetch(id);
        }
    }
}

impl User {
    /// What a request is to say of who asks. It waits only where there is no token that is good; `due` tells then.
    pub(crate) async fn credentials(
        &mut self,
        auth: usize,
        due: &mut Due,
    ) -> Result<Rc<Credentials>, MessageError> {
        let worker = Rc::clone(&self.worker);
        match &worker.plan.auths[auth] {
            Auth::Aws(signature) => Ok(Rc::new(Credentials::Aws(self.aws_keys(signature)?))),
            Auth::OAuth2(oauth2) => {
                let id = (auth, self.client(oauth2)?);
                loop {
                    let (found, asks) = worker.tokens.find(&id, worker.clock.now());
                    if asks {
                        self.fetch(id.clone());
                    }
                    match found {
                        Found::Token(credentials) => return Ok(credentials),
                        Found::Failure(reason) => return Err(MessageError::NoToken(reason)),
                        Found::Nothing(news) => news.await,
                    }
                    // It was not the generator that kept the request waiting.
                    due.ready = due.ready.max(worker.clock.now());
                }
            }
        }
    }

    /// What tells the client from others.
    fn client(&self, oauth2: &OAuth2) -> Result<String, EvalError> {
        let mut client = String::new();
        for template in &oauth2.client {
            template.render(&self.worker.plan.program, &self.scope, &mut client)?;
            client.push('\0');
        }
        Ok(client)
    }

    fn aws_keys(&self, signature: &AwsSignature) -> Result<AwsKeys, EvalError> {
        let text = |template: &Template| {
            let mut text = String::new();
            template.render(&self.worker.plan.program, &self.scope, &mut text).map(|()| text)
        };
        Ok(AwsKeys {
            service: signature.service.clone(),
            region: text(&signature.region)?,
            access_key: text(&signature.access_key)?,
            secret_key: text(&signature.secret_key)?,
            session_token: signature.session_token.as_ref().map(text).transpose()?,
        })
    }

    /// Asks for a token beside what the user does, which may end before.
    fn fetch(&self, id: ClientId) {
        let stand_in = self.stand_in();
        let mut fetches = self.worker.tokens.fetches.borrow_mut();
        while let Some(ended) = fetches.try_join_next() {
            reap(ended);
        }
        fetches.spawn_local(stand_in.fetched(id));
    }

    async fn fetched(mut self, id: ClientId) {
        let worker = Rc::clone(&self.worker);
        let Some(Auth::OAuth2(oauth2)) = worker.plan.auths.get(id.0) else { return };
        let asked = worker.clock.now();
        let ended = self.send(&oauth2.token, None).await;
        let now = worker.clock.now();
        let token = if ended.failed {
            Err(format!("`{}` ended with {}", OAuth2::NAME, ended.outcome))
        } else {
            self.token(asked, now).map_err(str::to_owned)
        };
        worker.tokens.keep(&id, token, now);
    }

    /// The token that an answer brought.
    fn token(&self, asked: Instant, now: Instant) -> Result<Token, &'static str> {
        let captured = |name| self.scope.get(name).map(|value| to_text(&value)).unwrap_or_default();
        if !captured(OAuth2::KIND).eq_ignore_ascii_case("bearer") {
            return Err("what the server gave is no bearer token");
        }
        let token = captured(OAuth2::TOKEN);
        let value = Some(token).filter(|token| !token.is_empty());
        let value = value.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut value = value.ok_or("what the server gave cannot be a token")?;
        value.set_sensitive(true);
        let seconds = captured(OAuth2::SECONDS).parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
        let lasts =
            seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST));
        let life = lasts.map(|lasts| {
            let end = (asked + lasts).max(now + PAUSE);
            (end - LEAST_LEFT.min(lasts / 5), end)
        });
        Ok(Token { credentials: Rc::new(Credentials::Token(value)), life })
    }
}
