//! What has been told, what is still to come, and what never came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_metrics::Merged;
use squall_plan::Share;

use super::posts::{MOST_CLOCK_OFF_US, Slice, micros};
use super::{GeneratorRecord, LEASE, Orchestrator, Pace, Sweep};
use crate::message::{Ended, Final, Ready, Relief, State, Time};
use crate::seat::FENCE;

/// Thresholds are judged behind what so many of a hundred generators have told.
const NEARLY_ALL: usize = 95;

/// How long what a generator wrote that was given up is looked for at every look; at the end it is once more.
const LOOKED_FOR: Duration = Duration::from_mins(1);

/// What is merged of a generator.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    snapshots: u32,
    requests: u64,
    rounds: u64,
    /// The first that is missing, and in which interval the one before it was written.
    first_missing: u32,
    interval: u32,
    /// Intervals of those that came before it.
    early: BTreeMap<u32, u32>,
}

/// Generators that were given a slice and have not told all that they did: looked at often, and few in the end.
#[derive(Debug, Default)]
pub(super) struct Untold {
    awaited: BTreeSet<String>,
    given_up: BTreeSet<String>,
}

impl Untold {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.awaited.iter().chain(&self.given_up)
    }
}

/// Puts a name into a set, or takes it out.
fn set(names: &mut BTreeSet<String>, name: &str, is_in: bool) {
    if !is_in {
        names.remove(name);
    } else if !names.contains(name) {
        names.insert(name.to_owned());
    }
}

impl Orchestrator {
    pub(super) fn merged(
        &mut self,
        now: Time,
        nonce: &str,
        (requests, rounds): (u64, u64),
        (sequence, interval): (u32, u32),
    ) {
        let mut before = 0;
        if let Some(record) = self.generators.get_mut(nonce) {
            record.heard_at = now;
            before = record.post.as_ref().map_or(0, |post| post.rounds);
        }
        let rate = requests.div_ceil(u64::from(self.settings.interval_s.max(1)));
        self.pace.tell(interval, rate);
        let told = self.told.entry(nonce.to_owned()).or_default();
        told.snapshots += 1;
        told.requests += requests;
        self.peak_rounds = self.peak_rounds.max(rounds.saturating_sub(told.rounds.max(before)));
        told.rounds = told.rounds.max(rounds);
        told.early.insert(sequence, interval);
        while let Some(interval) = told.early.remove(&told.first_missing) {
            told.first_missing = told.first_missing.saturating_add(1);
            told.interval = told.interval.max(interval);
        }
        self.account_for(nonce);
    }

    /// Sees anew whether a generator is waited for: after whatever changes its post, its relief, or what it has told.
    pub(super) fn account_for(&mut self, nonce: &str) {
        let Some(record) = self.generators.get(nonce) else { return };
        let is_open = record.post.is_some() && !self.is_in(record);
        let is_dismissed = record.is_dismissed();
        set(&mut self.untold.awaited, nonce, is_open && !is_dismissed);
        set(&mut self.untold.given_up, nonce, is_open && is_dismissed);
    }

    /// Generators that were given a slice.
    pub(super) fn posted(&self) -> impl Iterator<Item = &GeneratorRecord> {
        self.generators.values().filter(|record| record.post.is_some())
    }

    /// Whether nothing is to be waited for: everybody has said all, or was given up, and nobody else can go on.
    pub(super) fn is_settled(&self, now: Time) -> bool {
        self.recalled.values().all(|(post, _)| post.is_none())
            && self.untold.awaited.is_empty()
            && !self.is_worth_waiting(now)
    }

    /// Whether a generator has said its last word, and all its snapshots are merged.
    fn is_in(&self, record: &GeneratorRecord) -> bool {
        record.last_word.as_ref().is_some_and(|last| self.told_by(record).0 >= last.snapshots)
    }

    pub(super) fn anybody_is_lost(&self) -> bool {
        self.untold.all().next().is_some()
    }

    /// How many snapshots of a generator are merged, and how many requests are in them.
    fn told_by(&self, record: &GeneratorRecord) -> (u32, u64) {
        self.told.get(&record.ready.nonce).map_or((0, 0), |told| (told.snapshots, told.requests))
    }

