//! Requests by how long they took and by what was going on when they came.

use std::collections::BTreeMap;

use super::kinds::{Group, Shares, Slow, fit};
use crate::observed::{Calls, Tick};
use crate::stats::robust::{mean, quantile, ratio};
use crate::stats::usual::Usual;
use crate::view::View;

/// Endpoints that are looked at; more are too few requests each.
const MOST_ENDPOINTS: usize = 20;

/// More groups of one endpoint are put together.
const MOST_GROUPS: usize = 4_000;

/// So many requests at level load say what is usual.
const ENOUGH: f64 = 100.0;

/// Who took so long was given up, and waited for nothing in particular.
const GIVEN_UP_US: f64 = 9.5e6;

/// By how much slow ones differ, as a logarithm: at most, and where each waited for an instance of its own.
const WIDE: f64 = 0.7;
const NARROW: f64 = 0.35;

/// Requests by how long they took and by what was going on when they came.
pub(super) struct Requests<'a> {
    view: &'a View<'a>,
    /// The endpoints that are looked at.
    pub endpoints: Vec<usize>,
    /// What is usual of each.
    usual: Vec<Usual>,
    groups: Vec<Group>,
    growing: Vec<bool>,
    /// Whether connections say anything: some were made, and not for every request, and not shared.
    pub knows_connections: bool,
    /// Where they say nothing: how many requests in each tick would have needed one, which are as many as were under way
    /// beyond the most before.
    needed: Vec<f64>,
    /// So many of them made one at most.
    pub connections: f64,
    /// How many made one in each tick in which none failed.
    made: Vec<f64>,
}

/// Those that waited for an instance to start, told from the others.
pub(super) struct Waited {
    pub slow: Slow,
    pub count: f64,
    /// By how much that may be wrong, with 90 %.
    pub error: f64,
    /// How many each tick has.
    pub by_tick: Vec<f64>,
    /// How much likelier it makes what was seen that they depend on the occasion, as a natural logarithm.
    pub gain: f64,
    /// From 0 to 1, how sure it is of each that it is one of them.
    pub certain: f64,
    /// Which share of them used a connection again.
    pub reused: f64,
    /// Which share of the connections was made in seconds in which as many waited.
    pub matched: f64,
    /// How many of them were given up.
    pub timed_out: f64,
}

impl Waited {
    /// How much longer they took, in microseconds, on average.
    pub(super) fn longer_us(&self) -> f64 {
        (self.slow.mean + self.slow.deviation.powi(2) / 2.0).exp()
    }

    /// The interval that holds that with 90 %, in milliseconds: the deviation of a log-normal mean.
    pub(super) fn longer_interval_ms(&self) -> (f64, f64) {
        let variance = self.slow.deviation.powi(2);
        let error = 1.645 * ((variance + variance * variance / 2.0) / self.count.max(1.0)).sqrt();
        let longer_ms = self.longer_us() / 1e3;
        (longer_ms * (-error).exp(), longer_ms * error.exp())
    }

    /// The interval that holds their number with 90 %.
    pub(super) fn interval(&self) -> (f64, f64) {
        ((self.count - self.error).max(0.0), self.count + self.error)
    }
}

impl<'a> Requests<'a> {
    pub(super) fn of(view: &'a View<'a>) -> Option<Self> {
        let mut busiest: Vec<(usize, f64)> = view
            .counted()
            .map(|index| (index, view.response(0..view.len(), |other| other == index).count() as f64))
            .collect();
        busiest.sort_by(|one, other| other.1.total_cmp(&one.1));
        busiest.truncate(MOST_ENDPOINTS);
        let calls = || {
            let ticks = view.observed.ticks.iter();
            ticks.flat_map(|tick| busiest.iter().filter_map(|(index, _)| tick.calls.get(*index)))
        };
        let made: f64 = calls().map(|calls| calls.new_connections).sum();
        let all: f64 = calls().map(Calls::requests).sum();
        // Where requests share connections there are fewer of those than of requests under way.
        let together = view.in_flight.iter().copied().fold(0.0, f64::max);
        // Those that were turned away make connections, too, and say nothing of instances.
        let made_in = |tick: &Tick| -> f64 {
            let calls = || busiest.iter().filter_map(|(index, _)| tick.calls.get(*index));
            let failed = calls().any(|calls| !calls.failed.is_empty());
            if failed { 0.0 } else { calls().map(|calls| calls.new_connections).sum() }
        };
        let made_by_tick: Vec<f64> = view.observed.ticks.iter().map(made_in).collect();
        let mut requests = Self {
            view,
            endpoints: Vec::new(),
            usual: Vec::new(),
            groups: Vec::new(),
            growing: growing(view),
            needed: needed(view),
            knows_connections: made >= 2.5 && made < 0.3 * all && made >= 0.7 * together,
            connections: calls().map(|calls| calls.new_connections.min(calls.response.count() as f64)).sum(),
            made: made_by_tick,
        };
        for (index, _) in busiest {
            if let Some(usual) = requests.usual_of(index) {
                requests.usual.push(usual);
                requests.endpoints.push(index);
                requests.group(requests.endpoints.len() - 1, index);
            }
        }
        (!requests.endpoints.is_empty()).then_some(requests)
    }

