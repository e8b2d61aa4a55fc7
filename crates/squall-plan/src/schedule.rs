//! When users live and arrivals come: arithmetic on offsets from the epoch, in whole microseconds.
//!
//! Nothing here waits. An [`ArrivalSchedule`] gives the instants of arrivals, a [`UserSchedule`] the spans in
//! which user number *k* is active; a slice asks for its own.

use std::time::Duration;

mod poisson;

use crate::model::{Arrivals, ClosedLoad, Iterations, Load, OpenLoad, Plan};
use crate::share::Share;

/// Thousandths of an arrival per hour, times microseconds: this much of it is one arrival.
const ONE_ARRIVAL: u128 = 1_000 * 3_600_000_000;

/// The instants of an open load's arrivals.
///
/// With the rate *r(t)* linear from *a* to *b* within a stage of length *D*, the arrivals expected by *t*
/// are *A(t) = a·t + (b − a)·t² / 2D*. Arrival *k* comes at the first microsecond with *A(t) ≥ k*, so a
/// constant rate gives evenly spaced arrivals from the epoch on, and as many as the area says.
#[derive(Debug, Clone)]
pub struct ArrivalSchedule {
    stages: Vec<RateSpan>,
    total: u64,
    arrivals: Arrivals,
}

/// One arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which one: what its journey is derived from.
    pub ordinal: u64,
    /// When it comes.
    pub at_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct RateSpan {
    start_us: u64,
    duration_us: u64,
    start_rate: u64,
    end_rate: u64,
    /// Area before this stage.
    area: u128,
}

impl RateSpan {
    /// Area from the start of the stage to `t_us` within it. At most 7 days × 10 million a second: 2·10²⁵ in
    /// the unit of [`ONE_ARRIVAL`], and 2·10³⁷ before the division, below 2¹²⁸.
    fn area_until(&self, t_us: u64) -> u128 {
        let (t, duration) = (u128::from(t_us), u128::from(self.duration_us.max(1)));
        let (a, b) = (u128::from(self.start_rate), u128::from(self.end_rate));
        if b >= a {
            a * t + (b - a) * t * t / (2 * duration)
        } else {
            a * t - ((a - b) * t * t).div_ceil(2 * duration)
        }
    }

    /// The first microsecond at which the area within the stage reaches `area`.
    fn first_reaching(&self, area: u128) -> u64 {
        let (mut low, mut high) = (0, self.duration_us);
        // A float is right to a few microseconds, which leaves the search little to do.
        let guess = self.guess(area);
        let (near_low, near_high) = (guess.saturating_sub(8), guess.saturating_add(8));
        if near_low < high && self.area_until(near_low) < area {
            low = near_low;
        }
        if near_high < high && self.area_until(near_high) >= area {
            high = near_high;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.area_until(middle) >= area { high = middle } else { low = middle + 1 }
        }
        low
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a guess; the search corrects it"
    )]
    fn guess(&self, area: u128) -> u64 {
        let (a, area) = (self.start_rate as f64, area as f64);
        let slope = (self.end_rate as f64 - a) / self.duration_us.max(1) as f64;
        // The root of slope/2·t² + a·t = area that does not cancel, also for slope = 0.
        let root = (a * a + 2.0 * slope * area).max(0.0).sqrt();
        (2.0 * area / (a + root)) as u64
    }
}

impl ArrivalSchedule {
    /// The schedule of a load.
    #[must_use]
    pub fn new(load: &OpenLoad) -> Self {
        let (mut start_us, mut start_rate, mut area) = (0, load.start_rate, 0);
        let mut stages = Vec::with_capacity(load.stages.len());
        for stage in &load.stages {
            let span = RateSpan {
                start_us,
                duration_us: micros(stage.duration),
                start_rate: start_rate.millis_per_hour(),
                end_rate: stage.rate.millis_per_hour(),
                area,
            };
            area += span.area_until(span.duration_us);
            start_us += span.duration_us;
            start_rate = stage.rate;
            stages.push(span);
        }
        // Arrivals number 0 to the last whose own area lies before the end. Areas are rounded down, by less
        // than one unit a stage, so rounding adds none.
        let total = u64::try_from(area.div_ceil(ONE_ARRIVAL)).unwrap_or(u64::MAX);
        Self { stages, total, arrivals: load.arrivals }
    }

