//! What is known of a run, in the form in which causes are looked for.

use squall_metrics::{Merged, Outcome, Phase, SeriesId, Sparse};

/// More ticks are put together, so that looking takes a bounded time.
const MAX_TICKS: i32 = 3_600;

/// What is known of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// What was requested, in the order of [`Tick::calls`].
    pub endpoints: Vec<Endpoint>,
    /// Seconds, or longer stretches in a long run: ascending, all of the same length, without a gap.
    pub ticks: Vec<Tick>,
    /// How long each of them is.
    pub step_s: f64,
    /// What the target's own instruments said.
    pub signals: Vec<Signal>,
}

/// One kind of request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Whether it changes something there: anything but `GET`, `HEAD` and `OPTIONS`.
    pub writes: bool,
    /// Whether it is part of the journey; requests that set up and clean up say little of load.
    pub counts: bool,
}

/// One second, or a few.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tick {
    /// When it begins, in seconds since the epoch.
    pub t_s: f64,
    /// Arrivals that were due; none in the closed model.
    pub scheduled: f64,
    /// Those of them that found a user.
    pub started: f64,
    /// Users at its end.
    pub users: f64,
    /// Requests under way at its end.
    pub in_flight: f64,
    /// The share of generators that were the bottleneck.
    pub tainted: f64,
    /// Microseconds that the phases of its requests took, all added up, in the order of [`Phase::ALL`].
    pub phases_us: [f64; Phase::ALL.len()],
    /// The requests that ended in it, by endpoint.
    pub calls: Vec<Calls>,
}

/// The requests of one endpoint that ended in one tick.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calls {
    /// How many ended in which way, by [`Class`].
    pub by: [f64; Class::COUNT],
    /// How many of them failed.
    pub errors: f64,
    /// Connections that were made for them.
    pub new_connections: f64,
    /// Response times of successes and timeouts.
    pub response: Sparse,
    /// Response times of other failures.
    pub failed: Sparse,
}

impl Calls {
    /// All of them.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.by.iter().sum()
    }
}

/// How requests end, as far as causes differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As they should.
    Success,
    /// 429: turned away.
    Limited,
    /// Another 4xx.
    Client,
    /// 502, 503 and 504: nobody there who could answer.
    Unavailable,
    /// Another 5xx.
    Server,
    /// No answer in time.
    Timeout,
    /// The connection was not accepted.
    Refused,
    /// The connection broke.
    Reset,
    /// The name has no address.
    Dns,
    /// TLS failed.
    Tls,
    /// Anything else, such as an answer that was not expected.
    Other,
    /// The run ended first.
    Unfinished,
}

impl Class {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// The class of an outcome.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Status(429) => Self::Limited,
            Outcome::Status(502..=504) => Self::Unavailable,
            Outcome::Status(400..=499) => Self::Client,
            Outcome::Status(500..) => Self::Server,
            Outcome::Status(_) => Self::Success,
            Outcome::Timeout => Self::Timeout,
            Outcome::Refused => Self::Refused,
            Outcome::Reset => Self::Reset,
            Outcome::Dns => Self::Dns,
            Outcome::Tls => Self::Tls,
            Outcome::Unfinished => Self::Unfinished,
            _ => Self::Other,
        }
    }
}

/// What one of the target's own instruments said over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signal {
    /// Who was asked.
    pub source: String,
    /// What was measured.
    pub name: String,
    /// In what; may be empty.
    pub unit: String,
    /// Seconds since the epoch, and the value from then on; in any order, with gaps, and with values that are none.
    pub points: Vec<(f64, f64)>,
}

impl Observed {
    /// Of what was measured: `endpoints` in the order of the plan's series, seconds from the epoch up to `until_s`.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, merged: &Merged, until_s: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a number of seconds that is cut to what fits")]
        let until = until_s.floor() as i32;
        let known =
            || merged.seconds().range(0..).map(|(second, _)| *second).filter(|second| *second < until);
        let Some(last) = known().next_back().filter(|_| !endpoints.is_empty()) else {
            return Self { endpoints, step_s: 1.0, ..Self::default() };
        };
        let mut step = merged.step_s().max(1);
        while last / step >= MAX_TICKS {
            step = step.saturating_mul(2);
        }
        let empty = |place: i32| Tick {
            t_s: f64::from(place.saturating_mul(step)),
            calls: vec![Calls::default(); endpoints.len()],
            ..Tick::default()
        };
        let mut ticks: Vec<Tick> = (0..=last / step).map(empty).collect();
        for second in known() {
            let place = usize::try_from(second / step).unwrap_or(0);
            if let (Some(tick), Some(content)) = (ticks.get_mut(place), merged.seconds().get(&second)) {
                tick.take(content);
            }
        }
        Self { endpoints, ticks, step_s: f64::from(step), signals: Vec::new() }
    }
}

impl Tick {
    fn take(&mut self, second: &squall_metrics::Second) {
        self.scheduled += second.arrivals.scheduled as f64;
        self.started += second.arrivals.started as f64;
        self.users = self.users.max(second.users as f64);
        self.in_flight = self.in_flight.max(second.in_flight as f64);
        if second.health.slice_seconds > 0 {
            let share = second.health.tainted as f64 / second.health.slice_seconds as f64;
            self.tainted = self.tainted.max(share);
        }
        self.phases_us.iter_mut().zip(second.phases_us).for_each(|(sum, us)| *sum += us as f64);
        for (SeriesId(index), series) in &second.series {
            if let Some(calls) = self.calls.get_mut(usize::from(*index)) {
                let mut by = [0.0; Class::COUNT];
                for (outcome, count) in &series.outcomes {
                    by[Class::of(*outcome) as usize] += *count as f64;
                }
                // A 404 that the plan expects is as it should be.
                let failed =
                    by.iter().sum::<f64>() - by[Class::Success as usize] - by[Class::Unfinished as usize];
                let expected = (failed - series.errors as f64).clamp(0.0, by[Class::Client as usize]);
                by[Class::Client as usize] -= expected;
                by[Class::Success as usize] += expected;
                calls.by.iter_mut().zip(by).for_each(|(sum, more)| *sum += more);
                calls.errors += series.errors as f64;
                calls.new_connections += series.new_connections as f64;
                calls.response.merge(&series.response);
                calls.failed.merge(&series.failed);
            }
        }
    }
}
