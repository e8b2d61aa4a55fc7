//! Where a run stands, for somebody who only looks.

use std::collections::BTreeSet;

use crate::message::{Control, Manifest, Message, Relief, State, Time};
use crate::ports::{Fetched, Store, StoreError};
use crate::{assignments, keys};

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub manifest: Manifest,
    /// What its orchestrator said last; nothing yet, if it has only been written down.
    pub control: Option<Control>,
    /// Generators that have said that they are ready.
    pub ready: usize,
    /// Slices.
    pub slices: usize,
    /// Generators that have, or had, a slice.
    pub posted: usize,
    /// Those of them that were given up.
    pub given_up: usize,
    /// Those of them that have said their last word.
    pub ended: usize,
}

impl Status {
    /// Where it stands, in a word.
    #[must_use]
    pub fn state(&self) -> State {
        self.control.as_ref().map_or(State::Waiting, |control| control.state)
    }

    /// When its load begins or has begun, if that is known.
    #[must_use]
    pub fn epoch(&self) -> Option<Time> {
        self.control.as_ref().and_then(|control| control.epoch)
    }
}

/// All regions in which a run is made, if it is known here and they are several.
pub async fn regions_of(store: &impl Store, run: &str) -> Result<Vec<String>, StoreError> {
    let Fetched::Found { value, .. } = store.get(&keys::manifest(run), None).await? else {
        return Ok(Vec::new());
    };
    let regions = Manifest::from_bytes(&value).map(|manifest| manifest.regions).unwrap_or_default();
    Ok(regions.into_iter().map(|region| region.region).collect())
}

/// What a run's orchestrator said last of where it stands; `None` if nothing that can be read.
pub async fn state_of(store: &impl Store, run: &str) -> Result<Option<State>, StoreError> {
    let found = store.get(&keys::control(run), None).await?;
    let Fetched::Found { value, .. } = found else { return Ok(None) };
    Ok(Control::from_bytes(&value).ok().map(|control| control.state))
}

/// Looks at a run; `None` if there is none.
pub async fn status(store: &impl Store, run: &str) -> Result<Option<Status>, StoreError> {
    let Fetched::Found { value, .. } = store.get(&keys::manifest(run), None).await? else { return Ok(None) };
    let Ok(manifest) = Manifest::from_bytes(&value) else { return Ok(None) };
    let control = match store.get(&keys::control(run), None).await? {
        Fetched::Found { value, .. } => Control::from_bytes(&value).ok(),
        Fetched::NotModified | Fetched::Missing => None,
    };
    let ready = store.list(&keys::all_ready(run), None).await?.len();
    let last = control.as_ref().map_or(0, |control| control.generation);
    let (mut posted, mut given_up, mut slices) = (BTreeSet::new(), BTreeSet::new(), 0);
    for assignment in assignments::read_all(store, run, last).await?.into_values() {
        slices = assignment.posts.values().map(|post| post.share.count() as usize).fold(slices, usize::max);
        posted.extend(assignment.posts.into_keys());
        let left = assignment.reliefs.into_iter().filter(|(_, relief)| *relief == Relief::Leave);
        given_up.extend(left.map(|(nonce, _)| nonce));
    }
    let finals = store.list(&keys::all_finals(run), None).await?;
    let ended = finals.iter().filter_map(|listed| listed.key.rsplit('/').next());
    let ended = ended.filter(|nonce| posted.contains(*nonce)).count();
    let given_up = posted.intersection(&given_up).count();
    Ok(Some(Status { manifest, control, ready, slices, posted: posted.len(), given_up, ended }))
}