    /// How many there are.
    pub(super) fn count(&self) -> f64 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// How long they usually take, in microseconds.
    pub(super) fn usual_us(&self) -> f64 {
        mean(&self.usual.iter().map(|usual| usual.median.exp()).collect::<Vec<_>>())
    }

    /// By how much they usually differ, in microseconds.
    pub(super) fn usual_deviation_us(&self) -> f64 {
        mean(&self.usual.iter().map(|usual| usual.median.exp() * usual.deviation).collect::<Vec<_>>())
    }

    /// How many times as many are as slow as those that waited while more was under way than before as otherwise, by share;
    /// and how many more of them there are than otherwise.
    pub(super) fn beyond(&self, waited: &Waited) -> (f64, f64) {
        let (mut slow, mut all) = ([0.0; 2], [0.0; 2]);
        for group in &self.groups {
            let place = usize::from(group.is_at_level());
            let longer = group.us - self.usual[group.endpoint].median.exp();
            let is_slow = longer > 0.0 && longer.ln() > waited.slow.mean - 0.5 * waited.slow.deviation;
            all[place] += group.count;
            slow[place] += if is_slow { group.count } else { 0.0 };
        }
        let otherwise = ratio(slow[1].max(0.5), all[1]);
        (ratio(ratio(slow[0], all[0]), otherwise), slow[0] - otherwise * all[0])
    }

    /// How many came on no occasion to start an instance.
    pub(super) fn at_level(&self) -> f64 {
        self.groups.iter().filter(|group| group.is_at_level()).map(|group| group.count).sum()
    }

    /// How many of those are as slow as if they had waited for one.
    pub(super) fn alike(&self, waited: &Waited) -> f64 {
        let slow = &waited.slow;
        let is_alike = |group: &&Group| {
            let longer = group.us - self.usual[group.endpoint].median.exp();
            longer > 0.0 && longer.ln() > slow.mean - slow.deviation
        };
        let level = self.groups.iter().filter(|group| group.is_at_level());
        level.filter(is_alike).fold(0.0, |sum, group| sum + group.count)
    }

    /// Every way to tell those that waited for an instance to start from the others, the likeliest first; those by which
    /// nearly none waited are left out.
    pub(super) fn ways(&self) -> Vec<Waited> {
        // The search begins at those that are beyond the usual.
        let far: Vec<f64> = self
            .groups
            .iter()
            .filter(|group| !group.is_at_level())
            .filter_map(|group| {
                let usual = &self.usual[group.endpoint];
                let is_far = group.us.ln() > usual.median + 2.5 * usual.deviation;
                is_far.then(|| (group.us - usual.median.exp()).max(1.0).ln())
            })
            .collect();
        let begins: Vec<Slow> = [0.3, 0.6, 0.8, 0.95]
            .into_iter()
            .filter_map(|share| quantile(&far, share))
            .map(|mean| Slow { mean, deviation: 0.3, fresh: 0.3, grew: 0.03, level: 0.001, likelihood: 0.0 })
            .collect();
        // Who waits behind others waits longer and shorter. Starts alone, which differ less, may be told from that.
        let alone = begins.iter().map(|begin| (std::slice::from_ref(begin), NARROW));
        let ways = std::iter::once((&begins[..], WIDE)).chain(alone);
        ways.filter_map(|(begins, widest)| self.waited(begins, widest)).collect()
    }

