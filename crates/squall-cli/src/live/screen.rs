//! The live view: one screen, drawn once a second and at each key.

mod charts;
mod draw;
mod keys;

use std::io::{self, BufWriter, Stderr};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use squall_report::Style;

use self::draw::draw;
use self::keys::Shown;
use super::Sink;
use super::frame::Frame;
use crate::signals::Stopper;
use crate::surroundings;

/// How long a key may wait.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Whether the terminal is not as it was.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Draws frames on a thread of its own, so that keys are heard however long the orchestrator waits.
pub(crate) struct Screen {
    stopper: Stopper,
    /// Where the same is shown in a browser.
    page: Option<String>,
    /// None until the first frame.
    drawing: Option<(Sender<Frame>, JoinHandle<()>)>,
}

impl Screen {
    pub(crate) fn new(stopper: Stopper, page: Option<String>) -> Self {
        Self { stopper, page, drawing: None }
    }
}

impl Sink for Screen {
    fn take(&mut self, frame: &Frame) {
        let (frames, _) = self.drawing.get_or_insert_with(|| {
            let (frames, come) = mpsc::channel();
            let (stopper, page) = (self.stopper.clone(), self.page.clone());
            restore_on_panic();
            (frames, std::thread::spawn(move || show(&come, &stopper, page)))
        });
        // A terminal that is gone is no reason to stop.
        let _ = frames.send(frame.clone());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some((frames, thread)) = self.drawing.take() {
            drop(frames);
            let _ = thread.join();
        }
        restore();
    }
}

/// Prints a message on standard error, unless the live view shows it in its own way.
pub(crate) fn tell(text: &str) {
    if !SHOWN.load(Ordering::SeqCst) {
        eprintln!("\n{text}");
    }
}

/// Makes the terminal what it was before.
pub(crate) fn restore() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
    }
}

/// What a panic says is to be read.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            next(info);
        }));
    });
}

/// Draws until there are no more frames.
fn show(frames: &Receiver<Frame>, stopper: &Stopper, page: Option<String>) {
    // What cannot be drawn is not worth a failure of the run.
    let _ = try_to_show(frames, stopper, page);
    restore();
}

fn try_to_show(frames: &Receiver<Frame>, stopper: &Stopper, page: Option<String>) -> io::Result<()> {
    let mut terminal = take_terminal()?;
    let style = Style { colour: surroundings::colour_errors(), ..surroundings::style() };
    let mut shown = Shown::new(page);
    loop {
        let mut is_new = false;
        loop {
            match frames.try_recv() {
                Ok(frame) => shown.take(frame),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            is_new = true;
        }
        if event::poll(if is_new { Duration::ZERO } else { KEY_WAIT })? {
            is_new = true;
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && shown.press(key)
            {
                stopper.press();
            }
        }
        if is_new && SHOWN.load(Ordering::SeqCst) {
            terminal.draw(|area| draw(area, &shown, style))?;
        }
    }
}

fn take_terminal() -> io::Result<Terminal<CrosstermBackend<BufWriter<Stderr>>>> {
    enable_raw_mode()?;
    SHOWN.store(true, Ordering::SeqCst);
    execute!(io::stderr(), EnterAlternateScreen, Hide)?;
    Terminal::new(CrosstermBackend::new(BufWriter::new(io::stderr())))
}

#[cfg(test)]
mod tests;
