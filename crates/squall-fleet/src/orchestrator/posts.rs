//! Who runs which slice, who comes next, and who is kept ready for that.

use std::cmp::Reverse;
use std::time::Duration;

use squall_plan::Share;

use super::windows::{boundary_us, lead};
use super::{Command, Division, End, GeneratorRecord, Orchestrator, Phase, Slices};
use crate::message::{Assignment, Ended, Invitation, Post, Relief, State, Time, VERSION};
use crate::seat::FLUSH;

/// A slice for less than this is not worth a generator.
pub(super) const LEAST: Duration = Duration::from_secs(5);

/// How long an invitation may go unanswered before another one is sent, and how long before it is needed it is sent.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// One in so many seats at most is few.
const FEW: u32 = 4;

/// How often a slice is given to somebody else because its generator was lost.
const MAX_REPLACED: u32 = 3;

/// Generators that may fall silent at the same time, as a part of all and at least: more are no accident of theirs.
const STORM: (u32, u32) = (4, 2);

/// When nothing is heard of anybody for so long, nobody is there: they have ended behind the fence, and have given up
/// what they could not write.
const DESERTED: Duration = Duration::from_mins(1);

/// A clock is wrong when it differs so much from what half of the fleet says.
pub(super) const MOST_CLOCK_OFF_US: i64 = 2_000_000;

/// One share of the load, and who runs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slice {
    /// Who runs it, or will from its post's begin on.
    pub(super) holder: Option<String>,
    /// Who ran it before it fell vacant.
    pub(super) before: Option<String>,
    pub(super) window: u32,
    /// When somebody else is to go on, in microseconds since the epoch.
    boundary_us: Option<u64>,
    replaced: u32,
}

impl Orchestrator {
    /// Chooses who is to begin as soon as enough are ready, by the order of seats. When the time is up, fewer will do.
    /// Where load is made in other regions, too, it begins when all of them can.
    pub(super) fn assign(&mut self, now: Time, time_is_up: bool) -> Vec<Command> {
        if !self.able.is_empty() {
            return Vec::new();
        }
        self.compare_clocks();
        let wanted = self.settings.seats as usize;
        let epoch = self.earliest_epoch(now);
        let first_window = self.settings.lasts.load.min(self.settings.window);
        let mut nonces: Vec<(u32, String)> = self
            .generators
            .iter()
            .filter(|(_, record)| self.life_us(record, epoch) >= micros(first_window))
            .filter(|(_, record)| record.is_in_reserve())
            .map(|(nonce, record)| (record.ready.seat, nonce.clone()))
            .collect();
        self.lacking = wanted.saturating_sub(nonces.len());
        if self.lacking > 0 && !(time_is_up && nonces.len() >= self.settings.least.max(1) as usize) {
            return self.invite_more(now);
        }
        nonces.sort_unstable();
        nonces.truncate(wanted);
        self.able = nonces.into_iter().map(|(_, nonce)| nonce).collect();
        if self.settings.is_one_of_several() {
            return Vec::new();
        }
        let count = u32::try_from(self.able.len()).unwrap_or(u32::MAX);
        self.divide(now, Division { slices: Slices { first: 0, count, of: count }, epoch })
    }

    /// Gives slices to those who can begin, and sets the epoch.
    pub(super) fn divide(&mut self, now: Time, division: Division) -> Vec<Command> {
        let Slices { first, count, of } = division.slices;
        if self.phase != Phase::Gathering || self.able.len() != count as usize {
            return Vec::new();
        }
        self.seats.assigned = count;
        self.phase = Phase::Running;
        self.control.state = State::Running;
        self.control.epoch = Some(division.epoch);
        (self.first, self.of) = (first, of);
        self.slices = vec![Slice::default(); count as usize];
        let mut changes = Assignment::default();
        for (index, nonce) in std::mem::take(&mut self.able).into_iter().enumerate() {
            let Some(share) = self.share(index) else { continue };
            self.post(
                &mut changes,
                nonce,
                Post { share, window: 0, from_us: 0, after: None, rounds: 0 },
                now,
            );
        }
        let keeps = !self.settings.detached && self.can_change(0);
        self.dismiss_surplus(&mut changes, now, if keeps { self.settings.spares as usize } else { 0 });
        let mut commands = self.next_generation(changes);
        commands.extend(self.begin_at(now, division.epoch));
        commands
    }