    /// How many were ready and never got a slice.
    pub(super) fn unused(&self) -> u32 {
        let unused = self.generators.values().filter(|record| record.post.is_none());
        u32::try_from(unused.count())
            .unwrap_or(u32::MAX)
            .saturating_sub(self.seats.late + self.seats.duplicate)
    }

    /// Whether nobody had heard of the orchestrator in the end.
    pub(super) fn all_have_expired(&self) -> bool {
        let expired = |record: &GeneratorRecord| {
            record.last_word.as_ref().is_some_and(|last| last.ended == Ended::LeaseExpired)
        };
        self.posted().next().is_some() && self.posted().all(expired)
    }

    /// Whether every slice was run to its end.
    pub(super) fn all_have_finished(&self) -> bool {
        let has_finished = |slice: &Slice| {
            let holder = slice.holder.as_ref().and_then(|holder| self.generators.get(holder));
            let last_word = holder.and_then(|record| record.last_word.as_ref());
            last_word.is_some_and(|last| last.ended == Ended::Finished)
        };
        !self.slices.is_empty() && self.slices.iter().all(has_finished)
    }

    /// Why there was no load.
    pub(super) fn why_not_begun(&self) -> String {
        let (ready, least) = (self.seats.ready, self.settings.least.min(self.settings.seats).max(1));
        let within_s = self.settings.gather.as_secs();
        if ready < least {
            return format!("only {ready} of {least} generators were ready within {within_s} s");
        }
        self.told_of_clocks().unwrap_or_else(|| {
            format!("fewer than {least} of {ready} generators live long enough for the load")
        })
    }

    /// The first interval in which a snapshot may still be written: all before it are merged. What was written late by
    /// those who were given up is looked for, too, for a while and at the end.
    #[must_use]
    pub fn first_open_interval(&self, now: Time) -> u32 {
        let sweeping = self.swept == Sweep::Asked;
        let untold = self.untold.all().filter_map(|nonce| self.generators.get(nonce));
        let open = untold.filter(|record| {
            let given_up = match record.relief {
                Some((Relief::Leave, at)) => now.since(at) > LOOKED_FOR && !sweeping,
                _ => false,
            };
            !given_up
        });
        let first = |record: &GeneratorRecord| match self.told.get(&record.ready.nonce) {
            Some(told) => told.interval,
            None => record.post.as_ref().map_or(0, |post| self.interval_of(post.from_us)),
        };
        open.map(first).min().unwrap_or(0)
    }

    /// How many iterations users of a slice may have begun, and rows that they may have taken, when somebody goes on with
    /// it at `from_us`: what its holder has told, and since then as many as anybody ever began.
    pub(super) fn rounds_before(&self, holder: &str, from_us: u64) -> u64 {
        let Some(post) = self.generators.get(holder).and_then(|record| record.post.as_ref()) else {
            return 0;
        };
        let interval_us = u64::from(self.settings.interval_s.max(1)) * 1_000_000;
        let told = self.told.get(holder);
        let rounds = told.map_or(0, |told| told.rounds).max(post.rounds);
        if rounds == 0 && self.peak_rounds == 0 {
            return 0;
        }
        let told_us = told.map_or(0, |told| u64::from(told.interval) * interval_us).max(post.from_us);
        let until_us = from_us.saturating_add(micros(self.settings.lasts.spread));
        let intervals = until_us.saturating_sub(told_us).div_ceil(interval_us) + 1;
        rounds.saturating_add(self.peak_rounds.saturating_mul(intervals))
    }