    fn waited(&self, begins: &[Slow], widest: f64) -> Option<Waited> {
        let slow = fit(&self.groups, &self.usual, begins, Shares::ByOccasion, widest)?;
        let alike = |slow: &Slow| Slow { fresh: 0.01, grew: 0.01, level: 0.01, ..*slow };
        let same: Vec<Slow> = begins.iter().chain([&slow]).map(alike).collect();
        let same = fit(&self.groups, &self.usual, &same, Shares::TheSame, widest)?;
        let (mut count, mut squares, mut reused, mut timed_out) = (0.0, 0.0, 0.0, 0.0);
        for group in &self.groups {
            let chance = slow.chance(group, &self.usual[group.endpoint]).0;
            let waited = group.count * chance;
            count += waited;
            squares += waited * chance;
            reused += waited * (1.0 - slow.of_fresh(group));
            timed_out += if group.us > GIVEN_UP_US { waited } else { 0.0 };
        }
        if count < 1.5 {
            return None;
        }
        let certain = ratio(squares, count);
        // What is not known of each (Louis' missing information), twice for what the distributions may be otherwise.
        let variance = 2.0 * count * (1.0 - certain) / certain.max(0.05);
        let by_tick = self.by_tick(&slow);
        let made: f64 = self.made.iter().sum();
        let matched: f64 = by_tick.iter().zip(&self.made).map(|(waited, made)| waited.min(*made)).sum();
        Some(Waited {
            slow,
            matched: if made > 0.0 { matched / made } else { 1.0 },
            count,
            error: 1.645 * variance.sqrt() + (0.015 * count).max(1.0),
            by_tick,
            gain: slow.likelihood - same.likelihood,
            certain,
            reused: if self.knows_connections { ratio(reused, count) } else { 0.0 },
            timed_out,
        })
    }

    fn by_tick(&self, slow: &Slow) -> Vec<f64> {
        let of = |tick: usize| -> f64 {
            let calls = |index: &usize| self.view.observed.ticks[tick].calls.get(*index);
            let endpoints = self.endpoints.iter().enumerate();
            let groups = endpoints
                .filter_map(|(place, index)| Some((place, calls(index)?)))
                .flat_map(|(place, calls)| self.groups_of(tick, place, calls));
            groups.map(|group| group.count * slow.chance(&group, &self.usual[group.endpoint]).0).sum()
        };
        (0..self.view.len()).map(of).collect()
    }

    /// How long an endpoint's requests usually take: those that used a connection again while no more than ever was under
    /// way.
    fn usual_of(&self, endpoint: usize) -> Option<Usual> {
        let of = |fits: &dyn Fn(usize, &Calls) -> bool| {
            let mut pairs: BTreeMap<u64, f64> = BTreeMap::new();
            for (tick, calls) in self.view.observed.ticks.iter().enumerate() {
                let calls = calls.calls.get(endpoint).filter(|calls| fits(tick, calls));
                let buckets = calls.into_iter().flat_map(|calls| calls.response.buckets());
                buckets.for_each(|(us, count)| *pairs.entry(us).or_default() += count as f64);
            }
            pairs.into_iter().map(|(us, count)| (us as f64, count)).collect::<Vec<_>>()
        };
        let enough = |pairs: &Vec<(f64, f64)>| pairs.iter().map(|pair| pair.1).sum::<f64>() >= ENOUGH;
        let reused = |tick: usize, calls: &Calls| self.fresh(tick, calls) <= 0.0;
        let level = of(&|tick, calls| !self.growing[tick] && reused(tick, calls));
        let pairs = Some(level).filter(enough).or_else(|| Some(of(&reused)).filter(enough));
        Usual::of(&pairs.unwrap_or_else(|| of(&|_, _| true)))
    }

    /// Which share of requests made a connection, or would have needed one if that says nothing.
    fn fresh(&self, tick: usize, calls: &Calls) -> f64 {
        let share = if self.knows_connections {
            ratio(calls.new_connections, calls.requests())
        } else {
            ratio(self.needed[tick], self.view.done[tick] * self.view.step_s)
        };
        share.clamp(0.0, 1.0)
    }

    fn groups_of(&self, tick: usize, place: usize, calls: &Calls) -> impl Iterator<Item = Group> {
        let (fresh, grew) = (self.fresh(tick, calls), self.growing[tick]);
        let buckets = calls.response.buckets().filter(|(us, _)| *us > 0);
        buckets.map(move |(us, count)| Group {
            endpoint: place,
            us: us as f64,
            count: count as f64,
            fresh,
            grew,
        })
    }

