//! When slices change hands, and how long before that their successors come.

use std::time::Duration;

use squall_plan::Share;

use super::posts::{ANSWERED_WITHIN, LEAST, micros};
use crate::seat::FENCE;

/// From the decision that somebody goes on to its effect.
pub(super) fn lead(poll: Duration) -> Duration {
    FENCE + poll * 3 + Duration::from_secs(2)
}

/// How long a successor waits for the end of a window.
pub(crate) fn waits_for_window(poll: Duration) -> Duration {
    lead(poll) + ANSWERED_WITHIN
}

/// When a slice that was taken at `from_us` changes hands: windows of one length, whose ends are spread over half
/// of it, so that not all change at once.
pub(super) fn boundary_us((window, load): (Duration, Duration), share: Share, from_us: u64) -> u64 {
    if load <= window {
        return u64::MAX;
    }
    let window = micros(window);
    let part = u128::from(window) * (u128::from(share.index()) + 1) / (2 * u128::from(share.count().max(1)));
    let first = (window / 2).saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
    let begun = from_us.saturating_add(window / 4);
    let windows = begun.saturating_sub(first).div_ceil(window.max(1));
    first.saturating_add(windows.saturating_mul(window))
}

/// How often slices change hands, all together, if all goes as planned.
pub(crate) fn hand_overs(slices: u32, window: Duration, load: Duration) -> u64 {
    let of = |share: Share| {
        let boundary = |from_us: &u64| {
            let next = boundary_us((window, load), share, *from_us);
            (next.saturating_add(micros(LEAST)) < micros(load)).then_some(next)
        };
        std::iter::successors(boundary(&0), boundary).count() as u64
    };
    (0..slices).filter_map(|index| Share::try_new(index, slices)).map(of).sum()
}
