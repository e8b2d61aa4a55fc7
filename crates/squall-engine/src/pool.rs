//! Connections that all users of a thread share.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use squall_plan::{HttpSettings, HttpVersion};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connect::Origin;
use crate::connection::{Connection, Multiplexed, Open};

/// The connections to each origin.
pub(crate) struct Pool {
    shelves: RefCell<HashMap<Origin, Rc<Shelf>>>,
    limit: u32,
    settings: HttpSettings,
}

/// The connections to one origin.
pub(crate) struct Shelf {
    /// HTTP/1.1, not in use; the last used last.
    #[expect(clippy::vec_box, reason = "each moves in and out with every request")]
    idle: RefCell<Vec<Box<Connection>>>,
    /// HTTP/2. Who has a stream on one holds it, too.
    shared: RefCell<Vec<Rc<Multiplexed>>>,
    /// How many there are, those being made included.
    held: Rc<Cell<u32>>,
    opening: Rc<Cell<u32>>,
    /// Whether the origin speaks HTTP/2, once that is known.
    http2: Cell<Option<bool>>,
    /// Who waits, first come first; each is told by its own bell.
    waiting: RefCell<VecDeque<Rc<Notify>>>,
}

impl Shelf {
    /// It may be worth looking again.
    fn ring(&self) {
        self.waiting.borrow().front().inspect(|bell| bell.notify_one());
    }
}

/// A place among those who wait. Whoever leaves makes way for the next.
struct Turn {
    shelf: Rc<Shelf>,
    bell: Rc<Notify>,
}

impl Turn {
    fn take(shelf: &Rc<Shelf>) -> Self {
        let bell = Rc::new(Notify::new());
        shelf.waiting.borrow_mut().push_back(Rc::clone(&bell));
        Self { shelf: Rc::clone(shelf), bell }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.shelf.waiting.borrow_mut();
        if waiting.front().is_some_and(|bell| Rc::ptr_eq(bell, &self.bell)) {
            waiting.pop_front();
        } else {
            waiting.retain(|bell| !Rc::ptr_eq(bell, &self.bell));
        }
        drop(waiting);
        self.shelf.ring();
    }
}

/// What a user gets.
pub(crate) enum Place {
    /// A connection that is there.
    Taken(Box<Connection>),
    /// The right to make one.
    Room(Room),
}

/// The right to make a connection, and the connection's place when it is made.
pub(crate) struct Room {
    /// The connection's own count.
    held: Open,
    /// Until it is there, so that others may wait for it.
    opening: Open,
    tenancy: Tenancy,
}

/// In use: who waits is told when this goes away.
pub(crate) struct Tenancy {
    shelf: Rc<Shelf>,
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.shelf.ring();
    }
}

impl Room {
    /// What the new connection holds, while it is being made, and while it is in use.
    pub(crate) fn split(self) -> (Open, (Open, Tenancy)) {
        (self.held, (self.opening, self.tenancy))
    }
}

/// Whether a connection has done enough, by number of requests or age.
pub(crate) fn is_spent(settings: &HttpSettings, requests: u32, made: Instant, now: Instant) -> bool {
    settings.max_requests_per_connection.is_some_and(|most| requests >= most)
        || settings.max_connection_age.is_some_and(|age| now.saturating_duration_since(made) >= age)
}

impl Pool {
    /// With at most `limit` connections to each origin.
    pub(crate) fn new(settings: &HttpSettings, limit: u32) -> Self {
        Self { shelves: RefCell::default(), limit, settings: settings.clone() }
    }

    /// Waits for a place, in the order of asking.
    pub(crate) async fn acquire(&self, origin: &Origin, now: impl Fn() -> Instant) -> Place {
        let shelf = self.shelf(origin);
        // Whoever comes is not served before those who wait.
        if shelf.waiting.borrow().is_empty()
            && let Some(place) = self.take(&shelf, origin, now())
        {
            return place;
        }
        let turn = Turn::take(&shelf);
        loop {
            turn.bell.notified().await;
            if let Some(place) = self.take(&shelf, origin, now()) {
                return place;
            }
        }
    }

    /// Takes a connection back after a request.
    pub(crate) fn give_back(&self, origin: &Origin, mut connection: Box<Connection>) {
        let tenancy = connection.tenancy.take();
        let shelf = self.shelf(origin);
        shelf.http2.set(Some(connection.is_http2()));
        match connection.multiplexed() {
            None => shelf.idle.borrow_mut().push(connection),
            // Its stream has ended; the connection stays where it is.
            Some(_) => drop(connection),
        }
        drop(tenancy);
    }

    /// A new connection is there: others may use it, too, if it speaks HTTP/2.
    pub(crate) fn opened(&self, origin: &Origin, connection: &Connection) {
        let shelf = self.shelf(origin);
        shelf.http2.set(Some(connection.is_http2()));
        if let Some(shared) = connection.multiplexed() {
            shelf.shared.borrow_mut().push(Rc::clone(shared));
        }
        shelf.ring();
    }

    fn shelf(&self, origin: &Origin) -> Rc<Shelf> {
        if let Some(shelf) = self.shelves.borrow().get(origin) {
            return Rc::clone(shelf);
        }
        let shelf = Rc::new(Shelf {
            idle: RefCell::default(),
            shared: RefCell::default(),
            held: Rc::default(),
            opening: Rc::default(),
            http2: Cell::new(None),
            waiting: RefCell::default(),
        });
        self.shelves.borrow_mut().insert(origin.clone(), Rc::clone(&shelf));
        shelf
    }

    fn take(&self, shelf: &Rc<Shelf>, origin: &Origin, now: Instant) -> Option<Place> {
        let tenancy = || Tenancy { shelf: Rc::clone(shelf) };
        let in_use = |mut connection: Box<Connection>| {
            connection.tenancy = Some(tenancy());
            Place::Taken(connection)
        };
        if let Some(connection) = self.stream(shelf, now) {
            return Some(in_use(connection));
        }
        loop {
            let idle = shelf.idle.borrow_mut().pop();
            match idle {
                Some(old) if is_spent(&self.settings, old.requests(), old.made(), now) => drop(old),
                Some(connection) => return Some(in_use(connection)),
                None => break,
            }
        }
        // One connection that speaks HTTP/2 serves many, so it is waited for while it is being made.
        if shelf.opening.get() > 0 && shelf.http2.get().unwrap_or_else(|| self.may_speak_http2(origin)) {
            return None;
        }
        let held = Open::try_new(&shelf.held, self.limit)?;
        let opening = Open::try_new(&shelf.opening, u32::MAX)?;
        Some(Place::Room(Room { held, opening, tenancy: tenancy() }))
    }

    /// A stream on a connection that has one to spare.
    fn stream(&self, shelf: &Shelf, now: Instant) -> Option<Box<Connection>> {
        let mut shared = shelf.shared.borrow_mut();
        // One that is left out here ends with its last stream.
        shared.retain(|shared| {
            shared.is_alive() && !is_spent(&self.settings, shared.requests(), shared.made(), now)
        });
        let streams = |shared: &&Rc<Multiplexed>| Rc::strong_count(shared) - 1;
        let most = usize::try_from(self.settings.max_streams).unwrap_or(usize::MAX);
        let free = shared.iter().filter(|shared| streams(shared) < most).min_by_key(streams)?;
        Some(Box::new(Connection::on(Rc::clone(free))))
    }

    fn may_speak_http2(&self, origin: &Origin) -> bool {
        match self.settings.version {
            HttpVersion::Http1 => false,
            HttpVersion::Http2 => true,
            HttpVersion::Auto => origin.secure,
        }
    }
}
