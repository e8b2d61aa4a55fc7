//! Seats that are not taken: it is looked why while their run still waits for them, for nothing is to be seen of it
//! later.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use squall_aws::operator::{look_at_limits, look_for_absent};
use squall_fleet::absence::{Found, causes, in_vain};
use squall_fleet::{RunRecord, State, StoreError, state_of};

use super::bases::Bases;
use crate::attach::Part;
use crate::failure::Failure;

/// The seats of a region, as they are to be offered.
struct Offered {
    region: String,
    run: String,
    seats: u32,
    with_spares: u32,
    gather: Duration,
}

/// What was found in regions that were still waited for, and what could not be asked.
type Looked = BTreeMap<String, (Found, Vec<StoreError>)>;

/// Drives a run, and puts into its record why seats were not taken, if it had to be waited for them.
pub(super) struct Watch<'a> {
    bases: &'a Bases,
    offered: Vec<Offered>,
}

impl<'a> Watch<'a> {
    /// For the parts of a run that is about to be driven.
    pub(super) fn new(bases: &'a Bases, parts: &[Part]) -> Self {
        let offered = bases.iter().zip(parts).map(|(base, Part { settings, .. })| Offered {
            region: base.region().to_owned(),
            run: settings.run.clone(),
            seats: settings.seats,
            with_spares: settings.seats.saturating_add(settings.spares),
            gather: settings.gather,
        });
        Self { bases, offered: offered.collect() }
    }

    /// Drives the run to its end.
    pub(super) async fn beside(
        self,
        drive: impl Future<Output = Result<RunRecord, Failure>>,
    ) -> Result<RunRecord, Failure> {
        let late = self.offered.iter().map(|offered| offered.gather * 4 / 5).min();
        let is_late = tokio::time::sleep(late.unwrap_or_default());
        let mut drive = pin!(drive);
        let (record, looked) = tokio::select! {
            record = &mut drive => (record, Looked::new()),
            () = is_late => tokio::join!(&mut drive, self.look()),
        };
        let mut record = record?;
        self.explain(&mut record, looked);
        self.explain_throttles(&mut record).await;
        Ok(record)
    }

    /// Looks at each region whose seats are waited for when most of the time for it is over.
    async fn look(&self) -> Looked {
        let looks = self.bases.iter().zip(&self.offered).map(|(base, offered)| async {
            let looked = match state_of(&base.deployed.store, &offered.run).await {
                Ok(Some(State::Waiting)) => {
                    let connection = base.site.session.connection();
                    Box::pin(look_for_absent(connection, &base.deployed.fleet, &offered.run)).await
                }
                Ok(_) => return None,
                Err(error) => (Found::default(), vec![error]),
            };
            Some((offered.region.clone(), looked))
        });
        join_all(looks.collect::<Vec<_>>()).await.into_iter().flatten().collect()
    }

    /// Says which limit kept seats from being taken at once that nobody misses.
    async fn explain_throttles(&self, record: &mut RunRecord) {
        let several = self.offered.len() > 1;
        for (base, offered) in self.bases.iter().zip(&self.offered) {
            let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
            for ready in record.generators.iter().map(|generator| &generator.ready) {
                if ready.region == offered.region {
                    let deliveries = taken.entry(ready.seat).or_default();
                    *deliveries = (*deliveries).max(ready.deliveries.unwrap_or_default());
                }
            }
            // What is said of seats that are missed says it of their spares, too.
            let is_whole = taken.len() >= offered.seats as usize;
            let spares: BTreeSet<u32> =
                (0..offered.with_spares).filter(|seat| is_whole && !taken.contains_key(seat)).collect();
            taken.retain(|_, deliveries| *deliveries > 1);
            if spares.is_empty() && taken.is_empty() {
                continue;
            }
            let connection = base.site.session.connection();
            let (found, errors) = Box::pin(look_at_limits(connection, &base.deployed.fleet)).await;
            let name = |line| if several { format!("{}: {line}", offered.region) } else { line };
            record
                .throttled
                .extend(in_vain(&spares, &taken, offered.with_spares, &found).into_iter().map(name));
            let problem = |error: &StoreError| {
                format!("it could not be found out why seats were throttled: {}", error.explain())
            };
            record.problems.extend(errors.iter().map(problem));
        }
    }

    fn explain(&self, record: &mut RunRecord, mut looked: Looked) {
        let several = self.offered.len() > 1;
        for offered in &self.offered {
            let Some((found, errors)) = looked.remove(&offered.region) else { continue };
            let taken: BTreeSet<u32> = record
                .generators
                .iter()
                .filter(|generator| generator.ready.region == offered.region)
                .map(|generator| generator.ready.seat)
                .collect();
            // Where as many came as were wanted, nobody misses the spares.
            if taken.len() >= offered.seats as usize {
                continue;
            }
            let absent = (0..offered.with_spares).filter(|seat| !taken.contains(seat)).collect();
            let name = |line| if several { format!("{}: {line}", offered.region) } else { line };
            record.absent.extend(causes(&absent, offered.with_spares, &found).into_iter().map(name));
            let problem = |error: &StoreError| {
                format!("it could not be found out why seats were not taken: {}", error.explain())
            };
            record.problems.extend(errors.iter().map(problem));
        }
    }
}
