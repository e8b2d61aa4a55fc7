//! Seats that are not taken: it is looked why while their run still waits for them, for nothing is to be seen of it
//! later.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use squall_aws::operator::look_for_absent;
use squall_fleet::absence::{Found, causes};
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
        tokio::select! {
            record = &mut drive => return record,
            () = is_late => {}
        }
        let (record, looked) = tokio::join!(drive, self.look());
        record.map(|mut record| {
            self.explain(&mut record, looked);
            record
        })
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
