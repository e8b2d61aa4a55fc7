//! One orchestrator after the other, or none: who takes over knows what is in the store, who is taken over from reads on,
//! and who detaches leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::posts::Slice;
use super::{Command, End, Orchestrator, Phase, Settings};
use crate::attach::Resumed;
use crate::message::{Assignment, Control, State, Time};

/// Why a run fails whose orchestrator was not heard of in time.
pub(crate) const NOT_RENEWED: &str = "control was not renewed in time, so the load ended by itself";

/// Why a run fails whose load ended before anybody took it over.
pub(crate) const ORPHANED: &str = "its orchestrator was lost, so the load ended by itself";

impl Orchestrator {
    /// In the place of an orchestrator that is gone, or is to go.
    #[must_use]
    pub(crate) fn resume(
        settings: Settings,
        now: Time,
        Resumed { control, assignments, began_at, ahead_us, .. }: Resumed,
    ) -> Self {
        let mut machine = Self::new(settings, began_at);
        machine.look_began = now;
        machine.awake_at = now;
        machine.came_at = now;
        machine.listening_since = now;
        machine.clock_offset_us = ahead_us;
        machine.resumed = Some(ahead_us);
        machine.seats.invited = machine.settings.seats.saturating_add(machine.settings.spares);
        machine.lease_until = Some(control.lease_until);
        machine.control = control;
        machine.recall(&assignments);
        let epoch = machine.control.epoch.unwrap_or(now);
        let settings = &machine.settings;
        (machine.phase, machine.deadline) = match machine.control.state {
            State::Waiting => (Phase::Gathering, began_at.plus(settings.gather)),
            State::Running => {
                let lasts = settings.lasts.load + settings.lasts.graceful + machine.margin();
                (Phase::Running, Time(epoch.plus(lasts).0.saturating_sub(ahead_us)))
            }
            State::Aborting | State::Done => (Phase::Ending, now.plus(machine.margin())),
        };
        if machine.phase == Phase::Ending {
            machine.end = End::Failed(ORPHANED.to_owned());
        }
        machine
    }

    /// Somebody else decides. What they do is read on to its end, and reported here, too.
    pub(super) fn superseded(&mut self, now: Time, control: &Control) -> Vec<Command> {
        if !self.superseded {
            self.note("another orchestrator has taken over; from then on this one only read".to_owned());
        }
        self.superseded = true;
        self.lease_until = Some(control.lease_until);
        self.control = control.clone();
        match self.phase {
            Phase::Done => return vec![Command::End(self.end.clone())],
            Phase::Ending => {}
            _ if control.state >= State::Aborting => {
                self.end = if control.cut_short { End::Interrupted } else { End::Finished };
                self.phase = Phase::Ending;
                self.deadline = now.plus(self.margin());
            }
            Phase::Inviting | Phase::Gathering if control.state == State::Running => {
                self.phase = Phase::Running;
                let to_epoch =
                    control.epoch.map_or(Duration::ZERO, |epoch| epoch.since(self.fleet_time(now)));
                self.deadline = now
                    .plus(self.settings.lasts.load + self.settings.lasts.graceful + self.margin() + to_epoch);
            }
            Phase::Inviting | Phase::Gathering | Phase::Running => {}
        }
        self.progress(now, false)
    }

    /// What the other orchestrator has assigned meanwhile.
    pub(super) fn read_on(&mut self, now: Time, assignments: &BTreeMap<u32, Assignment>) {
        self.recall(assignments);
        let known: Vec<String> = self.generators.keys().cloned().collect();
        known.into_iter().for_each(|nonce| self.recall_one(now, &nonce));
    }

    /// What another orchestrator had said to a generator.
    pub(super) fn recall_one(&mut self, now: Time, nonce: &str) {
        let Some((post, relief)) = self.recalled.remove(nonce) else { return };
        if let (Some(relief), Some(record)) = (relief, self.generators.get_mut(nonce)) {
            record.relief = Some((relief, now));
        }
        let Some(post) = post else { return };
        let later = |slice: &Slice| slice.holder.is_some() && slice.window > post.window;
        let is_past = relief.is_some() || self.slice_mut(post.share).is_some_and(|slice| later(slice));
        match self.generators.get_mut(nonce).filter(|_| is_past) {
            Some(record) => record.post = Some(post),
            None => self.take_post(nonce, post, now),
        }
        self.account_for(nonce);
    }

    /// All assignments that were ever made, when another orchestrator has made them.
    fn recall(&mut self, assignments: &BTreeMap<u32, Assignment>) {
        let posts = assignments.values().flat_map(|assignment| assignment.posts.values());
        let shares: BTreeSet<u32> = posts.clone().map(|post| post.share.index()).collect();
        self.first = shares.first().copied().unwrap_or(0);
        self.of = posts.map(|post| post.share.count()).max().unwrap_or(0);
        self.slices = vec![Slice::default(); shares.last().map_or(0, |last| last - self.first + 1) as usize];
        self.seats.assigned = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        for assignment in assignments.values() {
            for (nonce, post) in &assignment.posts {
                self.recalled.insert(nonce.clone(), (Some(post.clone()), None));
            }
            for (nonce, relief) in &assignment.reliefs {
                self.recalled.entry(nonce.clone()).or_default().1 = Some(*relief);
            }
        }
    }

    /// Whoever detaches has said how long load may last, and is not needed for it.
    pub(super) fn leave_if_detached(&mut self) -> Vec<Command> {
        if !self.settings.detached || self.phase != Phase::Running {
            return Vec::new();
        }
        self.phase = Phase::Done;
        vec![Command::End(End::Detached)]
    }
}