    fn interval_of(&self, offset_us: u64) -> u32 {
        let interval_us = u64::from(self.settings.interval_s.max(1)) * 1_000_000;
        u32::try_from((offset_us / interval_us).saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// All seconds before this one are told by nearly all generators.
    #[must_use]
    pub fn told_until(&self, merged: &Merged) -> i32 {
        let told = |record: &GeneratorRecord| match merged.generators().get(&record.ready.nonce) {
            _ if self.is_in(record) || record.is_dismissed() => i32::MAX,
            Some(totals) => totals.told_until,
            None => second(record.post.as_ref().map_or(0, |post| post.from_us)),
        };
        let mut told: Vec<i32> = self.posted().map(told).collect();
        told.sort_unstable();
        told.get(told.len() * (100 - NEARLY_ALL) / 100).copied().unwrap_or(i32::MIN)
    }

    /// Slices of which something is missing, in words.
    #[must_use]
    pub fn missing(&self, merged: &Merged) -> Vec<String> {
        let unseen = self.recalled.values().filter_map(|(post, _)| post.as_ref());
        let unseen = unseen.map(|post| {
            format!(
                "slice {}: nothing could be read of whom another orchestrator gave it to",
                post.share.index()
            )
        });
        let most_rps = self.most_rps();
        let missing = self.posted().filter_map(|record| self.missing_of(record, merged, most_rps));
        missing.chain(unseen).collect()
    }

    fn missing_of(&self, record: &GeneratorRecord, merged: &Merged, most_rps: Option<u64>) -> Option<String> {
        let slice = record.slice().map_or(0, Share::index);
        let (snapshots, requests) = self.told_by(record);
        match &record.last_word {
            None => {
                let from_s = unknown_from(record, merged);
                let most = match self.unknown_of(record, merged, most_rps) {
                    Some(most) => format!("up to {most} requests are unknown"),
                    None => "nobody knows how many requests it sent".to_owned(),
                };
                let Ready { nonce, seat, .. } = &record.ready;
                let cause = if self.has_timed_out(record) { "timed out" } else { "cause unknown" };
                Some(format!(
                    "slice {slice}: generator {nonce} of seat {seat} not heard of from {from_s} s on, {cause}; {most}"
                ))
            }
            Some(Final { ended: Ended::Failed(reason), .. }) => Some(format!("slice {slice}: {reason}")),
            Some(Final { ended: Ended::LeaseExpired, .. }) => {
                Some(format!("slice {slice}: lost sight of the orchestrator"))
            }
            Some(Final { ended: Ended::OutOfTime, .. }) => {
                Some(format!("slice {slice}: its environment gave it no more time"))
            }
            Some(last) if snapshots < last.snapshots => {
                Some(format!("slice {slice}: {snapshots} of {} snapshots", last.snapshots))
            }
            Some(last) if requests != last.requests => {
                Some(format!("slice {slice}: {requests} of {} requests", last.requests))
            }
            Some(_) => None,
        }
    }

    /// Whether the time of a generator's environment was over before it could be heard of again.
    fn has_timed_out(&self, record: &GeneratorRecord) -> bool {
        let next = record.heard_at.plus(Duration::from_secs(u64::from(self.settings.interval_s) * 2));
        record.ready.deadline.is_some_and(|deadline| deadline <= next)
    }

    /// How many requests may have been sent at most that nobody has reported: of each generator that was lost, as many
    /// as the busiest of all may have sent, from its last snapshot to when it had certainly stopped. `None` if too little
    /// was told to know.
    #[must_use]
    pub fn unknown_requests(&self, merged: &Merged) -> Option<u64> {
        let most_rps = self.most_rps();
        let open = self.posted().filter(|record| !self.is_in(record));
        let known = open.map(|record| self.unknown_of(record, merged, most_rps));
        known
            .chain([self.unknown_of_unseen(most_rps)])
            .try_fold(0, |sum: u64, more| Some(sum.saturating_add(more?)))
    }

    /// The most requests that a generator may have had in a second.
    fn most_rps(&self) -> Option<u64> {
        let until_us = self.control.epoch.map_or(0, |epoch| self.end_us().min(self.leased_until_us(epoch)));
        self.most_rps_until(until_us)
    }

    fn most_rps_until(&self, until_us: u64) -> Option<u64> {
        let interval_us = u64::from(self.settings.interval_s.max(1)) * 1_000_000;
        self.pace.most_rps(&self.settings.lasts.levels, interval_us, until_us)
    }

    /// When all that the plan asks for is over.
    fn end_us(&self) -> u64 {
        let lasts = &self.settings.lasts;
        micros(lasts.load + lasts.graceful + lasts.cleanup)
    }

    /// The same of those to whom another orchestrator had given a slice, and of whom nothing could be read.
    fn unknown_of_unseen(&self, most_rps: Option<u64>) -> Option<u64> {
        let unseen = self.recalled.values().filter(|(post, _)| post.is_some()).count();
        let Some(epoch) = self.control.epoch.filter(|_| unseen > 0) else { return Some(0) };
        let seconds = self.end_us().min(self.leased_until_us(epoch)).div_ceil(1_000_000).saturating_add(1);
        Some(seconds.saturating_mul(most_rps?).saturating_mul(unseen as u64))
    }

    fn unknown_of(&self, record: &GeneratorRecord, merged: &Merged, most_rps: Option<u64>) -> Option<u64> {
        if let Some(last) = &record.last_word {
            return Some(last.requests.saturating_sub(self.told_by(record).1));
        }
        let Some(epoch) = self.control.epoch else { return Some(0) };
        let end_us = match record.relief {
            // Within a poll and a look it has heard of it, or it has stopped behind the fence.
            Some((Relief::Leave, at)) => {
                let stopped = self.fleet_time(at.plus(FENCE + self.settings.poll * 2));
                micros(stopped.since(epoch)).min(self.end_us())
            }
            Some((Relief::HandOver { at_us }, _)) => {
                at_us.saturating_add(micros(self.settings.lasts.graceful))
            }
            None => self.end_us(),
        };
        let end_us = end_us.min(self.leased_until_us(epoch));
        let from_us = unknown_from(record, merged).saturating_mul(1_000_000);
        // Requests that were under way when it was last heard of are a second's more.
        let seconds = end_us.saturating_sub(from_us).div_ceil(1_000_000).saturating_add(1);
        Some(seconds.saturating_mul(most_rps?))
    }

    /// How busy generators have been.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Others have been so busy elsewhere.
    pub(crate) fn learn(&mut self, pace: &Pace) {
        self.pace.learn(pace);
    }

    /// How many requests so many generators send at most, if nobody has renewed their lease since then.
    pub(crate) fn most_requests(&self, generators: u32, since_epoch: Duration) -> Option<u64> {
        let clocks_off = Duration::from_micros(MOST_CLOCK_OFF_US.unsigned_abs());
        let end_us = self.end_us().min(micros(since_epoch + LEASE + clocks_off));
        let seconds = end_us / 1_000_000 + 2;
        Some(seconds.saturating_mul(self.most_rps_until(end_us)?).saturating_mul(u64::from(generators)))
    }

    /// When load has ended also where nobody has heard so: no lease is longer than what was said last, unless somebody
    /// else renews it.
    fn leased_until_us(&self, epoch: Time) -> u64 {
        if self.superseded && self.control.state < State::Aborting {
            return u64::MAX;
        }
        let clocks_off = Duration::from_micros(MOST_CLOCK_OFF_US.unsigned_abs());
        micros(self.control.lease_until.plus(clocks_off).since(epoch))
    }
}

#[cfg(test)]
impl Orchestrator {
    /// Who is waited for is what all that is known says.
    pub(super) fn check_accounts(&self) {
        let open = |is_given_up| {
            let open = self.posted().filter(|record| !self.is_in(record));
            let open = open.filter(move |record| record.is_dismissed() == is_given_up);
            open.map(|record| record.ready.nonce.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!((&self.untold.awaited, &self.untold.given_up), (&open(false), &open(true)));
    }
}

/// In seconds since the epoch, up to when a generator has told what it did.
fn unknown_from(record: &GeneratorRecord, merged: &Merged) -> u64 {
    let told = merged.generators().get(&record.ready.nonce).map(|totals| totals.told_until);
    let from = record.post.as_ref().map_or(0, |post| post.from_us / 1_000_000);
    told.and_then(|told| u64::try_from(told).ok()).unwrap_or(0).max(from)
}

fn second(offset_us: u64) -> i32 {
    i32::try_from(offset_us / 1_000_000).unwrap_or(i32::MAX)
}
