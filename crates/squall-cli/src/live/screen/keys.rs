//! What the keys of the live view do.

use std::cmp::Reverse;
use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::live::frame::{Endpoint, Frame};

/// Seconds of the past that are drawn at most.
const MOST_PAST: usize = 3_600;

/// One second of the past.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    pub(crate) t_s: f64,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// p50, p95, p99.
    pub(crate) quantiles_ms: [Option<f64>; 3],
}

/// By what endpoints are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Requests,
    Rps,
    P95,
    P99,
    Errors,
    Name,
}

/// What is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) frame: Option<Frame>,
    pub(crate) past: VecDeque<Past>,
    pub(crate) sort: Sort,
    /// Endpoints that are scrolled past.
    pub(crate) first: usize,
    pub(crate) overlay: Overlay,
    /// Whether the view stands still; the load does not.
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    /// Where the same is shown in a browser.
    pub(crate) page: Option<String>,
    /// What came while the view stood still.
    missed: Option<(Frame, Vec<Past>)>,
}

/// What is shown over the rest, and takes the next key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Overlay {
    #[default]
    None,
    Help,
    /// Whether the load is to end.
    AskToStop,
}

impl Shown {
    pub(crate) fn new(page: Option<String>) -> Self {
        Self { page, ..Self::default() }
    }

    pub(crate) fn take(&mut self, mut frame: Frame) {
        let points = std::mem::take(&mut frame.points);
        let past = points.iter().map(|point| Past {
            t_s: point.t_s as f64,
            requests: point.requests,
            errors: point.errors,
            quantiles_ms: [point.p50_ms, point.p95_ms, point.p99_ms],
        });
        if self.paused {
            let mut all = self.missed.take().map_or(Vec::new(), |(_, past)| past);
            all.extend(past);
            self.missed = Some((frame, all));
        } else {
            self.show(frame, past);
        }
    }

    fn show(&mut self, frame: Frame, past: impl Iterator<Item = Past>) {
        self.past.extend(past);
        self.past.drain(..self.past.len().saturating_sub(MOST_PAST));
        self.frame = Some(frame);
    }

    /// Whether the load is to end.
    pub(crate) fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code == KeyCode::Char('c') && self.stop();
        }
        match std::mem::take(&mut self.overlay) {
            Overlay::Help => false,
            Overlay::AskToStop => {
                matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter) && self.stop()
            }
            Overlay::None => {
                self.command(key.code);
                false
            }
        }
    }

    fn command(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('?' | 'h') => self.overlay = Overlay::Help,
            KeyCode::Char('q') | KeyCode::Esc if !self.stopping => self.overlay = Overlay::AskToStop,
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
            KeyCode::PageDown => self.scroll(10),
            KeyCode::PageUp => self.scroll(-10),
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        self.stopping = true;
        true
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if let Some((frame, past)) = self.missed.take() {
            self.show(frame, past.into_iter());
        }
    }

    fn scroll(&mut self, rows: isize) {
        let most = self.frame.as_ref().map_or(0, |frame| frame.endpoints.len().saturating_sub(1));
        self.first = self.first.saturating_add_signed(rows).min(most);
    }
}

impl Sort {
    const ALL: [Self; 6] = [Self::Requests, Self::Rps, Self::P95, Self::P99, Self::Errors, Self::Name];

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// The column's heading.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Rps => "rps",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Errors => "errors",
            Self::Name => "endpoint",
        }
    }

    /// The largest first, names from A.
    pub(crate) fn sort(self, endpoints: &mut [&Endpoint]) {
        let by = |value: fn(&Endpoint) -> Option<f64>| {
            move |one: &&Endpoint, other: &&Endpoint| {
                value(other).unwrap_or(-1.0).total_cmp(&value(one).unwrap_or(-1.0))
            }
        };
        match self {
            Self::Requests => endpoints.sort_by_key(|endpoint| Reverse(endpoint.requests)),
            Self::Errors => endpoints.sort_by_key(|endpoint| Reverse(endpoint.errors)),
            Self::Name => endpoints.sort_by(|one, other| one.name.cmp(&other.name)),
            Self::Rps => endpoints.sort_by(by(|endpoint| Some(endpoint.rps))),
            Self::P95 => endpoints.sort_by(by(|endpoint| endpoint.response_time_ms.p95)),
            Self::P99 => endpoints.sort_by(by(|endpoint| endpoint.response_time_ms.p99)),
        }
    }
}
