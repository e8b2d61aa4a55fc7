//! What whoever drives it, or looks at it, asks of the state machine.

use std::collections::BTreeMap;

use super::{End, GeneratorRecord, Orchestrator, Phase, Seats, Slices};
use crate::message::Time;

impl Orchestrator {
    /// Whether the lease that generators know of has run out.
    pub(crate) fn has_expired(&self, now: Time) -> bool {
        self.lease_until.is_some_and(|until| self.fleet_time(now) >= until)
    }

    /// Whether generators that hear of the epoch within a poll would miss it. Where others begin at the same time it
    /// stands all the same.
    pub(crate) fn is_too_late_to_begin(&self, now: Time) -> bool {
        !self.settings.is_one_of_several()
            && self.control.epoch.is_some_and(|epoch| self.fleet_time(now).plus(self.settings.poll) > epoch)
    }

    /// Whether another orchestrator decides.
    pub(crate) fn only_reads(&self) -> bool {
        self.superseded
    }

    /// Which assignment is in force.
    pub(crate) fn generation(&self) -> u32 {
        self.control.generation
    }

    /// Which orchestrator this is.
    pub(crate) fn term(&self) -> u64 {
        self.control.term
    }

    /// How many can begin, if there are enough of them and load has not begun.
    pub(crate) fn able(&self) -> Option<u32> {
        let count = u32::try_from(self.able.len()).unwrap_or(u32::MAX);
        (self.phase == Phase::Gathering && count > 0).then_some(count)
    }

    /// How many generators are wanted.
    pub(crate) fn wanted(&self) -> u32 {
        self.settings.seats
    }

    /// How the load has ended or is to end, if it has or is.
    pub(crate) fn ending(&self) -> Option<&End> {
        matches!(self.phase, Phase::Ending | Phase::Done).then_some(&self.end)
    }

    /// Its slices, once the load is divided.
    #[must_use]
    pub fn slices(&self) -> Slices {
        let count = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        Slices { first: self.first, count, of: self.of }
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When the load begins, by the generators' clocks; once that is decided.
    #[must_use]
    pub fn epoch(&self) -> Option<Time> {
        self.control.epoch
    }

    /// The same instant by the clock of whoever drives this.
    pub(crate) fn epoch_here(&self) -> Option<Time> {
        self.control.epoch.map(|epoch| Time(epoch.0.saturating_sub(self.clock_offset_us)))
    }

    /// What became of the seats.
    #[must_use]
    pub fn seats(&self) -> Seats {
        Seats { spare: self.unused(), ..self.seats }
    }

    /// All generators that took a seat, by nonce.
    #[must_use]
    pub fn generators(&self) -> &BTreeMap<String, GeneratorRecord> {
        &self.generators
    }

    /// Whether a snapshot of this generator is expected.
    #[must_use]
    pub fn has_slice(&self, nonce: &str) -> bool {
        self.generators.get(nonce).is_some_and(|record| record.post.is_some())
    }

    /// What happened to the fleet that whoever reads the result should know.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let clocks = self.told_of_clocks().filter(|_| !self.slices.is_empty());
        let clocks = clocks.map(|told| format!("{told}, so they got no slice"));
        self.notes.iter().cloned().chain(clocks).collect()
    }
}