    /// Arrivals a second at instants in microseconds, with straight lines between.
    #[must_use]
    pub fn levels(&self) -> Vec<(u64, f64)> {
        let per_second = |rate: u64| rate as f64 / 3_600_000.0;
        let of_stage = |stage: &RateSpan| {
            let (from, until) = (per_second(stage.start_rate), per_second(stage.end_rate));
            [(stage.start_us, from), (stage.start_us + stage.duration_us, until)]
        };
        self.stages.iter().flat_map(of_stage).collect()
    }

    /// How many arrivals there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When arrival number `ordinal` of even ones comes, in microseconds; `None` from [`total`](Self::total) on.
    #[must_use]
    pub fn at_us(&self, ordinal: u64) -> Option<u64> {
        (ordinal < self.total).then(|| self.reaching_us(u128::from(ordinal) * ONE_ARRIVAL)).flatten()
    }

    /// The first microsecond at which the area reaches `area`, if it does.
    fn reaching_us(&self, area: u128) -> Option<u64> {
        // The last stage that begins at or before the area: a stage without area is never the one.
        let index = self.stages.partition_point(|stage| stage.area <= area).checked_sub(1)?;
        let stage = self.stages.get(index)?;
        Some(stage.start_us + stage.first_reaching(area - stage.area))
    }

    /// The arrivals of a share, in the order of their instants. What is drawn depends on `seed` and on which arrival
    /// it is, so that the shares together are the whole, whoever draws them.
    #[must_use]
    pub fn arrivals(&self, share: Share, seed: u64) -> Box<dyn Iterator<Item = Arrival> + '_> {
        self.arrivals_from(share, seed, 0)
    }

    /// Those of them that come at an instant or later. The others are not gone through.
    #[must_use]
    pub fn arrivals_from(
        &self,
        share: Share,
        seed: u64,
        from_us: u64,
    ) -> Box<dyn Iterator<Item = Arrival> + '_> {
        match self.arrivals {
            Arrivals::Even => {
                let own = share.ordinals_between(self.first_from(from_us), self.total);
                Box::new(
                    own.filter_map(|ordinal| self.at_us(ordinal).map(|at_us| Arrival { ordinal, at_us })),
                )
            }
            Arrivals::Poisson => Box::new(self.poisson(share, seed, from_us)),
        }
    }

    /// How many arrivals of a share come before an instant.
    #[must_use]
    pub fn arrivals_before(&self, share: Share, seed: u64, us: u64) -> u64 {
        match self.arrivals {
            Arrivals::Even => share.size_of(self.first_from(us)),
            Arrivals::Poisson => self.poisson_before(share, seed, us),
        }
    }

    /// The first of even arrivals that comes at an instant or later.
    fn first_from(&self, us: u64) -> u64 {
        first_where(self.total, |ordinal| self.at_us(ordinal).is_none_or(|at_us| at_us >= us))
    }
}

