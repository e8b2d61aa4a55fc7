//! The user's wish to end a run.

use squall_report::ExitCode;

/// Ends with the first signal that asks for an end; the second one ends the process at once.
pub(crate) async fn interrupted() {
    if signal().await.is_err() {
        // Without signals nobody can ask.
        return std::future::pending().await;
    }
    eprintln!("\nstopping the load; once more to leave at once");
    tokio::spawn(async {
        if signal().await.is_ok() {
            #[expect(clippy::disallowed_methods, reason = "the user does not want to wait for destructors")]
            std::process::exit(i32::from(ExitCode::Interrupted.code()));
        }
    });
}

async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
