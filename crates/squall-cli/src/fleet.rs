//! How a run's fleet is asked for, whatever it runs on.

use std::time::Duration;

use anyhow::anyhow;
use squall_fleet::{Lasts, RegionSeats, Settings};
use squall_plan::{Bundle, Plan};

use crate::failure::Failure;
use crate::run::Begun;

/// What is asked of fleets; nothing, unless somebody says so.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    /// Which part of the generators will do once the time to get ready is over.
    pub(crate) start_with: Option<f64>,
    /// How long they may take to be ready.
    pub(crate) ready_within: Option<Duration>,
    /// How long one runs a slice.
    pub(crate) window: Option<Duration>,
    /// Whether the command leaves as soon as load is certain to begin.
    pub(crate) detach: bool,
    /// Whether load ends everywhere when one region fails.
    pub(crate) all_regions: bool,
}

/// What a kind of fleet is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) seats: u32,
    pub(crate) spares: u32,
    pub(crate) interval_s: u32,
    pub(crate) poll: Duration,
    /// How long its generators take to be ready at most.
    pub(crate) gather: Duration,
    /// How long one of them can run a slice.
    pub(crate) window: Duration,
}

/// What a run is, for the orchestrator; `regions` are all in which load is made, if there are several.
pub(crate) fn settings(
    begun: &Begun,
    plan: &Plan,
    bundle: &Bundle,
    (kind, regions): (Kind, &[RegionSeats]),
    wishes: Wishes,
) -> Settings {
    let Kind { seats, spares, interval_s, poll, gather, window } = kind;
    let all = if regions.is_empty() { seats } else { regions.iter().map(|region| region.seats).sum() };
    Settings {
        run: begun.id.clone(),
        name: plan.name.clone(),
        bundle: bundle.sha256(),
        seed: begun.seed,
        seats,
        least: least(seats, wishes.start_with),
        spares,
        interval_s,
        poll,
        gather: wishes.ready_within.unwrap_or(gather),
        window: wishes.window.map_or(window, |asked| asked.min(window)),
        lasts: Lasts::of(plan, all),
        detached: wishes.detach,
        regions: regions.to_vec(),
        all_regions: wishes.all_regions,
    }
}

/// How few of so many generators will do: all, unless somebody says otherwise.
pub(crate) fn least(seats: u32, start_with: Option<f64>) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of so many is no more"
    )]
    let part = |part: f64| (f64::from(seats) * part).ceil() as u32;
    start_with.map_or(seats, part).clamp(1, seats.max(1))
}

/// Whether a plan's load can be handed from one generator to another, if it must be.
pub(crate) fn check_windows(plan: &Plan, seats: u32, window: Duration) -> Result<(), Failure> {
    let lasts = Lasts::of(plan, seats);
    if lasts.divisible || lasts.load <= window {
        return Ok(());
    }
    let what = anyhow!(
        "the load lasts {} s and a generator runs {} s of it, and a load with a number of iterations cannot be handed \
         over",
        lasts.load.as_secs(),
        window.as_secs()
    );
    Err(Failure::wrong(what)
        .with_hint("give the load a `duration` instead of iterations, or make it shorter"))
}

/// Whether a run can be left alone: within one window nobody has to hand anything over.
pub(crate) fn check_detached(
    plan: &Plan,
    seats: u32,
    window: Duration,
    wishes: Wishes,
) -> Result<(), Failure> {
    let load = Lasts::of(plan, seats).load;
    if !wishes.detach {
        return Ok(());
    }
    if load > window {
        let what = anyhow!(
            "the load lasts {} s and a generator runs {} s of it, and without the command nobody hands it over",
            load.as_secs(),
            window.as_secs()
        );
        return Err(Failure::wrong(what).with_hint("leave out --detach, or make the load shorter"));
    }
    if plan.thresholds.iter().any(|threshold| threshold.abort) {
        eprintln!("warning: thresholds with `abort` are judged by a command: until `squall attach` by none");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_generators_is_never_none_and_never_more_than_all() {
        let check = |seats, part, expected| assert_eq!(least(seats, part), expected, "{seats} {part:?}");
        check(20, None, 20);
        check(20, Some(0.95), 19);
        check(3, Some(0.95), 3);
        check(3, Some(0.0), 1);
        check(3, Some(1.0), 3);
    }
}
