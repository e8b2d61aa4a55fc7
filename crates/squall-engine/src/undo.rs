//! What users have made and is to be undone: at the end of the user, and where that was not possible or failed, at the
//! end of the slice.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Method;
use squall_plan::expression::Scope;
use squall_plan::{CLEANUP, Request};
use url::Position;

use crate::cookies::Cookies;
use crate::load::LoadRun;
use crate::user::User;
use crate::worker::Worker;

/// How much of what users have left behind is undone at a time.
const AT_A_TIME: usize = 32;

/// More than this is not remembered by a thread.
const MOST: usize = 100_000;

/// A request that undoes something, and who sends it.
pub(crate) struct Undo {
    /// Index into the plan's `cleanups`.
    request: usize,
    /// What its expressions see: what there was when it was made.
    scope: Arc<Scope>,
    cookies: Rc<RefCell<Cookies>>,
    load: Rc<LoadRun>,
    scenario: usize,
    number: u64,
}

/// What a user has to undo. Whatever is left when the user is gone is left to the end of the slice.
pub(crate) struct Undos {
    worker: Rc<Worker>,
    list: Vec<Undo>,
}

impl Undos {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: Rc::clone(worker), list: Vec::new() }
    }

    /// Takes over what somebody else was to undo.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.list.append(&mut other.list);
    }
}

impl Drop for Undos {
    fn drop(&mut self) {
        self.worker.left.borrow_mut().append(&mut self.list);
    }
}

impl User {
    /// Remembers how to undo what the last request made.
    pub(crate) fn will_undo(&mut self, request: usize) {
        let worker = Rc::clone(&self.worker);
        let is_full = worker.to_undo.get() >= MOST;
        worker.recorder.borrow_mut().cleanup_created();
        let undo = Undo {
            request,
            scope: self.scope.apart(),
            cookies: Rc::clone(&self.cookies),
            load: Rc::clone(self.load()),
            scenario: self.scenario,
            number: self.number(),
        };
        if is_full {
            self.tell_left(&undo);
        } else {
            worker.to_undo.set(worker.to_undo.get() + 1);
            self.undos.list.push(undo);
        }
    }

    /// Undoes what the user has made, the latest first. What cannot be undone is tried again at the end of the slice.
    pub(crate) async fn undo_all(&mut self) {
        while let Some(undo) = self.undos.list.pop() {
            self.ready = self.worker.clock.now();
            // Cut off here, it is tried again, too.
            let kept = Kept::new(&self.worker, undo);
            if self.undo(kept.undo()).await {
                kept.done();
            }
        }
    }

    /// Whether something could be undone.
    async fn undo(&mut self, undo: Option<&Undo>) -> bool {
        let Some(undo) = undo else { return true };
        let worker = Rc::clone(&self.worker);
        let own = std::mem::replace(&mut self.scope, Arc::clone(&undo.scope));
        let ended = self.send(&worker.plan.cleanups[undo.request], None).await;
        self.scope = own;
        !ended.failed
    }

    /// Counts something that stays, with method and path.
    fn tell_left(&self, undo: &Undo) {
        let request = &self.worker.plan.cleanups[undo.request];
        let what = self.what_of(request, &undo.scope);
        let what = self.worker.masks.mask(&what).into_owned();
        self.worker.recorder.borrow_mut().cleanup_left(what);
    }

    /// Method and path of a request.
    fn what_of(&self, request: &Request, scope: &Arc<Scope>) -> String {
        let mut url = String::new();
        let rendered = request.url.render(&self.worker.plan.program, scope, &mut url);
        let path = match (rendered, url::Url::parse(&url)) {
            (Err(_), _) => request.url.name(),
            (Ok(()), Ok(whole)) => {
                return words(&request.method, &whole[Position::BeforePath..Position::AfterPath]);
            }
            (Ok(()), Err(_)) => url.split('?').next().unwrap_or(&url),
        };
        words(&request.method, path)
    }
}

fn words(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

/// Something that is being undone: dropped before that has succeeded, it is still to be undone.
struct Kept {
    worker: Rc<Worker>,
    undo: Option<Undo>,
}

impl Kept {
    fn new(worker: &Rc<Worker>, undo: Undo) -> Self {
        Self { worker: Rc::clone(worker), undo: Some(undo) }
    }

    fn undo(&self) -> Option<&Undo> {
        self.undo.as_ref()
    }

    fn done(mut self) {
        self.undo = None;
        self.worker.to_undo.set(self.worker.to_undo.get().saturating_sub(1));
        self.worker.recorder.borrow_mut().cleanup_undone();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.worker.left.borrow_mut().extend(self.undo.take());
    }
}

/// Undoes what users have left behind, as far as time allows; the rest is told.
pub(crate) async fn clean_up(worker: &Rc<Worker>) {
    let mut left = worker.left.take();
    if left.is_empty() {
        return;
    }
    let fenced = async {
        if !worker.bounds.is_shut() {
            worker.fenced.notified().await;
        }
    };
    let end = worker.clock.now() + CLEANUP;
    let mut under_way = FuturesUnordered::new();
    let undone = async {
        loop {
            while under_way.len() < AT_A_TIME
                && let Some(undo) = left.pop()
            {
                under_way.push(undo_for(worker, undo));
            }
            if under_way.next().await.is_none() {
                break;
            }
        }
    };
    tokio::select! {
        // Nothing may be begun any more.
        biased;
        () = fenced => {}
        () = undone => {}
        () = worker.clock.sleep_until(end) => {}
    }
    drop(under_way);
    for undo in left.into_iter().chain(worker.left.take()) {
        let user = User::new(worker, &undo.load, undo.scenario, undo.number);
        user.tell_left(&undo);
    }
}

/// Undoes something in the place of a user that is gone.
async fn undo_for(worker: &Rc<Worker>, undo: Undo) {
    let mut user = User::new(worker, &undo.load, undo.scenario, undo.number);
    user.cookies = Rc::clone(&undo.cookies);
    let kept = Kept::new(worker, undo);
    if user.undo(kept.undo()).await {
        kept.done();
    }
}
