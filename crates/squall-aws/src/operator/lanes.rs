//! The event source mappings of all lanes of a fleet, opened and closed together.

use futures_util::future::{join_all, try_join_all};
use squall_fleet::StoreError;
use squall_fleet::sizing::Concurrency;

use super::mapping::Mapping;
use crate::Connection;

/// The mappings of a fleet, one a lane.
#[derive(Debug, Clone)]
pub struct Mappings {
    lanes: Vec<Mapping>,
}

/// What the mappings of a fleet are found like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// How many there are.
    pub lanes: usize,
    /// How many are open.
    pub open: usize,
    /// How many have pollers, which are paid for by the hour.
    pub with_pollers: usize,
}

impl Left {
    /// Whether they are as they are to be between runs.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.open == 0 && self.with_pollers == 0
    }
}

impl Mappings {
    /// Those with these ids.
    #[must_use]
    pub fn new(connection: &Connection, ids: impl IntoIterator<Item = String>) -> Self {
        let ids: Vec<String> = ids.into_iter().collect();
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        Self { lanes: ids.into_iter().map(|id| Mapping::one_of(connection, id, count)).collect() }
    }

    /// Lets so many seats be taken at once, each lane its share, and waits until that is in force everywhere.
    pub async fn open(&self, seats: u32) -> Result<(), StoreError> {
        let shares = shares(seats, self.lanes.len());
        let open = self.lanes.iter().zip(shares);
        try_join_all(open.map(|(mapping, share)| mapping.open(Concurrency::of(share)))).await.map(drop)
    }

    /// No more seats are taken, and no pollers are paid for. One that cannot be closed is no reason to leave others open.
    pub async fn close(&self) -> Result<(), StoreError> {
        let closed = join_all(self.lanes.iter().map(Mapping::close)).await;
        closed.into_iter().collect()
    }

    /// How they are.
    pub async fn look(&self) -> Result<Left, StoreError> {
        let found = try_join_all(self.lanes.iter().map(Mapping::look)).await?;
        let count = |is: fn(&super::mapping::Look) -> bool| found.iter().filter(|look| is(look)).count();
        Ok(Left {
            lanes: found.len(),
            open: count(super::mapping::Look::is_open),
            with_pollers: count(|look| look.has_pollers),
        })
    }
}

/// How many of the seats each lane has, where they are dealt in turn. None has fewer than one: the one that is offered in
/// place of another may be dealt to any.
fn shares(seats: u32, lanes: usize) -> impl Iterator<Item = u32> {
    let lanes = u32::try_from(lanes).unwrap_or(u32::MAX).max(1);
    (0..lanes).map(move |lane| (seats / lanes + u32::from(lane < seats % lanes)).max(1))
}

#[cfg(test)]
mod tests;
