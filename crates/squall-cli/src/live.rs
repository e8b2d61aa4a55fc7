//! What is seen of a run while it goes on: a frame a second, on the terminal, as lines, as JSON, as a page.

mod frame;
mod lines;
mod page;
mod screen;
mod stream;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use squall_fleet::{Observer, Phase, Time, View};
use squall_plan::Plan;

use self::frame::{Camera, Frame};
use self::lines::Lines;
use self::screen::Screen;
use self::stream::Stream;
use crate::annotate::Followed;
use crate::args::{Output, Progress};
use crate::failure::Failure;
use crate::run::{Begun, Finished};
use crate::signals::Stopper;
use crate::surroundings;
use crate::telemetry::Telemetry;

pub(crate) use self::page::Page;
pub(crate) use self::screen::{restore, tell};
pub(crate) use self::stream::end as end_stream;

/// How often a frame is taken.
const EVERY: Duration = Duration::from_secs(1);

/// What the user wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) progress: Progress,
    pub(crate) output: Output,
    /// A page for a browser, on this port or any.
    pub(crate) ui: Option<u16>,
    /// A file whose new lines are annotations.
    pub(crate) annotations: Option<PathBuf>,
    /// What the load is ended by besides, if it is one of several runs.
    pub(crate) stopper: Option<Stopper>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { progress: Progress::Auto, output: Output::Text, ui: None, annotations: None, stopper: None }
    }
}

/// Shows frames somewhere.
trait Sink {
    fn take(&mut self, frame: &Frame);
}

/// Watches a run, and shows it.
pub(crate) struct Live {
    camera: Camera,
    sinks: Vec<Box<dyn Sink>>,
    page: Option<Page>,
    annotations: Option<Followed>,
    stopper: Stopper,
    last: Option<Time>,
}

impl Live {
    /// Opens what the user wants to see. What cannot be had is told before anything is done.
    pub(crate) fn begin(begun: &Begun, plan: &Plan, generators: u32, watch: &Watch) -> Result<Self, Failure> {
        let stopper = watch.stopper.clone().unwrap_or_default();
        let heard = begun.telemetry.as_ref().map(Telemetry::heard);
        let camera = Camera::new(&begun.id, plan, generators, heard);
        let page = watch.ui.map(|port| Page::serve(port, stopper.clone())).transpose()?;
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if watch.output == Output::Json {
            sinks.push(Box::new(Stream));
        }
        match watch.progress {
            Progress::None => {}
            Progress::Auto if has_screen(watch.output) => {
                let url = page.as_ref().map(|page| page.url.clone());
                sinks.push(Box::new(Screen::new(stopper.clone(), url)));
            }
            Progress::Auto | Progress::Lines => sinks.push(Box::new(Lines)),
        }
        let annotations =
            watch.annotations.as_ref().map(|path| Followed::new(path, &begun.folder)).transpose()?;
        Ok(Self { camera, sinks, page, annotations, stopper, last: None })
    }

    /// Is ready when the user wants the load to end.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        self.stopper.clone().stopped()
    }

    /// The load is over: the terminal is as it was, and the page waits for the report.
    pub(crate) fn close(self) -> Option<Page> {
        self.page
    }
}

impl Observer for Live {
    fn look(&mut self, view: &View<'_>) {
        let is_over = view.phase() == Phase::Done;
        if !is_over && self.last.is_some_and(|last| view.now.since(last) < EVERY) {
            return;
        }
        self.last = Some(view.now);
        if let Some(annotations) = &mut self.annotations {
            annotations.look(view.now);
        }
        let frame = self.camera.frame(view);
        self.sinks.iter_mut().for_each(|sink| sink.take(&frame));
        if let Some(page) = &self.page {
            page.take(&frame);
        }
    }
}

/// Hands the report over to those who look at the page.
pub(crate) fn hand_over(page: Option<Page>, finished: &Finished) {
    if let Some(page) = page {
        page.end(&finished.page);
    }
}

/// Whether there is a terminal to draw on, and somebody who can press keys; what is printed there must not mix with it.
fn has_screen(output: Output) -> bool {
    let mixes = output == Output::Json && std::io::stdout().is_terminal();
    std::io::stderr().is_terminal() && std::io::stdin().is_terminal() && surroundings::can_draw() && !mixes
}
