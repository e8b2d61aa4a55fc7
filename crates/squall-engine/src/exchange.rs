//! One request, from the moment it was due to its record.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, select};
use http::StatusCode;
use http::header::SET_COOKIE;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Body, Incoming};
use squall_metrics::{ConnectionUse, Outcome, Sample};
use squall_plan::{Connections, Request, Retry, Timeouts};
use tokio::time::Instant;

use crate::clock::micros;
use crate::connect::Origin;
use crate::connection::{Answered, Connection, SendError, drive};
use crate::decode::MAX_CAPTURED_BYTES;
use crate::flight::{Due, Ended, InFlight};
use crate::judge::Answer;
use crate::message::Message;
use crate::outcome;
use crate::user::User;

impl User {
    /// Sends a request and records it. `due` says when it was due, where that is not now.
    pub(crate) async fn send(&mut self, request: &Request, due: Option<Due>) -> Ended {
        let worker = Rc::clone(&self.worker);
        let mut due = due.unwrap_or(Due { at: self.ready, ready: self.ready });
        let mut message = match request.auth {
            None => self.message(request, None),
            // Boxed, for few plans have it.
            Some(auth) => match Box::pin(self.credentials(auth, &mut due)).await {
                Ok(credentials) => self.message(request, Some(credentials)),
                Err(error) => Err(error),
            },
        };
        let started = worker.clock.now();
        let started_us = worker.offset_us(started);
        if worker.bounds.is_fenced(started_us) {
            return worker.halt().await;
        }
        let mut flight = InFlight::begin(&worker, request, due, started_us);
        if let Some(ids) = &worker.trace_ids {
            ids.identify(request, message.as_mut().ok(), &mut flight.sample);
        }
        if worker.tracer.is_some() {
            *self.attempt.draft.get_mut() = Some(Box::default());
        }
        // Where it is, for it is large.
        let result = match &mut message {
            Err(error) => {
                self.note(request, &error.to_string());
                Err(Outcome::Expression)
            }
            Ok(message) => match &request.retry {
                None => self.exchange_in_time(request, message, started, &mut flight.sample).await,
                Some(retry) => {
                    Box::pin(self.try_again(request, retry, message, started, &mut flight.sample)).await
                }
            },
        };
        let ended_at = worker.clock.now();
        self.attempt.close(&mut flight.sample, ended_at);
        if let Some(since) = self.attempt.waiting_since.take() {
            // It had no connection meanwhile, so nothing of that is the target's.
            flight.sample.wait(micros(since, ended_at));
        }
        let ended = match result {
            Ok(answer) => {
                let took = ended_at.saturating_duration_since(due.at);
                self.judge(request, answer, took, &mut flight.sample)
            }
            Err(outcome) => Ended::failed(outcome),
        };
        flight.end(ended, ended_at);
        if let Some(draft) = self.attempt.draft.get_mut().take() {
            self.tell(request, *draft, ended, micros(due.at, ended_at));
        }
        self.ready = ended_at;
        ended
    }

    /// Keeps what went wrong with a request, for whoever reads the report.
    pub(crate) fn note(&self, request: &Request, problem: &str) {
        self.draft(|draft| draft.problem(problem));
        let name = &self.worker.plan.series[request.series].endpoint;
        self.worker.keep_note(format!("`{name}`: {problem}"));
    }

    /// Sends the message, and waits for the answer as long as a request may take.
    async fn exchange_in_time(
        &mut self,
        request: &Request,
        message: &mut Message<'_>,
        begun: Instant,
        sample: &mut Sample,
    ) -> Result<Answer, Outcome> {
        let (worker, leash) = (Rc::clone(&self.worker), Rc::clone(&self.leash));
        let deadline = Some(begun + request.timeout.unwrap_or(worker.plan.http.timeout));
        let exchange = pin!(self.exchange(request, message, begun, sample));
        let answer = worker.watchdog.within(&leash, deadline, exchange).await;
        answer.unwrap_or(Err(Outcome::Timeout))
    }

