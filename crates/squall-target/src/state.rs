//! What the service remembers.

use std::collections::VecDeque;
use std::time::Duration;

use crate::carts::Cart;
use crate::chance::{mix, seed_of};
use crate::jobs::Job;
use crate::uploads::{Document, File};

/// All that the service remembers. Of each kind of things it keeps the newest.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) seed: u64,
    /// How long an access token is good for.
    pub(crate) token_lifetime: Duration,
    /// Tokens given out so far. Each carries its own truth, so they are not kept.
    pub(crate) tokens: u64,
    pub(crate) carts: Kept<Cart>,
    /// Nobody asks for orders again, so there is nothing to keep of them but their number.
    pub(crate) orders: Kept<()>,
    pub(crate) jobs: Kept<Job>,
    pub(crate) files: Kept<File>,
    pub(crate) documents: Kept<Document>,
}

impl State {
    pub(crate) fn new(seed: u64, token_lifetime: Duration) -> Self {
        Self {
            seed,
            token_lifetime,
            tokens: 0,
            carts: Kept::new("cart", seed, BOUND),
            orders: Kept::new("order", seed, BOUND),
            jobs: Kept::new("job", seed, BOUND),
            files: Kept::new("file", seed, BOUND),
            documents: Kept::new("document", seed, BOUND),
        }
    }
}

/// Things of a kind that are kept.
const BOUND: usize = 100_000;

/// The newest things of a kind, under the ids that they were given. The oldest go.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    kind: &'static str,
    seed: u64,
    bound: usize,
    /// The number of the first of `things`; numbers count from 0.
    first: u64,
    things: VecDeque<Option<T>>,
}

impl<T> Kept<T> {
    pub(crate) fn new(kind: &'static str, seed: u64, bound: usize) -> Self {
        Self { kind, seed: seed_of(seed, kind), bound, first: 0, things: VecDeque::new() }
    }

    /// What chance is derived from for things of this kind.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Keeps a thing, and returns its id.
    pub(crate) fn add(&mut self, thing: T) -> String {
        if self.things.len() >= self.bound {
            self.things.pop_front();
            self.first += 1;
        }
        self.things.push_back(Some(thing));
        self.id(self.first + self.things.len() as u64 - 1)
    }

    /// A thing and its number.
    pub(crate) fn get(&self, id: &str) -> Option<(u64, &T)> {
        let (number, place) = self.place(id)?;
        Some((number, self.things.get(place)?.as_ref()?))
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let (_, place) = self.place(id)?;
        self.things.get_mut(place)?.as_mut()
    }

    /// Forgets a thing.
    pub(crate) fn remove(&mut self, id: &str) {
        if let Some((_, place)) = self.place(id)
            && let Some(slot) = self.things.get_mut(place)
        {
            *slot = None;
        }
    }

    /// The newest things first, with their numbers.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (u64, &T)> {
        let things = self.things.iter().enumerate().rev();
        things.filter_map(|(place, thing)| Some((self.first + place as u64, thing.as_ref()?)))
    }

    /// What a thing is called: its kind, sixteen digits out of the seed, and its number.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}_{:016x}{number:x}", self.kind, mix(self.seed, number))
    }

    fn place(&self, id: &str) -> Option<(u64, usize)> {
        let digits = id.strip_prefix(self.kind)?.strip_prefix('_')?.get(16..)?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (self.id(number) == id).then_some((number, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_things_are_kept_and_their_ids_repeat() {
        let mut kept = Kept::new("cart", 1, 3);
        let ids: Vec<String> = (0..5).map(|n| kept.add(n)).collect();
        let found = ids.iter().map(|id| kept.get(id)).collect::<Vec<_>>();
        assert_eq!(found, [None, None, Some((2, &2)), Some((3, &3)), Some((4, &4))]);
        assert_eq!(kept.newest().collect::<Vec<_>>(), [(4, &4), (3, &3), (2, &2)]);

        kept.remove(&ids[3]);
        assert_eq!((kept.get(&ids[3]), kept.get(&ids[4])), (None, Some((4, &4))));
        assert_eq!(kept.newest().collect::<Vec<_>>(), [(4, &4), (2, &2)]);

        let other = Kept::<()>::new("cart", 2, 3);
        assert_eq!(Kept::<()>::new("cart", 1, 3).id(0), ids[0]);
        assert_ne!(other.id(0), ids[0]);
    }

    #[test]
    fn only_an_id_that_was_given_is_known() {
        let mut kept = Kept::new("cart", 1, 3);
        let id = kept.add(());
        let check = |id: &str, known: bool| assert_eq!(kept.get(id).is_some(), known, "{id}");
        check(&id, true);
        check(&id.to_uppercase(), false);
        check(&format!("{id}0"), false);
        check(&kept.id(1), false);
        check(&id.replace("cart", "order"), false);
        check("cart_", false);
        check("cart_ééééééééé0", false);
        check("", false);
    }
}
