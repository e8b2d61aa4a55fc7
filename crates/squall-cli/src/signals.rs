//! The user's wish to end a run.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use squall_report::ExitCode;
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::live;

/// What a key of the live view and a button of its page press, beside the signals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopper {
    pressed: Arc<Notify>,
    /// Whether that is all: somebody else listens to signals, and presses it.
    is_all: bool,
}

impl Stopper {
    /// The user wants the load to end; pressed once more, the process.
    pub(crate) fn press(&self) {
        self.pressed.notify_one();
    }

    /// Is ready when the user wants the load to end; the second wish ends the process at once.
    pub(crate) async fn stopped(self) {
        self.wanted().await;
        live::tell("stopping the load; once more to leave at once");
        tokio::spawn(async move {
            self.wanted().await;
            live::restore();
            #[expect(clippy::disallowed_methods, reason = "the user does not want to wait for destructors")]
            std::process::exit(i32::from(ExitCode::Interrupted.code()));
        });
    }

    async fn wanted(&self) {
        if self.is_all {
            return self.pressed.notified().await;
        }
        tokio::select! {
            () = self.pressed.notified() => {}
            () = signal() => {}
        }
    }
}

/// The wish to end several runs, one after the other: heard whenever it is uttered, also between them.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    is_there: Arc<AtomicBool>,
    /// What each of the runs is stopped by.
    pub(crate) stopper: Stopper,
}

impl Wish {
    /// Listens to signals from now on, on a thread of its own, which ends with the process.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let stopper = Stopper { pressed: Arc::default(), is_all: true };
        let wish = Self { is_there: Arc::default(), stopper };
        let own = wish.clone();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (tell, listens) = sync_channel(1);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let mut heard = pin!(signal());
                    // Once it was polled it listens.
                    tokio::select! {
                        biased;
                        () = &mut heard => {}
                        () = std::future::ready(()) => {
                            let _ = tell.try_send(());
                            heard.await;
                        }
                    }
                    own.is_there.store(true, Ordering::Release);
                    own.stopper.press();
                }
            });
        })?;
        // Before that a signal would end the process.
        let _ = listens.recv();
        Ok(wish)
    }

    /// Whether it was uttered.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Waits so long, or until it is uttered.
    pub(crate) fn wait(&self, time: Duration) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = self.stopper.wanted() => {}
            }
        });
        Ok(())
    }
}

/// Ends with the first signal that asks for an end; the second one ends the process at once.
pub(crate) async fn interrupted() {
    Stopper::default().stopped().await;
}

async fn signal() {
    if either().await.is_err() {
        // Without signals nobody can ask.
        std::future::pending::<()>().await;
    }
}

async fn either() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