    /// Sends the message again while the plan wants that. It all is one request.
    async fn try_again(
        &mut self,
        request: &Request,
        retry: &Retry,
        message: &Message<'_>,
        mut begun: Instant,
        sample: &mut Sample,
    ) -> Result<Answer, Outcome> {
        let worker = Rc::clone(&self.worker);
        let mut wait = retry.wait;
        for _ in 0..retry.times {
            let result = self.exchange_in_time(request, &mut message.clone(), begun, sample).await;
            let again = match &result {
                Ok(answer) => {
                    let status = answer.status.as_u16();
                    retry.statuses.iter().any(|range| range.contains(&status))
                        && !request.expect.names(status)
                }
                Err(Outcome::Generator | Outcome::Forbidden) => false,
                Err(_) => retry.transport,
            };
            if !again {
                return result;
            }
            self.attempt.close(sample, worker.clock.now());
            self.draft(|draft| draft.then(format!("sent again after {} ms", wait.as_millis())));
            worker.clock.sleep_until(worker.clock.now() + wait).await;
            wait = (wait * 2).min(retry.max_wait);
            begun = worker.clock.now();
            if worker.is_fenced(begun) {
                return worker.halt().await;
            }
        }
        self.exchange_in_time(request, &mut message.clone(), begun, sample).await
    }

    /// Sends the message, and goes where the answers lead, to the last byte of the last answer.
    async fn exchange(
        &mut self,
        request: &Request,
        message: &mut Message<'_>,
        mut begun: Instant,
        sample: &mut Sample,
    ) -> Result<Answer, Outcome> {
        let worker = Rc::clone(&self.worker);
        self.check_allowed(request, &message.origin)?;
        worker.recorder.borrow_mut().begun(sample.send_lag_us());
        loop {
            let answer = self.attempt(request, message, begun, sample).await?;
            let most = request.follow_redirects.unwrap_or(worker.plan.http.follow_redirects);
            let follows = most > 0 && !request.expect.names(answer.status.as_u16());
            let next =
                if follows { message.redirected(answer.status, answer.headers.as_deref()) } else { None };
            let Some(next) = next else { return Ok(answer) };
            begun = worker.clock.now();
            self.attempt.close(sample, begun);
            self.draft(|draft| draft.then("redirected"));
            *message = next.map_err(|error| {
                self.note(request, &error.to_string());
                Outcome::Redirect
            })?;
            self.check_allowed(request, &message.origin)?;
            if sample.redirects == most {
                self.note(request, &format!("more than {} redirects", sample.redirects));
                return Err(Outcome::Redirect);
            }
            if worker.is_fenced(begun) {
                return worker.halt().await;
            }
            sample.redirects += 1;
        }
    }

    /// The outcome of a request to a host that the plan does not allow.
    fn check_allowed(&self, request: &Request, origin: &Rc<Origin>) -> Result<(), Outcome> {
        let worker = &self.worker;
        // The target was looked at before the load.
        if Rc::ptr_eq(origin, &worker.target) || **origin == *worker.target {
            return Ok(());
        }
        let lists = if worker.plan.allow.allows(&origin.host) {
            if worker.guard.allows(&origin.host) {
                return Ok(());
            }
            "among the hosts that this fleet may send load to"
        } else {
            "in the plan's `allow`"
        };
        self.note(request, &format!("host `{}` is not {lists}", origin.host));
        Err(Outcome::Forbidden)
    }

