//! What must hold before a run is made.

use std::time::Duration;

use anyhow::anyhow;
use squall_aws::operator::identity;
use squall_fleet::Lasts;
use squall_plan::Plan;
use squall_seat::SystemClock;

use super::{MOST_CLOCK_OFFSET_S, SET_CLOCK, Site, told};
use crate::failure::Failure;
use crate::fleet::check_windows;

/// What a generator's life holds besides load: the way to the epoch, and getting out what was measured.
const BESIDES_LOAD: Duration = Duration::from_secs(40);

/// How long one that is to go on with a slice may have waited for it.
const WAITING: Duration = Duration::from_mins(1);

/// Slices that change hands more often than that do nothing else.
const LEAST_WINDOW: Duration = Duration::from_secs(30);

/// Whether messages and leases mean the same here and there.
pub(super) async fn check_clock(site: &Site) -> Result<(), Failure> {
    let identity = identity(site.session.connection(), &SystemClock).await.map_err(told)?;
    match identity.clock_offset_s {
        Some(offset) if offset.abs() > MOST_CLOCK_OFFSET_S => {
            Err(Failure::wrong(anyhow!("this machine's clock is {offset:+.0} s off AWS's"))
                .with_hint(SET_CLOCK))
        }
        _ => Ok(()),
    }
}

/// How long a generator can run a slice: what comes before and after it takes a part of its life.
pub(crate) fn window(
    plan: &Plan,
    timeout: Duration,
    seats: u32,
    asked: Option<Duration>,
) -> Result<Duration, Failure> {
    let lasts = Lasts::of(plan, seats);
    let besides = lasts.graceful + lasts.cleanup + BESIDES_LOAD;
    let most = timeout.saturating_sub(besides);
    // What is handed over has been waited for by somebody who lived meanwhile.
    let window = if lasts.load <= most { most } else { most.saturating_sub(WAITING) };
    if let Some(asked) = asked.filter(|asked| *asked < LEAST_WINDOW) {
        let what = anyhow!("a window of {} s is too short to hand a slice over", asked.as_secs());
        return Err(Failure::wrong(what).with_hint("take at least --window 30s"));
    }
    let window = asked.unwrap_or(window).min(most);
    if lasts.load > window && window < LEAST_WINDOW {
        let what = anyhow!(
            "a generator lives {} s, of which {} are for other things than load: too little to hand it over",
            timeout.as_secs(),
            besides.as_secs()
        );
        return Err(Failure::wrong(what).with_hint(
            "let generators live longer: `squall deploy --timeout 15m`; or make the load, its window or its graceful \
             stop shorter or longer",
        ));
    }
    check_windows(plan, seats, window)?;
    Ok(window)
}
