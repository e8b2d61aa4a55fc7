//! Whose connection a request goes over, and where it goes afterwards.

use std::cell::Cell;
use std::rc::Rc;

use squall_metrics::{Outcome, Phases, Sample};
use squall_plan::{Connections, Request};

use crate::clock::micros;
use crate::connect::Origin;
use crate::connection::Connection;
use crate::pool::{Place, Room, is_spent};
use crate::user::User;

impl User {
    /// Waits for a connection of the pool. That time is none of the target's.
    async fn wait_for_place(&mut self, origin: &Origin, sample: &mut Sample) -> Place {
        let worker = Rc::clone(&self.worker);
        let begin = worker.clock.now();
        self.attempt.waiting_since = Some(begin);
        let place = worker.pool.acquire(origin, || worker.clock.now()).await;
        self.attempt.waiting_since = None;
        let now = worker.clock.now();
        sample.wait(micros(begin, now));
        self.leash.extend(now.saturating_duration_since(begin));
        place
    }

    /// A connection to `origin` that is ready for a request, and whether it was used before.
    pub(crate) async fn connection(
        &mut self,
        request: &Request,
        origin: &Rc<Origin>,
        sample: &mut Sample,
    ) -> Result<(Box<Connection>, bool), Outcome> {
        let worker = Rc::clone(&self.worker);
        if worker.plan.http.connections == Connections::Shared {
            return Box::pin(self.pooled(request, origin, sample)).await;
        }
        while let Some(at) = self.connections.iter().position(|(known, _)| known == origin) {
            let (_, mut connection) = self.connections.swap_remove(at);
            let spent =
                is_spent(&worker.plan.http, connection.requests(), connection.made(), worker.clock.now());
            // What was ready a moment ago still is.
            if !spent && (!self.rested && connection.was_ready() || connection.ready().await) {
                self.rested = false;
                return Ok((connection, true));
            }
        }
        // Boxed, for it is large and seldom: every user has room for all that is not.
        Box::pin(self.open(request, origin, None)).await
    }

    async fn pooled(
        &mut self,
        request: &Request,
        origin: &Rc<Origin>,
        sample: &mut Sample,
    ) -> Result<(Box<Connection>, bool), Outcome> {
        loop {
            match self.wait_for_place(origin, sample).await {
                Place::Room(room) => return self.open(request, origin, Some(room)).await,
                Place::Taken(mut connection) => {
                    if connection.ready().await {
                        return Ok((connection, true));
                    }
                }
            }
        }
    }

    async fn open(
        &mut self,
        request: &Request,
        origin: &Origin,
        room: Option<Room>,
    ) -> Result<(Box<Connection>, bool), Outcome> {
        let dialing = Rc::new(Cell::new(Phases::default()));
        self.attempt.dialing = Some(Rc::clone(&dialing));
        match self.worker.open(origin, room, dialing).await {
            Ok(connection) => Ok((connection, false)),
            Err((outcome, problem)) => {
                self.note(request, &problem);
                Err(outcome)
            }
        }
    }

    pub(crate) fn give_back(&mut self, origin: &Rc<Origin>, connection: Box<Connection>) {
        if connection.has_ended() {
            return;
        }
        if self.worker.plan.http.connections == Connections::Shared {
            self.worker.pool.give_back(origin, connection);
        } else {
            self.connections.push((Rc::clone(origin), connection));
        }
    }

    /// A failed exchange ends a connection, or with HTTP/2 only its stream.
    pub(crate) fn keep_if_alive(&mut self, origin: &Rc<Origin>, connection: Box<Connection>) {
        if connection.multiplexed().is_some_and(|shared| shared.is_alive()) {
            self.give_back(origin, connection);
        }
    }
}
