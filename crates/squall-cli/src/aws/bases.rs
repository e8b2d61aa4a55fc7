//! The fleets that a run is made on: one in each region, all of the same stack.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use anyhow::anyhow;
use futures_util::future::join_all;
use squall_aws::operator::account;
use squall_fleet::sizing::{self, Function};
use squall_fleet::{
    Attached, Hold, RegionSeats, Settings, StoreErrorKind, attach, hold, is_held_by, release,
};
use squall_plan::Plan;
use squall_seat::SystemClock;

use super::guard::{check_ceilings, in_words};
use super::{Deployed, RAISE_QUOTA, Site, told};
use crate::args::{AwsArgs, RegionArg};
use crate::attach::{Part, Taken};
use crate::failure::Failure;

/// A region's fleet.
pub(super) struct Base {
    pub(super) site: Site,
    pub(super) deployed: Deployed,
    weight: NonZeroU32,
}

/// All of them, in the order in which they were named. Never empty.
pub(super) struct Bases {
    all: Vec<Base>,
}

impl Base {
    pub(super) fn region(&self) -> &str {
        self.site.session.region()
    }

    /// How many spares the account has room for. A throttled queue would slow down the whole start, so what it
    /// allows is asked before.
    async fn spares(&self, seats: u32) -> Result<u32, Failure> {
        let account = account(self.site.session.connection()).await.map_err(told)?;
        if let Some(room) = account.unreserved.checked_sub(seats) {
            return Ok(sizing::spares(seats).min(room));
        }
        let (region, most) = (self.region(), account.unreserved);
        let what = anyhow!(
            "{seats} generators are asked for, and the account runs {most} functions at a time in {region}"
        );
        Err(Failure::wrong(what).with_hint(RAISE_QUOTA))
    }

    /// Whatever a run that is over left on is switched off.
    async fn tidy_up(&self) -> Result<(), Failure> {
        let left = self.deployed.mappings.look().await.map_err(told)?;
        if let Some(words) = in_words(left) {
            eprintln!("{}: a run that is over was not tidied up: {words}; switching that off", self.region());
            self.deployed.mappings.close().await.map_err(told)?;
        }
        Ok(())
    }

    /// Closes the queue again, unless somebody else has taken the fleet meanwhile: then it is theirs.
    async fn close(&self, run: &str) {
        let closed = match is_held_by(&self.deployed.store, run).await {
            Ok(false) => return,
            // Where that cannot be read, closed is the safer state.
            Ok(true) | Err(_) => self.deployed.mappings.close().await,
        };
        // What is gone is not open.
        if let Err(error) = closed
            && error.kind != StoreErrorKind::Gone
        {
            eprintln!("warning: the queue in {} stays open: {}", self.region(), error.explain());
            eprintln!("hint: the next run closes it; `squall doctor` says whether it is open");
        }
    }
}