    /// The fleet's time is the median of its clocks. Thousands take a while to be read, and whoever takes over reads what is
    /// long known: they are compared by way of the store's clock if it tells, and that one with ours by what was read soonest.
    pub(super) fn compare_clock(&mut self, there: Time, stored_at: Option<Time>, here: Time) {
        let ahead_us = |of: Time, other: Time| of.0.saturating_sub(other.0);
        if let (None, Some(stored_at)) = (self.resumed, stored_at) {
            self.store_ahead_us = self.store_ahead_us.max(Some(ahead_us(stored_at, here)));
        }
        let offset_us = match (self.resumed, stored_at) {
            (_, Some(stored_at)) => ahead_us(there, stored_at),
            (Some(_), None) => 0,
            (None, None) => ahead_us(there, here),
        };
        let at = self.clock_offsets_us.partition_point(|other| *other < offset_us);
        self.clock_offsets_us.insert(at, offset_us);
        let median_us = self.clock_offsets_us[self.clock_offsets_us.len() / 2];
        let store_us = self.resumed.or(self.store_ahead_us).unwrap_or(0);
        self.clock_offset_us = median_us.saturating_add(store_us);
    }

    /// The clocks of those who are ready, against each other. The store's clock, where it says when it received
    /// something, is the measure: how late the orchestrator looks is not in it.
    pub(super) fn compare_clocks(&mut self) {
        let mut skews: Vec<i64> = self.clock_skews_us.values().copied().collect();
        skews.sort_unstable();
        let Some(median) = skews.get(skews.len() / 2).copied() else { return };
        for (nonce, skew) in &self.clock_skews_us {
            let off = skew - median;
            if let Some(record) = self.generators.get_mut(nonce) {
                record.clock_off_us = (off.abs() > MOST_CLOCK_OFF_US).then_some(off);
            }
        }
    }

    /// Whoever gets no slice as their clock is wrong.
    fn wrong(&self) -> impl Iterator<Item = &GeneratorRecord> {
        self.generators.values().filter(|record| record.clock_off_us.is_some() && record.post.is_none())
    }

    /// How many of those who came have a wrong clock, if any.
    pub(super) fn told_of_clocks(&self) -> Option<String> {
        let (wrong, came) = (self.wrong().count(), self.generators.len());
        (wrong > 0).then(|| format!("clocks of {wrong} of {came} generators are wrong by more than 2 s"))
    }

    /// Whoever cannot be used needs somebody in their place. So do few who have not come when for a while nobody has: their
    /// environments broke down, and the queue holds their messages back. Where many are lacking they are only slow.
    fn invite_more(&mut self, now: Time) -> Vec<Command> {
        let wrong = self.wrong().count();
        let planned = self.settings.seats.saturating_add(self.settings.spares);
        let in_place = (u32::try_from(wrong).unwrap_or(0) + planned).saturating_sub(self.seats.invited);
        let lacking = u32::try_from(self.lacking).unwrap_or(u32::MAX);
        let nobody_comes = now.since(self.came_at) >= ANSWERED_WITHIN && lacking <= self.settings.seats / FEW;
        let more = if nobody_comes { lacking.max(in_place) } else { in_place };
        let more = more.min(planned.saturating_mul(2).saturating_sub(self.seats.invited));
        let mut commands = Vec::new();
        if lacking <= self.settings.seats / FEW {
            let mut changes = Assignment::default();
            self.dismiss_wrong_clocks(&mut changes, now);
            commands.extend(self.tell_changes(changes, now));
        }
        if more > 0 {
            self.came_at = now;
            commands.extend(self.invite(now, more));
        }
        commands
    }

    /// Who waits in vain has the place of somebody who could be used: only so many run at the same time.
    fn dismiss_wrong_clocks(&mut self, changes: &mut Assignment, now: Time) {
        let waiting = self.wrong().filter(|record| record.relief.is_none());
        let wrong: Vec<String> = waiting.map(|record| record.ready.nonce.clone()).collect();
        wrong.into_iter().for_each(|nonce| self.relieve(changes, nonce, Relief::Leave, now));
    }

