//! What takes long, and may be stopped.

use std::future::Future;
use std::pin::{Pin, pin};

use futures_util::future::{Either, select};

/// What a future comes to; `None` if the stop comes before, which it does once.
pub(super) async fn unless_stopped<T>(
    stop: &mut Option<Pin<&mut impl Future<Output = ()>>>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let future = pin!(future);
    let Some(waiting) = stop.take() else { return Some(future.await) };
    match select(waiting, future).await {
        Either::Left(_) => None,
        Either::Right((value, waiting)) => {
            *stop = Some(waiting);
            Some(value)
        }
    }
}