    /// Takes in an endpoint's requests. Those that are alike are one group.
    fn group(&mut self, place: usize, endpoint: usize) {
        let mut alike: BTreeMap<(u64, bool), Group> = BTreeMap::new();
        let mut groups = Vec::new();
        for (tick, calls) in self.view.observed.ticks.iter().enumerate() {
            let calls = calls.calls.get(endpoint).into_iter();
            for group in calls.flat_map(|calls| self.groups_of(tick, place, calls)) {
                if group.fresh > 0.0 {
                    groups.push(group);
                    continue;
                }
                let kept =
                    alike.entry((group.us.to_bits(), group.grew)).or_insert(Group { count: 0.0, ..group });
                kept.count += group.count;
            }
        }
        if groups.len() > MOST_GROUPS {
            groups = coarser(&groups, &self.usual[place]);
        }
        self.groups.extend(groups.into_iter().chain(alike.into_values()));
    }
}

/// Fewer groups, of requests that are nearly alike. Of quick ones it does not matter how quick they are.
fn coarser(groups: &[Group], usual: &Usual) -> Vec<Group> {
    let mut alike: BTreeMap<(u64, u64, bool), Group> = BTreeMap::new();
    for group in groups {
        let step = |value: f64, width: f64| (((value.ln() / width).round()) * width).exp();
        let us = if group.us.ln() <= usual.median { usual.median.exp() } else { step(group.us, 0.04) };
        let fresh = step(group.fresh, 0.1).min(1.0);
        let key = (us.to_bits(), fresh.to_bits(), group.grew);
        let kept = alike.entry(key).or_insert(Group { us, fresh, count: 0.0, ..*group });
        kept.count += group.count;
    }
    alike.into_values().collect()
}

/// The ticks in which more was under way than ever before, or anything after a pause, and those around them.
fn growing(view: &View<'_>) -> Vec<bool> {
    let mut highest = 0.0_f64;
    let mut growing = vec![false; view.len()];
    let quiet: Vec<bool> = view.done.iter().map(|done| *done <= 0.0).collect();
    for tick in 0..view.len() {
        let now = view.in_flight[tick];
        let more = now > highest * 1.03 + 0.5 && tick > 0 || view.done[tick] > 0.0 && highest <= 0.0;
        highest = highest.max(now);
        let after_pause = tick >= 5 && quiet[tick - 5..tick].iter().all(|quiet| *quiet) && !quiet[tick];
        if more || after_pause {
            growing[tick.saturating_sub(1)..(tick + 3).min(view.len())].fill(true);
        }
    }
    growing
}

/// By how many more were under way than ever before, as those end about then.
fn needed(view: &View<'_>) -> Vec<f64> {
    let (mut highest, mut needed) = (0.0_f64, vec![0.0; view.len()]);
    for (tick, now) in view.in_flight.iter().enumerate() {
        let more = (now - highest).max(0.0);
        highest = highest.max(*now);
        let soon = tick..(tick + 3).min(view.len());
        let each = ratio(more, soon.len() as f64);
        needed[soon].iter_mut().for_each(|needed| *needed += each);
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_groups_become_few_and_hold_as_many_requests() {
        let usual = Usual::of(&[(50_000.0, 100.0), (60_000.0, 100.0)]).unwrap();
        let group = |place: u32| Group {
            endpoint: 0,
            us: 1_000.0 * f64::from(place % 977 + 1),
            count: 1.0,
            fresh: 1.0 / f64::from(place % 101 + 1),
            grew: place.is_multiple_of(2),
        };
        let many: Vec<Group> = (0..50_000).map(group).collect();
        let few = coarser(&many, &usual);
        let sum = |groups: &[Group], value: fn(&Group) -> f64| groups.iter().map(value).sum::<f64>();
        assert!(few.len() < 8_000, "{}", few.len());
        assert!((sum(&few, |group| group.count) - 50_000.0).abs() < 1e-6);
        let fresh = |groups| sum(groups, |group| group.count * group.fresh);
        assert!((fresh(&few) / fresh(&many) - 1.0).abs() < 0.02);
        assert!(few.iter().all(|group| group.fresh <= 1.0));
    }
}