    /// Sends the message once, or once more where the server had closed an idle connection.
    async fn attempt(
        &mut self,
        request: &Request,
        message: &Message<'_>,
        mut begun: Instant,
        sample: &mut Sample,
    ) -> Result<Answer, Outcome> {
        let worker = Rc::clone(&self.worker);
        let mut retried = false;
        loop {
            self.draft(|draft| {
                draft.begin(&message.method, message.url().map(String::from).unwrap_or_default());
            });
            let (mut connection, reused) = self.connection(request, &message.origin, sample).await?;
            self.sent = true;
            sample.connection = if reused { ConnectionUse::Reused } else { ConnectionUse::New };
            sample.http2 = connection.is_http2();
            sample.remote = connection.remote;
            let outgoing = self.outgoing(request, message, &connection, reused)?;
            let wire = Rc::clone(&connection.wire);
            if !reused || worker.plan.http.connections == Connections::Shared {
                // Waiting for the connection, or making it, has taken its time.
                begun = worker.clock.now();
                if worker.is_fenced(begun) {
                    return worker.halt().await;
                }
            }
            self.attempt.sent = Some((begun, Rc::clone(&wire), connection.is_http2()));
            let Timeouts { send, first_byte, .. } = worker.plan.http.timeouts;
            let mut head = if send.is_none() && first_byte.is_none() {
                let (driver, response) = connection.send(outgoing);
                drive(driver, pin!(response)).await
            } else {
                Box::pin(self.head_in_time(&mut connection, outgoing, begun)).await?
            };
            let error = match head {
                // Where it is, for it is large.
                Ok(ref mut response) => return self.read(request, message, connection, response).await,
                Err(error) => SendError::from(error),
            };
            begun = worker.clock.now();
            self.attempt.close(sample, begun);
            self.keep_if_alive(&message.origin, connection);
            // Only a reused connection may have been closed by the server while it was idle.
            let untouched = match &error {
                SendError::Unsent => true,
                SendError::Broken(error) => {
                    message.is_idempotent() && wire.first_received().is_none()
                        || outcome::is_refused_stream(error)
                }
            };
            if reused && untouched && !retried {
                if worker.is_fenced(begun) {
                    return worker.halt().await;
                }
                retried = true;
                sample.stale_retries += 1;
                self.draft(|draft| draft.then("sent again, for the server had closed the idle connection"));
                continue;
            }
            return Err(match error {
                SendError::Unsent => {
                    self.draft(|draft| draft.problem("connection ended before the request was sent"));
                    Outcome::Reset
                }
                SendError::Broken(error) => self.broken(request, &error),
            });
        }
    }

    /// The request as it goes over a connection. Made apart from the attempt, which would keep a place for it to its end.
    fn outgoing(
        &self,
        request: &Request,
        message: &Message<'_>,
        connection: &Connection,
        reused: bool,
    ) -> Result<http::Request<Full<Bytes>>, Outcome> {
        let worker = &self.worker;
        // Without cookies the URL need not be made.
        let cookies = if self.cookies.borrow().is_empty() { None } else { message.url() }
            .and_then(|url| self.cookies.borrow().header(&url));
        let agent = (!request.own_agent).then_some(&worker.agent);
        let mut outgoing = message.to_http(worker.headers.take(), agent, cookies, connection);
        message.identify(&mut outgoing, || worker.clock.unix_ms()).map_err(|problem| {
            self.note(request, &problem);
            Outcome::Expression
        })?;
        self.draft(|draft| draft.sent(&outgoing, message.body(), worker.link(connection, reused)));
        Ok(outgoing)
    }

    /// The outcome of a broken exchange, which is also put into words where they say more.
    fn broken(&self, request: &Request, error: &hyper::Error) -> Outcome {
        let outcome = outcome::of_exchange(error);
        if matches!(outcome, Outcome::Protocol | Outcome::TooLarge | Outcome::Tls) {
            self.note(request, &outcome::in_words(error));
        } else {
            self.draft(|draft| draft.problem(&outcome::in_words(error)));
        }
        outcome
    }

