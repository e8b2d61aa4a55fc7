//! What the live page's browser asks for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, stream};
use serde_json::json;
use squall_report::{PAGE_STYLE, Point};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::live::frame::Frame;
use crate::signals::Stopper;

/// Nothing is loaded from elsewhere, and nothing is sent there.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Seconds of the past that are kept for browsers that come later.
const MOST_PAST: usize = 3_600;

/// Frames that a slow browser may be behind; if it is further, it is given all anew.
const BEHIND: usize = 16;

/// What the page's browsers are shown.
pub(super) struct Shared {
    /// How many browsers look.
    pub(super) looking: AtomicUsize,
    stopper: Stopper,
    past: Mutex<Past>,
    news: Sender<News>,
}

/// What a browser that comes later must be told.
#[derive(Default)]
struct Past {
    points: VecDeque<Point>,
    frame: Option<Frame>,
    report: Option<String>,
}

#[derive(Debug, Clone)]
enum News {
    /// A frame, as JSON.
    Frame(Arc<str>),
    /// The report is there.
    Report,
}

impl Shared {
    pub(super) fn new(stopper: Stopper) -> Self {
        let news = channel(BEHIND).0;
        Self { looking: AtomicUsize::new(0), stopper, past: Mutex::default(), news }
    }

    pub(super) fn take(&self, frame: &Frame) {
        let mut frame = frame.clone();
        // What the page draws of the past is the whole only.
        for point in &mut frame.points {
            point.endpoints.clear();
            point.heat.clear();
        }
        let text = json!(frame).to_string();
        let mut past = self.past();
        past.points.extend(frame.points.drain(..));
        let surplus = past.points.len().saturating_sub(MOST_PAST);
        past.points.drain(..surplus);
        past.frame = Some(frame);
        // Nobody looks: nobody is told.
        let _ = self.news.send(News::Frame(text.into()));
    }

    pub(super) fn end(&self, report: String) {
        let mut past = self.past();
        past.report = Some(report);
        let _ = self.news.send(News::Report);
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All so far, and from then on what is new.
    fn join(&self) -> (VecDeque<Event>, Receiver<News>) {
        let past = self.past();
        let begin = json!({ "points": past.points, "frame": past.frame }).to_string();
        let mut events = VecDeque::from([Event::default().event("begin").data(begin)]);
        if past.report.is_some() {
            events.push_back(report_event());
        }
        (events, self.news.subscribe())
    }
}

fn report_event() -> Event {
    // Events without data are none.
    Event::default().event("report").data("ready")
}

/// What there is under the token.
pub(super) fn router(token: &str, shared: Arc<Shared>) -> Router {
    Router::new()
        .route(&format!("/{token}/"), get(page))
        .route(&format!("/{token}/events"), get(events))
        .route(&format!("/{token}/report"), get(report))
        .route(&format!("/{token}/stop"), post(stop))
        .with_state(shared)
}

async fn page() -> Response {
    let page = include_str!("page.html").replacen("/*style*/", PAGE_STYLE, 1).replacen(
        "/*script*/",
        include_str!("page.js"),
        1,
    );
    guarded(Html(page))
}

async fn report(State(shared): State<Arc<Shared>>) -> Response {
    let report = shared.past().report.clone();
    match report {
        Some(report) => guarded(Html(report)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn stop(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.stopper.press();
    StatusCode::ACCEPTED
}

fn guarded(page: Html<String>) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page).into_response()
}

/// Counts a browser as looking while this is there.
struct Looking(Arc<Shared>);

impl Looking {
    fn new(shared: Arc<Shared>) -> Self {
        shared.looking.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn events(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (events, news) = shared.join();
    let looking = Looking::new(shared);
    Sse::new(stream::unfold((looking, events, news), |(looking, mut events, mut news)| async move {
        if events.is_empty() {
            match news.recv().await {
                Ok(News::Frame(text)) => events.push_back(Event::default().event("frame").data(text)),
                Ok(News::Report) => events.push_back(report_event()),
                Err(RecvError::Lagged(_)) => (events, news) = looking.0.join(),
                Err(RecvError::Closed) => return None,
            }
        }
        let event = events.pop_front()?;
        Some((Ok(event), (looking, events, news)))
    }))
}
