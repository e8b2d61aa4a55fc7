//! The user's wish to end a run.

use std::sync::Arc;

use squall_report::ExitCode;
use tokio::sync::Notify;

use crate::live;

/// What a key of the live view and a button of its page press, beside the signals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopper(Arc<Notify>);

impl Stopper {
    /// The user wants the load to end; pressed once more, the process.
    pub(crate) fn press(&self) {
        self.0.notify_one();
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
        tokio::select! {
            () = self.0.notified() => {}
            () = signal() => {}
        }
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