    /// Whatever is to change while load is made: who is lost is replaced, who has run long enough hands over, and
    /// enough are kept ready.
    pub(super) fn tend(&mut self, now: Time) -> Vec<Command> {
        let Some(now_us) = self.since_epoch_us(now) else { return Vec::new() };
        if self.phase != Phase::Running || self.has_expired(now) {
            return Vec::new();
        }
        if self.is_deserted() {
            let reason = format!("nothing was heard of any generator for {} s", DESERTED.as_secs());
            return self.stop(now, End::Failed(reason));
        }
        let mut changes = Assignment::default();
        if !self.can_change(now_us) {
            self.dismiss_surplus(&mut changes, now, 0);
            return self.tell_changes(changes, now);
        }
        self.vacate_lost(&mut changes, now);
        let mut reserve = self.reserve(now_us);
        self.fill_vacancies(&mut changes, (now, now_us), &mut reserve);
        self.hand_over(&mut changes, (now, now_us), &mut reserve);
        let needed = self.needed_soon(now_us);
        let mut commands = self.restock(now, reserve.len(), needed);
        self.dismiss_surplus(&mut changes, now, needed);
        commands.extend(self.tell_changes(changes, now));
        commands
    }

    fn tell_changes(&mut self, changes: Assignment, now: Time) -> Vec<Command> {
        if changes.posts.is_empty() && changes.reliefs.is_empty() {
            return Vec::new();
        }
        let mut commands = self.next_generation(changes);
        commands.push(self.write_control(now));
        commands
    }

    /// Whether there is time for anybody to go on with a slice.
    fn can_change(&self, now_us: i64) -> bool {
        let from = u64::try_from(now_us).unwrap_or(0).saturating_add(micros(self.lead() + LEAST));
        self.settings.lasts.divisible && from < micros(self.settings.lasts.load)
    }

    /// From the decision to its effect: everybody has heard of it, or has stopped behind the fence, and whoever
    /// begins has waited for that.
    fn lead(&self) -> Duration {
        lead(self.settings.poll)
    }

