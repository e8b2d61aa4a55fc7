//! What was measured: together, and in each region where there are several.

use squall_metrics::{Merge, Merged, Snapshot};

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    all: Merged,
    /// The regions' names.
    regions: Vec<String>,
    /// What was measured in each; of the only one it is all.
    parts: Vec<Merged>,
}

impl Measured {
    /// Nothing yet, in these regions.
    #[must_use]
    pub fn new(regions: Vec<String>) -> Self {
        let several = if regions.len() > 1 { regions.len() } else { 0 };
        Self { all: Merged::default(), parts: vec![Merged::default(); several], regions }
    }

    /// Of all regions.
    #[must_use]
    pub fn all(&self) -> &Merged {
        &self.all
    }

    /// Of one region, or of all; `None` where no load is made there.
    #[must_use]
    pub fn of(&self, region: Option<&str>) -> Option<&Merged> {
        let Some(region) = region else { return Some(&self.all) };
        let index = self.regions.iter().position(|name| name == region)?;
        if self.parts.is_empty() { Some(&self.all) } else { self.parts.get(index) }
    }

    /// Takes in what a generator of one region has measured.
    pub(crate) fn merge(&mut self, region: usize, snapshot: Snapshot) -> Merge {
        match self.parts.get_mut(region) {
            None => self.all.merge(snapshot),
            Some(part) => match self.all.merge(snapshot.clone()) {
                Merge::Merged => part.merge(snapshot),
                Merge::Duplicate => Merge::Duplicate,
            },
        }
    }

    pub(crate) fn into_all(self) -> Merged {
        self.all
    }

    /// What was measured in the only region.
    #[cfg(test)]
    pub(crate) fn here(merged: &Merged, region: &str) -> Self {
        Self { all: merged.clone(), regions: vec![region.to_owned()], parts: Vec::new() }
    }
}
