//! The live page: what the live view shows, for a browser on this machine. At the end it turns into the report.
//!
//! It is served on a loopback address only, under a path that nobody can guess.

mod routes;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use self::routes::{Shared, router};
use super::frame::Frame;
use crate::failure::Failure;
use crate::signals::Stopper;

/// How long browsers may take to fetch the report.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether they all have it.
const LOOK: Duration = Duration::from_millis(20);

/// A page that is served while this is there.
pub(crate) struct Page {
    shared: Arc<Shared>,
    pub(crate) url: String,
    /// Told whether there is a report to wait for.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves it on this port; on any if that is 0.
    pub(crate) fn serve(port: u16, stopper: Stopper) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("cannot serve the live page on {address}"))
            .map_err(|error| Failure::from(error).with_hint("take another port, or any: `--ui`"))?;
        let mut token = [0; 16];
        getrandom::fill(&mut token)?;
        let token = hex::encode(token);
        let url = format!("http://{}/{token}/", listener.local_addr()?);
        let shared = Arc::new(Shared::new(stopper));
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let served = axum::serve(listener, router(&token, Arc::clone(&seen)));
                tokio::select! {
                    _ = served.into_future() => {}
                    () = taken(ended, &seen) => {}
                }
            });
        });
        eprintln!("live page: {url}");
        Ok(Self { shared, url, end: Some(end), thread: Some(thread) })
    }

    pub(crate) fn take(&self, frame: &Frame) {
        self.shared.take(frame);
    }

    /// Hands the report over to those who look.
    pub(crate) fn end(mut self, report: &str) {
        self.shared.end(report.to_owned());
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Is ready when all who look have the report, or there is none.
async fn taken(ended: oneshot::Receiver<()>, shared: &Shared) {
    if ended.await.is_err() {
        return;
    }
    let all = async {
        while shared.looking.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    // Who does not fetch it in time finds it in the run's folder.
    let _ = tokio::time::timeout(PATIENCE, all).await;
}