    /// How long nothing need be heard of a generator that is well.
    fn silence(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.interval_s) * 2 + 3) + self.settings.poll
    }

    /// Slices whose generator has ended too early or is not heard of any more fall vacant. When many are lost at
    /// once, it is not they who are at fault, and nobody is replaced.
    fn vacate_lost(&mut self, changes: &mut Assignment, now: Time) {
        let mut lost = Vec::new();
        for (index, slice) in self.slices.iter().enumerate() {
            let Some(record) = slice.holder.as_ref().and_then(|holder| self.generators.get(holder)) else {
                continue;
            };
            let is_lost = match &record.last_word {
                Some(last) => has_failed(&last.ended),
                None => self.is_silent(record, self.silence()),
            };
            if is_lost && slice.replaced < MAX_REPLACED {
                lost.push(index);
            }
        }
        let most = (self.slices.len() / STORM.0 as usize).max(STORM.1 as usize);
        if lost.len() > most {
            let (many, all) = (lost.len(), self.slices.len());
            self.note(format!(
                "{many} of {all} generators were lost at the same time, so none of them was replaced"
            ));
            return;
        }
        for index in lost {
            self.vacate(changes, index, now);
        }
    }

    fn vacate(&mut self, changes: &mut Assignment, index: usize, now: Time) {
        let Some(slice) = self.slices.get_mut(index) else { return };
        slice.before = slice.holder.take();
        if let Some(before) = slice.before.clone() {
            self.relieve(changes, before, Relief::Leave, now);
        }
    }

    /// Whether every slice is without a generator, and has been for long.
    fn is_deserted(&self) -> bool {
        let is_deserted = |slice: &Slice| {
            let last = slice.holder.as_ref().or(slice.before.as_ref());
            let record = last.and_then(|nonce| self.generators.get(nonce));
            record.is_some_and(|record| record.last_word.is_none() && self.is_silent(record, DESERTED))
        };
        !self.slices.is_empty() && self.slices.iter().all(is_deserted)
    }

    fn is_silent(&self, record: &GeneratorRecord, silence: Duration) -> bool {
        let (Some(post), Some(epoch)) = (&record.post, self.control.epoch) else { return false };
        let begins =
            Time(epoch.plus(Duration::from_micros(post.from_us)).0.saturating_sub(self.clock_offset_us));
        let since = record.heard_at.max(begins).max(self.listening_since);
        self.look_began.since(since) > silence
    }

    /// Whoever is ready and can be used, those who live longest last.
    fn reserve(&self, now_us: i64) -> Vec<String> {
        let Some(epoch) = self.control.epoch else { return Vec::new() };
        let from = u64::try_from(now_us).unwrap_or(0).saturating_add(micros(self.lead() + LEAST));
        let mut reserve: Vec<(u64, Reverse<&String>)> = self
            .generators
            .iter()
            .filter(|(_, record)| record.is_in_reserve())
            .map(|(nonce, record)| (self.life_us(record, epoch), Reverse(nonce)))
            .filter(|(life, _)| *life > from)
            .collect();
        reserve.sort_unstable();
        reserve.into_iter().map(|(_, Reverse(nonce))| nonce.clone()).collect()
    }

    fn fill_vacancies(
        &mut self,
        changes: &mut Assignment,
        (now, now_us): (Time, i64),
        reserve: &mut Vec<String>,
    ) {
        for index in 0..self.slices.len() {
            let slice = &self.slices[index];
            if slice.holder.is_some() || slice.before.is_none() {
                continue;
            }
            let Some(nonce) = reserve.pop() else { return };
            let (window, after) = (slice.window, slice.before.clone());
            let from_us = u64::try_from(now_us).unwrap_or(0).saturating_add(micros(self.lead()));
            if let Some(share) = self.share(index) {
                self.slices[index].replaced += 1;
                self.seats.replaced += 1;
                let rounds = after.as_ref().map_or(0, |before| self.rounds_before(before, from_us));
                self.post(changes, nonce, Post { share, window, from_us, after, rounds }, now);
            }
        }
    }

    /// Whose window ends soon is told who goes on, if there is somebody; else it holds.
    fn hand_over(&mut self, changes: &mut Assignment, (now, now_us): (Time, i64), reserve: &mut Vec<String>) {
        let earliest = u64::try_from(now_us).unwrap_or(0).saturating_add(micros(self.lead()));
        for index in 0..self.slices.len() {
            let slice = &self.slices[index];
            let (Some(boundary), Some(holder)) = (slice.boundary_us, slice.holder.clone()) else { continue };
            // A look later it would be too late.
            if boundary > earliest.saturating_add(micros(self.settings.poll * 2)) {
                continue;
            }
            let Some(nonce) = reserve.pop() else { return };
            let at_us = boundary.max(earliest);
            let Some(share) = self.share(index) else { continue };
            self.slices[index].window += 1;
            self.seats.handed_over += 1;
            self.relieve(changes, holder.clone(), Relief::HandOver { at_us }, now);
            let window = self.slices[index].window;
            let rounds = self.rounds_before(&holder, at_us);
            let post = Post { share, window, from_us: at_us, after: Some(holder), rounds };
            self.post(changes, nonce, post, now);
        }
    }

    /// How many must be ready before long.
    fn needed_soon(&self, now_us: i64) -> usize {
        let horizon = self.lead() + ANSWERED_WITHIN;
        let until = u64::try_from(now_us).unwrap_or(0).saturating_add(micros(horizon));
        let due =
            self.slices.iter().filter(|slice| slice.boundary_us.is_some_and(|boundary| boundary <= until));
        let vacant = self.slices.iter().filter(|slice| slice.holder.is_none());
        due.count() + vacant.count() + self.settings.spares as usize
    }

    fn restock(&mut self, now: Time, ready: usize, needed: usize) -> Vec<Command> {
        self.outstanding.retain(|(until, _)| now < *until);
        let coming: usize = self.outstanding.iter().map(|(_, count)| *count as usize).sum();
        let lacking = u32::try_from(needed.saturating_sub(ready + coming)).unwrap_or(u32::MAX);
        let more = lacking.min(self.most_invited().saturating_sub(self.seats.invited));
        if more == 0 { Vec::new() } else { self.invite(now, more) }
    }

    /// However much goes wrong, no more are invited than twice what a run without trouble needs, and each slice's
    /// replacements.
    fn most_invited(&self) -> u32 {
        let windows = self.settings.lasts.load.as_micros() / self.settings.window.as_micros().max(1) + 2;
        let each = u32::try_from(windows).unwrap_or(u32::MAX).saturating_add(MAX_REPLACED);
        self.settings.seats.saturating_add(self.settings.spares).saturating_mul(each).saturating_mul(2)
    }

    pub(super) fn invite(&mut self, now: Time, more: u32) -> Vec<Command> {
        let (first, expires_at) = (self.seats.invited, now.plus(self.settings.gather));
        self.seats.invited = first.saturating_add(more);
        self.outstanding.push((now.plus(ANSWERED_WITHIN.min(self.settings.gather)), more));
        let invite = |seat| Invitation { version: VERSION, run: self.settings.run.clone(), seat, expires_at };
        vec![Command::Invite((first..self.seats.invited).map(invite).collect())]
    }

    /// Those who are ready and will not be needed, or cannot be used, need not wait.
    fn dismiss_surplus(&mut self, changes: &mut Assignment, now: Time, needed: usize) {
        self.dismiss_wrong_clocks(changes, now);
        let reserve = self.generators.iter().filter(|(_, record)| record.is_in_reserve());
        let mut reserve: Vec<(Option<Time>, String)> =
            reserve.map(|(nonce, record)| (record.ready.deadline, nonce.clone())).collect();
        // Those who live longest are kept; without a deadline one lives for ever.
        reserve.sort_unstable_by_key(|(deadline, _)| Reverse(deadline.unwrap_or(Time(i64::MAX))));
        for (_, nonce) in reserve.into_iter().skip(needed) {
            self.relieve(changes, nonce, Relief::Leave, now);
        }
    }

    fn share(&self, index: usize) -> Option<Share> {
        Share::try_new(self.first.checked_add(u32::try_from(index).ok()?)?, self.of)
    }

    /// A share's slice, if it is one of this region's.
    pub(super) fn slice_mut(&mut self, share: Share) -> Option<&mut Slice> {
        let index = share.index().checked_sub(self.first)?;
        self.slices.get_mut(index as usize)
    }

    fn post(&mut self, changes: &mut Assignment, nonce: String, post: Post, now: Time) {
        self.take_post(&nonce, post.clone(), now);
        changes.posts.insert(nonce, post);
    }

    /// A generator has a slice from now on.
    pub(super) fn take_post(&mut self, nonce: &str, post: Post, now: Time) {
        let life_us = self
            .generators
            .get(nonce)
            .zip(self.control.epoch)
            .map_or(u64::MAX, |(record, epoch)| self.life_us(record, epoch));
        let boundary_us = self.boundary_us(post.share, post.from_us).min(life_us);
        let is_last = boundary_us.saturating_add(micros(LEAST)) >= micros(self.settings.lasts.load);
        if let Some(slice) = self.slice_mut(post.share) {
            slice.holder = Some(nonce.to_owned());
            slice.before = None;
            slice.window = post.window;
            slice.boundary_us = (!is_last).then_some(boundary_us);
        }
        if let Some(record) = self.generators.get_mut(nonce) {
            record.post = Some(post);
            record.heard_at = now;
        }
        self.account_for(nonce);
    }

    fn relieve(&mut self, changes: &mut Assignment, nonce: String, relief: Relief, now: Time) {
        if let Some(record) = self.generators.get_mut(&nonce) {
            record.relief = Some((relief, now));
        }
        self.account_for(&nonce);
        changes.reliefs.insert(nonce, relief);
    }

    fn boundary_us(&self, share: Share, from_us: u64) -> u64 {
        boundary_us((self.settings.window, self.settings.lasts.load), share, from_us)
    }

    /// How long after the epoch a generator can run a slice: what comes after it needs time, too.
    fn life_us(&self, record: &GeneratorRecord, epoch: Time) -> u64 {
        let after = self.settings.lasts.graceful + self.settings.lasts.cleanup + FLUSH;
        record.ready.deadline.map_or(u64::MAX, |deadline| micros(deadline.minus(after).since(epoch)))
    }

    fn next_generation(&mut self, changes: Assignment) -> Vec<Command> {
        self.control.generation += 1;
        let assignment = Assignment { version: VERSION, generation: self.control.generation, ..changes };
        vec![Command::WriteAssignment(assignment)]
    }

    /// Whether somebody may yet go on with a slice that nobody runs.
    pub(super) fn is_worth_waiting(&self, now: Time) -> bool {
        let Some(now_us) = self.since_epoch_us(now) else { return false };
        let is_open = |slice: &Slice| match &slice.holder {
            None => true,
            Some(holder) => {
                let last_word = self.generators.get(holder).and_then(|record| record.last_word.as_ref());
                last_word.is_some_and(|last| has_failed(&last.ended)) && slice.replaced < MAX_REPLACED
            }
        };
        self.phase == Phase::Running && self.can_change(now_us) && self.slices.iter().any(is_open)
    }

    /// Microseconds since the epoch.
    pub(super) fn since_epoch_us(&self, now: Time) -> Option<i64> {
        self.control.epoch.map(|epoch| self.fleet_time(now).0.saturating_sub(epoch.0))
    }
}

impl GeneratorRecord {
    /// Whether it waits for a slice.
    fn is_in_reserve(&self) -> bool {
        self.post.is_none()
            && self.relief.is_none()
            && self.last_word.is_none()
            && self.clock_off_us.is_none()
            && self.ready.problem.is_none()
    }
}

/// Whether a generator ended before its slice did.
fn has_failed(ended: &Ended) -> bool {
    matches!(ended, Ended::Failed(_) | Ended::LeaseExpired | Ended::OutOfTime)
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
