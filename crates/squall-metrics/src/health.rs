//! How the generators themselves were: whether what they measured can be believed.

use crate::interval::add;

/// A slice-second whose requests the generator began later than this (99 of 100 were earlier) is tainted.
pub const SEND_LAG_LIMIT_US: u64 = 10_000;

/// So is one in which every other request was begun later than this: it keeps up by being late.
pub const USUAL_SEND_LAG_LIMIT_US: u64 = 1_000;

/// One in which a task that wanted to run had to wait longer than this (nine of ten waited less) is tainted.
pub const LOOP_DELAY_LIMIT_US: u64 = 10_000;

/// One of which the machine gave more than this share to others is tainted.
pub const STOLEN_LIMIT: f64 = 0.10;

/// What a slice saw of itself in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// How late requests were begun: half of them not later.
    pub send_lag_p50_us: u64,
    /// 99 of 100 not later.
    pub send_lag_p99_us: u64,
    /// How long a task that wanted to run had to wait: nine of ten times not longer.
    pub loop_delay_p90_us: u64,
    /// The longest such wait.
    pub loop_delay_max_us: u64,
    /// Processor time used.
    pub cpu_us: u64,
    /// Processor time that the machine gave to others while it was wanted here, for each processor.
    pub stolen_us: u64,
    /// How long was looked.
    pub observed_us: u64,
    /// Connections open at its end.
    pub connections: u64,
    /// Memory of the whole process.
    pub memory_bytes: u64,
}

impl Observation {
    /// Whether the generator was the bottleneck: requests were begun too late, tasks had to wait, processor time was
    /// stolen.
    #[must_use]
    pub fn signs(&self) -> [bool; 3] {
        [
            self.send_lag_p99_us > SEND_LAG_LIMIT_US || self.send_lag_p50_us > USUAL_SEND_LAG_LIMIT_US,
            self.loop_delay_p90_us > LOOP_DELAY_LIMIT_US,
            self.stolen_us as f64 > STOLEN_LIMIT * self.observed_us as f64,
        ]
    }
}

/// What slices saw of themselves in one second, or one slice in many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Slice-seconds that were looked at.
    pub slice_seconds: u64,
    /// Those in which the generator was the bottleneck.
    pub tainted: u64,
    /// Those among them in which requests were begun too late, in which tasks had to wait, and in which processor
    /// time was stolen.
    pub tainted_by: [u64; 3],
    /// Processor time used.
    pub cpu_us: u64,
    /// Processor time that the machine gave to others.
    pub stolen_us: u64,
    /// How long was looked, all added up.
    pub observed_us: u64,
    /// The highest number of connections: of one slice over time, of all slices in one second.
    pub connections: u64,
    /// The most memory of one process.
    pub memory_bytes: u64,
    /// The longest that a task that wanted to run had to wait.
    pub loop_delay_max_us: u64,
}

impl Health {
    /// One slice in one second.
    #[must_use]
    pub fn of(observation: &Observation) -> Self {
        let signs = observation.signs();
        Self {
            slice_seconds: 1,
            tainted: u64::from(signs.contains(&true)),
            tainted_by: signs.map(u64::from),
            cpu_us: observation.cpu_us,
            stolen_us: observation.stolen_us,
            observed_us: observation.observed_us,
            connections: observation.connections,
            memory_bytes: observation.memory_bytes,
            loop_delay_max_us: observation.loop_delay_max_us,
        }
    }

    /// Adds another slice's view of the same second.
    pub(crate) fn merge(&mut self, other: &Self) {
        let connections = self.connections.saturating_add(other.connections);
        self.follow(other);
        self.connections = connections;
    }

    /// Adds the same slice's view of another second.
    pub(crate) fn follow(&mut self, other: &Self) {
        add(&mut self.slice_seconds, other.slice_seconds);
        add(&mut self.tainted, other.tainted);
        self.tainted_by.iter_mut().zip(other.tainted_by).for_each(|(sum, more)| add(sum, more));
        add(&mut self.cpu_us, other.cpu_us);
        add(&mut self.stolen_us, other.stolen_us);
        add(&mut self.observed_us, other.observed_us);
        self.connections = self.connections.max(other.connections);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.loop_delay_max_us = self.loop_delay_max_us.max(other.loop_delay_max_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_of_a_bottleneck_taints_alone() {
        let good = Observation { observed_us: 1_000_000, cpu_us: 990_000, ..Observation::default() };
        let check = |observation: Observation, by: [u64; 3]| {
            let health = Health::of(&observation);
            assert_eq!((health.tainted_by, health.tainted), (by, u64::from(by != [0; 3])), "{observation:?}");
        };
        check(good, [0, 0, 0]);
        check(Observation { send_lag_p99_us: SEND_LAG_LIMIT_US, ..good }, [0, 0, 0]);
        check(Observation { send_lag_p99_us: SEND_LAG_LIMIT_US + 1, ..good }, [1, 0, 0]);
        check(Observation { send_lag_p50_us: USUAL_SEND_LAG_LIMIT_US + 1, ..good }, [1, 0, 0]);
        check(Observation { loop_delay_p90_us: LOOP_DELAY_LIMIT_US + 1, ..good }, [0, 1, 0]);
        check(Observation { stolen_us: 100_001, ..good }, [0, 0, 1]);
        // One long wait among many short ones is told, but no bottleneck.
        check(Observation { loop_delay_max_us: 60_000, ..good }, [0, 0, 0]);
    }

    #[test]
    fn slices_hold_their_connections_at_the_same_time_and_seconds_do_not() {
        let one = Health { connections: 5, memory_bytes: 7, tainted: 1, ..Health::default() };
        let (mut together, mut later) = (one, one);
        together.merge(&one);
        later.follow(&one);
        assert_eq!((together.connections, later.connections), (10, 5));
        assert_eq!((together.memory_bytes, together.tainted, later.tainted), (7, 2, 2));
    }
}