impl Bases {
    /// The fleets in all regions that are named, which must be alike.
    pub(super) async fn open(args: &AwsArgs) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for (site, weight) in Site::open_all(args).await? {
            let deployed = site.fleet().await?;
            all.push(Base { site, deployed, weight });
        }
        let bases = Self { all };
        let function = bases.function();
        let other = bases.all.iter().find(|base| base.deployed.fleet.runs_on() != function);
        if let Some(other) = other {
            let what = anyhow!(
                "generators in {} are not like those in {}: a slice would not be the same load",
                other.region(),
                bases.first().region()
            );
            let hint = "`squall deploy` with the same --memory and architecture in all regions";
            return Err(Failure::wrong(what).with_hint(hint));
        }
        Ok(bases)
    }

    /// Those of a run that was taken over in the first of them: it is taken over in the others, too. A region in which
    /// that cannot be done is lost.
    pub(super) async fn take_over(first: Base, taken: &mut Taken) -> Self {
        let Some(own) = taken.parts.pop() else { return Self { all: vec![first] } };
        let (lasts, regions) = (own.settings.lasts.clone(), own.settings.regions.clone());
        let mut here = Some((first, own));
        let mut all = Vec::new();
        for RegionSeats { region, seats } in regions {
            if let Some((base, part)) = here.take_if(|(base, _)| base.region() == region) {
                all.push(base);
                taken.parts.push(part);
                continue;
            }
            let of = here.as_ref().map(|(base, _)| base).or(all.first());
            let stack = of.map(|base| base.site.stack.clone());
            match Base::join(stack, &region, &taken.begun.id).await {
                Ok((base, Attached { manifest, resumed, .. })) => {
                    all.push(base);
                    taken
                        .parts
                        .push(Part { settings: manifest.settings(lasts.clone()), resumed: Some(resumed) });
                }
                Err(reason) => {
                    let known = here.as_ref().map(|(_, part)| part).or(taken.parts.first());
                    let settings = known.map(|part| Settings { seats, ..part.settings.clone() });
                    taken.order.lost.extend(settings.map(|settings| (region, settings, reason)));
                }
            }
        }
        if let Some((base, part)) = here {
            all.push(base);
            taken.parts.push(part);
        }
        Self { all }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Base> {
        self.all.iter()
    }

    pub(super) fn first(&self) -> &Base {
        &self.all[0]
    }

    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// What generators run on, in all of them.
    pub(super) fn function(&self) -> Function {
        self.first().deployed.fleet.runs_on()
    }

    pub(super) fn lanes(&self) -> u32 {
        let lanes: usize = self.iter().map(|base| base.deployed.fleet.lanes.len()).sum();
        u32::try_from(lanes).unwrap_or(u32::MAX)
    }

    pub(super) fn regions(&self) -> Vec<String> {
        self.iter().map(|base| base.region().to_owned()).collect()
    }

    /// So many generators, divided by the weights of the regions.
    pub(super) fn seats(&self, seats: u32) -> Result<Vec<u32>, Failure> {
        let weights: Vec<u32> = self.iter().map(|base| base.weight.get()).collect();
        if (seats as usize) < weights.len() {
            let what = anyhow!("{seats} generators cannot be in {} regions", weights.len());
            return Err(Failure::wrong(what).with_hint("take more --generators, or fewer regions"));
        }
        Ok(divide(seats, &weights))
    }

    /// How many more are invited in each region, for those that are lost.
    pub(super) async fn spares(&self, seats: &[u32]) -> Result<Vec<u32>, Failure> {
        let spares = self.iter().zip(seats).map(|(base, seats)| base.spares(*seats));
        join_all(spares).await.into_iter().collect()
    }

    /// A ceiling is one of the load at its target, wherever the rest of it is made.
    pub(super) fn check_ceilings(&self, plan: &Plan, seats: u32) -> Result<(), Failure> {
        self.iter().try_for_each(|base| check_ceilings(plan, &base.deployed.fleet, seats))
    }

    /// Takes them all for a run, or none.
    pub(super) async fn take(&self, run: &str) -> Result<(), Failure> {
        for base in self.iter() {
            let other = match hold(&base.deployed.store, &SystemClock, run).await {
                Ok(Hold::Granted) => continue,
                Ok(Hold::TakenBy(other)) => Ok(other),
                Err(error) => Err(told(error)),
            };
            self.release(run).await;
            let hint = |other: &str| {
                format!(
                    "wait for its end, `squall stop {other}`, or deploy a fleet of your own: `squall deploy --stack NAME`"
                )
            };
            let other = other?;
            return Err(base.site.under_way(&other, hint(&other)));
        }
        Ok(())
    }

    /// Gives back what was taken. What is not given back is free within a minute.
    pub(super) async fn release(&self, run: &str) {
        join_all(self.iter().map(|base| release(&base.deployed.store, run))).await;
    }

    /// Says again that a run is about to begin; the fleet that somebody else has taken meanwhile, if there is one.
    pub(super) async fn hold_on(&self, run: &str) -> Result<Option<&Base>, Failure> {
        for base in self.iter() {
            let held = squall_fleet::hold_on(&base.deployed.store, &SystemClock, run).await.map_err(told)?;
            if !held {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }

    pub(super) async fn tidy_up(&self) -> Result<(), Failure> {
        join_all(self.iter().map(Base::tidy_up)).await.into_iter().collect()
    }

    pub(super) async fn close(&self, run: &str) {
        join_all(self.iter().map(|base| base.close(run))).await;
    }
}

impl Base {
    /// The one that is named first.
    pub(super) async fn open_first(args: &AwsArgs) -> Result<Self, Failure> {
        let region = args.region.iter().take(1).cloned().collect();
        let site = Site::open(&AwsArgs { stack: args.stack.clone(), region }).await?;
        let deployed = site.fleet().await?;
        Ok(Self { site, deployed, weight: NonZeroU32::MIN })
    }

    /// Takes a run over in one more region, or why that cannot be done.
    async fn join(stack: Option<String>, region: &str, run: &str) -> Result<(Self, Attached), String> {
        let named = AwsArgs { stack, region: vec![RegionArg::named(region)] };
        let base = Self::open_first(&named).await.map_err(|failure| failure.words())?;
        let attached = attach(&base.deployed.store, &SystemClock, run).await;
        attached.map(|attached| (base, attached)).map_err(|error| error.to_string())
    }
}

/// A number in parts as near to these weights as whole numbers come, and none of them zero.
fn divide(total: u32, weights: &[u32]) -> Vec<u32> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let exact = |weight: u32| u64::from(total) * u64::from(weight);
    let whole = |weight: u32| u32::try_from(exact(weight) / sum.max(1)).unwrap_or(u32::MAX);
    let mut parts: Vec<u32> = weights.iter().map(|weight| whole(*weight).max(1)).collect();
    loop {
        let given: u32 = parts.iter().sum();
        // Whoever has the least, or the most, for its weight; of equals the last, or the first.
        let shortfall = |(index, part): (usize, &u32)| {
            i128::from(exact(weights[index])) - i128::from(*part) * i128::from(sum)
        };
        let next = match given.cmp(&total) {
            Ordering::Less => {
                parts.iter().enumerate().max_by_key(|own| shortfall(*own)).map(|(index, _)| (index, 1))
            }
            Ordering::Greater => {
                let can = parts.iter().enumerate().filter(|(_, part)| **part > 1);
                can.min_by_key(|own| shortfall(*own)).map(|(index, _)| (index, -1))
            }
            Ordering::Equal => None,
        };
        let Some((index, change)) = next else { return parts };
        parts[index] = parts[index].saturating_add_signed(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_are_divided_by_weight_and_no_region_is_left_out() {
        let check = |total, weights: &[u32], expected: &[u32]| {
            assert_eq!(divide(total, weights), expected, "{total} by {weights:?}");
        };
        check(10, &[1], &[10]);
        check(10, &[1, 1], &[5, 5]);
        check(11, &[1, 1], &[5, 6]);
        check(12, &[2, 1], &[8, 4]);
        check(3, &[1_000, 1, 1], &[1, 1, 1]);
        check(4, &[1_000, 1, 1], &[2, 1, 1]);
        check(100, &[3, 2, 2], &[43, 28, 29]);
        check(10_000, &[1, 1, 1, 1, 1], &[2_000; 5]);
        for total in 3..200 {
            assert_eq!(divide(total, &[7, 5, 1]).iter().sum::<u32>(), total);
        }
    }
}