/// The first number below `until` that meets a condition, which all after it meet, too; else `until`.
fn first_where(until: u64, meets: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, until);
    while low < high {
        let middle = low + (high - low) / 2;
        if meets(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// When the users of a closed load are active.
///
/// User *k* is active while the profile is above *k*, so a ramp from 0 to 10 starts user 0 at once and
/// user 9 at nine tenths of it, and a ramp down ends the youngest first.
#[derive(Debug, Clone)]
pub struct UserSchedule {
    stages: Vec<UserSpan>,
    users: u32,
}

#[derive(Debug, Clone, Copy)]
struct UserSpan {
    start_us: u64,
    duration_us: u64,
    start_users: u32,
    end_users: u32,
}

/// A stretch of time, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first microsecond.
    pub from_us: u64,
    /// The first one after it.
    pub until_us: u64,
}

impl UserSpan {
    /// The part of this stage in which user number `ordinal` is active.
    fn active(&self, ordinal: u32) -> Option<Span> {
        let (start, end) = (u64::from(self.start_users), u64::from(self.end_users));
        let ordinal = u64::from(ordinal);
        let crossing = |from: u64, to: u64| {
            let part = u128::from(self.duration_us) * u128::from(ordinal.abs_diff(from))
                / u128::from(from.abs_diff(to));
            self.start_us + u64::try_from(part).unwrap_or(self.duration_us)
        };
        let stage_end = self.start_us + self.duration_us;
        let (from_us, until_us) = match (start > ordinal, end > ordinal) {
            (true, true) => (self.start_us, stage_end),
            (false, true) => (crossing(start, end), stage_end),
            (true, false) => (self.start_us, crossing(start, end)),
            (false, false) => return None,
        };
        (from_us < until_us).then_some(Span { from_us, until_us })
    }
}

impl UserSchedule {
    /// The schedule of a load.
    #[must_use]
    pub fn new(load: &ClosedLoad) -> Self {
        let (mut start_us, mut start_users, mut users) = (0, load.start_users, load.start_users);
        let mut stages = Vec::with_capacity(load.stages.len());
        for stage in &load.stages {
            let duration_us = micros(stage.duration);
            stages.push(UserSpan { start_us, duration_us, start_users, end_users: stage.users });
            start_us += duration_us;
            start_users = stage.users;
            users = users.max(stage.users);
        }
        Self { stages, users }
    }

    /// How many users there are at the most; their numbers are below this.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.users
    }

    /// Users at instants in microseconds, with straight lines between.
    #[must_use]
    pub fn levels(&self) -> Vec<(u64, f64)> {
        let of_stage = |stage: &UserSpan| {
            let (from, until) = (f64::from(stage.start_users), f64::from(stage.end_users));
            [(stage.start_us, from), (stage.start_us + stage.duration_us, until)]
        };
        self.stages.iter().flat_map(of_stage).collect()
    }

    /// When user number `ordinal` is active: apart from each other, in order.
    #[must_use]
    pub fn spans(&self, ordinal: u32) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for active in self.stages.iter().filter_map(|stage| stage.active(ordinal)) {
            match spans.last_mut() {
                Some(last) if last.until_us == active.from_us => last.until_us = active.until_us,
                _ => spans.push(active),
            }
        }
        spans
    }
}

/// What a load, or a share of it, means to do: the measure of coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// Closed model: microseconds that users are to be active, all added up.
    UserMicros(u64),
    /// Closed model with a number of iterations.
    Iterations(u64),
    /// Open model: arrivals.
    Arrivals(u64),
}

impl Load {
    /// What `share` of this load means to do.
    #[must_use]
    pub fn planned(&self, share: Share) -> Planned {
        let load = match self {
            Self::Open(load) => {
                return Planned::Arrivals(share.size_of(ArrivalSchedule::new(load).total()));
            }
            Self::Closed(load) => load,
        };
        let schedule = UserSchedule::new(load);
        let users = u64::from(schedule.users());
        match load.iterations {
            Some(Iterations::Shared(iterations)) => Planned::Iterations(share.size_among(iterations, users)),
            Some(Iterations::PerUser(iterations)) => {
                Planned::Iterations(iterations.saturating_mul(share.size_of(users)))
            }
            None => {
                let own = share.ordinals(users).filter_map(|ordinal| u32::try_from(ordinal).ok());
                let spans = own.flat_map(|ordinal| schedule.spans(ordinal));
                Planned::UserMicros(spans.map(|span| span.until_us - span.from_us).sum())
            }
        }
    }
}

impl Plan {
    /// Slices that the plan can be divided over: an arrival must find a user in its own slice.
    #[must_use]
    pub fn most_slices(&self) -> u32 {
        let users = self.loads.iter().filter_map(|placed| match &placed.load {
            Load::Open(load) => Some(load.max_users),
            Load::Closed(_) => None,
        });
        users.min().unwrap_or(u32::MAX).max(1)
    }

    /// Users that there can be at the same time, at most, in the whole fleet.
    #[must_use]
    pub fn most_users(&self) -> u64 {
        let users = self.loads.iter().map(|placed| match &placed.load {
            Load::Open(load) => u64::from(load.max_users),
            Load::Closed(load) => u64::from(UserSchedule::new(load).users()),
        });
        users.sum()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