    /// Waits for the head of the response, and no longer than the phases may take.
    async fn head_in_time(
        &self,
        connection: &mut Connection,
        outgoing: http::Request<Full<Bytes>>,
        begun: Instant,
    ) -> Result<Answered, Outcome> {
        let Timeouts { send, first_byte, .. } = self.worker.plan.http.timeouts;
        let (wire, http2) = (Rc::clone(&connection.wire), connection.is_http2());
        let (driver, response) = connection.send(outgoing);
        let response = pin!(response);
        let mut head = pin!(drive(driver, response));
        let mut alarm: Option<(Instant, LocalBoxFuture<'static, ()>)> = None;
        poll_fn(|context| {
            if let Poll::Ready(head) = head.as_mut().poll(context) {
                return Poll::Ready(Ok(head));
            }
            let limit = if http2 {
                // Others use the wire, too; the head is what the server has to send first.
                first_byte.map(|first_byte| begun + first_byte + send.unwrap_or_default())
            } else if wire.first_received().is_some() {
                None
            } else if wire.is_sending() {
                send.map(|send| begun + send)
            } else {
                first_byte.zip(wire.last_sent()).map(|(first_byte, sent)| sent + first_byte)
            };
            let Some(limit) = limit else { return Poll::Pending };
            if alarm.as_ref().is_none_or(|(at, _)| *at != limit) {
                alarm = Some((limit, self.worker.clock.sleep_until(limit)));
            }
            match alarm.as_mut().map(|(_, alarm)| alarm.as_mut().poll(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Outcome::Timeout)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Reads the response to its last byte, and gives the connection back.
    async fn read(
        &mut self,
        request: &Request,
        message: &Message<'_>,
        mut connection: Box<Connection>,
        response: &mut Response<Incoming>,
    ) -> Result<Answer, Outcome> {
        let worker = Rc::clone(&self.worker);
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.note(request, "the server switched to a protocol that nobody asked for");
            return Err(Outcome::Protocol);
        }
        if connection.is_http2() {
            self.attempt.head_at = Some(worker.clock.now());
        }
        if response.headers().contains_key(SET_COOKIE)
            && let Some(url) = message.url()
        {
            let kept = self.cookies.borrow_mut().keep(response.headers(), &url);
            kept.unwrap_or_else(|problem| self.note(request, problem));
        }
        let keep = request.looks_at.body || worker.plan.keeps_response || worker.tracer.is_some();
        let reading = self.body_of(request, &mut connection, response.body_mut(), keep);
        let body = match worker.plan.http.timeouts.body {
            None => reading.await,
            Some(limit) => {
                let deadline = worker.clock.sleep_until(worker.clock.now() + limit);
                match select(Box::pin(reading), deadline).await {
                    Either::Left((body, _)) => body,
                    Either::Right(_) => Err(Outcome::Timeout),
                }
            }
        };
        self.draft(|draft| {
            draft.received(status, response.headers(), body.as_deref().unwrap_or_default());
        });
        match &body {
            Ok(_) => self.give_back(&message.origin, connection),
            Err(_) => self.keep_if_alive(&message.origin, connection),
        }
        let mut headers = std::mem::take(response.headers_mut());
        let headers = if keep || request.looks_at.headers || status.is_redirection() {
            Some(Box::new(headers))
        } else {
            headers.clear();
            worker.headers.set(headers);
            None
        };
        Ok(Answer { status, headers, body: body? })
    }

    /// Reads a body to its end; its bytes are kept only if something is to be captured from them.
    async fn body_of(
        &self,
        request: &Request,
        connection: &mut Connection,
        body: &mut Incoming,
        keep: bool,
    ) -> Result<Vec<u8>, Outcome> {
        let mut kept = Vec::new();
        // After the last byte nothing is asked for that says so.
        while !body.is_end_stream()
            && let Some(frame) = connection.drive(body.frame()).await
        {
            let frame = frame.map_err(|error| self.broken(request, &error))?;
            if let Some(data) = frame.data_ref().filter(|_| keep) {
                if kept.len() + data.len() <= MAX_CAPTURED_BYTES {
                    kept.extend_from_slice(data);
                } else if request.looks_at.body {
                    return Err(Outcome::TooLarge);
                }
            }
        }
        Ok(kept)
    }
}
